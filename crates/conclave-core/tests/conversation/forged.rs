//! Private messages that MLS's own API does not make: they decrypt, their signature holds, their content does not.

use conclave_core::access::AccessKey;
use conclave_core::conversation::{ApplyError, Opened};
use conclave_core::secret::Secret;
use conclave_hostile::frame::{self, Content, by_reference, by_value};
use conclave_hostile::side::{Side, content, friends, message_by};
use conclave_proto::codec;
use tls_codec::VLBytes;

/// The forging itself is sound: an honest message through it opens, at any generation within reach.
#[test]
fn an_honest_frame_opens() {
    let (mut ana, mut ben) = friends();
    for skip in [0, 1, 10, 1900] {
        let mut said = frame::text(&content(1));
        said.skip = skip;
        let entry = ana.frame(&said);
        assert_eq!(message_by(ben.open(&entry)).1, content(1), "{skip}");
    }
}

fn text_with(change: impl FnOnce(&mut Content)) -> Content {
    let mut said = frame::text(&content(1));
    change(&mut said);
    said
}

/// Ben cannot open `entry`, has lost nothing by trying, and still reads what Ana says next.
fn stays_closed(what: &str, ana: &mut Side, ben: &mut Side, entry: &[u8]) {
    let before = ben.rows.snapshot();
    let opened = ben.open(entry);
    assert!(
        matches!(opened, Opened::Unreadable(_)),
        "{what}: {opened:?}"
    );
    assert!(ben.rows.snapshot() == before, "{what} changed the rows");
    let honest = ana.seal(&content(9));
    assert_eq!(message_by(ben.open(&honest)).1, content(9), "{what}");
}

/// Messages that decrypt and are none: of another kind, with data in clear, with something in the padding,
/// of a leaf that does not exist, at a generation out of reach. They stay closed and cost nothing.
#[test]
fn c029_frames_that_are_no_messages_stay_closed() {
    let (mut ana, mut ben) = friends();
    let tag = codec::encode(&VLBytes::from(vec![7; 48]));
    let cases = [
        ("a proposal", frame::proposal(3, &[0, 0, 0, 1])),
        ("kind 0", text_with(|said| said.kind = 0)),
        ("kind 9", text_with(|said| said.kind = 9)),
        ("data in clear", text_with(|said| said.aad = b"x".to_vec())),
        ("padding", text_with(|said| said.padding = vec![1; 9])),
        ("a tail", text_with(|said| said.tail = tag)),
        ("no body", text_with(|said| said.body.clear())),
        (
            "a lie",
            text_with(|said| said.body = vec![0xbf, 0xff, 0xff, 0xff]),
        ),
        ("no such leaf", text_with(|said| said.leaf = Some(2))),
        (
            "no leaf at all",
            text_with(|said| said.leaf = Some(u32::MAX)),
        ),
        (
            "another generation",
            text_with(|said| said.generation = Some(7)),
        ),
        (
            "the last one",
            text_with(|said| said.generation = Some(u32::MAX)),
        ),
        ("10,000 skipped", text_with(|said| said.skip = 10_000)),
    ];
    for (what, said) in cases {
        let entry = ana.frame(&said);
        stays_closed(what, &mut ana, &mut ben, &entry);
    }
}

/// A ciphertext too short for its own sender data, and fields of every wrong length.
#[test]
fn c029_stunted_frames_stay_closed() {
    let (mut ana, mut ben) = friends();
    let header = ana.frame(&frame::text(b""))[..47].to_vec();
    let field = |length: usize| codec::encode(&VLBytes::from(vec![5; length]));
    for (sender, sealed) in [
        (0, 0),
        (0, 100),
        (28, 0),
        (28, 1),
        (28, 47),
        (27, 100),
        (500, 100),
    ] {
        let entry = [header.clone(), field(sender), field(sealed)].concat();
        let what = format!("{sender} and {sealed}");
        stays_closed(&what, &mut ana, &mut ben, &entry);
    }
}

/// Somebody seals under the reader's own leaf: told apart, without a look inside.
#[test]
fn a_frame_under_the_readers_leaf_is_told_apart() {
    let (mut ana, mut ben) = friends();
    let entry = ana.frame(&Content {
        leaf: Some(ben.chat().own_leaf()),
        ..frame::text(&content(1))
    });
    let before = ben.rows.snapshot();
    assert_eq!(ben.open(&entry), Opened::Own);
    assert!(ben.rows.snapshot() == before);
}

