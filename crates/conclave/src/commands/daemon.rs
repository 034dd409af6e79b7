//! `conclave daemon`: keeps the profile open and online for every command line and program of this user.

use std::net::SocketAddr;

use conclave_client::ClientError;
use tokio::net::TcpListener;

use crate::daemon::{self, About, Doors, Front};
use crate::exit::{self, Failure};
use crate::profile::Context;
use crate::rows::{DaemonRow, DoneRow};
use crate::rpc::http::loopback;

/// Keep this profile open and online, and let all commands of this profile run at the same time. Ends by `daemon
/// stop`, SIGINT or SIGTERM.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:
  conclave daemon
  conclave daemon stop")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// Also take JSON-RPC over HTTP on this address of this machine, from programs with a token; port 0: a free one
    #[arg(long, value_name = "ADDR", value_parser = loopback)]
    http: Option<SocketAddr>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// End the daemon of this profile; afterwards the profile is free
    #[command(after_help = "Examples:
  conclave daemon stop
  conclave daemon stop -p work")]
    Stop,
    /// Show whether a daemon runs, and where
    #[command(after_help = "Examples:
  conclave daemon status
  conclave daemon status -o json")]
    Status,
}

/// Runs, ends or shows the daemon.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let dir = context.dir()?;
    match args.action {
        None => {
            let http = match args.http {
                Some(address) => Some(bind(address).await?),
                None => None,
            };
            let client = context.open().await?;
            if !client.is_registered() {
                client.close().await;
                return Err(ClientError::NotRegistered.into());
            }
            let doors = Doors { http, page: None };
            daemon::run(context, client, doors).await
        }
        Some(Action::Stop) => {
            daemon::stop(&dir).await?.ok_or_else(no_daemon)?;
            Ok(context.out.row(&DoneRow {
                done: "stopped",
                to: context.global.profile.clone(),
            })?)
        }
        Some(Action::Status) => {
            let mut front = Front::find(&dir).await.ok_or_else(no_daemon)?;
            let about = front.ask("daemon.status").await?;
            let about: About = serde_json::from_value(about).map_err(std::io::Error::from)?;
            Ok(context.out.row(&DaemonRow::from(&about))?)
        }
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let message = format!("nothing can listen at {address}: {error}");
        Failure::new(exit::CONFLICT, "ADDRESS", message).with_hint("choose another --http ADDR")
    })
}

fn no_daemon() -> Failure {
    Failure::new(
        exit::NOT_FOUND,
        "NO_DAEMON",
        "no daemon runs for this profile",
    )
    .with_hint("start it with `conclave daemon`")
}
