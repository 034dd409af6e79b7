//! What has to hold when all is quiet: pure questions about what each device shows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::ledger::Stage;

/// What one device shows.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    /// Its name; no two are alike.
    pub(super) device: String,
    /// Whose it is.
    pub(super) person: &'static str,
    /// The account of that person: the address of somebody who is no contact is not known everywhere.
    pub(super) account: String,
    /// Whether it was taken out of its account.
    pub(super) is_removed: bool,
    /// What it shows of each group that it knows, by name.
    pub(super) rooms: BTreeMap<String, Room>,
}

/// One group as one device shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Room {
    /// Whether it can write there.
    pub(super) is_open: bool,
    /// `open`, `paused`, `left`, and why.
    pub(super) state: String,
    /// Epoch and authenticator.
    pub(super) place: String,
    /// Devices of each person, by account.
    pub(super) members: BTreeMap<String, u64>,
    /// What was wanted and is not there yet.
    pub(super) waits: Vec<String>,
    /// Its messages, oldest first.
    pub(super) lines: Vec<Line>,
}

/// One message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// Its id.
    pub(super) id: String,
    /// Its place in the log; none while it has none.
    pub(super) seq: Option<u64>,
    /// What it says.
    pub(super) text: String,
}

/// What differs in `group`, after the stages that were (the first is the meeting).
pub(super) fn findings(shown: &[Shown], stages: &[Stage], group: &str) -> Vec<String> {
    let mut findings = agree(shown, group);
    findings.extend(order(shown, group));
    findings.extend(complete(shown, stages, group));
    findings.extend(closing(shown, stages, group));
    for finding in &mut findings {
        finding.insert_str(0, &format!("{group}: "));
    }
    findings
}

/// Members, epoch and authenticator are the same wherever the group is open; it is open on exactly the devices
/// that are members, on all of a person's or on none; nothing is still wanted.
pub(super) fn agree(shown: &[Shown], group: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let mut views: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut open: BTreeMap<String, u64> = BTreeMap::new();
    let in_use = || shown.iter().filter(|shown| !shown.is_removed);
    let rooms = || in_use().filter_map(|shown| Some((shown, shown.rooms.get(group)?)));
    for (shown, room) in rooms().filter(|(_, room)| room.is_open) {
        let view = format!("{} {:?}", room.place, room.members);
        views.entry(view).or_default().push(&shown.device);
        *open.entry(shown.account.clone()).or_default() += 1;
        for wish in &room.waits {
            findings.push(format!("{} still waits: {wish}", shown.device));
        }
    }
    if views.len() > 1 {
        let views = views.iter();
        findings.extend(views.map(|(view, who)| format!("{who:?} see {view}")));
    }
    let Some((_, room)) = rooms().find(|(_, room)| room.is_open) else {
        return findings;
    };
    if room.members != open {
        findings.push(format!(
            "members are {:?}, but it is open on {open:?}",
            room.members
        ));
    }
    for shown in in_use().filter(|shown| room.members.contains_key(&shown.account)) {
        let state = shown
            .rooms
            .get(group)
            .map(|room| (room.is_open, &room.state));
        if state.is_none_or(|(is_open, _)| !is_open) {
            findings.push(format!(
                "{} is a member's, and shows it {state:?}",
                shown.device
            ));
        }
    }
    findings
}

