//! One of the campaign's people: runs `conclave` on a profile of their own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::process::Process;
use super::server::Server;

/// Network commands may end like this while the server comes and goes: done, unreachable, out of time.
const WELL: [i32; 3] = [0, 6, 10];

/// Somebody with a profile.
pub(crate) struct Person {
    program: PathBuf,
    data: PathBuf,
    log: PathBuf,
    /// The e-mail address, made of the name.
    pub(crate) identifier: String,
}

impl Person {
    /// A device without an account yet; its profiles are in `folder/name`.
    pub(crate) fn new(folder: &Path, name: &str, identifier: &str) -> Self {
        Self {
            program: folder.join("conclave"),
            data: folder.join(name),
            log: folder.join(format!("{name}.log")),
            identifier: identifier.to_owned(),
        }
    }

    /// Registers somebody whose profiles are in `folder/name`; the key lies in a file, so that starts are fast.
    pub(crate) fn register(folder: &Path, name: &str, server: &mut Server) -> anyhow::Result<Self> {
        let person = Self::new(folder, name, &format!("{name}@example.org"));
        let address = server.address()?;
        let words = ["register", "--server", &address, "--email"];
        person.ok(&[&words, [&*person.identifier, "--no-passphrase"].as_slice()].concat())?;
        let code = server.code_for(&person.identifier)?;
        person.ok(&["register", "confirm", &code])?;
        Ok(person)
    }

    /// Starts a command in JSON mode.
    pub(crate) fn start(&self, words: &[&str]) -> anyhow::Result<Process> {
        let mut command = Command::new(&self.program);
        command
            .args(["-o", "json", "--no-input", "--data-dir"])
            .arg(&self.data)
            .args(words);
        Process::start(&mut command, &self.log)
    }

    /// Runs a command that has to end well; its rows.
    pub(crate) fn ok(&self, words: &[&str]) -> anyhow::Result<Vec<Value>> {
        let (code, rows) = self.run(words)?;
        ensure!(code == 0, "{}", self.complaint(words, Some(code)));
        Ok(rows)
    }

    /// Runs a command that may find the server gone; its exit code and rows.
    pub(crate) fn run(&self, words: &[&str]) -> anyhow::Result<(i32, Vec<Value>)> {
        let ended = self.start(words)?.finish()?;
        let code = self.expect_well(words, ended.code)?;
        let rows: anyhow::Result<_> = ended.lines.iter().map(|line| parse(line)).collect();
        Ok((code, rows?))
    }

    /// The exit code, if a command may end with it while servers die.
    pub(crate) fn expect_well(&self, words: &[&str], code: Option<i32>) -> anyhow::Result<i32> {
        match code {
            Some(code) if WELL.contains(&code) => Ok(code),
            _ => bail!("{}", self.complaint(words, code)),
        }
    }

    /// Runs a command that may end as it likes; its exit code and rows.
    pub(crate) fn run_any(&self, words: &[&str]) -> anyhow::Result<(Option<i32>, Vec<Value>)> {
        let ended = self.start(words)?.finish()?;
        let rows: anyhow::Result<_> = ended.lines.iter().map(|line| parse(line)).collect();
        Ok((ended.code, rows?))
    }

    /// What its programs said on standard error that none may say: panics, and errors of our own making.
    pub(crate) fn bugs(&self) -> anyhow::Result<Vec<String>> {
        let said = std::fs::read_to_string(&self.log)?;
        let is_bug = |line: &&str| {
            ["panicked at", "\"BUG\"", "\"UNEXPECTED\"", "\"STORE\""]
                .iter()
                .any(|word| line.contains(word))
        };
        Ok(said.lines().filter(is_bug).map(str::to_owned).collect())
    }

    /// Says which command ended how, and where to read more.
    pub(crate) fn complaint(&self, words: &[&str], code: Option<i32>) -> String {
        format!(
            "{}: `{}` ended with {code:?}; see {}",
            self.identifier,
            words.join(" "),
            self.log.display()
        )
    }
}

/// One row.
pub(crate) fn parse(line: &str) -> anyhow::Result<Value> {
    serde_json::from_str(line).with_context(|| format!("no JSON row: {line}"))
}

/// A text field of a row; empty when it is not there.
pub(crate) fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A row's person field's account.
pub(crate) fn account<'a>(row: &'a Value, name: &str) -> &'a str {
    row.get(name)
        .map(|person| text(person, "account"))
        .unwrap_or_default()
}

/// A row's person field's identifier.
pub(crate) fn identifier<'a>(row: &'a Value, name: &str) -> &'a str {
    row.get(name)
        .map(|person| text(person, "identifier"))
        .unwrap_or_default()
}
