//! Thousands of idle connections, and one honest client that notices nothing.

use conclave_proto::frame::{Ping, request::Body};
use conclave_proto::hello::Role;
use conclave_server::files;

use crate::program::{Program, init};
use crate::support::Client;

const PING: Body = Body::Ping(Ping {});
/// Idle connections, unless `CONCLAVE_CROWD` says how many.
const CROWD: usize = 1000;
/// After so many new ones everybody gives a sign of life.
const WAVE: usize = 1000;

/// A crowd of idle connections is held alive, served when one of them asks, and leaves nothing behind.
#[tokio::test]
async fn an_idle_crowd_is_served() {
    files::raise_limit();
    let crowd = std::env::var("CONCLAVE_CROWD").map_or(CROWD, |number| number.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    init(folder.path());
    let program = Program::start(folder.path());
    let mut honest = program.connect(Role::Logs).await;
    let files_before = program.open_files();
    let mut idle: Vec<Client> = Vec::with_capacity(crowd);
    while idle.len() < crowd {
        idle.push(program.connect(Role::Logs).await);
        if idle.len().is_multiple_of(WAVE) {
            for client in &mut idle {
                client.ask(PING).await.unwrap();
            }
            honest.ask(PING).await.unwrap();
        }
    }
    assert!(program.open_files() >= files_before + u64::try_from(crowd).unwrap());
    drop(idle);
    while program.open_files() > files_before {
        honest.ask(PING).await.unwrap();
    }
    assert_eq!(program.stop("-TERM").code, Some(0));
}
