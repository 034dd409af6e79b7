//! What a page is told beside the events that are kept: who writes, how far files are, whether the server is there,
//! and what changed on this disk by any command or device. Nothing of it comes twice: whoever missed some is told to
//! look again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use conclave_client::view::{
    Attachment, AttachmentState, ChatKind, Connection, HistoryProgress, Touched,
};
use conclave_client::{Client, ClientError, ConnectionChanges, Event};
use conclave_proto::id::{ChatId, MessageId};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use crate::rows::{AttachmentRow, ChatRow, HistoryRow, MessageRow, PersonRow};

/// What is touched is told together when it is touched within this time.
const TOGETHER: Duration = Duration::from_millis(100);
/// Messages of one chat, and chats, that are told one by one; of more the page looks itself.
const ROWS_MAX: usize = 64;
/// Files whose progress is remembered.
const FILES_MAX: usize = 256;

/// One thing to tell; `type` says which.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Told<'a> {
    /// Somebody writes, or did a moment ago; forget it after six seconds.
    Typing { chat: String, from: PersonRow },
    /// A file of a message moved on its way up or down.
    Progress {
        #[serde(flatten)]
        file: AttachmentRow,
    },
    /// History for another device moved on its way there, or here.
    History {
        #[serde(flatten)]
        history: HistoryRow,
    },
    /// How this device stands with its server; the first thing that is told.
    Connection {
        online: bool,
        removed: bool,
        queued: u64,
        reason: &'a str,
    },
    /// A chat as it is now, and the messages of it that changed or came; `gone` are no more. With `reload` they are
    /// too many to name.
    Chat {
        chat: Box<ChatRow>,
        messages: Vec<MessageRow>,
        gone: Vec<String>,
        reload: bool,
    },
    /// A chat that is no more.
    ChatGone { chat: String },
    /// Names, pictures, or how far people are trusted.
    People,
    /// The account's devices.
    Devices,
    /// Settings of the profile, or its own name.
    Settings,
    /// Some was missed: look at everything again.
    Again,
}

/// Everything that is to be told from now on.
#[derive(Debug)]
pub(crate) struct Live {
    client: Client,
    events: Receiver<Event>,
    touched: Receiver<Arc<BTreeSet<Touched>>>,
    connection: ConnectionChanges,
    /// As it was told last; none before.
    standing: Option<Connection>,
    /// Hundredths of files that were told.
    files: BTreeMap<(MessageId, u32), (AttachmentState, u64)>,
    /// What waits for what is touched beside it.
    waiting: BTreeSet<Touched>,
    due: Option<Instant>,
    ready: VecDeque<Value>,
}

