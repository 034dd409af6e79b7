//! `GET /blob/…`: a loaded file, for the browser. Shown in place are a few kinds that run nothing; everything else is
//! downloaded, and what is opened all the same may do nothing.

use bytes::Bytes;
use conclave_client::view::{Attachment, AttachmentState};
use conclave_client::{AttachmentReader, Client};
use http_body_util::{Either, Full};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use tokio::sync::mpsc;

use super::Desk;
use super::page::Work;
use crate::http::{Refusal, Reply, Stream, failed, harden, only, refusal, status_of};
use crate::rpc::RpcError;

/// What addresses of files begin with.
pub(super) const PATH: &str = "/blob/";
/// Pieces that wait for a slow reader.
const AHEAD: usize = 2;
/// Nothing runs, loads or reaches anything, whatever the file is.
const POLICY: &str = "sandbox; default-src 'none'";

/// Kinds that browsers show in place without running anything of them.
const INLINE: [&str; 12] = [
    "image/png",
    "image/jpeg",
    "image/webp",
    "image/gif",
    "audio/mpeg",
    "audio/ogg",
    "audio/wav",
    "audio/webm",
    "audio/mp4",
    "video/mp4",
    "video/webm",
    "video/ogg",
];

/// As what a file is sent: a kind of ours, whatever its sender says, or none.
pub(crate) fn inline_kind(media_type: &str) -> Option<&'static str> {
    INLINE.into_iter().find(|kind| *kind == media_type)
}

/// Bytes of a file, from the first to before the last.
#[derive(Debug, PartialEq, Eq)]
enum Range {
    Whole,
    Part(u64, u64),
    /// Nothing of it is in the file.
    Outside,
}

/// The file at the address.
pub(super) fn answer(
    client: &Client,
    work: &Work,
    desk: &Desk,
    head: &Parts,
) -> Result<Reply, Refusal> {
    let gone = refusal(
        StatusCode::NOT_FOUND,
        "NOT_FOUND",
        "there is nothing here; ask for the file's address again",
    );
    let (message, number) = desk.linked(head.uri.path()).ok_or(gone)?;
    let open = || {
        let file = client.attachment(message, Some(number))?;
        let range = range(&head.headers, file.length);
        let from = match range {
            Range::Part(from, _) => from,
            Range::Whole | Range::Outside => 0,
        };
        let reader = client.read_attachment(message, Some(number), from)?;
        Ok::<_, RpcError>((file, range, reader))
    };
    let (file, range, reader) = match open() {
        Ok(open) => open,
        Err(error) => return Ok(failed(status_of(&error), &error)),
    };
    let over = (work.over(), desk.over());
    Ok(match range {
        Range::Whole => {
            let body = (reader, file.length);
            dressed(&file, StatusCode::OK, body, over)
        }
        Range::Part(from, end) => {
            let body = (reader, end - from);
            let mut reply = dressed(&file, StatusCode::PARTIAL_CONTENT, body, over);
            let last = end.saturating_sub(1);
            let range = format!("bytes {from}-{last}/{}", file.length);
            put(reply.headers_mut(), header::CONTENT_RANGE, &range);
            reply
        }
        Range::Outside => {
            let mut reply = Response::new(Either::Left(Full::default()));
            *reply.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            let range = format!("bytes */{}", file.length);
            put(reply.headers_mut(), header::CONTENT_RANGE, &range);
            harden(reply.headers_mut());
            reply
        }
    })
}

/// The answer with what tells browsers to leave the file alone.
fn dressed(
    file: &Attachment,
    status: StatusCode,
    (reader, length): (AttachmentReader, u64),
    over: (
        impl Future<Output = ()> + Send + 'static,
        impl Future<Output = ()> + Send + 'static,
    ),
) -> Reply {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        tokio::select! {
            () = sender.closed() => {}
            () = over.0 => {}
            () = over.1 => {}
            // What breaks off is shorter than it said: browsers see that.
            () = feed(reader, length, &sender) => {}
        }
    });
    let mut reply = Response::new(Either::Right(Stream::new(receiver)));
    *reply.status_mut() = status;
    let kind = inline_kind(&file.media_type);
    let headers = reply.headers_mut();
    harden(headers);
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(kind.unwrap_or("application/octet-stream")),
    );
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    let place = if kind.is_some() {
        "inline"
    } else {
        "attachment"
    };
    let place = format!("{place}; filename*=UTF-8''{}", encoded(&file.name));
    put(headers, header::CONTENT_DISPOSITION, &place);
    reply
}

