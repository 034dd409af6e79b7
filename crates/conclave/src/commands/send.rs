//! `conclave send`: words become a queued message, then everything queued is accepted.
//!
//! 1. the text, from the command line or standard input; with `--lines` see `commands/lines.rs`
//! 2. it is queued on this disk
//! 3. the outbox settles: the server has accepted it, or the command says why not
//! 4. with `--wait`, until the recipient's device has it or the recipient has read it

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use conclave_client::view::{Mention, Message, MessageState, SendMore, Trust};
use conclave_client::{Client, ClientError};
use conclave_proto::id::MessageId;
use conclave_proto::limits::TEXT_BYTES_MAX;
use tokio::time::Instant;

use crate::commands::attachment::{self, FileId};
use crate::commands::lines;
use crate::exit::{self, Failure};
use crate::profile::Context;
use crate::rows::SentRow;

/// Send a message. Ends when the server has accepted it (exit 0), or says how far it came.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave send +4915112345678 'hello'
  conclave send anna@example.org 'the plans' --attach plan.pdf --attach photo.jpg")]
pub(crate) struct Args {
    /// `+E164` number, e-mail address, name of a group or chat id
    to: String,
    /// The text; `-` or nothing = standard input, a trailing line end cut
    #[arg(allow_hyphen_values = true)]
    text: Option<String>,
    /// Each line of standard input is a message, queued as it comes; messages also come in meanwhile
    #[arg(long)]
    lines: bool,
    /// How far the message must get before the command ends
    #[arg(long, value_name = "STATE", default_value = "accepted")]
    wait: Wait,
    #[command(flatten)]
    more: More,
}

/// What a message is sent with beside its text.
#[derive(Debug, clap::Args)]
pub(crate) struct More {
    /// The message that this one answers, of the same chat
    #[arg(long, value_name = "ID", conflicts_with = "lines")]
    pub(crate) reply_to: Option<MessageId>,
    /// Somebody whom the text names as `@WHO`; may be repeated
    #[arg(long, value_name = "WHO", conflicts_with = "lines")]
    pub(crate) mention: Vec<String>,
    /// Pass somebody's address on: a contact of yours; the text may be left out
    #[arg(long, value_name = "WHO", conflicts_with = "lines")]
    pub(crate) contact: Option<String>,
    /// A file to send with it; may be repeated. The text may be left out
    #[arg(long, value_name = "FILE", conflicts_with = "lines")]
    pub(crate) attach: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wait {
    /// On the server's disk.
    Accepted,
    /// On one of the recipient's devices.
    Delivered,
    /// Read by the recipient.
    Read,
}

impl Wait {
    pub(crate) const fn state(self) -> MessageState {
        match self {
            Self::Accepted => MessageState::Accepted,
            Self::Delivered => MessageState::Delivered,
            Self::Read => MessageState::Read,
        }
    }
}

/// Sends.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let state = args.wait.state();
    if args.lines {
        if args.text.is_some_and(|text| text != "-") {
            return Err(Failure::usage(
                "--lines reads standard input; leave the text out",
            ));
        }
        let work = async |client: &Client| lines::send(context, client, &args.to, state).await;
        return context.with_client(work).await;
    }
    let text = match args.text {
        None if args.more.contact.is_some() || !args.more.attach.is_empty() => String::new(),
        words => text(context, words).await?,
    };
    let work =
        async |client: &Client| send(context, client, &args.to, &text, &args.more, state).await;
    context.with_client(work).await
}

