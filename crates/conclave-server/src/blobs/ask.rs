//! What a request for blobs asks, from its head alone; and what an answer looks like.

use conclave_proto::blob::{
    BLOBS_PATH, LENGTH_HEADER, OFFSET_HEADER, PASS_HEADER, padme, parse_hex, parse_path,
};
use conclave_proto::id::BlobId;

use crate::http::Request;

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// What a client needs to know before it shows its pass.
    Facts,
    /// Begin an upload of so many bytes.
    Begin(BlobId, u64),
    /// The body is a part that begins at this offset.
    Write(BlobId, u64),
    /// How far is it?
    State(BlobId),
    /// Its bytes, all or a range.
    Read(BlobId, Option<Range>),
}

/// A range of bytes, the last one included (RFC 9110 §14.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    first: u64,
    last: Option<u64>,
}

impl Range {
    /// Where it begins and ends (not included) in `total` bytes; `None` when it begins outside.
    pub(crate) fn within(self, total: u64) -> Option<(u64, u64)> {
        let end = self
            .last
            .map_or(total, |last| last.saturating_add(1).min(total));
        (self.first < end).then_some((self.first, end))
    }

    /// `bytes=FIRST-` or `bytes=FIRST-LAST`: one range from the front.
    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
        let first = number(first)?;
        let last = match last {
            "" => None,
            last => Some(number(last).filter(|last| *last >= first)?),
        };
        Some(Self { first, last })
    }
}

/// A request, its pass and its body's length.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) ask: Ask,
    pub(crate) pass: Option<[u8; 32]>,
    pub(crate) body_bytes: u64,
    pub(crate) is_head: bool,
    pub(crate) stays_open: bool,
    pub(crate) expects_continue: bool,
}

impl Asked {
    /// Reads a head; the error ends the connection, because where the next request begins is unknown.
    pub(crate) fn read(head: &[u8]) -> Result<Self, Answer> {
        let request = Request::parse(head).ok_or(Answer::new(BAD, "bad request"))?;
        if request.version != "HTTP/1.1" {
            return Err(Answer::new(BAD, "blobs need HTTP/1.1"));
        }
        let body_bytes = body_bytes(&request)?;
        let ask = ask(&request, body_bytes)?;
        let pass = match request.header(PASS_HEADER) {
            Some(digits) => Some(parse_hex(digits).ok_or(Answer::new(BAD, "the pass is no pass"))?),
            None => None,
        };
        Ok(Self {
            ask,
            pass,
            body_bytes,
            is_head: request.method == "HEAD",
            stays_open: !request.names("Connection", "close"),
            expects_continue: request.names("Expect", "100-continue"),
        })
    }
}

/// How long the body is; nothing but a plain length is taken, so that nobody can see two ends in it.
fn body_bytes(request: &Request<'_>) -> Result<u64, Answer> {
    if request.has("Transfer-Encoding") {
        let text = "say Content-Length, no transfer coding is taken";
        return Err(Answer::new("501 Not Implemented", text));
    }
    match request.header("Content-Length") {
        Some(length) => number(length).ok_or(Answer::new(BAD, "the Content-Length is no number")),
        None if request.has("Content-Length") => {
            Err(Answer::new(BAD, "there is more than one Content-Length"))
        }
        None if request.method == "PATCH" => {
            Err(Answer::new("411 Length Required", "say Content-Length"))
        }
        None => Ok(0),
    }
}

fn ask(request: &Request<'_>, body_bytes: u64) -> Result<Ask, Answer> {
    if request.path == BLOBS_PATH && request.method == "GET" && body_bytes == 0 {
        return Ok(Ask::Facts);
    }
    // C-145: 64 hex digits and nothing else, so that no path leads anywhere
    let blob_id = parse_path(request.path).ok_or(Answer::new(NOT_FOUND, "not found"))?;
    let of_header = |name| request.header(name).and_then(number);
    if body_bytes > 0 && request.method != "PATCH" {
        return Err(Answer::new(BAD, "only a PATCH has a body"));
    }
    match request.method {
        "PUT" => {
            let total = of_header(LENGTH_HEADER);
            let total = total.ok_or(Answer::new(BAD, "say Upload-Length, in bytes"))?;
            // C-146: few lengths, so that a length says little
            if total == 0 || padme(total) != total {
                let text = "pad to a Padme length, then begin again";
                return Err(Answer::new(BAD, text));
            }
            Ok(Ask::Begin(blob_id, total))
        }
        "PATCH" => {
            let offset = of_header(OFFSET_HEADER);
            let offset = offset.ok_or(Answer::new(BAD, "say Upload-Offset, in bytes"))?;
            Ok(Ask::Write(blob_id, offset))
        }
        "HEAD" => Ok(Ask::State(blob_id)),
        "GET" => match request.header("Range").map(Range::parse) {
            _ if request.has("Range") && request.header("Range").is_none() => {
                Err(Answer::new(RANGE, "there is more than one Range"))
            }
            Some(None) => Err(Answer::new(RANGE, "one range is taken: bytes=FIRST-LAST")),
            Some(Some(range)) => Ok(Ask::Read(blob_id, Some(range))),
            None => Ok(Ask::Read(blob_id, None)),
        },
        _ => Err(Answer::new("405 Method Not Allowed", "no such method here")
            .with("Allow", "GET, HEAD, PATCH, PUT")),
    }
}

/// Digits and nothing else.
fn number(text: &str) -> Option<u64> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok())?
}

/// The request breaks the protocol.
pub(super) const BAD: &str = "400 Bad Request";
/// Nothing is there.
pub(super) const NOT_FOUND: &str = "404 Not Found";
/// The range is outside, or no range.
pub(super) const RANGE: &str = "416 Range Not Satisfiable";

