//! No file descriptors left: the server waits for some and goes on.

use std::net::TcpStream as Blocking;
use std::path::Path;

use conclave_proto::frame::{Ping, request::Body};
use conclave_proto::hello::Role;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::program::{Program, init, run};

const PING: Body = Body::Ping(Ping {});

/// Asks for health until it is there: descriptors come back when the server has seen the ends.
fn becomes_healthy(folder: &Path) {
    let healthy = (0..200).any(|_| run(folder, &["health"]).code == Some(0));
    assert!(healthy, "the server did not come back");
}

/// Where few files may be open, some stay with the server: a flood gets what is left and is closed beyond
/// it, who is connected is served, and afterwards everybody is.
#[tokio::test]
async fn a_flood_leaves_descriptors_to_the_server() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path());
    let program = Program::start_with_files(folder.path(), 64);
    let mut honest = program.connect(Role::Logs).await;
    let mut flood = Vec::new();
    for _ in 0..200 {
        flood.push(TcpStream::connect(program.place.address).await.unwrap());
    }
    let last = flood.last_mut().unwrap();
    assert_eq!(last.read(&mut [0]).await.unwrap_or(0), 0);
    honest.ask(PING).await.unwrap();
    drop(flood);
    becomes_healthy(folder.path());
    honest.ask(PING).await.unwrap();
    assert_eq!(program.stop("-TERM").code, Some(0));
}

/// When accepting itself finds no descriptor, connections wait in the queue, the server lives and serves
/// who is connected, and takes the others as descriptors come back.
#[tokio::test]
async fn accepting_goes_on_when_descriptors_come_back() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path());
    let program = Program::start(folder.path());
    let mut honest = program.connect(Role::Logs).await;
    let limit = program.open_files() + 3;
    let files = Rlimit {
        current: Some(limit),
        maximum: Some(limit),
    };
    let pid = Pid::from_raw(program.server_pid().try_into().unwrap()).unwrap();
    prlimit(Some(pid), Resource::Nofile, files).unwrap();
    let connect = |_| Blocking::connect(program.place.address).unwrap();
    let flood: Vec<Blocking> = (0..30).map(connect).collect();
    while program.open_files() < limit {
        std::thread::yield_now();
    }
    honest.ask(PING).await.unwrap();
    assert_ne!(run(folder.path(), &["health"]).code, Some(0));
    honest.ask(PING).await.unwrap();
    drop(flood);
    becomes_healthy(folder.path());
    honest.ask(PING).await.unwrap();
    assert_eq!(program.stop("-TERM").code, Some(0));
}
