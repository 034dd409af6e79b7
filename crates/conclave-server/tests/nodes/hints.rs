//! Readers on one server hear what was written on another, however the channel between them behaves.

use conclave_proto::frame::{reply, request::Body};
use conclave_proto::hello::Role;
use conclave_proto::inbox::PostItem;
use conclave_proto::limits::INBOX_ITEM_BYTES;
use conclave_proto::log::SendSignal;

use super::bus::Manners;
use super::log_support::{append, commit};
use super::nodes::{Pair, follow, listen};

/// Entries and inbox items that A took reach who waits on B, each once and in order.
async fn reach(manners: Manners) {
    reach_on(Pair::new(manners).await).await;
}

async fn reach_on(pair: Pair) {
    let anna = pair.person("+491700000001").await;
    let mut owner = pair.b.account(&anna).await;
    let pass = owner.status().await.pass;
    let (log, mut writer) = pair.log(&pass).await;
    let mut reader = pair.reader(&log).await;
    for number in 1..=20_u64 {
        let words = number.to_be_bytes();
        assert_eq!(append(&mut writer, 1, &words).await, Ok(number));
    }
    follow(&mut reader, 20).await;
    // the commit is the last that epoch 1 sees
    commit(&mut writer, &log, 1, 1).await.unwrap();
    append(&mut writer, 2, b"unseen").await.unwrap();
    loop {
        let reply::Body::LogPush(push) = reader.push().await else {
            panic!("another push")
        };
        let page = super::log_support::read(&mut reader, 1, 20).await;
        if super::log_support::seqs(&page) == [21] {
            assert!(push.entry.is_none());
            break;
        }
    }
    listen(&mut owner).await;
    let mut stranger = pair.a.connect(Role::Post).await;
    let post = PostItem {
        pass,
        device_id: anna.device_id.to_vec(),
        capability: Vec::new(),
        item: vec![1; INBOX_ITEM_BYTES],
    };
    stranger.ask(Body::PostItem(post)).await.unwrap();
    assert!(matches!(owner.push().await, reply::Body::InboxHint(_)));
    pair.stop().await;
}

/// A channel that works.
#[tokio::test]
async fn readers_hear_another_server() {
    reach(Manners::Faithful).await;
}

/// Two servers over one PostgreSQL and no NATS.
#[tokio::test]
async fn readers_hear_another_server_over_postgres() {
    reach_on(Pair::over_postgres().await).await;
}

/// A channel that loses every hint and does not say so: who follows looks.
#[tokio::test]
async fn c220_lost_hints_cost_time_alone() {
    reach(Manners::Losing).await;
}

/// A channel that repeats hints and turns their order around.
#[tokio::test]
async fn c220_repeated_hints_change_nothing() {
    reach(Manners::Repeating).await;
}

/// A channel that is always one batch late.
#[tokio::test]
async fn c220_late_hints_cost_time_alone() {
    reach(Manners::Late).await;
}

/// A channel that says more than there is: whoever hears it reads what there is.
#[tokio::test]
async fn c220_made_up_hints_bring_nothing_that_is_not_there() {
    reach(Manners::Lying).await;
}

/// Signals go to who is subscribed on another server, and not back to who sent them.
#[tokio::test]
async fn signals_reach_another_server() {
    let pair = Pair::new(Manners::Faithful).await;
    let anna = pair.person("+491700000001").await;
    let pass = pair.b.account(&anna).await.status().await.pass;
    let (log, mut writer) = pair.log(&pass).await;
    let mut reader = pair.reader(&log).await;
    let payload = vec![3; 8];
    let signal = SendSignal { handle: 1, payload };
    writer.ask(Body::SendSignal(signal)).await.unwrap();
    let reply::Body::SignalPush(push) = reader.push().await else {
        panic!("another push")
    };
    assert_eq!((push.handle, push.payload), (1, vec![3; 8]));
    assert_eq!(writer.pushes().await, []);
    pair.stop().await;
}
