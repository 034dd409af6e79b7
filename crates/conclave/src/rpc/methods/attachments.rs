//! Methods about files of messages.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use conclave_client::view::{AttachmentState, SendMore};
use conclave_client::{Client, ClientError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::messages::{again, message_id};
use super::{Again, Caller, Method, Reach, RpcError, Scope, Short, Text, TimeoutMs, reach_chat};
use crate::commands::attachment::FileId;
use crate::rows::{AttachmentRow, DoneRow, MessageRow, PrunedRow};
use crate::web::{Upload, inline_kind, is_here};

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

/// Send files with a text or without: files of this disk at the profile's own socket or pipes alone, uploaded ones on
/// the page. Queued when the answer comes: the message goes out when all files are on the server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SendParams {
    /// `+E164` number, e-mail address, name of a group, or chat id.
    to: Short,
    /// What to say; may be empty.
    text: Text,
    /// Whole paths of the files; with the uploads at most ten.
    #[serde(default)]
    paths: Vec<Short>,
    /// Names that `POST /upload` gave.
    #[serde(default)]
    uploads: Vec<Short>,
    /// The message that it answers, by its id; empty: none.
    #[serde(default)]
    reply_to: Short,
}

impl Method for SendParams {
    const NAME: &'static str = "attachments.send";
    const SCOPE: Scope = Scope::Send;
    const AGAIN: Option<Again<MessageRow>> = Some(again);
    type Result = MessageRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.to)
    }

    async fn call(self, client: &Client, caller: &Caller) -> Result<MessageRow, RpcError> {
        if self.uploads.is_empty() || !self.paths.is_empty() {
            caller.check_owner()?;
        }
        if self.paths.is_empty() && self.uploads.is_empty() {
            let why = "name a file; `messages.send` sends words alone";
            return Err(ClientError::BadInput(why.to_owned()).into());
        }
        let names: Vec<&str> = self.uploads.iter().map(|name| name.0.as_str()).collect();
        let uploads = uploaded(caller, &names)?;
        let paths: Result<Vec<_>, _> = self.paths.iter().map(whole_path).collect();
        let mut files = paths?;
        files.extend(uploads.iter().map(|upload| upload.path.clone()));
        let answered = Some(&self.reply_to).filter(|id| !id.0.is_empty());
        let answered = answered.map(message_id).transpose()?;
        let more = SendMore {
            reply_to: answered.map(|id| client.message_ref(id)).transpose()?,
            ..SendMore::default()
        };
        let sent = client
            .send_files(&self.to.0, &self.text.0, &files, more)
            .await?;
        if let Some(desk) = caller.desk() {
            desk.forget(&names);
        }
        Ok(MessageRow::from(&sent))
    }
}

/// The files that the page uploaded under these names.
fn uploaded(caller: &Caller, names: &[&str]) -> Result<Vec<Arc<Upload>>, RpcError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let found = caller.desk().and_then(|desk| desk.uploads(names));
    let missing =
        "an upload is not there: sent already, or older than an hour; choose the file again";
    found.ok_or_else(|| ClientError::NotFound(missing.to_owned()).into())
}

/// An address of a loaded file for the browser, on the page alone; `attachments.get` loads it before.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkParams {
    /// The message, by its id.
    message: Short,
    /// Which of its files, from 1.
    number: u32,
}

/// Where a file is for the browser, as long as the session lasts.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct FileLink {
    /// From the page's own address on.
    url: String,
    /// Whether the browser shows it in place; everything else is downloaded.
    inline: bool,
    name: String,
    media_type: String,
    length: u64,
}

impl Method for LinkParams {
    const NAME: &'static str = "attachments.link";
    const SCOPE: Scope = Scope::Read;
    type Result = FileLink;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        match client.message(message_id(&self.message)?) {
            Ok(info) => Ok(Reach::Chat(info.message.chat)),
            Err(ClientError::NotFound(_)) => Ok(Reach::Profile),
            Err(error) => Err(error.into()),
        }
    }

    async fn call(self, client: &Client, caller: &Caller) -> Result<FileLink, RpcError> {
        let message = message_id(&self.message)?;
        let file = client.attachment(message, Some(self.number))?;
        let Some(desk) = caller.desk() else {
            let mut error = RpcError::forbidden("only the page shows files in a browser");
            "load it with `attachments.get`".clone_into(&mut error.data.hint);
            return Err(error);
        };
        if !is_here(&file) {
            let why = "the file is not here yet; load it first";
            return Err(ClientError::NotFound(why.to_owned()).into());
        }
        Ok(FileLink {
            url: desk.link((message, file.number)),
            inline: inline_kind(&file.media_type).is_some(),
            name: file.name,
            media_type: file.media_type,
            length: file.length,
        })
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
