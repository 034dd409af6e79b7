//! The command line's side: hands its words to the daemon of its profile, and lends it its streams.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::lent::Answer;
use super::{Facts, RunParams, RunResult, place};
use crate::args::Global;
use crate::console::Console;
use crate::exit::{self, Failure};
use crate::input::piped;
use crate::rpc::RpcError;

/// A connection to the daemon of a profile.
#[derive(Debug)]
pub(crate) struct Front {
    input: BufReader<OwnedReadHalf>,
    output: OwnedWriteHalf,
}

/// A frame of the daemon.
#[derive(Debug, Deserialize)]
struct Frame {
    method: Option<String>,
    id: Option<Value>,
    #[serde(default)]
    params: Params,
    result: Option<Value>,
    error: Option<RpcError>,
}

/// What the frames of a hosted command carry.
#[derive(Debug, Default, Deserialize)]
struct Params {
    #[serde(default)]
    line: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    prompt: String,
    #[serde(default)]
    bytes_max: usize,
}

impl Front {
    /// A connection to the daemon of the profile in `dir`; none when there is no daemon.
    pub(crate) async fn find(dir: &Path) -> Option<Self> {
        let stream = place::connect(dir).await?;
        Some(Self::over(stream))
    }

    fn over(stream: UnixStream) -> Self {
        let (input, output) = stream.into_split();
        Self {
            input: BufReader::new(input),
            output,
        }
    }

    /// Runs the command of the words `args` there; the exit code.
    pub(crate) async fn run(
        mut self,
        global: &Global,
        args: Vec<String>,
        console: &Console,
    ) -> Result<u8, Failure> {
        let params = RunParams {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            args,
            cwd: std::env::current_dir()?,
            passphrase_file: global.passphrase_file.clone(),
            facts: Facts {
                input_is_terminal: console.is_input_terminal(),
                output_is_terminal: console.is_output_terminal(),
            },
        };
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        self.send(&json!({"jsonrpc": "2.0", "id": "run", "method": "cli.run", "params": params}))
            .await?;
        let (answers, mut answered) = mpsc::channel(1);
        let mut line = Vec::new();
        // Told to stop by this signal; a second one does not wait for the daemon.
        let mut stopped_by = None;
        loop {
            tokio::select! {
                read = self.input.read_until(b'\n', &mut line) => {
                    if read? == 0 {
                        return Err(gone());
                    }
                    let frame = serde_json::from_slice(&line).map_err(|_| gone())?;
                    line.clear();
                    if let Some(exit) = take(frame, console, &answers, stopped_by)? {
                        return Ok(exit);
                    }
                }
                Some(answer) = answered.recv() => self.send(&answer).await?,
                number = first(&mut interrupt, &mut terminate) => {
                    if stopped_by.is_some() {
                        return Ok(ended_by(number));
                    }
                    stopped_by = Some(number);
                    self.send(&json!({"jsonrpc": "2.0", "method": "cli.stop"})).await?;
                }
            }
        }
    }

    async fn send(&mut self, frame: &Value) -> Result<(), Failure> {
        let sent = self.output.write_all(format!("{frame}\n").as_bytes()).await;
        sent.map_err(|_| gone())
    }

    /// Asks for one thing and waits for the answer.
    pub(crate) async fn ask(&mut self, method: &str) -> Result<Value, Failure> {
        self.call(method, json!({})).await
    }

    /// Calls a method and waits for the answer.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Result<Value, Failure> {
        self.send(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
            .await?;
        let mut line = Vec::new();
        if self.input.read_until(b'\n', &mut line).await? == 0 {
            return Err(gone());
        }
        let frame: Frame = serde_json::from_slice(&line).map_err(|_| gone())?;
        match frame.error {
            Some(error) => Err(error.into()),
            None => Ok(frame.result.unwrap_or_default()),
        }
    }

    /// Carries the lines of `console` to the daemon and its answers back, until both ends are done.
    pub(crate) async fn splice(self) -> Result<(), Failure> {
        let Self {
            mut input,
            mut output,
        } = self;
        let there = async {
            let copied = tokio::io::copy(&mut piped(), &mut output).await;
            let ended = output.shutdown().await;
            copied.and(ended)
        };
        let back = async {
            let mut out = tokio::io::stdout();
            tokio::io::copy(&mut input, &mut out).await?;
            out.flush().await
        };
        tokio::pin!(there, back);
        tokio::select! {
            ended = &mut back => Ok(ended?),
            ended = &mut there => {
                ended?;
                Ok(back.await?)
            }
        }
    }
}

/// Ends the daemon of the profile in `dir`; none when there is none. When this returns, the profile is free.
pub(crate) async fn stop(dir: &Path) -> Result<Option<()>, Failure> {
    let Some(mut front) = Front::find(dir).await else {
        return Ok(None);
    };
    front.ask("daemon.stop").await?;
    Ok(Some(()))
}

/// Does what a frame says; the exit code when it was the last.
fn take(
    frame: Frame,
    console: &Console,
    answers: &mpsc::Sender<Value>,
    stopped_by: Option<i32>,
) -> Result<Option<u8>, Failure> {
    if let Some(error) = frame.error {
        return Err(error.into());
    }
    let Some(method) = frame.method else {
        let result = frame.result.unwrap_or_default();
        let ended: RunResult = serde_json::from_value(result).map_err(|_| gone())?;
        // Ended from outside: by our signal, or with the daemon.
        let exit = ended.exit.or_else(|| stopped_by.map(ended_by));
        return exit.map(Some).ok_or_else(gone);
    };
    match method.as_str() {
        "cli.out" => console.out(&frame.params.line)?,
        "cli.err" => console.err(&frame.params.text)?,
        _ => {
            let (console, answers) = (console.clone(), answers.clone());
            tokio::spawn(async move {
                let answer = answer(&console, &method, &frame.params).await;
                let answer = json!({"jsonrpc": "2.0", "id": frame.id, "result": answer});
                // The command may have ended meanwhile.
                let _ = answers.send(answer).await;
            });
        }
    }
    Ok(None)
}

/// Asks the person, or reads the input, for a command in the daemon.
async fn answer(console: &Console, method: &str, params: &Params) -> Answer {
    let text = match method {
        "cli.line" => console.line().await,
        "cli.text" => console.text(params.bytes_max).await.map(Some),
        "cli.secret" => {
            let secret = console.secret(&params.prompt).await;
            secret.map(|secret| secret.map(|secret| secret.to_string()))
        }
        other => Err(Failure::new(exit::VERSION, "OTHER_VERSION", other)),
    };
    match text {
        Ok(text) => Answer::Text(text),
        Err(failure) if failure.exit == exit::USAGE => Answer::NoText,
        Err(failure) => Answer::Unreadable(failure.message),
    }
}

const INTERRUPT: i32 = 2;
const TERMINATE: i32 = 15;

async fn first(interrupt: &mut Signal, terminate: &mut Signal) -> i32 {
    tokio::select! {
        _ = interrupt.recv() => INTERRUPT,
        _ = terminate.recv() => TERMINATE,
    }
}

/// What shells show for a process that a signal ended.
fn ended_by(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(exit::UNEXPECTED)
}

fn gone() -> Failure {
    let message = "the daemon ended before the command did";
    Failure::new(exit::UNREACHABLE, "DAEMON_GONE", message)
        .with_hint("what is queued stays queued; run the command again")
}