fn put(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    // All of it is ASCII.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Opens a piece after the other, beside everything else.
async fn feed(mut reader: AttachmentReader, mut left: u64, sender: &mpsc::Sender<Bytes>) {
    while left > 0 {
        let read = tokio::task::spawn_blocking(move || {
            let piece = reader.next_piece();
            (reader, piece)
        });
        let Ok((back, Ok(Some(piece)))) = read.await else {
            return;
        };
        reader = back;
        let wanted = usize::try_from(left).unwrap_or(usize::MAX);
        let piece = piece.get(..wanted).unwrap_or(&piece);
        left = left.saturating_sub(piece.len() as u64);
        if sender.send(Bytes::copy_from_slice(piece)).await.is_err() {
            return;
        }
    }
}

/// What part is wanted; several parts at once are nothing that browsers need, and get the whole.
fn range(headers: &HeaderMap, length: u64) -> Range {
    let words = only(headers, header::RANGE).and_then(|value| value.to_str().ok());
    let bounds = words
        .and_then(|words| words.strip_prefix("bytes="))
        .and_then(|words| words.split_once('-'));
    let (from, end) = match bounds {
        Some(("", last)) => match last.parse::<u64>() {
            Ok(last) => (length.saturating_sub(last), length),
            Err(_) => return Range::Whole,
        },
        Some((from, "")) => match from.parse() {
            Ok(from) => (from, length),
            Err(_) => return Range::Whole,
        },
        Some((from, last)) => match (from.parse(), last.parse::<u64>()) {
            (Ok(from), Ok(last)) if from <= last => (from, last.saturating_add(1).min(length)),
            _ => return Range::Whole,
        },
        None => return Range::Whole,
    };
    if from < end {
        Range::Part(from, end)
    } else {
        Range::Outside
    }
}

/// A name as headers carry it (RFC 8187).
fn encoded(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex::encode_upper([byte]));
        }
    }
    out
}

/// Whether the file can be shown.
pub(crate) fn is_here(file: &Attachment) -> bool {
    file.state == AttachmentState::Loaded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parts are those of RFC 9110 §14.2, one at a time; nonsense gets the whole file.
    #[test]
    fn parts_are_as_asked() {
        let range = |words: &str, length| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, HeaderValue::from_str(words).unwrap());
            range(&headers, length)
        };
        assert_eq!(range("bytes=0-", 10), Range::Part(0, 10));
        assert_eq!(range("bytes=2-3", 10), Range::Part(2, 4));
        assert_eq!(range("bytes=5-999", 10), Range::Part(5, 10));
        assert_eq!(range("bytes=-3", 10), Range::Part(7, 10));
        assert_eq!(range("bytes=-99", 10), Range::Part(0, 10));
        for outside in ["bytes=10-", "bytes=10-12", "bytes=-0"] {
            assert_eq!(range(outside, 10), Range::Outside, "{outside}");
        }
        assert_eq!(range("bytes=0-", 0), Range::Outside);
        let end = u64::MAX;
        assert_eq!(range(&format!("bytes=0-{end}"), 10), Range::Part(0, 10));
        for nonsense in [
            "bytes=",
            "bytes=-",
            "bytes=5-2",
            "bytes=0-1,3-4",
            "items=0-1",
            "bytes=x-1",
        ] {
            assert_eq!(range(nonsense, 10), Range::Whole, "{nonsense}");
        }
    }

    /// Only kinds of the list are shown in place; names cannot leave their header.
    #[test]
    fn few_kinds_are_shown_in_place() {
        assert_eq!(inline_kind("image/png"), Some("image/png"));
        for kind in [
            "image/svg+xml",
            "text/html",
            "application/pdf",
            "image/png;x",
            "IMAGE/PNG",
            "",
        ] {
            assert_eq!(inline_kind(kind), None, "{kind}");
        }
        assert_eq!(encoded("a\"b\r\nä.txt"), "a%22b%0D%0A%C3%A4.txt");
    }
}
