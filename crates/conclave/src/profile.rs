//! Which profile is meant, where it lives, and how it is unlocked.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use conclave_client::{Client, ClientError, KeyKind, OpenError, Unlock};
use conclave_proto::env::{OsEnv, SharedEnv};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::args::Global;
use crate::console::Console;
use crate::exit::Failure;
use crate::output::Output;

/// First line of a passphrase file, in bytes.
const PASSPHRASE_BYTES_MAX: u64 = 4096;

/// What every command gets: the global flags and where rows go.
#[derive(Debug)]
pub(crate) struct Context {
    /// The global flags.
    pub(crate) global: Global,
    /// Where rows go.
    pub(crate) out: Output,
    /// Whoever typed the command.
    pub(crate) console: Console,
    env: SharedEnv,
    deadline: Instant,
    /// The daemon's part, when it runs the command.
    hosting: Option<Hosting>,
}

/// What a daemon gives to the commands that it runs for command lines.
#[derive(Debug)]
pub(crate) struct Hosting {
    /// Its open profile.
    pub(crate) client: Client,
    /// The folder that the command line stands in: relative paths begin there.
    pub(crate) cwd: PathBuf,
}

impl Context {
    /// The context of a command that begins now.
    pub(crate) fn new(global: Global, console: Console, hosting: Option<Hosting>) -> Self {
        let deadline = Instant::now() + global.timeout;
        Self {
            out: Output::new(global.output, console.clone()),
            global,
            console,
            env: OsEnv::shared(),
            deadline,
            hosting,
        }
    }

