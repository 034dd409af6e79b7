//! Groups of honest members: changes, batches, re-adding, and whatever order the winners come in.

use conclave_core::conversation::create::create;
use conclave_core::conversation::{
    Change, CommitError, ConversationKind, CreateError, CreateOptions, JoinError, PolicyViolation,
    Role,
};
use conclave_core::credential::Wanted;
use conclave_core::mls_store;
use conclave_hostile::people::FixedEnv;
use conclave_hostile::side::{
    Side, content, crowd, group_of, head_at, message_by, open_blob, open_tree,
};
use conclave_proto::codec;
use conclave_proto::env::Env as _;
use conclave_proto::id::Epoch;
use conclave_proto::label;
use conclave_proto::log::CommitEntry;

/// A group begins with its founder alone or with many; it has a name and the founder owns it.
#[test]
fn a_group_begins() {
    let mut sides = group_of(3);
    let context = sides[2].chat().context().clone();
    assert_eq!(context.kind, ConversationKind::Group);
    assert_eq!(context.name(), "choir");
    assert_eq!(context.role(sides[0].person.own.account_id), Role::Owner);
    assert_eq!(context.roles.len(), 1);
    let entry = sides[1].seal(&content(3));
    for place in [0, 2] {
        assert_eq!(message_by(sides[place].open(&entry)).1, content(3));
    }
    for kind in [ConversationKind::Group, ConversationKind::Own] {
        let alone = Side::new(7, &[]);
        let options = CreateOptions {
            kind,
            ..CreateOptions::default()
        };
        let created = create(alone.outside(), &[], &options).unwrap();
        assert!(created.tree.is_none() && created.welcomes.is_empty());
        assert_eq!(created.conversation.epoch(), Epoch(1));
        assert_eq!(created.conversation.members().len(), 1);
    }
}

/// What cannot be founded: a name too long, a role of somebody outside, somebody else's device among own ones.
#[test]
fn c090_founding_is_held_to_the_rules() {
    let sides = crowd(2);
    let package = || sides[0].check(&sides[1].key_package(false));
    let role = conclave_core::conversation::AccountRole {
        account_id: sides[1].person.own.account_id,
        role: Role::Owner,
    };
    let group = |name: String, roles| CreateOptions {
        kind: ConversationKind::Group,
        name,
        roles,
        ..CreateOptions::default()
    };
    let long = create(sides[0].outside(), &[], &group("x".repeat(129), vec![]));
    assert!(matches!(long, Err(CreateError::Context)));
    let absent = create(sides[0].outside(), &[], &group(String::new(), vec![role]));
    assert!(matches!(absent, Err(CreateError::Context)));
    let own = CreateOptions {
        kind: ConversationKind::Own,
        ..CreateOptions::default()
    };
    let other = create(sides[0].outside(), &[package()], &own);
    assert!(matches!(other, Err(CreateError::NotOwn)));
    let given = create(
        sides[0].outside(),
        &[package()],
        &group(String::new(), vec![role]),
    )
    .unwrap();
    let roles = &given.conversation.context().roles;
    assert_eq!(roles, &[role]);
}

/// One commit adds, names, links and gives a role; its blobs are those of the signed head; the new ones read
/// what is said from then on.
#[test]
fn one_commit_does_many_things() {
    let mut sides = crowd(5);
    let mut old = group_of(3);
    for (place, side) in old.drain(..).enumerate() {
        let book = std::mem::take(&mut sides[place].book);
        sides[place] = Side { book, ..side };
    }
    let log_id = sides[0].chat().log_id();
    let changes = [
        Change::Add(sides[0].check(&sides[3].key_package(false))),
        Change::Add(sides[0].check(&sides[4].key_package(true))),
        Change::Name("orchestra".into()),
        Change::Link(Some([7; 32])),
        Change::Role {
            account_id: sides[3].person.own.account_id,
            role: Role::Admin,
        },
        Change::Remove {
            leaf: sides[0].leaf_of(&sides[2].person),
        },
    ];
    let made = sides[0].change(&changes).unwrap();
    let entry: CommitEntry = codec::parse_exact(&made.pending.entry).unwrap();
    let tree = made.tree.as_ref().unwrap();
    let blobs = made
        .welcomes
        .iter()
        .map(|welcome| &welcome.blob)
        .chain([tree]);
    for (named, blob) in entry.head.blobs.iter().zip(blobs) {
        assert_eq!(named.blob_id, blob.pointer.blob_id);
        assert_eq!(named.hash, label::sha256(&blob.bytes));
    }
    assert_eq!(entry.head.blobs.len(), 3);
    for place in 0..3 {
        let applied = sides[place].apply(&made.pending.entry).unwrap();
        assert_eq!(applied.context_before.name(), "choir");
        assert_eq!(applied.removed.len(), 1);
        assert_eq!(
            applied.removed[0].account_id,
            sides[2].person.own.account_id
        );
        assert_eq!(applied.added.len(), if place == 2 { 0 } else { 2 });
        assert_eq!(applied.removed_self(), place == 2);
    }
    for place in [3, 4] {
        let welcome = open_blob(&made.welcomes[place - 3].blob);
        let joined = sides[place]
            .join(log_id, &welcome, &open_blob(tree))
            .unwrap();
        assert_eq!(joined.last_resort, place == 4);
        assert_eq!(joined.access.public(), made.pending.next_access.public());
        sides[place].conversation = Some(joined.conversation);
    }
    let context = sides[4].chat().context().clone();
    assert_eq!((context.name(), context.link), ("orchestra", Some([7; 32])));
    assert_eq!(context.role(sides[3].person.own.account_id), Role::Admin);
    let entry = sides[3].seal(&content(1));
    for place in [0, 1, 4] {
        assert_eq!(message_by(sides[place].open(&entry)).1, content(1));
        assert_eq!(
            sides[place].chat().authenticator(),
            sides[3].chat().authenticator()
        );
    }
}

