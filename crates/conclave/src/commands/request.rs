//! `conclave request`: strangers who wrote first.

use conclave_client::Client;
use conclave_client::view::ChatState;

use crate::exit::{self, Failure};
use crate::profile::Context;
use crate::rows::{DoneRow, RequestRow};

/// Decide about strangers who wrote first. Until you accept, they learn nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave request list
  conclave request accept anna@example.org")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Sync, then list the requests that wait
    #[command(after_help = "Examples:
  conclave request list
  conclave request list -o json")]
    List,
    /// Accept a request and join the conversation
    #[command(after_help = "Examples:
  conclave request accept anna@example.org
  conclave request accept c_0123456789abcdef0123456789abcdef")]
    Accept {
        /// `+E164` number, e-mail address or chat id
        chat: String,
    },
    /// Decline a request; the other side is not told
    #[command(after_help = "Examples:
  conclave request decline anna@example.org
  conclave request decline c_0123456789abcdef0123456789abcdef")]
    Decline {
        /// `+E164` number, e-mail address or chat id
        chat: String,
    },
}

/// Lists or decides.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let work = async |client: &Client| match &args.action {
        Action::List => {
            let settled = context.settle(client).await;
            for request in client.requests()? {
                context.out.row(&RequestRow::from(&request))?;
            }
            settled
        }
        Action::Accept { chat } => {
            let id = client.find_chat(chat)?;
            client.accept_request(id)?;
            let settled = context.settle(client).await;
            context.out.row(&DoneRow {
                done: "accepted",
                to: id.to_string(),
            })?;
            settled
        }
        Action::Decline { chat } => {
            let id = client.find_chat(chat)?;
            if client.chat(id)?.state == ChatState::Declined {
                return Err(declined_already(chat));
            }
            client.decline_request(id)?;
            Ok(context.out.row(&DoneRow {
                done: "declined",
                to: id.to_string(),
            })?)
        }
    };
    context.with_client(work).await
}

fn declined_already(chat: &str) -> Failure {
    let message = format!("the request of {chat} was declined already; they are not told");
    Failure::new(exit::CONFLICT, "ALREADY_DECLINED", message).with_hint(format!(
        "to talk after all run `conclave request accept {chat}`"
    ))
}
