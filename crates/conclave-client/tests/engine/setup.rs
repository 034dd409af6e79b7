//! What a page stands on: how a profile comes to an account, its connection, its lock, and what is told as touched.

use std::collections::BTreeSet;
use std::sync::Arc;

use conclave_client::view::{MessageState, Setup, Touched};
use conclave_client::{Client, ClientError, Unlock};
use conclave_proto::env::OsEnv;
use conclave_proto::limits::MAILBOX_VALID_MS;
use tokio::sync::broadcast;

use crate::support::{LONG, Person, World};

fn name(person: &Person) -> &'static str {
    match person.setup().unwrap() {
        Setup::Empty => "empty",
        Setup::CodeSent { .. } => "code sent",
        Setup::Linking { .. } => "linking",
        Setup::Open(_) => "open",
    }
}

async fn ask_code(world: &World, person: &Person) {
    let (way, identifier) = (world.transport(), person.address.parse().unwrap());
    let address = world.server().server_address();
    let asked = person.register_start_over(way.as_ref(), &address, &identifier, None, "");
    asked.await.unwrap();
}

/// A profile says how far it is: a code is out, a link is shown until its time is over, there is an account. Who asks
/// for a code waits for no link any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_profile_knows_how_far_it_is() {
    let world = World::new().await;
    let (anna, way) = (Person::new(&world, "anna"), world.transport());
    let address = world.server().server_address();
    assert_eq!(name(&anna), "empty");
    let shown = anna.link_start_over(way.as_ref(), &address, "desk").await;
    let Setup::Linking { shown: again, .. } = anna.setup().unwrap() else {
        panic!("{:?}", anna.setup());
    };
    assert_eq!(again.uri, shown.unwrap().uri);
    world.clock.pass(MAILBOX_VALID_MS);
    assert_eq!(name(&anna), "empty");
    let shown = anna.link_start_over(way.as_ref(), &address, "desk").await;
    assert_ne!(again.uri, shown.unwrap().uri);
    ask_code(&world, &anna).await;
    let Setup::CodeSent { identifier, server } = anna.setup().unwrap() else {
        panic!("{:?}", anna.setup());
    };
    assert_eq!(
        (identifier, server),
        (anna.address.clone(), address.to_string())
    );
    let code = world.server().next_code().await.unwrap().code;
    let me = anna.register_confirm_over(way.as_ref(), &code).await;
    assert_eq!(anna.setup().unwrap(), Setup::Open(me.unwrap()));
}

/// A code and a link under way at once, as two pages of one profile may have them: whichever is first makes the
/// account, the other is told, and the profile is one account's whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_and_a_link_make_one_account() {
    for is_linked_first in [true, false] {
        let world = World::new().await;
        let old = world.person("anna").await;
        let (new, way) = (Person::new(&world, "ben"), world.transport());
        let address = world.server().server_address();
        ask_code(&world, &new).await;
        let code = world.server().next_code().await.unwrap().code;
        let shown = new
            .link_start_over(way.as_ref(), &address, "")
            .await
            .unwrap();
        let letting_in = old.approve_device_over(way.as_ref(), &shown.uri, &shown.code);
        let confirming = new.register_confirm_over(way.as_ref(), &code);
        let mut joining = Box::pin(new.link_finish_over(way.as_ref()));
        if is_linked_first {
            let (let_in, joined) = tokio::join!(letting_in, joining);
            let_in.unwrap();
            assert_eq!(joined.unwrap().account_id, old.whoami().unwrap().account_id);
            let confirmed = confirming.await;
            assert!(matches!(confirmed, Err(ClientError::AlreadyRegistered(_))));
        } else {
            // It waits for an answer to its link when the code is confirmed.
            let waits = tokio::time::timeout(std::time::Duration::from_millis(50), &mut joining);
            assert!(waits.await.is_err());
            confirming.await.unwrap();
            let (_, joined) = tokio::join!(letting_in, joining);
            assert!(matches!(joined, Err(ClientError::AlreadyRegistered(_))));
            assert_eq!(new.whoami().unwrap().identifier, new.address);
        }
        let account = new.whoami().unwrap().account_id;
        new.go_online_over(world.transport());
        new.settle(LONG).await.unwrap();
        assert_eq!(new.whoami().unwrap().account_id, account);
    }
}

