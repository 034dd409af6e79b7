//! Runs the command of a command line in the daemon: the same code, with the daemon's open profile.

use std::ffi::OsString;
use std::sync::Arc;

use clap::Parser as _;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{Daemon, Lent, RunParams, RunResult};
use crate::args::Cli;
use crate::commands;
use crate::console::Console;
use crate::exit::{self, Failure};
use crate::profile::{Context, Hosting};
use crate::rpc::{self, RpcError};

/// A command that runs; dropped, it is ended where it stands, as a signal would.
#[derive(Debug)]
pub(crate) struct Running {
    /// Its command line's streams.
    pub(crate) lent: Arc<Lent>,
    _cancel: oneshot::Sender<()>,
}

/// Starts the command; its result goes to `frames` as the answer to the request `id`.
pub(crate) fn start(
    daemon: &Daemon,
    params: RunParams,
    frames: mpsc::Sender<String>,
    id: Value,
) -> Result<Running, RpcError> {
    if params.version != env!("CARGO_PKG_VERSION") {
        return Err(other_version().into());
    }
    let permit = daemon.permit().ok_or_else(too_many)?;
    let words = params.args.into_iter().map(OsString::from);
    let words = std::iter::once(OsString::from("conclave")).chain(words);
    let mut cli = Cli::try_parse_from(words)
        .map_err(|error| Failure::usage(error.to_string().trim_end().to_owned()))?;
    if !cli.command.is_hosted() {
        return Err(Failure::usage("this command does not run in a daemon").into());
    }
    daemon.name_profile(&mut cli.global);
    cli.global.passphrase_file = params.passphrase_file;
    let lent = Arc::new(Lent::new(params.facts, frames.clone()));
    let hosting = Hosting {
        client: daemon.client().clone(),
        cwd: params.cwd,
    };
    let (cancel, cancelled) = oneshot::channel();
    let context = Context::new(cli.global, Console::Lent(lent.clone()), Some(hosting));
    let work = move || run(context, cli.command, cancelled, permit);
    let running = tokio::task::spawn_blocking(work);
    tokio::spawn(async move {
        let frame = match running.await {
            Ok(exit) => rpc::result_frame(&id, &RunResult { exit }),
            Err(_) => rpc::error_frame(&id, &bug().into()),
        };
        // A command line that is gone needs no answer.
        let _ = frames.send(frame).await;
    });
    Ok(Running {
        lent,
        _cancel: cancel,
    })
}

/// Runs on a thread of its own, as the command does without a daemon. None when it was ended from outside.
fn run(
    context: Context,
    command: crate::args::Command,
    cancelled: oneshot::Receiver<()>,
    permit: OwnedSemaphorePermit,
) -> Option<u8> {
    let ended = Handle::current().block_on(async {
        tokio::select! {
            ended = Box::pin(commands::run(&context, command)) => Some(ended),
            _ = cancelled => None,
        }
    });
    let exit = ended.map(|ended| match ended {
        Ok(()) => 0,
        Err(failure) => {
            context.out.failure(&failure);
            failure.exit
        }
    });
    // The profile is closed when no command has it any more.
    drop(context);
    drop(permit);
    exit
}

fn other_version() -> Failure {
    let message = "the daemon of this profile runs another version of conclave";
    Failure::new(exit::VERSION, "OTHER_VERSION", message)
        .with_hint("restart it: `conclave daemon stop`, then `conclave daemon`")
}

fn too_many() -> Failure {
    let message = "the daemon runs as many commands as it may";
    Failure::new(exit::RATE, "BUSY", message).with_hint("try again when some of them have ended")
}

fn bug() -> Failure {
    let message = "conclave has a bug: the command broke off in the daemon; please report it";
    Failure::new(exit::UNEXPECTED, "BUG", message)
}
