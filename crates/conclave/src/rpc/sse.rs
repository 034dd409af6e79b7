//! `GET /events`: events as server-sent events (WHATWG HTML §9.2), for programs with a token.
//!
//! It goes on behind `Last-Event-ID`, else behind `?after=CURSOR`, else where `?consumer=NAME` is, else with what
//! happens from now on. An empty comment comes at once and every 15 s, so that both sides see that the other is there.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use conclave_client::{Client, ClientError};
use hyper::body::{Body, Frame};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{Caller, RpcError, Scope};
use crate::rows::ToldRow;

/// Streams at once.
pub(super) const STREAMS_MAX: usize = 32;
/// A comment comes this often.
const ALIVE: Duration = Duration::from_secs(15);
/// Nothing happened; the other side is there.
const COMMENT: &[u8] = b":\n\n";
/// Events that are read at once.
const PAGE: usize = 100;
/// Events that wait for a slow reader.
const AHEAD: usize = 16;

/// What a request for events says beside its token.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    /// Behind this event.
    after: Option<u64>,
    /// Where this program is.
    consumer: Option<String>,
}

impl Wish {
    /// What `?query` and the header `Last-Event-ID` say; the header goes first.
    pub(super) fn parse(query: Option<&str>, last: Option<&str>) -> Result<Self, String> {
        let number = |text: &str| {
            let number = text.parse::<u64>();
            number.map_err(|_| "a cursor is a whole number".to_owned())
        };
        let mut wish = Self::default();
        for pair in query
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
        {
            match pair.split_once('=') {
                Some(("after", value)) => wish.after = Some(number(value)?),
                Some(("consumer", value)) => wish.consumer = Some(value.to_owned()),
                _ => return Err("the query takes `after=CURSOR` and `consumer=NAME`".to_owned()),
            }
        }
        if let Some(last) = last {
            wish.after = Some(number(last)?);
        }
        Ok(wish)
    }

    /// Where to begin.
    pub(super) fn begin(&self, client: &Client, caller: &Caller) -> Result<u64, RpcError> {
        caller.check_scope(Scope::Read)?;
        let known = match &self.consumer {
            Some(name) => Some(client.consume(caller.whose(), name, None)?),
            None => None,
        };
        let (first, last) = client.event_range()?;
        let cursor = match (self.after, known) {
            (Some(0), _) => first,
            (Some(after), _) => after,
            (None, Some(known)) => known,
            (None, None) => last,
        };
        // Says whether it can be gone on from.
        client.events_after(cursor, 0, caller.chats())?;
        Ok(cursor)
    }
}

/// The body of the answer: ends with its sender, and its sender with it.
#[derive(Debug)]
pub(super) struct Stream(mpsc::Receiver<Bytes>);

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.0.poll_recv(cx);
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// Events behind `cursor` for `caller`, as long as `is_good` finds its token good.
pub(super) fn stream(
    client: Client,
    (caller, is_good): (Caller, impl Fn() -> bool + Send + 'static),
    cursor: u64,
    permit: OwnedSemaphorePermit,
) -> Stream {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        tokio::select! {
            () = sender.closed() => {}
            // Ended by the other side, or told why it ends.
            _ = feed(&client, (&caller, is_good), cursor, &sender) => {}
        }
        drop(permit);
    });
    Stream(receiver)
}

/// The reader is gone.
struct Gone;

async fn feed(
    client: &Client,
    (caller, is_good): (&Caller, impl Fn() -> bool),
    mut cursor: u64,
    sender: &mpsc::Sender<Bytes>,
) -> Result<(), Gone> {
    let send = async |bytes: Bytes| sender.send(bytes).await.map_err(|_| Gone);
    send(Bytes::from_static(COMMENT)).await?;
    loop {
        let page = client
            .next_events(cursor, PAGE, caller.chats(), ALIVE)
            .await;
        // Revoked and ended tokens are told nothing more.
        if !is_good() {
            return Ok(());
        }
        let rows = page.and_then(|page| {
            cursor = page.cursor;
            let rows = page.told.iter().map(|told| ToldRow::new(client, told));
            rows.collect::<Result<Vec<_>, ClientError>>()
        });
        match rows {
            Ok(rows) if rows.is_empty() => send(Bytes::from_static(COMMENT)).await?,
            Ok(rows) => {
                for row in rows.iter().flatten() {
                    send(event(row)).await?;
                }
            }
            Err(error) => {
                let error = serde_json::json!(RpcError::from(error));
                return send(format!("event: error\ndata: {error}\n\n").into()).await;
            }
        }
    }
}

/// One event. Its data is one line: JSON holds no line ends.
fn event(row: &ToldRow) -> Bytes {
    let data = serde_json::json!(row);
    format!(
        "id: {}\nevent: {}\ndata: {data}\n\n",
        row.cursor,
        row.kind()
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of a reconnecting reader goes before its address; nonsense is refused.
    #[test]
    fn a_reader_goes_on_where_it_was() {
        let wish = |query, last| Wish::parse(query, last).map(|wish| (wish.after, wish.consumer));
        assert_eq!(wish(None, None), Ok((None, None)));
        assert_eq!(wish(Some("after=5"), None), Ok((Some(5), None)));
        assert_eq!(wish(Some("after=5"), Some("7")), Ok((Some(7), None)));
        let both = Ok((Some(7), Some("bot".to_owned())));
        assert_eq!(wish(Some("consumer=bot"), Some("7")), both);
        for (query, last) in [
            (Some("after=x"), None),
            (Some("after"), None),
            (Some("since=1"), None),
            (Some("after=-1"), None),
            (None, Some("")),
            (None, Some("1\u{0}")),
        ] {
            assert!(wish(query, last).is_err(), "{query:?} {last:?}");
        }
    }
}
