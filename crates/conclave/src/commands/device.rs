//! `conclave device`: the account's devices.

use std::time::Duration;

use conclave_client::Client;
use conclave_client::view::HistoryScope;
use tokio::sync::broadcast::error::RecvError;

use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::{DeviceRow, DoneRow, HistoryRow};

/// How long an approval waits until the new device is in the conversations: it is approved before that.
const CONVERSATIONS: Duration = Duration::from_secs(15);

/// List, rename and remove the account's devices, and let new ones in.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave device list
  conclave device approve conclave-link:AQEB --code 123456")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the account's devices, this one marked
    #[command(after_help = "Examples:
  conclave device list
  conclave device list -o json")]
    List,
    /// Let a new device in: the one that shows this link and a code, by `conclave link`
    #[command(after_help = "Examples:
  conclave device approve conclave-link:AQEB --code '123 456'
  conclave device approve conclave-link:AQEB --code 123456 --history 30d")]
    Approve {
        /// The link that the new device shows
        link: String,
        /// The six digits that it shows; asked for at a terminal
        #[arg(long, value_name = "DIGITS")]
        code: Option<String>,
        /// What of the past it gets: `all`, `none`, or days as in `30d`; asked for at a terminal, else none
        #[arg(long, value_name = "HOW MUCH", value_parser = history_scope)]
        history: Option<HistoryScope>,
    },
    /// Give a device a name of your own
    #[command(after_help = "Examples:
  conclave device rename laptop 'old laptop'
  conclave device rename d_1f2e3d phone")]
    Rename {
        /// Its name, its id, or the beginning of its id
        device: String,
        /// The new name; empty takes the old one back
        name: String,
    },
    /// Replace this device's own key in all its conversations: nobody has to do anything
    #[command(after_help = "Examples:
  conclave device rotate
  conclave device rotate --timeout 1m")]
    Rotate,
    /// Take a device out of the account: lost, stolen or sold
    #[command(after_help = "Examples:
  conclave device remove laptop
  conclave device remove d_1f2e3d")]
    Remove {
        /// Its name, its id, or the beginning of its id
        device: String,
    },
}

/// Shows or changes.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let work = async |client: &Client| match &args.action {
        Action::List => list(context, client).await,
        Action::Approve {
            link,
            code,
            history,
        } => Box::pin(approve(context, client, link, code.as_deref(), *history)).await,
        Action::Rename { device, name } => {
            let device = client.find_device(device)?.id;
            client.rename_device(device, name)?;
            let to = device.to_string();
            Ok(context.out.row(&DoneRow {
                done: "renamed",
                to,
            })?)
        }
        Action::Rotate => rotate(context, client).await,
        Action::Remove { device } => remove(context, client, device).await,
    };
    context.with_client(work).await
}

/// Other devices may have changed the account: it is looked at first, when the server is there.
async fn list(context: &Context, client: &Client) -> Result<(), Failure> {
    let settled = context.settle(client).await;
    for device in client.devices()? {
        context.out.row(&DeviceRow::from(&device))?;
    }
    settled
}

async fn approve(
    context: &Context,
    client: &Client,
    link: &str,
    code: Option<&str>,
    history: Option<HistoryScope>,
) -> Result<(), Failure> {
    let offer = context.in_time(client, client.link_look(link)).await?;
    let code = match code {
        Some(code) => code.to_owned(),
        None => ask(context, &offer.name).await?,
    };
    let history = match history {
        Some(history) => history,
        None => ask_history(context).await?,
    };
    if history != HistoryScope::Nothing {
        // What is still at the server goes along too: the new device cannot fetch what was said before it came.
        context.settle(client).await?;
    }
    client.offer_history(history)?;
    let approved = context
        .in_time(client, client.approve_device(link, &code))
        .await;
    let offer = approved.map_err(silent)?;
    let to = offer.device.to_string();
    context.out.row(&DoneRow {
        done: "approved",
        to,
    })?;
    // Into the conversations that are ready at once; the rest goes on with every later run.
    let settled = client.settle(context.remaining().min(CONVERSATIONS)).await;
    let settled = settled.map_err(Failure::from);
    carry_history(context, client).await?;
    match settled {
        Err(failure) if failure.exit != crate::exit::TIMED_OUT => Err(failure),
        _ => Ok(()),
    }
}

