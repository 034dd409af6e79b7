//! `conclave token`: what programs show to use this profile over HTTP.

use std::collections::BTreeSet;
use std::time::Duration;

use conclave_client::{Client, TokenScope};

use crate::args::duration;
use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::{DoneRow, TokenRow};

/// Make, list and revoke tokens for programs that use the daemon over HTTP.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave token create --scope read,send --chat anna@example.org --expires 30d
  conclave token list")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make a token; it is shown this once
    #[command(after_help = "Examples:
  conclave token create --scope read
  conclave token create --scope read,send --chat hike --expires 12h --name 'weather bot'")]
    Create {
        /// What it allows: `read`, `send`, `admin`; each stands for itself
        #[arg(long, value_name = "SCOPES", value_delimiter = ',', required = true, value_parser = scope)]
        scope: Vec<TokenScope>,
        /// Only this chat; repeat for more. Without it, the whole profile
        #[arg(long, value_name = "CHAT")]
        chat: Vec<String>,
        /// How long it is good: `30d`, `12h`, `10m`
        #[arg(long, value_name = "DUR", default_value = "90d", value_parser = days)]
        expires: Duration,
        /// What you call it
        #[arg(long, value_name = "NAME", default_value = "")]
        name: String,
    },
    /// List tokens, without what opens the door
    #[command(after_help = "Examples:
  conclave token list
  conclave token list -o json")]
    List,
    /// Take a token back: from now on it opens nothing
    #[command(after_help = "Examples:
  conclave token revoke t_0123456789abcdef
  conclave token revoke t_0123456789abcdef -p work")]
    Revoke {
        /// Its id, as `token list` shows it
        id: String,
    },
}

fn scope(text: &str) -> Result<TokenScope, String> {
    TokenScope::from_name(text).ok_or_else(|| "say read, send or admin".to_owned())
}

/// As [`duration`], and days; a token that is over at once is none.
fn days(text: &str) -> Result<Duration, String> {
    let expected =
        || format!("`{text}` is no time that a token can be good for; write 30d, 12h or 10m");
    let expires = match text.strip_suffix('d') {
        Some(days) => {
            let days = days.parse::<u64>().map_err(|_| expected())?;
            let hours = days.checked_mul(24).ok_or_else(expected)?;
            duration(&format!("{hours}h"))
        }
        None => duration(text),
    };
    let expires = expires.map_err(|_| expected())?;
    if expires.is_zero() {
        return Err(expected());
    }
    Ok(expires)
}

/// Makes, lists or revokes.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let work = async |client: &Client| match &args.action {
        Action::Create {
            scope,
            chat,
            expires,
            name,
        } => {
            let chats: Result<BTreeSet<_>, _> =
                chat.iter().map(|chat| client.find_chat(chat)).collect();
            let scopes = scope.iter().copied().collect();
            let valid_ms = u64::try_from(expires.as_millis()).unwrap_or(u64::MAX);
            let (words, token) = client.create_token(name, &scopes, &chats?, valid_ms)?;
            Ok(context.out.row(&TokenRow::new(&token, Some(&words)))?)
        }
        Action::List => {
            for token in client.tokens()? {
                context.out.row(&TokenRow::new(&token, None))?;
            }
            Ok(())
        }
        Action::Revoke { id } => {
            client.revoke_token(id)?;
            let to = id.clone();
            Ok(context.out.row(&DoneRow {
                done: "revoked",
                to,
            })?)
        }
    };
    context.with_client(work).await
}
