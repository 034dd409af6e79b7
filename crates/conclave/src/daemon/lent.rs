//! The streams of a command line, lent to the daemon over its connection.
//!
//! The daemon sends `cli.out` and `cli.err` (notifications) and asks `cli.line`, `cli.text` and `cli.secret`; the
//! command line answers, and says `cli.stop` when its person interrupts.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use zeroize::Zeroizing;

use crate::exit::{self, Failure};
use crate::input::{Lines, unreadable};

/// Lines of the command line's input that are asked for ahead of whoever takes them.
const AHEAD_LINES: usize = 1;

/// What the streams of a command line are.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Facts {
    /// Whether standard input is typed by a person.
    pub(crate) input_is_terminal: bool,
    /// Whether standard output is seen by a person.
    pub(crate) output_is_terminal: bool,
}

/// One command line's streams.
#[derive(Debug)]
pub(crate) struct Lent {
    /// What its streams are.
    pub(crate) facts: Facts,
    /// Frames to the command line, without line ends.
    frames: mpsc::Sender<String>,
    asked: AtomicU64,
    questions: Mutex<HashMap<u64, oneshot::Sender<Answer>>>,
    stop: watch::Sender<bool>,
    /// Whether the command ends by itself when it is told to stop.
    heeds_stop: AtomicBool,
}

/// What the command line answers to a question.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// A line, a text or a secret; nothing at the end of the input, or without a terminal.
    #[serde(rename = "text")]
    Text(Option<String>),
    /// The input is no text.
    #[serde(rename = "no_text")]
    NoText,
    /// The input cannot be read.
    #[serde(rename = "unreadable")]
    Unreadable(String),
}

impl Lent {
    /// The streams at the other end of `frames`.
    pub(super) fn new(facts: Facts, frames: mpsc::Sender<String>) -> Self {
        Self {
            facts,
            frames,
            asked: AtomicU64::new(0),
            questions: Mutex::default(),
            stop: watch::Sender::new(false),
            heeds_stop: AtomicBool::new(false),
        }
    }

    /// A line for standard output.
    pub(crate) fn out(&self, line: &str) -> io::Result<()> {
        self.send(&json!({"jsonrpc": "2.0", "method": "cli.out", "params": {"line": line}}))
    }

    /// Text for standard error.
    pub(crate) fn err(&self, text: &str) -> io::Result<()> {
        self.send(&json!({"jsonrpc": "2.0", "method": "cli.err", "params": {"text": text}}))
    }

    /// Waits while the command line is slower than the command, as a pipe does.
    fn send(&self, frame: &Value) -> io::Result<()> {
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        match self.frames.try_send(frame.to_string()) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(_)) => Err(gone()),
            Err(TrySendError::Full(frame)) => {
                // Hosted commands have a thread of their own.
                tokio::task::block_in_place(|| self.frames.blocking_send(frame)).map_err(|_| gone())
            }
        }
    }

    /// The lines of standard input from here on.
    pub(crate) fn lines(lent: &Arc<Self>) -> Lines {
        let (sender, lines) = mpsc::channel(AHEAD_LINES);
        let lent = lent.clone();
        tokio::spawn(async move {
            loop {
                let answer = lent.ask("cli.line", json!({})).await;
                let line = match answer {
                    Ok(Answer::Text(Some(line))) => Ok(line),
                    Ok(Answer::NoText) => Err(io::ErrorKind::InvalidData.into()),
                    Ok(Answer::Unreadable(text)) => Err(io::Error::other(text)),
                    Ok(Answer::Text(None)) | Err(_) => break,
                };
                let is_end = line.is_err();
                if sender.send(line).await.is_err() || is_end {
                    break;
                }
            }
        });
        Lines::from(lines)
    }

    /// The next line; none at the end of the input.
    pub(crate) async fn line(&self) -> Result<Option<String>, Failure> {
        self.ask("cli.line", json!({})).await?.into_text()
    }

    /// Everything up to the end of the input, at most `bytes_max` bytes.
    pub(crate) async fn text(&self, bytes_max: usize) -> Result<String, Failure> {
        let answer = self
            .ask("cli.text", json!({"bytes_max": bytes_max}))
            .await?;
        Ok(answer.into_text()?.unwrap_or_default())
    }

    /// What is typed at the terminal, unseen.
    pub(crate) async fn secret(&self, prompt: &str) -> Result<Option<Zeroizing<String>>, Failure> {
        let answer = self.ask("cli.secret", json!({"prompt": prompt})).await?;
        Ok(answer.into_text()?.map(Zeroizing::new))
    }

    async fn ask(&self, method: &str, params: Value) -> Result<Answer, Failure> {
        let id = self.asked.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.questions().insert(id, sender);
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))?;
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe).into();
        answer.await.map_err(|_| gone())
    }

    /// The command line answered the question `id`; what nobody asked is dropped.
    pub(crate) fn answer(&self, id: &Value, result: Value) {
        let question = id.as_u64().and_then(|id| self.questions().remove(&id));
        let answer = serde_json::from_value(result);
        if let (Some(question), Ok(answer)) = (question, answer) {
            // Whoever asked may have ended.
            let _ = question.send(answer);
        }
    }

    fn questions(&self) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Answer>>> {
        self.questions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the person interrupts; from the first call on the command ends by itself.
    pub(crate) async fn stopped(&self) {
        self.heeds_stop.store(true, Ordering::SeqCst);
        let mut stop = self.stop.subscribe();
        if stop.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The person interrupts. Whether the command heeds that; else it has to be ended.
    pub(crate) fn interrupt(&self) -> bool {
        self.stop.send_replace(true);
        self.heeds_stop.load(Ordering::SeqCst)
    }
}

impl Answer {
    fn into_text(self) -> Result<Option<String>, Failure> {
        match self {
            Self::Text(text) => Ok(text),
            Self::NoText => Err(unreadable(io::ErrorKind::InvalidData.into())),
            Self::Unreadable(text) => Err(Failure::new(exit::UNEXPECTED, "IO", text)),
        }
    }
}
