//! The process dies between every request and its reply, and nothing is lost, doubled or sealed twice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use conclave_client::view::MessageState;
use conclave_proto::frame::request::Body;

use crate::support::tamper::{Fate, Road, Tamper};
use crate::support::{DAY_MS, LONG, Person, World};

/// On which side of the server's work a process dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Before,
    After,
}

/// A transport that works for `calls` calls.
fn dying(world: &World, calls: usize, side: Side) -> Arc<Tamper> {
    let count = AtomicUsize::new(0);
    Tamper::new(world, move |_, _| {
        match (count.fetch_add(1, Ordering::SeqCst) == calls, side) {
            (false, _) => Fate::Pass,
            (true, Side::Before) => Fate::DieBefore,
            (true, Side::After) => Fate::DieAfter,
        }
    })
}

/// A transport that only writes down what is asked.
fn watching(world: &World) -> Arc<Tamper> {
    Tamper::new(world, |_, _| Fate::Pass)
}

/// Does `work` over `tamper`, whose driver runs; whether it died before the end.
async fn dies(tamper: &Tamper, work: impl Future<Output = ()>) -> bool {
    tokio::select! {
        () = tamper.dead.notified() => true,
        () = work => false,
    }
}

fn appended(calls: &[Body]) -> Vec<Vec<u8>> {
    let payload = |call: &Body| match call {
        Body::AppendEntry(append) => Some(append.payload.clone()),
        _ => None,
    };
    calls.iter().filter_map(payload).collect()
}

fn bundles(calls: &[Body]) -> Vec<Vec<u8>> {
    let entry = |call: &Body| match call {
        Body::PutBundle(bundle) => Some(bundle.commit_entry.clone()),
        _ => None,
    };
    calls.iter().filter_map(entry).collect()
}

fn created(calls: &[Body]) -> BTreeSet<Vec<u8>> {
    let log = |call: &Body| match call {
        Body::CreateLog(create) => Some(create.log_id.clone()),
        _ => None,
    };
    calls.iter().filter_map(log).collect()
}

async fn sending(side: Side) {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    let mut said = vec!["hello".to_owned()];
    for calls in 0.. {
        anna.die().await;
        anna.wake_up();
        for word in ["first", "second"] {
            said.push(format!("{word} {calls}"));
            anna.say(&ben, said.last().unwrap()).await;
        }
        let first = dying(&world, calls, side);
        anna.go_online_over(Arc::new(Road(first.clone())));
        let died = dies(&first, async { anna.settle(LONG).await.unwrap() }).await;
        let second = watching(&world);
        anna.restart(Arc::new(Road(second.clone()))).await;
        world.settle(&[&anna, &ben]).await;
        assert_eq!(ben.texts(&anna), said, "died at call {calls}");
        assert_eq!(anna.texts(&ben), said, "died at call {calls}");

        // C-051: each message has one sealed form, and one the server took is not posted again.
        let (before, after) = (appended(&first.calls()), appended(&second.calls()));
        let all: BTreeSet<_> = before.iter().chain(&after).collect();
        assert_eq!(all.len(), 2, "died at call {calls}");
        let lost = usize::from(died && matches!(first.calls().last(), Some(Body::AppendEntry(_))));
        let repeated = if side == Side::Before { lost } else { 0 };
        assert_eq!(before.len() + after.len(), 2 + repeated, "call {calls}");
        // C-060: the log is read before anything is posted.
        let calls_made = second.calls();
        let read = calls_made
            .iter()
            .position(|call| matches!(call, Body::ReadLog(_)));
        let post = calls_made
            .iter()
            .position(|call| matches!(call, Body::AppendEntry(_)));
        assert!(read < post || post.is_none(), "died at call {calls}");
        if !died {
            assert!(
                calls > 8,
                "a run has at least nine calls, this one had {calls}"
            );
            return;
        }
    }
}

/// A sender that dies before the server hears it posts the same bytes again; the log is read first.
#[tokio::test(flavor = "multi_thread")]
async fn c051_sender_dies_before_the_server_acts() {
    sending(Side::Before).await;
}

/// A sender that dies without the reply finds its own bytes in the log and posts nothing twice.
#[tokio::test(flavor = "multi_thread")]
async fn c060_sender_dies_before_it_hears_the_reply() {
    sending(Side::After).await;
}

