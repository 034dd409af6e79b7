//! `GET /events`: events as server-sent events (WHATWG HTML §9.2), for programs with a token.
//!
//! It goes on behind `Last-Event-ID`, else behind `?after=CURSOR`, else where `?consumer=NAME` is, else with what
//! happens from now on. An empty comment comes at once and every 15 s, so that both sides see that the other is there.
//! A page is told beside them what is not kept, as `event: live` without an id.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use conclave_client::journal::Page;
use conclave_client::{Client, ClientError};
use http_body_util::Either;
use hyper::http::request::Parts;
use hyper::{Response, StatusCode, header};
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};

use super::live::Live;
use super::{Caller, RpcError, Scope};
use crate::http::{PAUSE, Refusal, Reply, Stream, failed, harden, only, refusal, status_of};
use crate::rows::ToldRow;

/// What a reader of events got last.
const LAST: header::HeaderName = header::HeaderName::from_static("last-event-id");
/// Streams at once.
pub(crate) const STREAMS_MAX: usize = 32;
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
struct Wish {
    /// Behind this event.
    after: Option<u64>,
    /// Where this program is.
    consumer: Option<String>,
}

impl Wish {
    /// What `?query` and the header `Last-Event-ID` say; the header goes first.
    fn parse(query: Option<&str>, last: Option<&str>) -> Result<Self, String> {
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
    fn begin(&self, client: &Client, caller: &Caller) -> Result<u64, RpcError> {
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

/// Places for the streams of one port.
pub(crate) fn places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(STREAMS_MAX))
}

/// Who reads, and for how long.
pub(crate) struct Reader<G, O> {
    /// Whose events, and what is its own.
    pub(crate) caller: Caller,
    /// Whether it may still be told; asked before each page of events.
    pub(crate) is_good: G,
    /// Ends the stream at once.
    pub(crate) over: O,
}

/// Events for `reader` from where the request says.
pub(crate) fn reply(
    client: &Client,
    head: &Parts,
    reader: Reader<impl Fn() -> bool + Send + 'static, impl Future<Output = ()> + Send + 'static>,
    places: Arc<Semaphore>,
) -> Result<Reply, Refusal> {
    let Reader {
        caller,
        is_good,
        over,
    } = reader;
    let last = only(&head.headers, LAST).and_then(|value| value.to_str().ok());
    if last.is_none() && head.headers.contains_key(LAST) {
        let message = "`Last-Event-ID` is there twice or is no text";
        return Err(refusal(StatusCode::BAD_REQUEST, "BAD_REQUEST", message));
    }
    let wish = Wish::parse(head.uri.query(), last).map_err(RpcError::bad_params);
    let cursor = match wish.and_then(|wish| wish.begin(client, &caller)) {
        Ok(cursor) => cursor,
        Err(error) => return Ok(failed(status_of(&error), &error)),
    };
    let place = places.try_acquire_owned().map_err(|_| Refusal {
        retry_after: Some(PAUSE),
        ..refusal(
            StatusCode::TOO_MANY_REQUESTS,
            "BUSY",
            "too many read events now",
        )
    })?;
    let (sender, receiver) = mpsc::channel(AHEAD);
    let client = client.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = sender.closed() => {}
            () = over => {}
            // Ended by the other side, or told why it ends.
            _ = feed(&client, (&caller, is_good), cursor, &sender) => {}
        }
        // Whoever waits for the places to be free wants the profile to be free, too.
        drop((client, place));
    });
    let mut reply = Response::new(Either::Right(Stream::new(receiver)));
    let headers = reply.headers_mut();
    let kind = header::HeaderValue::from_static("text/event-stream");
    headers.insert(header::CONTENT_TYPE, kind);
    harden(headers);
    Ok(reply)
}

/// The reader is gone.
struct Gone;

/// What is there to tell.
enum News {
    /// Events that are kept, or none in a while.
    Events(Page),
    /// What a page is told beside them, in one line.
    Live(Value),
}

/// The next thing to tell beside events; never for programs.
async fn next(live: &mut Option<Live>) -> Result<Value, ClientError> {
    match live {
        Some(live) => live.next().await,
        None => std::future::pending().await,
    }
}

async fn feed(
    client: &Client,
    (caller, is_good): (&Caller, impl Fn() -> bool),
    mut cursor: u64,
    sender: &mpsc::Sender<Bytes>,
) -> Result<(), Gone> {
    let send = async |bytes: Bytes| sender.send(bytes).await.map_err(|_| Gone);
    // Before anything is sent: what happens from then on is told.
    let mut live = caller.desk().map(|_| Live::new(client));
    send(Bytes::from_static(COMMENT)).await?;
    loop {
        let news = tokio::select! {
            page = client.next_events(cursor, PAGE, caller.chats(), ALIVE) => page.map(News::Events),
            told = next(&mut live) => told.map(News::Live),
        };
        // Revoked and ended tokens are told nothing more.
        if !is_good() {
            return Ok(());
        }
        let rows = match news {
            Ok(News::Events(page)) => {
                cursor = page.cursor;
                let rows = page.told.iter().map(|told| ToldRow::new(client, told));
                rows.collect::<Result<Vec<_>, ClientError>>()
            }
            Ok(News::Live(told)) => {
                send(format!("event: live\ndata: {told}\n\n").into()).await?;
                continue;
            }
            Err(error) => Err(error),
        };
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
