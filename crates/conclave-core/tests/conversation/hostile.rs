//! Entries and commits by a member who breaks the rules with MLS itself.

use conclave_core::access::AccessKey;
use conclave_core::conversation::context::RULES_VERSION;
use conclave_core::conversation::{
    Applied, ApplyError, Change, CommitError, Member as Somebody, OpenError, Opened,
    PolicyViolation, SealError, Unreadable,
};
use conclave_core::credential::{
    Accounts as _, Credential, KnownAccount, LeafError, Wanted, former_devices,
};
use conclave_core::identity::DeviceSecret;
use conclave_core::leaf::LeafNodeError;
use conclave_core::secret::Secret;
use conclave_hostile::member::{Builder, extensions, leaf_with};
use conclave_hostile::people::{FixedEnv, NOW_MS, Person, SERVER, device_facts};
use conclave_hostile::side::{Side, content, friends, head_at, message_by};
use conclave_hostile::welcome::{self, Plan, key_package, lend_psk};
use conclave_proto::codec;
use conclave_proto::id::{DeviceId, Epoch, LogId, ServerId};
use conclave_proto::log::CommitEntry;
use openmls::extensions::Extensions;
use openmls::framing::MlsMessageOut;
use openmls::group::{GroupEpoch, GroupId};
use openmls::key_packages::KeyPackage;
use openmls::messages::external_proposals::JoinProposal;
use openmls::messages::proposals::PreSharedKeyProposal;
use openmls::prelude::{
    LeafNodeIndex, LeafNodeParameters, MIXED_CIPHERTEXT_WIRE_FORMAT_POLICY,
    PURE_PLAINTEXT_WIRE_FORMAT_POLICY, Proposal,
};
use openmls_traits::OpenMlsProvider;
use openmls_traits::signatures::Signer;
use tls_codec::Serialize;

