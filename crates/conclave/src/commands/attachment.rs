//! `conclave attachment`: files of messages, listed, loaded, taken back and cleared away.

use std::path::PathBuf;
use std::str::FromStr;

use conclave_client::view::{Attachment, AttachmentState, MessageState};
use conclave_client::{Client, ClientError};
use conclave_proto::id::MessageId;

use crate::commands::send;
use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::{AttachmentRow, DoneRow, PrunedRow};

/// List the files of a chat, load them, and clear away.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave attachment list anna@example.org
  conclave attachment get m_0123456789abcdef0123456789abcdef -O ~/Downloads")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the files of a chat, oldest first
    #[command(after_help = "Examples:
  conclave attachment list anna@example.org
  conclave attachment list friends -o json")]
    List {
        /// `+E164` number, e-mail address, group or chat id
        chat: String,
    },
    /// Load a file; goes on where an earlier try got to
    #[command(after_help = "Examples:
  conclave attachment get m_0123456789abcdef0123456789abcdef
  conclave attachment get m_0123456789abcdef0123456789abcdef/2 -O report.pdf --force")]
    Get {
        /// A file, as `attachment list` prints it: the message's id, and which of its files when there are several
        file: FileId,
        /// Write it there: a file, or a folder in which it gets its own name. Without this it stays sealed in the
        /// profile
        #[arg(short = 'O', long, value_name = "FILE|DIR")]
        to: Option<PathBuf>,
        /// Replace what is there
        #[arg(long, requires = "to")]
        force: bool,
    },
    /// Wait until a file is where it goes, up or down: after a cut, say
    #[command(after_help = "Examples:
  conclave attachment wait m_0123456789abcdef0123456789abcdef
  conclave attachment wait m_0123456789abcdef0123456789abcdef/2 --timeout 1h")]
    Wait {
        /// A file, as `attachment list` prints it
        file: FileId,
    },
    /// Stop a file on its way, or take a message back that waits for its files
    #[command(after_help = "Examples:
  conclave attachment cancel m_0123456789abcdef0123456789abcdef
  conclave attachment cancel m_0123456789abcdef0123456789abcdef/2")]
    Cancel {
        /// A file, as `attachment list` prints it
        file: FileId,
    },
    /// Remove all loaded files from the profile; what was written elsewhere stays
    #[command(after_help = "Examples:
  conclave attachment prune
  conclave attachment prune -o json")]
    Prune,
}

/// A file of a message: `m_…` or `m_…/2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId {
    /// Its message.
    pub(crate) message: MessageId,
    /// Its place there, from 1.
    pub(crate) number: Option<u32>,
}

impl FromStr for FileId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("`{text}` names no file; write m_… or m_…/2");
        let (message, number) = match text.split_once('/') {
            Some((message, number)) => {
                let number: u32 = number.parse().map_err(|_| expected())?;
                (message, Some(number))
            }
            None => (text, None),
        };
        if number == Some(0) {
            return Err(expected());
        }
        let message = message.parse().map_err(|_| expected())?;
        Ok(Self { message, number })
    }
}

/// Does it.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let work = async |client: &Client| match &args.action {
        Action::List { chat } => {
            for file in client.attachments(client.find_chat(chat)?)? {
                context.out.row(&AttachmentRow::from(&file))?;
            }
            Ok(())
        }
        Action::Get { file, to, force } => {
            let to = to.as_ref().map(|to| context.path(to));
            get(context, client, *file, to, *force).await
        }
        Action::Wait { file } => wait(context, client, *file).await,
        Action::Cancel { file } => {
            client.cancel_attachment(file.message, file.number)?;
            Ok(context.out.row(&DoneRow {
                done: "cancelled",
                to: file.message.to_string(),
            })?)
        }
        Action::Prune => {
            let pruned = client.prune_attachments()?;
            Ok(context.out.row(&PrunedRow::from(pruned))?)
        }
    };
    context.with_client(work).await
}

/// Loads a file and, when somebody said where to, writes it there. What was loaded for that alone does not stay.
async fn get(
    context: &Context,
    client: &Client,
    id: FileId,
    to: Option<PathBuf>,
    force: bool,
) -> Result<(), Failure> {
    let before = client.attachment(id.message, id.number)?;
    if let Some(to) = &to {
        client.attachment_target(&before, to, force)?;
    }
    client.go_online();
    client.fetch_attachment(id.message, id.number)?;
    let file = carried(context, client, id).await?;
    if file.state != AttachmentState::Loaded {
        return Err(ClientError::NotFound(file.reason).into());
    }
    let mut row = AttachmentRow::from(&file);
    if let Some(to) = to {
        let saved = client.save_attachment(id.message, id.number, &to, force);
        row.saved(&saved.await?);
        if before.state != AttachmentState::Loaded {
            client.forget_attachment(id.message, id.number)?;
        }
    }
    Ok(context.out.row(&row)?)
}

/// Waits for a file; one of an own message has gone well when its message has gone out.
async fn wait(context: &Context, client: &Client, id: FileId) -> Result<(), Failure> {
    client.go_online();
    let file = carried(context, client, id).await?;
    context.out.row(&AttachmentRow::from(&file))?;
    if file.state == AttachmentState::Failed {
        return Err(ClientError::NotFound(file.reason).into());
    }
    if file.own {
        let accepted = MessageState::Accepted;
        let timeout = context.global.timeout;
        return send::wait(client, &[file.message], accepted, timeout).await;
    }
    Ok(())
}

/// Waits as long as a file moves, and shows how far it is.
pub(crate) async fn carried(
    context: &Context,
    client: &Client,
    id: FileId,
) -> Result<Attachment, ClientError> {
    let timeout = context.global.timeout;
    let mut last = None;
    let mut told = |file: &Attachment| {
        let moves = matches!(
            file.state,
            AttachmentState::Loading | AttachmentState::Uploading
        );
        let now = (file.bytes_done, file.reason.clone());
        if last.as_ref() != Some(&now) && (moves || last.is_some()) {
            last = Some(now);
            let row = AttachmentRow::from(file);
            let line = if moves { row.bar() } else { String::new() };
            // Progress that nobody can see is no trouble.
            let _ = context.out.progress(&row, &line);
        }
    };
    client
        .wait_for_attachment(id.message, id.number, timeout, &mut told)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message's id alone or with a place from 1; nothing else.
    #[test]
    fn files_are_named_by_message_and_place() {
        let id = "m_0123456789abcdef0123456789abcdef";
        let file = |text: &str| text.parse::<FileId>();
        assert_eq!(file(id).unwrap().number, None);
        assert_eq!(file(&format!("{id}/2")).unwrap().number, Some(2));
        for wrong in [
            "",
            "/",
            "m_",
            "/1",
            &format!("{id}/"),
            &format!("{id}/0"),
            &format!("{id}/x"),
        ] {
            assert!(file(wrong).is_err(), "{wrong}");
        }
    }
}
