//! `conclave web`: the profile's chats as a page in the browser.

use serde_json::json;

use crate::daemon::{self, Doors, Front, OpenParams, PageWish};
use crate::exit::Failure;
use crate::profile::Context;
use crate::web::Opened;

/// Open the page of this profile in the browser. Keys and messages stay in this program, which only this machine
/// reaches. With a daemon the page is its; without one this command is the daemon until it is interrupted.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave web
  conclave web --no-open --port 7080")]
pub(crate) struct Args {
    /// Only print the link, which is good once and for a minute
    #[arg(long)]
    no_open: bool,
    /// The port of this machine; without this the one of last time, or a free one
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// First end all sessions of the page: who was let in before has to come in anew
    #[arg(long)]
    end_sessions: bool,
}

/// Finds or becomes the daemon, and tells where the page is.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    if let Some(mut front) = Front::find(&context.dir()?).await {
        let params = OpenParams {
            port: args.port,
            end_sessions: args.end_sessions,
        };
        let opened = front.call("web.open", json!(params)).await?;
        let opened: Opened = serde_json::from_value(opened).map_err(std::io::Error::from)?;
        return daemon::show(context, &opened.url, !args.no_open);
    }
    let client = context.open_or_create().await?;
    let wish = PageWish {
        port: args.port,
        in_browser: !args.no_open,
    };
    let doors = Doors {
        http: None,
        page: Some(wish),
    };
    daemon::run(context, client, doors).await
}