/// Offline, what waits is counted and why is said; back online both are gone. Each change is heard of.
#[tokio::test(flavor = "multi_thread")]
async fn the_connection_says_what_waits_and_why() {
    let mut world = World::new().await;
    let (anna, ben) = world.friends().await;
    let now = anna.connection().unwrap();
    assert!(now.is_online && !now.is_removed, "{now:?}");
    assert_eq!((now.queued, now.trouble.as_str()), (0, ""));
    let mut changes = anna.connection_changes();
    world.stop().await;
    let id = anna.say(&ben, "later").await;
    while anna.connection().unwrap().is_online {
        changes.next().await;
    }
    let now = anna.connection().unwrap();
    assert!(now.queued > 0 && !now.trouble.is_empty(), "{now:?}");
    world.start().await;
    let mut anna = anna;
    anna.restart(world.transport()).await;
    anna.settle(LONG).await.unwrap();
    assert!(anna.connection().unwrap().is_online);
    assert!(anna.state(id).0 >= MessageState::Accepted);
}

type Heard = broadcast::Receiver<Arc<BTreeSet<Touched>>>;

/// What was touched since this was asked last.
fn taken(heard: &mut Heard) -> BTreeSet<Touched> {
    let mut all = BTreeSet::new();
    while let Ok(touched) = heard.try_recv() {
        all.extend(touched.iter().copied());
    }
    all
}

/// Whatever a command, another device or another person changes of what is shown is told, and nothing else is: looking
/// and failing touch nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_touched_is_told() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let desk = world.device_of(&anna, "desk").await;
    world.settle(&[&anna, &desk, &ben]).await;
    let chat = anna.chat_with(&ben);
    let mut heard = anna.touched();

    let id = ben.say(&anna, "news").await;
    world.settle(&[&ben, &anna]).await;
    assert!(taken(&mut heard).contains(&Touched::Message(chat, id)));
    anna.react(id, "👍").unwrap();
    assert_eq!(taken(&mut heard), [Touched::Message(chat, id)].into());
    anna.set_draft(chat, "dear").unwrap();
    assert_eq!(taken(&mut heard), [Touched::Chat(chat)].into());
    anna.rename_contact(&ben.address, "Benny").unwrap();
    assert_eq!(taken(&mut heard), [Touched::People].into());
    anna.set_says_typing(false).unwrap();
    assert_eq!(taken(&mut heard), [Touched::Settings].into());

    anna.set_draft(chat, "dear").unwrap();
    assert_eq!(taken(&mut heard), BTreeSet::new(), "the same again");
    anna.rename_contact("nobody@example.org", "x").unwrap_err();
    drop((anna.chats().unwrap(), anna.history(chat, 10).unwrap()));
    assert_eq!(taken(&mut heard), BTreeSet::new());

    let own = anna.whoami().unwrap().device_id;
    desk.rename_device(own, "couch").unwrap();
    desk.mute(desk.chat_with(&ben), u64::MAX >> 1).unwrap();
    desk.mark_read(desk.chat_with(&ben)).unwrap();
    world.settle(&[&desk, &anna]).await;
    let touched = taken(&mut heard);
    for wanted in [
        Touched::Devices,
        Touched::Chat(chat),
        Touched::Message(chat, id),
    ] {
        assert!(touched.contains(&wanted), "{wanted:?} {touched:?}");
    }
    let shown = anna.messages(&[id]).unwrap().remove(0).1;
    assert!(shown.is_some_and(|message| message.is_read));
    anna.delete_for_me(id).unwrap();
    assert!(taken(&mut heard).contains(&Touched::Message(chat, id)));
    assert_eq!(anna.messages(&[id]).unwrap(), [(id, None)]);
}

/// A profile is locked only when a passphrase opens it and somebody is there to take that passphrase.
#[tokio::test]
async fn a_lock_keeps_somebody_out_and_nobody_in() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::create(folder.path(), Unlock::KeyFile, OsEnv::shared()).unwrap();
    let asked = client.lock_asked();
    assert!(matches!(client.ask_lock(), Err(ClientError::NotAllowed(_))));
    let words = Unlock::Passphrase("correct horse".to_owned().into());
    client.change_passphrase(words).unwrap();
    drop(asked);
    assert!(matches!(client.ask_lock(), Err(ClientError::NotAllowed(_))));
    let asked = client.lock_asked();
    client.ask_lock().unwrap();
    asked.await;
}
