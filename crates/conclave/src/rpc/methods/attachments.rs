//! Methods about files of messages.

use std::path::PathBuf;
use std::time::Duration;

use conclave_client::view::{AttachmentState, SendMore};
use conclave_client::{Client, ClientError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Caller, Method, Reach, RpcError, Scope, Short, Text, TimeoutMs, reach_chat};
use crate::commands::attachment::FileId;
use crate::rows::{AttachmentRow, DoneRow, MessageRow, PrunedRow};

/// The files of a chat and where each is, oldest first.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    /// `+E164` number, e-mail address, name of a group, or chat id.
    chat: Short,
}

impl Method for ListParams {
    const NAME: &'static str = "attachments.list";
    const SCOPE: Scope = Scope::Read;
    type Result = Attachments;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.chat)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<Attachments, RpcError> {
        let files = client.attachments(client.find_chat(&self.chat.0)?)?;
        let attachments = files.iter().map(AttachmentRow::from).collect();
        Ok(Attachments { attachments })
    }
}

/// Files.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Attachments {
    /// Oldest first.
    attachments: Vec<AttachmentRow>,
}

/// Send files of this disk with a text or without. At the profile's own socket or pipes alone. Queued when the answer
/// comes: the message goes out when all files are on the server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SendParams {
    /// `+E164` number, e-mail address, name of a group, or chat id.
    to: Short,
    /// What to say; may be empty.
    text: Text,
    /// Whole paths of the files, at most ten.
    paths: Vec<Short>,
}

impl Method for SendParams {
    const NAME: &'static str = "attachments.send";
    const SCOPE: Scope = Scope::Send;
    type Result = MessageRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.to)
    }

    async fn call(self, client: &Client, caller: &Caller) -> Result<MessageRow, RpcError> {
        caller.check_owner()?;
        if self.paths.is_empty() {
            let why = "name a file; `messages.send` sends words alone";
            return Err(RpcError::bad_params(why));
        }
        let paths: Result<Vec<_>, _> = self.paths.iter().map(whole_path).collect();
        let more = SendMore::default();
        let sent = client
            .send_files(&self.to.0, &self.text.0, &paths?, more)
            .await?;
        Ok(MessageRow::from(&sent))
    }
}

/// Load a file into the profile, where it stays sealed. The answer comes when it is there, or when nothing of it moved
/// for `timeout_ms`; it goes on either way.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GetParams {
    /// A file: a message id, and `/2` behind it for the second of several.
    id: Short,
    /// How long to wait while nothing moves.
    #[serde(default)]
    timeout_ms: TimeoutMs,
}

impl Method for GetParams {
    const NAME: &'static str = "attachments.get";
    const SCOPE: Scope = Scope::Read;
    type Result = AttachmentRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_file(client, &self.id)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<AttachmentRow, RpcError> {
        let id = file_id(&self.id)?;
        client.fetch_attachment(id.message, id.number)?;
        let timeout = Duration::from_millis(self.timeout_ms.0);
        let mut told = |_: &_| {};
        // How far it came in time is the answer.
        let _ = client
            .wait_for_attachment(id.message, id.number, timeout, &mut told)
            .await;
        let file = client.attachment(id.message, id.number)?;
        if file.state == AttachmentState::Failed {
            return Err(ClientError::NotFound(file.reason).into());
        }
        Ok(AttachmentRow::from(&file))
    }
}

/// Write a loaded file to this disk. At the profile's own socket or pipes alone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SaveParams {
    /// A file: a message id, and `/2` behind it for the second of several.
    id: Short,
    /// A whole path: a file, or a folder in which it gets its own name.
    path: Short,
    /// Whether to replace what is there.
    #[serde(default)]
    force: bool,
}

impl Method for SaveParams {
    const NAME: &'static str = "attachments.save";
    const SCOPE: Scope = Scope::Read;
    type Result = AttachmentRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_file(client, &self.id)
    }

    async fn call(self, client: &Client, caller: &Caller) -> Result<AttachmentRow, RpcError> {
        caller.check_owner()?;
        let (id, to) = (file_id(&self.id)?, whole_path(&self.path)?);
        let saved = client.save_attachment(id.message, id.number, &to, self.force);
        let saved = saved.await?;
        let mut row = AttachmentRow::from(&client.attachment(id.message, id.number)?);
        row.saved(&saved);
        Ok(row)
    }
}

/// Stop a file on its way here, or take a message back that waits for its files.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CancelParams {
    /// A file: a message id, and `/2` behind it for the second of several.
    id: Short,
}

impl Method for CancelParams {
    const NAME: &'static str = "attachments.cancel";
    const SCOPE: Scope = Scope::Send;
    type Result = DoneRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_file(client, &self.id)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<DoneRow, RpcError> {
        let id = file_id(&self.id)?;
        client.cancel_attachment(id.message, id.number)?;
        Ok(DoneRow {
            done: "cancelled",
            to: id.message.to_string(),
        })
    }
}

/// Remove all loaded files from the profile; what was written elsewhere stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PruneParams {}

impl Method for PruneParams {
    const NAME: &'static str = "attachments.prune";
    const SCOPE: Scope = Scope::Admin;
    type Result = PrunedRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<PrunedRow, RpcError> {
        Ok(PrunedRow::from(client.prune_attachments()?))
    }
}

fn file_id(words: &Short) -> Result<FileId, RpcError> {
    words
        .0
        .parse()
        .map_err(|error: String| RpcError::bad_params(error))
}

/// The chat that a file's message is in.
fn reach_file(client: &Client, id: &Short) -> Result<Reach, RpcError> {
    let id = file_id(id)?;
    match client.message(id.message) {
        Ok(info) => Ok(Reach::Chat(info.message.chat)),
        Err(ClientError::NotFound(_)) => Ok(Reach::Profile),
        Err(error) => Err(error.into()),
    }
}

/// What a daemon takes a path from is not where its caller is.
fn whole_path(path: &Short) -> Result<PathBuf, RpcError> {
    let path = PathBuf::from(&path.0);
    if path.is_absolute() {
        return Ok(path);
    }
    Err(ClientError::BadInput("the path is not whole; begin it with /".into()).into())
}
