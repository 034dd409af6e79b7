//! The world fails under the real client: killed at any step, the disk full, broken, read-only or damaged.
//!
//! `strace` makes the steps: it kills a program at its n-th call of a kind, or lets these calls fail.

#![cfg(test)]

mod support;

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use support::program::finish;
use support::{Outcome, Person, Server};

/// How many calls lie between two steps that are tried: every sync, some writes, some sends.
const SYNCS: (&str, usize) = ("fdatasync", 1);
const WRITES: (&str, usize) = ("pwrite64", 13);
const SENDS: (&str, usize) = ("writev", 3);
/// No command makes so many calls of one kind.
const CALLS_MAX: usize = 1000;

/// Runs a command with something injected at calls of one kind, as strace writes it.
fn injected(person: &Person, call: &str, what: &str, args: &[&str]) -> Outcome {
    let trace = format!("trace={call}");
    let inject = format!("inject={call}:{what}");
    let wrapper = [
        "strace",
        "-f",
        "-qqq",
        "-o",
        "/dev/null",
        "-e",
        &trace,
        "-e",
        &inject,
    ];
    person.run_under(&wrapper, args)
}

/// Kills the command that `args` gives at each step of a kind, one run each, until a run ends by itself.
/// `check` looks after each run; it is told whether that one was killed.
fn killed_at_each(
    person: &Person,
    (call, stride): (&str, usize),
    mut args: impl FnMut(usize) -> Vec<String>,
    mut check: impl FnMut(usize, bool),
) {
    for step in (1..CALLS_MAX).step_by(stride) {
        let args = args(step);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let outcome = injected(person, call, &format!("signal=KILL:when={step}"), &args);
        assert!(matches!(outcome.code, -1 | 0), "{call} {step}: {outcome}");
        check(step, outcome.code == -1);
        if outcome.code == 0 {
            assert!(step > 1, "{call} was not met once");
            return;
        }
    }
    panic!("`{call}` never ends");
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn texts(rows: &[Value]) -> Vec<String> {
    rows.iter()
        .map(|row| row["text"].as_str().unwrap().to_owned())
        .collect()
}

/// Two people who talk; the first has sent `hello`.
fn talking(folder: &Path, server: &Server) -> (Person, Person) {
    let anna = Person::registered(folder, server, "anna@example.org");
    let ben = Person::registered(folder, server, "ben@example.org");
    anna.ok(&["send", &ben.identifier, "hello"]);
    ben.ok(&["request", "list"]);
    ben.ok(&["request", "accept", &anna.identifier]);
    (anna, ben)
}

/// Both have the same messages in the same order, none twice, none undecryptable; their texts.
fn same_on_both_sides(one: &Person, other: &Person) -> Vec<String> {
    for person in [one, other, one] {
        person.ok(&["listen", "--once"]);
    }
    let (here, there) = (one.history(other), other.history(one));
    let ids = |rows: &[Value]| {
        rows.iter()
            .map(|row| row["id"].to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&here), ids(&there), "one order");
    assert_eq!(texts(&here), texts(&there));
    assert!(
        here.iter().chain(&there).all(|row| row["reason"] == ""),
        "{here:?}"
    );
    let texts = texts(&here);
    let distinct: HashSet<&String> = texts.iter().collect();
    assert_eq!(distinct.len(), texts.len(), "none twice: {texts:?}");
    assert_eq!(one.ok(&["status"])[0]["queued"], 0);
    texts
}

/// `kill -9` at every sync of `send` and between its writes: the next command works, what was queued goes
/// out with it, once, in order.
#[test]
fn killed_at_every_step_of_send() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (anna, ben) = talking(folder.path(), &server);
    let mut queued = vec!["hello".to_owned()];
    // every send: a busy machine makes fewer of them, and fewer writes
    let every_send = (SENDS.0, 1);
    for kind in [SYNCS, WRITES, every_send] {
        let name = |step: usize| format!("{} {step}", kind.0);
        let args = |step| words(&["send", &ben.identifier, &name(step)]);
        killed_at_each(&anna, kind, args, |step, was_killed| {
            let seen = texts(&anna.history(&ben));
            assert!(
                seen.starts_with(&queued),
                "nothing queued before is lost: {seen:?}"
            );
            let is_queued = seen.len() > queued.len();
            assert!(is_queued || was_killed, "what ended well is there");
            queued.extend(is_queued.then(|| name(step)));
            assert_eq!(seen, queued);
        });
    }
    assert!(
        queued.len() > 20,
        "most steps come after the message is queued: {queued:?}"
    );
    assert_eq!(same_on_both_sides(&anna, &ben), queued);
}

