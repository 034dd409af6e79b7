//! Logs on the wire: rights by epoch, bundles, pushes, blobs.

use conclave_proto::account::verify_ed25519;
use conclave_proto::blob::{FetchBlob, NewBlob};
use conclave_proto::frame::{reply, request::Body};
use conclave_proto::hello::Role;
use conclave_proto::limits::{HANDLES_MAX, MESSAGE_ENTRY_BYTES_MAX, SIGNAL_BYTES_MAX};
use conclave_proto::log::{
    AppendEntry, CloseHandle, EntryKind, OpenLogs, OpenedOne, PutBundle, SendSignal, SubscribeLog,
    head_signing_input,
};
use conclave_proto::{ErrorCode, codec};

use super::log_support::{Log, append, commit, open, opened, read, seqs};
use super::support::{Client, World};

/// A created log and a connection that has it open at epoch 1 (handle 1).
async fn created(world: &World) -> (Log, Client) {
    let (log, pass) = (Log::new(), world.pass().await);
    let mut client = world.connect(Role::Logs).await;
    let request = log.create(&client, &pass, vec![]);
    let opened = opened(client.ask(Body::CreateLog(request)).await);
    assert_eq!((opened.handle, opened.head.unwrap().seq), (1, 0));
    (log, client)
}

/// The same create again gets the same answer, another one a conflict; a proof by no key is refused.
#[tokio::test]
async fn c020_creating_again_is_the_same() {
    let world = World::new().await;
    let (log, pass) = (Log::new(), world.pass().await);
    let mut client = world.connect(Role::Logs).await;
    let request = log.create(&client, &pass, vec![]);
    let first = opened(client.ask(Body::CreateLog(request.clone())).await);
    let again = opened(client.ask(Body::CreateLog(request.clone())).await);
    assert_eq!(first.head, again.head);
    let mut forged = request.clone();
    forged.retention_days = 7;
    let refusal = client.ask(Body::CreateLog(forged)).await.unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::Unauthorized);
    let mut odd = request;
    odd.retention_days = 8;
    let refusal = client.ask(Body::CreateLog(odd)).await.unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::BadRequest);
    let other = Log {
        id: log.id,
        ..Log::new()
    };
    let request = other.create(&client, &pass, vec![]);
    let refusal = client.ask(Body::CreateLog(request)).await.unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::Conflict);
}

/// Entries come back in order with a head that the server's leaf key has signed.
#[tokio::test]
async fn c027_reads_are_signed() {
    let world = World::new().await;
    let (log, mut client) = created(&world).await;
    for number in 1..=3 {
        let seq = append(&mut client, 1, format!("m{number}").as_bytes()).await;
        assert_eq!(seq.unwrap(), number);
    }
    let page = read(&mut client, 1, 1).await;
    assert_eq!(seqs(&page), [2, 3]);
    assert_eq!(page.entries[0].payload, b"m2");
    let head = page.head.unwrap().parse().unwrap();
    let input = head_signing_input(client.context.server_id, log.id, &head);
    let verify = |key: Vec<u8>| verify_ed25519(&key, &input, &page.head_signature);
    assert!(verify(client.leaf_key()));
    assert!(!verify(log.public(1).to_vec()));
}

/// An old epoch's key neither appends, bundles nor signals, and reads up to the commit that ended its
/// epoch and not past it: on the connection that was open, and on a fresh one.
#[tokio::test]
async fn c021_old_epochs_are_capped_on_open_and_fresh_connections() {
    let world = World::new().await;
    let (log, mut client) = created(&world).await;
    append(&mut client, 1, b"one").await.unwrap();
    let next = opened(commit(&mut client, &log, 1, 1).await).handle;
    append(&mut client, next, b"three").await.unwrap();

    let mut fresh = world.connect(Role::Logs).await;
    let late = open(&mut fresh, &log, 1).await;
    let head = late.head.unwrap();
    assert_eq!((late.handle, head.epoch, head.seq), (1, 2, 2));
    for client in [&mut client, &mut fresh] {
        let page = read(client, 1, 0).await;
        assert_eq!(seqs(&page), [1, 2]);
        assert_eq!(page.head.unwrap().seq, 2);
        assert_eq!(seqs(&read(client, 1, 2).await), [0; 0]);
        assert_eq!(seqs(&read(client, 1, 99).await), [0; 0]);
        // C-024: an epoch that is over takes nothing
        let refusal = append(client, 1, b"late").await.unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::StaleEpoch);
        let refusal = commit(client, &log, 1, 1).await.unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::StaleEpoch);
        let payload = vec![1];
        let signal = SendSignal { handle: 1, payload };
        let refusal = client.ask(Body::SendSignal(signal)).await.unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::StaleEpoch);
    }
    // the new epoch's key reads from after the commit that began it
    let page = read(&mut client, next, 0).await;
    assert_eq!(seqs(&page), [3]);
}