async fn asking(side: Side) {
    for calls in 0.. {
        let world = World::new().await;
        let (mut anna, ben) = (Person::new(&world, "anna"), world.person("ben").await);
        world.register(&anna, "anna").await;
        let first = dying(&world, calls, side);
        anna.go_online_over(Arc::new(Road(first.clone())));
        let mut said = false;
        let died = dies(&first, async {
            anna.say(&ben, "hello").await;
            said = true;
            anna.settle(LONG).await.unwrap();
        })
        .await;
        let second = watching(&world);
        anna.restart(Arc::new(Road(second.clone()))).await;
        if !said {
            anna.say(&ben, "hello").await;
        }
        anna.settle(LONG).await.unwrap();
        ben.accept(&anna).await;
        ben.say(&anna, "hello anna").await;
        world.settle(&[&ben, &anna]).await;
        assert_eq!(anna.texts(&ben), ["hello", "hello anna"], "call {calls}");
        assert_eq!(ben.texts(&anna), ["hello", "hello anna"], "call {calls}");
        let mut logs = created(&first.calls());
        logs.append(&mut created(&second.calls()));
        assert_eq!(logs.len(), 1, "one conversation was created, call {calls}");
        assert_eq!(ben.chats().unwrap().len(), 1);
        if !died {
            assert!(calls > 10, "a first contact has more calls than {calls}");
            return;
        }
    }
}

/// Somebody who writes first dies at every call: one request, one conversation, one message.
#[tokio::test(flavor = "multi_thread")]
async fn c050_asker_dies_before_the_server_acts() {
    asking(Side::Before).await;
}

/// The same when the server acted and the reply was lost.
#[tokio::test(flavor = "multi_thread")]
async fn c050_asker_dies_before_it_hears_the_reply() {
    asking(Side::After).await;
}

async fn accepting(side: Side) {
    for calls in 0.. {
        let world = World::new().await;
        let (anna, mut ben) = (world.person("anna").await, world.person("ben").await);
        anna.say(&ben, "hello").await;
        anna.settle(LONG).await.unwrap();
        ben.settle(LONG).await.unwrap();
        ben.die().await;
        ben.wake_up();
        ben.accept(&anna).await;
        ben.say(&anna, "hello anna").await;
        let first = dying(&world, calls, side);
        ben.go_online_over(Arc::new(Road(first.clone())));
        let died = dies(&first, async { ben.settle(LONG).await.unwrap() }).await;
        let second = watching(&world);
        ben.restart(Arc::new(Road(second.clone()))).await;
        world.settle(&[&ben, &anna]).await;
        assert_eq!(anna.texts(&ben), ["hello", "hello anna"], "call {calls}");
        assert_eq!(ben.texts(&anna), ["hello", "hello anna"], "call {calls}");
        // C-061: one commit, however often it was sent.
        let (before, after) = (bundles(&first.calls()), bundles(&second.calls()));
        let all: BTreeSet<_> = before.iter().chain(&after).collect();
        assert_eq!(all.len(), 1, "one bundle, call {calls}");
        let lost = died && matches!(first.calls().last(), Some(Body::PutBundle(_)));
        if lost && side == Side::Before {
            assert_eq!(after, before, "the bundle is sent again, call {calls}");
        }
        if !died {
            assert!(calls > 12, "joining has more calls than {calls}");
            return;
        }
    }
}

/// Somebody who accepts dies at every call: joined once, the commit that nobody heard is sent again unchanged.
#[tokio::test(flavor = "multi_thread")]
async fn c061_acceptor_dies_before_the_server_acts() {
    accepting(Side::Before).await;
}

/// The same when the server took the commit and the reply was lost: the log says who won.
#[tokio::test(flavor = "multi_thread")]
async fn c061_acceptor_dies_before_it_hears_the_reply() {
    accepting(Side::After).await;
}

/// Somebody who is asked dies at every call while the request comes in: it is there once, with its text.
#[tokio::test(flavor = "multi_thread")]
async fn c050_asked_dies_while_the_request_comes_in() {
    for (calls, side) in (0..).flat_map(|n| [(n, Side::Before), (n, Side::After)]) {
        let world = World::new().await;
        let (anna, mut ben) = (world.person("anna").await, Person::new(&world, "ben"));
        world.register(&ben, "ben").await;
        anna.say(&ben, "hello").await;
        anna.settle(LONG).await.unwrap();
        let first = dying(&world, calls, side);
        ben.go_online_over(Arc::new(Road(first.clone())));
        let died = dies(&first, async { ben.settle(LONG).await.unwrap() }).await;
        ben.restart(world.transport()).await;
        ben.settle(LONG).await.unwrap();
        let requests = ben.requests().unwrap();
        assert_eq!(requests.len(), 1, "died at call {calls} {side:?}");
        assert_eq!(requests[0].text, "hello");
        assert!(requests[0].confirmed, "died at call {calls} {side:?}");
        if !died {
            assert!(calls > 4, "reading a request has more calls than {calls}");
            return;
        }
    }
}

