//! Brings everybody to rest, has everybody say a last word, and reads what each device shows.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::Value;

use super::World;
use super::check::{self, Line, Room, Shown};
use super::ledger::Stage;
use super::people::{Device, GROUPS, Human};
use crate::campaign::{account, each, text};

/// Rounds after which everything that is under way must have arrived.
const ROUNDS: usize = 12;
/// The same in time: a device stands in for one that was away after a minute or two (C-128), and somebody may have
/// to be asked in between.
const STAND_IN: Duration = Duration::from_mins(4);
/// Findings that are printed.
const SHOWN: usize = 20;
/// How long a command may take when nothing is killed.
const PATIENT: [&str; 2] = ["--timeout", "5m"];

/// One device to ask, and whose it is.
struct Asked<'a> {
    human: &'a Human,
    device: &'a Device,
    is_removed: bool,
}

/// Lets everybody catch up, says closing words, and compares; `stage` is what was done since the last time.
/// `is_last`: also the devices that were removed long ago are looked at.
pub(super) fn reach(
    world: &World,
    humans: &[Human],
    stages: &mut Vec<Stage>,
    mut stage: Stage,
    is_last: bool,
) -> anyhow::Result<()> {
    rest(humans)?;
    stage.closing = close(humans, stages.len())?;
    rest(humans)?;
    let known = stages.last().map(|stage| stage.removed.clone());
    let known = known.unwrap_or_default();
    let mut asked = in_use(humans);
    for human in humans {
        let removed = human.removed.iter();
        let removed = removed.filter(|device| is_last || !known.contains(&device.name));
        asked.extend(removed.map(|device| Asked {
            human,
            device,
            is_removed: true,
        }));
    }
    let shown = each(&asked, read)?;
    stage.end(&shown);
    stage.removed.extend(known);
    stages.push(stage);
    let groups = GROUPS.iter();
    let differs = groups.flat_map(|group| check::findings(&shown, stages, group));
    let mut findings: Vec<String> = differs.collect();
    for asked in &asked {
        findings.extend(asked.device.cli.bugs()?);
    }
    for finding in findings.iter().take(SHOWN) {
        println!("    {finding}");
    }
    ensure!(findings.is_empty(), "{} things differ", findings.len());
    for group in GROUPS {
        let rooms = shown.iter().filter_map(|shown| shown.rooms.get(group));
        let open: Vec<&Room> = rooms.filter(|room| room.is_open).collect();
        if let Some(room) = open.first() {
            let epoch = room.place.split(' ').nth(1).unwrap_or_default();
            world.say(&format!(
                "{group}: {} people, {} devices, {} messages, epoch {epoch}",
                room.members.len(),
                open.len(),
                room.lines.len()
            ));
        } else {
            world.say(&format!("{group}: nobody is in"));
        }
    }
    Ok(())
}

fn in_use(humans: &[Human]) -> Vec<Asked<'_>> {
    let of = |human| {
        Human::devices(human).map(move |device| Asked {
            human,
            device,
            is_removed: false,
        })
    };
    humans.iter().flat_map(of).collect()
}

/// Everybody syncs, again and again, until all agree and nobody waits; at last the check tells what differs.
fn rest(humans: &[Human]) -> anyhow::Result<()> {
    let asked = in_use(humans);
    let begin = Instant::now();
    let is_over = |round| round >= ROUNDS && begin.elapsed() >= STAND_IN;
    for round in (0_usize..).take_while(|round| !is_over(*round)) {
        let shown = each(&asked, groups)?;
        for human in humans {
            answer(human, &shown)?;
        }
        let is_quiet = |group: &&str| check::agree(&shown, group).is_empty();
        if round > 0 && GROUPS.iter().all(is_quiet) {
            break;
        }
    }
    Ok(())
}

