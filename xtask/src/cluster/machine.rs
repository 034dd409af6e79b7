//! Small things of the machine: free ports, one HTTP request, signals, waiting for something to come true.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::campaign::pause;

/// So many ports that were free a moment ago.
pub(super) fn ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// What an HTTP server of this machine says under `path`, as JSON.
pub(super) fn get(port: u16, path: &str) -> anyhow::Result<Value> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (_, body) = text.split_once("\r\n\r\n").context("no answer")?;
    serde_json::from_str(body).context("no JSON in the answer")
}

/// Sends a signal to processes that are there.
pub(super) fn signal(pids: &[u32], name: &str) -> anyhow::Result<()> {
    // The shell's own `kill`: a small system has no program of that name.
    let sent = Command::new("sh")
        .args(["-c", "kill -\"$0\" \"$@\"", name])
        .args(pids.iter().map(u32::to_string))
        .status()?;
    ensure!(sent.success(), "one of the processes {pids:?} is gone");
    Ok(())
}

/// The processes that a stopped one began.
pub(super) fn children(pid: u32) -> anyhow::Result<Vec<u32>> {
    let all = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    let all = all.split_whitespace().map(str::parse);
    Ok(all.collect::<Result<_, _>>()?)
}

/// Asks until there is an answer; how long that took.
pub(super) fn until<T>(
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> Option<T>,
) -> anyhow::Result<(T, Duration)> {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Ok((answer, start.elapsed()));
        }
        if start.elapsed() > limit {
            bail!("{what}: not within {} s", limit.as_secs());
        }
        pause(Duration::from_millis(100));
    }
}
