//! A member who breaks a group: all the others talk on in a successor within ten seconds, without them.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use conclave_core::access::AccessKey;
use conclave_core::conversation::Role as Rank;
use conclave_core::secret::Secret;
use conclave_hostile::frame;
use conclave_hostile::member::{Member, extensions};
use conclave_proto::env::Env as _;
use conclave_proto::hello::Role;
use conclave_proto::id::AccountId;
use conclave_proto::log::{OpenOne, PutBundle};

use super::*;
use crate::successor::Why;
use crate::transport::calls;
use crate::view::{Moment, Note, NoteKind, Offence};

/// How long a group may be unable to talk, in ms of a clock that stands still while anything runs.
const SILENCE_MS: u64 = 10_000;

/// The first one's group; one device is offline, and in the hands of somebody.
struct Choir {
    world: World,
    honest: Vec<Person>,
    bad: Person,
    name: String,
    old: LogId,
    /// When it was broken, ms.
    broken_ms: Cell<u64>,
}

/// The conversation that the group goes on in here.
fn group_of(person: &Person) -> ConversationRow {
    let chat = person.find_chat("choir").unwrap();
    let look = person.engine().look(|tx, _| {
        let live = tx.chat(chat)?.and_then(|row| row.live_log);
        Ok(tx.conversation(live.expect("a live log"))?)
    });
    look.unwrap().expect("its conversation")
}

fn texts(person: &Person) -> Vec<String> {
    let chat = person.find_chat("choir").unwrap();
    let history = person.history(chat, 1000).unwrap();
    history.into_iter().map(|message| message.text).collect()
}

/// Who the group's members are here, and what proves that it is one group.
fn stand(person: &Person) -> (BTreeSet<AccountId>, LogId, Vec<u8>) {
    let row = group_of(person);
    let stand = person.engine().step(|step| {
        let group = step.group(row.log_id)?;
        let people = group.people().into_iter().collect();
        Ok((people, row.log_id, group.authenticator().to_vec()))
    });
    stand.unwrap()
}

fn own_account(person: &Person) -> AccountId {
    let id = person
        .engine()
        .look(|_, own| Ok(own.account.device.account_id));
    id.unwrap()
}

impl Choir {
    /// So many people; the last one is bad.
    async fn of(people: usize) -> Self {
        Self::with_bad(people, people - 1).await
    }

    /// So many people; the one at `place` is bad.
    async fn with_bad(people: usize, place: usize) -> Self {
        let world = World::paused();
        let mut all = Vec::new();
        for number in 0..people {
            all.push(world.person(&format!("p{number}")).await);
        }
        for other in &all[1..] {
            all[0].say(other, "hello").await;
            all[0].settle(LONG).await.unwrap();
            other.accept(&all[0]).await;
            other.settle(LONG).await.unwrap();
        }
        all[0].settle(LONG).await.unwrap();
        let others: Vec<_> = all[1..].iter().map(|other| other.address.clone()).collect();
        // else all who join renew their keys at once, and the server spaces their commits
        world.clock.be_random();
        all[0].create_group("choir", &others).await.unwrap();
        all[0].settle(LONG).await.unwrap();
        for person in &all {
            person
                .wait_until(|| person.find_chat("choir").is_ok())
                .await;
        }
        world.settle(&all.iter().collect::<Vec<_>>()).await;
        all[0].send("choir", "welcome").await.unwrap();
        world.settle(&all.iter().collect::<Vec<_>>()).await;
        let old = group_of(&all[0]).log_id;
        let mut bad = all.remove(place);
        assert_eq!(group_of(&bad).log_id, old);
        bad.die().await;
        bad.wake_up();
        Self {
            world,
            honest: all,
            bad,
            name: format!("p{place}"),
            old,
            broken_ms: Cell::default(),
        }
    }

