//! `conclave send`: words become queued messages, then everything queued is accepted.
//!
//! 1. the texts: one from the command line or standard input, or one per line
//! 2. each is queued on this disk, in order
//! 3. the outbox settles: the server has accepted each, or the command says why not
//! 4. with `--wait`, until the recipient's device has it or the recipient has read it

use std::io::{self, BufRead as _, Read as _};

use clap::ValueEnum;
use conclave_client::view::{Message, MessageState, Trust};
use conclave_client::{Client, ClientError};
use conclave_proto::id::MessageId;
use conclave_proto::limits::TEXT_BYTES_MAX;

use crate::exit::{self, Failure};
use crate::profile::Context;
use crate::rows::SentRow;

/// Send a message. Ends when the server has accepted it (exit 0), or says how far it came.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave send +4915112345678 'hello'
  df -h | conclave send anna@example.org --wait delivered")]
pub(crate) struct Args {
    /// `+E164` number, e-mail address or chat id
    to: String,
    /// The text; `-` or nothing = standard input, a trailing line end cut
    #[arg(allow_hyphen_values = true)]
    text: Option<String>,
    /// Each line of standard input is a message, in order; all are read before the first is sent
    #[arg(long)]
    lines: bool,
    /// How far the message must get before the command ends
    #[arg(long, value_name = "STATE", default_value = "accepted")]
    wait: Wait,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Wait {
    /// On the server's disk.
    Accepted,
    /// On one of the recipient's devices.
    Delivered,
    /// Read by the recipient.
    Read,
}

impl Wait {
    const fn state(self) -> MessageState {
        match self {
            Self::Accepted => MessageState::Accepted,
            Self::Delivered => MessageState::Delivered,
            Self::Read => MessageState::Read,
        }
    }
}

/// Sends.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let texts = texts(args.text, args.lines)?;
    let state = args.wait.state();
    context
        .with_client(async |client: &Client| send(context, client, &args.to, &texts, state).await)
        .await
}

/// Step 1. All are checked before the first is queued: bad words send nothing.
fn texts(text: Option<String>, is_lines: bool) -> Result<Vec<String>, Failure> {
    let texts = match text {
        Some(text) if is_lines && text != "-" => {
            return Err(Failure::usage(
                "--lines reads standard input; leave the text out",
            ));
        }
        _ if is_lines => io::stdin()
            .lock()
            .lines()
            .collect::<Result<Vec<_>, _>>()
            .map_err(input)?,
        Some(text) if text != "-" => vec![text],
        _ => {
            let mut text = String::new();
            let limit = u64::try_from(TEXT_BYTES_MAX + 3).unwrap_or(u64::MAX);
            io::stdin()
                .lock()
                .take(limit)
                .read_to_string(&mut text)
                .map_err(input)?;
            let end = text
                .strip_suffix('\n')
                .map(|rest| rest.strip_suffix('\r').unwrap_or(rest));
            vec![end.map(str::to_owned).unwrap_or(text)]
        }
    };
    let texts: Vec<String> = texts
        .into_iter()
        .filter(|text| !(is_lines && text.is_empty()))
        .collect();
    for text in &texts {
        check(text)?;
    }
    Ok(texts)
}

fn check(text: &str) -> Result<(), Failure> {
    if text.is_empty() {
        return Err(Failure::usage(
            "the message is empty; give a text, or pipe one in",
        ));
    }
    if text.len() > TEXT_BYTES_MAX {
        let message = format!("the message is over {TEXT_BYTES_MAX} bytes");
        return Err(ClientError::TooLarge(message).into());
    }
    Ok(())
}

/// Standard input that is no text is bad usage, not a broken disk.
fn input(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::InvalidData => {
            Failure::usage("standard input is no UTF-8 text; nothing was sent")
        }
        _ => error.into(),
    }
}

async fn send(
    context: &Context,
    client: &Client,
    to: &str,
    texts: &[String],
    state: MessageState,
) -> Result<(), Failure> {
    client.go_online();
    let mut ids = Vec::with_capacity(texts.len());
    let mut refused = None;
    for text in texts {
        match context.in_time(client.send(to, text)).await {
            Ok(message) => ids.push(message.id),
            Err(failure) => {
                refused = Some(failure);
                break;
            }
        }
    }
    let waited = if ids.is_empty() {
        Ok(())
    } else {
        wait(context, client, &ids, state).await
    };
    let rows = rows(client, &ids)?;
    for row in &rows {
        let with = client.chat(row.chat)?.with;
        context.out.row(&SentRow::new(row, &with.identifier))?;
    }
    outcome(&rows, refused, waited, || {
        let is_changed = client
            .safety(to)
            .is_ok_and(|safety| safety.trust == Trust::Changed);
        is_changed.then(|| ClientError::IdentityChanged(to.to_owned()))
    })
}