/// A commit that `change` shapes, made with MLS itself, and A_{e+1} by it.
pub(crate) fn raw_commit(
    side: &mut Side,
    change: impl FnOnce(Builder<'_>) -> Builder<'_>,
) -> (Vec<u8>, AccessKey) {
    let raw = side.forge(|member| member.commit(change));
    (raw.commit, raw.next)
}

/// The bundle around `commit` by `side`, with `next` registered.
pub(crate) fn bundle(side: &mut Side, commit: &[u8], next: &AccessKey) -> Vec<u8> {
    side.forge(|member| member.bundle(commit, next))
}

/// The same, bound by `binder` instead.
fn bundle_bound_by(side: &mut Side, binder: &mut Side, commit: &[u8], next: &AccessKey) -> Vec<u8> {
    let mut entry: CommitEntry = codec::parse_exact(&bundle(side, commit, next)).unwrap();
    entry.binding = binder.forge(|member| member.bind(&entry.head)).into();
    codec::encode(&entry)
}

/// Ben's answer to a commit by Ana that `change` shaped.
pub(crate) fn answer(
    ana: &mut Side,
    ben: &mut Side,
    change: impl FnOnce(Builder<'_>) -> Builder<'_>,
) -> Result<Applied, ApplyError> {
    let (commit, next) = raw_commit(ana, change);
    let entry = bundle(ana, &commit, &next);
    ben.try_apply(&entry)
}

pub(crate) fn violation(result: &Result<Applied, ApplyError>) -> PolicyViolation {
    match result {
        Err(ApplyError::Policy { violation, .. }) => *violation,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn garbage(result: &Result<Applied, ApplyError>) -> Option<Somebody> {
    match result {
        Err(ApplyError::Garbage { committer, .. }) => *committer,
        other => panic!("{other:?}"),
    }
}

/// The forging itself is sound: an honest commit through it is accepted.
#[test]
fn an_honest_forgery_is_accepted() {
    let (mut ana, mut ben) = friends();
    answer(&mut ana, &mut ben, |builder| builder).unwrap();
}

/// A commit that empties the context's extension list, or changes what it says, is refused, and the chat goes on.
#[test]
fn c034_the_context_cannot_be_emptied_or_changed() {
    let (mut ana, mut ben) = friends();
    let mut other_server = ana.chat().context().clone();
    other_server.server_id = ServerId::new([9; 32]);
    let mut other_origin = ana.chat().context().clone();
    other_origin.successor_of = Some(LogId::new([9; 32]));
    let lists = [
        (Extensions::empty(), PolicyViolation::Context),
        (extensions(&other_server), PolicyViolation::Identity),
        (extensions(&other_origin), PolicyViolation::Identity),
    ];
    for (list, expected) in lists {
        let result = answer(&mut ana, &mut ben, |builder| {
            builder.propose_group_context_extensions(list).unwrap()
        });
        assert_eq!(violation(&result), expected);
        ana.with(|chat, outside, _| chat.drop_pending(outside).unwrap());
    }
    let entry = ana.seal(&content(1));
    message_by(ben.open(&entry));
}

/// A commit that asks for a newer program pauses, and is not refused for ever.
#[test]
fn c034_a_newer_version_pauses() {
    let (mut ana, mut ben) = friends();
    let mut newer = ana.chat().context().clone();
    newer.min_version = RULES_VERSION + 1;
    let result = answer(&mut ana, &mut ben, |builder| {
        builder
            .propose_group_context_extensions(extensions(&newer))
            .unwrap()
    });
    assert!(matches!(result, Err(ApplyError::NeedsNewerVersion)));
}

/// A PSK in a later commit is refused, whether or not everybody holds it.
#[test]
fn c035_no_psk_after_creation() {
    for ben_has_it in [false, true] {
        let (mut ana, mut ben) = friends();
        let id = lend_psk(ana.outside(), b"shared", &[5; 32]);
        if ben_has_it {
            lend_psk(ben.outside(), b"shared", &[5; 32]);
        }
        let result = answer(&mut ana, &mut ben, |builder| {
            builder.add_proposal(Proposal::PreSharedKey(Box::new(PreSharedKeyProposal::new(
                id,
            ))))
        });
        if ben_has_it {
            assert_eq!(violation(&result), PolicyViolation::Proposal);
        } else {
            assert_eq!(
                garbage(&result).unwrap().account_id,
                ana.person.own.account_id
            );
        }
    }
}

/// Proposals by reference are never stored, so a commit over one cannot be processed.
#[test]
fn c035_no_proposal_by_reference() {
    let (mut ana, mut ben) = friends();
    let proposal = ana.forge(|member| {
        let (provider, signer) = (member.provider(), member.signer());
        let target = LeafNodeIndex::new(1);
        let proposed = member
            .group
            .propose_remove_member(&provider, &signer, target);
        proposed.unwrap().0.tls_serialize_detached().unwrap()
    });
    // the proposal itself is no message
    assert!(matches!(ben.open(&proposal), Opened::Unreadable(_)));
    let result = answer(&mut ana, &mut ben, |builder| {
        builder.consume_proposal_store(true)
    });
    garbage(&result);
}

/// A commit that brings a third person in is refused, even when that person is known.
#[test]
fn c035_no_stranger_is_added() {
    let (mut ana, mut ben) = friends();
    let eve = Side::new(3, &[]);
    ana.book.accept(eve.person.known());
    ben.book.accept(eve.person.known());
    let package = key_package(ana.outside(), &eve.key_package(false));
    let result = answer(&mut ana, &mut ben, |builder| {
        builder.propose_adds([package])
    });
    assert_eq!(violation(&result), PolicyViolation::Stranger);
}

fn with_credential(side: &Side, identity: Vec<u8>) -> LeafNodeParameters {
    leaf_with(identity, side.person.own.secret.leaf_key())
}

pub(crate) fn leaf_error(result: &Result<Applied, ApplyError>) -> LeafError {
    match result {
        Err(ApplyError::Leaf {
            error: LeafNodeError::Leaf(error),
            ..
        }) => *error,
        other => panic!("{other:?}"),
    }
}

/// A committer cannot become somebody else, another device, or older than it was.
#[test]
fn c018_a_leaf_keeps_account_device_and_seq() {
    let (ana, _) = friends();
    let honest = ana.person.own.credential();
    let eve = Person::new(3);
    let mut changed = Vec::new();
    changed.push(eve.own.credential());
    changed.push(Credential {
        device_id: DeviceId::new([9; 16]),
        ..honest
    });
    changed.push(Credential {
        account_seq: 0,
        ..honest
    });
    for credential in changed {
        let (mut ana, mut ben) = friends();
        ben.book.accept(eve.known());
        let parameters = with_credential(&ana, credential.to_bytes());
        let result = answer(&mut ana, &mut ben, |builder| {
            builder.leaf_node_parameters(parameters)
        });
        assert_eq!(leaf_error(&result), LeafError::Changed);
    }
}

/// A device that its account has removed, and that is still inside, brings in no device that no account lists.
#[test]
fn c017_a_removed_device_brings_in_no_unlisted_one() {
    let (mut ana, mut ben) = friends();
    remove_first(&ana, &mut ben);
    let mut stray = Side::new(1, &[]);
    let env = FixedEnv::new(56);
    stray.person.own.secret = DeviceSecret::generate(&env);
    stray.person.own.device_id = DeviceId::random(&env);
    stray.env = env;
    let package = key_package(ana.outside(), &stray.key_package(false));
    let result = answer(&mut ana, &mut ben, |builder| {
        builder.propose_adds([package])
    });
    assert_eq!(leaf_error(&result), LeafError::NotListed);
}

/// Its account's newest state lists Ana's device no more, as Ben knows.
fn remove_first(ana: &Side, ben: &mut Side) {
    let without_device = ana
        .person
        .identity
        .next_state(&ana.person.state, &[], NOW_MS);
    let known = KnownAccount::new(SERVER, without_device, vec![]);
    ben.book.accept(known.unwrap());
}

/// A key package of another device of Ben's, which his account lists.
fn second_device(ben: &mut Side) -> Vec<u8> {
    let mut other = Side::new(2, &[]);
    let env = FixedEnv::new(55);
    other.person.own.secret = DeviceSecret::generate(&env);
    other.person.own.device_id = DeviceId::random(&env);
    other.env = env;
    let facts = device_facts(ben.person.own.account_id, other.person.own.device_id);
    let identity = &ben.person.identity;
    let certs = [
        ben.person.cert.clone(),
        identity.certify(&other.person.own.secret, &facts),
    ];
    let state = identity.next_state(&ben.person.state, &certs, NOW_MS);
    let known = KnownAccount::new(SERVER, state, certs.to_vec());
    ben.book.accept(known.unwrap());
    other.key_package(false)
}

/// Who knows that a device was removed and who does not yet judge its commits alike, so nobody parts from the others:
/// while it is inside it renews its keys and adds a listed device; then it is taken out.
#[test]
fn c099_a_removal_changes_no_verdict_about_a_commit() {
    let (mut ana, mut ben) = friends();
    let package = key_package(ana.outside(), &second_device(&mut ben));
    let (commit, next) = raw_commit(&mut ana, |builder| builder.propose_adds([package]));
    let entry = bundle(&mut ana, &commit, &next);
    let unaware = ben.rows.snapshot();
    let before = ben.try_apply(&entry).unwrap();
    ben.roll_back(&unaware);
    remove_first(&ana, &mut ben);
    let after = ben.try_apply(&entry).unwrap();
    assert_eq!(before.added, after.added);
    assert_eq!(after.added.len(), 1);
    assert_eq!(
        before.next_access.unwrap().public(),
        after.next_access.unwrap().public()
    );
}

/// A device that its account removed after somebody added it comes in for whoever reads that later, too, by the state
/// that its leaf names; with a key that this state did not certify, or under a state that did not list it, it does not.
#[test]
fn c180_a_device_removed_since_comes_in_by_the_state_that_its_leaf_names() {
    let (mut ana, mut ben) = friends();
    let package = key_package(ana.outside(), &second_device(&mut ben));
    let account = ben.person.own.account_id;
    let listing = ben.book.known(account).unwrap();
    let (commit, next) = raw_commit(&mut ana, |builder| builder.propose_adds([package]));
    let entry = bundle(&mut ana, &commit, &next);
    let unread = ben.rows.snapshot();
    let in_time = ben.try_apply(&entry).unwrap();
    ben.roll_back(&unread);

    let certs = [ben.person.cert.clone()];
    let newest = ben
        .person
        .identity
        .next_state(listing.state(), &certs, NOW_MS);
    let newest = KnownAccount::new(SERVER, newest, certs.to_vec()).unwrap();
    ben.book.accept(newest.clone());
    let refused = ben.try_apply(&entry);
    assert_eq!(leaf_error(&refused), LeafError::NotListed);
    assert_eq!(refused.unwrap_err().missing(), [Wanted::Since(account, 1)]);
    ben.roll_back(&unread);

    let chain = [listing.state().clone(), newest.state().clone()];
    let former = former_devices(&newest, &chain, listing.certs());
    let [mut former] = former.try_into().unwrap();
    // its leaf was made under state 1, before it was listed
    ben.book.remember(former.clone());
    assert_eq!(leaf_error(&ben.try_apply(&entry)), LeafError::NotListed);
    ben.roll_back(&unread);
    former.first_seq = 1;
    former.leaf_keys[0][0] ^= 1;
    ben.book.remember(former.clone());
    assert_eq!(leaf_error(&ben.try_apply(&entry)), LeafError::NotListed);
    ben.roll_back(&unread);
    former.leaf_keys[0][0] ^= 1;
    ben.book.remember(former);
    let later = ben.try_apply(&entry).unwrap();
    assert_eq!(later.added, in_time.added);
    assert_eq!(
        later.next_access.unwrap().public(),
        in_time.next_access.unwrap().public()
    );
}

/// It is out with the next commit of anybody who knows.
#[test]
fn c099_a_removed_device_is_taken_out() {
    let (mut ana, mut ben) = friends();
    remove_first(&ana, &mut ben);
    let entry = ana.self_update().entry;
    let applied = ben.try_apply(&entry).unwrap();
    assert_eq!(
        applied.committer.unwrap().device_id,
        ana.person.own.device_id
    );
    ana.apply(&entry).unwrap();
    let gone = ben.leaf_of(&ana.person);
    let out = ben.change(&[Change::Remove { leaf: gone }]).unwrap();
    assert!(ana.try_apply(&out.pending.entry).unwrap().removed_self());
}

/// Wrong next keys with a valid binding name the committer; without one nobody is named.
#[test]
fn c036_wrong_keys_name_the_committer() {
    let (mut ana, mut ben) = friends();
    let (commit, next) = raw_commit(&mut ana, |builder| builder);
    let wrong = AccessKey::from_seed(Secret::take(&mut [8; 32]));
    let named = bundle(&mut ana, &commit, &wrong);
    match ben.try_apply(&named) {
        Err(ApplyError::WrongKeys { committer }) => {
            assert_eq!(committer.unwrap().account_id, ana.person.own.account_id);
        }
        other => panic!("{other:?}"),
    }
    let mut entry: CommitEntry = codec::parse_exact(&named).unwrap();
    entry.binding = vec![7; entry.binding.as_slice().len()].into();
    let nameless = ben.try_apply(&codec::encode(&entry));
    assert!(matches!(
        nameless,
        Err(ApplyError::WrongKeys { committer: None })
    ));
    // the honest one is still accepted after both were rolled back
    ben.try_apply(&bundle(&mut ana, &commit, &next)).unwrap();
}

/// Right keys with no binding, or with somebody else's, are refused too.
#[test]
fn c036_the_binding_must_be_the_committers() {
    let (mut ana, mut ben) = friends();
    let (commit, next) = raw_commit(&mut ana, |builder| builder);
    let honest = bundle(&mut ana, &commit, &next);
    let mut entry: CommitEntry = codec::parse_exact(&honest).unwrap();
    for binding in [vec![], vec![1; 11], vec![1; 96]] {
        entry.binding = binding.into();
        assert_eq!(garbage(&ben.try_apply(&codec::encode(&entry))), None);
    }
    let by_ben = bundle_bound_by(&mut ana, &mut ben, &commit, &next);
    let named = garbage(&ben.try_apply(&by_ben)).unwrap();
    assert_eq!(named.account_id, ben.person.own.account_id);
    // a binding of another head does not carry over
    let wrong = AccessKey::from_seed(Secret::take(&mut [8; 32]));
    let other: CommitEntry = codec::parse_exact(&bundle(&mut ana, &commit, &wrong)).unwrap();
    entry.binding = other.binding;
    assert_eq!(garbage(&ben.try_apply(&codec::encode(&entry))), None);
}

/// Any changed byte of a commit entry is refused, and none of the tries changes anything.
#[test]
fn c023_changed_entries_are_refused() {
    let (mut ana, mut ben) = friends();
    let pending = ana.self_update();
    let entry = &pending.entry;
    for place in (0..entry.len()).step_by(31) {
        let mut changed = entry.clone();
        changed[place] ^= 1;
        let result = ben.try_apply(&changed);
        assert!(matches!(result, Err(ApplyError::Garbage { .. })), "{place}");
        assert!(ben.try_apply(&entry[..place]).is_err());
    }
    ben.try_apply(entry).unwrap();
}

/// Ana's own leaf in an entry that she did not make is told apart from her own.
#[test]
fn c061_an_unknown_commit_of_ones_own_is_told() {
    let (mut ana, mut ben) = friends();
    let before = ana.rows.snapshot();
    let first = ana.self_update();
    // a copy of the profile makes another commit
    ana.roll_back(&before);
    ana.self_update();
    let result = ana.try_apply(&first.entry);
    match result {
        Err(ApplyError::UnknownOwn { bound }) => {
            assert_eq!(bound.unwrap().account_id, ana.person.own.account_id);
        }
        other => panic!("{other:?}"),
    }
    ben.try_apply(&first.entry).unwrap();
}

/// A member who forges an entry under Ana's leaf is named to Ana by its own binding.
#[test]
fn c036_a_pretended_own_commit_names_the_pretender() {
    let (mut ana, mut ben) = friends();
    let before = ana.rows.snapshot();
    let (commit, next) = raw_commit(&mut ana, |builder| builder);
    ana.roll_back(&before);
    let entry = bundle_bound_by(&mut ana, &mut ben, &commit, &next);
    match ana.try_apply(&entry) {
        Err(ApplyError::UnknownOwn { bound }) => {
            assert_eq!(bound.unwrap().account_id, ben.person.own.account_id);
        }
        other => panic!("{other:?}"),
    }
}

fn envelope_refusal(opened: &Opened) -> &'static str {
    match opened {
        Opened::Unreadable(Unreadable::Envelope(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

/// Entries that are not what their header must say never reach MLS: other format, group, epoch, kind, or with data in clear.
#[test]
fn c029_relabelled_entries_do_not_reach_mls() {
    let (mut ana, mut ben) = friends();
    let honest = ana.seal(&content(1));
    // a commit as a message, a message as a commit
    let commit: CommitEntry = codec::parse_exact(&ana.self_update().entry).unwrap();
    let opened = ben.open(commit.commit.as_slice());
    assert_eq!(envelope_refusal(&opened), "another content type");
    let next = AccessKey::from_seed(Secret::take(&mut [8; 32]));
    let as_commit = bundle(&mut ana, &honest, &next);
    garbage(&ben.try_apply(&as_commit));
    // header: version u16, wire format u16, group id<V> (1 + 32), epoch u64, content type u8
    let relabelled = |place: usize, value: u8| {
        let mut bytes = honest.clone();
        bytes[place] = value;
        bytes
    };
    let cases = [
        (relabelled(5, honest[5] ^ 1), "another group"),
        (relabelled(44, 9), "another epoch"),
        (relabelled(45, 3), "another content type"),
        (relabelled(45, 2), "another content type"),
        (relabelled(1, 9), "not an mls message"),
        ([honest.clone(), vec![0]].concat(), "not an mls message"),
        (ben.key_package(false), "not an mls message"),
        (vec![], "not an mls message"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(envelope_refusal(&ben.open(&bytes)), expected);
    }
    // a relabelled commit passes the header and fails to decrypt
    let mut as_message = commit.commit.as_slice().to_vec();
    as_message[45] = 1;
    assert_eq!(
        ben.open(&as_message),
        Opened::Unreadable(Unreadable::Closed)
    );
    message_by(ben.open(&honest));
    let with_data = ana.forge(|member| {
        member.frame_as(MIXED_CIPHERTEXT_WIRE_FORMAT_POLICY, b"clear");
        member.message(&content(1))
    });
    assert_eq!(envelope_refusal(&ben.open(&with_data)), "additional data");
}

/// A commit in clear (PublicMessage) shows account ids and is garbage.
#[test]
fn c029_a_public_commit_is_refused() {
    let (mut ana, mut ben) = friends();
    ana.forge(|member| member.frame_as(PURE_PLAINTEXT_WIRE_FORMAT_POLICY, b""));
    let result = answer(&mut ana, &mut ben, |builder| builder);
    assert!(matches!(
        result,
        Err(ApplyError::Garbage {
            reason: "not a private message",
            ..
        })
    ));
}

/// Entries of another epoch than the conversation's are the caller's mistake and change nothing.
#[test]
fn other_epochs_are_refused() {
    let (mut ana, mut ben) = friends();
    let (entry, pending) = (ana.seal(&content(1)), ana.self_update());
    ben.with(|chat, outside, book| {
        let opened = chat.open_message(outside, &entry, Epoch(2));
        assert!(matches!(opened, Err(OpenError::WrongEpoch { .. })));
        let applied = chat.apply_commit(outside, book, &pending.entry, Epoch(2));
        assert!(matches!(applied, Err(ApplyError::WrongEpoch { .. })));
    });
    ben.try_apply(&pending.entry).unwrap();
    // a message of the old epoch, named as of the new one, is not of this epoch by its header
    assert_eq!(envelope_refusal(&ben.open(&entry)), "another epoch");
}

/// A removed device reads its removal and nothing after: no key, no sealing, no opening, also after a reload.
#[test]
fn c021_a_removed_device_is_out() {
    let (mut ana, mut ben) = friends();
    let (commit, next) = raw_commit(&mut ana, |builder| {
        builder.propose_removals([LeafNodeIndex::new(1)])
    });
    let entry = bundle(&mut ana, &commit, &next);
    let applied = ben.try_apply(&entry).unwrap();
    assert!(applied.removed_self() && !applied.is_own());
    assert!(!ben.chat().is_active());
    assert!(ben.chat().access_key().is_err());
    let epoch = ben.chat().epoch();
    ben.with(|chat, outside, book| {
        let sealed = chat.seal(outside, &content(1));
        assert!(matches!(sealed, Err(SealError::NotMember)));
        let opened = chat.open_message(outside, &commit, epoch);
        assert!(matches!(opened, Err(OpenError::NotMember)));
        let applied = chat.apply_commit(outside, book, &entry, epoch);
        assert!(matches!(applied, Err(ApplyError::NotMember)));
        let update = chat.self_update(outside, &head_at(epoch), 30);
        assert!(matches!(update, Err(CommitError::NotMember)));
    });
    // what it may keep for a successor is of the epoch it was in
    let psks = ben.chat().reboot_psks(&ben.rows).unwrap();
    assert_eq!(psks.len(), 1);
    assert_eq!(psks[0].epoch, Epoch(1));
}

/// A proposal in clear to add somebody, by themselves.
fn ask_to_join<P: OpenMlsProvider>(
    _: &P,
    package: KeyPackage,
    group_id: GroupId,
    epoch: GroupEpoch,
    signer: &impl Signer,
) -> MlsMessageOut {
    let asked = JoinProposal::new::<P::StorageProvider>(package, group_id, epoch, signer);
    asked.ok().unwrap()
}

/// MLS messages of every other kind in place of an entry: a welcome, a group info, a key package, proposals in
/// clear by a member and by somebody outside. None reaches MLS, as message or as commit.
#[test]
fn c029_other_kinds_of_mls_messages_are_refused() {
    let (mut ana, mut ben) = friends();
    let package = ben.key_package(false);
    let welcome = {
        let context = ana.chat().context().clone();
        let mut plan = Plan::honest(ana.outside(), &context);
        plan.group_id = vec![4; 32];
        welcome::found(ana.outside(), plan, std::slice::from_ref(&package), |it| it).welcome
    };
    let outsider = key_package(ana.outside(), &package);
    let (info, proposal, join) = ana.forge(|member| {
        member.frame_as(PURE_PLAINTEXT_WIRE_FORMAT_POLICY, b"");
        let (provider, signer) = (member.provider(), member.signer());
        let group = &mut member.group;
        let info = group.export_group_info(provider.crypto(), &signer, true);
        let target = LeafNodeIndex::new(1);
        let proposal = group.propose_remove_member(&provider, &signer, target);
        let (id, epoch) = (group.group_id().clone(), group.epoch());
        let join = ask_to_join(&provider, outsider, id, epoch, &signer);
        let bytes = |message: MlsMessageOut| message.tls_serialize_detached().unwrap();
        (
            bytes(info.unwrap()),
            bytes(proposal.unwrap().0),
            bytes(join),
        )
    });
    let message = |kind: u8, body: &[u8]| [&[0, 1, 0, kind], body].concat();
    for (what, bytes) in [
        ("welcome", message(3, &welcome)),
        ("group info", info),
        ("key package", message(5, &package)),
        ("proposal", proposal),
        ("proposal from outside", join),
    ] {
        let refusal = ben.open(&bytes);
        assert_eq!(
            envelope_refusal(&refusal),
            "not a private message",
            "{what}"
        );
        let next = AccessKey::from_seed(Secret::take(&mut [8; 32]));
        let entry = bundle(&mut ana, &bytes, &next);
        garbage(&ben.try_apply(&entry));
    }
}
