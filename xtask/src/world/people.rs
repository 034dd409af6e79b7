//! The world's people, their devices, how they meet, and what is remembered about them.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::campaign::{Person, Server, identifier, text};

/// The groups; each is founded by another person.
pub(super) const GROUPS: [&str; 3] = ["garden", "kitchen", "attic"];
/// Devices of one person at once.
pub(super) const DEVICES: usize = 3;

/// One device.
pub(super) struct Device {
    /// Its name, as `device list` shows it.
    pub(super) name: String,
    /// Its profile.
    pub(super) cli: Person,
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
}

/// A text that was written.
pub(super) struct Sent {
    /// The group.
    pub(super) group: &'static str,
    /// No two are alike.
    pub(super) text: String,
    /// Whether the server had it when the program ended.
    pub(super) is_accepted: bool,
}

/// Pairs of person and group: somebody removed them, or they left.
pub(super) type Interrupted = BTreeSet<(usize, &'static str)>;

impl Human {
    /// Registers somebody on a first device.
    pub(super) fn register(
        folder: &Path,
        name: &'static str,
        server: &mut Server,
    ) -> anyhow::Result<Self> {
        let cli = Person::register(folder, name, server)?;
        Ok(Self {
            name,
            identifier: cli.identifier.clone(),
            first: Device {
                name: name.to_owned(),
                cli,
            },
            others: Vec::new(),
            removed: Vec::new(),
            made: 1,
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
}

/// Everybody becomes everybody's contact; each group is founded with everybody in it.
pub(super) fn meet(humans: &[Human]) -> anyhow::Result<()> {
    for (own, human) in humans.iter().enumerate() {
        for other in humans.iter().skip(own + 1) {
            human.first().ok(&["send", &other.identifier, "hello"])?;
        }
        for earlier in humans.iter().take(own) {
            accept(human.first(), &earlier.identifier)?;
        }
    }
    for (founder, group) in humans.iter().zip(GROUPS) {
        let others = humans.iter().filter(|other| other.name != founder.name);
        let others: Vec<&str> = others.map(|other| other.identifier.as_str()).collect();
        founder
            .first()
            .ok(&[["group", "create", group].as_slice(), &others].concat())?;
    }
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
pub(super) fn in_group(rows: &[Value], group: &str) -> bool {
    rows.iter()
        .any(|row| text(row, "name") == group && text(row, "state") == "open")
}