/// A device that cannot go on is taken out and put in anew by a plain member, in one commit, and keeps its role.
#[test]
fn c095_a_stranded_device_is_put_in_anew() {
    let mut sides = group_of(3);
    let log_id = sides[0].chat().log_id();
    // the owner's device lost its state; its rows hold the package of now
    mls_store::delete_conversation(&sides[0].rows, log_id).unwrap();
    let leaf = sides[2].leaf_of(&sides[0].person);
    let package = sides[2].check(&sides[0].key_package(false));
    let changes = [Change::Remove { leaf }, Change::Add(package)];
    let made = sides[2].change(&changes).unwrap();
    for place in [1, 2] {
        let applied = sides[place].apply(&made.pending.entry).unwrap();
        assert_eq!(applied.removed[0].device_id, applied.added[0].device_id);
    }
    let welcome = open_blob(&made.welcomes[0].blob);
    let tree = open_blob(made.tree.as_ref().unwrap());
    let joined = sides[0].join(log_id, &welcome, &tree).unwrap();
    sides[0].conversation = Some(joined.conversation);
    let context = sides[0].chat().context();
    assert_eq!(context.role(sides[0].person.own.account_id), Role::Owner);
    let entry = sides[0].seal(&content(9));
    assert_eq!(message_by(sides[1].open(&entry)).1, content(9));
}

/// Removing the own leaf, a leaf that is not there, and a head of another epoch are the caller's mistakes.
#[test]
fn impossible_changes_are_refused_at_once() {
    let mut sides = group_of(2);
    for leaf in [0, 9] {
        let made = sides[0].change(&[Change::Remove { leaf }]);
        let refused = Err(PolicyViolation::NoSuchDevice);
        let asked = sides[0]
            .chat()
            .check_change(&sides[0].book, &[Change::Remove { leaf }]);
        assert_eq!(asked, refused);
        assert!(matches!(made, Err(CommitError::Policy(violation)) if Err(violation) == refused));
    }
    let stale = sides[0]
        .with(|chat, outside, book| chat.change(outside, book, &head_at(Epoch(9)), 30, &[]));
    assert!(matches!(stale, Err(CommitError::WrongHead)));
    let long = sides[0].change(&[Change::Name("x".repeat(129))]);
    assert!(matches!(
        long,
        Err(CommitError::Policy(PolicyViolation::Context))
    ));
}

/// Joining says at once whose states are missing, all of them.
#[test]
fn c017_all_missing_accounts_are_named_at_once() {
    let sides = crowd(5);
    let packages: Vec<_> = (1..5)
        .map(|place| sides[0].check(&sides[place].key_package(false)))
        .collect();
    let options = CreateOptions {
        kind: ConversationKind::Group,
        ..CreateOptions::default()
    };
    let created = create(sides[0].outside(), &packages, &options).unwrap();
    let mut newcomer = Side::new(2, &[]);
    newcomer.book.accept(sides[1].person.known());
    newcomer.rows = mls_store::MemoryRows::default();
    newcomer.rows.restore(&sides[1].rows.snapshot());
    let welcome = open_blob(&created.welcomes[0].blob);
    let refused = newcomer
        .join(created.log_id, &welcome, &open_tree(&created))
        .unwrap_err();
    let mut missing = refused.missing().to_vec();
    missing.sort();
    let mut others: Vec<_> = [0, 2, 3, 4]
        .map(|place: usize| Wanted::Newest(sides[place].person.own.account_id))
        .to_vec();
    others.sort();
    assert_eq!(missing, others);
    assert!(matches!(refused, JoinError::Leaf { .. }));
}

/// One random number below `bound`.
fn draw(env: &FixedEnv, bound: usize) -> usize {
    let mut bytes = [0; 8];
    env.fill(&mut bytes);
    usize::try_from(u64::from_be_bytes(bytes) % bound as u64).unwrap()
}

