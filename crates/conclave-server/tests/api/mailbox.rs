//! Mailboxes in which new devices meet their accounts.

use conclave_proto::frame::{reply, request::Body};
use conclave_proto::hello::Role;
use conclave_proto::key_package::{ClaimKeyPackages, PutKeyPackages};
use conclave_proto::limits::{MAILBOX_OFFER_BYTES_MAX, MAILBOX_SLOT_BYTES_MAX, MAILBOX_VALID_MS};
use conclave_proto::mailbox::{
    ANSWER, BUNDLE, CloseMailbox, OFFER, OpenMailbox, PROOF, PutSlot, ReadSlot, mailbox_id,
};
use conclave_proto::{ErrorCode, Refusal};
use conclave_server::config::{Config, ExemptLoopback};

use super::support::{Client, World};

fn open(offer: &[u8]) -> Body {
    Body::OpenMailbox(OpenMailbox {
        offer: offer.to_vec(),
    })
}

fn put(offer: &[u8], slot: u32, bytes: &[u8]) -> Body {
    Body::PutSlot(PutSlot {
        mailbox_id: mailbox_id(offer).to_vec(),
        slot,
        bytes: bytes.to_vec(),
    })
}

fn close(offer: &[u8]) -> Body {
    Body::CloseMailbox(CloseMailbox {
        mailbox_id: mailbox_id(offer).to_vec(),
    })
}

fn read(offer: &[u8], slot: u32, wait: bool) -> Body {
    Body::ReadSlot(ReadSlot {
        mailbox_id: mailbox_id(offer).to_vec(),
        slot,
        wait,
    })
}

async fn slot(client: &mut Client, offer: &[u8], slot: u32) -> Result<Vec<u8>, Refusal> {
    match client.ask(read(offer, slot, false)).await? {
        reply::Body::SlotBytes(slot) => Ok(slot.bytes),
        other => panic!("{other:?}"),
    }
}

async fn refused(client: &mut Client, body: Body) -> ErrorCode {
    client.ask(body).await.unwrap_err().code()
}

/// Two connections without an account exchange slots; who waits for a slot is told when it is written.
#[tokio::test]
async fn a_mailbox_carries_slots_both_ways() {
    let world = World::new().await;
    let mut new = world.connect(Role::Account).await;
    let mut old = world.connect(Role::Account).await;
    new.ask(open(b"offer")).await.unwrap();
    assert_eq!(slot(&mut old, b"offer", OFFER).await.unwrap(), b"offer");
    assert_eq!(slot(&mut new, b"offer", ANSWER).await.unwrap(), b"");
    let waiting = new.send(read(b"offer", ANSWER, true)).await;
    old.ask(put(b"offer", ANSWER, b"answer")).await.unwrap();
    let reply::Body::SlotBytes(answer) = new.reply(waiting).await.unwrap() else {
        panic!("not a slot")
    };
    assert_eq!(answer.bytes, b"answer");
    new.ask(put(b"offer", PROOF, b"proof")).await.unwrap();
    old.ask(put(b"offer", BUNDLE, b"bundle")).await.unwrap();
    assert_eq!(slot(&mut old, b"offer", PROOF).await.unwrap(), b"proof");
    assert_eq!(slot(&mut new, b"offer", BUNDLE).await.unwrap(), b"bundle");
}

/// A slot is written once: the same again is no matter, anything else is refused and changes nothing.
#[tokio::test]
async fn c120_a_slot_is_written_once() {
    let world = World::new().await;
    let mut client = world.connect(Role::Account).await;
    client.ask(open(b"offer")).await.unwrap();
    for _ in 0..2 {
        client.ask(put(b"offer", ANSWER, b"first")).await.unwrap();
    }
    let second = put(b"offer", ANSWER, b"second");
    assert_eq!(refused(&mut client, second).await, ErrorCode::NotFound);
    let other_offer = put(b"offer", OFFER, b"other");
    assert_eq!(refused(&mut client, other_offer).await, ErrorCode::NotFound);
    client.ask(open(b"offer")).await.unwrap();
    assert_eq!(slot(&mut client, b"offer", ANSWER).await.unwrap(), b"first");
    assert_eq!(slot(&mut client, b"offer", OFFER).await.unwrap(), b"offer");
}

