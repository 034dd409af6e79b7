//! Notices a database that was restored from an older backup: the incarnation.
//!
//! A mark grows in the database and in the small file `incarnation` beside it, in this order: at each
//! open, on the first sweep of each day, at the close. When the file is ahead, or missing beside a
//! database that had one, the database is an older copy and the incarnation grows. Whoever restores
//! a backup of the whole folder deletes the file.

use std::path::Path;

use rusqlite::Connection;

use super::open::{OpenError, io_error};
use super::query::{int, uint};
use crate::store::mark_file::read as read_file;
pub(super) use crate::store::mark_file::{FILE, Mark, write as write_file};

/// Compares both, decides the incarnation and writes both anew.
pub(super) fn advance_on_open(writer: &mut Connection, dir: &Path) -> Result<Mark, OpenError> {
    let path = dir.join(FILE);
    // what nobody can read says nothing: then the safe guess is a restored copy
    let in_file = read_file(dir).map_err(|source| io_error(&path, source))?;
    let in_database = read_database(writer)?;
    let older = match in_file {
        Some(in_file) => in_file.mark > in_database.mark,
        None => in_database.mark > 0,
    };
    let highest = in_file.unwrap_or(in_database);
    let next = Mark {
        mark: highest.mark.max(in_database.mark) + 1,
        incarnation: highest.incarnation.max(in_database.incarnation) + u64::from(older),
    };
    write_database(writer, next)?;
    write_file(dir, next).map_err(|source| io_error(&path, source))?;
    Ok(next)
}

/// Whether the folder knows of a database that lived in it.
pub(super) fn is_remembered(dir: &Path) -> bool {
    dir.join(FILE).exists()
}

/// The next mark, written to the database as part of the transaction in progress.
pub(super) fn advance_database(writer: &Connection, mark: Mark) -> rusqlite::Result<Mark> {
    let next = Mark {
        mark: mark.mark + 1,
        ..mark
    };
    write_database(writer, next)?;
    Ok(next)
}

fn read_database(writer: &Connection) -> rusqlite::Result<Mark> {
    writer.query_row("SELECT mark, incarnation FROM meta", [], |row| {
        Ok(Mark {
            mark: uint(row.get(0)?),
            incarnation: uint(row.get(1)?),
        })
    })
}

fn write_database(writer: &Connection, mark: Mark) -> rusqlite::Result<()> {
    writer.execute(
        "UPDATE meta SET mark = ?1, incarnation = ?2",
        [int(mark.mark), int(mark.incarnation)],
    )?;
    Ok(())
}