/// Registers a profile that dies at a call, then finishes as a person would; whether it died.
async fn registers(world: &World, name: &str, calls: usize, side: Side) -> (Person, bool) {
    let mut person = Person::new(world, name);
    let tamper = dying(world, calls, side);
    let road = Road(tamper.clone());
    let (server, address) = (world.server(), person.address.parse().unwrap());
    let mut code = None;
    let died = dies(&tamper, async {
        let at = server.server_address();
        let started = person.register_start_over(&road, &at, &address, None, name);
        started.await.unwrap();
        code = Some(server.next_code().await.unwrap().code);
        let confirmed = person.register_confirm_over(&road, code.as_ref().unwrap());
        confirmed.await.unwrap();
    })
    .await;
    if died && side == Side::After && matches!(tamper.calls().last(), Some(Body::OtpStart(_))) {
        // That code is in the person's hands, and no use: the profile never heard that it was sent.
        server.next_code().await.unwrap();
    }
    person.die().await;
    person.wake_up();
    match code {
        _ if person.is_registered() => {}
        Some(code) => {
            let honest = world.transport();
            let confirmed = person.register_confirm_over(honest.as_ref(), &code);
            confirmed.await.unwrap();
        }
        None => {
            world.clock.pass(DAY_MS / 24);
            world.register(&person, name).await;
        }
    }
    person.go_online_over(world.transport());
    (person, died)
}

/// A registration that dies at every call ends as one account that others can write to.
#[tokio::test(flavor = "multi_thread")]
async fn c050_registration_dies_at_every_call() {
    for (calls, side) in (0..).flat_map(|n| [(n, Side::Before), (n, Side::After)]) {
        let world = World::new().await;
        let (ben, died) = registers(&world, "ben", calls, side).await;
        ben.settle(LONG).await.unwrap();
        let anna = world.person("anna").await;
        let hello = anna.say(&ben, "hello").await;
        anna.settle(LONG).await.unwrap();
        ben.accept(&anna).await;
        world.settle(&[&ben, &anna]).await;
        assert_eq!(anna.state(hello).0, MessageState::Delivered, "call {calls}");
        if !died {
            assert!(calls > 3, "registering has more calls than {calls}");
            return;
        }
    }
}

/// The weekly replacement of the last-resort package dies around the server's yes; an invitation made with
/// the old package and one made with the new both open.
#[tokio::test(flavor = "multi_thread")]
async fn c032_old_package_keys_stay_until_the_server_has_new_ones() {
    for side in [Side::Before, Side::After] {
        let world = World::new().await;
        let (anna, mut ben) = (world.person("anna").await, world.person("ben").await);
        let carl = world.person("carl").await;
        ben.settle(LONG).await.unwrap();
        ben.die().await;
        world.clock.pass(8 * DAY_MS);
        anna.say(&ben, "with the old package").await;
        anna.settle(LONG).await.unwrap();
        ben.wake_up();
        let tamper = Tamper::new(&world, move |_, call| match (call, side) {
            (Body::PutKeyPackages(_), Side::Before) => Fate::DieBefore,
            (Body::PutKeyPackages(_), Side::After) => Fate::DieAfter,
            _ => Fate::Pass,
        });
        ben.go_online_over(Arc::new(Road(tamper.clone())));
        tamper.dead.notified().await;
        carl.say(&ben, "with what is there now").await;
        carl.settle(LONG).await.unwrap();
        ben.restart(world.transport()).await;
        for other in [&anna, &carl] {
            ben.accept(other).await;
            ben.say(other, "hello").await;
        }
        world.settle(&[&ben, &anna, &carl]).await;
        assert_eq!(
            anna.texts(&ben),
            ["with the old package", "hello"],
            "{side:?}"
        );
        assert_eq!(
            carl.texts(&ben),
            ["with what is there now", "hello"],
            "{side:?}"
        );
    }
}
