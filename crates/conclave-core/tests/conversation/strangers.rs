//! Invitations by somebody who founds a conversation as they like: none is joined, and each costs little.

use std::cell::Cell;

use conclave_core::conversation::join::join;
use conclave_core::conversation::{
    ContextError, ConversationContext, ConversationKind, JoinError, Joined,
};
use conclave_core::credential::{Accounts, KnownAccount, LeafError};
use conclave_core::identity::DeviceSecret;
use conclave_core::key_package;
use conclave_core::leaf::LeafNodeError;
use conclave_hostile::key_package::forge;
use conclave_hostile::member::leaf_with;
use conclave_hostile::people::{FixedEnv, NOW_MS, Person, SERVER};
use conclave_hostile::side::{Side, create_with, join_created, open_blob, open_tree, strangers};
use conclave_hostile::welcome::{self, Founded, Plan};
use conclave_hostile::{bytes, member};
use conclave_proto::id::{AccountId, LogId, ServerId};
use conclave_proto::limits::{KEY_PACKAGE_VALID_MS, LEAVES_MAX, WELCOME_BLOB_BYTES_MAX};
use openmls::extensions::{Extension, Extensions, UnknownExtension};
use openmls::key_packages::Lifetime;
use openmls::messages::proposals::PreSharedKeyProposal;
use openmls::prelude::{CredentialWithKey, Proposal};

const LOG: LogId = LogId::new([4; 32]);

/// Counts how often an account is asked for.
struct Counting<'a>(&'a dyn Accounts, Cell<usize>);

impl Accounts for Counting<'_> {
    fn known(&self, account: AccountId) -> Option<KnownAccount> {
        self.1.set(self.1.get() + 1);
        self.0.known(account)
    }
}

fn context() -> ConversationContext {
    ConversationContext::new(ConversationKind::Direct, SERVER, LOG, None)
}

/// Ben's answer to an invitation, with everything put back when he refuses, and how often he asked for an account.
fn answer(ben: &Side, founded: &Founded) -> (Result<Joined, JoinError>, usize) {
    let before = ben.rows.snapshot();
    let accounts = Counting(&ben.book, Cell::new(0));
    let (welcome, tree) = (&founded.welcome, &founded.tree);
    let joined = join(ben.outside(), &accounts, founded.log_id, welcome, tree, &[]);
    if joined.is_err() {
        ben.rows.restore(&before);
    }
    (joined, accounts.1.get())
}

/// Ana founds what `change` makes of an honest plan, and invites Ben.
fn invite(ana: &Side, ben: &Side, change: impl FnOnce(&mut Plan)) -> Founded {
    let mut plan = Plan::honest(ana.outside(), &context());
    change(&mut plan);
    let package = ben.key_package(false);
    welcome::found(ana.outside(), plan, &[package], |builder| builder)
}

/// The founding itself is sound: an honest one is joined.
#[test]
fn an_honest_founding_is_joined() {
    let (ana, ben) = strangers();
    let founded = invite(&ana, &ben, |_| {});
    let joined = answer(&ben, &founded).0.unwrap();
    assert_eq!(joined.conversation.context(), &context());
}

/// A tree of 1,025 leaves, or of two million blanks, is refused before a leaf is looked at or a row is touched.
#[test]
fn c079_a_giant_tree_is_refused_before_any_work() {
    let (ana, ben) = strangers();
    let mut founded = invite(&ana, &ben, |_| {});
    let honest = std::mem::take(&mut founded.tree);
    let leaf = welcome::leaves(&honest).remove(0);
    let mut blank = vec![None; 3_000_000];
    blank.push(Some(leaf.as_slice()));
    let mut one_more = [Some(leaf.as_slice()), None].repeat(LEAVES_MAX + 1);
    one_more.pop();
    for nodes in [blank, one_more] {
        let tree = welcome::tree(&nodes);
        assert!(tree.len() <= WELCOME_BLOB_BYTES_MAX);
        let before = ben.rows.snapshot();
        let accounts = Counting(&ben.book, Cell::new(0));
        let joined = join(ben.outside(), &accounts, LOG, &founded.welcome, &tree, &[]);
        assert!(matches!(joined, Err(JoinError::TooLarge)), "{joined:?}");
        assert_eq!(accounts.1.get(), 0);
        assert!(ben.rows.snapshot() == before);
    }
    founded.tree = honest;
    answer(&ben, &founded).0.unwrap();
}

