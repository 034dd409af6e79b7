//! `conclave webhook`: where the daemon posts events to.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use conclave_client::Client;
use zeroize::Zeroizing;

use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::DoneRow;
use crate::rows::webhook::{CountRow, DeadRow, PostedRow, WebhookRow};
use crate::webhook::{Target, test};

/// Bytes of a secret's file.
const SECRET_BYTES_MAX: u64 = 4096;

/// Have the daemon post events to an address, signed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave webhook add https://example.org/hook --events message,request --secret-file hook.key
  conclave webhook list")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Post events to an address from now on
    #[command(after_help = "Examples:
  conclave webhook add https://example.org/hook --secret-file hook.key
  conclave webhook add http://127.0.0.1:8000/in --events message --secret-file hook.key")]
    Add {
        /// `https://…`, or `http://` to this machine alone
        #[arg(value_parser = url)]
        url: String,
        /// Kinds of events, as `message,request`; without it all of them
        #[arg(long, value_name = "KINDS", value_delimiter = ',')]
        events: Vec<String>,
        /// File whose content posts are signed with; `openssl rand -hex 32 > FILE` makes one
        #[arg(long, value_name = "FILE")]
        secret_file: PathBuf,
    },
    /// List webhooks
    #[command(after_help = "Examples:
  conclave webhook list
  conclave webhook list -o json")]
    List,
    /// Post a test now
    #[command(after_help = "Examples:
  conclave webhook test w_0123456789abcdef
  conclave webhook test w_0123456789abcdef -o json")]
    Test {
        /// Its id, as `webhook list` shows it
        id: String,
    },
    /// End a webhook; what is on its way to it is forgotten
    #[command(after_help = "Examples:
  conclave webhook remove w_0123456789abcdef
  conclave webhook remove w_0123456789abcdef -p work")]
    Remove {
        /// Its id, as `webhook list` shows it
        id: String,
    },
    /// Events that were given up after a day
    #[command(after_help = "Examples:
  conclave webhook dead list
  conclave webhook dead retry w_0123456789abcdef")]
    Dead {
        #[command(subcommand)]
        action: DeadAction,
    },
}

#[derive(Debug, clap::Subcommand)]
enum DeadAction {
    /// List them, with why
    #[command(after_help = "Examples:
  conclave webhook dead list
  conclave webhook dead list -o json")]
    List,
    /// Try them again from the beginning
    #[command(after_help = "Examples:
  conclave webhook dead retry w_0123456789abcdef
  conclave webhook dead retry w_0123456789abcdef 1234")]
    Retry {
        /// The webhook's id
        id: String,
        /// The event's cursor; without it all
        cursor: Option<u64>,
    },
    /// Forget them
    #[command(after_help = "Examples:
  conclave webhook dead drop w_0123456789abcdef
  conclave webhook dead drop w_0123456789abcdef 1234")]
    Drop {
        /// The webhook's id
        id: String,
        /// The event's cursor; without it all
        cursor: Option<u64>,
    },
}

fn url(text: &str) -> Result<String, String> {
    Target::parse(text).map(|_| text.to_owned())
}

/// Adds, lists, tests, removes, or looks at what was given up.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    context
        .with_client(async |client: &Client| act(context, client, &args.action).await)
        .await
}

async fn act(context: &Context, client: &Client, action: &Action) -> Result<(), Failure> {
    let out = &context.out;
    match action {
        Action::Add {
            url,
            events,
            secret_file,
        } => {
            let secret = secret(context, secret_file)?;
            let added = client.add_webhook(url, events, &secret)?;
            Ok(out.row(&WebhookRow::from(&added))?)
        }
        Action::List => {
            for webhook in client.webhooks()? {
                out.row(&WebhookRow::from(&webhook))?;
            }
            Ok(())
        }
        Action::Test { id } => {
            let posted = test(client, id, context.now_ms()).await?;
            let row = PostedRow {
                webhook: id.clone(),
                ok: posted.is_ok(),
                reason: posted.clone().err().unwrap_or_default(),
            };
            out.row(&row)?;
            posted.map_err(|why| Failure::new(crate::exit::UNREACHABLE, "NOT_POSTED", why))
        }
        Action::Remove { id } => {
            client.remove_webhook(id)?;
            let to = id.clone();
            Ok(out.row(&DoneRow {
                done: "removed",
                to,
            })?)
        }
        Action::Dead { action } => dead(context, client, action),
    }
}

fn dead(context: &Context, client: &Client, action: &DeadAction) -> Result<(), Failure> {
    let (id, count) = match action {
        DeadAction::List => {
            for dead in client.dead_webhooks()? {
                context.out.row(&DeadRow::from(&dead))?;
            }
            return Ok(());
        }
        DeadAction::Retry { id, cursor } => (id, client.retry_dead(id, *cursor)?),
        DeadAction::Drop { id, cursor } => (id, client.drop_dead(id, *cursor)?),
    };
    let webhook = id.clone();
    Ok(context.out.row(&CountRow { webhook, count })?)
}

/// What the file holds, without line ends behind it.
fn secret(context: &Context, file: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut secret = Zeroizing::new(Vec::new());
    let read = File::open(context.path(file))
        .and_then(|opened| opened.take(SECRET_BYTES_MAX).read_to_end(&mut secret));
    read.map_err(|error| {
        Failure::usage(format!(
            "the file {} cannot be read: {error}",
            file.display()
        ))
    })?;
    let length = secret.trim_ascii_end().len();
    secret.truncate(length);
    Ok(secret)
}
