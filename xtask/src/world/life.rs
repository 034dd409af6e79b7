//! One person's life: what they do with their devices, in the order that the seed picks.

use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use anyhow::{Context, ensure};

use super::people::{DEVICES, Device, GROUPS, Human, Sent};
use super::{NAMES, World};
use crate::campaign::{Chance, Person, parse, text};

/// How long a command may look for what does not come.
const TIMEOUT: [&str; 2] = ["--timeout", "20s"];
/// Ends of a command that are fine in a world that changes meanwhile: done, not allowed any more, a key that
/// changed, rate, gone for a while, partly, not found, conflict, out of time; 2 is a group that a new device
/// does not know by name yet.
const FINE: [i32; 10] = [0, 2, 3, 4, 5, 6, 7, 8, 9, 10];

/// One person at work.
pub(super) struct Life<'a> {
    world: &'a World,
    human: &'a mut Human,
    own: usize,
    folder: &'a Path,
    chance: Chance,
    sent: Vec<Sent>,
}

impl<'a> Life<'a> {
    /// The life of the person `own`.
    pub(super) fn new(
        world: &'a World,
        human: &'a mut Human,
        own: usize,
        folder: &'a Path,
    ) -> Self {
        let chance = Chance::new(world.seed, own as u64 + 1);
        Self {
            world,
            human,
            own,
            folder,
            chance,
            sent: Vec::new(),
        }
    }

    /// Does `operations` things; what was sent.
    pub(super) fn run(mut self, operations: usize) -> anyhow::Result<Vec<Sent>> {
        for _ in 0..operations {
            self.world.go_on()?;
            self.act()?;
            let done = self.world.done.fetch_add(1, Ordering::Relaxed) + 1;
            if done.is_multiple_of(100) {
                self.world.say("");
            }
        }
        Ok(self.sent)
    }

    fn act(&mut self) -> anyhow::Result<()> {
        let group = self.chance.pick(&GROUPS).copied().context("no groups")?;
        let other = (self.own + 1 + self.chance.below(NAMES.len() - 1)) % NAMES.len();
        let name = NAMES.get(other).context("nobody there")?;
        let whom = format!("{name}@example.org");
        match self.chance.below(100) {
            0..48 => self.send(group),
            48..68 => self.any(&["listen", "--once"]),
            68..74 => self.any(&["read", group]),
            74..80 => self.any(&["group", "add", group, &whom]),
            80..84 => {
                self.interrupt(other, group);
                self.any(&["group", "remove", group, &whom])
            }
            84..86 => {
                self.interrupt(self.own, group);
                self.any(&["group", "leave", group])
            }
            86..89 => self.any(&["group", "role", group, &whom, "owner"]),
            89..93 => self.link(),
            93..96 => self.unlink(),
            96..98 => self.any(&["key", "rotate"]),
            _ => self.any(&["group", "show", group]),
        }
    }

    /// From here on this person is not known to have been in the group all the time.
    fn interrupt(&self, who: usize, group: &'static str) {
        let mut interrupted = self.world.interrupted.lock();
        interrupted
            .as_deref_mut()
            .unwrap_or_else(|poisoned: &mut PoisonError<_>| poisoned.get_mut())
            .insert((who, group));
    }

    fn device(&mut self) -> &Person {
        let place = self.chance.below(self.human.others.len() + 1);
        let other = self.human.others.get(place);
        &other.unwrap_or(&self.human.first).cli
    }

    /// A command on some device; every eighth time it is killed in the middle of it.
    fn any(&mut self, words: &[&str]) -> anyhow::Result<()> {
        let words = [&TIMEOUT, words].concat();
        let kill = (self.chance.below(8) == 0).then(|| self.chance.wait(600));
        let world = self.world;
        let cli = self.device();
        let process = cli.start(&words)?;
        let ended = match kill {
            None => process.finish()?,
            Some(wait) => {
                let (was_alive, ended) = process.kill(wait)?;
                if was_alive {
                    world.kills.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                ended
            }
        };
        let is_fine = ended.code.is_some_and(|code| FINE.contains(&code));
        ensure!(is_fine, "{}", cli.complaint(&words, ended.code));
        Ok(())
    }

    fn send(&mut self, group: &'static str) -> anyhow::Result<()> {
        let text_sent = format!("{} says {}", self.human.name, self.sent.len());
        let words = [&TIMEOUT, ["send", group, &text_sent].as_slice()].concat();
        let cli = self.device();
        let ended = cli.start(&words)?.finish()?;
        let is_fine = ended.code.is_some_and(|code| FINE.contains(&code));
        ensure!(is_fine, "{}", cli.complaint(&words, ended.code));
        let rows: anyhow::Result<Vec<_>> = ended.lines.iter().map(|line| parse(line)).collect();
        let is_accepted = rows?
            .iter()
            .any(|row| matches!(text(row, "state"), "accepted" | "delivered" | "read"));
        self.sent.push(Sent {
            group,
            text: text_sent,
            is_accepted,
        });
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
        let address = self.world.address.clone();
        let link = ["link", &address, "--name", &name, "--no-passphrase"];
        let mut linking = new.start(&[&TIMEOUT, link.as_slice()].concat())?;
        let line = linking.next_line()?.context("`link` said nothing")?;
        let row = parse(&line)?;
        let (uri, code) = (text(&row, "uri"), text(&row, "code"));
        let approve = ["device", "approve", uri, "--code", code];
        let words = [&TIMEOUT, approve.as_slice()].concat();
        let old = self.device();
        let ended = old.start(&words)?.finish()?;
        let is_fine = ended.code.is_some_and(|code| FINE.contains(&code));
        ensure!(is_fine, "{}", old.complaint(&words, ended.code));
        // A device that did not get the last word asks again with the same command.
        let mut code = linking.finish()?.code;
        if code != Some(0) && ended.code == Some(0) {
            code = new
                .start(&[&TIMEOUT, link.as_slice()].concat())?
                .finish()?
                .code;
        }
        if code == Some(0) {
            self.human.others.push(Device { name, cli: new });
        }
        Ok(())
    }

    /// A device leaves the account; never the first.
    fn unlink(&mut self) -> anyhow::Result<()> {
        if self.human.others.is_empty() {
            return Ok(());
        }
        let gone = self.human.others.remove(0);
        let words = [&TIMEOUT, ["device", "remove", &gone.name].as_slice()].concat();
        let cli = self.device();
        let ended = cli.start(&words)?.finish()?;
        let is_fine = ended.code.is_some_and(|code| FINE.contains(&code));
        ensure!(is_fine, "{}", cli.complaint(&words, ended.code));
        if ended.code == Some(0) {
            self.human.removed.push(gone);
        } else {
            self.human.others.push(gone);
        }
        Ok(())
    }
}
