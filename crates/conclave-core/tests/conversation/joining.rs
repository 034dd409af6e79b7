//! Creating and joining: who may, and what is refused.

use conclave_core::conversation::create::create;
use conclave_core::conversation::join::join;
use conclave_core::conversation::{
    ConversationContext, ConversationKind, CreateError, CreateOptions, JoinError, Joined, Opened,
};
use conclave_core::credential::{KnownAccount, LeafError, Wanted};
use conclave_core::identity::DeviceSecret;
use conclave_core::leaf::LeafNodeError;
use conclave_core::mls_store;
use conclave_hostile::people::{Book, FixedEnv, NOW_MS, Person, SERVER, device_facts, state_facts};
use conclave_hostile::side::{
    Side, content, create_with, join_created, open_blob, open_tree, strangers,
};
use conclave_hostile::welcome::{self, Founded, Plan};
use conclave_proto::id::{DeviceId, LogId};

fn join_founded(side: &Side, founded: &Founded) -> Result<Joined, JoinError> {
    let (welcome, tree) = (&founded.welcome, &founded.tree);
    join(
        side.outside(),
        &side.book,
        founded.log_id,
        welcome,
        tree,
        &[],
    )
}

/// A conversation is created with devices of exactly one other person, each once.
#[test]
fn creating_needs_one_other_person() {
    let (ana, ben) = strangers();
    let options = CreateOptions::default();
    let none = create(ana.outside(), &[], &options);
    assert!(matches!(none, Err(CreateError::NotTwoPeople)));
    let package = ana.check(&ben.key_package(false));
    let twice = create(ana.outside(), &[package.clone(), package], &options);
    assert!(matches!(twice, Err(CreateError::Devices)));
    let eve = Person::new(3);
    let mut ana = ana;
    ana.book.accept(eve.known());
    let eve = Side::new(3, &[]);
    let three = [
        ana.check(&ben.key_package(false)),
        ana.check(&eve.key_package(false)),
    ];
    let refused = create(ana.outside(), &three, &options);
    assert!(matches!(refused, Err(CreateError::NotTwoPeople)));
}

/// The joiner learns who invited it, with which package, and both see one context.
#[test]
fn joining_says_what_happened() {
    let (ana, ben) = strangers();
    let created = create_with(&ana, &ben);
    assert_eq!(created.welcomes.len(), 1);
    assert_eq!(created.welcomes[0].device_id, ben.person.own.device_id);
    let joined = join_created(&ben, &created).unwrap();
    assert_eq!(joined.inviter.account_id, ana.person.own.account_id);
    assert!(!joined.last_resort && !joined.bound_to_predecessor);
    assert_eq!(joined.key_package_ref.len(), 48);
    let context = joined.conversation.context();
    assert_eq!(context, created.conversation.context());
    assert_eq!(context.log_id, created.log_id);
}

/// A one-time package joins once; a rolled-back join can be repeated; a last resort joins many times.
#[test]
fn packages_are_used_up_as_they_should() {
    let (ana, ben) = strangers();
    let created = create_with(&ana, &ben);
    let before = ben.rows.snapshot();
    join_created(&ben, &created).unwrap();
    ben.rows.restore(&before);
    join_created(&ben, &created).unwrap();
    let log_id = created.log_id;
    mls_store::delete_conversation(&ben.rows, log_id).unwrap();
    let again = join_created(&ben, &created);
    assert!(matches!(again, Err(JoinError::UnknownKeyPackage)));

    let last_resort = ana.check(&ben.key_package(true));
    for _ in 0..2 {
        let options = CreateOptions::default();
        let created = create(ana.outside(), std::slice::from_ref(&last_resort), &options).unwrap();
        let joined = join_created(&ben, &created).unwrap();
        assert!(joined.last_resort);
        let twice = join_created(&ben, &created);
        assert!(matches!(twice, Err(JoinError::AlreadyJoined)));
    }
}

/// A welcome for another log, a changed tree, cut bytes and bytes of another kind are refused.
#[test]
fn malformed_welcomes_are_refused() {
    let (ana, ben) = strangers();
    let created = create_with(&ana, &ben);
    let (welcome, tree) = (open_blob(&created.welcomes[0].blob), open_tree(&created));
    let before = ben.rows.snapshot();
    let attempt = |log_id, welcome: &[u8], tree: &[u8]| {
        ben.rows.restore(&before);
        join(ben.outside(), &ben.book, log_id, welcome, tree, &[])
    };
    let other = attempt(LogId::new([9; 32]), &welcome, &tree);
    assert!(matches!(other, Err(JoinError::Malformed("another group"))));
    for place in (0..welcome.len()).step_by(61) {
        let mut changed = welcome.clone();
        changed[place] ^= 1;
        assert!(attempt(created.log_id, &changed, &tree).is_err());
        assert!(attempt(created.log_id, &welcome[..place], &tree).is_err());
    }
    for place in (0..tree.len()).step_by(97) {
        let mut changed = tree.clone();
        changed[place] ^= 1;
        assert!(attempt(created.log_id, &welcome, &changed).is_err());
        assert!(attempt(created.log_id, &welcome, &tree[..place]).is_err());
    }
    let long = vec![0; conclave_proto::limits::WELCOME_BLOB_BYTES_MAX + 1];
    let refused = attempt(created.log_id, &long, &tree);
    assert!(matches!(refused, Err(JoinError::TooLarge)));
    attempt(created.log_id, &welcome, &tree).unwrap();
}

