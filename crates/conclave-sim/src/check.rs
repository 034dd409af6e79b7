//! Whether what was promised was kept.
//!
//! While the world runs: all devices that are in one epoch of one log have the same members and the same
//! authenticator. When it has come to rest: every text that was queued is on every device of its chat, once,
//! in one order, and nothing is told that did not happen.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use conclave_client::Client;
use conclave_client::inspect::ConversationView;
use conclave_client::view::{ChatState, Message, MessageState};
use conclave_proto::id::{AccountId, DeviceId, Epoch, LogId};

use crate::model::{Place, Sent};
use crate::world::World;

/// What one epoch of a log looked like to the first device that was seen in it.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    authenticator: Vec<u8>,
    members: Vec<(AccountId, DeviceId)>,
}

/// What was seen so far in one world.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    epochs: BTreeMap<(LogId, Epoch), Seen>,
}

impl Checker {
    fn see(&mut self, who: &str, view: &ConversationView) -> anyhow::Result<()> {
        let seen = Seen {
            authenticator: view.authenticator.clone(),
            members: view.members.clone(),
        };
        let known = self.epochs.entry((view.log_id, view.epoch));
        let known = known.or_insert_with(|| Seen {
            authenticator: seen.authenticator.clone(),
            members: seen.members.clone(),
        });
        ensure!(
            *known == seen,
            "{who} stands in another epoch {} of {} than another device: a fork",
            view.epoch.0,
            view.log_id
        );
        Ok(())
    }
}

impl World {
    /// Looks at every conversation of every device that runs.
    pub(crate) fn look(&mut self) -> anyhow::Result<()> {
        for device in &self.devices {
            let Some(client) = device.alive() else {
                continue;
            };
            for view in client.inspect()? {
                self.checker.see(&device.name, &view)?;
            }
        }
        Ok(())
    }

    /// Holds the world, at rest, against the model.
    pub(crate) fn judge(&mut self) -> anyhow::Result<()> {
        for device in &self.devices {
            let client = device.client()?;
            for view in client.inspect()? {
                self.checker.see(&device.name, &view)?;
            }
            is_content(client).with_context(|| device.name.clone())?;
        }
        self.heads_agree()?;
        for place in self.model.places() {
            let Place::Pair(one, other) = place;
            self.pair(place, one, other).with_context(|| {
                let names = [self.name_of(one), self.name_of(other)];
                format!("the chat of {}", names.join(" and "))
            })?;
        }
        Ok(())
    }

    fn name_of(&self, person: usize) -> String {
        let identifier = self.people.get(person);
        identifier.map(ToString::to_string).unwrap_or_default()
    }

    /// At rest all devices that go on with a log stand at its one head.
    fn heads_agree(&self) -> anyhow::Result<()> {
        let mut heads = BTreeMap::new();
        for device in &self.devices {
            for view in device.client()?.inspect()? {
                if !view.is_going {
                    continue;
                }
                let head = (view.epoch, view.cursor);
                let first = *heads.entry(view.log_id).or_insert(head);
                ensure!(
                    first == head,
                    "{} stands at {head:?} of {}, another device at {first:?}",
                    device.name,
                    view.log_id
                );
            }
        }
        Ok(())
    }

    /// Both sides of a chat tell the same story, and it is the true one.
    fn pair(&self, place: Place, one: usize, other: usize) -> anyhow::Result<()> {
        let mut stories = Vec::new();
        for device in &self.devices {
            let Some(with) = place.partner(device.person) else {
                continue;
            };
            let client = device.client()?;
            let chat = client.find_chat(&self.name_of(with))?;
            let state = client.chat(chat)?;
            ensure!(
                state.state == ChatState::Open,
                "{}: the chat is {}: {}",
                device.name,
                state.state.name(),
                state.reason
            );
            let history = client.history(chat, usize::MAX)?;
            for message in &history {
                is_true(&self.model.sent, place, message).with_context(|| device.name.clone())?;
            }
            stories.push((device, history));
        }
        for sent in self.model.sent.iter().filter(|sent| sent.to == place) {
            for (device, history) in &stories {
                let texts = history.iter().filter(|message| message.text == sent.text);
                let count = texts.count();
                let is_right = count == 1 || (sent.id.is_none() && count == 0);
                let giver = self.devices.get(sent.device).map(|device| &device.name);
                ensure!(
                    is_right,
                    "{} has {count} times what {giver:?} was given: {}",
                    device.name,
                    short(&sent.text)
                );
            }
        }
        let mut texts = stories.iter().map(|(device, history)| {
            let texts: Vec<&str> = history
                .iter()
                .map(|message| message.text.as_str())
                .collect();
            (&device.name, texts)
        });
        let Some((first, expected)) = texts.next() else {
            bail!("nobody of {one} and {other} has a device");
        };
        for (name, texts) in texts {
            let differs = expected
                .iter()
                .zip(&texts)
                .position(|(left, right)| left != right);
            ensure!(
                expected == texts,
                "{first} and {name} have another order, from place {differs:?} of {} and {}",
                expected.len(),
                texts.len()
            );
        }
        Ok(())
    }
}

/// Honest faults accuse nobody: no proof, no warning but of clocks.
fn is_content(client: &Client) -> anyhow::Result<()> {
    if let Some(proof) = client.proofs()?.first() {
        bail!("a proof is kept: {}", proof.what);
    }
    let warnings = client.status()?.warnings;
    let odd = warnings.iter().find(|warning| !warning.contains("clock"));
    if let Some(warning) = odd {
        bail!("a warning: {warning}");
    }
    Ok(())
}

/// A message is one that was sent here, and an own one has arrived.
fn is_true(sent: &[Sent], place: Place, message: &Message) -> anyhow::Result<()> {
    let text = short(&message.text);
    let known = sent
        .iter()
        .any(|sent| sent.to == place && sent.text == message.text);
    ensure!(
        known,
        "a message that nobody wrote here: {text}, {}",
        message.reason
    );
    let is_through = matches!(
        message.state,
        MessageState::Received | MessageState::Delivered | MessageState::Read
    );
    let state = message.state.name();
    ensure!(is_through, "{text} is only {state}: {}", message.reason);
    Ok(())
}

/// The beginning of a text.
fn short(text: &str) -> String {
    text.chars().take(24).collect()
}
