//! One person's life: what they do with their devices, in the order that the seed picks.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::people::{DEVICES, Device, GROUPS, Human, Sent};
use super::{NAMES, World};
use crate::campaign::{Ended, Person, parse, text};

/// How long a command may look for what does not come.
const TIMEOUT: [&str; 2] = ["--timeout", "20s"];
/// Ends of a command that are fine in a world that changes meanwhile: done, not allowed any more, rate, gone
/// for a while, partly, not found, conflict, out of time; 2 is a group that a new device does not know by
/// name yet.
const FINE: [i32; 9] = [0, 2, 3, 5, 6, 7, 8, 9, 10];
/// A message that can no longer be sent: its writer was taken out before it went.
const FAILED: i32 = 1;
/// A link that nobody answers is refused like a key that does not fit.
const NO_LINK: i32 = 4;
/// One of so many commands is killed,
const KILLED_OF: usize = 8;
/// after less than this, in ms.
const KILLED_WITHIN_MS: u64 = 600;

/// One person at work.
pub(super) struct Life<'a> {
    world: &'a World,
    human: &'a mut Human,
    own: usize,
    stage: usize,
    folder: &'a Path,
}

impl<'a> Life<'a> {
    /// The life of the person `own` in one stage.
    pub(super) fn new(
        world: &'a World,
        human: &'a mut Human,
        (own, stage): (usize, usize),
        folder: &'a Path,
    ) -> Self {
        Self {
            world,
            human,
            own,
            stage,
            folder,
        }
    }

    /// Does `operations` things.
    pub(super) fn run(mut self, operations: usize) -> anyhow::Result<()> {
        for _ in 0..operations {
            self.world.frame.go_on()?;
            self.world.turns.take(|| self.act())?;
            self.human.done += 1;
            let done = self.world.done.fetch_add(1, Ordering::Relaxed) + 1;
            if done.is_multiple_of(100) {
                self.world.say("");
            }
        }
        Ok(())
    }

    fn act(&mut self) -> anyhow::Result<()> {
        let chance = &mut self.human.chance;
        let group = chance.pick(&GROUPS).copied().context("no groups")?;
        let other = (self.own + 1 + chance.below(NAMES.len() - 1)) % NAMES.len();
        let name = NAMES.get(other).context("nobody there")?;
        let whom = format!("{name}@example.org");
        match chance.below(100) {
            0..46 => self.send(group),
            46..66 => self.any(&["listen", "--once"]),
            66..72 => self.any(&["read", group]),
            72..80 => self.any(&["group", "add", group, &whom]),
            80..83 => {
                self.world.interrupt(other, group)?;
                self.any(&["group", "remove", group, &whom])
            }
            83..85 => {
                self.world.interrupt(self.own, group)?;
                self.any(&["group", "leave", group])
            }
            85..88 => self.any(&["group", "role", group, &whom, "owner"]),
            88..92 => self.link(),
            92..94 => self.unlink(),
            94..96 => self.any(&["key", "rotate"]),
            96..98 => {
                self.put_away();
                Ok(())
            }
            _ => self.any(&["group", "show", group]),
        }
    }

    /// Some device stays off while its person does other things.
    fn put_away(&mut self) {
        let human = &mut *self.human;
        let until = human.done + 5 + human.chance.below(25);
        let place = human.chance.below(human.others.len() + 1);
        let device = human.others.get_mut(place);
        device.unwrap_or(&mut human.first).away_until = until;
    }

    /// A moment at which the next command is killed; mostly none.
    fn doom(&mut self) -> Option<Duration> {
        let chance = &mut self.human.chance;
        (chance.below(KILLED_OF) == 0).then(|| chance.wait(KILLED_WITHIN_MS))
    }

    /// A command on some device; every eighth time it is killed in the middle of it. None when it was.
    fn on_some(&mut self, words: &[&str], fine: &[i32]) -> anyhow::Result<Option<Ended>> {
        let doom = self.doom();
        let words = [&TIMEOUT, words].concat();
        let cli = &self.human.device().cli;
        let process = cli.start(&words)?;
        let Some(ended) = self.world.outlive(process, doom)? else {
            return Ok(None);
        };
        let is_fine = ended.code.is_some_and(|code| fine.contains(&code));
        ensure!(is_fine, "{}", cli.complaint(&words, ended.code));
        Ok(Some(ended))
    }

    fn any(&mut self, words: &[&str]) -> anyhow::Result<()> {
        self.on_some(words, &FINE).map(|_| ())
    }

    fn send(&mut self, group: &'static str) -> anyhow::Result<()> {
        let text_sent = format!("{} says {}", self.human.name, self.human.sent.len());
        let mut sent = Sent {
            group,
            text: text_sent.clone(),
            stage: self.stage,
            is_accepted: false,
        };
        let fine = [FINE.as_slice(), &[FAILED]].concat();
        if let Some(ended) = self.on_some(&["send", group, &text_sent], &fine)? {
            let rows: anyhow::Result<Vec<_>> = ended.lines.iter().map(|line| parse(line)).collect();
            sent.is_accepted = rows?
                .iter()
                .any(|row| matches!(text(row, "state"), "accepted" | "delivered" | "read"));
        }
        self.human.sent.push(sent);
        Ok(())
    }

    /// A new device joins the account.
    fn link(&mut self) -> anyhow::Result<()> {
        if self.human.others.len() + 1 >= DEVICES {
            return Ok(());
        }
        self.human.made += 1;
        let name = format!("{}-{}", self.human.name, self.human.made);
        let new = Person::new(self.folder, &name, &self.human.identifier);
        let link = ["link", &self.world.address, "--name", &name];
        let link = [&TIMEOUT, link.as_slice(), &["--no-passphrase"]].concat();
        let mut linking = new.start(&link)?;
        let line = linking.next_line()?.context("`link` said nothing")?;
        let row = parse(&line)?;
        let (uri, code) = (text(&row, "uri"), text(&row, "code"));
        let history = if self.human.chance.below(2) == 0 {
            "all"
        } else {
            "none"
        };
        let approve = [
            "device",
            "approve",
            uri,
            "--code",
            code,
            "--history",
            history,
        ];
        let fine = [FINE.as_slice(), &[NO_LINK]].concat();
        let (doom, world) = (self.doom(), self.world);
        let (approved, linked) = thread::scope(|scope| {
            let linking = scope.spawn(|| world.outlive(linking, doom));
            let approved = self.on_some(&approve, &fine);
            let linked = linking.join();
            (
                approved,
                linked.unwrap_or_else(|_| bail!("a part panicked")),
            )
        });
        let mut code = linked?.and_then(|ended| ended.code);
        let is_approved = approved?.is_none_or(|ended| ended.code == Some(0));
        if code != Some(0) && is_approved {
            // A device that did not get the last word asks again with the same command.
            code = new.start(&link)?.finish()?.code;
        }
        if code == Some(0) {
            self.human.others.push(Device::new(name, new)?);
        }
        Ok(())
    }

    /// A device leaves the account; never the first.
    fn unlink(&mut self) -> anyhow::Result<()> {
        if self.human.others.is_empty() {
            return Ok(());
        }
        let gone = self.human.others.remove(0);
        let ended = self.on_some(&["device", "remove", &gone.id], &FINE)?;
        // Whether it is out after any other end, the next count tells.
        let place = match ended.and_then(|ended| ended.code) {
            Some(0) => &mut self.human.removed,
            _ => &mut self.human.others,
        };
        place.push(gone);
        Ok(())
    }
}
