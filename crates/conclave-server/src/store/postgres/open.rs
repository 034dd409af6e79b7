//! Opens the database: connection, version, schema, incarnation.

use std::path::Path;
use std::sync::Arc;

use conclave_proto::id::Incarnation;
use tokio::sync::watch;
use tokio_postgres::error::SqlState;

use super::address::Address;
use super::session::{DbError, Session, get, int, number, params, words};
use crate::store::mark_file::{self, Mark};

/// The schema's versions, oldest first; `meta.schema` says which is there.
const SCHEMA: [&str; 3] = [
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
];
/// The oldest PostgreSQL that the schema was tried on.
const OLDEST: u32 = 15;
/// Kinds of advisory locks.
pub(super) mod family {
    /// Opening: one server at a time brings the schema up to date.
    pub(in super::super) const OPEN: i32 = 0x_c0_01;
    /// One identifier's registration.
    pub(in super::super) const IDENTIFIER: i32 = 0x_c0_02;
    /// The number of accounts.
    pub(in super::super) const ACCOUNTS: i32 = 0x_c0_03;
    /// One identifier's codes.
    pub(in super::super) const CODES: i32 = 0x_c0_04;
    /// What waits for one phone of the classic gateway.
    pub(in super::super) const CLASSIC: i32 = 0x_c0_05;
    /// The sweep.
    pub(in super::super) const SWEEP: i32 = 0x_c0_06;
    /// The number of mailboxes.
    pub(in super::super) const MAILBOXES: i32 = 0x_c0_07;
}

/// The database cannot be used. No text holds a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// The address does not hold.
    #[error("the database's address does not hold: {0}")]
    Address(String),
    /// TLS to the database cannot work.
    #[error("TLS to the database does not work: {0}")]
    Tls(String),
    /// Nobody answers, or not as a database does.
    #[error("the database cannot be reached: {0}; check host, port and that it runs")]
    Unreachable(String),
    /// The user or password is wrong.
    #[error(
        "the database refuses the user or password; set PGPASSWORD or PGPASSFILE, and look at \
         pg_hba.conf"
    )]
    Login,
    /// There is no such database.
    #[error("there is no such database; make it with `createdb`, with encoding UTF8")]
    NoDatabase,
    /// An old PostgreSQL.
    #[error("the database is PostgreSQL {found}, and {OLDEST} or newer is needed")]
    TooOld {
        /// Its major version.
        found: u32,
    },
    /// Only standbys answered.
    #[error(
        "the database takes no writes: name the primary, or all hosts as in \
         postgres://user@one,two/database"
    )]
    ReadOnly,
    /// A newer program wrote it; use that one.
    #[error("the database has schema {found}, this program knows {known}: use the newer program")]
    NewerSchema {
        /// Version in the database.
        found: u32,
        /// Newest version known here.
        known: u32,
    },
    /// The rows belong to a server with other keys.
    #[error(
        "the database belongs to a server with other keys: copy `root.pem`, `chain.pem`, `leaf-key.pem` and \
         `pepper` of that server into this data folder, or name another database"
    )]
    OtherKeys,
    /// A statement failed.
    #[error("the database refuses a statement: {0}")]
    Statement(String),
    /// The note beside the server's keys cannot be read or written.
    #[error("cannot use the file `incarnation` in the data folder: {0}")]
    Note(#[from] std::io::Error),
}

impl From<DbError> for DatabaseError {
    fn from(error: DbError) -> Self {
        Self::Statement(error.to_string())
    }
}

impl From<tokio_postgres::Error> for DatabaseError {
    fn from(error: tokio_postgres::Error) -> Self {
        let code = error.code();
        let login = [
            &SqlState::INVALID_PASSWORD,
            &SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        ];
        if code.is_some_and(|code| login.contains(&code)) {
            return Self::Login;
        }
        if code == Some(&SqlState::INVALID_CATALOG_NAME) {
            return Self::NoDatabase;
        }
        let text = words(&error);
        if text.contains("does not allow writes") {
            return Self::ReadOnly;
        }
        if text.contains("password missing") {
            return Self::Login;
        }
        Self::Unreachable(text)
    }
}

/// What all connections of one store share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) address: Address,
    pub(super) incarnation: Incarnation,
    /// Set when this store must not go on.
    dead: watch::Sender<bool>,
}

impl Shared {
    /// A new connection to the same life of the database.
    pub(super) async fn connect(&self) -> Result<Session, DatabaseError> {
        let session = connect(&self.address).await?;
        let row = session.row("SELECT incarnation FROM meta", params![]);
        let row = row.await?.ok_or(DatabaseError::NoDatabase)?;
        self.verify(number(&row, 0)?);
        Ok(session)
    }

    /// Whether this is still the life that the store was opened in; else the server has to start anew,
    /// because clients were promised otherwise.
    pub(super) fn verify(&self, incarnation: u64) -> bool {
        let is_same = incarnation == self.incarnation.0;
        if !is_same {
            tracing::error!("the database was restored from a backup: start the server again");
            // C-211: heads of two lives are never mixed
            self.dead.send_replace(true);
        }
        is_same
    }

