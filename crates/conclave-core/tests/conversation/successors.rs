//! Conversations that continue others.

use conclave_core::conversation::create::create;
use conclave_core::conversation::join::join;
use conclave_core::conversation::successor::{
    Cause, PinnedPeer, check_group_successor, check_successor, successor_rank, successor_roles,
};
use conclave_core::conversation::{
    Change, ConversationKind, CreateOptions, Created, JoinError, Joined, Predecessor, RebootPsk,
    Role, SuccessorError,
};
use conclave_core::mls_store;
use conclave_core::secret::Secret;
use conclave_hostile::side::{Side, friends, group_of, head_at, open_blob, open_tree};
use conclave_proto::id::{AccountId, Epoch, LogId};

fn peer_of(side: &Side) -> PinnedPeer {
    PinnedPeer {
        account_id: side.person.own.account_id,
        identity_fingerprint: side.person.own.identity_fingerprint,
    }
}

fn succeed(ana: &Side, ben: &Side, psk: Option<RebootPsk>) -> Created {
    let package = ana.check(&ben.key_package(false));
    let predecessor = Predecessor {
        log_id: ana.chat().log_id(),
        psk,
    };
    let options = CreateOptions {
        successor_of: Some(predecessor),
        ..CreateOptions::default()
    };
    create(ana.outside(), &[package], &options).unwrap()
}

fn join_with(ben: &Side, created: &Created, psks: &[RebootPsk]) -> Result<Joined, JoinError> {
    join(
        ben.outside(),
        &ben.book,
        created.log_id,
        &open_blob(&created.welcomes[0].blob),
        &open_tree(created),
        psks,
    )
}

/// A successor from the pinned identity is accepted; another predecessor, identity or person is not.
#[test]
fn c059_only_the_pinned_identity_succeeds_silently() {
    let (ana, ben) = friends();
    let old = ben.chat().log_id();
    let joined = join_with(&ben, &succeed(&ana, &ben, None), &[]).unwrap();
    let own = ben.person.own.account_id;
    let judge = |predecessor, peer| {
        check_successor(
            &joined.conversation,
            &joined.inviter,
            predecessor,
            own,
            peer,
        )
    };
    assert_eq!(judge(old, peer_of(&ana)), Ok(()));
    let other = judge(LogId::new([1; 32]), peer_of(&ana));
    assert_eq!(other, Err(SuccessorError::OtherPredecessor));
    let eve = Side::new(3, &[]);
    assert_eq!(judge(old, peer_of(&eve)), Err(SuccessorError::OtherPeople));
    let swapped = PinnedPeer {
        identity_fingerprint: peer_of(&eve).identity_fingerprint,
        ..peer_of(&ana)
    };
    assert_eq!(judge(old, swapped), Err(SuccessorError::OtherIdentity));
}

/// Bound by a secret of the old conversation, a successor opens only for who was there, in the current or
/// the previous epoch; the lent secrets do not stay in the rows.
#[test]
fn c059_a_bound_successor_needs_the_old_secret() {
    let (mut ana, mut ben) = friends();
    let pending = ana.self_update();
    let of_epoch_1 = ana.chat().reboot_psks(&ana.rows).unwrap().remove(0);
    assert_eq!(of_epoch_1.epoch, Epoch(1));
    // Ben is one epoch further than the secret
    ben.apply(&pending.entry).unwrap();
    let known = ben.chat().reboot_psks(&ben.rows).unwrap();
    let epochs: Vec<_> = known.iter().map(|psk| psk.epoch).collect();
    assert_eq!(epochs, [Epoch(2), Epoch(1)]);
    assert_eq!(known[1].secret.expose(), of_epoch_1.secret.expose());
    let created = succeed(&ana, &ben, Some(of_epoch_1));
    let before = ben.rows.snapshot();
    let without = join_with(&ben, &created, &[]);
    assert!(matches!(without, Err(JoinError::MissingPredecessor)));
    ben.rows.restore(&before);
    let wrong = RebootPsk {
        log_id: known[1].log_id,
        epoch: Epoch(1),
        secret: Secret::take(&mut [1; 32]),
    };
    let refused = join_with(&ben, &created, &[wrong]);
    assert!(matches!(refused, Err(JoinError::Malformed(_))));
    ben.rows.restore(&before);
    let joined = join_with(&ben, &created, &known).unwrap();
    assert!(joined.bound_to_predecessor);
    let (old, new) = (ben.chat().log_id(), created.log_id);
    for log_id in [old, new] {
        mls_store::delete_conversation(&ben.rows, log_id).unwrap();
    }
    assert!(ben.rows.is_empty());
}

