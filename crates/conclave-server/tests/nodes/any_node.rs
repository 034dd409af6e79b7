//! Any server serves anybody: what was begun on one goes on at another.

use conclave_proto::ErrorCode;
use conclave_proto::frame::{reply, request::Body};
use conclave_proto::hello::Role;
use conclave_proto::key_package::{ClaimKeyPackages, PutKeyPackages};

use super::bus::Manners;
use super::log_support::{append, commit, open, read, seqs};
use super::nodes::Pair;

/// A code that A sent registers at B; the account acts on both, with one pass; what A took B gives out.
#[tokio::test]
async fn what_began_on_one_server_goes_on_at_another() {
    continue_on(Pair::new(Manners::Faithful).await).await;
}

/// The same over PostgreSQL.
#[tokio::test]
async fn what_began_on_one_server_goes_on_at_another_over_postgres() {
    continue_on(Pair::over_postgres().await).await;
}

async fn continue_on(pair: Pair) {
    let anna = pair.person("+491700000001").await;
    let on_a = pair.a.account(&anna).await.status().await;
    let on_b = pair.b.account(&anna).await.status().await;
    assert_eq!(on_a.pass, on_b.pass);
    let (log, mut on_a) = pair.log(&on_a.pass).await;
    append(&mut on_a, 1, b"from a").await.unwrap();
    let mut on_b = pair.b.connect(Role::Logs).await;
    assert_eq!(open(&mut on_b, &log, 1).await.handle, 1);
    append(&mut on_b, 1, b"from b").await.unwrap();
    assert_eq!(seqs(&read(&mut on_b, 1, 0).await), [1, 2]);
    assert_eq!(seqs(&read(&mut on_a, 1, 0).await), [1, 2]);
    pair.stop().await;
}

/// Of two commits for one epoch, on two servers at the same time, one wins; the other gets the winner.
#[tokio::test]
async fn c023_a_race_across_servers_has_one_winner() {
    race_on(Pair::new(Manners::Losing).await).await;
}

/// The same over PostgreSQL.
#[tokio::test]
async fn c023_a_race_across_servers_has_one_winner_over_postgres() {
    race_on(Pair::over_postgres().await).await;
}

async fn race_on(pair: Pair) {
    let anna = pair.person("+491700000001").await;
    let pass = pair.b.account(&anna).await.status().await.pass;
    let (log, mut on_a) = pair.log(&pass).await;
    let mut on_b = pair.b.connect(Role::Logs).await;
    open(&mut on_b, &log, 1).await;
    let (first, second) =
        tokio::join!(commit(&mut on_a, &log, 1, 1), commit(&mut on_b, &log, 1, 1));
    let (won, lost) = if first.is_ok() {
        (first, second)
    } else {
        (second, first)
    };
    assert!(matches!(won, Ok(reply::Body::Opened(_))));
    let lost = lost.unwrap_err();
    assert_eq!(lost.code(), ErrorCode::StaleEpoch);
    assert_eq!(lost.winner.unwrap().seq, 1);
    assert_eq!(seqs(&read(&mut on_a, 1, 0).await), [1]);
    pair.stop().await;
}

/// Ten people who claim from both servers at the same time get ten different packages of ten.
#[tokio::test]
async fn c033_a_key_package_is_given_out_once() {
    claim_on(Pair::new(Manners::Losing).await).await;
}

/// The same over PostgreSQL.
#[tokio::test]
async fn c033_a_key_package_is_given_out_once_over_postgres() {
    claim_on(Pair::over_postgres().await).await;
}

async fn claim_on(pair: Pair) {
    let anna = pair.person("+491700000001").await;
    let mut owner = pair.a.account(&anna).await;
    let pass = owner.status().await.pass;
    let packages = PutKeyPackages {
        one_time: (0..10).map(|number| vec![number; 100]).collect(),
        last_resort: vec![99; 100],
    };
    owner.ask(Body::PutKeyPackages(packages)).await.unwrap();
    let claim = async |node: &super::nodes::Node| {
        let mut client = node.connect(Role::Directory).await;
        let claim = ClaimKeyPackages {
            pass: pass.clone(),
            account_id: anna.account_id.to_vec(),
            capability: anna.capability.to_vec(),
            ..ClaimKeyPackages::default()
        };
        match client.ask(Body::ClaimKeyPackages(claim)).await.unwrap() {
            reply::Body::ClaimedKeyPackages(claimed) => claimed.packages[0].key_package[0],
            other => panic!("{other:?}"),
        }
    };
    let mut claimed = Vec::new();
    for _ in 0..5 {
        let (one, other) = tokio::join!(claim(&pair.a), claim(&pair.b));
        claimed.extend([one, other]);
    }
    claimed.sort_unstable();
    assert_eq!(claimed, (0..10).collect::<Vec<u8>>());
    assert_eq!(claim(&pair.b).await, 99);
    pair.stop().await;
}