/// Unknown, used and over get one answer, to the letter, and a used offer opens nothing again.
#[tokio::test]
async fn c120_unknown_used_and_over_look_the_same() {
    let world = World::new().await;
    let mut client = world.connect(Role::Account).await;
    let unknown = slot(&mut client, b"never", OFFER).await.unwrap_err();
    assert_eq!(unknown.code(), ErrorCode::NotFound);
    client.ask(open(b"used")).await.unwrap();
    client.ask(close(b"used")).await.unwrap();
    client.ask(open(b"over")).await.unwrap();
    world.pass_time(MAILBOX_VALID_MS - 1);
    assert_eq!(client.ask(open(b"used")).await.unwrap_err(), unknown);
    assert_eq!(slot(&mut client, b"over", OFFER).await.unwrap(), b"over");
    world.pass_time(1);
    for offer in [b"used", b"over"] {
        assert_eq!(slot(&mut client, offer, OFFER).await, Err(unknown.clone()));
        for body in [put(offer, ANSWER, b"x"), close(offer)] {
            assert_eq!(client.ask(body).await.unwrap_err(), unknown);
        }
    }
}

/// Slots have sizes and numbers; what is over them is refused.
#[tokio::test]
async fn c121_slots_have_their_sizes() {
    let world = World::new().await;
    let mut client = world.connect(Role::Account).await;
    let long = vec![1; MAILBOX_OFFER_BYTES_MAX + 1];
    assert_eq!(refused(&mut client, open(&long)).await, ErrorCode::TooLarge);
    assert_eq!(refused(&mut client, open(b"")).await, ErrorCode::BadRequest);
    client.ask(open(b"offer")).await.unwrap();
    let long = put(b"offer", ANSWER, &vec![1; MAILBOX_SLOT_BYTES_MAX + 1]);
    assert_eq!(refused(&mut client, long).await, ErrorCode::TooLarge);
    let empty = put(b"offer", ANSWER, b"");
    assert_eq!(refused(&mut client, empty).await, ErrorCode::BadRequest);
    let beyond = put(b"offer", 4, b"x");
    assert_eq!(refused(&mut client, beyond).await, ErrorCode::NotFound);
    let full = vec![1; MAILBOX_SLOT_BYTES_MAX];
    client.ask(put(b"offer", ANSWER, &full)).await.unwrap();
}

/// A connection opens a few mailboxes an hour, no more.
#[tokio::test]
async fn c121_mailboxes_are_limited_per_connection() {
    let mut config = Config::default();
    config.limits.exempt_loopback = ExemptLoopback::Never;
    config.limits.per_connection_mailboxes = 2;
    let world = World::with(config).await;
    let mut client = world.connect(Role::Account).await;
    for offer in [b"1", b"2"] {
        client.ask(open(offer)).await.unwrap();
    }
    assert_eq!(
        refused(&mut client, open(b"3")).await,
        ErrorCode::RateLimited
    );
}

/// A claim that names a device gets that device's package and costs no other device one.
#[tokio::test]
async fn c033_claim_of_one_device_takes_one_package() {
    let world = World::new().await;
    let (anna, pass) = (world.person().await, world.pass().await);
    let mut account = world.account(&anna).await;
    let packages = PutKeyPackages {
        one_time: vec![b"one".to_vec()],
        last_resort: b"last".to_vec(),
    };
    account.ask(Body::PutKeyPackages(packages)).await.unwrap();
    let mut directory = world.connect(Role::Directory).await;
    let mut claim = async |device: &[u8]| {
        let body = Body::ClaimKeyPackages(ClaimKeyPackages {
            pass: pass.clone(),
            account_id: anna.account_id.to_vec(),
            capability: anna.capability.to_vec(),
            device_id: device.to_vec(),
        });
        match directory
            .ask(body)
            .await
            .map_err(|refusal| refusal.code())?
        {
            reply::Body::ClaimedKeyPackages(claimed) => Ok(claimed.packages),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(claim(&[9; 16]).await, Ok(vec![]));
    assert_eq!(claim(&[9; 3]).await, Err(ErrorCode::BadRequest));
    let own = claim(anna.device_id.as_bytes()).await.unwrap();
    assert_eq!(own.len(), 1);
    assert_eq!(own[0].key_package, b"one");
    assert!(claim(anna.device_id.as_bytes()).await.unwrap()[0].last_resort);
}
