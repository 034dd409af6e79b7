//! A device's inbox: one size, few strangers, a hint, gone when acknowledged.

use conclave_proto::ErrorCode;
use conclave_proto::frame::{reply, request::Body};
use conclave_proto::hello::Role;
use conclave_proto::inbox::{AckInbox, InboxPage, PostItem, ReadInbox, SubscribeInbox};
use conclave_proto::limits::{INBOX_ITEM_BYTES, INBOX_STRANGER_ITEMS_MAX};

use super::support::{Client, Person, World};

fn item(pass: &[u8], to: &Person, capability: &[u8], number: u32, bytes: usize) -> Body {
    let mut item = vec![0; bytes];
    item[..4].copy_from_slice(&number.to_be_bytes());
    Body::PostItem(PostItem {
        pass: pass.to_vec(),
        device_id: to.device_id.to_vec(),
        capability: capability.to_vec(),
        item,
    })
}

async fn page(client: &mut Client, after: u64) -> InboxPage {
    match client.ask(Body::ReadInbox(ReadInbox { after })).await {
        Ok(reply::Body::InboxPage(page)) => page,
        other => panic!("{other:?}"),
    }
}

/// Items arrive once, are hinted at, and are gone when acknowledged.
#[tokio::test]
async fn items_arrive_once_and_are_acknowledged() {
    let world = World::new().await;
    let (anna, pass) = (world.person().await, world.pass().await);
    let mut owner = world.account(&anna).await;
    let subscribe = Body::SubscribeInbox(SubscribeInbox {});
    owner.ask(subscribe).await.unwrap();
    let mut sender = world.connect(Role::Post).await;
    let post = item(&pass, &anna, &[], 1, INBOX_ITEM_BYTES);
    sender.ask(post.clone()).await.unwrap();
    sender.ask(post).await.unwrap();
    assert!(matches!(owner.push().await, reply::Body::InboxHint(_)));
    let items = page(&mut owner, 0).await.items;
    assert_eq!(items.len(), 1);
    assert_eq!(items[0].item.len(), INBOX_ITEM_BYTES);
    let numbers = vec![items[0].number, 999];
    owner
        .ask(Body::AckInbox(AckInbox { numbers }))
        .await
        .unwrap();
    assert_eq!(page(&mut owner, 0).await.items, []);
}

/// Nobody reads another's inbox.
#[tokio::test]
async fn an_inbox_is_private() {
    let world = World::new().await;
    let (anna, ben, pass) = (
        world.person().await,
        world.person().await,
        world.pass().await,
    );
    let mut sender = world.connect(Role::Post).await;
    let post = item(&pass, &anna, &[], 1, INBOX_ITEM_BYTES);
    sender.ask(post).await.unwrap();
    let mut other = world.account(&ben).await;
    assert_eq!(page(&mut other, 0).await.items, []);
    let numbers = vec![1];
    other
        .ask(Body::AckInbox(AckInbox { numbers }))
        .await
        .unwrap();
    let mut owner = world.account(&anna).await;
    assert_eq!(page(&mut owner, 0).await.items.len(), 1);
}

/// An item of any other size than 16 KiB is refused.
#[tokio::test]
async fn c038_items_have_one_size() {
    let world = World::new().await;
    let (anna, pass) = (world.person().await, world.pass().await);
    let mut sender = world.connect(Role::Post).await;
    for bytes in [4, INBOX_ITEM_BYTES - 1, INBOX_ITEM_BYTES + 1] {
        let refusal = sender.ask(item(&pass, &anna, &[], 1, bytes)).await;
        assert_eq!(refusal.unwrap_err().code(), ErrorCode::BadRequest);
    }
    let nobody = Person::new(&world.server, "+491700009999");
    let refusal = sender.ask(item(&pass, &nobody, &[], 1, INBOX_ITEM_BYTES));
    assert_eq!(refusal.await.unwrap_err().code(), ErrorCode::NotFound);
}

/// Strangers share 32 places; a contact still gets through.
#[tokio::test]
async fn c037_strangers_share_few_places() {
    let world = World::new().await;
    let (anna, pass) = (world.person().await, world.pass().await);
    let mut sender = world.connect(Role::Post).await;
    for number in 0..INBOX_STRANGER_ITEMS_MAX {
        let post = item(&pass, &anna, &[], number, INBOX_ITEM_BYTES);
        sender.ask(post).await.unwrap();
    }
    for capability in [&[][..], &[3; 32]] {
        let refusal = sender.ask(item(&pass, &anna, capability, 99, INBOX_ITEM_BYTES));
        assert_eq!(refusal.await.unwrap_err().code(), ErrorCode::InboxFull);
    }
    let post = item(&pass, &anna, &anna.capability, 99, INBOX_ITEM_BYTES);
    sender.ask(post).await.unwrap();
    let mut owner = world.account(&anna).await;
    let first = page(&mut owner, 0).await;
    assert!(first.more);
    let last = first.items.last().unwrap().number;
    let rest = page(&mut owner, last).await;
    assert!(!rest.more && rest.items.len() == 1);
}