impl Live {
    /// From now on.
    pub(crate) fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
            events: client.events(),
            touched: client.touched(),
            connection: client.connection_changes(),
            standing: None,
            files: BTreeMap::new(),
            waiting: BTreeSet::new(),
            due: None,
            ready: VecDeque::new(),
        }
    }

    /// The next thing to tell, one JSON object. Nothing is lost when the wait is given up.
    pub(crate) async fn next(&mut self) -> Result<Value, ClientError> {
        if self.standing.is_none() {
            self.look_at_connection()?;
        }
        loop {
            if let Some(told) = self.ready.pop_front() {
                return Ok(told);
            }
            let due = self.due;
            let together = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = together => self.tell_touched()?,
                event = self.events.recv() => match event {
                    Ok(event) => self.event(&event),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Err(stopped()),
                },
                touched = self.touched.recv() => match touched {
                    Ok(touched) => self.touch(&touched),
                    Err(RecvError::Lagged(_)) => self.miss(),
                    Err(RecvError::Closed) => return Err(stopped()),
                },
                () = self.connection.next() => self.look_at_connection()?,
            }
        }
    }

    fn tell(&mut self, told: &Told<'_>) {
        self.ready.push_back(json!(told));
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Typing { chat, from } => self.tell(&Told::Typing {
                chat: chat.to_string(),
                from: PersonRow::from(from),
            }),
            Event::File(file) => self.file(file),
            Event::History(progress) => self.history(progress),
            _ => {}
        }
    }

    /// A file's way in steps of a hundredth.
    fn file(&mut self, file: &Attachment) {
        let hundredths = file.bytes_done.saturating_mul(100) / file.bytes_total.max(1);
        let (name, now) = ((file.message, file.number), (file.state, hundredths));
        if self.files.get(&name) == Some(&now) {
            return;
        }
        let moves = [AttachmentState::Uploading, AttachmentState::Loading];
        if moves.contains(&file.state) && self.files.len() < FILES_MAX {
            self.files.insert(name, now);
        } else {
            self.files.remove(&name);
        }
        let file = AttachmentRow::from(file);
        self.tell(&Told::Progress { file });
    }

    fn history(&mut self, progress: &HistoryProgress) {
        let history = HistoryRow::from(progress);
        self.tell(&Told::History { history });
    }

    /// Tells how this device stands with its server, when that is news.
    fn look_at_connection(&mut self) -> Result<(), ClientError> {
        let now = match self.client.connection() {
            Ok(now) => now,
            // Nothing to connect for yet.
            Err(ClientError::NotRegistered) => Connection::default(),
            Err(error) => return Err(error),
        };
        if self.standing.as_ref() != Some(&now) {
            self.tell(&Told::Connection {
                online: now.is_online,
                removed: now.is_removed,
                queued: now.queued,
                reason: &now.trouble,
            });
            self.standing = Some(now);
        }
        Ok(())
    }

    fn touch(&mut self, touched: &BTreeSet<Touched>) {
        self.waiting.extend(touched.iter().copied());
        self.due.get_or_insert_with(|| Instant::now() + TOGETHER);
    }

    /// More happened than was kept for this reader.
    fn miss(&mut self) {
        self.waiting.clear();
        self.due = None;
        self.tell(&Told::Again);
    }

    fn tell_touched(&mut self) -> Result<(), ClientError> {
        self.due = None;
        let mut chats: BTreeMap<ChatId, Vec<MessageId>> = BTreeMap::new();
        for touched in std::mem::take(&mut self.waiting) {
            match touched {
                Touched::Chat(chat) => drop(chats.entry(chat).or_default()),
                Touched::Message(chat, message) => chats.entry(chat).or_default().push(message),
                Touched::People => self.tell(&Told::People),
                Touched::Devices => self.tell(&Told::Devices),
                Touched::Settings => self.tell(&Told::Settings),
            }
        }
        if chats.len() > ROWS_MAX {
            self.tell(&Told::Again);
            return Ok(());
        }
        for (chat, messages) in chats {
            self.tell_chat(chat, &messages)?;
        }
        // What is queued may be more or less.
        self.look_at_connection()
    }

    fn tell_chat(&mut self, id: ChatId, touched: &[MessageId]) -> Result<(), ClientError> {
        let chat = match self.client.chat(id) {
            // Own devices among themselves.
            Ok(chat) if chat.kind == ChatKind::Own => return Ok(()),
            Ok(chat) => chat,
            Err(ClientError::NotFound(_)) => {
                let chat = id.to_string();
                self.tell(&Told::ChatGone { chat });
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let reload = touched.len() > ROWS_MAX;
        let (mut messages, mut gone) = (Vec::new(), Vec::new());
        let named = if reload { &[] } else { touched };
        for (id, message) in self.client.messages(named)? {
            match message {
                Some(message) => messages.push(MessageRow::from(&message)),
                None => gone.push(id.to_string()),
            }
        }
        let chat = Box::new(ChatRow::from(&chat));
        self.tell(&Told::Chat {
            chat,
            messages,
            gone,
            reload,
        });
        Ok(())
    }
}

fn stopped() -> ClientError {
    ClientError::Broken("the engine stopped".into())
}
