//! A world at rest has no findings, and each fault that is planted in it has.

use std::collections::BTreeMap;

use super::{Line, Room, Shown, findings};
use crate::world::ledger::Stage;

const GROUP: &str = "garden";

fn line(seq: u64, text: &str) -> Line {
    Line {
        id: format!("m_{seq}"),
        seq: Some(seq),
        text: text.to_owned(),
    }
}

/// Anna with two devices and ben are in, cleo is out and has what was said before; anna's third was removed.
fn world() -> (Vec<Shown>, Vec<Stage>) {
    let shown = |person: &'static str, device: &str, is_removed, is_open, lines| {
        let room = Room {
            is_open,
            state: if is_open { "open" } else { "left" }.to_owned(),
            place: "epoch 7".to_owned(),
            members: BTreeMap::from([("anna@".to_owned(), 2), ("ben@".to_owned(), 1)]),
            waits: vec![],
            lines,
        };
        Shown {
            device: device.to_owned(),
            person,
            account: format!("{person}@"),
            is_removed,
            rooms: BTreeMap::from([(GROUP.to_owned(), room)]),
        }
    };
    let early = vec![line(1, "hello")];
    let all = vec![
        line(1, "hello"),
        line(3, "one"),
        line(4, "two"),
        line(6, "anna closes"),
    ];
    let world = vec![
        shown("anna", "anna", false, true, all.clone()),
        shown("anna", "anna-2", false, true, all.clone()),
        shown("ben", "ben", false, true, all),
        shown("cleo", "cleo", false, false, early.clone()),
        shown("anna", "anna-3", true, false, early),
    ];
    let mut meeting = Stage::default();
    meeting.closing.insert("hello".to_owned(), GROUP);
    let people = ["anna", "ben", "cleo"];
    meeting.people.extend(people.map(|who| (who, GROUP)));
    let devices = ["anna", "anna-2", "anna-3", "ben", "cleo"];
    let devices = devices.map(|device| (device.to_owned(), GROUP));
    meeting.devices.extend(devices);
    let mut stage = Stage::default();
    let texts = vec![("one".to_owned(), true), ("two".to_owned(), false)];
    stage.texts.insert(GROUP, texts);
    stage.interrupted.insert(("cleo", GROUP));
    stage.closing.insert("anna closes".to_owned(), GROUP);
    stage.end(&world);
    (world, vec![meeting, stage])
}

fn room<'a>(shown: &'a mut [Shown], device: &str) -> &'a mut Room {
    let shown = shown.iter_mut().find(|shown| shown.device == device);
    shown.and_then(|shown| shown.rooms.get_mut(GROUP)).unwrap()
}

/// Asserts that `plant` at the room of `device` is found, in words that hold `told`.
fn found(device: &str, plant: impl FnOnce(&mut Room), told: &str) {
    let (mut shown, stages) = world();
    plant(room(&mut shown, device));
    let findings = findings(&shown, &stages, GROUP);
    let is_told = findings.iter().any(|finding| finding.contains(told));
    assert!(is_told, "{told}: {findings:?}");
}

/// A world at rest has no findings.
#[test]
fn a_world_at_rest_is_fine() {
    let (shown, stages) = world();
    assert_eq!(findings(&shown, &stages, GROUP), Vec::<String>::new());
}

/// A device with another epoch, authenticator or list of members is named.
#[test]
fn a_fork_is_found() {
    found("ben", |room| room.place = "epoch 8".to_owned(), "see epoch");
    let plant = |room: &mut Room| room.members.extend([("cleo@".to_owned(), 1)]);
    found("ben", plant, "see epoch");
}

/// A member whose device lost the group, and somebody who was taken out and still has it, are found.
#[test]
fn who_is_in_by_one_view_only_is_found() {
    found("anna-2", |room| room.is_open = false, "but it is open on");
    found("anna-2", |room| room.is_open = false, "a member's");
    found("cleo", |room| room.is_open = true, "but it is open on");
}

/// A wish that is never fulfilled is found.
#[test]
fn a_wish_that_waits_is_found() {
    let plant = |room: &mut Room| room.waits.push("add cleo".to_owned());
    found("ben", plant, "still waits");
}

/// A text that was lost is found, on any device, also when only the others' rows show that it was taken.
#[test]
fn a_lost_text_is_found() {
    for (device, text) in [("anna-2", "one"), ("ben", "two"), ("anna", "hello")] {
        let plant = |room: &mut Room| room.lines.retain(|line| line.text != text);
        found(device, plant, &format!("no `{text}`"));
    }
}

/// A text that stands twice, elsewhere, or in another order is found; so is one that stays closed.
#[test]
fn disorder_is_found() {
    found("ben", |room| room.lines.push(line(1, "hello")), "twice");
    found("ben", |room| room.lines.swap(1, 2), "differ in order");
    let move_it = |room: &mut Room| room.lines[2].seq = Some(5);
    found("ben", move_it, "is entry");
    let close = |room: &mut Room| room.lines[2].text = "this message cannot be shown: x".to_owned();
    found("ben", close, "cannot be shown");
}

/// A word that was said after somebody went out is on none of their devices, nor on one that was removed.
#[test]
fn who_is_out_and_reads_on_is_found() {
    for device in ["cleo", "anna-3"] {
        let plant = |room: &mut Room| room.lines.push(line(6, "anna closes"));
        found(device, plant, "was out after stage 1");
    }
}
