//! Blobs over HTTP: put in parts, taken in ranges, and what strangers, rivals and time do to them.

use std::time::Duration;

use conclave_proto::ALPN_HTTP;
use conclave_proto::blob::{padme, path};
use conclave_proto::hello::pass_hash;
use conclave_proto::id::BlobId;
use conclave_proto::limits::{BLOB_PART_BYTES, IDLE_DEAD_MS};
use conclave_server::config::Config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::slow::{drip, is_at};
use super::support::{DAY_MS, World, tls};

/// An HTTP client that sends what it is told.
struct Http {
    stream: TlsStream<TcpStream>,
    pass: String,
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map_or("", |(_, value)| value)
    }

    fn offset(&self) -> u64 {
        self.header("upload-offset").parse().unwrap()
    }
}

impl Http {
    async fn open(world: &World, pass: &[u8]) -> Self {
        Self {
            stream: tls(&world.server, world.folder.path(), ALPN_HTTP).await,
            pass: hex::encode(pass),
        }
    }

    async fn send(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) {
        let pass = match self.pass.as_str() {
            "" => String::new(),
            pass => format!("Conclave-Pass: {pass}\r\n"),
        };
        let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{pass}{headers}\r\n");
        self.stream.write_all(head.as_bytes()).await.unwrap();
        // a server that refuses may end it
        let _ = self.stream.write_all(body).await;
        let _ = self.stream.flush().await;
    }

    async fn answer(&mut self, method: &str) -> Answer {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let mut answer = Answer {
            status: status.parse().unwrap(),
            headers,
            body: Vec::new(),
        };
        if method != "HEAD" && answer.status != 100 {
            answer.body = vec![0; answer.header("content-length").parse().unwrap()];
            self.stream.read_exact(&mut answer.body).await.unwrap();
        }
        answer
    }

    async fn ask(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        self.send(method, path, headers, body).await;
        self.answer(method).await
    }

    async fn begin(&mut self, id: BlobId, total: usize) -> Answer {
        let headers = format!("Upload-Length: {total}\r\n");
        self.ask("PUT", &path(id), &headers, b"").await
    }

    async fn part(&mut self, id: BlobId, offset: usize, body: &[u8]) -> Answer {
        let length = body.len();
        let headers = format!("Upload-Offset: {offset}\r\nContent-Length: {length}\r\n");
        self.ask("PATCH", &path(id), &headers, body).await
    }

    async fn state(&mut self, id: BlobId) -> Answer {
        self.ask("HEAD", &path(id), "", b"").await
    }

    async fn get(&mut self, id: BlobId, range: &str) -> Answer {
        let headers = match range {
            "" => String::new(),
            range => format!("Range: bytes={range}\r\n"),
        };
        self.ask("GET", &path(id), &headers, b"").await
    }
}

fn id(byte: u8) -> BlobId {
    BlobId::new([byte; 32])
}

/// Bytes that differ everywhere.
fn content(length: usize) -> Vec<u8> {
    let bytes = (0..length.div_ceil(4)).flat_map(|n| u32::try_from(n).unwrap().to_be_bytes());
    bytes.take(length).collect()
}

/// What is put in by parts comes out whole and in ranges, on one connection, and asking the same again
/// gets the same.
#[tokio::test]
async fn blobs_go_in_by_parts_and_out_by_ranges() {
    let world = World::new().await;
    let pass = world.pass().await;
    let mut http = Http::open(&world, &[]).await;
    let facts = http.ask("GET", "/v1/blobs", "", b"").await;
    assert_eq!(facts.status, 200);
    let shown = hex::encode(pass_hash(&pass).as_bytes());
    assert_eq!(facts.header("conclave-pass-hash"), shown);
    assert_eq!(facts.header("conclave-blob-bytes-max"), "104857600");

    http.pass = hex::encode(&pass);
    let all = content(usize::try_from(padme(300_000)).unwrap());
    assert_eq!(http.state(id(1)).await.status, 404);
    for _again in 0..2 {
        let begun = http.begin(id(1), all.len()).await;
        assert_eq!((begun.status, begun.offset()), (200, 0));
    }
    assert_eq!(http.get(id(1), "").await.status, 404, "not whole yet");
    for _again in 0..2 {
        let part = http.part(id(1), 0, &all[..100_001]).await;
        assert_eq!((part.status, part.offset()), (200, 100_001));
    }
    let overlapping = http.part(id(1), 90_000, &all[90_000..200_000]).await;
    assert_eq!((overlapping.status, overlapping.offset()), (200, 200_000));
    let rest = http.part(id(1), 200_000, &all[200_000..]).await;
    assert_eq!(rest.offset(), all.len() as u64);
    let again = http.part(id(1), 0, &all).await;
    assert_eq!((again.status, again.offset()), (200, all.len() as u64));
    assert_eq!(
        http.begin(id(1), all.len()).await.offset(),
        all.len() as u64
    );

    let whole = http.get(id(1), "").await;
    assert_eq!((whole.status, whole.body == all), (200, true));
    let range = http.get(id(1), "70000-70009").await;
    assert_eq!(
        (range.status, range.body),
        (206, all[70_000..70_010].to_vec())
    );
    let shown = format!("bytes 70000-70009/{}", all.len());
    assert!(range.headers.contains(&("content-range".to_owned(), shown)));
    let tail = http.get(id(1), "299999-").await;
    assert_eq!(tail.body, all[299_999..]);
    let behind = http.get(id(1), &format!("{}-", all.len())).await;
    assert_eq!(behind.status, 416);
}