/// Steps 3 and 4.
async fn wait(
    context: &Context,
    client: &Client,
    ids: &[MessageId],
    state: MessageState,
) -> Result<(), Failure> {
    client.settle(context.remaining()).await?;
    for id in ids {
        client.wait_for(*id, state, context.remaining()).await?;
    }
    // What came in meanwhile may have queued receipts.
    Ok(client.settle(context.remaining()).await?)
}

fn rows(client: &Client, ids: &[MessageId]) -> Result<Vec<Message>, Failure> {
    let rows: Result<Vec<_>, ClientError> = ids
        .iter()
        .map(|id| Ok(client.message(*id)?.message))
        .collect();
    Ok(rows?)
}

/// What became of it all: a changed key before a refusal, failed messages before an unfinished wait.
fn outcome(
    rows: &[Message],
    refused: Option<Failure>,
    waited: Result<(), Failure>,
    key_changed: impl FnOnce() -> Option<ClientError>,
) -> Result<(), Failure> {
    let mut failed = rows
        .iter()
        .filter(|row| row.state == MessageState::Failed)
        .peekable();
    if let Some(first) = failed.peek() {
        if let Some(error) = key_changed() {
            return Err(error.into());
        }
        let reason = first.reason.clone();
        let count = failed.count();
        let (exit, code) = if count < rows.len() {
            (exit::PARTLY, "PARTLY_SENT")
        } else {
            (exit::UNEXPECTED, "SEND_FAILED")
        };
        let message = format!("{count} of {} messages failed: {reason}", rows.len());
        return Err(Failure::new(exit, code, message));
    }
    match refused {
        None => waited,
        Some(failure) if rows.is_empty() => Err(failure),
        Some(failure) => {
            let message = format!(
                "only {} messages were queued: {}",
                rows.len(),
                failure.message
            );
            Err(Failure::new(exit::PARTLY, "PARTLY_SENT", message).with_hint(failure.hint))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conclave_client::view::Person;
    use conclave_proto::id::{AccountId, ChatId};

    fn row(state: MessageState) -> Message {
        let from = Person {
            account_id: AccountId::new([1; 16]),
            identifier: "a@b.c".into(),
            name: String::new(),
        };
        Message {
            id: MessageId::new([1; 16]),
            chat: ChatId::new([2; 16]),
            from,
            own: true,
            text: "hi".into(),
            state,
            reason: "no".into(),
            seq: None,
            ts_ms: 0,
            is_read: true,
        }
    }

    fn exit(
        states: &[MessageState],
        refused: Option<ClientError>,
        waited: Option<ClientError>,
        changed: bool,
    ) -> u8 {
        let rows: Vec<Message> = states.iter().map(|state| row(*state)).collect();
        let waited = waited.map_or(Ok(()), |error| Err(error.into()));
        let changed = || changed.then(|| ClientError::IdentityChanged("a@b.c".into()));
        outcome(&rows, refused.map(Failure::from), waited, changed).map_or_else(|f| f.exit, |()| 0)
    }

    /// The exit code says how far all messages came: done, failed, some failed, key changed, not waited out.
    #[test]
    fn exit_codes_tell_how_far_it_came() {
        use MessageState::{Accepted, Failed, Queued};
        assert_eq!(exit(&[Accepted, Accepted], None, None, false), 0);
        assert_eq!(exit(&[Failed], None, None, false), 1);
        assert_eq!(exit(&[Failed, Failed], None, None, true), 4);
        assert_eq!(
            exit(&[], Some(ClientError::NotFound("x".into())), None, false),
            8
        );
        assert_eq!(
            exit(
                &[Queued],
                None,
                Some(ClientError::Unreachable("x".into())),
                false
            ),
            6
        );
        assert_eq!(
            exit(&[Accepted], None, Some(ClientError::TimedOut), false),
            10
        );
    }

    /// 7: some messages went out and some did not.
    #[test]
    fn exit_7_partly() {
        use MessageState::{Accepted, Failed};
        assert_eq!(exit(&[Accepted, Failed], None, None, false), 7);
        assert_eq!(
            exit(&[Accepted], Some(ClientError::TimedOut), None, false),
            7
        );
    }
}