/// A message with any bit flipped, at every byte, stays closed; the whole one opens after all of them.
#[test]
fn flipped_messages_stay_closed() {
    let (mut ana, mut ben) = friends();
    let honest = ana.seal(&content(1));
    let before = ben.rows.snapshot();
    for (place, changed) in conclave_hostile::bytes::flipped(&honest, 1) {
        let opened = ben.open(&changed);
        assert!(
            matches!(opened, Opened::Unreadable(_)),
            "{place}: {opened:?}"
        );
    }
    for cut in conclave_hostile::bytes::truncated(&honest) {
        assert!(matches!(ben.open(cut), Opened::Unreadable(_)));
    }
    assert!(ben.rows.snapshot() == before);
    assert_eq!(message_by(ben.open(&honest)).1, content(1));
}

/// The bundle around a forged commit: everything but the commit is as it must be.
fn entry(ana: &mut Side, said: &Content) -> Vec<u8> {
    let commit = ana.frame(said);
    let next = AccessKey::from_seed(Secret::take(&mut [8; 32]));
    ana.forge(|member| member.bundle(&commit, &next))
}

/// Ben names Ana for `said`, and after the rollback everything is as before.
fn is_garbage(what: &str, ana: &mut Side, ben: &mut Side, said: &Content) {
    let entry = entry(ana, said);
    match ben.try_apply(&entry) {
        Err(ApplyError::Garbage { committer, .. }) => {
            let named = committer.map(|member| member.account_id);
            assert_eq!(named, Some(ana.person.own.account_id), "{what}");
        }
        other => panic!("{what}: {other:?}"),
    }
    let honest = ana.seal(&content(9));
    assert_eq!(message_by(ben.open(&honest)).1, content(9), "{what}");
}

/// Commits with every proposal that nobody may make and with paths that are none: garbage by a named member.
#[test]
fn c035_forged_commits_are_garbage_by_a_named_member() {
    let (mut ana, mut ben) = friends();
    let vector = |bytes: &[u8]| codec::encode(&VLBytes::from(bytes.to_vec()));
    let (remove_ana, remove_ben) = (by_value(3, &[0; 4]), by_value(3, &[0, 0, 0, 1]));
    let reinit = [vector(b"group"), vec![0, 1, 0, 0x4e], vector(b"")].concat();
    let psk = [vec![1], vector(b"unknown"), vector(&[1; 48])].concat();
    let package = ben.key_package(false);
    let proposals = [
        ("nothing", vec![]),
        ("remove the committer", vec![remove_ana]),
        ("remove twice", vec![remove_ben.clone(), remove_ben.clone()]),
        ("remove nobody", vec![by_value(3, &[0, 0, 9, 9])]),
        ("remove without a path", vec![remove_ben.clone()]),
        ("an update", vec![by_value(2, &package)]),
        ("an add of junk", vec![by_value(1, &[7; 300])]),
        ("an add of a member", vec![by_value(1, &package)]),
        ("a shared key", vec![by_value(4, &psk)]),
        ("a reinit", vec![by_value(5, &reinit)]),
        ("an external init", vec![by_value(6, &vector(&[1; 1120]))]),
        ("no context", vec![by_value(7, &vector(b""))]),
        ("a custom proposal", vec![by_value(0xf123, &vector(b"x"))]),
        ("a proposal of no kind", vec![by_value(0, &[])]),
        ("a reference", vec![by_reference([7; 48])]),
        ("half a proposal", vec![remove_ben[..5].to_vec()]),
    ];
    for (what, proposals) in proposals {
        for path in [&[0][..], &[1], &[1, 0], &[2], &[]] {
            let said = frame::commit(&proposals, path);
            is_garbage(what, &mut ana, &mut ben, &said);
        }
    }
    let no_tag = Content {
        tail: vec![],
        ..frame::commit(&[], &[0])
    };
    is_garbage("no confirmation tag", &mut ana, &mut ben, &no_tag);
    let by_ben = Content {
        leaf: Some(7),
        ..frame::commit(&[], &[0])
    };
    is_garbage("no such leaf", &mut ana, &mut ben, &by_ben);
    let proposal = frame::proposal(3, &[0, 0, 0, 1]);
    is_garbage("a proposal as commit", &mut ana, &mut ben, &proposal);
    is_garbage(
        "a message as commit",
        &mut ana,
        &mut ben,
        &frame::text(&content(1)),
    );
}

/// As many proposals as a commit entry holds are refused like one.
#[test]
fn c035_a_commit_full_of_proposals_is_garbage() {
    let (mut ana, mut ben) = friends();
    let many = |proposal: &[u8]| vec![proposal.to_vec(); 1_900_000 / proposal.len()];
    let vector = |bytes: &[u8]| codec::encode(&VLBytes::from(bytes.to_vec()));
    for (what, proposal) in [
        ("removals", by_value(3, &[0, 0, 0, 1])),
        ("references", by_reference([7; 48])),
        ("custom proposals", by_value(0xf123, &vector(b""))),
    ] {
        let said = frame::commit(&many(&proposal), &[0]);
        is_garbage(what, &mut ana, &mut ben, &said);
    }
}