/// Every leaf of a welcome's tree is checked: an inviter whose device is not accepted gets nobody in.
#[test]
fn c017_every_leaf_of_a_tree_is_checked() {
    let (ana, mut ben) = strangers();
    let created = create_with(&ana, &ben);
    let before = ben.rows.snapshot();
    // Ben accepts himself only
    ben.book = Book::of(&[&Person::new(2)]);
    let refused = join_created(&ben, &created).unwrap_err();
    assert!(matches!(
        refused,
        JoinError::Leaf { error: LeafNodeError::Leaf(LeafError::UnknownAccount), ref missing }
            if *missing == [Wanted::Newest(ana.person.own.account_id)]
    ));
    // Ana's account as Ben knows it lists another device key: a swapped leaf
    ben.rows.restore(&before);
    let mut impostor = Person::new(1);
    impostor.own.secret = DeviceSecret::generate(&FixedEnv::new(77));
    let facts = device_facts(impostor.own.account_id, impostor.own.device_id);
    impostor.cert = impostor.identity.certify(&impostor.own.secret, &facts);
    impostor.state = impostor.identity.first_state(
        &state_facts(impostor.own.account_id),
        std::slice::from_ref(&impostor.cert),
    );
    ben.book = Book::of(&[&impostor, &Person::new(2)]);
    let refused = join_created(&ben, &created).unwrap_err();
    assert!(matches!(
        refused,
        JoinError::Leaf { error: LeafNodeError::Leaf(LeafError::OtherKey), ref missing }
            if *missing == [Wanted::Newest(impostor.own.account_id)]
    ));
}

/// A conversation for another server, or without its context, is not joined.
#[test]
fn c034_the_context_must_be_this_servers() {
    let (mut ana, ben) = strangers();
    let package = ana.check(&ben.key_package(false));
    ana.person.own.server_id = conclave_proto::id::ServerId::new([0xbb; 32]);
    let options = CreateOptions::default();
    let created = create(ana.outside(), &[package], &options).unwrap();
    let refused = join_created(&ben, &created);
    assert!(matches!(refused, Err(JoinError::Context(_))));
}

/// A third person hidden in the tree is not accepted, even when every leaf is a known one.
#[test]
fn a_third_person_is_not_joined() {
    let (mut ana, mut ben) = strangers();
    let eve = Side::new(3, &[]);
    ana.book.accept(eve.person.known());
    ben.book.accept(eve.person.known());
    let packages = [ben.key_package(false), eve.key_package(false)];
    // what `create` refuses, an attacker does with MLS itself
    let context =
        ConversationContext::new(ConversationKind::Direct, SERVER, LogId::new([4; 32]), None);
    let plan = Plan::honest(ana.outside(), &context);
    let mut founded = welcome::found(ana.outside(), plan, &packages, |builder| builder);
    founded.cut(0);
    let refused = join_founded(&ben, &founded);
    assert!(matches!(refused, Err(JoinError::NotTwoPeople)));
}

/// A welcome joins the device it was made for, and no other.
#[test]
fn a_welcome_is_for_one_device() {
    let (ana, ben) = strangers();
    let created = create_with(&ana, &ben);
    let wrong_device = join(
        ana.outside(),
        &ana.book,
        created.log_id,
        &open_blob(&created.welcomes[0].blob),
        &open_tree(&created),
        &[],
    );
    assert!(matches!(wrong_device, Err(JoinError::UnknownKeyPackage)));
}

/// Two devices of one person join with a welcome each and one tree; neither can use the other's, and all
/// three devices talk and commit.
#[test]
fn several_devices_share_one_tree() {
    let (mut ana, mut ben) = strangers();
    let mut tablet = Side::new(2, &[]);
    let env = FixedEnv::new(55);
    tablet.person.own.secret = DeviceSecret::generate(&env);
    tablet.person.own.device_id = DeviceId::random(&env);
    tablet.env = env;
    let facts = device_facts(tablet.person.own.account_id, tablet.person.own.device_id);
    let identity = &ben.person.identity;
    let certs = [
        ben.person.cert.clone(),
        identity.certify(&tablet.person.own.secret, &facts),
    ];
    let state = identity.next_state(&ben.person.state, &certs, NOW_MS);
    for side in [&mut ana, &mut ben, &mut tablet] {
        let known = KnownAccount::new(SERVER, state.clone(), certs.to_vec());
        side.book.accept(Person::new(1).known());
        side.book.accept(known.unwrap());
    }
    let peers = [
        ana.check(&ben.key_package(false)),
        ana.check(&tablet.key_package(false)),
    ];
    let created = create(ana.outside(), &peers, &CreateOptions::default()).unwrap();
    let tree = open_tree(&created);
    let join_as = |side: &Side, place: usize| {
        let welcome = open_blob(&created.welcomes[place].blob);
        join(
            side.outside(),
            &side.book,
            created.log_id,
            &welcome,
            &tree,
            &[],
        )
    };
    let wrong = join_as(&tablet, 0);
    assert!(matches!(wrong, Err(JoinError::UnknownKeyPackage)));
    ben.conversation = Some(join_as(&ben, 0).unwrap().conversation);
    tablet.conversation = Some(join_as(&tablet, 1).unwrap().conversation);
    ana.conversation = Some(created.conversation);
    for committer in 0..3 {
        let mut sides = [&mut ana, &mut ben, &mut tablet];
        let entry = sides[committer].self_update().entry;
        for side in &mut sides {
            side.apply(&entry).unwrap();
        }
        let entry = sides[committer].seal(&content(1));
        for (place, side) in sides.iter_mut().enumerate() {
            let opened = side.open(&entry);
            assert_eq!(place == committer, opened == Opened::Own);
            assert!(!matches!(opened, Opened::Unreadable(_)));
        }
    }
    assert_eq!(ana.chat().people().len(), 2);
    assert_eq!(ana.chat().members().len(), 3);
}
