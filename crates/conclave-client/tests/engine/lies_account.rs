//! A server that lies about people: states, identifiers, key packages and welcomes of somebody else.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use conclave_client::ClientError;
use conclave_client::view::{ChatState, MessageState, Trust};
use conclave_core::identity::{IdentitySecret, StateFacts};
use conclave_core::key_export::import_pem;
use conclave_proto::account::{AccountState, AccountStates, DeviceCert};
use conclave_proto::env::OsEnv;
use conclave_proto::frame::reply;
use conclave_proto::frame::request::Body;
use conclave_proto::id::MessageId;
use conclave_proto::{ErrorCode, Refusal};

use crate::support::tamper::{Fate, Road, Tamper};
use crate::support::{DAY_MS, LONG, Person, World};

/// What a lookup and a walk along the states answer from here on; `None`: the truth.
#[derive(Clone, Default)]
struct Lie {
    lookup: Option<AccountStates>,
    walk: Option<AccountStates>,
}

/// Somebody's own identity key, as their export holds it.
fn identity(person: &Person) -> IdentitySecret {
    let pem = person.export_key("a passphrase").unwrap();
    import_pem(&pem, "a passphrase").unwrap()
}

/// Anna, who talks to ben through a server that lies about accounts as the returned cell says; ben's key, his
/// state and certificate.
struct Liar {
    world: World,
    anna: Person,
    ben: Person,
    lie: Arc<Mutex<Lie>>,
    lookups: Arc<AtomicUsize>,
    key: IdentitySecret,
    state: AccountState,
    cert: DeviceCert,
}

impl Liar {
    async fn new() -> Self {
        let world = World::new().await;
        let (mut anna, ben) = world.friends().await;
        let (lie, lookups) = (Arc::<Mutex<Lie>>::default(), Arc::<AtomicUsize>::default());
        let seen: Arc<Mutex<Option<AccountStates>>> = Arc::default();
        let (told, count, note) = (lie.clone(), lookups.clone(), seen.clone());
        let tamper = Tamper::new(&world, move |_, call| {
            let lie = told.lock().unwrap().clone();
            let (answer, note) = match call {
                Body::Lookup(_) => {
                    count.fetch_add(1, Ordering::SeqCst);
                    (lie.lookup, note.clone())
                }
                Body::FetchStates(_) => (lie.walk, note.clone()),
                _ => return Fate::Pass,
            };
            match answer {
                Some(states) => Fate::Answer(reply::Body::AccountStates(states)),
                None => Fate::Change(Box::new(move |reply| {
                    if let reply::Body::AccountStates(states) = reply {
                        *note.lock().unwrap() = Some(states.clone());
                    }
                })),
            }
        });
        anna.restart(Arc::new(Road(tamper))).await;
        anna.settle(LONG).await.unwrap();
        anna_looks(&world, &anna, &ben, &lookups).await;
        let states = seen.lock().unwrap().clone().expect("a lookup of ben");
        Self {
            key: identity(&ben),
            state: AccountState::parse(states.states.last().unwrap()).unwrap(),
            cert: DeviceCert::parse(&states.certs[0]).unwrap(),
            world,
            anna,
            ben,
            lie,
            lookups,
        }
    }

    /// A day later anna writes: her device looks ben up again first. The message's id.
    async fn look_again(&self) -> MessageId {
        anna_looks(&self.world, &self.anna, &self.ben, &self.lookups).await
    }

    fn show(&self, states: &[&AccountState], walk: Option<&[&AccountState]>) {
        let pack = |states: &[&AccountState]| AccountStates {
            states: states.iter().map(|state| state.to_bytes()).collect(),
            certs: vec![self.cert.to_bytes()],
            former_certs: vec![],
        };
        *self.lie.lock().unwrap() = Lie {
            lookup: Some(pack(states)),
            walk: walk.map(pack),
        };
    }