/// An epoch that is over takes no message, on a connection that stays open.
#[tokio::test]
async fn c024_stale_appends_are_refused() {
    let world = World::new().await;
    let (log, mut client) = created(&world).await;
    opened(commit(&mut client, &log, 1, 1).await);
    let refusal = append(&mut client, 1, b"late").await.unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::StaleEpoch);
}

/// Unknown log, wrong key, future epoch and a proof of another connection look alike.
#[tokio::test]
async fn c022_one_answer_for_every_failed_open() {
    let world = World::new().await;
    let (log, mut client) = created(&world).await;
    let other = world.connect(Role::Logs).await;
    let mut wrong_key = log.open_one(&client, 1);
    wrong_key.proof = log.open_one(&client, 2).proof;
    let mut future = log.open_one(&client, 2);
    future.epoch = 2;
    let unknown = Log::new().open_one(&client, 1);
    let elsewhere = log.open_one(&other, 1);
    let good = log.open_one(&client, 1);
    let logs = vec![wrong_key, future, unknown, elsewhere, good];
    let answer = client.ask(Body::OpenLogs(OpenLogs { logs })).await.unwrap();
    let reply::Body::OpenedLogs(answer) = answer else {
        panic!("{answer:?}")
    };
    for failed in &answer.logs[..4] {
        assert_eq!(*failed, OpenedOne::default());
    }
    assert_ne!(answer.logs[4].handle, 0);
}

/// Two bundles for one epoch: the first wins, the other gets the winner.
#[tokio::test]
async fn c023_the_loser_gets_the_winner() {
    let world = World::new().await;
    let (log, mut client) = created(&world).await;
    let winner = codec::encode(&log.commit(&client, 1, b"first", &[]));
    let loser = codec::encode(&log.commit(&client, 1, b"second", &[]));
    let bundle = |commit_entry: &[u8]| {
        Body::PutBundle(PutBundle {
            handle: 1,
            commit_entry: commit_entry.to_vec(),
            blobs: vec![],
        })
    };
    let won = opened(client.ask(bundle(&winner)).await);
    assert_eq!(won.head.unwrap().epoch, 2);
    for late in [&loser, &winner] {
        let refusal = client.ask(bundle(late)).await.unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::StaleEpoch);
        let entry = refusal.winner.unwrap();
        assert_eq!(entry.kind(), EntryKind::Commit);
        assert_eq!((entry.payload.as_slice(), entry.seq), (&winner[..], 1));
    }
    append(&mut client, won.handle, b"on").await.unwrap();
}

/// A bundle whose signatures, ids or blobs do not hold changes nothing.
#[tokio::test]
async fn c023_refuses_bundles_that_do_not_hold() {
    let world = World::new().await;
    let (log, mut client) = created(&world).await;
    let blob = NewBlob {
        blob_id: vec![5; 32],
        bytes: b"welcome".to_vec(),
    };
    let blobs = [blob.clone()];
    let good = log.commit(&client, 1, b"commit", &blobs);
    let mut no_old = good.clone();
    no_old.old_signature = good.new_signature.clone();
    let mut no_new = good.clone();
    no_new.new_signature = good.old_signature.clone();
    let mut other_commit = good.clone();
    other_commit.commit = b"another".to_vec().into();
    let mut trailing = codec::encode(&good);
    trailing.push(0);
    let stranger = Log {
        id: log.id,
        ..Log::new()
    };
    let bad = [
        codec::encode(&no_old),
        codec::encode(&no_new),
        codec::encode(&other_commit),
        trailing,
        codec::encode(&stranger.commit(&client, 1, b"commit", &blobs)),
        codec::encode(&log.commit(&client, 2, b"commit", &blobs)),
    ];
    let mut requests: Vec<(Vec<u8>, Vec<NewBlob>)> = bad
        .into_iter()
        .map(|entry| (entry, blobs.to_vec()))
        .collect();
    let changed = NewBlob {
        bytes: b"changed".to_vec(),
        ..blob.clone()
    };
    for wrong in [vec![], vec![changed], vec![blob.clone(), blob.clone()]] {
        requests.push((codec::encode(&good), wrong));
    }
    for (commit_entry, blobs) in requests {
        let request = PutBundle {
            handle: 1,
            commit_entry,
            blobs,
        };
        let refusal = client.ask(Body::PutBundle(request)).await.unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::BadRequest);
    }
    assert_eq!(seqs(&read(&mut client, 1, 0).await), [0; 0]);
}

