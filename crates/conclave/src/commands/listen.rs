//! `conclave listen`: everything that comes in, as it comes in.

use std::collections::HashSet;
use std::time::Duration;

use conclave_client::view::{Message, Note};
use conclave_client::{Client, ClientError, Event};
use conclave_proto::id::MessageId;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::args::duration;
use crate::commands::listen_from::{self, Ack, Place};
use crate::exit::Failure;
use crate::output::Output;
use crate::profile::Context;
use crate::rows::told::line_of;
use crate::rows::{MessageRow, note};

/// Print messages, requests and state changes as they come in, until interrupted. Printing does not mark
/// messages as read. With --from: all that was not taken yet, by number; each is told until it is done with.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave listen --for 10m -o json
  conclave listen --from backup --exec ./store-one-event")]
pub(crate) struct Args {
    /// Sync all there is, print it, and end; also when there is nothing
    #[arg(long, conflicts_with = "for_")]
    once: bool,
    /// End after this long
    #[arg(long = "for", value_name = "DUR", value_parser = duration)]
    for_: Option<Duration>,
    /// Begin behind the event with this number (0: the oldest that is kept), or where the program of this name is;
    /// a new name begins with what happens from now on
    #[arg(long, value_name = "CURSOR|NAME", value_parser = listen_from::place)]
    from: Option<Place>,
    /// Who says that an event is done with: this command, or somebody else by `events.ack`
    #[arg(long, value_name = "HOW", requires = "from", default_value = "auto")]
    ack: Ack,
    /// Run this command for each event, with its JSON on standard input; exit 0: done with, else it is run again
    #[arg(long, value_name = "COMMAND", requires = "from")]
    exec: Option<String>,
}

impl Args {
    /// Whether a daemon runs it; what --exec names runs where the command line stands.
    pub(crate) const fn is_hosted(&self) -> bool {
        self.exec.is_none()
    }
}

/// Listens.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    if let Some(place) = args.from {
        let wish = listen_from::Wish {
            place,
            ack: args.ack,
            exec: args.exec,
            once: args.once,
            time: args.for_,
        };
        return listen_from::run(context, wish).await;
    }
    context
        .with_client(async |client: &Client| {
            let mut printer = Printer::new(client, context.out.clone());
            client.go_online();
            match (args.once, args.for_) {
                (true, _) => printer.until(client.settle(context.global.timeout)).await,
                (false, Some(time)) => {
                    printer.until(until_stopped(context, Some(time))).await?;
                    printer.until(client.settle(context.global.timeout)).await
                }
                (false, None) => printer.until(until_stopped(context, None)).await,
            }
        })
        .await
}

/// Ends on SIGINT or SIGTERM, or when the time is over.
pub(super) async fn until_stopped(
    context: &Context,
    time: Option<Duration>,
) -> Result<(), ClientError> {
    let time_over = async {
        match time {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        stopped = context.console.stopped() => stopped,
        () = time_over => Ok(()),
    }
}

/// Turns events into rows, each incoming message once, also when another command received it.
struct Printer<'a> {
    client: &'a Client,
    out: Output,
    events: Receiver<Event>,
    /// Printed from the store; an event may tell of them again.
    printed: HashSet<MessageId>,
    noted: HashSet<i64>,
}

impl<'a> Printer<'a> {
    /// Prints what happens from now on; made before going online, so that nothing is missed.
    fn new(client: &'a Client, out: Output) -> Self {
        Self {
            client,
            out,
            events: client.events(),
            printed: HashSet::new(),
            noted: HashSet::new(),
        }
    }

    /// Prints until `end` is there, then what was sent before it. Returns how `end` ended.
    async fn until(
        &mut self,
        end: impl Future<Output = Result<(), ClientError>>,
    ) -> Result<(), Failure> {
        tokio::pin!(end);
        self.news()?;
        let ended = loop {
            tokio::select! {
                ended = &mut end => break ended,
                event = self.events.recv() => match event {
                    Ok(event) => self.event(event)?,
                    Err(RecvError::Lagged(_)) => self.news()?,
                    Err(RecvError::Closed) => return Err(ClientError::Broken("the engine has stopped".into()).into()),
                },
            }
        };
        loop {
            match self.events.try_recv() {
                Ok(event) => self.event(event)?,
                Err(TryRecvError::Lagged(_)) => self.news()?,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        Ok(ended?)
    }

    fn event(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Received(message) => self.message(&message)?,
            Event::Noted(note) => self.note(&note)?,
            other => {
                if let Some(line) = line_of(self.client, &other)? {
                    self.out.told(&line)?;
                }
            }
        }
        Ok(())
    }

    /// Prints what no listener was told of yet, whichever command received it. Marked only when printed.
    fn news(&mut self) -> Result<(), Failure> {
        let (messages, notes) = (self.client.unheard()?, self.client.unheard_notes(None)?);
        let mut waiting = notes.iter().peekable();
        for message in &messages {
            while let Some(note) = waiting.next_if(|note| is_before(note, message)) {
                note::print(&self.out, note)?;
            }
            self.out.row(&MessageRow::from(message))?;
            self.printed.insert(message.id);
        }
        for note in waiting {
            note::print(&self.out, note)?;
        }
        self.noted.extend(notes.iter().map(|note| note.id));
        self.client.mark_notes_heard(&notes)?;
        Ok(self.client.mark_heard(&messages)?)
    }

    /// Prints what happened beside messages, unless it was done here; also when another listener of this daemon did.
    fn note(&mut self, note: &Note) -> Result<(), Failure> {
        if note.is_told || self.noted.remove(&note.id) {
            return Ok(());
        }
        note::print(&self.out, note)?;
        Ok(self.client.mark_notes_heard(std::slice::from_ref(note))?)
    }

    /// Prints one that came in, also when another listener of this daemon did.
    fn message(&mut self, message: &Message) -> Result<(), Failure> {
        if self.printed.remove(&message.id) {
            return Ok(());
        }
        self.out.row(&MessageRow::from(message))?;
        Ok(self.client.mark_heard(std::slice::from_ref(message))?)
    }
}

/// Whether a note is told before a message: in one chat by their places, else at once.
fn is_before(note: &Note, message: &Message) -> bool {
    note.chat != message.chat || note.seq < message.seq
}