/// A cut in the middle of a part loses nothing that was acknowledged, over a restart of the server too,
/// and the rest fits behind what came.
#[tokio::test]
async fn a_cut_upload_goes_on_where_it_was() {
    let mut world = World::new().await;
    let pass = world.pass().await;
    let all = content(usize::try_from(padme(400_000)).unwrap());
    let mut http = Http::open(&world, &pass).await;
    http.begin(id(1), all.len()).await;
    http.part(id(1), 0, &all[..150_000]).await;
    let headers = format!(
        "Upload-Offset: 150000\r\nContent-Length: {}\r\n",
        all.len() - 150_000
    );
    http.send("PATCH", &path(id(1)), &headers, &all[150_000..260_000])
        .await;
    drop(http);
    let mut http = Http::open(&world, &pass).await;
    let reached = http.state(id(1)).await;
    let reached = usize::try_from(reached.offset()).unwrap();
    assert!((150_000..=260_000).contains(&reached), "{reached}");
    drop(http);

    world = world.restart().await;
    let mut http = Http::open(&world, &pass).await;
    let after = usize::try_from(http.state(id(1)).await.offset()).unwrap();
    assert!(after >= reached, "{after} {reached}");
    assert_eq!(http.part(id(1), after, &all[after..]).await.status, 200);
    assert!(http.get(id(1), "").await.body == all);
}

/// Without today's pass nobody begins, writes, asks or reads, and a connection of yesterday goes on.
#[tokio::test]
async fn c145_blobs_need_the_pass() {
    let world = World::new().await;
    let pass = world.pass().await;
    let mut friend = Http::open(&world, &pass).await;
    friend.begin(id(1), 4).await;
    assert_eq!(friend.part(id(1), 0, b"abcd").await.status, 200);
    for wrong in [&[][..], &[7; 32], &pass[..31]] {
        let mut http = Http::open(&world, wrong).await;
        let status = if wrong.len() == 31 { 400 } else { 401 };
        assert_eq!(http.begin(id(2), 4).await.status, status);
        if status == 400 {
            continue;
        }
        assert_eq!(http.part(id(1), 0, b"abcd").await.status, status);
        assert_eq!(http.state(id(1)).await.status, status);
        assert_eq!(http.get(id(1), "").await.status, status);
        assert_eq!(
            http.get(id(9), "").await.status,
            status,
            "unknown looks the same"
        );
    }
    world.pass_time(DAY_MS);
    assert_eq!(friend.get(id(1), "").await.body, b"abcd");
    let mut late = Http::open(&world, &pass).await;
    assert_eq!(late.get(id(1), "").await.status, 401);
    assert_eq!(friend.state(id(2)).await.status, 404);
}

/// Lengths that say too much or are too large, other bytes, gaps and ends are refused with a reason;
/// the connection goes on after each, and the blob is what it was.
#[tokio::test]
async fn c147_wrong_parts_change_nothing() {
    let world = World::new().await;
    let mut http = Http::open(&world, &world.pass().await).await;
    assert_eq!(http.begin(id(1), 8).await.status, 200);
    assert_eq!(http.begin(id(1), 16).await.status, 409);
    assert_eq!(http.begin(id(2), 1 << 30).await.status, 413);
    assert_eq!(http.part(id(2), 0, b"x").await.status, 404);
    assert_eq!(http.part(id(1), 0, b"abcd").await.status, 200);
    let gap = http.part(id(1), 5, b"f").await;
    assert_eq!((gap.status, gap.offset()), (409, 4));
    assert_eq!(http.part(id(1), 0, b"abcX").await.status, 409);
    assert_eq!(http.part(id(1), 4, b"efghi").await.status, 413);
    let large = vec![0; usize::try_from(BLOB_PART_BYTES).unwrap()];
    assert_eq!(http.part(id(1), 4, &large).await.status, 413);
    assert_eq!(http.part(id(1), 4, b"efgh").await.offset(), 8);
    assert_eq!(http.part(id(1), 4, b"EFGH").await.status, 409);
    assert_eq!(http.get(id(1), "").await.body, b"abcdefgh");
}