    /// `path` as whoever typed it means it. Every file that a command line names goes through here before it is
    /// opened; messages show it as it was typed.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        match &self.hosting {
            Some(hosting) => hosting.cwd.join(path),
            None => path.to_owned(),
        }
    }

    /// Where time and random bytes come from.
    pub(crate) fn env(&self) -> SharedEnv {
        self.env.clone()
    }

    /// This machine's clock, ms since 1970-01-01 UTC.
    pub(crate) fn now_ms(&self) -> u64 {
        self.env.now_ms()
    }

    /// What is left of `--timeout`.
    pub(crate) fn remaining(&self) -> std::time::Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Runs network work until `--timeout` ends.
    pub(crate) async fn in_time<T>(
        &self,
        client: &Client,
        work: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, Failure> {
        Ok(client.within(self.remaining(), work).await?)
    }

    /// Whether a person can be asked on standard input.
    pub(crate) fn is_interactive(&self) -> bool {
        !self.global.no_input && !self.out.is_json() && self.console.is_input_terminal()
    }

    /// The profile's folder, as an absolute path.
    pub(crate) fn dir(&self) -> Result<PathBuf, Failure> {
        let dir = profile_dir(&self.global, |name| {
            std::env::var_os(name).map(PathBuf::from)
        });
        let unknown = "no home folder is known; say where with --data-dir DIR";
        let dir = dir.ok_or_else(|| Failure::usage(unknown))?;
        Ok(std::path::absolute(self.path(&dir))?)
    }

    /// Opens the profile, whether registered or not; in a daemon it is open.
    pub(crate) async fn open(&self) -> Result<Client, Failure> {
        if let Some(hosting) = &self.hosting {
            return Ok(hosting.client.clone());
        }
        let unlock = self.unlock().await?;
        Ok(Client::open(&self.dir()?, unlock, self.env.clone())?)
    }

    /// Opens the profile for whoever shows once more that they may: in a daemon, too, a locked profile asks for its
    /// passphrase before its keys leave it or its lock is changed.
    pub(crate) async fn open_again(&self) -> Result<Client, Failure> {
        let Some(hosting) = &self.hosting else {
            return self.open().await;
        };
        hosting.client.check_unlock(&self.unlock().await?)?;
        Ok(hosting.client.clone())
    }

    /// Closes what [`Context::open`] opened; a daemon's profile stays open.
    pub(crate) async fn close(&self, client: Client) {
        if self.hosting.is_none() {
            client.close().await;
        } else if client.is_registered() {
            // A command may have made the daemon's profile an account's.
            client.go_online();
        }
    }

    async fn unlock(&self) -> Result<Unlock, Failure> {
        Ok(match Client::key_kind(&self.dir()?) {
            // Opening it says what is missing.
            KeyKind::Absent | KeyKind::KeyFile => Unlock::KeyFile,
            KeyKind::Passphrase => Unlock::Passphrase(self.passphrase().await?),
        })
    }

    /// Opens the profile, or creates it on the first run.
    pub(crate) async fn open_or_create(&self) -> Result<Client, Failure> {
        let dir = self.dir()?;
        if Client::key_kind(&dir) != KeyKind::Absent {
            return self.open().await;
        }
        let unlock = if self.global.no_passphrase {
            Unlock::KeyFile
        } else {
            let file = self.global.passphrase_file.as_deref();
            self.new_passphrase(file, "--passphrase-file").await?
        };
        Ok(Client::create(&dir, unlock, self.env.clone())?)
    }

    /// Opens the registered profile, does `work` with it and closes it, however the work ends.
    pub(crate) async fn with_client(
        &self,
        work: impl AsyncFnOnce(&Client) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let client = self.open().await?;
        let result = if client.is_registered() {
            Box::pin(work(&client)).await
        } else {
            Err(ClientError::NotRegistered.into())
        };
        self.close(client).await;
        result
    }

    /// Goes online and waits until everything there is was received and everything queued was accepted.
    pub(crate) async fn settle(&self, client: &Client) -> Result<(), Failure> {
        client.go_online();
        Ok(client.settle(self.remaining()).await?)
    }

    /// The passphrase of a profile that has one: from the file, else asked on the terminal.
    pub(crate) async fn passphrase(&self) -> Result<Zeroizing<String>, Failure> {
        match &self.global.passphrase_file {
            Some(file) => self.first_line(file),
            None => self.ask("passphrase: ").await,
        }
    }

    /// A new passphrase from `file`, else asked twice on the terminal. `flag` names the flag that gives the file.
    pub(crate) async fn new_passphrase(
        &self,
        file: Option<&Path>,
        flag: &str,
    ) -> Result<Unlock, Failure> {
        let passphrase = self.new_secret(file, flag, "new passphrase: ").await?;
        Ok(Unlock::Passphrase(passphrase))
    }

    /// A new secret from `file`, else asked twice; never empty.
    pub(crate) async fn new_secret(
        &self,
        file: Option<&Path>,
        flag: &str,
        prompt: &str,
    ) -> Result<Zeroizing<String>, Failure> {
        let secret = if let Some(file) = file {
            self.first_line(file)?
        } else {
            let missing = |_| {
                let message = format!("a new passphrase is needed; give it with {flag} FILE");
                Failure::new(crate::exit::USAGE, "PASSPHRASE_NEEDED", message)
                    .with_hint("or run it in a terminal to be asked; bots say --no-passphrase to keep the profile's key in a file")
            };
            let first = self.ask(prompt).await.map_err(missing)?;
            let second = self.ask("again: ").await.map_err(missing)?;
            if first != second {
                return Err(Failure::usage(
                    "the two passphrases differ; nothing was changed",
                ));
            }
            first
        };
        if secret.is_empty() {
            return Err(OpenError::EmptyPassphrase.into());
        }
        Ok(secret)
    }

    /// Asks on the terminal without showing what is typed.
    pub(crate) async fn ask(&self, prompt: &str) -> Result<Zeroizing<String>, Failure> {
        if self.global.no_input {
            return Err(OpenError::PassphraseNeeded.into());
        }
        let answer = self.console.secret(prompt).await?;
        answer.ok_or_else(|| OpenError::PassphraseNeeded.into())
    }

    /// The first line of `file` without its line end.
    pub(crate) fn first_line(&self, file: &Path) -> Result<Zeroizing<String>, Failure> {
        first_line(file, &self.path(file))
    }
}