/// A group whose last member broke it, and the successor that the first makes with `people` of the others.
fn regroup(
    sides: &[Side],
    by: usize,
    people: &[usize],
    options: impl FnOnce(&mut CreateOptions),
) -> Created {
    let old = sides[by].chat();
    let packages: Vec<_> = people
        .iter()
        .map(|&place| sides[by].check(&sides[place].key_package(false)))
        .collect();
    let mut roster: Vec<_> = people
        .iter()
        .map(|&place| sides[place].person.own.account_id)
        .collect();
    roster.push(sides[by].person.own.account_id);
    let mut psks = old.reboot_psks(&sides[by].rows).unwrap();
    let mut made = CreateOptions {
        kind: ConversationKind::Group,
        name: old.context().name().to_owned(),
        successor_of: Some(Predecessor {
            log_id: old.log_id(),
            psk: Some(psks.remove(0)),
        }),
        roles: successor_roles(old, &roster),
    };
    options(&mut made);
    create(sides[by].outside(), &packages, &made).unwrap()
}

/// Somebody is known to have broken the old group.
fn without(left_out: &[AccountId]) -> Cause<'_> {
    Cause {
        left_out,
        is_restored: false,
    }
}

/// What the second member thinks of it, when the last one is known to have broken the old group.
fn judged(sides: &[Side], created: &Created, left_out: &[AccountId]) -> Result<(), SuccessorError> {
    let psks = sides[1].chat().reboot_psks(&sides[1].rows).unwrap();
    let before = sides[1].rows.snapshot();
    let joined = join_with(&sides[1], created, &psks).unwrap();
    sides[1].rows.restore(&before);
    check_group_successor(&joined, sides[1].chat(), without(left_out))
}

/// A bent successor, and why it is refused.
type Bend = (fn(&mut CreateOptions), SuccessorError);

/// A group goes on in what follows from it: nobody new, without who broke it, under the same name and roles, bound
/// to its last good epoch. Whoever makes a successor gains nothing by it.
#[test]
fn c097_a_groups_successor_follows_from_it() {
    let mut sides = group_of(4);
    let broke = sides[3].person.own.account_id;
    let renamed = sides[0].change(&[Change::Name("choir 2".into())]).unwrap();
    for side in &mut sides {
        side.apply(&renamed.pending.entry).unwrap();
    }
    let honest = regroup(&sides, 0, &[1, 2], |_| {});
    assert_eq!(judged(&sides, &honest, &[broke]), Ok(()));
    // nobody named: nobody is left out, and somebody missing is no harm
    let all = regroup(&sides, 2, &[1, 3, 0], |_| {});
    assert_eq!(judged(&sides, &all, &[]), Ok(()));
    assert_eq!(
        judged(&sides, &all, &[broke]),
        Err(SuccessorError::Offender)
    );
    // the owner is not there: the first in order of leaves owns it, not who made it
    let orphaned = regroup(&sides, 2, &[1], |_| {});
    assert_eq!(judged(&sides, &orphaned, &[]), Ok(()));
    let heir = sides[1].person.own.account_id;
    assert_eq!(orphaned.conversation.context().role(heir), Role::Owner);
    let cases: [Bend; 5] = [
        (|o| o.name.clear(), SuccessorError::OtherContext),
        (|o| o.roles.clear(), SuccessorError::OtherContext),
        (|o| o.successor_of = None, SuccessorError::OtherPredecessor),
        (
            |o| o.successor_of.as_mut().unwrap().psk = None,
            SuccessorError::Unbound,
        ),
        (
            |o| o.kind = ConversationKind::Group,
            SuccessorError::Unbound,
        ),
    ];
    for (place, (change, expected)) in cases.into_iter().enumerate() {
        let created = regroup(&sides, 2, &[1, 0], |options| {
            change(options);
            if place == 4 {
                // of the epoch before the last good one
                let mut psks = sides[2].chat().reboot_psks(&sides[2].rows).unwrap();
                options.successor_of.as_mut().unwrap().psk = Some(psks.remove(1));
            }
        });
        assert_eq!(judged(&sides, &created, &[]), Err(expected), "{place}");
    }
    let mut with_eve = sides;
    with_eve.push(Side::new(9, &[]));
    let eve = with_eve[4].person.known();
    for side in &mut with_eve {
        side.book.accept(eve.clone());
    }
    let created = regroup(&with_eve, 0, &[1, 4], |_| {});
    let refused = judged(&with_eve, &created, &[]);
    assert_eq!(refused, Err(SuccessorError::OtherPeople));
}