/// A real conversation of 21 devices, all properly added, is over what two people can have.
#[test]
fn c079_too_many_devices_are_refused() {
    let (ana, ben) = strangers();
    let eve = Person::new(3);
    let env = FixedEnv::new(90);
    let other = || {
        let device = DeviceSecret::generate(&env);
        let fresh = key_package::build(&ben.rows, &eve.own, &env, false).unwrap();
        forge(&fresh.bytes, &device, |raw| {
            raw.leaf.signature_key = device.leaf_key().to_vec().into();
        })
    };
    let mut packages: Vec<_> = (1..ConversationKind::Direct.leaves_max())
        .map(|_| other())
        .collect();
    packages.insert(0, ben.key_package(false));
    let plan = Plan::honest(ana.outside(), &context());
    let mut founded = welcome::found(ana.outside(), plan, &packages, |builder| builder);
    founded.cut(0);
    let (joined, asked) = answer(&ben, &founded);
    assert!(matches!(joined, Err(JoinError::TooLarge)), "{joined:?}");
    assert_eq!(asked, 0);
}

/// Takes something of another founding.
type Misfit = fn(&mut Founded, &Founded);

/// Tree and welcome of different conversations, entries for nobody, for others, or for many.
#[test]
fn welcomes_that_do_not_fit_are_refused() {
    let (ana, ben) = strangers();
    let other = invite(&ana, &ben, |_| {});
    let cases: [(&str, Misfit); 6] = [
        ("another tree", |f, other| f.tree.clone_from(&other.tree)),
        ("another welcome", |f, other| {
            f.welcome.clone_from(&other.welcome);
        }),
        ("another group info", |f, other| {
            let mut info = Vec::new().into();
            let mut theirs = other.clone();
            theirs.change_welcome(|raw| info = raw.group_info.clone());
            f.change_welcome(|raw| raw.group_info = info);
        }),
        ("nobody", |f, _| f.change_welcome(|raw| raw.secrets.clear())),
        ("twice", |f, _| {
            f.change_welcome(|raw| raw.secrets.push(raw.secrets[0].clone()));
        }),
        ("another suite", |f, _| {
            f.change_welcome(|raw| raw.suite = 1);
        }),
    ];
    for (what, change) in cases {
        let mut founded = invite(&ana, &ben, |_| {});
        change(&mut founded, &other);
        let refused = answer(&ben, &founded).0;
        assert!(
            matches!(refused, Err(JoinError::Malformed(_))),
            "{what}: {refused:?}"
        );
    }
    let mut unknown = invite(&ana, &ben, |_| {});
    unknown.change_welcome(|raw| raw.secrets[0].new_member = vec![7; 48].into());
    let refused = answer(&ben, &unknown).0;
    assert!(matches!(refused, Err(JoinError::UnknownKeyPackage)));
    for length in [0, 1, 1119, 1121] {
        let mut stunted = invite(&ana, &ben, |_| {});
        stunted.change_welcome(|raw| raw.secrets[0].kem_output = vec![7; length].into());
        let refused = answer(&ben, &stunted).0;
        assert!(
            matches!(refused, Err(JoinError::Malformed(_))),
            "{length}: {refused:?}"
        );
    }
}

/// A context of another server or log, with more in it, or with nothing.
#[test]
fn c034_foreign_contexts_are_not_joined() {
    let (ana, ben) = strangers();
    let with = |change: fn(&mut ConversationContext)| {
        let mut changed = context();
        change(&mut changed);
        member::extensions(&changed)
    };
    let extra = Extension::Unknown(0xF0C2, UnknownExtension(vec![1]));
    let more = member::extensions(&context())
        .iter()
        .cloned()
        .chain([extra])
        .collect();
    let lists = [
        (
            "another server",
            with(|c| c.server_id = ServerId::new([9; 32])),
        ),
        ("another log", with(|c| c.log_id = LogId::new([9; 32]))),
        ("version 0", with(|c| c.version = 0)),
        ("nothing", Extensions::empty()),
        ("more", Extensions::from_vec(more).unwrap()),
    ];
    for (what, list) in lists {
        let founded = found_with(&ana, &ben, list);
        let refused = answer(&ben, &founded).0;
        let malformed = matches!(refused, Err(JoinError::Context(ContextError::Malformed)));
        assert!(malformed, "{what}: {refused:?}");
    }
    let newer = found_with(&ana, &ben, with(|c| c.min_version = 99));
    let refused = answer(&ben, &newer).0;
    let waits = matches!(
        refused,
        Err(JoinError::Context(ContextError::NeedsNewerVersion))
    );
    assert!(waits, "{refused:?}");
    let elsewhere = invite(&ana, &ben, |plan| plan.group_id = vec![9; 32]);
    let elsewhere = Founded {
        log_id: LOG,
        ..elsewhere
    };
    let refused = answer(&ben, &elsewhere).0;
    assert!(
        matches!(refused, Err(JoinError::Malformed("another group"))),
        "{refused:?}"
    );
}

fn found_with(ana: &Side, ben: &Side, list: Extensions<openmls::group::GroupContext>) -> Founded {
    let package = ben.key_package(false);
    let mut plan = Plan::honest(ana.outside(), &context());
    plan.extensions = list;
    welcome::found(ana.outside(), plan, &[package], |builder| builder)
}

