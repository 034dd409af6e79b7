//! `conclave contact`: people you write with.

use conclave_client::Client;

use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::{ContactRow, DoneRow};

/// List, rename and block people.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave contact list
  conclave contact rename +4915112345678 'Anna B.'")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List all contacts and how far each is trusted
    #[command(after_help = "Examples:
  conclave contact list
  conclave contact list -o json")]
    List,
    /// Give somebody a name of your own; only you see it
    #[command(after_help = "Examples:
  conclave contact rename anna@example.org Anna
  conclave contact rename +4915112345678 'Anna B.'")]
    Rename {
        /// `+E164` number, e-mail address or chat id
        who: String,
        /// The name; empty = the one they gave themselves
        name: String,
    },
    /// Take nothing more from somebody; they are not told
    #[command(after_help = "Examples:
  conclave contact block anna@example.org
  conclave contact block +4915112345678")]
    Block {
        /// `+E164` number, e-mail address or chat id
        who: String,
    },
    /// Take messages from somebody again
    #[command(after_help = "Examples:
  conclave contact unblock anna@example.org
  conclave contact unblock +4915112345678")]
    Unblock {
        /// `+E164` number, e-mail address or chat id
        who: String,
    },
}

/// Lists or decides.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let work = async |client: &Client| match &args.action {
        Action::List => {
            for contact in client.contacts()? {
                context.out.row(&ContactRow::from(&contact))?;
            }
            Ok(())
        }
        Action::Rename { who, name } => {
            client.rename_contact(who, name)?;
            done(context, "renamed", who)
        }
        Action::Block { who } => block(context, client, who, true).await,
        Action::Unblock { who } => block(context, client, who, false).await,
    };
    context.with_client(work).await
}

/// Blocking holds on this disk at once; the server learns the account's new capability when it is reached.
async fn block(
    context: &Context,
    client: &Client,
    who: &str,
    is_blocked: bool,
) -> Result<(), Failure> {
    client.set_blocked(who, is_blocked)?;
    done(
        context,
        if is_blocked { "blocked" } else { "unblocked" },
        who,
    )?;
    context.settle(client).await
}

fn done(context: &Context, done: &'static str, who: &str) -> Result<(), Failure> {
    Ok(context.out.row(&DoneRow {
        done,
        to: who.to_owned(),
    })?)
}
