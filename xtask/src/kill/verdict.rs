//! When all is quiet: is every queued text in both histories once, in one order, and read?

use std::collections::{HashMap, HashSet};
use std::thread;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::talk::Sent;
use crate::campaign::{Person, text};

/// Rounds in which receipts go there and back: one is enough when nothing is wrong.
const ROUNDS: usize = 4;
/// Findings that are printed.
const SHOWN: usize = 20;

/// Lets everybody receive and read everything, then compares; what differs is an error.
pub(super) fn reach(people: &[Person], sent: &[Vec<Sent>]) -> anyhow::Result<()> {
    let mut findings = Vec::new();
    for _ in 0..ROUNDS {
        all(people, |_, person| catch_up(person, &["listen", "--once"]))?;
        all(people, |own, person| {
            let others = people.iter().enumerate().filter(|(other, _)| *other != own);
            for (_, other) in others {
                catch_up(person, &["read", &other.identifier])?;
            }
            Ok(())
        })?;
        all(people, |_, person| catch_up(person, &["listen", "--once"]))?;
        findings = compare(people, sent)?;
        if findings.is_empty() {
            return Ok(());
        }
    }
    for finding in findings.iter().take(SHOWN) {
        println!("    {finding}");
    }
    ensure!(findings.is_empty(), "{} things differ", findings.len());
    Ok(())
}

/// A command that has time to send and receive everything there is.
fn catch_up(person: &Person, words: &[&str]) -> anyhow::Result<()> {
    person.ok(&[words, &["--timeout", "10m"]].concat())?;
    Ok(())
}

/// Does `work` for everybody at the same time.
fn all(
    people: &[Person],
    work: impl Fn(usize, &Person) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<()> {
    let work = &work;
    thread::scope(|scope| {
        let works: Vec<_> = people
            .iter()
            .enumerate()
            .map(|(own, person)| scope.spawn(move || work(own, person)))
            .collect();
        works.into_iter().try_for_each(super::join)
    })
}

fn compare(people: &[Person], sent: &[Vec<Sent>]) -> anyhow::Result<Vec<String>> {
    let mut findings = Vec::new();
    for (own, person) in people.iter().enumerate() {
        findings.extend(state_of(person, people.len() - 1)?);
        for (other, with) in people.iter().enumerate().filter(|(other, _)| *other != own) {
            let rows = history(person, with)?;
            let pair = format!("{} with {}", person.identifier, with.identifier);
            let texts = sent.get(own).context("nobody sent")?;
            let texts: Vec<&Sent> = texts.iter().filter(|sent| sent.to == other).collect();
            findings.extend(own_part(&pair, &rows, &texts));
            findings.extend(whole(&pair, &rows));
            if own < other {
                findings.extend(both(&pair, &rows, &history(with, person)?));
            }
        }
    }
    Ok(findings)
}

fn history(person: &Person, with: &Person) -> anyhow::Result<Vec<Value>> {
    person.ok(&["history", &with.identifier, "--limit", "1000000"])
}

/// Nothing waits, nothing is unread, nobody is warned, no chat is paused.
fn state_of(person: &Person, chats_wanted: usize) -> anyhow::Result<Vec<String>> {
    let who = &person.identifier;
    let mut findings = Vec::new();
    for status in person.ok(&["status"])? {
        for (field, wanted) in [
            ("queued", "0"),
            ("unread", "0"),
            ("requests", "0"),
            ("warnings", "[]"),
        ] {
            let value = status.get(field).map(Value::to_string).unwrap_or_default();
            if value != wanted {
                findings.push(format!("{who}: {field} is {value}"));
            }
        }
    }
    let chats = person.ok(&["chats"])?;
    if chats.len() != chats_wanted {
        findings.push(format!("{who}: {} chats", chats.len()));
    }
    for chat in &chats {
        if text(chat, "state") != "open" {
            findings.push(format!("{who}: a chat is {}", text(chat, "state")));
        }
    }
    Ok(findings)
}

/// Each text that was queued is there once under its id, in the order it was written.
fn own_part(pair: &str, rows: &[Value], sent: &[&Sent]) -> Vec<String> {
    let mut findings = Vec::new();
    let own: Vec<&Value> = rows.iter().filter(|row| is_own(row)).collect();
    let places: HashMap<&str, usize> = sent
        .iter()
        .enumerate()
        .map(|(place, sent)| (sent.text.as_str(), place))
        .collect();
    let seen: Vec<Option<&usize>> = own
        .iter()
        .map(|row| places.get(text(row, "text")))
        .collect();
    for (row, place) in own.iter().zip(&seen) {
        if place.is_none() {
            findings.push(format!("{pair}: nobody wrote `{}`", text(row, "text")));
        }
    }
    if !seen.is_sorted_by(|a, b| a < b) {
        findings.push(format!(
            "{pair}: not in the order they were written, or twice"
        ));
    }
    let ids: HashMap<&str, &str> = own
        .iter()
        .map(|row| (text(row, "text"), text(row, "id")))
        .collect();
    for sent in sent {
        let Some(id) = &sent.id else { continue };
        match ids.get(sent.text.as_str()) {
            None => findings.push(format!("{pair}: `{}` is lost", sent.text)),
            Some(seen) if seen != id => {
                findings.push(format!(
                    "{pair}: `{}` has the id {seen}, not {id}",
                    sent.text
                ));
            }
            Some(_) => {}
        }
    }
    findings
}

/// Every row is as far as it can be, has its place, and is there once.
fn whole(pair: &str, rows: &[Value]) -> Vec<String> {
    let mut findings = Vec::new();
    let mut last = 0;
    let mut ids = HashSet::new();
    for row in rows {
        let wanted = if is_own(row) { "read" } else { "received" };
        let (state, reason) = (text(row, "state"), text(row, "reason"));
        if state != wanted || !reason.is_empty() {
            findings.push(format!(
                "{pair}: `{}` is {state} {reason}",
                text(row, "text")
            ));
        }
        let seq = row.get("seq").and_then(Value::as_u64).unwrap_or(0);
        if seq <= last {
            findings.push(format!("{pair}: seq {seq} stands after {last}"));
        }
        last = seq;
        if !ids.insert(text(row, "id")) {
            findings.push(format!("{pair}: `{}` is there twice", text(row, "text")));
        }
    }
    findings
}

/// Both see the same messages in the same order.
fn both(pair: &str, here: &[Value], there: &[Value]) -> Vec<String> {
    let what = |row: &Value| [text(row, "id").to_owned(), text(row, "text").to_owned()];
    let differs = here.iter().map(what).ne(there.iter().map(what));
    differs
        .then(|| {
            format!(
                "{pair}: the two histories differ ({} and {} rows)",
                here.len(),
                there.len()
            )
        })
        .into_iter()
        .collect()
}

fn is_own(row: &Value) -> bool {
    row.get("own") == Some(&Value::Bool(true))
}

#[cfg(test)]
#[path = "verdict/tests.rs"]
mod tests;
