//! Looks into the server's files, byte by byte: what is there, and what is not.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::say;

/// How every stored MLS message of a conversation begins: version 1.0, PrivateMessage, a group id
/// of 32 bytes (RFC 9420 §6).
const PRIVATE_MESSAGE: [u8; 5] = [0, 1, 0, 2, 32];
/// How much of an entry is shown, in bytes.
const SHOWN_BYTES: usize = 128;

/// Shows the files in `folder`; fails when one of `texts` is in any of them in clear. `people` are
/// identifiers, which the server has to know.
pub(super) fn show(folder: &Path, texts: &[&str], people: &[&str]) -> anyhow::Result<()> {
    let mut paths = Vec::new();
    files(folder, &mut paths)?;
    paths.sort();
    let mut entry = None;
    let mut hits_of_people = vec![0; people.len()];
    for path in &paths {
        let bytes = std::fs::read(path)?;
        println!("   {:>9} bytes  {}", bytes.len(), path.display());
        for text in texts {
            ensure!(
                !contains(&bytes, text),
                "{} holds a message in clear",
                path.display()
            );
        }
        for (hits, person) in hits_of_people.iter_mut().zip(people) {
            *hits += usize::from(contains(&bytes, person));
        }
        entry = entry.or_else(|| first_entry(&bytes));
    }
    say(&format!(
        "the texts of the {} messages are in none of these files",
        texts.len()
    ));
    for (hits, person) in hits_of_people.iter().zip(people) {
        say(&format!(
            "{person} is in {hits} of them: the server has to know who is registered"
        ));
    }
    let entry = entry.context("no stored entry was found")?;
    say("the beginning of a stored entry, as the server sees it:");
    println!("{}", dump(&entry));
    Ok(())
}

fn files(folder: &Path, paths: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for found in std::fs::read_dir(folder)? {
        let found = found?;
        let kind = found.file_type()?;
        if kind.is_dir() {
            files(&found.path(), paths)?;
        } else if kind.is_file() {
            paths.push(found.path());
        }
    }
    Ok(())
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

fn first_entry(bytes: &[u8]) -> Option<Vec<u8>> {
    let at = bytes
        .windows(PRIVATE_MESSAGE.len())
        .position(|window| window == PRIVATE_MESSAGE)?;
    Some(bytes.iter().skip(at).take(SHOWN_BYTES).copied().collect())
}

/// Sixteen bytes a line: offset, hex, and the letters among them.
fn dump(bytes: &[u8]) -> String {
    let mut lines = Vec::new();
    for (line, chunk) in bytes.chunks(16).enumerate() {
        let hex: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
        let letter = |byte: &u8| {
            if byte.is_ascii_graphic() {
                char::from(*byte)
            } else {
                '.'
            }
        };
        let letters: String = chunk.iter().map(letter).collect();
        lines.push(format!(
            "   {:04x}  {:<47}  {letters}",
            line * 16,
            hex.join(" ")
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::{contains, dump, first_entry};

    /// A text is found wherever it stands, and its absence is seen.
    #[test]
    fn finds_texts() {
        assert!(contains(b"..cake..", "cake"));
        assert!(!contains(b"..cak", "cake"));
    }

    /// An entry is cut at the beginning of its MLS message.
    #[test]
    fn finds_an_entry() {
        assert_eq!(
            first_entry(&[9, 9, 0, 1, 0, 2, 32, 7]),
            Some(vec![0, 1, 0, 2, 32, 7])
        );
        assert_eq!(first_entry(b"nothing here"), None);
    }

    /// The dump shows offset, hex and letters in columns.
    #[test]
    fn dumps_bytes() {
        let text = dump(b"\x00ab");
        assert!(text.starts_with("   0000  00 61 62 "), "{text}");
        assert!(text.ends_with("  .ab"), "{text}");
    }
}
