//! The program `conclave`: words in, one call to the client engine, rows out.

mod args;
mod commands;
mod console;
mod daemon;
mod exit;
mod http;
mod input;
mod output;
mod profile;
mod qr;
mod rfc3339;
mod rows;
mod rpc;
mod web;
mod webhook;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use crate::args::{Cli, Command};
use crate::console::Console;
use crate::daemon::Front;
use crate::exit::Failure;
use crate::output::Output;
use crate::profile::Context;

/// Descriptors that the runtime, the store and two connections need.
const DESCRIPTORS_MIN: usize = 24;
/// How long the runtime's threads may take to end; they have nothing left to do.
const THREADS_END: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return args::refuse(&error),
    };
    start_logs(cli.global.verbose);
    let console = Console::own();
    let out = Output::new(cli.global.output, console.clone());
    match run(cli, console) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            out.failure(&failure);
            ExitCode::from(failure.exit)
        }
    }
}

fn run(cli: Cli, console: Console) -> Result<u8, Failure> {
    check_descriptors()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let context = Context::new(cli.global, console, None);
    let result = runtime.block_on(Box::pin(run_where_it_is_open(&context, cli.command)));
    // OpenSSL, under the store, frees its state when the process ends and when a thread ends: never at once.
    runtime.shutdown_timeout(THREADS_END);
    result
}

/// In the daemon of the profile when there is one, else here. The exit code of what went well or told its trouble.
async fn run_where_it_is_open(context: &Context, command: Command) -> Result<u8, Failure> {
    if command.is_hosted()
        && let Ok(dir) = context.dir()
        && let Some(front) = Front::find(&dir).await
    {
        let words: Result<Vec<String>, _> = std::env::args_os()
            .skip(1)
            .map(OsString::into_string)
            .collect();
        let words = words.map_err(|_| Failure::usage("the words are no UTF-8 text"))?;
        return front.run(&context.global, words, &context.console).await;
    }
    commands::run(context, command).await.map(|()| 0)
}

/// The runtime panics when it cannot have the few descriptors it needs: rather an error that says so.
fn check_descriptors() -> Result<(), Failure> {
    let spare: io::Result<Vec<File>> = (0..DESCRIPTORS_MIN)
        .map(|_| File::open("/dev/null"))
        .collect();
    let hint = "raise the limit (`ulimit -n 256`), or end programs that hold many files";
    spare
        .map(drop)
        .map_err(|error| Failure::from(error).with_hint(hint))
}

/// Logs go to standard error and only Conclave's own: other crates may name hosts and addresses.
fn start_logs(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = format!("off,conclave={level},conclave_client={level},conclave_core={level}");
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}