    fn show_the_truth(&self) {
        *self.lie.lock().unwrap() = Lie::default();
    }

    /// Ben's state after `state`, by his own key.
    fn next(&self, state: &AccountState) -> AccountState {
        let certs = std::slice::from_ref(&self.cert);
        self.key
            .next_state(state, certs, state.content.issued_ms + 1)
    }

    /// Everything that was said arrives, once, and both talk on.
    async fn goes_on(&self) {
        self.world.settle(&[&self.anna, &self.ben]).await;
        self.ben.say(&self.anna, "I hear you").await;
        self.world.settle(&[&self.ben, &self.anna]).await;
        assert_eq!(self.anna.texts(&self.ben), self.ben.texts(&self.anna));
        assert_eq!(self.anna.texts(&self.ben).last().unwrap(), "I hear you");
        let queued = self
            .anna
            .history(self.anna.chat_with(&self.ben), 100)
            .unwrap();
        let is_said = |row: &conclave_client::view::Message| row.state != MessageState::Queued;
        assert!(queued.iter().all(is_said));
    }
}

async fn anna_looks(
    world: &World,
    anna: &Person,
    ben: &Person,
    lookups: &AtomicUsize,
) -> MessageId {
    let before = lookups.load(Ordering::SeqCst);
    loop {
        world.clock.pass(DAY_MS + DAY_MS / 24);
        let id = anna.say(ben, "a word").await;
        anna.settle(LONG).await.unwrap();
        // Said in the midst of a round, it goes out with it.
        if lookups.load(Ordering::SeqCst) > before {
            return id;
        }
    }
}

/// A state older than what is pinned is ignored; messages go on to the pinned identity.
#[tokio::test(flavor = "multi_thread")]
async fn c016_state_that_goes_back_is_ignored() {
    let liar = Liar::new().await;
    let second = liar.next(&liar.state);
    liar.show(&[&second], Some(&[&liar.state, &second]));
    liar.look_again().await;
    let safety = liar.anna.safety(&liar.ben.address).unwrap();
    liar.show(&[&liar.state], None);
    liar.look_again().await;
    assert_eq!(liar.anna.chat_state(&liar.ben).0, ChatState::Open);
    assert_eq!(liar.anna.safety(&liar.ben.address).unwrap(), safety);
    liar.show(&[&second], None);
    liar.goes_on().await;
}

/// Two states with one number by one key: nothing is sent, proof is kept, and no later lookup lifts that; the
/// person's word does.
#[tokio::test(flavor = "multi_thread")]
async fn c016_forked_state_stops_until_the_person_decides() {
    let liar = Liar::new().await;
    let content = &liar.state.content;
    let facts = StateFacts {
        server_id: content.server_id,
        account_id: content.account_id,
        generation: content.generation,
        issued_ms: content.issued_ms + 1,
        flags: content.flags,
    };
    let twin = liar
        .key
        .first_state(&facts, std::slice::from_ref(&liar.cert));
    liar.show(&[&twin], None);
    let id = liar.look_again().await;
    assert_eq!(liar.anna.state(id).0, MessageState::Queued);
    assert!(liar.anna.is_warned("two account states with one number"));
    liar.show_the_truth();
    liar.world.clock.pass(DAY_MS / 12);
    liar.anna.settle(LONG).await.unwrap();
    assert_eq!(liar.anna.state(id).0, MessageState::Queued);
    let refused = liar.anna.send(&liar.ben.address, "and this").await;
    assert!(matches!(refused, Err(ClientError::IdentityChanged(_))));
    liar.anna.accept_identity(&liar.ben.address).unwrap();
    liar.goes_on().await;
}

