//! `conclave rpc`: JSON-RPC for programs, over this command's own pipes.

use conclave_client::{Client, ClientError};
use serde_json::{Value, json};

use crate::daemon::Front;
use crate::exit::Failure;
use crate::input;
use crate::profile::Context;
use crate::rpc::{self, Caller, stream};

/// Serve JSON-RPC 2.0 on standard input and output, one JSON a line; with a daemon, through it.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:
  conclave rpc
  conclave rpc call chats.list")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Call one method and print its result
    #[command(after_help = "Examples:
  conclave rpc call status
  conclave rpc call messages.history '{\"chat\":\"anna@example.org\",\"limit\":5}'")]
    Call {
        /// The method
        method: String,
        /// Its parameters, a JSON object
        params: Option<String>,
    },
    /// Print what every method takes and gives, as OpenRPC
    #[command(after_help = "Examples:
  conclave rpc schema
  conclave rpc schema > conclave.openrpc.json")]
    Schema,
}

impl Args {
    /// Whether a daemon runs it; the pipes of the others belong to this process.
    pub(crate) const fn is_hosted(&self) -> bool {
        matches!(self.action, Some(Action::Call { .. }))
    }
}

/// Serves, calls or prints.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    match args.action {
        None => serve(context).await,
        Some(Action::Call { method, params }) => call(context, &method, params.as_deref()).await,
        Some(Action::Schema) => Ok(context.console.out(&format!("{:#}", rpc::document()))?),
    }
}

async fn serve(context: &Context) -> Result<(), Failure> {
    if let Some(front) = Front::find(&context.dir()?).await {
        return front.splice().await;
    }
    let client = context.open().await?;
    client.go_online();
    let served = stream::serve(
        tokio::io::BufReader::new(input::piped()),
        tokio::io::stdout(),
        client.clone(),
        stream::Door::Pipe,
    );
    let ended = tokio::select! {
        () = served => Ok(()),
        stopped = context.console.stopped() => stopped,
    };
    client.close().await;
    Ok(ended?)
}

async fn call(context: &Context, method: &str, params: Option<&str>) -> Result<(), Failure> {
    let params: Value = match params {
        Some(text) => serde_json::from_str(text)
            .map_err(|error| Failure::usage(format!("the parameters are no JSON: {error}")))?,
        None => json!({}),
    };
    let work = async |client: &Client| {
        client.go_online();
        let called = rpc::call(client, &Caller::owner(), method, params).await;
        let result = called.map_err(Failure::from)?;
        Ok(context.out.json(&result)?)
    };
    let work = async |client: &Client| {
        let called = tokio::time::timeout(context.remaining(), work(client)).await;
        called.unwrap_or(Err(ClientError::TimedOut.into()))
    };
    context.with_client(work).await
}