/// A client that asks first gets its go-ahead before the body.
#[tokio::test]
async fn continue_is_said() {
    let world = World::new().await;
    let mut http = Http::open(&world, &world.pass().await).await;
    http.begin(id(1), 4).await;
    let headers = "Upload-Offset: 0\r\nContent-Length: 4\r\nExpect: 100-continue\r\n";
    http.send("PATCH", &path(id(1)), headers, b"").await;
    assert_eq!(http.answer("PATCH").await.status, 100);
    http.stream.write_all(b"abcd").await.unwrap();
    assert_eq!(http.answer("PATCH").await.status, 200);
}

/// C-146: only Padmé lengths, so that a length says little.
#[tokio::test]
async fn c146_only_padded_lengths() {
    let world = World::new().await;
    let pass = world.pass().await;
    for (total, status) in [(0, 400), (1_001, 400), (1_000, 400), (1_024, 200)] {
        let mut http = Http::open(&world, &pass).await;
        assert_eq!(http.begin(id(1), total).await.status, status, "{total}");
    }
}

/// When the quota is used up, new blobs are refused with a reason and old ones stay whole; what expires
/// makes room.
#[tokio::test]
async fn c148_a_full_server_says_so_and_c149_time_makes_room() {
    let mut config = Config::default();
    config.retention.clock_jump_days = 0;
    config.retention.sweep_every_ms = 20;
    config.blobs.quota_bytes = 1_024;
    let world = World::with(config).await;
    let mut http = Http::open(&world, &world.pass().await).await;
    http.begin(id(1), 512).await;
    let all = content(512);
    http.part(id(1), 0, &all).await;
    http.begin(id(2), 512).await;
    let full = http.begin(id(3), 16).await;
    assert_eq!((full.status, full.body.is_empty()), (507, false));
    assert!(http.get(id(1), "").await.body == all);
    world.pass_time(2 * DAY_MS);
    let pass = world.pass().await;
    let mut http = Http::open(&world, &pass).await;
    while http.begin(id(3), 16).await.status != 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(http.state(id(2)).await.status, 404, "unfinished");
    assert!(http.get(id(1), "").await.body == all);
    world.pass_time(29 * DAY_MS);
    let pass = world.pass().await;
    let mut http = Http::open(&world, &pass).await;
    while http.state(id(1)).await.status != 404 {
        tokio::task::yield_now().await;
    }
}

/// A member of one network begins so many uploads an hour; taking a refused upload again is counted too.
#[tokio::test]
async fn c148_a_network_begins_so_many() {
    let mut config = Config::default();
    config.limits.per_network_uploads = 2;
    config.limits.exempt_loopback = conclave_server::config::ExemptLoopback::Never;
    let world = World::with(config).await;
    let mut http = Http::open(&world, &world.pass().await).await;
    let mut statuses = Vec::new();
    for byte in 0..4 {
        statuses.push(http.begin(id(byte), 4).await.status);
    }
    assert_eq!(statuses, [200, 200, 429, 429]);
    assert_eq!(http.part(id(0), 0, b"abcd").await.status, 200);
}

/// Whoever sends one byte a second, of a body or of a next head, or does not take what was asked for,
/// is gone after 90 s.
#[tokio::test]
async fn c148_slow_clients_end_by_the_deadline() {
    let world = World::new().await;
    let pass = world.pass().await;
    let mut honest = world.connect(conclave_proto::hello::Role::Logs).await;
    let mut slow = Http::open(&world, &pass).await;
    slow.begin(id(1), 65_536).await;
    let headers = "Upload-Offset: 0\r\nContent-Length: 65536\r\n";
    slow.send("PATCH", &path(id(1)), headers, b"x").await;
    let took = drip(&mut slow.stream, b"y", &mut honest).await;
    assert!(is_at(took, IDLE_DEAD_MS), "body: {took}");

    let mut slow = Http::open(&world, &pass).await;
    slow.state(id(1)).await;
    let took = drip(&mut slow.stream, b"GET / HTTP/1.1\r\n", &mut honest).await;
    assert!(is_at(took, IDLE_DEAD_MS), "head: {took}");
}

/// A server that stops in the middle of an upload and of a download stops at once.
#[tokio::test]
async fn a_stop_does_not_wait_for_blobs() {
    let world = World::new().await;
    let pass = world.pass().await;
    let mut one = Http::open(&world, &pass).await;
    one.begin(id(1), 65_536).await;
    let headers = "Upload-Offset: 0\r\nContent-Length: 65536\r\n";
    one.send("PATCH", &path(id(1)), headers, b"x").await;
    let stopped = tokio::time::timeout(Duration::from_secs(5), world.server.stop()).await;
    stopped.expect("it stops").unwrap();
}
