//! One of the demo's people: runs `conclave` on a profile of their own and shows what it says.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

/// How long a state may take to come.
const PATIENCE: Duration = Duration::from_mins(1);

/// A person with a profile.
pub(super) struct Person {
    program: PathBuf,
    data: PathBuf,
}

impl Person {
    /// A person whose profile is `folder/name`; nothing runs yet.
    pub(super) fn new(programs: &Path, folder: &Path, name: &str) -> Self {
        Self {
            program: programs.join("conclave"),
            data: folder.join(name),
        }
    }

    /// Runs one command, shown with its output; answers what it printed.
    pub(super) fn run(&self, words: &[&str]) -> anyhow::Result<String> {
        let text = self.run_unseen(words)?;
        print!("{text}");
        Ok(text)
    }

    /// Starts the person's page with the chat with `other`; the program that serves it, and the link.
    pub(super) fn page(&self, other: &str) -> anyhow::Result<(Child, String)> {
        let chats = self.run_unseen(&["chats", "-o", "json"])?;
        let chat = chats.lines().find(|line| line.contains(other));
        let chat = chat.and_then(|line| field(line, "id"));
        let chat = chat.context("`chats` printed no chat with the other person")?;
        println!(
            "   $ conclave --data-dir {} web --no-open",
            self.data.display()
        );
        let mut child = Command::new(&self.program)
            .arg("--data-dir")
            .arg(&self.data)
            .args(["web", "--no-open", "-o", "json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("conclave did not start")?;
        let mut row = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut row)?;
        }
        let url = field(&row, "url").context("`web` printed no link")?;
        println!("{url}");
        Ok((child, format!("{url}&c={chat}")))
    }

    /// Runs one command, shown without its output; answers what it printed.
    fn run_unseen(&self, words: &[&str]) -> anyhow::Result<String> {
        let quoted: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        let line = format!(
            "conclave --data-dir {} {}",
            self.data.display(),
            quoted.join(" ")
        );
        println!("   $ {line}");
        let output = Command::new(&self.program)
            .arg("--data-dir")
            .arg(&self.data)
            .args(words)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .context("conclave did not start")?;
        let text = String::from_utf8(output.stdout).context("conclave printed no text")?;
        if !output.status.success() {
            print!("{text}");
            bail!("`{line}` ended with {}", output.status);
        }
        Ok(text)
    }

    /// Sends one message and answers its id.
    pub(super) fn send(&self, to: &str, text: &str) -> anyhow::Result<String> {
        let printed = self.run(&["send", to, text, "-o", "json"])?;
        field(&printed, "id").context("`send` printed no message id")
    }

    /// Fails unless the message is in `wanted` now.
    pub(super) fn expect_state(&self, message: &str, wanted: &str) -> anyhow::Result<()> {
        let state = self.state(message)?;
        ensure!(state == wanted, "the message is {state}, not {wanted}");
        Ok(())
    }

    /// Syncs until the message is in `wanted`.
    pub(super) fn wait_for_state(&self, message: &str, wanted: &str) -> anyhow::Result<()> {
        let start = Instant::now();
        let mut state = String::new();
        while start.elapsed() < PATIENCE {
            self.run(&["listen", "--once"])?;
            state = self.state(message)?;
            if state == wanted {
                return Ok(());
            }
        }
        bail!(
            "the message is still {state}, not {wanted}, after {} s",
            PATIENCE.as_secs()
        )
    }

    /// The safety number with `other`, as its twelve groups of five digits.
    pub(super) fn safety_number(&self, other: &str) -> anyhow::Result<Vec<String>> {
        let groups = digit_groups(&self.run(&["safety", "show", other])?);
        ensure!(
            groups.len() == 12,
            "`safety show` printed {} groups, not 12",
            groups.len()
        );
        Ok(groups)
    }

    fn state(&self, message: &str) -> anyhow::Result<String> {
        let printed = self.run_unseen(&["info", message, "-o", "json"])?;
        let state = field(&printed, "state").context("`info` printed no state")?;
        println!("… \"state\":\"{state}\" …");
        Ok(state)
    }
}

/// The groups of exactly five digits in `text`.
fn digit_groups(text: &str) -> Vec<String> {
    text.split_whitespace()
        .filter(|word| word.len() == 5 && word.bytes().all(|byte| byte.is_ascii_digit()))
        .map(str::to_owned)
        .collect()
}

/// The first text field `name` of a line of JSON; the values the demo reads need no unescaping.
fn field(json: &str, name: &str) -> Option<String> {
    let (_, rest) = json.split_once(&format!("\"{name}\":"))?;
    let value = rest.trim_start().strip_prefix('"')?;
    value.split('"').next().map(str::to_owned)
}

/// A word as a shell wants it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-_@.:/".contains(c);
    if word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{word}'")
    }
}

#[cfg(test)]
mod tests {
    use super::{digit_groups, field, quoted};

    /// Fields are read with and without a space after the colon, and missing ones are missing.
    #[test]
    fn reads_fields() {
        let json = "{\"v\":1,\"id\":\"m_0a\",\"state\": \"read\"}\n";
        assert_eq!(field(json, "id").as_deref(), Some("m_0a"));
        assert_eq!(field(json, "state").as_deref(), Some("read"));
        assert_eq!(field(json, "v"), None);
    }

    /// A safety number is found in whatever text stands around it.
    #[test]
    fn reads_safety_numbers() {
        let text = "with +491713920012:\n 01234 56789\n 11111 123456 words";
        assert_eq!(digit_groups(text), ["01234", "56789", "11111"]);
    }

    /// Shown commands can be pasted into a shell.
    #[test]
    fn quotes_words() {
        assert_eq!(quoted("ben@example.org"), "ben@example.org");
        assert_eq!(quoted("a b"), "'a b'");
    }
}
