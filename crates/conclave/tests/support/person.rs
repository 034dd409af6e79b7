//! Somebody with a profile: runs client commands, reads JSON rows.

use std::path::{Path, PathBuf};
use std::process::Child;

use serde_json::Value;

use super::program::Program;
use super::{CONCLAVE, Outcome, Server};

/// Somebody with a profile.
pub(crate) struct Person {
    program: Program,
    folder: PathBuf,
    /// The phone number or e-mail address.
    pub(crate) identifier: String,
}

impl Person {
    /// Somebody who is not registered yet, with a profile folder below `folder`.
    pub(crate) fn new(folder: &Path, identifier: &str) -> Self {
        let name: String = identifier
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        let mut program = Program::new(CONCLAVE, folder);
        let home = folder.join(name);
        program.env("CONCLAVE_DATA_DIR", home.to_str().unwrap());
        Self {
            program,
            folder: home.join("default"),
            identifier: identifier.to_owned(),
        }
    }

    /// Somebody registered with `server` through a code; the profile's key lies in a file.
    pub(crate) fn registered(folder: &Path, server: &Server, identifier: &str) -> Self {
        let person = Self::new(folder, identifier);
        person.ask_code(server).expect_exit(0);
        person.ok(&["register", "confirm", &server.code_for(identifier)]);
        person
    }

    /// The first half of a registration.
    pub(crate) fn ask_code(&self, server: &Server) -> Outcome {
        let kind = if self.identifier.starts_with('+') {
            "--phone"
        } else {
            "--email"
        };
        let address = server.address();
        self.run(&[
            "register",
            "--server",
            &address,
            kind,
            &self.identifier,
            "--no-passphrase",
        ])
    }

    /// The profile's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs a command in JSON mode.
    pub(crate) fn run(&self, args: &[&str]) -> Outcome {
        self.run_with(args, "")
    }

    /// The same with input.
    pub(crate) fn run_with(&self, args: &[&str], stdin: &str) -> Outcome {
        self.program
            .run(&[&["-o", "json", "--no-input"], args].concat(), stdin)
    }

    /// Runs a command that asks, with the answers.
    pub(crate) fn answer(&self, args: &[&str], answers: &str) -> Outcome {
        self.program.run(&[&["-o", "json"], args].concat(), answers)
    }

    /// Runs a command whose program `wrapper` starts.
    pub(crate) fn run_under(&self, wrapper: &[&str], args: &[&str]) -> Outcome {
        let program = self.program.under(wrapper);
        program.run(&[&["-o", "json", "--no-input"], args].concat(), "")
    }

    /// Runs a command that must go well; its rows.
    pub(crate) fn ok(&self, args: &[&str]) -> Vec<Value> {
        self.ok_with(args, "")
    }

    /// The same with input.
    pub(crate) fn ok_with(&self, args: &[&str], stdin: &str) -> Vec<Value> {
        self.run_with(args, stdin).expect_exit(0).rows()
    }

    /// Starts a command that goes on.
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        self.program
            .spawn(&[&["-o", "json", "--no-input"], args].concat())
    }

    /// The same in another folder.
    pub(crate) fn spawn_in(&self, folder: &Path, args: &[&str]) -> Child {
        let program = self.program.standing_in(folder);
        program.spawn(&[&["-o", "json", "--no-input"], args].concat())
    }

    /// The messages with `other` as this profile has them.
    pub(crate) fn history(&self, other: &Self) -> Vec<Value> {
        let rows = self.ok(&["history", &other.identifier, "--limit", "100000"]);
        of_type(&rows, "message")
    }
}

impl Outcome {
    /// The same, if it ended with `code`.
    pub(crate) fn expect_exit(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self}");
        self
    }

    /// Its JSON rows.
    pub(crate) fn rows(&self) -> Vec<Value> {
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
        };
        self.stdout.lines().map(parse).collect()
    }

    /// The error row on standard error.
    pub(crate) fn error(&self) -> Value {
        let last = self.stderr.lines().last().unwrap_or_default();
        let row: Value =
            serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {self}"));
        assert_eq!(
            (&row["v"], &row["type"]),
            (&Value::from(1), &Value::from("error")),
            "{self}"
        );
        row
    }

    /// Checks exit code and stable error code, and that something tells what happened.
    pub(crate) fn expect_error(&self, exit: i32, code: &str) {
        let row = self.error();
        assert_eq!(
            (self.code, row["code"].as_str()),
            (exit, Some(code)),
            "{self}"
        );
        assert!(
            row["message"].as_str().is_some_and(|text| !text.is_empty()),
            "{self}"
        );
    }
}

/// Those rows that have this `type`.
pub(crate) fn of_type(rows: &[Value], kind: &str) -> Vec<Value> {
    rows.iter()
        .filter(|row| row["type"] == kind)
        .cloned()
        .collect()
}
