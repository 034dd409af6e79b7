//! When all is quiet: do the devices of each group agree, and is everything where it must be?

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::ensure;
use serde_json::Value;

use super::World;
use super::people::{Device, GROUPS, Human, Sent, in_group};
use crate::campaign::text;

/// Rounds in which what is under way arrives.
const ROUNDS: usize = 6;
/// Findings that are printed.
const SHOWN: usize = 20;

/// Lets everybody catch up, says a closing word in each group, and compares.
pub(super) fn reach(world: &World, humans: &[Human], sent: &[Vec<Sent>]) -> anyhow::Result<()> {
    catch_up(humans)?;
    let closing = close(humans)?;
    catch_up(humans)?;
    let mut findings = Vec::new();
    for group in GROUPS {
        findings.extend(agree(humans, group)?);
        findings.extend(order(humans, group)?);
        findings.extend(complete(world, humans, sent, group)?);
        findings.extend(gone(humans, &closing, group)?);
    }
    for finding in findings.iter().take(SHOWN) {
        println!("    {finding}");
    }
    ensure!(findings.is_empty(), "{} things differ", findings.len());
    Ok(())
}

fn catch_up(humans: &[Human]) -> anyhow::Result<()> {
    for _ in 0..ROUNDS {
        for device in humans.iter().flat_map(Human::devices) {
            device.cli.ok(&["listen", "--once", "--timeout", "5m"])?;
        }
    }
    Ok(())
}

/// Everybody says a last word in each group they are in; what was said.
fn close(humans: &[Human]) -> anyhow::Result<BTreeSet<String>> {
    let mut closing = BTreeSet::new();
    for human in humans {
        let rows = human.first().ok(&["group", "list"])?;
        for group in GROUPS.iter().filter(|group| in_group(&rows, group)) {
            let word = format!("{} closes {group}", human.name);
            human
                .first()
                .ok(&["send", group, &word, "--timeout", "5m"])?;
            closing.insert(word);
        }
    }
    Ok(closing)
}

/// Devices whose group can be written to.
fn members<'a>(humans: &'a [Human], group: &str) -> anyhow::Result<Vec<&'a Device>> {
    let mut members = Vec::new();
    for device in humans.iter().flat_map(Human::devices) {
        if in_group(&device.cli.ok(&["group", "list"])?, group) {
            members.push(device);
        }
    }
    Ok(members)
}

/// Members, epoch and authenticator are the same wherever the group is open.
fn agree(humans: &[Human], group: &str) -> anyhow::Result<Vec<String>> {
    let mut shown: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for device in members(humans, group)? {
        let rows = device.cli.ok(&["group", "show", group])?;
        let view = rows.first().map(view).unwrap_or_default();
        shown.entry(view).or_default().push(&device.name);
    }
    if shown.len() <= 1 {
        return Ok(vec![]);
    }
    let views = shown.iter();
    Ok(views
        .map(|(view, who)| format!("{group}: {who:?} see {view}"))
        .collect())
}

fn view(row: &Value) -> String {
    let part = |name| row.get(name).map(Value::to_string).unwrap_or_default();
    format!(
        "epoch {} authenticator {} devices {}",
        part("epoch"),
        part("authenticator"),
        part("devices")
    )
}

fn history(device: &Device, group: &str) -> anyhow::Result<Vec<Value>> {
    let words = ["history", group, "--limit", "1000000"];
    let (code, mut rows) = device.cli.run_any(&words)?;
    rows.retain(|row| text(row, "type") == "message");
    Ok(if code == Some(0) { rows } else { vec![] })
}

/// No message twice, and any two devices show what both have in one order.
fn order(humans: &[Human], group: &str) -> anyhow::Result<Vec<String>> {
    let mut findings = Vec::new();
    let mut histories = Vec::new();
    for human in humans {
        for device in human.devices().chain(&human.removed) {
            let rows = history(device, group)?;
            let ids: Vec<String> = rows.iter().map(|row| text(row, "id").to_owned()).collect();
            let unique: BTreeSet<&String> = ids.iter().collect();
            if unique.len() != ids.len() {
                findings.push(format!("{group}: {} has a message twice", device.name));
            }
            histories.push((device.name.clone(), ids));
        }
    }
    for (one, ids) in &histories {
        let places: HashMap<&String, usize> = ids.iter().zip(0..).collect();
        for (other, others) in histories.iter().filter(|(other, _)| other > one) {
            let common = others.iter().filter_map(|id| places.get(id));
            if !common.is_sorted() {
                findings.push(format!("{group}: {one} and {other} differ in order"));
            }
        }
    }
    Ok(findings)
}

/// Who was in the group all the time has every accepted text, closed ones have a reason.
fn complete(
    world: &World,
    humans: &[Human],
    sent: &[Vec<Sent>],
    group: &'static str,
) -> anyhow::Result<Vec<String>> {
    let mut findings = Vec::new();
    let interrupted = world.interrupted.lock().map(|set| set.clone());
    let interrupted = interrupted.unwrap_or_default();
    for (own, human) in humans.iter().enumerate() {
        if interrupted.contains(&(own, group)) {
            continue;
        }
        let first = &human.first;
        let rows = history(first, group)?;
        let texts: BTreeSet<&str> = rows.iter().map(|row| text(row, "text")).collect();
        let accepted = sent.iter().flatten();
        let accepted = accepted.filter(|sent| sent.group == group && sent.is_accepted);
        for lost in accepted.filter(|sent| !texts.contains(sent.text.as_str())) {
            findings.push(format!("{group}: {} has no `{}`", first.name, lost.text));
        }
        for row in &rows {
            if text(row, "text").starts_with("this message cannot be shown") {
                findings.push(format!("{group}: {}: {}", first.name, text(row, "text")));
            }
        }
    }
    Ok(findings)
}

/// Removed devices know none of the closing words; members know all of their group.
fn gone(humans: &[Human], closing: &BTreeSet<String>, group: &str) -> anyhow::Result<Vec<String>> {
    let mut findings = Vec::new();
    for removed in humans.iter().flat_map(|human| &human.removed) {
        removed
            .cli
            .run_any(&["listen", "--once", "--timeout", "10s"])?;
        let rows = history(removed, group)?;
        if let Some(row) = rows.iter().find(|row| closing.contains(text(row, "text"))) {
            let (name, text) = (&removed.name, text(row, "text"));
            findings.push(format!("{group}: {name} was removed and reads `{text}`"));
        }
    }
    let words = closing
        .iter()
        .filter(|word| word.ends_with(&format!(" closes {group}")));
    let words: Vec<&String> = words.collect();
    for device in members(humans, group)? {
        let rows = history(device, group)?;
        let texts: BTreeSet<&str> = rows.iter().map(|row| text(row, "text")).collect();
        for word in words.iter().filter(|word| !texts.contains(word.as_str())) {
            findings.push(format!("{group}: {} has no `{word}`", device.name));
        }
    }
    Ok(findings)
}
