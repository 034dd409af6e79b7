//! Documents do not lie: files they name exist, their links lead somewhere, their chores are real.

use std::path::Path;

use anyhow::Context;

use super::{Findings, tree};

/// Chores that a document may name.
const CHORES: [&str; 16] = [
    "attachment",
    "cluster",
    "demo",
    "test",
    "bench",
    "ci",
    "tidy",
    "ui",
    "fuzz",
    "vectors",
    "kill",
    "page",
    "screenshots",
    "world",
    "sim",
    "soak",
];

/// Checks the README, its neighbours and everything in `docs/`.
pub(crate) fn check(root: &Path, findings: &mut Findings) -> anyhow::Result<()> {
    let mut paths = Vec::new();
    tree::collect(&root.join("docs"), "md", &mut paths)?;
    for name in ["README", "CHANGELOG", "CONTRIBUTING", "SECURITY"] {
        paths.push(root.join(name).with_extension("md"));
    }
    paths.push(root.join("vectors/README.md"));
    paths.sort();
    for path in paths {
        let name = tree::relative(root, &path);
        let Ok(text) = std::fs::read_to_string(&path) else {
            findings.error(format!("{name}: is missing"));
            continue;
        };
        let folder = path.parent().unwrap_or(root);
        for target in links(&text) {
            if !folder.join(&target).exists() {
                findings.error(format!("{name}: the link to {target} leads nowhere"));
            }
        }
        for chore in chores(&text) {
            if !CHORES.contains(&chore.as_str()) {
                findings.error(format!("{name}: there is no `cargo xtask {chore}`"));
            }
        }
    }
    for file in missing_files(root)? {
        findings.error(format!("docs/ARCHITECTURE.md: {file} does not exist"));
    }
    Ok(())
}

/// What `docs/ARCHITECTURE.md` names and the repository does not have.
fn missing_files(root: &Path) -> anyhow::Result<Vec<String>> {
    let path = root.join("docs/ARCHITECTURE.md");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    let named = named_files(&text);
    Ok(named
        .into_iter()
        .filter(|file| !root.join(file).exists())
        .collect())
}

/// Words in backticks that look like a file or folder of the repository.
fn named_files(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted
        .filter(|word| !word.contains([' ', '<', '*', '$', '…']))
        .filter(|word| {
            let extension = Path::new(word).extension().and_then(|found| found.to_str());
            word.ends_with('/') || matches!(extension, Some("rs" | "md" | "toml"))
        })
        .map(str::to_owned)
        .collect()
}

/// Targets of links inside the repository, without their anchors.
fn links(text: &str) -> Vec<String> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.split('#').next().unwrap_or(target).to_owned())
        .filter(|target| !target.is_empty() && !target.contains("://"))
        .collect()
}

/// The word after each `cargo xtask`.
fn chores(text: &str) -> Vec<String> {
    text.split("cargo xtask ")
        .skip(1)
        .map(|rest| {
            rest.chars()
                .take_while(char::is_ascii_lowercase)
                .collect::<String>()
        })
        .filter(|chore| !chore.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{chores, links, missing_files, named_files};

    /// `docs/ARCHITECTURE.md` walks a message through files; every file it names is there.
    #[test]
    fn every_file_named_by_the_architecture_exists() -> anyhow::Result<()> {
        assert_eq!(missing_files(&crate::root()?)?, Vec::<String>::new());
        Ok(())
    }

    /// Files and folders are found in backticks; commands, patterns and plain words are not.
    #[test]
    fn finds_named_files() {
        let text = "`a/b.rs` and `docs/` but `cargo run`, `*.rs`, b.rs, `C-001`";
        assert_eq!(named_files(text), ["a/b.rs", "docs/"]);
    }

    /// Links inside the repository are found, anchors and other sites are not.
    #[test]
    fn finds_links() {
        let text = "[a](b.md#c) [d](https://e.example/f) [g](#h) [i](../j.md)";
        assert_eq!(links(text), ["b.md", "../j.md"]);
    }

    /// Chores are found wherever a document says how to call them.
    #[test]
    fn finds_chores() {
        assert_eq!(
            chores("`cargo xtask demo --keep`, cargo xtask ci."),
            ["demo", "ci"]
        );
    }
}