/// No message twice; any two devices show what both have in one order and at one place; nothing stays closed.
fn order(shown: &[Shown], group: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let rooms: Vec<(&str, &Room)> = shown
        .iter()
        .filter_map(|shown| Some((shown.device.as_str(), shown.rooms.get(group)?)))
        .collect();
    let mut seqs: HashMap<&str, (u64, &str)> = HashMap::new();
    for (device, room) in &rooms {
        let unique: BTreeSet<&str> = room.lines.iter().map(|line| line.id.as_str()).collect();
        if unique.len() != room.lines.len() {
            findings.push(format!("{device} has a message twice"));
        }
        for line in &room.lines {
            if line.text.starts_with("this message cannot be shown") {
                findings.push(format!("{device}: {}", line.text));
            }
            let Some(seq) = line.seq else { continue };
            let (first, other) = *seqs.entry(&line.id).or_insert((seq, device));
            if first != seq {
                findings.push(format!(
                    "`{}` is entry {seq} on {device}, {first} on {other}",
                    line.text
                ));
            }
        }
    }
    for (own, (one, room)) in rooms.iter().enumerate() {
        let places: HashMap<&str, usize> = room
            .lines
            .iter()
            .map(|line| line.id.as_str())
            .zip(0..)
            .collect();
        for (other, others) in rooms.iter().skip(own + 1) {
            let ids = others.lines.iter().map(|line| line.id.as_str());
            if !ids.filter_map(|id| places.get(id)).is_sorted() {
                findings.push(format!("{one} and {other} differ in order"));
            }
        }
    }
    findings
}

/// A device that stood in the group at the beginning and at the end of a stage, and whose person nobody took
/// out in between, has every text of the stage that the server took or that stands in the log by any device.
fn complete(shown: &[Shown], stages: &[Stage], group: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let texts = texts(shown, group);
    let rooms = shown.iter().filter_map(|shown| shown.rooms.get(group));
    let in_log = rooms
        .flat_map(|room| &room.lines)
        .filter(|line| line.seq.is_some());
    let in_log: BTreeSet<&str> = in_log.map(|line| line.text.as_str()).collect();
    for (number, (before, stage)) in stages.iter().zip(stages.iter().skip(1)).enumerate() {
        let needed = stage.texts.get(group).into_iter().flatten();
        let needed =
            needed.filter(|(text, is_accepted)| *is_accepted || in_log.contains(text.as_str()));
        let needed: Vec<&str> = needed.map(|(text, _)| text.as_str()).collect();
        for (shown, has) in &texts {
            let is_in = |stage: &Stage| {
                let mut devices = stage.devices.iter();
                devices.any(|(device, of)| *device == shown.device && *of == group)
            };
            let mut interrupted = stage.interrupted.iter();
            let is_interrupted = interrupted.any(|(who, of)| *who == shown.person && *of == group);
            if is_interrupted || !is_in(before) || !is_in(stage) {
                continue;
            }
            let missing = needed.iter().filter(|text| !has.contains(*text));
            let device = &shown.device;
            findings.extend(
                missing.map(|text| format!("{device}: no `{text}` (stage {})", number + 1)),
            );
        }
    }
    findings
}

/// The last words of each stage are on every device that was in, and on none of a person who was out or that
/// its account had lost.
fn closing(shown: &[Shown], stages: &[Stage], group: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let texts = texts(shown, group);
    for (number, stage) in stages.iter().enumerate() {
        let words = stage.closing.iter().filter(|(_, of)| **of == group);
        for (word, _) in words {
            for (shown, has) in &texts {
                let mut devices = stage.devices.iter();
                let is_in = devices.any(|(device, of)| *device == shown.device && *of == group);
                let mut people = stage.people.iter();
                let is_person_in = people.any(|(who, of)| *who == shown.person && *of == group);
                let may = is_person_in && !stage.removed.contains(&shown.device);
                let device = &shown.device;
                match has.contains(word.as_str()) {
                    true if !may => findings.push(format!(
                        "{device} was out after stage {number} and reads `{word}`"
                    )),
                    false if is_in => {
                        findings.push(format!(
                            "{device} has no `{word}`, the end of stage {number}"
                        ));
                    }
                    _ => {}
                }
            }
        }
    }
    findings
}

/// What each device shows of the group; nothing when it does not know it.
fn texts<'a>(shown: &'a [Shown], group: &str) -> Vec<(&'a Shown, BTreeSet<&'a str>)> {
    let with = |shown: &'a Shown| {
        let lines = shown.rooms.get(group).into_iter();
        let lines = lines.flat_map(|room| &room.lines);
        (shown, lines.map(|line| line.text.as_str()).collect())
    };
    shown.iter().map(with).collect()
}

#[cfg(test)]
mod tests;
