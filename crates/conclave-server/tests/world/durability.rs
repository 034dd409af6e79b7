//! An acknowledgement means synced, and syncs are shared: seen from outside the process, by strace.

use std::path::Path;
use std::time::Duration;

use conclave_proto::codec::encode_frame;
use conclave_proto::frame::{Reply, reply, request::Body};
use conclave_proto::hello::Role;
use conclave_proto::log::{AppendEntry, Appended};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::log_support::{Log, opened};
use crate::program::{Program, copy, init};
use crate::support::Client;
use crate::trace::{Acked, Counts, Trace, marker};

const SENDERS: usize = 64;
const MESSAGES_EACH: usize = 12;
/// Bytes of a payload in the figures of `docs/benchmarks.md`.
const PAYLOAD_BYTES: usize = 512;
/// TLS 1.3: header, content type and tag of one record.
const RECORD_BYTES: usize = 5 + 1 + 16;
/// How long anything may take before a test is wrong.
const LONG: Duration = Duration::from_mins(2);

/// One sender: a connection with a log of its own, and what it was told is accepted.
struct Sender {
    client: Client,
    log: Log,
    port: u16,
    acked: Vec<Acked>,
}

impl Sender {
    async fn new(program: &Program) -> Self {
        let mut client = program.connect(Role::Logs).await;
        let log = Log::new();
        let create = log.create(&client, &program.pass(), vec![]);
        assert_eq!(opened(client.ask(Body::CreateLog(create)).await).handle, 1);
        Self {
            port: client.port(),
            client,
            log,
            acked: Vec::new(),
        }
    }

    /// Sends one message after the other until the server says no or is gone.
    async fn send(mut self) -> Self {
        for number in 0..MESSAGES_EACH {
            let marker = marker(self.port, number);
            let mut payload = marker.clone().into_bytes();
            payload.resize(PAYLOAD_BYTES, b'.');
            let id = self
                .client
                .send(Body::AppendEntry(AppendEntry { handle: 1, payload }))
                .await;
            let Some(reply) = self.client.frame::<Reply>().await else {
                break;
            };
            assert_eq!(reply.id, id);
            let Some(reply::Body::Appended(_)) = reply.body else {
                break;
            };
            self.acked.push(Acked {
                port: self.port,
                marker,
            });
        }
        self
    }
}

/// 64 senders at once, each waiting for one acknowledgement before its next message.
async fn load(program: &Program) -> Vec<Sender> {
    let mut ready = Vec::new();
    for _ in 0..SENDERS {
        ready.push(Sender::new(program).await);
    }
    let mut sending: JoinSet<_> = ready.into_iter().map(Sender::send).collect();
    let mut senders = Vec::new();
    while let Some(sender) = sending.join_next().await {
        senders.push(sender.unwrap());
    }
    senders
}

fn acked(senders: &[Sender]) -> Vec<Acked> {
    senders
        .iter()
        .flat_map(|sender| sender.acked.clone())
        .collect()
}

/// Bytes of one acknowledgement on its socket: ids and seqs of this load take one byte each.
fn ack_bytes() -> i64 {
    let day = 20_000;
    let body = Some(reply::Body::Appended(Appended { seq: 1, day }));
    let frame = encode_frame(&Reply { id: 2, body }).unwrap();
    i64::try_from(frame.len() + RECORD_BYTES).unwrap()
}

/// The load under strace with these faults, and what strace saw.
async fn witness(folder: &Path, faults: &[&str]) -> Result<Counts, String> {
    let file = folder.with_extension("trace");
    let program = Program::start_traced(folder, &file, faults).unwrap();
    let senders = timeout(LONG, load(&program)).await.expect("the load ends");
    assert_eq!(program.stop("-TERM").code, Some(0));
    let trace = Trace::parse(&std::fs::read_to_string(&file).unwrap());
    std::fs::remove_file(&file).unwrap();
    assert_eq!(acked(&senders).len(), SENDERS * MESSAGES_EACH);
    trace.no_ack_before_its_sync(&acked(&senders), ack_bytes())
}

/// With 64 senders every acknowledgement leaves after a sync that began after its message was written.
#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledgement_before_its_sync() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path());
    let counts = witness(folder.path(), &[]).await.unwrap();
    assert!(counts.syncs > 0);
}

/// The same while every sync takes 20 ms longer: whoever did not wait for it would be seen at once. All 64 have a
/// message waiting by the end of each sync then, on a busy machine too, and ten messages or more share the next one.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledgements_wait_for_a_slow_sync_and_share_it() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path());
    let slow = ["-e", "inject=fdatasync:delay_enter=20000"];
    let counts = witness(folder.path(), &slow).await.unwrap();
    assert!(counts.syncs * 10 <= counts.messages, "{counts:?}");
}

/// A sync that fails acknowledges nothing, ends the server with a clear error, and after a restart
/// everything that was acknowledged before is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_is_the_end_and_loses_nothing() {
    let empty = tempfile::tempdir().unwrap();
    init(empty.path());
    // each sender's log took one sync; then early and late in the load
    for nth in [SENDERS + 8, SENDERS + 16] {
        let folder = copy(empty.path());
        let file = folder.path().with_extension("trace");
        let fault = format!("inject=fdatasync:error=EIO:when={nth}");
        let program = Program::start_traced(folder.path(), &file, &["-e", &fault]).unwrap();
        let senders = timeout(LONG, load(&program)).await.expect("the load ends");
        let ended = program.wait();
        assert_eq!(ended.code, Some(12), "{}", ended.stderr);
        assert!(
            ended.stderr.contains("conclave-server check"),
            "{}",
            ended.stderr
        );
        let trace = Trace::parse(&std::fs::read_to_string(&file).unwrap());
        std::fs::remove_file(&file).unwrap();
        assert!(acked(&senders).len() < SENDERS * MESSAGES_EACH);
        trace
            .no_ack_before_its_sync(&acked(&senders), ack_bytes())
            .unwrap();
        everything_is_there(folder.path(), &senders).await;
    }
}

/// Reads every log again from a server that is started anew.
async fn everything_is_there(folder: &Path, senders: &[Sender]) {
    use crate::log_support::{open, read};
    let program = Program::start(folder);
    for sender in senders {
        let mut client = program.connect(Role::Logs).await;
        let handle = open(&mut client, &sender.log, 1).await.handle;
        let page = read(&mut client, handle, 0).await;
        let stored: Vec<_> = page
            .entries
            .iter()
            .map(|entry| &entry.payload[..15])
            .collect();
        let acked: Vec<_> = sender
            .acked
            .iter()
            .map(|acked| acked.marker.as_bytes())
            .collect();
        assert!(
            stored.starts_with(&acked),
            "{stored:?} does not begin with {acked:?}"
        );
        assert!(stored.len() <= acked.len() + 1);
    }
    assert_eq!(program.stop("-TERM").code, Some(0));
}