/// Who left a group is asked when somebody adds them again: they say yes, on each device, since devices do not tell
/// each other of it.
fn answer(human: &Human, shown: &[Shown]) -> anyhow::Result<()> {
    let is_asked = |room: &Room| room.state.starts_with("request");
    for device in human.devices() {
        let mut own = shown.iter().filter(|shown| shown.device == device.name);
        if !own.any(|shown| shown.rooms.values().any(is_asked)) {
            continue;
        }
        for request in device.cli.ok(&["request", "list"])? {
            let accept = ["request", "accept", text(&request, "chat")];
            device.cli.ok(&accept)?;
        }
    }
    Ok(())
}

/// Everybody says a last word in each group they are in; what was said.
fn close(humans: &[Human], stage: usize) -> anyhow::Result<BTreeMap<String, &'static str>> {
    let said = each(humans, |human| {
        let rows = human
            .first()
            .ok(&[["group", "list"].as_slice(), &PATIENT].concat())?;
        let mut said = Vec::new();
        for group in GROUPS {
            let mut rows = rows.iter();
            if rows.any(|row| text(row, "name") == group && text(row, "state") == "open") {
                let word = format!("{} closes {group} after stage {stage}", human.name);
                human
                    .first()
                    .ok(&[["send", group, &word].as_slice(), &PATIENT].concat())?;
                said.push((word, group));
            }
        }
        Ok(said)
    })?;
    Ok(said.into_iter().flatten().collect())
}

/// The groups of a device, after a sync, without their messages.
fn groups(asked: &Asked<'_>) -> anyhow::Result<Shown> {
    let cli = &asked.device.cli;
    let rows = cli.ok(&[["group", "list"].as_slice(), &PATIENT].concat())?;
    let rooms = rows
        .iter()
        .map(|row| (text(row, "name").to_owned(), room(row)));
    Ok(Shown {
        device: asked.device.name.clone(),
        person: asked.human.name,
        account: asked.device.account.clone(),
        is_removed: asked.is_removed,
        rooms: rooms.collect(),
    })
}

fn room(row: &Value) -> Room {
    let part = |name| row.get(name).map(Value::to_string).unwrap_or_default();
    let rows = |name| {
        row.get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let member = |row: &Value| {
        let devices = row.get("devices").and_then(Value::as_u64);
        let who = account(row, "person").to_owned();
        (who, devices.unwrap_or(0))
    };
    Room {
        is_open: text(row, "state") == "open",
        state: format!("{} {}", text(row, "state"), text(row, "reason")),
        place: format!(
            "epoch {} authenticator {}",
            part("epoch"),
            part("authenticator")
        ),
        members: rows("members").map(member).collect(),
        waits: rows("waiting").map(Value::to_string).collect(),
        lines: vec![],
    }
}

/// Groups and messages of a device; of a removed one, after it tried to sync once more, what it knows.
fn read(asked: &Asked<'_>) -> anyhow::Result<Shown> {
    let cli = &asked.device.cli;
    let mut shown = if asked.is_removed {
        cli.run_any(&["listen", "--once", "--timeout", "10s"])?;
        let rooms = GROUPS.map(|group| (group.to_owned(), Room::default()));
        Shown {
            device: asked.device.name.clone(),
            person: asked.human.name,
            account: asked.device.account.clone(),
            is_removed: true,
            rooms: rooms.into(),
        }
    } else {
        groups(asked)?
    };
    for (group, room) in &mut shown.rooms {
        let (code, rows) = cli.run_any(&["history", group, "--limit", "1000000"])?;
        let is_known = code == Some(0);
        ensure!(
            is_known || asked.is_removed,
            "{}: no history of {group}",
            shown.device
        );
        // what happened beside messages stands there, too
        let is_message = |row: &&Value| is_known && text(row, "type") == "message";
        room.lines = rows.iter().filter(is_message).map(line).collect();
    }
    Ok(shown)
}

fn line(row: &Value) -> Line {
    Line {
        id: text(row, "id").to_owned(),
        seq: row.get("seq").and_then(Value::as_u64),
        text: text(row, "text").to_owned(),
    }
}
