//! Servers that share a database, while servers and the database are killed under load.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use conclave_proto::ErrorCode;
use conclave_proto::frame::{Reply, reply, request::Body};
use conclave_proto::hello::Role;
use conclave_proto::log::AppendEntry;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::log_support::{Log, open, opened, read};
use crate::postgres_support::machine::{make, start, start_again, url};
use crate::postgres_support::{Database, SMALL};
use crate::program::{Program, copy, run};
use crate::support::{Client, Place};

/// Conversations under load.
const SENDERS: usize = 8;
/// Messages that each sender sends at once before it looks at the answers.
const AT_ONCE: u32 = 4;
/// How long anything may take before a test is wrong.
const LONG: Duration = Duration::from_mins(2);

/// Servers that a sender may use, with the folder that holds their keys.
type Places = Vec<Place>;

/// One sender: its log, and what it was told.
struct Sender {
    log: Log,
    folder: PathBuf,
    places: Places,
    turn: usize,
    /// Numbers below this were sent, each as one request unless that was refused as busy.
    next: u32,
    acked: Vec<u32>,
    /// How often the answer to a request was lost.
    doubts: u32,
}

impl Sender {
    /// A connection to any server, with the log open.
    async fn connect(&mut self) -> (Client, u32) {
        loop {
            self.turn += 1;
            let place = self.places[self.turn % self.places.len()];
            let hello = crate::support::hello(Role::Logs);
            let Some(mut client) = Client::try_greet(place, &self.folder, &hello).await else {
                tokio::task::yield_now().await;
                continue;
            };
            if let Some(handle) = self.try_open(&mut client).await {
                return (client, handle);
            }
        }
    }

    /// `None` when the server is gone or cannot say.
    async fn try_open(&self, client: &mut Client) -> Option<u32> {
        let logs = vec![self.log.open_one(client, 1)];
        let request = conclave_proto::log::OpenLogs { logs };
        client.try_send(Body::OpenLogs(request)).await?;
        match client.frame::<Reply>().await?.body? {
            reply::Body::OpenedLogs(opened) => Some(opened.logs.first()?.handle),
            _ => None,
        }
    }

    /// Sends until it is told to stop: a few messages at once, and again what was refused as busy. What
    /// became of a message whose answer was lost it does not ask: it may be there, once.
    async fn send(mut self, stop: watch::Receiver<bool>) -> Self {
        let (mut client, mut handle) = self.connect().await;
        while !*stop.borrow() {
            let from = self.next;
            self.next += AT_ONCE;
            let mut todo: Vec<u32> = (from..self.next).collect();
            while !todo.is_empty() {
                todo = if let Some(refused) = self.round(&mut client, handle, &todo).await {
                    refused
                } else {
                    self.doubts += 1;
                    (client, handle) = self.connect().await;
                    Vec::new()
                };
            }
        }
        self
    }

    /// Sends these and gives those that were refused as busy; `None` when the answer of one is lost.
    async fn round(&mut self, client: &mut Client, handle: u32, todo: &[u32]) -> Option<Vec<u32>> {
        let mut waiting = Vec::new();
        for number in todo {
            let payload = number.to_be_bytes().repeat(60);
            let append = Body::AppendEntry(AppendEntry { handle, payload });
            waiting.push((client.try_send(append).await?, *number));
        }
        let mut refused = Vec::new();
        while !waiting.is_empty() {
            let reply: Reply = client.frame().await?;
            let place = waiting.iter().position(|(id, _)| *id == reply.id);
            let Some(place) = place else { continue };
            let (_, number) = waiting.remove(place);
            match reply.body? {
                reply::Body::Appended(_) => self.acked.push(number),
                reply::Body::Refused(no) if no.code() == ErrorCode::Busy => refused.push(number),
                _ => return None,
            }
        }
        Some(refused)
    }

    /// Every number that is stored, in order.
    async fn stored(&self, client: &mut Client, handle: u32) -> Vec<u32> {
        let mut numbers = Vec::new();
        loop {
            let after = u64::try_from(numbers.len()).unwrap();
            let page = read(client, handle, after).await;
            if page.entries.is_empty() {
                return numbers;
            }
            for entry in page.entries {
                assert_eq!(entry.seq, u64::try_from(numbers.len()).unwrap() + 1);
                let first = entry.payload.first_chunk::<4>().unwrap();
                numbers.push(u32::from_be_bytes(*first));
            }
        }
    }
}

async fn senders(program: &Program, folder: &Path, places: &Places) -> Vec<Sender> {
    let mut senders = Vec::new();
    for turn in 0..SENDERS {
        let mut client = program.connect(Role::Logs).await;
        let log = Log::new();
        let create = log.create(&client, &program.pass(), vec![]);
        assert_eq!(opened(client.ask(Body::CreateLog(create)).await).handle, 1);
        senders.push(Sender {
            log,
            folder: folder.to_owned(),
            places: places.clone(),
            turn,
            next: 0,
            acked: Vec::new(),
            doubts: 0,
        });
    }
    senders
}

