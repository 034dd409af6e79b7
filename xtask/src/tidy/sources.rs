//! What one source file may contain, how long it is, how it begins and how its tests look.

use super::{Findings, SourceFile};

/// Lines that ship in one file.
const LINES_MAX: usize = 600;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 4] = ["utils", "common", "helpers", "types"];

/// Words that may not land. Written in halves so that this file may name them.
const BANNED: [(&str, &str); 4] = [
    (concat!("FIX", "ME"), "finish it or file it"),
    (concat!("todo", "!("), "finish it"),
    (concat!("unimpl", "emented!("), "finish it"),
    (concat!("#[", "ignore"), "a test runs or goes"),
];

/// What may not appear in the shipped lines of a crate: (crate, word, reason).
const DOORS: [(&str, &str, &str); 9] = [
    (
        "conclave-core",
        "tokio",
        "core is synchronous and has no socket",
    ),
    ("conclave-core", "std::net", "core has no socket"),
    ("conclave-core", "std::fs", "core has no disk"),
    ("conclave-core", "rusqlite", "core has no database"),
    (
        "conclave-core",
        "SystemTime",
        "core has no clock; take conclave_proto::env",
    ),
    (
        "conclave-core",
        "Instant",
        "core has no clock; take conclave_proto::env",
    ),
    ("conclave-server", "openmls", "the server links no MLS"),
    (
        "conclave-proto",
        "openmls",
        "both sides' language knows no MLS",
    ),
    (
        "conclave-proto",
        "tokio",
        "both sides' language does no I/O",
    ),
];

/// Checks one file.
pub(crate) fn check(file: &SourceFile, findings: &mut Findings) {
    shape(file, findings);
    banned(file, findings);
    doors(file, findings);
    sleeps(file, findings);
    described_tests(file, findings);
    let is_index = matches!(file.name(), "lib.rs" | "mod.rs") && !file.is_tests();
    if is_index && file.shipped.iter().any(|line| is_function(line)) {
        findings.warning(format!(
            "{}: holds functions; prefer docs, `mod` lines and re-exports only",
            file.path
        ));
    }
}

fn shape(file: &SourceFile, findings: &mut Findings) {
    if file.shipped.len() > LINES_MAX {
        let lines = file.shipped.len();
        findings.error(format!(
            "{}: {lines} lines ship, {LINES_MAX} are the most",
            file.path
        ));
    }
    let first = file.shipped.first().or_else(|| file.tests.first());
    if !first.is_some_and(|line| line.starts_with("//! ")) {
        findings.error(format!(
            "{}: the first line has to say its job (`//! …`)",
            file.path
        ));
    }
    for part in file.path.split('/') {
        if EMPTY_NAMES.contains(&part.trim_end_matches(".rs")) {
            findings.error(format!(
                "{}: name it after what it holds or does",
                file.path
            ));
        }
    }
}

fn banned(file: &SourceFile, findings: &mut Findings) {
    for (at, line) in file.shipped.iter().chain(&file.tests).enumerate() {
        for (word, advice) in BANNED {
            if line.contains(word) {
                findings.error(format!(
                    "{}:{}: `{word}` may not land: {advice}",
                    file.path,
                    at + 1
                ));
            }
        }
    }
}

fn doors(file: &SourceFile, findings: &mut Findings) {
    for (at, line) in file.shipped.iter().enumerate() {
        for (name, word, reason) in DOORS {
            if file.crate_name() == name && code_of(line).contains(word) {
                findings.error(format!("{}:{}: `{word}`: {reason}", file.path, at + 1));
            }
        }
    }
}

fn sleeps(file: &SourceFile, findings: &mut Findings) {
    let before = file.shipped.len();
    for (at, line) in file.tests.iter().enumerate() {
        let code = code_of(line);
        if code.contains("thread::sleep(") || code.contains("time::sleep(") {
            let line = before + at + 1;
            findings.error(format!(
                "{}:{line}: a test may not sleep: wait for the thing",
                file.path
            ));
        }
    }
}