/// Something that `by` may want of the group: changes, and whom they add.
fn wish(env: &FixedEnv, sides: &[Side], by: usize) -> (Vec<Change>, Option<usize>) {
    let whom = draw(env, sides.len());
    let person = &sides[whom].person;
    let account_id = person.own.account_id;
    let members = sides[by].chat().members();
    let inside = members
        .iter()
        .find(|member| member.account_id == account_id);
    let change = match (draw(env, 6), inside) {
        (0 | 1, None) => {
            let package = sides[by].check(&sides[whom].key_package(false));
            return (vec![Change::Add(package)], Some(whom));
        }
        (0, Some(member)) if whom != by => {
            let package = sides[by].check(&sides[whom].key_package(false));
            let out = Change::Remove { leaf: member.leaf };
            return (vec![out, Change::Add(package)], Some(whom));
        }
        (1 | 2, Some(member)) => Change::Remove { leaf: member.leaf },
        (3, Some(_)) => Change::Role {
            account_id,
            role: [Role::Member, Role::Admin, Role::Owner][draw(env, 3)],
        },
        (4, _) => Change::Name(format!("name {whom}")),
        (5, _) => Change::Link(whom.is_multiple_of(2).then_some([7; 32])),
        _ => return (vec![], None),
    };
    (vec![change], None)
}

/// One epoch: some members commit what they may, one wins, everybody applies it, who came joins.
fn epoch(env: &FixedEnv, sides: &mut [Side], inside: &mut Vec<usize>) {
    let log_id = sides[inside[0]].chat().log_id();
    let mut made = Vec::new();
    for _ in 0..=draw(env, 3) {
        let by = inside[draw(env, inside.len())];
        if sides[by].chat().pending(&sides[by].rows).unwrap().is_some() {
            continue;
        }
        let (changes, added) = wish(env, sides, by);
        let asked = sides[by].chat().check_change(&sides[by].book, &changes);
        match sides[by].change(&changes) {
            Ok(done) => {
                assert_eq!(asked, Ok(()));
                made.push((done, added));
            }
            Err(CommitError::Policy(violation)) => assert_eq!(asked, Err(violation)),
            Err(other) => panic!("{other:?}"),
        }
    }
    if made.is_empty() {
        return;
    }
    let (won, added) = made.swap_remove(draw(env, made.len()));
    let mut stay = Vec::new();
    for &place in inside.iter() {
        let applied = sides[place].apply(&won.pending.entry).unwrap();
        if applied.removed_self() {
            sides[place].conversation = None;
            mls_store::delete_conversation(&sides[place].rows, log_id).unwrap();
        } else {
            stay.push(place);
        }
    }
    if let Some(place) = added {
        let welcome = open_blob(&won.welcomes[0].blob);
        let tree = open_blob(won.tree.as_ref().unwrap());
        let joined = sides[place].join(log_id, &welcome, &tree).unwrap();
        sides[place].conversation = Some(joined.conversation);
        stay.push(place);
    }
    *inside = stay;
}

/// Whatever 2 to 8 members want at once, with one winner in each epoch: the same epoch means the same members,
/// context and authenticator, and everybody reads everybody.
#[test]
fn c094_random_changes_converge() {
    for seed in 0..5 {
        let env = FixedEnv::new(50_000 + seed);
        let mut sides = crowd(8);
        let begin = 2 + draw(&env, 7);
        let packages: Vec<_> = (1..begin)
            .map(|place| sides[0].check(&sides[place].key_package(false)))
            .collect();
        let options = CreateOptions {
            kind: ConversationKind::Group,
            ..CreateOptions::default()
        };
        let created = create(sides[0].outside(), &packages, &options).unwrap();
        let tree = open_tree(&created);
        for (side, welcome) in sides.iter_mut().skip(1).zip(&created.welcomes) {
            let welcome = open_blob(&welcome.blob);
            let joined = side.join(created.log_id, &welcome, &tree).unwrap();
            side.conversation = Some(joined.conversation);
        }
        sides[0].conversation = Some(created.conversation);
        let mut inside: Vec<_> = (0..begin).collect();
        for round in 0..12 {
            epoch(&env, &mut sides, &mut inside);
            let first = sides[inside[0]].chat();
            for &place in &inside {
                let chat = sides[place].chat();
                let what = format!("seed {seed}, round {round}, device {place}");
                assert_eq!(chat.epoch(), first.epoch(), "{what}");
                assert_eq!(chat.members(), first.members(), "{what}");
                assert_eq!(chat.context(), first.context(), "{what}");
                assert_eq!(chat.authenticator(), first.authenticator(), "{what}");
                assert_eq!(chat.members().len(), inside.len(), "{what}");
            }
        }
        let by = inside[draw(&env, inside.len())];
        let entry = sides[by].seal(&content(1));
        for &place in inside.iter().filter(|place| **place != by) {
            message_by(sides[place].open(&entry));
        }
    }
}