/// Who approves in vain is told whom it waited for.
fn silent(failure: Failure) -> Failure {
    if failure.exit != crate::exit::TIMED_OUT {
        return failure;
    }
    Failure::new(
        crate::exit::TIMED_OUT,
        "TIMED_OUT",
        "the new device does not answer: is `conclave link` still running there?",
    )
    .with_hint("run it again there, and approve the link and code that it shows")
}

/// Waits for history on its way to or from this device, and shows each tenth of it. When time is up it goes
/// on with every later run.
pub(crate) async fn carry_history(context: &Context, client: &Client) -> Result<(), Failure> {
    let mut events = client.events();
    let under_way = client.history_progress()?;
    let Some(first) = under_way.iter().position(|one| !one.is_over) else {
        return Ok(());
    };
    let mut tenth = u64::MAX;
    loop {
        let now = client.history_progress()?;
        let Some(one) = now.get(first) else { break };
        let now_tenth = one
            .bytes_done
            .saturating_mul(10)
            .checked_div(one.bytes_total);
        if one.is_over || now_tenth != Some(tenth) {
            tenth = now_tenth.unwrap_or(0);
            context.out.row(&HistoryRow::from(one))?;
        }
        if one.is_over {
            break;
        }
        // Lagging or not: the store is looked at again either way.
        let waited = tokio::time::timeout(context.remaining(), events.recv()).await;
        if matches!(waited, Err(_) | Ok(Err(RecvError::Closed))) {
            break;
        }
    }
    Ok(())
}

/// `all`, `none` or `30d`.
fn history_scope(text: &str) -> Result<HistoryScope, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse().ok());
    match (text, days) {
        ("all", _) => Ok(HistoryScope::All),
        ("none", _) => Ok(HistoryScope::Nothing),
        (_, Some(days)) => Ok(HistoryScope::Days(days)),
        _ => Err("expected all, none, or days as in 30d".to_owned()),
    }
}

/// How much of the past the new device gets; nothing unless somebody says so.
async fn ask_history(context: &Context) -> Result<HistoryScope, Failure> {
    if !context.is_interactive() {
        return Ok(HistoryScope::Nothing);
    }
    context.console.err(
        "messages and contacts from before it may go along, encrypted: all, none, or days as in 30d [none]: ",
    )?;
    let line = context.console.line().await?.unwrap_or_default();
    match line.trim() {
        "" => Ok(HistoryScope::Nothing),
        words => history_scope(words).map_err(Failure::usage),
    }
}

/// The code, typed by the person who sees both devices.
async fn ask(context: &Context, name: &str) -> Result<String, Failure> {
    if !context.is_interactive() {
        return Err(Failure::usage(
            "the code that the new device shows is needed; give it with --code DIGITS",
        ));
    }
    let name = crate::output::safe(name);
    let called = if name.is_empty() {
        String::new()
    } else {
        format!(", which calls itself {name:?},")
    };
    context.console.err(&format!(
        "the new device{called} will read everything you write from now on; the code that it shows: "
    ))?;
    Ok(context.console.line().await?.unwrap_or_default())
}

async fn rotate(context: &Context, client: &Client) -> Result<(), Failure> {
    context.in_time(client, client.rotate_device_key()).await?;
    let to = client.whoami()?.device_id.to_string();
    context.out.row(&DoneRow {
        done: "rotated",
        to,
    })?;
    // Conversations follow; what is not done when time is up goes on with every later run.
    match context.settle(client).await {
        Err(failure) if failure.exit != crate::exit::TIMED_OUT => Err(failure),
        _ => Ok(()),
    }
}

async fn remove(context: &Context, client: &Client, words: &str) -> Result<(), Failure> {
    let device = client.find_device(words)?.id;
    context
        .in_time(client, client.remove_device(device))
        .await?;
    let settled = context.settle(client).await;
    let to = device.to_string();
    context.out.row(&DoneRow {
        done: "removed",
        to,
    })?;
    match settled {
        Err(failure) if failure.exit != crate::exit::TIMED_OUT => Err(failure),
        _ => Ok(()),
    }
}