/// `kill -9` at every sync of `listen` and `read`, and between their writes: everything arrives once.
#[test]
fn killed_at_every_step_of_receiving() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (anna, ben) = talking(folder.path(), &server);
    let mut sent = vec!["hello".to_owned()];
    for kind in [SYNCS, WRITES, SENDS] {
        let more: Vec<String> = (0..40)
            .map(|number| format!("{} {number}", kind.0))
            .collect();
        anna.ok_with(&["send", &ben.identifier, "--lines"], &more.join("\n"));
        sent.extend(more);
        let args = |step: usize| match step % 2 {
            0 => words(&["read", &anna.identifier]),
            _ => words(&["listen", "--once"]),
        };
        killed_at_each(&ben, kind, args, |_, _| {
            let seen = texts(&ben.history(&anna));
            assert!(sent.starts_with(&seen), "in order, none twice: {seen:?}");
        });
    }
    assert_eq!(same_on_both_sides(&anna, &ben), sent);
    ben.ok(&["read", &anna.identifier]);
    anna.ok(&["listen", "--once"]);
    assert!(anna.history(&ben).iter().all(|row| row["state"] == "read"));
}

/// Confirms with the codes that came, `by` being how: one that a killed command asked for is no longer
/// valid.
fn confirmed(person: &Person, server: &Server, by: impl Fn(&str) -> Outcome) {
    loop {
        let code = server.code_for(&person.identifier);
        let outcome = by(&code);
        if outcome.code == 0 {
            break;
        }
        outcome.expect_error(3, "OTP_WRONG");
    }
    assert_eq!(person.ok(&["whoami"])[0]["identifier"], person.identifier);
}

/// `kill -9` at each step of `register`: the same command again works, and so does the confirmation.
#[test]
fn killed_at_every_step_of_register() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let address = server.address();
    for (call, stride) in [
        SYNCS,
        ("fsync", 1),
        ("rename", 1),
        ("openat", 3),
        ("pwrite64", 41),
        SENDS,
    ] {
        for step in (1..CALLS_MAX).step_by(stride) {
            let person = Person::new(folder.path(), &format!("{call}{step}@example.org"));
            let args = [
                "register",
                "--server",
                &address,
                "--email",
                &person.identifier,
            ];
            let args = [&args, ["--no-passphrase"].as_slice()].concat();
            let outcome = injected(&person, call, &format!("signal=KILL:when={step}"), &args);
            assert!(matches!(outcome.code, -1 | 0), "{call} {step}: {outcome}");
            if outcome.code == 0 {
                break;
            }
            let again = person.run(&args);
            assert_eq!(again.code, 0, "{call} {step}: {again}");
            confirmed(&person, &server, |code| {
                person.run(&["register", "confirm", code])
            });
        }
    }
}

/// Something goes wrong with the disk from the n-th call on, for every n: the command says so with exit 12,
/// or nothing of it was left to do. Then the disk is well again, and nothing is lost.
fn disk_fails(call: &str, error: &str, strides: usize) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (anna, ben) = talking(folder.path(), &server);
    let mut queued = vec!["hello".to_owned()];
    let mut is_well = false;
    for step in (1..CALLS_MAX).step_by(strides) {
        let text = format!("{error} {step}");
        // To a person, and from one: what came in meanwhile is not lost either.
        ben.ok(&["send", &anna.identifier, &format!("answer {step}")]);
        queued.push(format!("answer {step}"));
        let what = format!("error={error}:when={step}+");
        let outcome = injected(&anna, call, &what, &["send", &ben.identifier, &text]);
        is_well = outcome.code == 0;
        if !is_well {
            outcome.expect_error(12, "STORE");
            let row = outcome.error();
            assert_ne!(row["hint"], "", "it says what to do: {row}");
        }
        let seen = texts(&anna.history(&ben));
        let is_queued = seen.contains(&text);
        assert!(is_queued || !is_well, "what ended well is there");
        assert!(
            is_queued || outcome.rows().is_empty(),
            "what was told is there"
        );
        queued.extend(is_queued.then_some(text));
        if is_well {
            break;
        }
    }
    assert!(is_well, "`{call}` never ends");
    let mut seen = same_on_both_sides(&anna, &ben);
    seen.sort();
    queued.sort();
    assert_eq!(seen, queued, "nothing lost, nothing twice");
}

/// A full disk (ENOSPC) from any write on.
#[test]
fn a_full_disk_loses_nothing() {
    disk_fails("pwrite64", "ENOSPC", 17);
}

/// A disk whose syncs fail (EIO) from any of them on.
#[test]
fn a_disk_that_cannot_sync_loses_nothing() {
    disk_fails("fdatasync", "EIO", 2);
}

