//! Devices that are linked through different servers.

use conclave_proto::ErrorCode;
use conclave_proto::frame::{reply, request::Body};
use conclave_proto::hello::Role;
use conclave_proto::mailbox::{
    ANSWER, BUNDLE, CloseMailbox, OFFER, OpenMailbox, PROOF, PutSlot, ReadSlot, mailbox_id,
};

use super::bus::Manners;
use super::nodes::Pair;
use super::support::Client;

fn open(offer: &[u8]) -> Body {
    Body::OpenMailbox(OpenMailbox {
        offer: offer.to_vec(),
    })
}

fn put(slot: u32, bytes: &[u8]) -> Body {
    Body::PutSlot(PutSlot {
        mailbox_id: mailbox_id(b"offer").to_vec(),
        slot,
        bytes: bytes.to_vec(),
    })
}

async fn slot(client: &mut Client, slot: u32, wait: bool) -> Result<Vec<u8>, ErrorCode> {
    let read = Body::ReadSlot(ReadSlot {
        mailbox_id: mailbox_id(b"offer").to_vec(),
        slot,
        wait,
    });
    match client.ask(read).await {
        Ok(reply::Body::SlotBytes(slot)) => Ok(slot.bytes),
        Ok(other) => panic!("{other:?}"),
        Err(refusal) => Err(refusal.code()),
    }
}

/// The new device at A and the old one at B exchange all slots, each waiting for what the other one writes; then
/// the mailbox is closed for both.
#[tokio::test]
async fn c229_devices_meet_across_servers() {
    meet_on(Pair::new(Manners::Losing).await).await;
}

/// The same over PostgreSQL.
#[tokio::test]
async fn c229_devices_meet_across_servers_over_postgres() {
    meet_on(Pair::over_postgres().await).await;
}

async fn meet_on(pair: Pair) {
    let mut new = pair.a.connect(Role::Account).await;
    let mut old = pair.b.connect(Role::Account).await;
    new.ask(open(b"offer")).await.unwrap();
    assert_eq!(slot(&mut old, OFFER, false).await.unwrap(), b"offer");
    for (number, by_old) in [(ANSWER, true), (PROOF, false), (BUNDLE, true)] {
        let (writer, reader) = if by_old {
            (&mut old, &mut new)
        } else {
            (&mut new, &mut old)
        };
        let bytes = [u8::try_from(number).unwrap(); 9];
        let (read, written) =
            tokio::join!(slot(reader, number, true), writer.ask(put(number, &bytes)));
        written.unwrap();
        assert_eq!(read.unwrap(), bytes);
    }
    let close = Body::CloseMailbox(CloseMailbox {
        mailbox_id: mailbox_id(b"offer").to_vec(),
    });
    old.ask(close).await.unwrap();
    assert_eq!(
        slot(&mut new, BUNDLE, false).await,
        Err(ErrorCode::NotFound)
    );
    let again = new.ask(open(b"offer")).await.unwrap_err();
    assert_eq!(again.code(), ErrorCode::NotFound);
    pair.stop().await;
}

/// Of two who write one slot through two servers at the same time one wins, for both; the other gets the answer
/// that strangers get.
#[tokio::test]
async fn c229_a_slot_is_written_once_across_servers() {
    race_on(Pair::new(Manners::Losing).await).await;
}

/// The same over PostgreSQL.
#[tokio::test]
async fn c229_a_slot_is_written_once_across_servers_over_postgres() {
    race_on(Pair::over_postgres().await).await;
}

async fn race_on(pair: Pair) {
    let mut on_a = pair.a.connect(Role::Account).await;
    let mut on_b = pair.b.connect(Role::Account).await;
    let (opened, again) = tokio::join!(on_a.ask(open(b"offer")), on_b.ask(open(b"offer")));
    opened.unwrap();
    again.unwrap();
    for number in [ANSWER, PROOF, BUNDLE] {
        let (one, other) = tokio::join!(
            on_a.ask(put(number, b"by a")),
            on_b.ask(put(number, b"by b"))
        );
        let (won, lost) = match (one, other) {
            (Ok(_), Err(lost)) => (b"by a", lost),
            (Err(lost), Ok(_)) => (b"by b", lost),
            both => panic!("{both:?}"),
        };
        assert_eq!(lost.code(), ErrorCode::NotFound);
        for client in [&mut on_a, &mut on_b] {
            assert_eq!(slot(client, number, false).await.unwrap(), won);
        }
    }
    pair.stop().await;
}