/// States with a gap, or whose walk does not lead on from the pin, change nothing and are told.
#[tokio::test(flavor = "multi_thread")]
async fn c015_states_with_a_gap_change_nothing() {
    let liar = Liar::new().await;
    let (first, second) = (liar.state.clone(), liar.next(&liar.state));
    let third = liar.next(&second);
    let before = liar.anna.safety(&liar.ben.address).unwrap();
    liar.show(&[&third], Some(&[&first, &third]));
    liar.look_again().await;
    assert!(liar.anna.is_warned("does not verify"));
    liar.show(&[&third], Some(&[&third]));
    liar.look_again().await;
    assert_eq!(liar.anna.safety(&liar.ben.address).unwrap(), before);
    assert_eq!(liar.anna.chat_state(&liar.ben).0, ChatState::Open);
    liar.show(&[&third], Some(&[&first, &second, &third]));
    liar.look_again().await;
    liar.goes_on().await;
}

/// A state under another key stops sending; when the server shows the known key again, what waited goes to
/// whom it was meant for, and the person is told what happened.
#[tokio::test(flavor = "multi_thread")]
async fn c082_lookup_that_leads_back_lifts_the_stop() {
    let liar = Liar::new().await;
    let content = &liar.state.content;
    let facts = StateFacts {
        server_id: content.server_id,
        account_id: content.account_id,
        generation: content.generation,
        issued_ms: content.issued_ms,
        flags: content.flags,
    };
    let other = IdentitySecret::generate(&OsEnv);
    let stranger = other.first_state(&facts, &[]);
    *liar.lie.lock().unwrap() = Lie {
        lookup: Some(AccountStates {
            states: vec![stranger.to_bytes()],
            certs: Vec::new(),
            former_certs: vec![],
        }),
        walk: None,
    };
    let id = liar.look_again().await;
    assert_eq!(liar.anna.state(id).0, MessageState::Queued);
    let trust = || liar.anna.safety(&liar.ben.address).unwrap().trust;
    assert_eq!(trust(), Trust::Changed);
    let refused = liar.anna.send(&liar.ben.address, "and this").await;
    assert!(matches!(refused, Err(ClientError::IdentityChanged(_))));
    // While the lie lasts, so does the stop.
    liar.world.clock.pass(DAY_MS / 12);
    liar.anna.settle(LONG).await.unwrap();
    assert_eq!(trust(), Trust::Changed);
    liar.show_the_truth();
    liar.world.clock.pass(DAY_MS / 12);
    liar.anna.settle(LONG).await.unwrap();
    assert_eq!(trust(), Trust::Unverified);
    assert!(liar.anna.is_warned("another identity key"));
    liar.goes_on().await;
}

/// A lookup that is one too many is tried again soon, not tomorrow; the message goes to the pinned key.
#[tokio::test(flavor = "multi_thread")]
async fn limited_lookup_is_tried_again_soon() {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    let lookups = Arc::<AtomicUsize>::default();
    let count = lookups.clone();
    let tamper = Tamper::new(&world, move |_, call| match call {
        Body::Lookup(_) => {
            count.fetch_add(1, Ordering::SeqCst);
            let refusal = Refusal::new(ErrorCode::RateLimited, "too many lookups");
            Fate::Answer(reply::Body::Refused(refusal))
        }
        _ => Fate::Pass,
    });
    anna.restart(Arc::new(Road(tamper))).await;
    anna.settle(LONG).await.unwrap();
    for (pass_ms, expected) in [(DAY_MS + 1_000, 1), (60_000, 1), (900_000, 2)] {
        world.clock.pass(pass_ms);
        anna.say(&ben, "a word").await;
        anna.settle(LONG).await.unwrap();
        assert_eq!(lookups.load(Ordering::SeqCst), expected);
    }
    world.settle(&[&ben, &anna]).await;
    assert_eq!(ben.texts(&anna).len(), 4);
}

