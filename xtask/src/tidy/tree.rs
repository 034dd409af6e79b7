//! The repository's Rust files, each split into what ships and what only tests.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// One Rust source file of the workspace.
pub(crate) struct SourceFile {
    /// From the repository's top, with `/`.
    pub(crate) path: String,
    /// The lines that ship: empty for a file of tests.
    pub(crate) shipped: Vec<String>,
    /// The lines that only test.
    pub(crate) tests: Vec<String>,
}

impl SourceFile {
    /// Splits `text`: a `tests.rs`, everything in a `tests` folder and the crate that forges for tests is
    /// tests, and so is the tail that begins with `#[cfg(test)]` and opens a module with a body.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let only_tests = path.ends_with("/tests.rs")
            || path.contains("/tests/")
            || path.starts_with("crates/conclave-hostile/");
        let cut = if only_tests { 0 } else { tests_begin(&lines) };
        let (shipped, tests) = lines.split_at(cut);
        Self {
            path: path.to_owned(),
            shipped: shipped.to_vec(),
            tests: tests.to_vec(),
        }
    }

    /// The crate's folder name (`conclave-core`, `xtask`).
    pub(crate) fn crate_name(&self) -> &str {
        let inside = self.path.strip_prefix("crates/").unwrap_or(&self.path);
        inside.split('/').next().unwrap_or(inside)
    }

    /// The file's own name without folders.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Whether the whole file is tests.
    pub(crate) fn is_tests(&self) -> bool {
        self.shipped.is_empty()
    }
}

/// Index of the line where the tail of tests begins; the number of lines without one.
fn tests_begin(lines: &[String]) -> usize {
    let marked = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| *line == "#[cfg(test)]");
    for (at, _) in marked {
        let mut after = lines
            .iter()
            .skip(at + 1)
            .skip_while(|line| line.starts_with("#["));
        if after
            .next()
            .is_some_and(|line| line.starts_with("mod ") && line.ends_with('{'))
        {
            return at;
        }
    }
    lines.len()
}

/// Every `.rs` file under `crates/` and `xtask/`, sorted by path.
pub(crate) fn rust_files(root: &Path) -> anyhow::Result<Vec<SourceFile>> {
    let mut paths = Vec::new();
    for folder in ["crates", "xtask"] {
        collect(&root.join(folder), "rs", &mut paths)?;
    }
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("{} is not readable text", path.display()))?;
        files.push(SourceFile::new(&relative(root, &path), &text));
    }
    Ok(files)
}

/// Every file with `extension` below `folder`.
pub(crate) fn collect(
    folder: &Path,
    extension: &str,
    paths: &mut Vec<PathBuf>,
) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("{} cannot be listed", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("node_modules") {
            collect(&path, extension, paths)?;
        } else if path.extension().is_some_and(|found| found == extension) {
            paths.push(path);
        }
    }
    Ok(())
}

/// `path` as written from the repository's top.
pub(crate) fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root)
        .unwrap_or(path)
        .to_string_lossy()
        .replace('\\', "/")
}

#[cfg(test)]
mod tests {
    use super::SourceFile;

    /// The tail of tests does not count as shipped; a module in a file of its own changes nothing.
    #[test]
    fn splits_the_tail_of_tests() {
        let text = "//! a\nfn a() {}\n#[cfg(test)]\nmod tests {\n}\n";
        let file = SourceFile::new("crates/x/src/a.rs", text);
        assert_eq!((file.shipped.len(), file.tests.len()), (2, 3));
        let file = SourceFile::new(
            "crates/x/src/a.rs",
            "//! a\n#[cfg(test)]\nmod tests;\nfn a() {}\n",
        );
        assert_eq!((file.shipped.len(), file.tests.len()), (4, 0));
    }

    /// Files of tests are known by their name or folder, the crate by its folder.
    #[test]
    fn knows_files_of_tests() {
        assert!(SourceFile::new("crates/x/src/a/tests.rs", "//! a\n").is_tests());
        assert!(SourceFile::new("crates/x/tests/a.rs", "//! a\n").is_tests());
        let file = SourceFile::new("crates/x/src/a.rs", "//! a\n");
        assert_eq!(
            (file.crate_name(), file.name(), file.is_tests()),
            ("x", "a.rs", false)
        );
    }
}
