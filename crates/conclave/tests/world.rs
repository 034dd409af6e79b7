//! The world fails under the real client: killed at any step, the disk full, broken, read-only or damaged.
//!
//! `strace` makes the steps: it kills a program at its n-th call of a kind, or lets these calls fail.

#![cfg(test)]

mod support;

use std::collections::HashSet;
use std::path::Path;

use serde_json::Value;
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
    for kind in [SYNCS, WRITES, SENDS] {
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
        ("openat", 1),
        ("pwrite64", 29),
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
