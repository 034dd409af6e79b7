//! Groups and members who commit, with MLS itself, what they have no right to: refused by everybody.

use conclave_core::access::AccessKey;
use conclave_core::conversation::create::create;
use conclave_core::conversation::{
    AccountRole, ApplyError, Change, CommitError, ConversationContext, ConversationKind,
    CreateOptions, JoinError, PolicyViolation, Role,
};
use conclave_core::credential::{KnownAccount, LeafError, Wanted};
use conclave_core::identity::DeviceSecret;
use conclave_core::leaf::LeafNodeError;
use conclave_core::mls_store;
use conclave_core::secret::Secret;
use conclave_hostile::key_package::{RawKeyPackage, forge};
use conclave_hostile::member::{Builder, extensions, leaf_with};
use conclave_hostile::people::{FixedEnv, NOW_MS, Person, SERVER};
use conclave_hostile::side::{
    Side, content, crowd, group_of, join_created, message_by, open_blob, strangers,
};
use conclave_hostile::welcome::{self, Plan, key_package};
use conclave_hostile::{crowd as masses, frame};
use conclave_proto::id::{AccountId, LogId};
use conclave_proto::limits::LEAVES_MAX;
use openmls::prelude::{LeafNodeIndex, LeafNodeParameters};

use crate::hostile::{answer, bundle, garbage, leaf_error, raw_commit, violation};

const OWNER: usize = 0;
const ADMIN: usize = 1;
const MEMBER: usize = 2;
const OTHER: usize = 3;

/// An owner, an admin and two members.
fn choir() -> Vec<Side> {
    let mut sides = group_of(4);
    let admin = Change::Role {
        account_id: sides[ADMIN].person.own.account_id,
        role: Role::Admin,
    };
    let made = sides[OWNER].change(&[admin]).unwrap();
    for side in &mut sides {
        side.apply(&made.pending.entry).unwrap();
    }
    sides
}

