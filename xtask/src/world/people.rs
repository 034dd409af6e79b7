//! The world's people, their devices, how they meet, and what is remembered about them.

use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use super::NAMES;
use crate::campaign::{Chance, Person, Server, each, identifier, text};

/// The groups; each is founded by another person.
pub(super) const GROUPS: [&str; 3] = ["garden", "kitchen", "attic"];
/// Devices of one person at once.
pub(super) const DEVICES: usize = 3;

/// One device.
pub(super) struct Device {
    /// Its name; no two are alike.
    pub(super) name: String,
    /// Its id, as `device list` shows it.
    pub(super) id: String,
    /// The id of its account.
    pub(super) account: String,
    /// Its profile.
    pub(super) cli: Person,
    /// Its person leaves it off until they have done this many things.
    pub(super) away_until: usize,
}

impl Device {
    /// The device of an account that is there.
    pub(super) fn new(name: String, cli: Person) -> anyhow::Result<Self> {
        let rows = cli.ok(&["whoami"])?;
        let row = rows.first().context("`whoami` said nothing")?;
        Ok(Self {
            name,
            id: text(row, "device").to_owned(),
            account: text(row, "account").to_owned(),
            cli,
            away_until: 0,
        })
    }
}

/// Somebody.
pub(super) struct Human {
    /// First part of the address.
    pub(super) name: &'static str,
    /// The address.
    pub(super) identifier: String,
    /// The device that was there from the beginning, and stays.
    pub(super) first: Device,
    /// Others in use.
    pub(super) others: Vec<Device>,
    /// Devices that were removed.
    pub(super) removed: Vec<Device>,
    /// Devices made so far, also those that never came.
    pub(super) made: usize,
    /// What picks what they do.
    pub(super) chance: Chance,
    /// Things done.
    pub(super) done: usize,
    /// Texts written.
    pub(super) sent: Vec<Sent>,
}

/// A text that was written.
pub(super) struct Sent {
    /// The group.
    pub(super) group: &'static str,
    /// No two are alike.
    pub(super) text: String,
    /// In which stage.
    pub(super) stage: usize,
    /// Whether the server had it when the program ended.
    pub(super) is_accepted: bool,
}

impl Human {
    /// Registers the person `own` on a first device.
    pub(super) fn register(
        folder: &Path,
        seed: u64,
        own: usize,
        server: &mut Server,
    ) -> anyhow::Result<Self> {
        let name = NAMES.get(own).copied().context("nobody there")?;
        let cli = Person::register(folder, name, server)?;
        Ok(Self {
            name,
            identifier: cli.identifier.clone(),
            first: Device::new(name.to_owned(), cli)?,
            others: Vec::new(),
            removed: Vec::new(),
            made: 1,
            chance: Chance::new(seed, own as u64 + 1),
            done: 0,
            sent: Vec::new(),
        })
    }

    /// The device that was there from the beginning, and stays.
    pub(super) fn first(&self) -> &Person {
        &self.first.cli
    }

    /// All devices in use.
    pub(super) fn devices(&self) -> impl Iterator<Item = &Device> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Some device that is not off; the first when all are.
    pub(super) fn device(&mut self) -> &Device {
        let done = self.done;
        let others = self.others.iter();
        let on: Vec<&Device> = std::iter::once(&self.first)
            .chain(others)
            .filter(|device| device.away_until <= done)
            .collect();
        self.chance.pick(&on).copied().unwrap_or(&self.first)
    }

    /// Sees which devices the account really has, where programs were killed in between; takes out those that
    /// never learned that they are in.
    pub(super) fn count_devices(&mut self) -> anyhow::Result<()> {
        self.first().ok(&["listen", "--once", "--timeout", "5m"])?;
        let rows = self.first().ok(&["device", "list"])?;
        let listed: Vec<&str> = rows.iter().map(|row| text(row, "device")).collect();
        let (others, gone) = std::mem::take(&mut self.others)
            .into_iter()
            .partition(|device| listed.contains(&device.id.as_str()));
        self.others = others;
        self.removed.extend::<Vec<Device>>(gone);
        let known: Vec<&str> = self.devices().map(|device| device.id.as_str()).collect();
        for stray in listed.iter().filter(|id| !known.contains(id)) {
            self.first()
                .ok(&["device", "remove", stray, "--timeout", "5m"])?;
        }
        Ok(())
    }
}

/// Everybody becomes everybody's contact; each group is founded with everybody in it.
pub(super) fn meet(humans: &[Human]) -> anyhow::Result<()> {
    let all: Vec<usize> = (0..humans.len()).collect();
    each(&all, |own| {
        let human = humans.get(*own).context("nobody there")?;
        for other in humans.iter().skip(own + 1) {
            human.first().ok(&["send", &other.identifier, "hello"])?;
        }
        Ok(())
    })?;
    each(&all, |own| {
        let human = humans.get(*own).context("nobody there")?;
        for earlier in humans.iter().take(*own) {
            accept(human.first(), &earlier.identifier)?;
        }
        Ok(())
    })?;
    let founders: Vec<_> = humans.iter().zip(GROUPS).collect();
    each(&founders, |(founder, group)| {
        let others = humans.iter().filter(|other| other.name != founder.name);
        let others: Vec<&str> = others.map(|other| other.identifier.as_str()).collect();
        founder
            .first()
            .ok(&[["group", "create", group].as_slice(), &others].concat())
    })?;
    for human in humans {
        while !has_groups(human.first())? {
            human.first().ok(&["listen", "--for", "500ms"])?;
        }
    }
    Ok(())
}

fn accept(cli: &Person, from: &str) -> anyhow::Result<()> {
    loop {
        let requests = cli.ok(&["request", "list"])?;
        if requests.iter().any(|row| identifier(row, "from") == from) {
            cli.ok(&["request", "accept", from])?;
            return Ok(());
        }
        cli.ok(&["listen", "--for", "300ms"])?;
    }
}

fn has_groups(cli: &Person) -> anyhow::Result<bool> {
    let rows = cli.ok(&["group", "list"])?;
    Ok(GROUPS.iter().all(|group| in_group(&rows, group)))
}

/// Whether a list of groups shows one that can be written to.
fn in_group(rows: &[Value], group: &str) -> bool {
    rows.iter()
        .any(|row| text(row, "name") == group && text(row, "state") == "open")
}
