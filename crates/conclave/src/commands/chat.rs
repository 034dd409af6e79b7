//! `conclave chat`: lines out, messages in, one process.

use conclave_client::{Client, ClientError, Event};
use conclave_proto::id::ChatId;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::{ChangedRow, MessageRow, StateRow, TimerRow, TypingRow, note};

/// Write and see messages in one terminal: each line you type is a message. What is shown counts as read.
/// Ends at the end of input (Ctrl-D) when everything is accepted.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave chat anna@example.org
  conclave chat +4915112345678 -p work")]
pub(crate) struct Args {
    /// `+E164` number, e-mail address, name of a group or chat id
    to: String,
}

/// Chats.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    context
        .with_client(async |client: &Client| chat(context, client, &args.to).await)
        .await
}

async fn chat(context: &Context, client: &Client, to: &str) -> Result<(), Failure> {
    let mut events = client.events();
    let mut room = Room::enter(context, client, to)?;
    client.go_online();
    let mut lines = context.console.lines();
    if context.console.is_input_terminal() {
        context.out.text("each line is a message; Ctrl-D ends")?;
    }
    loop {
        tokio::select! {
            line = lines.next() => match line? {
                Some(line) => room.say(&line).await?,
                None => break,
            },
            _ = context.console.stopped() => break,
            event = events.recv() => match event {
                Ok(event) => room.event(event)?,
                Err(RecvError::Lagged(_)) => room.show()?,
                Err(RecvError::Closed) => break,
            },
        }
    }
    let settled = client.settle(context.global.timeout).await;
    loop {
        match events.try_recv() {
            Ok(event) => room.event(event)?,
            Err(TryRecvError::Lagged(_)) => room.show()?,
            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
        }
    }
    // Showing the last messages queued a receipt for them.
    let settled = match settled {
        Ok(()) => client.settle(context.global.timeout).await,
        Err(error) => Err(error),
    };
    match room.failure {
        Some(failure) => Err(failure),
        None => Ok(settled?),
    }
}

/// One chat as it is shown.
struct Room<'a> {
    context: &'a Context,
    client: &'a Client,
    to: &'a str,
    /// Known from the first message on.
    chat: Option<ChatId>,
    /// The first line that could not be sent; the chat goes on, the exit code tells.
    failure: Option<Failure>,
}

impl<'a> Room<'a> {
    /// Enters, and shows what is unread.
    fn enter(context: &'a Context, client: &'a Client, to: &'a str) -> Result<Self, Failure> {
        let chat = match client.find_chat(to) {
            Ok(chat) => Some(chat),
            Err(ClientError::NotFound(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let mut room = Self {
            context,
            client,
            to,
            chat,
            failure: None,
        };
        room.show()?;
        Ok(room)
    }

    async fn say(&mut self, line: &str) -> Result<(), Failure> {
        if line.is_empty() {
            return Ok(());
        }
        // Each line has its own --timeout: a person types longer than one.
        let timeout = self.context.global.timeout;
        let sending = self.client.send(self.to, line);
        match self.client.within(timeout, sending).await {
            Ok(message) => {
                self.chat = Some(message.chat);
                self.context.out.row(&MessageRow::from(&message))?;
            }
            Err(error) => {
                let failure = Failure::from(error);
                self.context.out.failure(&failure);
                let message = format!("not every line was sent; the first: {}", failure.message);
                self.failure.get_or_insert(Failure { message, ..failure });
            }
        }
        Ok(())
    }

    fn event(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            // Written on another device of this account.
            Event::Received(message) if message.own && self.is_here(message.chat) => {
                self.context.out.row(&MessageRow::from(&message))?;
                Ok(self.client.mark_heard(&[message])?)
            }
            Event::Received(message) if self.is_here(message.chat) => self.show(),
            Event::Noted(note) if !note.is_told && self.is_here(note.chat) => self.show(),
            Event::StateChanged { chat, id, state } if self.is_here(chat) => {
                let message = self.client.message(id)?.message;
                Ok(self.context.out.row(&StateRow::new(&message, state))?)
            }
            Event::Changed { message, what, by } if self.is_here(message.chat) => Ok(self
                .context
                .out
                .row(&ChangedRow::new(&message, what, &by))?),
            Event::TimerSet(timer) if self.is_here(timer.chat) => {
                Ok(self.context.out.row(&TimerRow::from(&timer))?)
            }
            Event::Typing { chat, from } if self.is_here(chat) => {
                Ok(self.context.out.row(&TypingRow::new(chat, &from))?)
            }
            _ => Ok(()),
        }
    }

    /// Shows what is new: notes, and what is unread, which is marked read.
    fn show(&mut self) -> Result<(), Failure> {
        let Some(chat) = self.chat else { return Ok(()) };
        let notes = self.client.unheard_notes(Some(chat))?;
        for one in &notes {
            note::print(&self.context.out, one)?;
        }
        self.client.mark_notes_heard(&notes)?;
        let unread = self.client.unread(chat)?;
        for message in &unread {
            self.context.out.row(&MessageRow::from(message))?;
        }
        if !unread.is_empty() {
            self.client.mark_read(chat)?;
        }
        Ok(())
    }

    /// Whether `chat` is this one; it may have begun, by the other side, after this command did.
    fn is_here(&mut self, chat: ChatId) -> bool {
        if self.chat.is_none() {
            self.chat = self.client.find_chat(self.to).ok();
        }
        self.chat == Some(chat)
    }
}