/// Few file descriptors, however few: the command ends well or says why not, and the next one goes on.
#[test]
fn few_descriptors_lose_nothing() {
    const LIMITS: std::ops::Range<u32> = 4..34;
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (anna, ben) = talking(folder.path(), &server);
    for limit in LIMITS {
        let wrapper = ["sh", "-c", &format!("ulimit -n {limit}; exec \"$@\""), "sh"];
        let outcome = anna.run_under(&wrapper, &["send", &ben.identifier, &format!("{limit}")]);
        if outcome.code == 0 {
            continue;
        }
        assert!(
            matches!(outcome.code, 1 | 6 | 10 | 12),
            "{limit}: {outcome}"
        );
        let row = outcome.error();
        let said = [&row["message"], &row["hint"]].map(|text| text.as_str().unwrap().to_owned());
        assert!(said.concat().contains("open files"), "{limit}: {row}");
    }
    let seen = same_on_both_sides(&anna, &ben);
    let wanted: Vec<String> = ["hello".to_owned()]
        .into_iter()
        .chain(LIMITS.map(|limit| limit.to_string()))
        .filter(|text| seen.contains(text))
        .collect();
    assert_eq!(seen, wanted, "in order, once");
    assert_eq!(
        seen.last().map(String::as_str),
        Some("33"),
        "so many are enough"
    );
}

/// A read-only disk (EROFS on the profile's own files): told with exit 12, and all is there afterwards.
#[test]
fn a_read_only_disk_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (anna, ben) = talking(folder.path(), &server);
    let database = anna.folder().join("store.db");
    let wrapper = [
        "strace",
        "-f",
        "-qqq",
        "-o",
        "/dev/null",
        "-P",
        database.to_str().unwrap(),
        "-e",
        "trace=openat",
        "-e",
        "inject=openat:error=EROFS",
    ];
    for args in [
        ["history", ben.identifier.as_str()].as_slice(),
        &["send", &ben.identifier, "lost?"],
    ] {
        let outcome = anna.run_under(&wrapper, args);
        outcome.expect_error(12, "STORE");
        let message = outcome.error()["message"].to_string();
        assert!(message.contains("ead-only"), "{message}");
    }
    anna.ok(&["send", &ben.identifier, "well again"]);
    assert_eq!(same_on_both_sides(&anna, &ben), ["hello", "well again"]);
}

/// The profile's folder is copied and both copies are used: people are warned, every message arrives, and
/// none is undecryptable, as it would be when two were sealed with one key.
#[test]
fn a_copied_profile_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (anna, ben) = talking(folder.path(), &server);
    ben.ok(&["send", &anna.identifier, "before"]);
    let copy = Person::new(&folder.path().join("elsewhere"), &ben.identifier);
    copy_folder(ben.folder(), copy.folder());
    // Queued in both without a server: both would seal with the next key of the same ratchet.
    let mut server = server;
    server.kill();
    for (person, text) in [(&ben, "by the profile"), (&copy, "by the copy")] {
        let queued = person.run(&["send", &anna.identifier, text, "--timeout", "2s"]);
        assert!(matches!(queued.code, 6 | 10), "{queued}");
    }
    server.restart();
    ben.ok(&["listen", "--once"]);
    copy.run(&["listen", "--once"]);
    ben.run(&["send", &anna.identifier, "by the profile again"]);
    copy.run(&["send", &anna.identifier, "by the copy again"]);
    anna.run(&["listen", "--once"]);
    let warnings: String = [&ben, &copy]
        .map(|person| person.ok(&["status"])[0]["warnings"].to_string())
        .concat();
    assert!(warnings.contains("copy of this profile"), "{warnings}");
    let rows = anna.history(&ben);
    assert!(rows.iter().all(|row| row["reason"] == ""), "{rows:?}");
    let seen = texts(&rows);
    let distinct: HashSet<&String> = seen.iter().collect();
    assert_eq!(distinct.len(), seen.len(), "none twice: {seen:?}");
    for text in [
        "before",
        "by the profile",
        "by the profile again",
        "by the copy",
        "by the copy again",
    ] {
        assert!(seen.iter().any(|seen| seen == text), "{text}: {seen:?}");
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// A damaged file of the profile, in every way a disk damages one: told with exit 12 by each command, the
/// file untouched; with the old bytes back, everything is there.
#[test]
fn damage_is_told_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (anna, ben) = talking(folder.path(), &server);
    for name in ["store.db", "store.key"] {
        let path = anna.folder().join(name);
        let whole = fs::read(&path).unwrap();
        let flipped = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            bytes
        };
        let halved = whole[..whole.len() / 2].to_vec();
        for (what, bytes) in [
            ("first byte", flipped(0)),
            (
                "a byte of the first page",
                flipped(whole.len().min(3000) / 2),
            ),
            ("cut in half", halved),
            ("empty", Vec::new()),
            ("other bytes", vec![7; whole.len()]),
        ] {
            fs::write(&path, &bytes).unwrap();
            for args in [
                ["history", ben.identifier.as_str()].as_slice(),
                &["send", &ben.identifier, "lost?"],
                &[
                    "register",
                    "--server",
                    &server.address(),
                    "--email",
                    "x@example.org",
                    "--no-passphrase",
                ],
            ] {
                let outcome = anna.run(args);
                assert_eq!(outcome.code, 12, "{name}, {what}, {args:?}: {outcome}");
                outcome.expect_error(12, "STORE");
                assert_eq!(
                    fs::read(&path).unwrap(),
                    bytes,
                    "{name}, {what}, {args:?}: untouched"
                );
            }
        }
        fs::remove_file(&path).unwrap();
        let gone = anna.run(&["history", &ben.identifier]);
        assert!(matches!(gone.code, 3 | 12), "{name} gone: {gone}");
        fs::write(&path, whole).unwrap();
    }
    assert_eq!(texts(&anna.history(&ben)), ["hello"]);
    anna.ok(&["send", &ben.identifier, "well again"]);
}