    pub(super) fn is_dead(&self) -> bool {
        *self.dead.borrow()
    }

    pub(super) async fn died(&self) {
        let mut dead = self.dead.subscribe();
        // the sender lives as long as `self`
        let _ = dead.wait_for(|dead| *dead).await;
    }
}

/// One connection, set up as every verb needs it.
pub(super) async fn connect(address: &Address) -> Result<Session, DatabaseError> {
    let (client, mut messages) = address.connect().await?.split();
    // ends when the client is dropped or the connection is lost
    tokio::spawn(async move { while messages.next().await.is_some() {} });
    let session = Session::new(client);
    // An answer means "on disk", of the synchronous standby too when there is one; nobody cancels a
    // commit that waits for it. A server that stands still between two statements lets its locks go: what it
    // had begun is certainly not stored. Verbs look rows up by their keys, whatever the statistics say.
    session
        .simple(
            "SET synchronous_commit = on; SET statement_timeout = 0; SET lock_timeout = 0;
             SET idle_in_transaction_session_timeout = '10s';
             SET default_transaction_isolation = 'read committed';
             SET client_min_messages = warning; SET enable_seqscan = off;
             SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off",
        )
        .await?;
    Ok(session)
}

/// Opens or creates what the store needs. `note_dir` remembers how far the database was, so that an
/// older copy of it is noticed.
pub(super) async fn open(
    address: Address,
    note_dir: Option<&Path>,
) -> Result<Arc<Shared>, DatabaseError> {
    let session = connect(&address).await?;
    let version = session.row(
        "SELECT current_setting('server_version_num')::int4",
        params![],
    );
    let version = version.await?.map_or(Ok(0), |row| get::<i32>(&row, 0))?;
    let found = u32::try_from(version / 10_000).unwrap_or(0);
    if found < OLDEST {
        return Err(DatabaseError::TooOld { found });
    }
    session.simple("BEGIN").await?;
    session.lock(family::OPEN, b"").await?;
    migrate(&session).await?;
    let mark = advance_mark(&session, note_dir).await?;
    session.simple("COMMIT").await?;
    if let Some(dir) = note_dir {
        mark_file::write(dir, mark)?;
    }
    Ok(Arc::new(Shared {
        address,
        incarnation: Incarnation(mark.incarnation),
        dead: watch::Sender::new(false),
    }))
}

/// Notes whose keys the rows belong to, when nobody's is noted; else compares (C-232). `None` stands for a
/// server that has no keys yet.
pub(super) async fn belong_to(
    shared: &Shared,
    mark: Option<[u8; 32]>,
) -> Result<(), DatabaseError> {
    let session = shared.connect().await?;
    if let Some(mark) = mark {
        let update = "UPDATE meta SET community = $1 WHERE community IS NULL";
        session.run(update, params![mark.as_slice()]).await?;
    }
    let others = "SELECT 1 FROM meta WHERE community <> $1";
    let mark = mark.unwrap_or_default();
    if session.is_there(others, params![mark.as_slice()]).await? {
        return Err(DatabaseError::OtherKeys);
    }
    Ok(())
}

/// Brings the schema up to date.
async fn migrate(session: &Session) -> Result<(), DatabaseError> {
    let found = schema_version(session).await?;
    let known = u32::try_from(SCHEMA.len()).unwrap_or(u32::MAX);
    if found > known {
        return Err(DatabaseError::NewerSchema { found, known });
    }
    for (version, sql) in (1_i32..).zip(SCHEMA).skip(found as usize) {
        session.simple(sql).await?;
        let update = "UPDATE meta SET schema = $1";
        session.run(update, params![version]).await?;
    }
    Ok(())
}

/// 0 when there is none.
pub(super) async fn schema_version(session: &Session) -> Result<u32, DbError> {
    let is_there = "SELECT 1 WHERE to_regclass('meta') IS NOT NULL";
    if !session.is_there(is_there, params![]).await? {
        return Ok(0);
    }
    let found = session.count("SELECT schema::int8 FROM meta", params![]);
    Ok(u32::try_from(found.await?).unwrap_or(u32::MAX))
}

/// Moves the mark, and begins a new life when the database is older than the note says.
async fn advance_mark(session: &Session, dir: Option<&Path>) -> Result<Mark, DatabaseError> {
    let noted = dir.map(mark_file::read).transpose()?.flatten();
    let row = session.row("SELECT mark, incarnation FROM meta", params![]);
    let row = row.await?.ok_or(DatabaseError::NoDatabase)?;
    let found = Mark {
        mark: number(&row, 0)?,
        incarnation: number(&row, 1)?,
    };
    // C-211: a database behind the note is an older copy. No note says nothing: a new node has none.
    let older = noted.is_some_and(|noted| noted.mark > found.mark);
    let noted = noted.unwrap_or(found);
    let next = Mark {
        mark: found.mark.max(noted.mark) + 1,
        incarnation: found
            .incarnation
            .max(if older { noted.incarnation } else { 0 })
            + u64::from(older),
    };
    session
        .run(
            "UPDATE meta SET mark = $1, incarnation = $2",
            params![int(next.mark), int(next.incarnation)],
        )
        .await?;
    Ok(next)
}