/// Answers every lookup with what a lookup of somebody else gave.
fn leads_to(world: &World, victim: &Person) -> Arc<Tamper> {
    let wanted = victim.address.clone();
    let stolen: Arc<Mutex<Option<AccountStates>>> = Arc::default();
    Tamper::new(world, move |_, call| match call {
        Body::Lookup(lookup) => {
            let (stolen, is_victim) = (stolen.clone(), lookup.identifier == wanted);
            Fate::Change(Box::new(move |reply| {
                let reply::Body::AccountStates(states) = reply else {
                    return;
                };
                let mut stolen = stolen.lock().unwrap();
                if is_victim {
                    *stolen = Some(states.clone());
                } else if let Some(other) = stolen.clone() {
                    *states = other;
                }
            }))
        }
        _ => Fate::Pass,
    })
}

/// A lookup that leads to somebody who is known under another identifier, or to this very account, is a lie:
/// told, no name moves, and the truth is taken afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn lookup_that_leads_to_somebody_else_is_refused() {
    let world = World::new().await;
    let (mut anna, ben) = (world.person("anna").await, world.person("ben").await);
    let carl = world.person("carl").await;
    for person in [&ben, &carl] {
        person.settle(LONG).await.unwrap();
    }
    // The server leads ben's identifier to carl, whom anna knows.
    anna.restart(Arc::new(Road(leads_to(&world, &carl)))).await;
    anna.say(&carl, "hello carl").await;
    let refused = anna.send(&ben.address, "for ben alone").await;
    assert!(
        matches!(&refused, Err(ClientError::WrongServer(_))),
        "{refused:?}"
    );
    assert!(anna.is_warned("somebody you know"));
    anna.find_chat(&ben.address).unwrap_err();
    anna.find_chat(&carl.address).unwrap();
    // And to anna herself.
    let own = leads_to(&world, &anna);
    anna.restart(Arc::new(Road(own))).await;
    let own = anna.send(&anna.address, "to myself").await;
    assert!(matches!(&own, Err(ClientError::BadInput(_))), "{own:?}");
    let refused = anna.send(&ben.address, "for ben alone").await;
    assert!(
        matches!(&refused, Err(ClientError::WrongServer(text)) if text.contains("own account")),
        "{refused:?}"
    );
    assert_eq!(anna.contacts().unwrap().len(), 1, "carl alone");
    anna.restart(world.transport()).await;
    anna.say(&ben, "for ben alone").await;
    anna.settle(LONG).await.unwrap();
    ben.accept(&anna).await;
    world.settle(&[&ben, &anna]).await;
    assert_eq!(ben.texts(&anna), ["for ben alone"]);
}

/// A lie about who asks leaves the request unconfirmed and the inbox moving; other requests come in.
#[tokio::test(flavor = "multi_thread")]
async fn lie_about_one_asker_leaves_the_inbox_moving() {
    let world = World::new().await;
    let (anna, mut ben) = (world.person("anna").await, world.person("ben").await);
    let carl = world.person("carl").await;
    let wanted = anna.address.clone();
    let tamper = Tamper::new(&world, move |_, call| match call {
        Body::Lookup(lookup) if lookup.identifier == wanted => {
            Fate::Answer(reply::Body::AccountStates(AccountStates {
                states: vec![vec![7; 100]],
                certs: Vec::new(),
                former_certs: vec![],
            }))
        }
        _ => Fate::Pass,
    });
    ben.restart(Arc::new(Road(tamper))).await;
    for asker in [&anna, &carl] {
        asker.say(&ben, "hello").await;
        asker.settle(LONG).await.unwrap();
    }
    ben.settle(LONG).await.unwrap();
    let requests = ben.requests().unwrap();
    let confirmed = |who: &Person| {
        let of = requests
            .iter()
            .find(|one| one.from.identifier == who.address);
        of.expect("a request").confirmed
    };
    assert!(!confirmed(&anna) && confirmed(&carl));
    assert!(ben.is_warned("does not verify"));
    ben.accept(&anna).await;
    ben.restart(world.transport()).await;
    ben.say(&anna, "it is you").await;
    world.settle(&[&ben, &anna]).await;
    assert_eq!(anna.texts(&ben), ["hello", "it is you"]);
}

