//! `conclave listen --from`: events by number, printed or handed to a command, each until it is done with.
//!
//! 1. events behind the place are read, a page at a time
//! 2. each is printed, or `--exec` runs until it ends with 0
//! 3. with `--ack auto` the program's place moves behind it; whatever ends before that is told again

use std::time::Duration;

use clap::ValueEnum;
use conclave_client::{Client, ClientError};
use serde_json::{Value, json};

use super::listen::until_stopped;
use crate::commands::exec;
use crate::daemon::Front;
use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::ToldRow;

/// Events that are read at once.
const PAGE: usize = 100;
/// How long one wait for events takes; then another one begins.
const WAIT: Duration = Duration::from_mins(1);

/// Where to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Behind this event.
    Cursor(u64),
    /// Where the program of this name is.
    Name(String),
}

/// Who says that an event is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ack {
    /// This command, when the event is printed or the command for it ended with 0.
    Auto,
    /// Somebody else, by `events.ack`.
    Manual,
}

/// What is wanted.
#[derive(Debug)]
pub(crate) struct Wish {
    /// Where to begin.
    pub(crate) place: Place,
    /// Who acknowledges.
    pub(crate) ack: Ack,
    /// What to run.
    pub(crate) exec: Option<String>,
    /// End when there is nothing more.
    pub(crate) once: bool,
    /// End after this time.
    pub(crate) time: Option<Duration>,
}

/// A number or a name.
pub(crate) fn place(text: &str) -> Result<Place, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number = text
            .parse::<u64>()
            .ok()
            .filter(|n| i64::try_from(*n).is_ok());
        return number
            .map(Place::Cursor)
            .ok_or_else(|| "this number is too large for a cursor".to_owned());
    }
    Ok(Place::Name(text.to_owned()))
}

/// Where events come from: the daemon of the profile, or the profile itself.
enum Source<'a> {
    Daemon(Front),
    Own(&'a Client),
}

/// Events in their order.
struct Page {
    rows: Vec<ToldRow>,
    cursor: u64,
    last: u64,
}

impl Source<'_> {
    /// What is behind `after`; behind the place of `name` when that is 0.
    async fn page(&mut self, name: &str, after: u64, wait: Duration) -> Result<Page, Failure> {
        match self {
            Self::Own(client) => own_page(client, name, after, wait).await,
            Self::Daemon(front) => {
                let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                let params =
                    json!({"consumer": name, "after": after, "limit": PAGE, "wait_ms": wait_ms});
                let page = front.call("events.list", params).await?;
                parse(&page).ok_or_else(|| bug().into())
            }
        }
    }

    /// The program `name` is done with everything up to `cursor`.
    async fn ack(&mut self, name: &str, cursor: u64) -> Result<(), Failure> {
        match self {
            Self::Own(client) => client.ack_events("", name, cursor).map(drop)?,
            Self::Daemon(front) => {
                let params = json!({"consumer": name, "cursor": cursor});
                front.call("events.ack", params).await?;
            }
        }
        Ok(())
    }
}

fn bug() -> ClientError {
    ClientError::Broken("events came without numbers".into())
}

async fn own_page(
    client: &Client,
    name: &str,
    after: u64,
    wait: Duration,
) -> Result<Page, Failure> {
    let after = match (name, after) {
        ("", 0) => client.event_range()?.0,
        (name, 0) => client.consume("", name, None)?,
        (_, after) => after,
    };
    let page = client.next_events(after, PAGE, None, wait).await?;
    let mut rows = Vec::new();
    for told in &page.told {
        rows.extend(ToldRow::new(client, told)?);
    }
    Ok(Page {
        rows,
        cursor: page.cursor,
        last: page.last,
    })
}

fn parse(page: &Value) -> Option<Page> {
    let rows = page.get("events")?.as_array()?.iter();
    Some(Page {
        rows: rows.map(ToldRow::parse).collect::<Result<_, _>>().ok()?,
        cursor: page.get("cursor")?.as_u64()?,
        last: page.get("last")?.as_u64()?,
    })
}

/// Listens from a place.
pub(crate) async fn run(context: &Context, wish: Wish) -> Result<(), Failure> {
    if wish.exec.is_some()
        && let Some(front) = Front::find(&context.dir()?).await
    {
        let mut taking = Taking::new(context, &wish, Source::Daemon(front));
        return until(context, &wish, taking.run()).await;
    }
    let work = async |client: &Client| {
        let mut taking = Taking::new(context, &wish, Source::Own(client));
        // A new name begins here: nothing is missed that comes in from now on.
        taking.begin()?;
        client.go_online();
        if wish.once {
            client.settle(context.global.timeout).await?;
        }
        until(context, &wish, taking.run()).await
    };
    context.with_client(work).await
}

/// Until it ends, the time is over, or the person interrupts.
async fn until(
    context: &Context,
    wish: &Wish,
    work: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    tokio::select! {
        ended = work => ended,
        stopped = until_stopped(context, wish.time) => Ok(stopped?),
    }
}

struct Taking<'a> {
    context: &'a Context,
    wish: &'a Wish,
    source: Source<'a>,
    /// Everything up to here was told; 0 = where the place says.
    cursor: u64,
}

impl<'a> Taking<'a> {
    fn new(context: &'a Context, wish: &'a Wish, source: Source<'a>) -> Self {
        let cursor = match &wish.place {
            Place::Cursor(cursor) => *cursor,
            Place::Name(_) => 0,
        };
        Self {
            context,
            wish,
            source,
            cursor,
        }
    }

    fn name(&self) -> &'a str {
        match &self.wish.place {
            Place::Cursor(_) => "",
            Place::Name(name) => name,
        }
    }

    /// Makes the place of a new name.
    fn begin(&self) -> Result<(), Failure> {
        if let (Place::Name(name), Source::Own(client)) = (&self.wish.place, &self.source) {
            client.consume("", name, None)?;
        }
        Ok(())
    }

    async fn run(&mut self) -> Result<(), Failure> {
        let wait = if self.wish.once { Duration::ZERO } else { WAIT };
        let name = self.name();
        loop {
            let page = self.source.page(name, self.cursor, wait).await?;
            for row in &page.rows {
                match &self.wish.exec {
                    None => self.context.out.row(row)?,
                    Some(command) => {
                        exec::until_done(self.context, command, row).await?;
                        self.ack(row.cursor).await?;
                    }
                }
            }
            if page.cursor > self.cursor {
                self.ack(page.cursor).await?;
            }
            self.cursor = page.cursor;
            if self.wish.once && page.cursor >= page.last {
                return Ok(());
            }
        }
    }

    async fn ack(&mut self, cursor: u64) -> Result<(), Failure> {
        let name = self.name();
        if self.wish.ack == Ack::Manual || name.is_empty() {
            return Ok(());
        }
        self.source.ack(name, cursor).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number is a cursor, everything else a name.
    #[test]
    fn numbers_are_cursors() {
        assert_eq!(place("17"), Ok(Place::Cursor(17)));
        assert_eq!(place("bot-1"), Ok(Place::Name("bot-1".to_owned())));
        assert_eq!(place("-1"), Ok(Place::Name("-1".to_owned())));
        assert!(place("99999999999999999999").is_err());
        assert!(place("9223372036854775808").is_err());
    }
}