/// Whoever founds as somebody else is refused, whatever of the other's they borrow.
#[test]
fn c017_a_borrowed_founder_is_refused() {
    let (ana, mut ben) = strangers();
    let eve = Side::new(3, &[&ana.person, &ben.person]);
    ben.book.accept(eve.person.known());
    let borrowed = |identity: Vec<u8>| CredentialWithKey {
        credential: openmls::credentials::BasicCredential::new(identity).into(),
        signature_key: eve.person.own.secret.leaf_key().to_vec().into(),
    };
    let honest = ana.person.own.credential();
    let other_device = conclave_core::credential::Credential {
        device_id: eve.person.own.device_id,
        ..honest
    };
    let newer = conclave_core::credential::Credential {
        account_seq: 2,
        ..eve.person.own.credential()
    };
    let cases = [
        (honest.to_bytes(), LeafError::OtherKey),
        (other_device.to_bytes(), LeafError::NotListed),
        (
            newer.to_bytes(),
            LeafError::NewerState {
                claimed: 2,
                accepted: 1,
            },
        ),
        (vec![1, 2, 3], LeafError::Malformed),
        (vec![], LeafError::Malformed),
    ];
    for (identity, expected) in cases {
        let founded = invite(&eve, &ben, |plan| plan.credential = borrowed(identity));
        let refused = answer(&ben, &founded).0;
        let Err(JoinError::Leaf {
            error: LeafNodeError::Leaf(error),
            ..
        }) = refused
        else {
            panic!("{expected:?}: {refused:?}");
        };
        assert_eq!(error, expected);
    }
    // the creating commit may not turn the founder into somebody else either
    let package = ben.key_package(false);
    let plan = Plan::honest(eve.outside(), &context());
    let key = eve.person.own.secret.leaf_key();
    let founded = welcome::found(eve.outside(), plan, &[package], |builder| {
        builder.leaf_node_parameters(leaf_with(honest.to_bytes(), key))
    });
    let refused = answer(&ben, &founded).0;
    assert!(matches!(
        refused,
        Err(JoinError::Leaf {
            error: LeafNodeError::Leaf(LeafError::OtherKey),
            ..
        })
    ));
}

/// A conversation that says it continues another, bound by a secret that is not of the old one, is refused.
#[test]
fn c035_a_foreign_shared_key_is_not_joined() {
    let (ana, ben) = strangers();
    for predecessor in [None, Some(LogId::new([8; 32]))] {
        let context = ConversationContext::new(ConversationKind::Direct, SERVER, LOG, predecessor);
        let plan = Plan::honest(ana.outside(), &context);
        let lend = |side: &Side| welcome::lend_psk(side.outside(), b"any", &[5; 32]);
        let id = lend(&ana);
        lend(&ben);
        let package = ben.key_package(false);
        let founded = welcome::found(ana.outside(), plan, &[package], |builder| {
            let proposal = PreSharedKeyProposal::new(id);
            builder.add_proposal(Proposal::PreSharedKey(Box::new(proposal)))
        });
        let refused = answer(&ben, &founded).0;
        assert!(
            matches!(refused, Err(JoinError::Malformed(_))),
            "{refused:?}"
        );
    }
}

/// Lifetimes in leaves decide nothing, and a package past its date still joins: only the adder looks at a clock,
/// so nobody is shut out by a wrong one. The date binds honest adders.
#[test]
fn c031_receivers_look_at_no_clock() {
    let (ana, ben) = strangers();
    let package = ben.key_package(false);
    let late = NOW_MS + KEY_PACKAGE_VALID_MS + 1;
    assert!(key_package::check(&package, &ana.book, late).is_err());
    let ended = |plan: &mut Plan| plan.lifetime = Lifetime::init(0, 1);
    let founded = invite(&ana, &ben, ended);
    answer(&ben, &founded).0.unwrap();
}

/// A welcome or tree with any bit flipped is refused and leaves no trace; the whole one is joined after all of them.
#[test]
fn flipped_welcomes_are_refused() {
    let (ana, ben) = strangers();
    let created = create_with(&ana, &ben);
    let whole = Founded {
        log_id: created.log_id,
        welcome: open_blob(&created.welcomes[0].blob),
        tree: open_tree(&created),
    };
    for (place, welcome) in bytes::flipped(&whole.welcome, 7) {
        let changed = Founded {
            welcome,
            ..whole.clone()
        };
        assert!(answer(&ben, &changed).0.is_err(), "welcome {place}");
    }
    for (place, tree) in bytes::flipped(&whole.tree, 7) {
        let changed = Founded {
            tree,
            ..whole.clone()
        };
        assert!(answer(&ben, &changed).0.is_err(), "tree {place}");
    }
    join_created(&ben, &created).unwrap();
}