/// What a lying server makes of a blob.
type Swap = fn(&mut Vec<u8>, &[u8]);

/// A welcome or tree that is another conversation's, older, cut off, flipped or empty: not joined, told, and
/// the next message of either side starts anew without losing a word.
#[tokio::test(flavor = "multi_thread")]
async fn c039_swapped_welcome_is_given_up_and_told() {
    let swaps: [(&str, Swap); 5] = [
        ("another's", |bytes, other| *bytes = other.to_vec()),
        ("cut off", |bytes, _| bytes.truncate(bytes.len() / 2)),
        ("a bit flipped", |bytes, _| bytes[100] ^= 1),
        ("longer", |bytes, _| bytes.push(0)),
        ("empty", |bytes, _| bytes.clear()),
    ];
    let world = World::new().await;
    let (anna, carl) = (world.person("anna").await, world.person("carl").await);
    for (number, (what, swap)) in swaps.into_iter().enumerate() {
        let mut ben = world.person(&format!("ben{number}")).await;
        for asker in [&carl, &anna] {
            asker.say(&ben, "hello").await;
            asker.settle(LONG).await.unwrap();
        }
        anna.say(&ben, "after it").await;
        anna.settle(LONG).await.unwrap();
        // Carl's welcome is true and remembered; anna's is swapped.
        let seen: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let tamper = Tamper::new(&world, move |_, call| match call {
            Body::FetchBlob(_) => {
                let seen = seen.clone();
                Fate::Change(Box::new(move |reply| {
                    if let reply::Body::BlobBytes(blob) = reply {
                        let mut seen = seen.lock().unwrap();
                        if seen.len() < 2 {
                            seen.push(blob.bytes.clone());
                        } else {
                            swap(&mut blob.bytes, &seen[0]);
                        }
                    }
                }))
            }
            _ => Fate::Pass,
        });
        ben.restart(Arc::new(Road(tamper))).await;
        ben.accept(&carl).await;
        ben.settle(LONG).await.unwrap();
        ben.accept(&anna).await;
        ben.settle(LONG).await.unwrap();
        assert!(ben.is_warned("the server changed it"), "{what}");
        ben.say(&carl, "carl is not concerned").await;
        ben.restart(world.transport()).await;
        ben.say(&anna, "once more").await;
        world.settle(&[&ben, &anna, &carl]).await;
        world.settle(&[&anna, &ben]).await;
        for mut texts in [anna.texts(&ben), ben.texts(&anna)] {
            texts.sort();
            assert_eq!(texts, ["after it", "hello", "once more"], "{what}");
        }
        assert_eq!(carl.texts(&ben).last().unwrap(), "carl is not concerned");
    }
}

/// One device twice in a claim, and many more packages than an account has devices: one leaf, and it works.
#[tokio::test(flavor = "multi_thread")]
async fn c083_claim_with_one_device_twice_invites_it_once() {
    let world = World::new().await;
    let (mut anna, ben) = (world.person("anna").await, world.person("ben").await);
    let tamper = Tamper::new(&world, |_, call| match call {
        Body::ClaimKeyPackages(_) => Fate::Change(Box::new(|reply| {
            if let reply::Body::ClaimedKeyPackages(claimed) = reply {
                let first = claimed.packages[0].clone();
                claimed.packages.extend(vec![first; 1_000]);
            }
        })),
        _ => Fate::Pass,
    });
    anna.restart(Arc::new(Road(tamper))).await;
    let hello = anna.say(&ben, "hello").await;
    anna.settle(LONG).await.unwrap();
    ben.accept(&anna).await;
    world.settle(&[&ben, &anna]).await;
    assert_eq!(anna.message(hello).unwrap().devices, 1);
    assert_eq!(anna.state(hello).0, MessageState::Delivered);
}
