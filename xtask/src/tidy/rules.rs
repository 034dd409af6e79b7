//! Every rule id of `docs/protocol.md` has a check that names it and a test that is named after it.

use std::collections::BTreeSet;

use super::{Findings, SourceFile};

/// Compares the rules of `protocol` with what the crates' files name.
pub(crate) fn check(protocol: &str, files: &[SourceFile], findings: &mut Findings) {
    let rules: BTreeSet<String> = protocol.lines().filter_map(declared).collect();
    let mut checked = BTreeSet::new();
    let mut tested = BTreeSet::new();
    for file in files.iter().filter(|file| file.path.starts_with("crates/")) {
        let named = file.shipped.iter().flat_map(|line| named(line));
        let in_tests = file.tests.iter().flat_map(|line| in_test_name(line));
        for (ids, known) in [
            (named.collect::<Vec<_>>(), &mut checked),
            (in_tests.collect::<Vec<_>>(), &mut tested),
        ] {
            for id in ids {
                if !rules.contains(&id) {
                    findings.error(format!("{}: {id} is not in docs/protocol.md", file.path));
                }
                known.insert(id);
            }
        }
    }
    missing(
        "no comment at a check names",
        rules.difference(&checked),
        findings,
    );
    missing(
        "no test is named after",
        rules.difference(&tested),
        findings,
    );
}

fn missing<'a>(what: &str, ids: impl Iterator<Item = &'a String>, findings: &mut Findings) {
    let ids: Vec<&str> = ids.map(String::as_str).collect();
    if !ids.is_empty() {
        findings.error(format!("{what} {}", ids.join(" ")));
    }
}

/// The id that a line of the protocol declares: `- **C-017** …`.
fn declared(line: &str) -> Option<String> {
    let id = line.strip_prefix("- **")?.get(..5)?;
    id.starts_with("C-").then(|| id.to_owned())
}

/// The ids that a line names in its comment.
fn named(line: &str) -> Vec<String> {
    let comment = line.split_once("//").map_or("", |(_, comment)| comment);
    numbers_after(comment, "C-")
}

/// The ids in names like `c017_rejects_old_epoch`.
fn in_test_name(line: &str) -> Vec<String> {
    let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter_map(|word| word.strip_prefix('c')?.split_once('_'))
        .filter(|(digits, _)| is_number(digits))
        .map(|(digits, _)| format!("C-{digits}"))
        .collect()
}

fn numbers_after(text: &str, prefix: &str) -> Vec<String> {
    text.split(prefix)
        .skip(1)
        .filter_map(|rest| rest.get(..3))
        .filter(|digits| is_number(digits))
        .map(|digits| format!("C-{digits}"))
        .collect()
}

fn is_number(digits: &str) -> bool {
    digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{Findings, SourceFile, check};

    const PROTOCOL: &str = "# x\n- **C-001** A rule.\n- **C-002** Another; see C-001.\n";

    fn errors(shipped: &str, tests: &str) -> Vec<String> {
        let files = [
            SourceFile::new("crates/x/src/a.rs", shipped),
            SourceFile::new("crates/x/tests/a.rs", tests),
        ];
        let mut findings = Findings::default();
        check(PROTOCOL, &files, &mut findings);
        findings.errors
    }

    /// A rule with a check and a test is fine, also when one test function is listed in a macro.
    #[test]
    fn accepts_checked_and_tested_rules() {
        let tests = "fn c001_refuses() {}\nsuite!(c002_other, c002_more);\n";
        let found = errors("//! a\n// C-001, C-002: why\n", tests);
        assert_eq!(found, Vec::<String>::new());
    }

    /// Every missing id is listed, checks and tests apart.
    #[test]
    fn lists_missing_ids() {
        let found = errors("let x = \"C-001\"; // C-002\n", "fn c001_refuses() {}\n");
        assert_eq!(
            found,
            [
                "no comment at a check names C-001",
                "no test is named after C-002"
            ]
        );
    }

    /// An id that the protocol does not have is a mistake, in a comment and in a name.
    #[test]
    fn refuses_unknown_ids() {
        let found = errors(
            "// C-001 C-002 C-009\n",
            "fn c001_a() {}\nfn c002_a() {}\nfn c008_a() {}\n",
        );
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
