//! The person's end of a command: where rows go, where lines come from, whom to ask for a secret.
//!
//! A command that runs in its own process has the process's streams; one that a daemon runs for a command line
//! borrows the streams of that command line over its connection.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::sync::Arc;
use std::thread;

use conclave_client::ClientError;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, oneshot};
use zeroize::Zeroizing;

use crate::daemon::Lent;
use crate::exit::Failure;
use crate::input::{Lines, unreadable};

/// The streams of whoever typed the command.
#[derive(Debug, Clone)]
pub(crate) enum Console {
    /// Those of this process.
    Own(Arc<Own>),
    /// Those of a command line that asked the daemon.
    Lent(Arc<Lent>),
}

/// This process's streams; lines of its input are read by whoever asks first.
#[derive(Debug, Default)]
pub(crate) struct Own {
    lines: Mutex<Option<Lines>>,
}

impl Console {
    /// This process's streams.
    pub(crate) fn own() -> Self {
        Self::Own(Arc::default())
    }

    /// Prints a line to standard output and flushes it.
    pub(crate) fn out(&self, line: &str) -> io::Result<()> {
        match self {
            Self::Own(_) => {
                let mut out = io::stdout().lock();
                writeln!(out, "{line}")?;
                out.flush()
            }
            Self::Lent(lent) => lent.out(line),
        }
    }

    /// Prints to standard error, exactly `text`.
    pub(crate) fn err(&self, text: &str) -> io::Result<()> {
        match self {
            Self::Own(_) => write!(io::stderr().lock(), "{text}"),
            Self::Lent(lent) => lent.err(text),
        }
    }

    /// Whether standard input is typed by a person.
    pub(crate) fn is_input_terminal(&self) -> bool {
        match self {
            Self::Own(_) => io::stdin().is_terminal(),
            Self::Lent(lent) => lent.facts.input_is_terminal,
        }
    }

    /// Whether standard output is seen by a person.
    pub(crate) fn is_output_terminal(&self) -> bool {
        match self {
            Self::Own(_) => io::stdout().is_terminal(),
            Self::Lent(lent) => lent.facts.output_is_terminal,
        }
    }

    /// All lines of standard input from here on.
    pub(crate) fn lines(&self) -> Lines {
        match self {
            Self::Own(_) => Lines::of_stdin(),
            Self::Lent(lent) => Lent::lines(lent),
        }
    }

    /// The next line of standard input; none at its end. For questions, which are asked one after the other.
    pub(crate) async fn line(&self) -> Result<Option<String>, Failure> {
        match self {
            Self::Own(own) => {
                let mut lines = own.lines.lock().await;
                lines.get_or_insert_with(Lines::of_stdin).next().await
            }
            Self::Lent(lent) => lent.line().await,
        }
    }

    /// Standard input up to its end, at most `bytes_max` bytes of it.
    pub(crate) async fn text(&self, bytes_max: usize) -> Result<String, Failure> {
        match self {
            Self::Own(_) => {
                let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
                let read = beside(move || {
                    let mut text = String::new();
                    let read = io::stdin().lock().take(limit).read_to_string(&mut text);
                    read.map(|_| text)
                });
                read.await?.map_err(unreadable)
            }
            Self::Lent(lent) => lent.text(bytes_max).await,
        }
    }

    /// Asks on the terminal without showing what is typed; `None` when there is no terminal.
    pub(crate) async fn secret(&self, prompt: &str) -> Result<Option<Zeroizing<String>>, Failure> {
        match self {
            Self::Own(_) => {
                let prompt = prompt.to_owned();
                let answer = beside(move || rpassword::prompt_password(prompt)).await?;
                Ok(answer.map(Zeroizing::new).ok())
            }
            Self::Lent(lent) => lent.secret(prompt).await,
        }
    }

    /// Waits until the person wants the command to end: SIGINT or SIGTERM. A command that never asks is ended by
    /// them at once.
    pub(crate) async fn stopped(&self) -> Result<(), ClientError> {
        match self {
            Self::Own(_) => {
                let broken = |error: io::Error| {
                    ClientError::Broken(format!("signals cannot be heard: {error}"))
                };
                let mut interrupt = signal(SignalKind::interrupt()).map_err(broken)?;
                let mut terminate = signal(SignalKind::terminate()).map_err(broken)?;
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            }
            Self::Lent(lent) => lent.stopped().await,
        }
        Ok(())
    }
}

/// Runs `work` on a thread that is none of the runtime's: a read that never returns would keep the runtime from
/// ending.
async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let (sender, done) = oneshot::channel();
    thread::spawn(move || drop(sender.send(work())));
    done.await
        .map_err(|_| io::Error::other("standard input cannot be read").into())
}
