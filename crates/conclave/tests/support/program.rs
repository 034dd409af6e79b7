//! A program that is run with a clean environment and a deadline, and what it answered.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

/// No command of a test takes this long; one that does has hung, and is ended.
pub(crate) const DEADLINE: Duration = Duration::from_mins(2);

/// A program with its folder and environment.
#[derive(Clone)]
pub(crate) struct Program {
    path: PathBuf,
    /// Words before the program's own.
    first: Vec<String>,
    folder: PathBuf,
    env: BTreeMap<String, String>,
}

/// What a finished program left.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Exit code; -1 when a signal ended it.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "exit {}\n--- stdout\n{}--- stderr\n{}",
            self.code, self.stdout, self.stderr
        )
    }
}

impl Program {
    /// The program at `path`, run in `folder`, which is also its home.
    pub(crate) fn new(path: impl AsRef<Path>, folder: &Path) -> Self {
        let mut env = BTreeMap::from([("HOME".to_owned(), folder.to_str().unwrap().to_owned())]);
        env.extend(std::env::var("PATH").map(|path| ("PATH".to_owned(), path)));
        Self {
            path: path.as_ref().to_owned(),
            first: Vec::new(),
            folder: folder.to_owned(),
            env,
        }
    }

    /// The same program started by `wrapper`, as in `strace -f PROGRAM …`.
    pub(crate) fn under(&self, wrapper: &[&str]) -> Self {
        let mut words = wrapper.iter().map(|word| (*word).to_owned());
        Self {
            path: words.next().expect("a wrapper has a name").into(),
            first: words
                .chain([self.path.to_str().unwrap().to_owned()])
                .collect(),
            ..self.clone()
        }
    }

    /// The same program run in another folder.
    pub(crate) fn standing_in(&self, folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            ..self.clone()
        }
    }

    /// Sets a variable of its environment; nothing else is inherited.
    pub(crate) fn env(&mut self, key: &str, value: &str) {
        self.env.insert(key.to_owned(), value.to_owned());
    }

    /// Starts it with all three streams piped.
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        Command::new(&self.path)
            .args(&self.first)
            .args(args)
            .current_dir(&self.folder)
            .env_clear()
            .envs(&self.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", self.path.display()))
    }

    /// Runs it to its end with `stdin` as input.
    pub(crate) fn run(&self, args: &[&str], stdin: &str) -> Outcome {
        let mut child = self.spawn(args);
        let mut input = child.stdin.take().unwrap();
        let bytes = stdin.as_bytes().to_vec();
        // A program that does not read its input closes it: that is no failure here.
        thread::spawn(move || drop(input.write_all(&bytes)));
        finish(child, &args.join(" "))
    }
}

/// Waits for the end of `child`, at most [`DEADLINE`].
pub(crate) fn finish(mut child: Child, what: &str) -> Outcome {
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let Ok(stdout) = stdout.recv_timeout(DEADLINE) else {
        child.kill().unwrap();
        let stderr = stderr.recv_timeout(DEADLINE).unwrap_or_default();
        panic!("`{what}` did not end within {DEADLINE:?}; its standard error: {stderr}");
    };
    let stderr = stderr.recv_timeout(DEADLINE).unwrap();
    let code = child.wait().unwrap().code().unwrap_or(-1);
    Outcome {
        code,
        stdout,
        stderr,
    }
}

fn drain(stream: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            stream.read_to_end(&mut bytes).unwrap();
        }
        // Nobody waits any more when the deadline is over.
        drop(sender.send(String::from_utf8_lossy(&bytes).into_owned()));
    });
    receiver
}

/// Sends SIGTERM, as a service manager does.
pub(crate) fn terminate(child: &Child) {
    let command = format!("kill -TERM {}", child.id());
    assert!(
        Command::new("sh")
            .args(["-c", &command])
            .status()
            .unwrap()
            .success()
    );
}

/// Splits a line into words as a shell does: spaces, and single quotes around what holds together.
pub(crate) fn words(line: &str) -> Vec<String> {
    let (mut all, mut word, mut is_quoted, mut is_word) = (Vec::new(), String::new(), false, false);
    for c in line.chars() {
        match c {
            '\'' => (is_quoted, is_word) = (!is_quoted, true),
            ' ' if !is_quoted => {
                if is_word {
                    all.push(std::mem::take(&mut word));
                }
                is_word = false;
            }
            _ => {
                word.push(c);
                is_word = true;
            }
        }
    }
    if is_word {
        all.push(word);
    }
    all
}