/// What the commit of `by` that `change` shapes comes to at `at`; the committer forgets it again.
fn judged(
    sides: &mut [Side],
    (by, at): (usize, usize),
    change: impl FnOnce(Builder<'_>) -> Builder<'_>,
) -> Result<(), ApplyError> {
    let before = sides[by].rows.snapshot();
    let (commit, next) = raw_commit(&mut sides[by], change);
    let entry = bundle(&mut sides[by], &commit, &next);
    sides[by].roll_back(&before);
    let before = sides[at].rows.snapshot();
    let result = sides[at].apply(&entry);
    sides[at].roll_back(&before);
    result.map(|_| ())
}

fn context_of(
    sides: &[Side],
    change: impl FnOnce(&mut ConversationContext),
) -> ConversationContext {
    let mut context = sides[OWNER].chat().context().clone();
    change(&mut context);
    context
}

/// A commit that writes the context that `change` makes.
fn rewrites(
    sides: &mut [Side],
    by: usize,
    change: impl FnOnce(&mut ConversationContext),
) -> Result<(), ApplyError> {
    let context = context_of(sides, change);
    judged(sides, (by, OTHER), |builder| {
        let list = extensions(&context);
        builder.propose_group_context_extensions(list).unwrap()
    })
}

fn refused(result: &Result<(), ApplyError>) -> PolicyViolation {
    match result {
        Err(ApplyError::Policy { violation, .. }) => *violation,
        other => panic!("{other:?}"),
    }
}

/// The name, the link and the version are not a member's to change; the admin's they are.
#[test]
fn c092_a_member_cannot_describe_the_group() {
    let mut sides = choir();
    let changes: [fn(&mut ConversationContext); 4] = [
        |c| c.name_bytes = b"mine".to_vec().into(),
        |c| c.link = Some([9; 32]),
        |c| c.min_version = 9_999,
        |c| {
            c.name_bytes = b"both".to_vec().into();
            c.link = Some([9; 32]);
        },
    ];
    for (place, change) in changes.into_iter().enumerate() {
        let result = rewrites(&mut sides, MEMBER, change);
        assert_eq!(refused(&result), PolicyViolation::Describe, "{place}");
        let result = rewrites(&mut sides, ADMIN, change);
        let paused = matches!(result, Err(ApplyError::NeedsNewerVersion));
        assert_eq!(result.is_ok(), !paused, "{place}: {result:?}");
        assert_eq!(paused, place == 2);
    }
}

/// Nobody but the owner gives roles, takes them or leaves the group without an owner or with one from outside.
#[test]
fn c093_roles_cannot_be_taken() {
    let mut sides = choir();
    let [owner, admin, member] =
        [OWNER, ADMIN, MEMBER].map(|place| sides[place].person.own.account_id);
    for (what, by, cast, expected) in grabs(owner, admin, member) {
        let result = rewrites(&mut sides, by, |context| {
            for (account_id, role) in cast {
                context.roles.retain(|entry| entry.account_id != account_id);
                if role != Role::Member {
                    let entry = AccountRole { account_id, role };
                    context.roles.push(entry);
                }
            }
            context.roles.sort();
        });
        assert_eq!(refused(&result), expected, "{what}");
    }
    rewrites(&mut sides, ADMIN, |context| {
        context.roles.retain(|entry| entry.account_id != admin);
    })
    .unwrap();
}

/// Roles that somebody has no right to give, by whom, and why they are refused.
type Grab = (&'static str, usize, Vec<(AccountId, Role)>, PolicyViolation);

fn grabs(owner: AccountId, admin: AccountId, member: AccountId) -> Vec<Grab> {
    vec![
        (
            "a member rises",
            MEMBER,
            vec![(member, Role::Admin)],
            PolicyViolation::Roles,
        ),
        (
            "a member owns",
            MEMBER,
            vec![(member, Role::Owner)],
            PolicyViolation::Roles,
        ),
        (
            "an admin owns",
            ADMIN,
            vec![(admin, Role::Owner)],
            PolicyViolation::Roles,
        ),
        (
            "an admin gives",
            ADMIN,
            vec![(member, Role::Admin)],
            PolicyViolation::Roles,
        ),
        (
            "a member demotes",
            MEMBER,
            vec![(admin, Role::Member)],
            PolicyViolation::Roles,
        ),
        (
            "an admin overthrows",
            ADMIN,
            vec![(owner, Role::Member), (admin, Role::Owner)],
            PolicyViolation::Roles,
        ),
        (
            "no owner",
            OWNER,
            vec![(owner, Role::Admin)],
            PolicyViolation::NoOwner,
        ),
        (
            "nobody at all",
            OWNER,
            vec![(owner, Role::Member), (admin, Role::Member)],
            PolicyViolation::NoOwner,
        ),
        (
            "an absent owner",
            OWNER,
            vec![(AccountId::new([9; 16]), Role::Owner)],
            PolicyViolation::Absent,
        ),
    ]
}

/// A removal without the right to asks for the account's newest state first; it is named, and so is who did it.
#[test]
fn c095_a_removal_without_the_right_is_refused() {
    let mut sides = choir();
    for (by, whom, at) in [
        (MEMBER, OTHER, OWNER),
        (MEMBER, ADMIN, OWNER),
        (MEMBER, OWNER, OTHER),
        (ADMIN, OWNER, OTHER),
    ] {
        let leaf = sides[by].leaf_of(&sides[whom].person);
        let account = sides[whom].person.own.account_id;
        // roles of who goes are taken too, else the commit is refused for them
        let context = context_of(&sides, |context| {
            context.roles.retain(|entry| entry.account_id != account);
            if whom == OWNER {
                context.roles[0].role = Role::Owner;
            }
        });
        let result = judged(&mut sides, (by, at), |builder| {
            let builder = builder.propose_removals([LeafNodeIndex::new(leaf)]);
            let list = extensions(&context);
            builder.propose_group_context_extensions(list).unwrap()
        });
        let Err(ApplyError::Revocation {
            account_id,
            committer,
        }) = &result
        else {
            panic!("{by} removes {whom}: {result:?}");
        };
        assert_eq!(*account_id, account);
        assert_eq!(committer.account_id, sides[by].person.own.account_id);
        assert_eq!(result.unwrap_err().missing(), [Wanted::Newest(account)]);
    }
}

/// A member removes a revoked device as soon as the others know the state that revokes it, and not before.
#[test]
fn c095_a_revoked_device_is_removed_by_anybody() {
    let mut sides = choir();
    let gone = &sides[OTHER].person;
    let next = gone.identity.next_state(&gone.state, &[], NOW_MS);
    let known = KnownAccount::new(SERVER, next, vec![]).unwrap();
    let leaf = sides[MEMBER].leaf_of(gone);
    let early = sides[MEMBER].change(&[Change::Remove { leaf }]);
    assert!(matches!(
        early,
        Err(CommitError::Policy(PolicyViolation::Remove { .. }))
    ));
    sides[MEMBER].book.accept(known.clone());
    let made = sides[MEMBER].change(&[Change::Remove { leaf }]).unwrap();
    let entry = &made.pending.entry;
    let unknowing = sides[ADMIN].try_apply(entry);
    assert!(matches!(unknowing, Err(ApplyError::Revocation { .. })));
    for place in [OWNER, ADMIN] {
        sides[place].book.accept(known.clone());
    }
    for place in [OWNER, ADMIN, MEMBER] {
        let applied = sides[place].try_apply(entry).unwrap();
        assert_eq!(applied.removed.len(), 1);
        assert!(applied.added.is_empty());
    }
    // who is out learns it by the own account's newest state
    assert_eq!(
        sides[OTHER].try_apply(entry).unwrap_err().missing(),
        [Wanted::Newest(sides[OTHER].person.own.account_id)]
    );
    sides[OTHER].book.accept(known);
    assert!(sides[OTHER].try_apply(entry).unwrap().removed_self());
}

/// A member brings no stranger in, known to everybody or not; core does not even make the commit.
#[test]
fn c091_a_member_brings_no_stranger() {
    let mut sides = choir();
    let eve = Side::new(9, &[]);
    for side in &mut sides {
        side.book.accept(eve.person.known());
    }
    let bytes = eve.key_package(false);
    let package = key_package(sides[MEMBER].outside(), &bytes);
    let result = judged(&mut sides, (MEMBER, OTHER), |builder| {
        builder.propose_adds([package])
    });
    assert_eq!(refused(&result), PolicyViolation::Stranger);
    let checked = sides[MEMBER].check(&bytes);
    let made = sides[MEMBER].change(&[Change::Add(checked)]);
    assert!(matches!(
        made,
        Err(CommitError::Policy(PolicyViolation::Stranger))
    ));
    assert!(
        sides[MEMBER]
            .chat()
            .pending(&sides[MEMBER].rows)
            .unwrap()
            .is_none()
    );
}

/// A key package like `side`'s, of another device key.
fn package_with(side: &Side, change: impl FnOnce(&mut RawKeyPackage)) -> Vec<u8> {
    let device = DeviceSecret::generate(&FixedEnv::new(4_711));
    forge(&side.key_package(false), &device, |raw| {
        raw.leaf.signature_key = device.leaf_key().to_vec().into();
        change(raw);
    })
}

/// A forged credential gets into a group neither as a key package, nor by an add, nor by an update.
#[test]
fn c017_no_forged_leaf_enters_a_group() {
    let mut sides = choir();
    let eve = Side::new(9, &[]);
    for side in &mut sides {
        side.book.accept(eve.person.known());
    }
    // another key under Eve's credential
    let forged = package_with(&eve, |_| {});
    let own = &sides[OWNER];
    let checked = conclave_core::key_package::check(&forged, &own.book, NOW_MS);
    assert!(checked.is_err());
    let package = key_package(sides[OWNER].outside(), &forged);
    let result = judged(&mut sides, (OWNER, OTHER), |builder| {
        builder.propose_adds([package])
    });
    assert!(matches!(
        result,
        Err(ApplyError::Leaf { error: LeafNodeError::Leaf(LeafError::OtherKey), ref missing, .. })
            if **missing == [Wanted::Newest(eve.person.own.account_id)]
    ));
    let stolen = sides[OTHER].person.own.credential().to_bytes();
    let key = sides[MEMBER].person.own.secret.leaf_key();
    let parameters: LeafNodeParameters = leaf_with(stolen, key);
    let (by, at) = pair(&mut sides, MEMBER, OWNER);
    let result = answer(by, at, |builder| builder.leaf_node_parameters(parameters));
    assert_eq!(leaf_error(&result), LeafError::Changed);
}

fn pair(sides: &mut [Side], a: usize, b: usize) -> (&mut Side, &mut Side) {
    let [a, b] = sides.get_disjoint_mut([a, b]).unwrap();
    (a, b)
}

/// A welcome whose tree holds somebody who is nobody's device is not joined.
#[test]
fn c017_no_forged_leaf_in_a_groups_welcome() {
    let sides = crowd(3);
    let impostor = package_with(&sides[2], |_| {});
    let mut context =
        ConversationContext::new(ConversationKind::Group, SERVER, LogId::new([4; 32]), None);
    context.roles.push(AccountRole {
        account_id: sides[0].person.own.account_id,
        role: Role::Owner,
    });
    let found = |context: &ConversationContext, packages: &[Vec<u8>]| {
        let plan = Plan::honest(sides[0].outside(), context);
        let mut founded = welcome::found(sides[0].outside(), plan, packages, |builder| builder);
        founded.cut(0);
        let before = sides[1].rows.snapshot();
        let joined = sides[1].join(founded.log_id, &founded.welcome, &founded.tree);
        sides[1].rows.restore(&before);
        joined
    };
    let refused = found(&context, &[sides[1].key_package(false), impostor]);
    // a newer state could list that key
    let named = [Wanted::Newest(sides[2].person.own.account_id)];
    assert!(matches!(refused, Err(JoinError::Leaf { missing, .. }) if *missing == named));
    found(&context, &[sides[1].key_package(false)]).unwrap();
    // C-093: a group without an owner, or owned from outside
    let cases = [
        (vec![], PolicyViolation::NoOwner),
        (vec![AccountId::new([9; 16])], PolicyViolation::Absent),
    ];
    for (owners, expected) in cases {
        context.roles = owners
            .into_iter()
            .map(|account_id| AccountRole {
                account_id,
                role: Role::Owner,
            })
            .collect();
        let refused = found(&context, &[sides[1].key_package(false)]);
        assert!(matches!(refused, Err(JoinError::Policy(violation)) if violation == expected));
    }
    // C-090: nobody is led into a conversation of somebody else's devices
    context.kind = ConversationKind::Own;
    context.roles = vec![];
    let refused = found(&context, &[sides[1].key_package(false)]);
    assert!(matches!(refused, Err(JoinError::NotOwn)));
}

/// A device that is inside already, under another key, and 65 at once.
#[test]
fn c094_a_device_comes_once_and_64_at_a_time() {
    let mut sides = choir();
    let again = package_with(&sides[OTHER], |_| {});
    let package = key_package(sides[OWNER].outside(), &again);
    let result = judged(&mut sides, (OWNER, MEMBER), |builder| {
        builder.propose_adds([package])
    });
    assert_eq!(refused(&result), PolicyViolation::Twice);
    let many: Vec<_> = (100..165)
        .map(|seed| Side::new(seed, &[]).key_package(false))
        .map(|bytes| key_package(sides[OWNER].outside(), &bytes))
        .collect();
    let result = judged(&mut sides, (OWNER, MEMBER), |builder| {
        builder.propose_adds(many)
    });
    assert_eq!(refused(&result), PolicyViolation::TooMany);
}

/// The 1,025th leaf is refused by the last of 1,024.
#[test]
fn c094_the_1025th_leaf_is_refused() {
    let [mut founder, mut last] = masses::of(LEAVES_MAX as u64);
    let bytes = Side::new(9, &[]).key_package(false);
    let package = key_package(founder.outside(), &bytes);
    let result = answer(&mut founder, &mut last, |builder| {
        builder.propose_adds([package])
    });
    assert_eq!(violation(&result), PolicyViolation::TooMany);
}

/// A commit that nobody can process, and one that registers wrong keys, name their committer to all the others.
#[test]
fn c036_garbage_and_wrong_keys_name_the_committer_in_groups() {
    for people in [3, 16] {
        let mut sides = group_of(people);
        let (bad, others) = sides.split_last_mut().unwrap();
        let account = bad.person.own.account_id;
        let junk = bad.frame(&frame::commit(&[], &[0]));
        let wrong = AccessKey::from_seed(Secret::take(&mut [8; 32]));
        let garbage_entry = bundle(bad, &junk, &wrong);
        let (commit, _) = raw_commit(bad, |builder| builder);
        let wrong_entry = bundle(bad, &commit, &wrong);
        for other in others {
            let named = garbage(&other.try_apply(&garbage_entry)).unwrap();
            assert_eq!(named.account_id, account);
            match other.try_apply(&wrong_entry) {
                Err(ApplyError::WrongKeys { committer }) => {
                    assert_eq!(committer.unwrap().account_id, account);
                }
                result => panic!("{result:?}"),
            }
        }
        // nothing changed: the group talks on
        let entry = sides[0].seal(&content(1));
        assert_eq!(message_by(sides[1].open(&entry)).1, content(1));
    }
}

/// A one-time package joins one conversation; a second inviter who got the same one is told by the failure.
#[test]
fn a_key_package_is_used_once() {
    let mut sides = choir();
    let eve = Side::new(
        9,
        &[
            &Person::new(1),
            &Person::new(2),
            &Person::new(3),
            &Person::new(4),
            &Person::new(9),
        ],
    );
    for side in &mut sides {
        side.book.accept(eve.person.known());
    }
    let bytes = eve.key_package(false);
    let twice = [sides[OWNER].check(&bytes), sides[OWNER].check(&bytes)].map(Change::Add);
    let made = sides[OWNER].change(&twice);
    assert!(matches!(
        made,
        Err(CommitError::Policy(PolicyViolation::Twice))
    ));
    let [once, _] = twice;
    let made = sides[OWNER].change(&[once]).unwrap();
    let log_id = sides[OWNER].chat().log_id();
    let welcome = open_blob(&made.welcomes[0].blob);
    let tree = open_blob(made.tree.as_ref().unwrap());
    eve.join(log_id, &welcome, &tree).unwrap();
    let again = eve.join(log_id, &welcome, &tree);
    assert!(
        matches!(
            again,
            Err(JoinError::UnknownKeyPackage | JoinError::AlreadyJoined)
        ),
        "{again:?}"
    );
    // out again: the same welcome leads nowhere
    mls_store::delete_conversation(&eve.rows, log_id).unwrap();
    let left = eve.join(log_id, &welcome, &tree);
    assert!(matches!(left, Err(JoinError::UnknownKeyPackage)));
    let mut other = strangers().0;
    other.book.accept(eve.person.known());
    let package = other.check(&bytes);
    let created = create(other.outside(), &[package], &CreateOptions::default()).unwrap();
    let second = join_created(&eve, &created);
    assert!(matches!(second, Err(JoinError::UnknownKeyPackage)));
}