/// Everything that was acknowledged is there, and nothing twice.
async fn all_acked_are_there_once(program: &Program, senders: &[Sender]) {
    for sender in senders {
        assert!(!sender.acked.is_empty());
        let mut client = program.connect(Role::Logs).await;
        let handle = open(&mut client, &sender.log, 1).await.handle;
        let stored = sender.stored(&mut client, handle).await;
        let once: BTreeSet<u32> = stored.iter().copied().collect();
        assert_eq!(once.len(), stored.len(), "twice; doubts: {}", sender.doubts);
        let lost: Vec<_> = sender
            .acked
            .iter()
            .filter(|number| !once.contains(number))
            .collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        assert!(once.iter().all(|number| *number < sender.next));
    }
}

/// A folder with keys, for a server of this database.
fn keys(url: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let ended = run(folder.path(), &["--database", url, "init"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!folder.path().join("store.db").exists());
    folder
}

/// Of three servers one after the other is killed under load, and comes back: nothing that was
/// acknowledged is lost, nothing is there twice, and what one server took the others give.
#[tokio::test(flavor = "multi_thread")]
async fn servers_are_killed_and_nothing_is_lost() {
    let database = Database::new().await;
    let url = database.url();
    let first = keys(&url);
    let folders: Vec<_> = (0..3).map(|_| copy(first.path())).collect();
    let mut programs: Vec<_> = folders
        .iter()
        .map(|folder| Some(Program::start_shared(folder.path(), &url)))
        .collect();
    let places: Places = programs
        .iter()
        .flatten()
        .map(|program| program.place)
        .collect();
    let ready = senders(programs[0].as_ref().unwrap(), first.path(), &places).await;
    let (stop, stopping) = watch::channel(false);
    let sending: JoinSet<_> = ready
        .into_iter()
        .map(|sender| sender.send(stopping.clone()))
        .collect();
    for killed in [0, 1] {
        let before = count(&url).await;
        grow(&url, before + 200).await;
        let program = programs[killed].take().unwrap();
        assert_eq!(program.stop("-KILL").code, None);
        let before = count(&url).await;
        grow(&url, before + 200).await;
    }
    stop.send(true).unwrap();
    let sent = async { sending.join_all().await };
    let senders = timeout(LONG, sent).await.expect("the load ends");
    let last = programs[2].take().unwrap();
    all_acked_are_there_once(&last, &senders).await;
    assert!(senders.iter().any(|sender| sender.doubts > 0));
    assert_eq!(last.stop("-TERM").code, Some(0));
    let check = run(folders[2].path(), &["--database", &url, "check"]);
    assert_eq!(check.code, Some(0), "{}", check.stdout);
}

/// The database is killed under load and started anew, twice: the servers live on, nothing that was
/// acknowledged is lost, nothing is there twice.
#[tokio::test(flavor = "multi_thread")]
async fn the_database_is_killed_and_nothing_is_lost() {
    let home = tempfile::tempdir().unwrap();
    let cluster = Cluster::new(home.path());
    let url = url(home.path(), "postgres");
    let first = keys(&url);
    let second = copy(first.path());
    let programs = [first.path(), second.path()].map(|folder| Program::start_shared(folder, &url));
    let places: Places = programs.iter().map(|program| program.place).collect();
    let ready = senders(&programs[0], first.path(), &places).await;
    let (stop, stopping) = watch::channel(false);
    let sending: JoinSet<_> = ready
        .into_iter()
        .map(|sender| sender.send(stopping.clone()))
        .collect();
    for _ in 0..2 {
        let before = count(&url).await;
        grow(&url, before + 200).await;
        cluster.kill();
        start_again(home.path()).unwrap();
    }
    let before = count(&url).await;
    grow(&url, before + 200).await;
    stop.send(true).unwrap();
    let sent = async { sending.join_all().await };
    let senders = timeout(LONG, sent).await.expect("the load ends");
    all_acked_are_there_once(&programs[0], &senders).await;
    for program in programs {
        assert_eq!(program.stop("-TERM").code, Some(0));
    }
}

/// A cluster of its own, whose disk is taken seriously; killed when dropped.
struct Cluster<'a>(&'a Path);

impl<'a> Cluster<'a> {
    fn new(folder: &'a Path) -> Self {
        make(folder, SMALL).unwrap();
        start(folder).unwrap();
        Self(folder)
    }

    /// Kills the first process, as the kernel would; the others follow it.
    fn kill(&self) {
        let file = std::fs::read_to_string(self.0.join("data/postmaster.pid"));
        let Ok(file) = file else { return };
        let pid = file.lines().next().unwrap().to_owned();
        let killed = Command::new("kill").args(["-KILL", &pid]).status();
        assert!(killed.unwrap().success());
        let process = Path::new("/proc").join(&pid);
        // a zombie of nobody goes at once
        while std::fs::read(process.join("cmdline")).is_ok_and(|line| !line.is_empty()) {
            std::thread::yield_now();
        }
    }
}

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Entries of all logs.
async fn count(url: &str) -> i64 {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .unwrap();
    let serving = tokio::spawn(connection);
    let row = client
        .query_one("SELECT coalesce(sum(seq), 0)::int8 FROM log", &[])
        .await;
    let entries = row.unwrap().get(0);
    drop(client);
    serving.await.unwrap().unwrap();
    entries
}

/// Waits until there are so many.
async fn grow(url: &str, to: i64) {
    let grown = async {
        while count(url).await < to {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, grown).await.expect("the load goes on");
}