/// The first line of the file at `path`, which is called `file`.
fn first_line(file: &Path, path: &Path) -> Result<Zeroizing<String>, Failure> {
    let cannot = |error: io::Error| {
        Failure::usage(format!(
            "the passphrase file {} cannot be read: {error}",
            file.display()
        ))
    };
    let mut line = Zeroizing::new(String::new());
    BufReader::new(File::open(path).map_err(cannot)?)
        .take(PASSPHRASE_BYTES_MAX)
        .read_line(&mut line)
        .map_err(cannot)?;
    let length = line.trim_end_matches(['\n', '\r']).len();
    line.truncate(length);
    Ok(line)
}

/// `--data-dir` or `$XDG_DATA_HOME/conclave` or `~/.local/share/conclave`, then the profile's name.
fn profile_dir(global: &Global, var: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let base = match &global.data_dir {
        Some(dir) => dir.clone(),
        None => var("XDG_DATA_HOME")
            .filter(|dir| dir.is_absolute())
            .or_else(|| Some(var("HOME")?.join(".local/share")))?
            .join("conclave"),
    };
    Some(base.join(&global.profile))
}

/// A profile's name, checked: it becomes a folder's name.
pub(crate) fn profile_name(text: &str) -> Result<String, String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if text.is_empty() || text.len() > 64 || text.starts_with('.') || !text.chars().all(is_allowed)
    {
        return Err(
            "a profile's name is up to 64 letters, digits and `-_.`, not beginning with a dot"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Cli;
    use clap::Parser as _;

    fn dir(line: &[&str], vars: &[(&str, &str)]) -> Option<PathBuf> {
        let cli = Cli::try_parse_from([&["conclave", "paths"], line].concat()).unwrap();
        profile_dir(&cli.global, |name| {
            vars.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| PathBuf::from(value))
        })
    }

    /// Flag before XDG before home; a relative XDG folder is ignored, as its specification says.
    #[test]
    fn folders_follow_the_conventions() {
        let home = [("HOME", "/h"), ("XDG_DATA_HOME", "/x")];
        assert_eq!(dir(&["--data-dir", "/d"], &home), Some("/d/default".into()));
        assert_eq!(dir(&["-p", "work"], &home), Some("/x/conclave/work".into()));
        assert_eq!(
            dir(&[], &home[..1]),
            Some("/h/.local/share/conclave/default".into())
        );
        let relative = [("HOME", "/h"), ("XDG_DATA_HOME", "x")];
        assert_eq!(
            dir(&[], &relative),
            Some("/h/.local/share/conclave/default".into())
        );
        assert_eq!(dir(&[], &[]), None);
    }

    /// A name cannot leave the folder it belongs in.
    #[test]
    fn names_are_checked() {
        for name in ["default", "work-2", "a.b_c", "A"] {
            assert_eq!(profile_name(name), Ok(name.to_owned()));
        }
        for name in [
            "",
            ".",
            "..",
            ".hidden",
            "a/b",
            "a b",
            "ä",
            "a\n",
            &"a".repeat(65),
        ] {
            assert!(profile_name(name).is_err(), "{name}");
        }
    }

    /// Only the first line counts, and its line end does not.
    #[test]
    fn passphrase_is_the_first_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pass");
        for (bytes, want) in [
            ("a b \n", "a b "),
            ("one\r\ntwo", "one"),
            ("x", "x"),
            ("", ""),
        ] {
            std::fs::write(&file, bytes).unwrap();
            assert_eq!(*first_line(&file, &file).unwrap(), want);
        }
        let failure = first_line(Path::new("none"), &folder.path().join("none")).unwrap_err();
        assert_eq!(failure.exit, 2);
    }
}