/// Blobs come with a create or bundle and are fetched by id alone.
#[tokio::test]
async fn blobs_come_with_their_log() {
    let world = World::new().await;
    let (log, pass) = (Log::new(), world.pass().await);
    let mut client = world.connect(Role::Logs).await;
    let blob = NewBlob {
        blob_id: vec![6; 32],
        bytes: b"welcome".to_vec(),
    };
    let request = log.create(&client, &pass, vec![blob]);
    opened(client.ask(Body::CreateLog(request)).await);
    let mut blobs = world.connect(Role::Blobs).await;
    let fetch = |blob_id| {
        let pass = pass.clone();
        Body::FetchBlob(FetchBlob { pass, blob_id })
    };
    let found = blobs.ask(fetch(vec![6; 32])).await.unwrap();
    assert!(matches!(found, reply::Body::BlobBytes(b) if b.bytes == b"welcome"));
    let refusal = blobs.ask(fetch(vec![7; 32])).await.unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::NotFound);
}

/// Subscribers of an epoch hear of its entries, the commit that ends it included, and of nothing after.
#[tokio::test]
async fn c021_pushes_end_with_the_epoch() {
    let world = World::new().await;
    let (log, mut client) = created(&world).await;
    let mut other = world.connect(Role::Logs).await;
    assert_eq!(open(&mut other, &log, 1).await.handle, 1);
    let subscribe = Body::SubscribeLog(SubscribeLog { handle: 1 });
    other.ask(subscribe).await.unwrap();
    append(&mut client, 1, b"one").await.unwrap();
    let reply::Body::LogPush(push) = other.push().await else {
        panic!("no push")
    };
    assert_eq!((push.handle, push.seq), (1, 1));
    assert_eq!(push.entry.unwrap().payload, b"one");
    let next = opened(commit(&mut client, &log, 1, 1).await).handle;
    let reply::Body::LogPush(push) = other.push().await else {
        panic!("no push")
    };
    assert_eq!(push.seq, 2);
    append(&mut client, next, b"three").await.unwrap();
    assert_eq!(other.pushes().await, []);
}

/// Signals reach the others of the epoch and not their sender, and nothing is stored; too long ones and those
/// of an epoch that is over are refused.
#[tokio::test]
async fn c085_signals_stay_in_their_epoch() {
    let world = World::new().await;
    let (log, mut client) = created(&world).await;
    let mut other = world.connect(Role::Logs).await;
    open(&mut other, &log, 1).await;
    for subscriber in [&mut client, &mut other] {
        let subscribe = Body::SubscribeLog(SubscribeLog { handle: 1 });
        subscriber.ask(subscribe).await.unwrap();
    }
    let signal = |handle, bytes| {
        Body::SendSignal(SendSignal {
            handle,
            payload: vec![3; bytes],
        })
    };
    client.ask(signal(1, SIGNAL_BYTES_MAX)).await.unwrap();
    let push = other.push().await;
    assert!(matches!(push, reply::Body::SignalPush(p) if p.payload.len() == SIGNAL_BYTES_MAX));
    assert_eq!(client.pushes().await, []);
    let refusal = client.ask(signal(1, SIGNAL_BYTES_MAX + 1)).await;
    assert_eq!(refusal.unwrap_err().code(), ErrorCode::TooLarge);
    // the commit is the first entry: no signal became one
    let next = opened(commit(&mut client, &log, 1, 1).await);
    assert_eq!(next.head.unwrap().seq, 1);
    other.push().await;
    client.ask(signal(next.handle, 1)).await.unwrap();
    assert_eq!(other.pushes().await, []);
    let refusal = other.ask(signal(1, 1)).await.unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::StaleEpoch);
}

/// A message over its limit and an empty one are refused; the largest one fits.
#[tokio::test]
async fn messages_have_a_limit() {
    let world = World::new().await;
    let (_log, mut client) = created(&world).await;
    let long = vec![1; MESSAGE_ENTRY_BYTES_MAX + 1];
    let refusal = append(&mut client, 1, &long).await.unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::TooLarge);
    let refusal = append(&mut client, 1, &[]).await.unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::BadRequest);
    let seq = append(&mut client, 1, &long[1..]).await.unwrap();
    assert_eq!(seq, 1);
}

