//! Blobs up and down over HTTP: in parts, going on after every cut, on connections of their own.
//!
//! A connection first hears which pass the server shows, and says its own only if it is that one. Both
//! directions are told where they are and go on from there, so dropping them at any point costs at most
//! a part.

use std::future::Future;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::Duration;

use bytes::Bytes;
use conclave_proto::blob::{
    BLOBS_PATH, BYTES_MAX_HEADER, LENGTH_HEADER, OFFSET_HEADER, PASS_HASH_HEADER, PASS_HEADER,
    parse_hex, path,
};
use conclave_proto::env::SharedEnv;
use conclave_proto::hello::pass_hash;
use conclave_proto::id::BlobId;
use conclave_proto::limits::{BLOB_PART_BYTES, IDLE_DEAD_MS, RETRY_AFTER_MAX_MS};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_LENGTH, HOST, RANGE, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::transport::{Backoff, SERVER_NAME, Transport, TransportError};

/// Tries in a row that move nothing before it is given up: with the pauses between them, minutes.
const TRIES_MAX: u32 = 12;

/// Why a blob did not come or go.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum BlobError {
    /// There is no connection, or it ended. Tried again by itself for a while.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Not now; after so many ms. Tried again by itself for a while.
    #[error("the server is busy with other uploads; try again later")]
    Later(u64),
    /// The pass in hand is not today's: fetch it again.
    #[error("the member pass is not today's")]
    Pass,
    /// Nobody put the blob there, not all of it yet, or it has expired.
    #[error("the server does not have the file (yet, or any more)")]
    Missing,
    /// It has another length than the pointer says: whoever made that, or the server, misbehaves.
    #[error(
        "the file is not as long as it should be: its sender or the server does not tell the truth"
    )]
    Length,
    /// Over the server's limit, in bytes.
    #[error("the server takes files of at most {0} bytes")]
    TooLarge(u64),
    /// The server has no room. The operator makes some, or time does.
    #[error("the server has no room for files; try again tomorrow, or ask its operator")]
    NoRoom,
    /// Other bytes have this id: ids are random, so somebody misbehaves.
    #[error("the server holds something else in the place of this file")]
    Conflict,
    /// The server answers with something that makes no sense.
    #[error("the server broke the protocol of files; report this to its operator")]
    Protocol,
    /// The file on this device cannot be read, or what came makes no sense.
    #[error("{0}")]
    File(String),
    /// This device's store failed. Somebody makes room or mends the disk.
    #[error("{0}")]
    Store(String),
}

impl BlobError {
    /// Whether the same may work in a moment.
    fn is_passing(&self) -> bool {
        match self {
            Self::Later(_) => true,
            Self::Transport(error) => !matches!(
                error,
                TransportError::WrongServer(_)
                    | TransportError::PassDiffers
                    | TransportError::Incompatible
            ),
            _ => false,
        }
    }
}

/// Where blobs go and come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The way to the server.
    pub(crate) transport: &'a dyn Transport,
    /// Today's pass.
    pub(crate) pass: &'a [u8],
    /// Time and chance.
    pub(crate) env: &'a SharedEnv,
}

