//! Conversations that continue others.

use conclave_core::conversation::create::create;
use conclave_core::conversation::join::join;
use conclave_core::conversation::successor::{PinnedPeer, check_successor};
use conclave_core::conversation::{
    CreateOptions, Created, JoinError, Joined, Predecessor, RebootPsk, SuccessorError,
};
use conclave_core::mls_store;
use conclave_core::secret::Secret;
use conclave_hostile::side::{Side, friends, open_blob, open_tree};
use conclave_proto::id::{Epoch, LogId};

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