/// Whom the first could not reach is let in by an owner or admin of the old group later, and by nobody else.
#[test]
fn c097_an_admin_of_old_completes_a_successor() {
    let sides = group_of(4);
    // the third one owns what it makes without the first two, and has no word for the old group
    let cases = [(0, 2, Ok(())), (2, 3, Err(SuccessorError::Unbound))];
    for (by, with, expected) in cases {
        let mut made = regroup(&sides, by, &[with], |_| {});
        let side = &sides[by];
        let package = side.check(&sides[1].key_package(false));
        let head = head_at(Epoch(1));
        let add = [Change::Add(package)];
        let chat = &mut made.conversation;
        let changing = chat.change(side.outside(), &side.book, &head, 30, &add);
        let changing = changing.unwrap();
        let before = sides[1].rows.snapshot();
        let welcome = open_blob(&changing.welcomes[0].blob);
        let tree = open_blob(changing.tree.as_ref().unwrap());
        let later = sides[1].join(made.log_id, &welcome, &tree).unwrap();
        let judged = check_group_successor(&later, sides[1].chat(), Cause::default());
        assert_eq!(judged, expected, "{by}");
        sides[1].rows.restore(&before);
    }
}

/// Each member makes a successor at its own time: in order of leaves, without who broke the group.
#[test]
fn successors_are_made_in_order() {
    let sides = group_of(4);
    let broke = [sides[1].person.own.account_id];
    let ranks = |left_out: &[AccountId]| {
        let rank = |side: &Side| successor_rank(side.chat(), without(left_out));
        sides.iter().map(rank).collect::<Vec<_>>()
    };
    assert_eq!(ranks(&[]), [0, 1, 2, 3]);
    assert_eq!(ranks(&broke), [0, 1, 1, 2]);
}

/// After the server was put back, members stand at different epochs: an owner or admin leads all of them, with whom
/// they like, and roles stay an owner's matter; a member leads those of its own epoch alone, as ever.
#[test]
fn c160_owners_and_admins_lead_a_restored_group() {
    let mut sides = group_of(4);
    let admin = sides[2].person.own.account_id;
    let made = sides[0].change(&[Change::Role {
        account_id: admin,
        role: Role::Admin,
    }]);
    let made = made.unwrap().pending.entry;
    for side in &mut sides {
        side.apply(&made).unwrap();
    }
    sides.push(Side::new(9, &[]));
    let newcomer = sides[4].person.known();
    for side in &mut sides {
        side.book.accept(newcomer.clone());
    }
    let judged = |created: &Created, is_restored| {
        let before = sides[1].rows.snapshot();
        let psks = sides[1].chat().reboot_psks(&sides[1].rows).unwrap();
        let joined = join_with(&sides[1], created, &psks).unwrap();
        sides[1].rows.restore(&before);
        let cause = Cause {
            left_out: &[],
            is_restored,
        };
        check_group_successor(&joined, sides[1].chat(), cause)
    };
    let unbound = |options: &mut CreateOptions| {
        options.successor_of.as_mut().unwrap().psk = None;
    };
    let grabbing = |options: &mut CreateOptions| {
        unbound(options);
        options.roles.retain(|role| role.account_id == admin);
        options.roles[0].role = Role::Owner;
    };
    let unbound_by = Err(SuccessorError::Unbound);
    for (by, bend, expected) in [
        (0, &unbound as &dyn Fn(&mut CreateOptions), Ok(())),
        (0, &grabbing, Ok(())),
        (2, &unbound, Ok(())),
        (2, &grabbing, Err(SuccessorError::OtherContext)),
        (3, &unbound, unbound_by),
    ] {
        let people: Vec<usize> = [1, 0, 2, 3, 4].into_iter().filter(|p| *p != by).collect();
        let created = regroup(&sides, by, &people, bend);
        assert_eq!(judged(&created, true), expected, "by {by}");
        assert!(judged(&created, false).is_err(), "by {by}");
    }
    let bound = regroup(&sides, 3, &[1, 0, 2], |_| {});
    assert_eq!(judged(&bound, true), Ok(()));
    let restored = Cause {
        left_out: &[],
        is_restored: true,
    };
    let ranks = sides[..4].iter();
    let ranks: Vec<_> = ranks
        .map(|side| successor_rank(side.chat(), restored))
        .collect();
    assert_eq!(ranks, [0, 2, 1, 3]);
}