/// Every test says what it shows: a comment right above its attributes, or as its first line.
fn described_tests(file: &SourceFile, findings: &mut Findings) {
    let lines = &file.tests;
    for (at, line) in lines.iter().enumerate() {
        let attribute = line.trim();
        if attribute != "#[test]" && !attribute.starts_with("#[tokio::test") {
            continue;
        }
        let above = lines
            .iter()
            .take(at)
            .rev()
            .find(|line| !line.trim().starts_with("#["));
        let below = lines
            .iter()
            .skip(at + 1)
            .skip_while(|line| !line.trim_end().ends_with('{'))
            .nth(1);
        let described =
            |line: Option<&String>| line.is_some_and(|line| line.trim().starts_with("//"));
        if !described(above) && !described(below) {
            let line = file.shipped.len() + at + 1;
            findings.error(format!(
                "{}:{line}: a test has to say what it shows (`///`)",
                file.path
            ));
        }
    }
}

/// A line without its comment.
fn code_of(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}

fn is_function(line: &str) -> bool {
    let code = code_of(line);
    [
        "fn ",
        "pub fn ",
        "pub(crate) fn ",
        "async fn ",
        "pub async fn ",
    ]
    .iter()
    .any(|start| code.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::{Findings, SourceFile, check};

    fn errors(path: &str, text: &str) -> Vec<String> {
        let mut findings = Findings::default();
        check(&SourceFile::new(path, text), &mut findings);
        findings.errors
    }

    fn one_error(path: &str, text: &str, part: &str) {
        let found = errors(path, text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found.iter().all(|error| error.contains(part)), "{found:?}");
    }

    /// A good file has no findings.
    #[test]
    fn accepts_a_good_file() {
        let text = "//! A job.\nfn a() {}\n#[cfg(test)]\nmod tests {\n    /// Shows a.\n    #[test]\n    fn a() {\n    }\n}\n";
        assert_eq!(
            errors("crates/conclave-core/src/a.rs", text),
            Vec::<String>::new()
        );
    }

    /// A file says its job first, stays short and has a name that means something.
    #[test]
    fn refuses_bad_shapes() {
        one_error("crates/x/src/a.rs", "fn a() {}\n", "first line");
        one_error(
            "crates/x/src/a.rs",
            &format!("//! a\n{}", "\n".repeat(600)),
            "601 lines",
        );
        one_error("crates/x/src/utils.rs", "//! a\n", "name it");
        one_error("crates/x/src/common/a.rs", "//! a\n", "name it");
    }

    /// Unfinished work and switched-off tests do not land.
    #[test]
    fn refuses_unfinished_work() {
        let word = concat!("FIX", "ME");
        one_error(
            "crates/x/src/a.rs",
            &format!("//! a\n// {word} later\n"),
            "may not land",
        );
        let word = concat!("#[", "ignore]");
        one_error(
            "crates/x/src/tests.rs",
            &format!("//! a\n{word}\n"),
            "may not land",
        );
    }

    /// Core has no door to the world; its comments may speak of it, its tests may use it.
    #[test]
    fn refuses_doors_in_core() {
        one_error(
            "crates/conclave-core/src/a.rs",
            "//! a\nuse tokio::net;\n",
            "synchronous",
        );
        one_error(
            "crates/conclave-server/src/a.rs",
            "//! a\nuse openmls::x;\n",
            "no MLS",
        );
        let comment = "//! a\n// no tokio here\n";
        assert_eq!(
            errors("crates/conclave-core/src/a.rs", comment),
            Vec::<String>::new()
        );
        let test = "//! a\nuse std::fs::read;\n";
        assert_eq!(
            errors("crates/conclave-core/tests/a.rs", test),
            Vec::<String>::new()
        );
    }

    /// Tests neither sleep nor leave the reader guessing.
    #[test]
    fn refuses_bad_tests() {
        let sleeping = "//! a\nfn a() {\n    std::thread::sleep(x);\n}\n";
        one_error("crates/x/tests/a.rs", sleeping, "may not sleep");
        one_error(
            "crates/x/tests/a.rs",
            "//! a\n\n#[test]\nfn a() {\n    a();\n}\n",
            "what it shows",
        );
        let inside = "//! a\n\n#[test]\nfn a() {\n    // Shows a.\n    a();\n}\n";
        assert_eq!(errors("crates/x/tests/a.rs", inside), Vec::<String>::new());
    }
}