/// Puts `total` bytes of `file` under `blob_id`, from wherever an earlier try got to. `progress` is told
/// how many bytes the server has.
pub(crate) async fn upload(
    place: Place<'_>,
    blob_id: BlobId,
    file: &mut std::fs::File,
    total: u64,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<(), BlobError> {
    let mut tries = Tries::new(place.env);
    let mut reached = 0;
    loop {
        let before = reached;
        let tried = upload_once(place, blob_id, file, total, &mut reached, progress).await;
        match tried {
            Err(error) if tries.again(&error, reached > before).await => {}
            done => return done,
        }
    }
}

async fn upload_once(
    place: Place<'_>,
    blob_id: BlobId,
    file: &mut std::fs::File,
    total: u64,
    reached: &mut u64,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<(), BlobError> {
    let mut road = Road::open(place).await?;
    if total > road.bytes_max {
        return Err(BlobError::TooLarge(road.bytes_max));
    }
    let mut offset = road.begin(blob_id, total).await?;
    loop {
        *reached = offset.max(*reached);
        progress(offset);
        if offset >= total {
            return Ok(());
        }
        let part = read_part(file, offset, (total - offset).min(BLOB_PART_BYTES))?;
        let after = road.part(blob_id, offset, part, total).await?;
        // a server that takes nothing would be asked for ever
        if after <= offset {
            return Err(BlobError::Protocol);
        }
        offset = after;
    }
}

fn read_part(file: &mut std::fs::File, offset: u64, bytes: u64) -> Result<Bytes, BlobError> {
    let mut part = Vec::new();
    let read = file
        .seek(SeekFrom::Start(offset))
        .and_then(|_| file.take(bytes).read_to_end(&mut part));
    match read {
        Ok(read) if read as u64 == bytes => Ok(part.into()),
        Ok(_) => Err(BlobError::File("the file to upload was cut".into())),
        Err(error) => Err(BlobError::File(format!("cannot read the file: {error}"))),
    }
}

/// Gives the bytes of a whole blob of `total` bytes from `from` on to `sink`, in order and each once,
/// whatever is cut in between.
pub(crate) async fn download(
    place: Place<'_>,
    blob_id: BlobId,
    from: u64,
    total: u64,
    sink: &mut (dyn FnMut(&[u8]) -> Result<(), BlobError> + Send),
) -> Result<(), BlobError> {
    let mut tries = Tries::new(place.env);
    let mut reached = from;
    loop {
        let before = reached;
        let tried = download_once(place, blob_id, &mut reached, total, sink).await;
        match tried {
            Err(error) if tries.again(&error, reached > before).await => {}
            done => return done,
        }
    }
}

async fn download_once(
    place: Place<'_>,
    blob_id: BlobId,
    reached: &mut u64,
    total: u64,
    sink: &mut (dyn FnMut(&[u8]) -> Result<(), BlobError> + Send),
) -> Result<(), BlobError> {
    if *reached >= total {
        return Ok(());
    }
    let mut road = Road::open(place).await?;
    let mut body = road.read(blob_id, *reached, total).await?;
    while *reached < total {
        let frame = in_time(body.frame()).await?;
        let Some(frame) = frame else {
            return Err(TransportError::Closed.into());
        };
        let frame = frame.map_err(|_| TransportError::Closed)?;
        let Ok(bytes) = frame.into_data() else {
            continue;
        };
        let after = reached.saturating_add(bytes.len() as u64);
        if after > total {
            return Err(BlobError::Protocol);
        }
        sink(&bytes)?;
        *reached = after;
    }
    Ok(())
}

/// How often something was tried without moving.
struct Tries {
    idle: u32,
    backoff: Backoff,
}

impl Tries {
    fn new(env: &SharedEnv) -> Self {
        Self {
            idle: 0,
            backoff: Backoff::new(env.clone()),
        }
    }

    /// Waits before another try; `false` when there should be none.
    async fn again(&mut self, error: &BlobError, has_moved: bool) -> bool {
        if has_moved {
            self.idle = 0;
            self.backoff.reset();
        }
        self.idle += 1;
        if !error.is_passing() || self.idle > TRIES_MAX {
            return false;
        }
        let wait_ms = match error {
            // C-083: a server cannot silence this device for ever
            BlobError::Later(ms) => (*ms).min(RETRY_AFTER_MAX_MS),
            _ => self.backoff.next_ms(),
        };
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        true
    }
}

/// One HTTP connection to a server that showed the pass in hand.
struct Road {
    sender: SendRequest<Full<Bytes>>,
    pump: AbortHandle,
    pass: String,
    bytes_max: u64,
}

impl Drop for Road {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

impl Road {
    async fn open(place: Place<'_>) -> Result<Self, BlobError> {
        let stream = place.transport.http().await?;
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|_| TransportError::Closed)?;
        // how it ended is heard by whoever waits for an answer
        let pump = tokio::spawn(async move { connection.await.is_ok() });
        let mut road = Self {
            sender,
            pump: pump.abort_handle(),
            pass: String::new(),
            bytes_max: 0,
        };
        let facts = road.ask(request(Method::GET, BLOBS_PATH), Bytes::new());
        let facts = facts.await?;
        // C-151: a pass that this server does not show would mark whoever sends it
        let shown = text_of(&facts, PASS_HASH_HEADER).and_then(parse_hex);
        if facts.status() != StatusCode::OK || shown != Some(*pass_hash(place.pass).as_bytes()) {
            return Err(TransportError::PassDiffers.into());
        }
        road.bytes_max = number_of(&facts, BYTES_MAX_HEADER).ok_or(BlobError::Protocol)?;
        road.pass = hex::encode(place.pass);
        drained(facts).await?;
        Ok(road)
    }

    /// Begins an upload, or finds it begun; how far it is.
    async fn begin(&mut self, blob_id: BlobId, total: u64) -> Result<u64, BlobError> {
        let begin = request(Method::PUT, &path(blob_id)).header(LENGTH_HEADER, total);
        self.reached(begin, Bytes::new(), total).await
    }

    /// Sends a part that begins at `offset`; how far it is now: further than the part when bytes of an
    /// earlier connection arrived late.
    async fn part(
        &mut self,
        blob_id: BlobId,
        offset: u64,
        part: Bytes,
        total: u64,
    ) -> Result<u64, BlobError> {
        let put = request(Method::PATCH, &path(blob_id)).header(OFFSET_HEADER, offset);
        self.reached(put, part, total).await
    }

    /// Asks what is answered with an offset of at most `most`.
    async fn reached(
        &mut self,
        request: hyper::http::request::Builder,
        body: Bytes,
        most: u64,
    ) -> Result<u64, BlobError> {
        let answer = self.ask(request, body).await?;
        let offset = number_of(&answer, OFFSET_HEADER);
        judge(&answer)?;
        drained(answer).await?;
        offset
            .filter(|offset| *offset <= most)
            .ok_or(BlobError::Protocol)
    }

    /// The bytes of a blob from `from` on.
    async fn read(
        &mut self,
        blob_id: BlobId,
        from: u64,
        total: u64,
    ) -> Result<Incoming, BlobError> {
        let get = request(Method::GET, &path(blob_id)).header(RANGE, format!("bytes={from}-"));
        let answer = self.ask(get, Bytes::new()).await?;
        judge(&answer)?;
        let length = number_of(&answer, CONTENT_LENGTH.as_str());
        if answer.status() != StatusCode::PARTIAL_CONTENT {
            return Err(BlobError::Protocol);
        }
        // C-191: before a byte of it is taken
        if length != Some(total - from) {
            return Err(BlobError::Length);
        }
        Ok(answer.into_body())
    }

    async fn ask(
        &mut self,
        request: hyper::http::request::Builder,
        body: Bytes,
    ) -> Result<Response<Incoming>, BlobError> {
        let request = match self.pass.as_str() {
            "" => request,
            pass => request.header(PASS_HEADER, pass),
        };
        let request = request.body(Full::new(body));
        let request = request.map_err(|_| BlobError::Protocol)?;
        let asked = async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        };
        in_time(asked)
            .await?
            .map_err(|_| TransportError::Closed.into())
    }
}

fn request(method: Method, path: &str) -> hyper::http::request::Builder {
    let request = Request::builder().method(method).uri(path);
    request.header(HOST, SERVER_NAME)
}

/// What a status other than yes means.
fn judge(answer: &Response<Incoming>) -> Result<(), BlobError> {
    Err(match answer.status() {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT => return Ok(()),
        StatusCode::UNAUTHORIZED => BlobError::Pass,
        StatusCode::NOT_FOUND => BlobError::Missing,
        StatusCode::CONFLICT => BlobError::Conflict,
        StatusCode::PAYLOAD_TOO_LARGE => {
            BlobError::TooLarge(number_of(answer, BYTES_MAX_HEADER).unwrap_or_default())
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let seconds = number_of(answer, RETRY_AFTER.as_str()).unwrap_or(1);
            BlobError::Later(seconds.saturating_mul(1000))
        }
        StatusCode::INSUFFICIENT_STORAGE => BlobError::NoRoom,
        // the blob ends before the place where this side is
        StatusCode::RANGE_NOT_SATISFIABLE => BlobError::Length,
        _ => BlobError::Protocol,
    })
}

fn text_of<'a>(answer: &'a Response<Incoming>, header: &str) -> Option<&'a str> {
    answer.headers().get(header)?.to_str().ok()
}