/// Step 1. Checked before anything is opened: bad words send nothing.
pub(crate) async fn text(context: &Context, text: Option<String>) -> Result<String, Failure> {
    let text = match text {
        Some(text) if text != "-" => text,
        _ => {
            let text = context.console.text(TEXT_BYTES_MAX + 3).await?;
            let end = text
                .strip_suffix('\n')
                .map(|rest| rest.strip_suffix('\r').unwrap_or(rest));
            end.map(str::to_owned).unwrap_or(text)
        }
    };
    check(&text)?;
    Ok(text)
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

/// The people that `text` names, in its order.
pub(crate) fn mentions(
    client: &Client,
    text: &str,
    who: &[String],
) -> Result<Vec<Mention>, ClientError> {
    let mentions: Result<Vec<_>, _> = who.iter().map(|who| client.mention(text, who)).collect();
    let mut mentions = mentions?;
    mentions.sort_by_key(|mention| mention.start);
    Ok(mentions)
}

/// Steps 2 to 4.
pub(crate) async fn send(
    context: &Context,
    client: &Client,
    to: &str,
    text: &str,
    more: &More,
    state: MessageState,
) -> Result<(), Failure> {
    client.go_online();
    let with = SendMore {
        reply_to: more.reply_to.map(|id| client.message_ref(id)).transpose()?,
        mentions: mentions(client, text, &more.mention)?,
        contact: more
            .contact
            .as_deref()
            .map(|who| client.card(who))
            .transpose()?,
        attachments: Vec::new(),
    };
    let (id, waited) = if more.attach.is_empty() {
        let id = context
            .in_time(client, client.send_with(to, text, with))
            .await?
            .id;
        (id, wait(client, &[id], state, context.remaining()).await)
    } else {
        send_files(context, client, to, text, (with, &more.attach), state).await?
    };
    let mut tally = Tally::default();
    tally.tell(context, client, &client.message(id)?.message)?;
    tally.outcome(None, waited, || key_changed(client, to))
}

/// Step 2 and 3 of a message with files: sealed, queued, and waited for as long as they move.
async fn send_files(
    context: &Context,
    client: &Client,
    to: &str,
    text: &str,
    (with, files): (SendMore, &[PathBuf]),
    state: MessageState,
) -> Result<(MessageId, Result<(), Failure>), Failure> {
    let files: Vec<PathBuf> = files.iter().map(|file| context.path(file)).collect();
    let sent = client.send_files(to, text, &files, with).await?;
    for number in 1..=sent.attachments.len() {
        let file = FileId {
            message: sent.id,
            number: u32::try_from(number).ok(),
        };
        if let Err(error) = attachment::carried(context, client, file).await {
            return Ok((sent.id, Err(error.into())));
        }
    }
    let waited = wait(client, &[sent.id], state, context.global.timeout).await;
    Ok((sent.id, waited))
}

/// Steps 3 and 4, each for at most `timeout`.
pub(crate) async fn wait(
    client: &Client,
    ids: &[MessageId],
    state: MessageState,
    timeout: Duration,
) -> Result<(), Failure> {
    let deadline = Instant::now() + timeout;
    let remaining = || deadline.saturating_duration_since(Instant::now());
    client.settle(remaining()).await?;
    for id in ids {
        client.wait_for(*id, state, remaining()).await?;
    }
    // What came in meanwhile may have queued receipts.
    Ok(client.settle(remaining()).await?)
}

/// The error that a changed key is, when it is why nothing went out.
pub(crate) fn key_changed(client: &Client, to: &str) -> Option<ClientError> {
    let safety = client.safety(to);
    let is_changed = safety.is_ok_and(|safety| safety.trust == Trust::Changed);
    is_changed.then(|| ClientError::IdentityChanged(to.to_owned()))
}

/// How many messages were queued, and what became of those that failed.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    told: usize,
    failed: usize,
    first_reason: String,
}

impl Tally {
    /// Prints what became of one message and counts it.
    pub(crate) fn tell(
        &mut self,
        context: &Context,
        client: &Client,
        message: &Message,
    ) -> Result<(), Failure> {
        let chat = client.chat(message.chat)?;
        let to = chat.with.map_or(chat.name, |with| with.identifier);
        self.count(message);
        Ok(context.out.row(&SentRow::new(message, &to))?)
    }

    fn count(&mut self, message: &Message) {
        self.told += 1;
        if message.state == MessageState::Failed {
            if self.failed == 0 {
                self.first_reason.clone_from(&message.reason);
            }
            self.failed += 1;
        }
    }

    /// What became of it all: a changed key before a refusal, failed messages before an unfinished wait.
    pub(crate) fn outcome(
        self,
        refused: Option<Failure>,
        waited: Result<(), Failure>,
        key_changed: impl FnOnce() -> Option<ClientError>,
    ) -> Result<(), Failure> {
        if self.failed > 0 {
            if let Some(error) = key_changed() {
                return Err(error.into());
            }
            let (exit, code) = if self.failed < self.told {
                (exit::PARTLY, "PARTLY_SENT")
            } else {
                (exit::UNEXPECTED, "SEND_FAILED")
            };
            let Self {
                told,
                failed,
                first_reason,
            } = self;
            let message = format!("{failed} of {told} messages failed: {first_reason}");
            return Err(Failure::new(exit, code, message));
        }
        match refused {
            None => waited,
            Some(failure) if self.told == 0 => Err(failure),
            Some(failure) => {
                let message = format!(
                    "only {} messages were queued: {}",
                    self.told, failure.message
                );
                Err(Failure::new(exit::PARTLY, "PARTLY_SENT", message).with_hint(failure.hint))
            }
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
            reply: None,
            mentions: vec![],
            reactions: vec![],
            edited_ms: None,
            deleted_by: None,
            forwarded: false,
            expires_s: 0,
            expires_ms: None,
            attachments: vec![],
            contact: None,
            pinned: false,
        }
    }

    fn exit(
        states: &[MessageState],
        refused: Option<ClientError>,
        waited: Option<ClientError>,
        changed: bool,
    ) -> u8 {
        let mut tally = Tally::default();
        for state in states {
            tally.count(&row(*state));
        }
        let waited = waited.map_or(Ok(()), |error| Err(error.into()));
        let changed = || changed.then(|| ClientError::IdentityChanged("a@b.c".into()));
        let ended = tally.outcome(refused.map(Failure::from), waited, changed);
        ended.map_or_else(|failure| failure.exit, |()| 0)
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
