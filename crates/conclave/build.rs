//! Puts the built page (`ui/dist`) into the program; without it, a page that says how to get it.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

fn main() -> io::Result<()> {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    let dist = root.join("ui/dist");
    // Cargo looks into a folder that is there; one that is not would have it run this each time.
    if !dist.exists() {
        let _ = fs::create_dir_all(&dist);
    }
    println!("cargo::rerun-if-changed={}", dist.display());
    let mut files = Vec::new();
    if dist.join("index.html").is_file() {
        collect(&dist, &mut files)?;
    } else {
        files.push(("/index.html".to_owned(), root.join("src/web/missing.html")));
    }
    files.sort();
    fs::write(out.join("page.rs"), table(&files))
}

/// The files below `folder`, each with its path from there.
fn collect(folder: &Path, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    let mut folders = vec![(String::new(), folder.to_owned())];
    while let Some((path, folder)) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let path = format!("{path}/{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                folders.push((path, entry.path()));
            } else {
                files.push((path, entry.path()));
            }
        }
    }
    Ok(())
}

/// Each file with its compressed form where one lies beside it.
fn table(files: &[(String, PathBuf)]) -> String {
    let mut table = String::from("&[\n");
    for (path, file) in files {
        if file.extension().is_some_and(|ending| ending == "gz") {
            continue;
        }
        let packed = format!("{path}.gz");
        let packed = match files.iter().find(|(other, _)| *other == packed) {
            Some((_, packed)) => {
                format!("Some(include_bytes!({:?}))", packed.display().to_string())
            }
            None => "None".to_owned(),
        };
        let plain = file.display().to_string();
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "    Built {{ path: {path:?}, plain: include_bytes!({plain:?}), packed: {packed} }},"
        );
    }
    table.push_str("]\n");
    table
}
