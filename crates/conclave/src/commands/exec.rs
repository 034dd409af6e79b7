//! Runs the command of `listen --exec` for one event, again and again until it ends with 0.

use std::io::Write as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::exit::Failure;
use crate::output::json_line;
use crate::profile::Context;
use crate::rows::ToldRow;

/// Wait before the first repetition; each further one takes twice as long.
const WAIT_MIN: Duration = Duration::from_secs(1);
/// The longest wait.
const WAIT_MAX: Duration = Duration::from_mins(1);
/// How often a command is looked at whether it has ended: at first, and at the longest.
const LOOKS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// Runs `command` with the row's JSON on its standard input until it ends with 0.
pub(super) async fn until_done(
    context: &Context,
    command: &str,
    row: &ToldRow,
) -> Result<(), Failure> {
    let json = json_line(row)?;
    let mut wait = WAIT_MIN;
    loop {
        let ended = run(command, json.clone()).await?;
        if ended.success() {
            return Ok(());
        }
        let seconds = wait.as_secs();
        let told = format!(
            "event {}: the command ended with {ended}; it is run again in {seconds} s\n",
            row.cursor
        );
        context.console.err(&told)?;
        tokio::time::sleep(wait).await;
        wait = WAIT_MAX.min(wait * 2);
    }
}

/// A command that runs; dropped before its end, it is killed.
struct Running(Arc<Mutex<Child>>);

impl Drop for Running {
    fn drop(&mut self) {
        // Ended already: nothing to kill.
        let _ = lock(&self.0).kill();
    }
}

fn lock(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn run(command: &str, json: String) -> Result<ExitStatus, Failure> {
    let mut shell = Command::new("sh");
    let spawned = shell.args(["-c", command]).stdin(Stdio::piped()).spawn();
    let mut child =
        spawned.map_err(|error| Failure::usage(format!("the command cannot be run: {error}")))?;
    let stdin = child.stdin.take();
    let running = Running(Arc::new(Mutex::new(child)));
    thread::spawn(move || {
        // A command may end without reading.
        let _ = stdin.map(|mut stdin| stdin.write_all(format!("{json}\n").as_bytes()));
    });
    let (sender, ended) = oneshot::channel();
    let child = running.0.clone();
    thread::spawn(move || {
        let mut pause = LOOKS.0;
        let status = loop {
            match lock(&child).try_wait() {
                Ok(Some(status)) => break Ok(status),
                Ok(None) => {}
                Err(error) => break Err(error),
            }
            thread::park_timeout(pause);
            pause = LOOKS.1.min(pause * 2);
        };
        // Nobody waits any more: it was killed.
        let _ = sender.send(status);
    });
    let lost = || std::io::Error::other("the command was lost");
    Ok(ended.await.map_err(|_| lost())??)
}