fn number_of(answer: &Response<Incoming>, header: &str) -> Option<u64> {
    text_of(answer, header)?.parse().ok()
}

/// Takes a short answer's body, so that the connection can be used again.
async fn drained(answer: Response<Incoming>) -> Result<(), BlobError> {
    let body = http_body_util::Limited::new(answer.into_body(), 4096).collect();
    in_time(body).await?.map_err(|_| TransportError::Closed)?;
    Ok(())
}

/// C-071's measure, on this side: whoever says nothing for so long is gone.
async fn in_time<T>(waiting: impl Future<Output = T>) -> Result<T, BlobError> {
    let limit = Duration::from_millis(IDLE_DEAD_MS);
    let waited = timeout(limit, waiting).await;
    waited.map_err(|_| TransportError::TimedOut.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use conclave_proto::blob::padme;
    use conclave_proto::env::OsEnv;

    use super::*;
    use crate::support::World;

    fn file(bytes: &[u8]) -> std::fs::File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    async fn put(place: Place<'_>, id: BlobId, bytes: &[u8], total: u64) -> Result<(), BlobError> {
        upload(place, id, &mut file(bytes), total, &mut |_| {}).await
    }

    /// What goes up comes down, from any place; a pass that the server does not show is never said, and
    /// what is not there or too large is told as such.
    #[tokio::test(flavor = "multi_thread")]
    async fn c151_blobs_go_up_and_come_down_under_the_shown_pass() {
        let world = World::new().await;
        let anna = world.person("anna").await;
        let (transport, env) = (world.transport(), OsEnv::shared());
        let pass = anna.shared().pass().await;
        let place = |pass| Place {
            transport: transport.as_ref(),
            pass,
            env: &env,
        };
        let total = padme(3_000_000);
        let bytes: Vec<u8> = (0..total).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let (blob_id, other) = (BlobId::random(&OsEnv), BlobId::random(&OsEnv));
        let mut told = Vec::new();
        let mut progress = |done| told.push(done);
        let mut source = file(&bytes);
        let up = upload(place(&pass), blob_id, &mut source, total, &mut progress).await;
        assert_eq!(up, Ok(()));
        assert_eq!((told.first(), told.last()), (Some(&0), Some(&total)));
        for from in [0, 1_234_567, total] {
            let mut down = Vec::new();
            let mut sink = |part: &[u8]| {
                down.extend_from_slice(part);
                Ok(())
            };
            let done = download(place(&pass), blob_id, from, total, &mut sink).await;
            assert_eq!(done, Ok(()));
            assert!(down == bytes[usize::try_from(from).unwrap()..]);
        }
        let wrong = put(place(&[7; 32]), other, &bytes, total).await;
        assert_eq!(wrong, Err(TransportError::PassDiffers.into()));
        let huge = put(place(&pass), other, &bytes, padme(200 * 1024 * 1024)).await;
        assert_eq!(huge, Err(BlobError::TooLarge(100 * 1024 * 1024)));
        let cut = put(place(&pass), other, b"abc", total).await;
        assert!(matches!(cut, Err(BlobError::File(_))));
        let conflict = put(place(&pass), blob_id, &bytes, padme(64)).await;
        assert_eq!(conflict, Err(BlobError::Conflict));
        let sink = &mut |_: &[u8]| Ok(());
        let missing = download(place(&pass), BlobId::random(&OsEnv), 0, total, sink).await;
        assert_eq!(missing, Err(BlobError::Missing));
    }
}
