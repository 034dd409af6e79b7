//! Two servers that tell each other over a real NATS, which goes and comes back.

use std::sync::Arc;
use std::time::Duration;

use conclave_proto::env::OsEnv;
use conclave_proto::id::{Epoch, LogId, Seq};
use conclave_server::NatsHints;
use conclave_server::config::{Config, Secret};
use conclave_server::health::{self, Readiness};
use conclave_server::hint::{Heard, Hint, Hints, NoHints};
use conclave_server::keys::Pepper;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::log_support::append;
use super::nats_server::{NatsServer, free_port};
use super::nodes::{Node, Pair, follow};

/// Bounds a wait for NATS, not a measurement.
const PATIENCE: Duration = Duration::from_mins(1);

fn at(address: &str) -> Config {
    let mut config = Config::default();
    config.server.nats = Secret::new(address.to_owned());
    config
}

/// Two servers start without NATS and serve; hints begin when it comes, end when it is killed, and begin
/// again: readers on B get everything that A took, in order, all the time. B takes work all the time too, and says
/// when hints are away.
#[tokio::test]
async fn c220_nats_comes_and_goes() {
    let port = free_port();
    let config = at(&format!("nats://127.0.0.1:{port}"));
    let pair = Pair::with(&config, [Arc::new(NoHints), Arc::new(NoHints)]).await;
    let anna = pair.person("+491700000001").await;
    let pass = pair.b.account(&anna).await.status().await.pass;
    let (log, mut writer) = pair.log(&pass).await;
    let mut reader = pair.reader(&log).await;
    append(&mut writer, 1, b"without").await.unwrap();
    follow(&mut reader, 1).await;
    is(&pair.b, Readiness::HintsAway).await;
    for round in 0..2 {
        let nats = NatsServer::start(port, &[]);
        is(&pair.b, Readiness::Ready).await;
        append(&mut writer, 1, b"with").await.unwrap();
        let mut late = pair.reader(&log).await;
        follow(&mut late, 2 + 2 * round).await;
        drop(nats);
        is(&pair.b, Readiness::HintsAway).await;
        append(&mut writer, 1, b"killed").await.unwrap();
        let mut late = pair.reader(&log).await;
        follow(&mut late, 3 + 2 * round).await;
    }
    follow(&mut pair.reader(&log).await, 5).await;
    pair.stop().await;
}

/// Asks a server until it says that it is so; it never says that it takes no work.
async fn is(node: &Node, wanted: Readiness) {
    let asking = async {
        let address = node.server.local_address();
        while health::ask(node.folder.path(), address).await.unwrap() != wanted {}
    };
    let asked = tokio::time::timeout(PATIENCE, asking).await;
    asked.expect("it notices");
}

async fn heard(hints: &mut tokio::sync::mpsc::Receiver<Heard>) -> Heard {
    let heard = tokio::time::timeout(PATIENCE, hints.recv()).await;
    heard.expect("NATS answers").expect("the channel is open")
}

fn told(seq: u64) -> Hint {
    Hint::Log {
        log_id: LogId::new([1; 32]),
        epoch: Epoch(1),
        seq: Seq(seq),
    }
}

/// Over TLS with a root and a password of its own, one process hears another, also after NATS was killed and
/// came back; whoever comes back learns that hints may have been lost.
#[tokio::test]
async fn nats_over_tls_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let key = KeyPair::generate().unwrap();
    let mut root = CertificateParams::new(Vec::new()).unwrap();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &root).unwrap();
    std::fs::write(path("ca.pem"), root.pem()).unwrap();
    std::fs::write(path("cert.pem"), leaf.pem()).unwrap();
    std::fs::write(path("key.pem"), key.serialize_pem()).unwrap();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let arguments = [
        "--tls",
        "--tlscert",
        &cert,
        "--tlskey",
        &key,
        "--user",
        "me",
        "--pass",
        "secret",
    ];
    let port = free_port();
    let mut nats = NatsServer::start(port, &arguments);
    let address = format!("tls://me:secret@localhost:{port}");
    let connect = |pepper: u8| {
        let pepper = Pepper::new(&[pepper; 32]);
        NatsHints::start(&address, &path("ca.pem"), &pepper, OsEnv::shared()).unwrap()
    };
    let (one, other, stranger) = (connect(1), connect(1), connect(2));
    let (mut of_other, mut of_stranger) = (other.subscribe(), stranger.subscribe());
    let mut of_one = one.subscribe();
    for round in 0..2 {
        for hints in [&mut of_one, &mut of_other, &mut of_stranger] {
            while heard(hints).await != Heard::Gap {}
        }
        // a subscription may reach NATS after the first hint: told again until it is heard
        let mut again = tokio::time::interval(Duration::from_millis(20));
        let telling = async {
            loop {
                one.publish(vec![told(round)]);
                again.tick().await;
            }
        };
        let hearing =
            async { while heard(&mut of_other).await != Heard::Hints(vec![told(round)]) {} };
        tokio::select! {
            () = telling => {}
            () = hearing => {}
        }
        drop(nats);
        while one.is_connected() || other.is_connected() || stranger.is_connected() {
            tokio::task::yield_now().await;
        }
        nats = NatsServer::start(port, &arguments);
    }
    while let Ok(heard) = of_stranger.try_recv() {
        assert_eq!(heard, Heard::Gap, "another community heard a hint");
    }
}