/// A byte flipped anywhere in the store's later pages: `doctor` finds it, and no command shows wrong words.
#[test]
fn doctor_finds_a_flipped_byte() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (anna, ben) = talking(folder.path(), &server);
    let path = anna.folder().join("store.db");
    let whole = fs::read(&path).unwrap();
    let pages = whole.len() / PAGE_BYTES;
    assert!(pages > 8, "{pages}");
    for page in (1..pages).step_by(pages / 8) {
        let mut bytes = whole.clone();
        bytes[page * PAGE_BYTES + 100] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let doctor = anna.run(&["doctor"]);
        let is_told = match doctor.code {
            12 => true,
            1 => doctor
                .rows()
                .iter()
                .any(|row| row["check"] == "store" && row["ok"] == false),
            _ => false,
        };
        assert!(is_told, "page {page} of {pages}: {doctor}");
        let history = anna.run(&["history", &ben.identifier]);
        match history.code {
            0 => assert_eq!(texts(&history.rows()), ["hello"], "page {page}"),
            _ => history.expect_error(12, "STORE"),
        }
        assert_eq!(fs::read(&path).unwrap(), bytes, "page {page}: untouched");
    }
    fs::write(&path, whole).unwrap();
    assert_eq!(anna.run(&["doctor"]).code, 0);
}

/// One page of the store, in bytes.
const PAGE_BYTES: usize = 4096;

/// `kill -9` at steps of `request accept`, a stranger for each: accepted again, every chat is whole.
#[test]
fn killed_at_every_step_of_accept() {
    const STEPS: [(&str, usize); 8] = [
        ("fdatasync", 1),
        ("fdatasync", 2),
        ("fdatasync", 4),
        ("fdatasync", 7),
        ("pwrite64", 60),
        ("pwrite64", 150),
        ("writev", 8),
        ("writev", 18),
    ];
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let ben = Person::registered(folder.path(), &server, "ben@example.org");
    let strangers = STEPS.map(|(call, step)| {
        let name = format!("{call}{step}@example.org");
        Person::registered(folder.path(), &server, &name)
    });
    // An invitation waits up to 5 s before it is posted: all at once.
    let sending = strangers
        .each_ref()
        .map(|one| one.spawn(&["send", &ben.identifier, "hello"]));
    for child in sending {
        assert_eq!(finish(child, "send").code, 0);
    }
    ben.ok(&["listen", "--once"]);
    for (stranger, (call, step)) in strangers.iter().zip(STEPS) {
        let accept = ["request", "accept", stranger.identifier.as_str()];
        let outcome = injected(&ben, call, &format!("signal=KILL:when={step}"), &accept);
        assert!(matches!(outcome.code, -1 | 0), "{call} {step}: {outcome}");
        let again = ben.run(&accept);
        assert!(matches!(again.code, 0 | 8), "{call} {step}: {again}");
    }
    for stranger in &strangers {
        ben.ok(&["send", &stranger.identifier, "welcome"]);
        stranger.ok(&["listen", "--once"]);
        for rows in [ben.history(stranger), stranger.history(&ben)] {
            assert_eq!(texts(&rows), ["hello", "welcome"], "{rows:?}");
        }
    }
    assert_eq!(ben.ok(&["chats"]).len(), STEPS.len());
}