/// A closed or invented handle is no right; numbers are never used again.
#[tokio::test]
async fn handles_are_of_one_connection() {
    let world = World::new().await;
    let (log, mut client) = created(&world).await;
    let close = Body::CloseHandle(CloseHandle { handle: 1 });
    client.ask(close).await.unwrap();
    for handle in [0, 1, 2, u32::MAX] {
        let refusal = append(&mut client, handle, b"x").await.unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::BadRequest);
    }
    assert_eq!(open(&mut client, &log, 1).await.handle, 2);
}

/// A connection holds 1,024 handles; beyond that opens are refused until some are closed.
#[tokio::test]
async fn c011_handles_are_bounded() {
    let world = World::new().await;
    let (log, mut client) = created(&world).await;
    let one = log.open_one(&client, 1);
    let many = |count| {
        let logs = vec![one.clone(); count];
        Body::OpenLogs(OpenLogs { logs })
    };
    for _ in 0..10 {
        client.ask(many(100)).await.unwrap();
    }
    client.ask(many(HANDLES_MAX - 1001)).await.unwrap();
    let refusal = client.ask(many(1)).await.unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::TooLarge);
    let close = Body::CloseHandle(CloseHandle { handle: 5 });
    client.ask(close).await.unwrap();
    client.ask(many(1)).await.unwrap();
    let refusal = client.ask(many(101)).await.unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::TooLarge);
}

/// Appends sent without waiting enter in the order sent; those beyond the bound are refused, not lost.
#[tokio::test]
async fn c011_pipelined_appends_keep_their_order() {
    let world = World::new().await;
    let (_log, mut client) = created(&world).await;
    let mut ids = Vec::new();
    for number in 0..200_u32 {
        let payload = number.to_be_bytes().to_vec();
        let append = AppendEntry { handle: 1, payload };
        ids.push(client.send(Body::AppendEntry(append)).await);
    }
    let mut accepted = 0;
    for _ in &ids {
        let reply: conclave_proto::frame::Reply = client.frame().await.unwrap();
        assert!(ids.contains(&reply.id));
        match reply.body.unwrap() {
            reply::Body::Appended(_) => accepted += 1,
            reply::Body::Refused(refusal) => assert_eq!(refusal.code(), ErrorCode::Busy),
            other => panic!("{other:?}"),
        }
    }
    let (mut payloads, mut after) = (Vec::new(), 0);
    loop {
        let page = read(&mut client, 1, after).await;
        let Some(last) = page.entries.last() else {
            break;
        };
        after = last.seq;
        payloads.extend(page.entries.into_iter().map(|entry| entry.payload));
    }
    assert_eq!(payloads.len(), accepted);
    assert!(payloads.is_sorted());
}

/// A server that stops in the middle of many appends loses none that it has answered.
#[tokio::test]
async fn stopping_loses_nothing_that_was_answered() {
    let world = World::new().await;
    let (log, mut client) = created(&world).await;
    let first = append(&mut client, 1, &[0]).await.unwrap();
    for number in 1..40 {
        let payload = vec![number];
        let append = AppendEntry { handle: 1, payload };
        client.send(Body::AppendEntry(append)).await;
    }
    let config = world.config();
    let World { folder, server, .. } = world;
    let answers = async {
        let mut answered = vec![first];
        while let Some(reply) = client.frame::<conclave_proto::frame::Reply>().await {
            let Some(reply::Body::Appended(appended)) = reply.body else {
                panic!("{reply:?}")
            };
            answered.push(appended.seq);
        }
        answered
    };
    let (stopped, answered) = tokio::join!(server.stop(), answers);
    stopped.unwrap();
    let server = conclave_server::ServerHandle::start(folder.path(), config).await;
    let server = server.unwrap();
    let hello = super::support::hello(Role::Logs);
    let mut client = Client::greet(&server, folder.path(), &hello).await;
    assert_eq!(open(&mut client, &log, 1).await.handle, 1);
    let page = read(&mut client, 1, 0).await;
    for seq in answered {
        let entry = page.entries.iter().find(|entry| entry.seq == seq).unwrap();
        assert_eq!(u64::from(entry.payload[0]) + 1, seq);
    }
}
