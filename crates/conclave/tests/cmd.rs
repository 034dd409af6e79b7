//! Runs the cases in `tests/cmd/`: command lines of the built program, and what they must print and answer.
//!
//! A case file, line by line:
//! - `# …` says what it shows; `file NAME TEXT` writes a file into the case's own folder
//! - `$ conclave …` runs the program there, quoted as in a shell; `$DIR` is the folder, `$GONE` the
//!   address of a server that is not there
//! - below it `stdin TEXT` and `env NAME=VALUE` go in, `exit N` (0 when missing), `stdout TEXT`,
//!   `stderr TEXT` (must occur), `stdout-not TEXT`, `no-stdout` and `no-stderr` are checked

#![cfg(test)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::{CONCLAVE, Outcome, Program, words};

/// A pinned address at a port of this machine that nobody listens on.
const GONE: &str = "conclave://AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA@127.0.0.1:1";

/// Every case file holds.
#[test]
fn cases_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "case"));
    files.sort();
    assert!(files.len() >= 10, "the case files are there");
    let failures: Vec<String> = files.iter().flat_map(|file| run_case(file)).collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// One command line and what was said about it.
struct Step {
    line: usize,
    program: Program,
    args: Vec<String>,
    stdin: String,
    exit: i32,
    checks: Vec<(String, String)>,
}

fn run_case(file: &Path) -> Vec<String> {
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(file).unwrap();
    assert!(
        text.starts_with("# "),
        "{name}: the first line says what it shows"
    );
    let text = text
        .replace("$DIR", folder.path().to_str().unwrap())
        .replace("$GONE", GONE);
    let mut failures = Vec::new();
    let mut step: Option<Step> = None;
    for (index, line) in text.lines().enumerate() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (word, &mut step) {
            ("" | "#", _) => {}
            ("file", None) => {
                let (name, text) = rest.split_once(' ').unwrap_or((rest, ""));
                fs::write(folder.path().join(name), text).unwrap();
            }
            ("$", _) => {
                failures.extend(step.take().and_then(|step| step.run(&name)));
                let mut args = words(rest);
                assert_eq!(args.remove(0), "conclave", "{name}:{}", index + 1);
                let program = Program::new(CONCLAVE, folder.path());
                step = Some(Step {
                    line: index + 1,
                    program,
                    args,
                    stdin: String::new(),
                    exit: 0,
                    checks: Vec::new(),
                });
            }
            ("stdin", Some(step)) => step.stdin.push_str(&rest.replace("\\n", "\n")),
            ("env", Some(step)) => {
                let (key, value) = rest.split_once('=').unwrap();
                step.program.env(key, value);
            }
            ("exit", Some(step)) => step.exit = rest.parse().unwrap(),
            ("stdout" | "stderr" | "stdout-not" | "no-stdout" | "no-stderr", Some(step)) => {
                step.checks.push((word.to_owned(), rest.to_owned()));
            }
            _ => panic!("{name}:{}: `{line}` is not understood", index + 1),
        }
    }
    failures.extend(step.and_then(|step| step.run(&name)));
    failures
}

impl Step {
    fn run(self, name: &str) -> Option<String> {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        let outcome = self.program.run(&args, &self.stdin);
        let mut wrong = Vec::new();
        if outcome.code != self.exit {
            wrong.push(format!("exit {} instead of {}", outcome.code, self.exit));
        }
        for (check, text) in &self.checks {
            if !holds(check, text, &outcome) {
                wrong.push(format!("does not hold: {check} {text}"));
            }
        }
        (!wrong.is_empty()).then(|| {
            let line = self.line;
            format!(
                "{name}:{line}: {} — {}\n{outcome}",
                self.args.join(" "),
                wrong.join("; ")
            )
        })
    }
}

fn holds(check: &str, text: &str, outcome: &Outcome) -> bool {
    match check {
        "stdout" => outcome.stdout.contains(text),
        "stdout-not" => !outcome.stdout.contains(text),
        "stderr" => outcome.stderr.contains(text),
        "no-stdout" => outcome.stdout.is_empty(),
        "no-stderr" => outcome.stderr.is_empty(),
        _ => false,
    }
}
