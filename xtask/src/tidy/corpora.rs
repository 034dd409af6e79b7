//! Every fuzz target has a corpus, every corpus a target, and all of them together stay small.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::Findings;
use crate::fuzz;

/// Bytes of all corpora together.
const BYTES_MAX: u64 = 2_000_000;

/// What lies in one target's folder.
#[derive(Default)]
struct Corpus {
    files: usize,
    bytes: u64,
}

/// Compares the table of targets with the folders below `fuzz/corpus`.
pub(crate) fn check(root: &Path, findings: &mut Findings) -> anyhow::Result<()> {
    let mut corpora = BTreeMap::new();
    for folder in fs::read_dir(root.join("fuzz/corpus"))? {
        let folder = folder?;
        let mut corpus = Corpus::default();
        for file in fs::read_dir(folder.path())? {
            corpus.files += 1;
            corpus.bytes += file?.metadata()?.len();
        }
        corpora.insert(folder.file_name().to_string_lossy().into_owned(), corpus);
    }
    compare(&fuzz::targets(root)?, &corpora, findings);
    Ok(())
}

fn compare(targets: &[String], corpora: &BTreeMap<String, Corpus>, findings: &mut Findings) {
    for target in targets {
        if corpora.get(target).is_none_or(|corpus| corpus.files == 0) {
            findings.error(format!(
                "fuzz/corpus/{target} is empty: `cargo run -p conclave-fuzz -- fuzz/corpus`"
            ));
        }
    }
    for name in corpora.keys().filter(|name| !targets.contains(name)) {
        findings.error(format!("fuzz/corpus/{name} belongs to no target"));
    }
    let bytes: u64 = corpora.values().map(|corpus| corpus.bytes).sum();
    if bytes > BYTES_MAX {
        findings.error(format!("fuzz/corpus holds {bytes} bytes, over {BYTES_MAX}"));
    }
}

#[cfg(test)]
mod tests {
    use super::{Corpus, Findings, compare};

    fn errors(targets: &[&str], corpora: &[(&str, usize, u64)]) -> Vec<String> {
        let targets: Vec<String> = targets.iter().map(|&name| name.to_owned()).collect();
        let corpora = corpora
            .iter()
            .map(|&(name, files, bytes)| (name.to_owned(), Corpus { files, bytes }))
            .collect();
        let mut findings = Findings::default();
        compare(&targets, &corpora, &mut findings);
        findings.errors
    }

    /// A target without inputs, a folder without a target and too many bytes are each an error.
    #[test]
    fn compares_both_ways() {
        assert_eq!(errors(&["a"], &[("a", 1, 5)]), Vec::<String>::new());
        assert_eq!(errors(&["a", "b"], &[("a", 1, 5), ("b", 0, 0)]).len(), 1);
        assert_eq!(errors(&["a"], &[]).len(), 1);
        assert_eq!(errors(&["a"], &[("a", 1, 5), ("b", 1, 1)]).len(), 1);
        assert_eq!(errors(&["a"], &[("a", 1, 3_000_000)]).len(), 1);
    }
}