    /// Makes something with MLS itself over the bad one's rows.
    fn forge<T>(&self, work: impl FnOnce(&mut Member<'_>) -> T) -> T {
        let old = self.old;
        let made = self
            .bad
            .engine()
            .step(|step| Ok(work(&mut Member::of(step.outside(), old))));
        made.unwrap()
    }

    fn junk(&self) -> Vec<u8> {
        let old = self.old;
        let junk = frame::commit(&[], &[0]);
        let made = self
            .bad
            .engine()
            .step(|step| Ok(frame::private_message(step.outside(), old, &junk)));
        made.unwrap()
    }

    /// Ends the old log's epoch with `entry`.
    async fn commit(&self, entry: Vec<u8>) {
        let logs = self.world.transport().connect(Role::Logs).await.unwrap();
        let epoch = group_of(&self.bad).epoch;
        let proof =
            self.forge(|member| member.access().prove_open(logs.context(), self.old, epoch));
        let one = OpenOne {
            log_id: self.old.to_vec(),
            epoch: epoch.0,
            proof,
        };
        let opened = calls::open_logs(logs.as_ref(), vec![one]).await.unwrap();
        assert_ne!(opened[0].handle, 0, "the log opens");
        let bundle = PutBundle {
            handle: opened[0].handle,
            commit_entry: entry,
            blobs: vec![],
        };
        calls::put_bundle(logs.as_ref(), bundle)
            .await
            .expect("the server cannot see what it is");
        self.broken_ms.set(self.world.clock.now_ms());
    }

    /// Everybody honest says something at once, and everybody honest has every word within ten seconds.
    async fn talks_again(&self, word: &str) {
        let said = |place: usize| format!("{word} {place}");
        for (place, person) in self.honest.iter().enumerate() {
            person.send("choir", &said(place)).await.unwrap();
        }
        let all_have = || {
            self.honest.iter().all(|person| {
                let heard = texts(person);
                (0..self.honest.len()).all(|place| heard.contains(&said(place)))
                    && is_on(person, self.old)
            })
        };
        let mut looks = tokio::time::interval(Duration::from_millis(50));
        while !all_have() {
            looks.tick().await;
            let took_ms = self.world.clock.now_ms() - self.broken_ms.get();
            assert!(took_ms <= SILENCE_MS, "silent for {took_ms} ms");
        }
    }

    /// All honest people are in one new group, the bad one is out and named, and everybody reads everybody.
    async fn goes_on(&self, named: Option<Offence>) {
        let is_named = named.is_some();
        self.talks_again("on").await;
        self.world
            .settle(&self.honest.iter().collect::<Vec<_>>())
            .await;
        let expected = stand(&self.honest[0]);
        let bad = own_account(&self.bad);
        assert_ne!(expected.1, self.old);
        let mut people: BTreeSet<_> = self.honest.iter().map(own_account).collect();
        if !is_named {
            people.insert(bad);
        }
        assert_eq!(expected.0, people);
        for person in &self.honest {
            let what = &person.address;
            assert_eq!(stand(person), expected, "{what}");
            let said = texts(person);
            for place in 0..self.honest.len() {
                let count = said.iter().filter(|text| **text == format!("on {place}"));
                assert_eq!(count.count(), 1, "{what}: {said:?}");
            }
            assert_eq!(said[0], "welcome", "{what}");
            // by what each of them knows: identifier, name or account
            let names = [
                self.bad.address.clone(),
                format!("without {}", self.name),
                bad.to_string(),
            ];
            let is_told = names.iter().any(|name| person.is_warned(name));
            assert_eq!(is_told, is_named, "{what}");
            // C-168: who was put out and why stands in everybody's history, in one place
            let noted = put_out(person);
            assert_eq!(noted, put_out(&self.honest[0]), "{what}");
            let noted: Vec<_> = noted.iter().map(|(who, _, how)| (*who, &**how)).collect();
            let expected = named.map(|offence| (bad, offence.name()));
            assert_eq!(noted, Vec::from_iter(expected), "{what}");
            assert!(
                person
                    .chats()
                    .unwrap()
                    .iter()
                    .filter(|chat| chat.name == "choir")
                    .count()
                    == 1
            );
        }
    }
}

/// Who was put out by this person's history, at which entry, and for what.
fn put_out(person: &Person) -> Vec<(AccountId, u64, String)> {
    let chat = person.find_chat("choir").unwrap();
    let rows = person.timeline(chat, 1_000).unwrap();
    let notes = rows.into_iter().filter_map(|row| match row {
        Moment::Note(note) if note.kind == NoteKind::PutOut => Some(note),
        _ => None,
    });
    let shown = |note: Note| {
        let about = note.about.expect("somebody is named").account_id;
        (about, note.seq.expect("an entry"), note.value)
    };
    notes.map(shown).collect()
}

/// Whether the group goes on here in another log than `old`.
fn is_on(person: &Person, old: LogId) -> bool {
    let chat = person.find_chat("choir").unwrap();
    let live = person
        .engine()
        .look(|tx, _| Ok(tx.chat(chat)?.and_then(|row| row.live_log)));
    live.unwrap().is_some_and(|live| live != old)
}

fn any_key() -> AccessKey {
    AccessKey::from_seed(Secret::take(&mut [8; 32]))
}

/// Keys that nobody has are registered: everybody else is stuck at once, and at once in a new group.
#[tokio::test(start_paused = true)]
async fn c097_c168_wrong_keys_cost_their_maker_the_group() {
    for people in [2, 3, 16] {
        let choir = Choir::of(people).await;
        let entry = choir.forge(|member| {
            let raw = member.commit(|builder| builder);
            member.bundle(&raw.commit, &any_key())
        });
        choir.commit(entry).await;
        choir.goes_on(Some(Offence::WrongKeys)).await;
    }
}

/// A commit that nobody can process: sixteen people in one group, fifteen in the next.
#[tokio::test(start_paused = true)]
async fn c097_c168_garbage_costs_its_maker_the_group() {
    for people in [2, 3, 16] {
        let choir = Choir::of(people).await;
        let junk = choir.junk();
        let entry = choir.forge(|member| member.bundle(&junk, &any_key()));
        choir.commit(entry).await;
        choir.goes_on(Some(Offence::Garbage)).await;
    }
}

/// The only owner breaks the group: it goes on without them, and the first of the others owns it.
#[tokio::test(start_paused = true)]
async fn c097_an_owner_who_breaks_a_group_loses_it() {
    for people in [2, 3] {
        let choir = Choir::with_bad(people, 0).await;
        let junk = choir.junk();
        let entry = choir.forge(|member| member.bundle(&junk, &any_key()));
        choir.commit(entry).await;
        choir.goes_on(Some(Offence::Garbage)).await;
        let heir = own_account(&choir.honest[0]);
        for person in &choir.honest {
            let row = group_of(person);
            let role = person
                .engine()
                .step(|step| Ok(step.group(row.log_id)?.context().role(heir)));
            assert_eq!(role.unwrap(), Rank::Owner);
        }
    }
}

/// The first in line is offline: the next one's turn comes within the ten seconds all the same.
#[tokio::test(start_paused = true)]
async fn c097_nobody_waits_for_who_is_away() {
    let mut choir = Choir::of(5).await;
    let junk = choir.junk();
    for person in &mut choir.honest[..2] {
        person.die().await;
    }
    let away: Vec<_> = choir.honest.drain(..2).collect();
    let entry = choir.forge(|member| member.bundle(&junk, &any_key()));
    choir.commit(entry).await;
    choir.talks_again("without them").await;
    for mut person in away {
        person.restart(choir.world.transport()).await;
        choir.honest.push(person);
    }
    choir.broken_ms.set(choir.world.clock.now_ms());
    choir.goes_on(Some(Offence::Garbage)).await;
}

/// A member who gives themselves a role: everybody refuses it and goes on without them, under the same owner.
#[tokio::test(start_paused = true)]
async fn c097_a_usurper_is_left_behind() {
    let choir = Choir::of(3).await;
    let own = own_account(&choir.bad);
    let entry = choir.forge(|member| {
        let mut context = member.context();
        for role in &mut context.roles {
            role.account_id = own;
        }
        let raw = member.commit(|builder| {
            let list = extensions(&context);
            builder.propose_group_context_extensions(list).unwrap()
        });
        member.bundle(&raw.commit, &raw.next)
    });
    choir.commit(entry).await;
    choir.goes_on(Some(Offence::NotAllowed)).await;
    let row = group_of(&choir.honest[1]);
    let owner = own_account(&choir.honest[0]);
    let role = choir.honest[1]
        .engine()
        .step(|step| Ok(step.group(row.log_id)?.context().role(owner)));
    assert_eq!(role.unwrap(), Rank::Owner);
}

/// Two people are out when a member who alone got stuck asks both into a successor, made of an epoch in which they
/// were in: one left, one is about to. There is no second group of that name, and nobody is in it unasked.
#[tokio::test(flavor = "multi_thread")]
async fn c097_who_is_out_gets_no_second_group_from_a_successor() {
    let mut choir = Choir::of(4).await;
    let old = choir.old;
    let [first, left, mut alone] = <[Person; 3]>::try_from(std::mem::take(&mut choir.honest))
        .unwrap_or_else(|_| unreachable!("three are honest"));
    let leaving = choir.bad;
    alone.die().await;
    alone.wake_up();
    let stuck = alone.engine().step(|step| {
        let row = step.tx.conversation(old)?.unwrap();
        let chat = step.tx.chat(row.chat_id)?.unwrap();
        crate::successor::strand(step, chat, row, "nobody else thinks so", Why::Unknown)
    });
    stuck.unwrap();
    left.leave_group("choir").unwrap();
    choir.world.settle(&[&left, &first]).await;
    choir.world.settle(&[&left, &first]).await;
    leaving.leave_group("choir").unwrap();

    alone.go_online_over(choir.world.transport());
    alone.wait_until(|| is_on(&alone, old)).await;
    alone.settle(LONG).await.unwrap();
    leaving.go_online_over(choir.world.transport());
    for person in [&left, &leaving, &first] {
        person.settle(LONG).await.unwrap();
    }
    for (person, state) in [
        (&left, ChatState::Request),
        (&leaving, ChatState::Left),
        (&first, ChatState::Open),
    ] {
        let groups = person.groups().unwrap();
        let states: Vec<_> = groups.iter().map(|group| group.chat.state).collect();
        assert_eq!(states, [state], "{}", person.address);
    }
    assert!(!is_on(&first, old));

    // it is bound to what the one who left holds no more: a yes is told so, and changes nothing else
    let chat = left.find_chat("choir").unwrap();
    left.accept_request(chat).unwrap();
    left.settle(LONG).await.unwrap();
    assert!(left.is_warned("ask to be added again"));
    assert_eq!(left.chat(chat).unwrap().state, ChatState::Left);
    assert_eq!(left.groups().unwrap().len(), 1);
    assert_eq!(texts(&left), ["welcome"]);
}
