//! What is known about the world's stages: who was in which group at their ends, and what was written.

use std::collections::{BTreeMap, BTreeSet};

use super::check::Shown;
use super::people::{GROUPS, Sent};

/// Pairs of person and group: somebody removed them, or they left.
pub(super) type Interrupted = BTreeSet<(&'static str, &'static str)>;

/// One stage, after everybody came to rest.
#[derive(Debug, Clone, Default)]
pub(super) struct Stage {
    /// Devices that stood in a group at its end.
    pub(super) devices: BTreeSet<(String, &'static str)>,
    /// People who stood in a group at its end.
    pub(super) people: BTreeSet<(&'static str, &'static str)>,
    /// Whose accounts had lost which devices by its end.
    pub(super) removed: BTreeSet<String>,
    /// Who was perhaps not in a group all the time.
    pub(super) interrupted: Interrupted,
    /// The last word that each person said in each group at its end, and the group.
    pub(super) closing: BTreeMap<String, &'static str>,
    /// What was written in it, by group, and whether the server had it.
    pub(super) texts: BTreeMap<&'static str, Vec<(String, bool)>>,
}

impl Stage {
    /// What was written in the stage `number`.
    pub(super) fn of<'a>(
        number: usize,
        interrupted: Interrupted,
        sent: impl Iterator<Item = &'a Sent>,
    ) -> Self {
        let mut stage = Self {
            interrupted,
            ..Self::default()
        };
        for sent in sent.filter(|sent| sent.stage == number) {
            let texts = stage.texts.entry(sent.group).or_default();
            texts.push((sent.text.clone(), sent.is_accepted));
        }
        stage
    }

    /// Remembers where everybody stands.
    pub(super) fn end(&mut self, shown: &[Shown]) {
        for shown in shown {
            if shown.is_removed {
                self.removed.insert(shown.device.clone());
                continue;
            }
            for group in GROUPS {
                if shown.rooms.get(group).is_some_and(|room| room.is_open) {
                    self.devices.insert((shown.device.clone(), group));
                    self.people.insert((shown.person, group));
                }
            }
        }
    }
}