/// An answer with a line of text as its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    status: &'static str,
    headers: Vec<(&'static str, String)>,
    text: &'static str,
}

impl Answer {
    pub(super) fn new(status: &'static str, text: &'static str) -> Self {
        let headers = Vec::new();
        Self {
            status,
            headers,
            text,
        }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The bytes of it. A HEAD gets no body.
    pub(super) fn text(&self, is_head: bool, stays_open: bool) -> String {
        let body = if is_head { "" } else { self.text };
        let end = if is_head { "" } else { "\n" };
        let head = self.head((body.len() + end.len()) as u64, "text/plain", stays_open);
        format!("{head}{body}{end}")
    }

    /// The head of it before `length` bytes.
    pub(super) fn head(&self, length: u64, kind: &str, stays_open: bool) -> String {
        let mut text = format!("HTTP/1.1 {}\r\n", self.status);
        let connection = if stays_open { "keep-alive" } else { "close" };
        let length = length.to_string();
        let always = [
            ("Content-Type", kind),
            ("Content-Length", &length),
            ("Cache-Control", "no-store"),
            ("Connection", connection),
        ];
        let own = self
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()));
        for (name, value) in own.chain(always) {
            text.push_str(name);
            text.push_str(": ");
            text.push_str(value);
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        text
    }

    /// The answer that ends the connection.
    pub(crate) fn last_answer(&self) -> String {
        self.text(false, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, headers: &str) -> Result<Asked, Answer> {
        let path = format!("{BLOBS_PATH}/{}", "0a".repeat(32));
        Asked::read(format!("{method} {path} HTTP/1.1\r\n{headers}\r\n").as_bytes())
    }

    /// Each method asks what it should, and wrong or doubled headers are refused.
    #[test]
    fn heads_are_strict() {
        let id = BlobId::new([0x0a; 32]);
        let asks = |method, headers| read(method, headers).unwrap().ask;
        assert_eq!(asks("PUT", "Upload-Length: 256\r\n"), Ask::Begin(id, 256));
        let part = "upload-offset: 7\r\nContent-Length: 9\r\n";
        assert_eq!(asks("PATCH", part), Ask::Write(id, 7));
        assert_eq!(read("PATCH", part).unwrap().body_bytes, 9);
        assert_eq!(asks("HEAD", ""), Ask::State(id));
        assert_eq!(asks("GET", ""), Ask::Read(id, None));
        for (method, headers, status) in [
            ("PUT", "", "400"),
            ("PUT", "Upload-Length: 0\r\n", "400"),
            ("PUT", "Upload-Length: 257\r\n", "400"),
            ("PUT", "Upload-Length: +256\r\n", "400"),
            ("PUT", "Upload-Length: 256\r\nUpload-Length: 256\r\n", "400"),
            ("PUT", "Upload-Length: 256\r\nContent-Length: 1\r\n", "400"),
            ("PATCH", "Upload-Offset: 0\r\n", "411"),
            ("PATCH", "Upload-Offset: -1\r\nContent-Length: 9\r\n", "400"),
            (
                "PATCH",
                "Upload-Offset: 99999999999999999999\r\nContent-Length: 9\r\n",
                "400",
            ),
            (
                "PATCH",
                "Upload-Offset: 0\r\nContent-Length: 9, 9\r\n",
                "400",
            ),
            (
                "PATCH",
                "Upload-Offset: 0\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
                "400",
            ),
            (
                "PATCH",
                "Upload-Offset: 0\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n",
                "501",
            ),
            ("GET", "Range: bytes=0-1,3-4\r\n", "416"),
            ("GET", "Range: bytes=-5\r\n", "416"),
            ("GET", "Range: bytes=5-4\r\n", "416"),
            ("GET", "Range: bytes=0-\r\nRange: bytes=1-\r\n", "416"),
            ("GET", "Conclave-Pass: 00\r\n", "400"),
            ("POST", "", "405"),
            ("DELETE", "", "405"),
        ] {
            let answer = read(method, headers).unwrap_err().last_answer();
            let begins = format!("HTTP/1.1 {status} ");
            assert!(answer.starts_with(&begins), "{method} {headers}: {answer}");
        }
    }

    /// A path that is no id leads nowhere, whatever it looks like.
    #[test]
    fn c145_no_path_leads_out_of_the_folder() {
        let id = "0a".repeat(32);
        for path in [
            "/v1/blobs/../../etc/passwd".to_owned(),
            format!("/v1/blobs/{id}/.."),
            format!("/v1/blobs/{}", id.to_uppercase()),
            format!("/v1/blobs/{id}%00"),
            format!("/v1/blobs/..{}", &id[2..]),
            format!("/v1/blobs//{id}"),
            "/v1/blobs/".to_owned(),
        ] {
            let head = format!("GET {path} HTTP/1.1\r\n\r\n");
            let answer = Asked::read(head.as_bytes()).unwrap_err().last_answer();
            assert!(answer.starts_with("HTTP/1.1 404 "), "{path}");
        }
    }

    /// Ranges end with the blob and never begin behind it.
    #[test]
    fn ranges_stay_inside() {
        let within = |text, total| Range::parse(text).unwrap().within(total);
        assert_eq!(within("bytes=0-", 10), Some((0, 10)));
        assert_eq!(within("bytes=3-3", 10), Some((3, 4)));
        assert_eq!(within("bytes=9-99", 10), Some((9, 10)));
        assert_eq!(within("bytes=10-", 10), None);
        assert_eq!(within("bytes=0-18446744073709551615", 10), Some((0, 10)));
    }
}
