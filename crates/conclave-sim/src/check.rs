//! Whether what was promised was kept.
//!
//! While the world runs: all devices that are in one epoch of one log have the same members and the same
//! authenticator. When it has come to rest:
//!
//! 1. all devices that go on with a log stand at its one head, and only devices of their accounts are in it
//! 2. a text that was queued is on every device that was a member in the epoch it was sealed in, once
//! 3. no device has a text of an epoch that it was not a member of: removed ones read nothing more
//! 4. any two devices have what they both have at one place in one order
//! 5. nothing is told that did not happen

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail, ensure};
use conclave_client::Client;
use conclave_client::inspect::{ConversationView, MessagePlace};
use conclave_client::view::{ChatState, Message, MessageState};
use conclave_proto::id::{AccountId, DeviceId, Epoch, LogId, MessageId};

use crate::device::{Device, Stage};
use crate::groups::group_of;
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
    /// Which epochs each device was seen in, by its name.
    looked: BTreeSet<(String, LogId, Epoch)>,
}

impl Checker {
    /// Looks at what is new on a device.
    fn look(&mut self, name: &str, client: &Client) -> anyhow::Result<()> {
        let epochs = client.epochs()?.into_iter();
        let mut is_new = false;
        for (log_id, epoch) in epochs {
            is_new |= self.looked.insert((name.to_owned(), log_id, epoch));
        }
        if is_new {
            for view in client.inspect()? {
                self.see(name, view)?;
            }
        }
        Ok(())
    }

    fn see(&mut self, name: &str, view: ConversationView) -> anyhow::Result<()> {
        if !view.members.contains(&view.own) {
            // this device was removed: it does not see the epoch after that
            return Ok(());
        }
        let (log_id, epoch) = (view.log_id, view.epoch);
        let seen = Seen {
            authenticator: view.authenticator,
            members: view.members,
        };
        match self.epochs.get(&(log_id, epoch)) {
            Some(known) if *known == seen => {}
            Some(_) => bail!(
                "{name} stands in another epoch {} of {log_id} than another device: a fork",
                epoch.0
            ),
            None => {
                self.epochs.insert((log_id, epoch), seen);
            }
        }
        Ok(())
    }

    fn members(&self, at: &MessagePlace) -> Option<&[(AccountId, DeviceId)]> {
        let seen = self.epochs.get(&(at.log_id, at.epoch))?;
        Some(&seen.members)
    }
}

/// What one device shows of one place.
struct Story<'a> {
    device: &'a Device,
    ids: (AccountId, DeviceId),
    history: Vec<Message>,
    stands: BTreeMap<MessageId, MessagePlace>,
}

impl Story<'_> {
    /// Each text with its place, a line each.
    fn lines(&self) -> String {
        let line = |message: &Message| {
            let (at, text) = (self.stands.get(&message.id), short(&message.text));
            format!("  {} {at:?} {text}\n", self.device.name)
        };
        self.history.iter().map(line).collect()
    }

    fn is_in(&self) -> bool {
        self.device.stage == Stage::In
    }

    /// Every message that says a text.
    fn shown(&self, text: &str) -> Vec<&Message> {
        let all = self.history.iter();
        all.filter(|message| message.text == text).collect()
    }
}

impl World {
    /// Looks at every conversation of every device that runs.
    pub(crate) fn look(&mut self) -> anyhow::Result<()> {
        for device in &self.devices {
            if let Some(client) = device.alive().filter(|client| client.is_registered()) {
                self.checker.look(&device.name, client)?;
            }
        }
        Ok(())
    }

    /// Holds the world, at rest, against the model.
    pub(crate) fn judge(&mut self) -> anyhow::Result<()> {
        self.look()?;
        for device in self.members() {
            is_content(device.client()?).with_context(|| device.name.clone())?;
        }
        self.accounts_agree()?;
        self.heads_agree()?;
        self.no_wish_waits()?;
        for place in self.model.places() {
            self.judge_place(place)
                .with_context(|| format!("{place:?}"))?;
        }
        Ok(())
    }

    pub(crate) fn name_of(&self, person: usize) -> String {
        let identifier = self.people.get(person);
        identifier.map(ToString::to_string).unwrap_or_default()
    }

    /// 1. At rest a log has one head, and members are devices that their accounts list.
    fn heads_agree(&self) -> anyhow::Result<()> {
        let mut heads = BTreeMap::new();
        let listed: anyhow::Result<BTreeSet<_>> = self.members().map(Device::ids).collect();
        let listed = listed?;
        for device in self.members() {
            for view in device.client()?.inspect()? {
                if !view.is_going {
                    continue;
                }
                let head = (view.epoch, view.cursor);
                let first = *heads.entry(view.log_id).or_insert(head);
                let (name, log_id) = (&device.name, view.log_id);
                ensure!(
                    first == head,
                    "{name} stands at {head:?} of {log_id}, another device at {first:?}"
                );
                let stranger = view.members.iter().find(|member| !listed.contains(member));
                ensure!(
                    stranger.is_none() || !view.is_live,
                    "{name} talks to a device that no account lists: {stranger:?}"
                );
            }
        }
        Ok(())
    }

    /// The chat of a device at a place, if it has any.
    fn story<'a>(&self, device: &'a Device, place: Place) -> anyhow::Result<Option<Story<'a>>> {
        let client = device.client()?;
        let chat = match (place, place.partner(device.person)) {
            (Place::Pair(..), Some(with)) => client.find_chat(&self.name_of(with)).ok(),
            (Place::Group(number), _) => group_of(client, number)?,
            (Place::Pair(..), None) => return Ok(None),
        };
        let Some(chat) = chat else {
            let must = matches!(place, Place::Pair(..)) && device.stage == Stage::In;
            ensure!(!must, "{} has no such chat", device.name);
            return Ok(None);
        };
        let shown = client.chat(chat)?;
        let (name, reason) = (&device.name, &shown.reason);
        let is_odd = device.stage == Stage::In && shown.state == ChatState::Paused;
        // whoever was asked may have left, and says nothing then
        let is_odd = is_odd && !reason.starts_with("you asked to come in");
        ensure!(!is_odd, "{name}: the chat is paused: {reason}");
        let history = client.history(chat, usize::MAX)?;
        let stands = client.places(chat)?.into_iter();
        Ok(Some(Story {
            device,
            ids: device.ids()?,
            history,
            stands: stands.map(|at| (at.id, at)).collect(),
        }))
    }

    fn judge_place(&self, place: Place) -> anyhow::Result<()> {
        let mut stories = Vec::new();
        for device in self
            .devices
            .iter()
            .filter(|device| device.is_up() && device.ids().is_ok())
        {
            stories.extend(self.story(device, place)?);
        }
        for story in &stories {
            self.is_true(place, story)
                .with_context(|| story.device.name.clone())?;
        }
        for sent in self.model.sent.iter().filter(|sent| sent.to == place) {
            self.is_kept(sent, &stories)
                .with_context(|| format!("the text {}", short(&sent.text)))?;
        }
        for (index, one) in stories.iter().enumerate() {
            for other in stories.iter().skip(index + 1) {
                one_order(one, other)?;
            }
        }
        Ok(())
    }

    /// 2. Who was there has it, once.
    fn is_kept(&self, sent: &Sent, stories: &[Story<'_>]) -> anyhow::Result<()> {
        let mut stands = None;
        for story in stories {
            let (name, shown) = (&story.device.name, story.shown(&sent.text));
            ensure!(shown.len() <= 1, "{name} has it {} times", shown.len());
            let Some(message) = shown.first() else {
                continue;
            };
            if message.state == MessageState::Failed {
                let reason = &message.reason;
                let is_said = !reason.is_empty() && matches!(sent.to, Place::Group(_));
                let is_said = is_said || SAID.iter().any(|said| reason.contains(said));
                ensure!(is_said, "{name}: failed: {reason}");
                return Ok(());
            }
            // C-156: what nobody confirmed before a log was given up is said again in another one; a removed
            // device may have read it all the same.
            if let Some(at) = story.stands.get(&message.id).filter(|_| story.is_in()) {
                let first = *stands.get_or_insert(*at);
                if first != *at {
                    let later = self.later_place(sent, first, *at)?;
                    stands = Some(later);
                }
            }
        }
        let Some(at) = stands else {
            let giver = self.devices.get(sent.device);
            let is_excused =
                sent.id.is_none() || giver.is_none_or(|giver| giver.stage != Stage::In);
            ensure!(is_excused, "nobody has it");
            return Ok(());
        };
        let Some(members) = self.checker.members(&at) else {
            // nobody was looked at in that epoch
            return Ok(());
        };
        for story in stories.iter().filter(|story| story.is_in()) {
            let has = !story.shown(&sent.text).is_empty();
            let name = &story.device.name;
            // A device that was added and removed again before it came never stood there.
            let came = |(who, log, epoch): &(String, LogId, Epoch)| {
                who == name && *log == at.log_id && *epoch >= at.epoch
            };
            let was_there = members.contains(&story.ids) && self.checker.looked.iter().any(came);
            ensure!(
                has || !was_there,
                "{name} was a member in epoch {} and lacks it",
                at.epoch.0
            );
        }
        Ok(())
    }

    /// Of two places of one text, the one in a log that its writer still reads; one of them must be given up.
    fn later_place(
        &self,
        sent: &Sent,
        one: MessagePlace,
        other: MessagePlace,
    ) -> anyhow::Result<MessagePlace> {
        let mut going = BTreeSet::new();
        let writer = self.device(sent.device)?.person;
        for device in self.members().filter(|device| device.person == writer) {
            going.extend(device.client()?.epochs()?.into_iter().map(|(log, _)| log));
        }
        match (going.contains(&one.log_id), going.contains(&other.log_id)) {
            (true, false) => Ok(one),
            (false, true) => Ok(other),
            _ => bail!("it stands at {one:?}, and at {other:?}"),
        }
    }

    /// 3. and 5. Everything shown was sent here, in an epoch that this device was in.
    fn is_true(&self, place: Place, story: &Story<'_>) -> anyhow::Result<()> {
        for message in &story.history {
            let text = short(&message.text);
            let mut sent = self.model.sent.iter();
            let is_known = sent.any(|sent| sent.to == place && sent.text == message.text);
            let reason = &message.reason;
            ensure!(
                is_known,
                "a message that nobody wrote here: {text}, {reason}"
            );
            let members = story.stands.get(&message.id);
            let members = members.and_then(|at| self.checker.members(at));
            if let Some(members) = members {
                ensure!(
                    members.contains(&story.ids),
                    "{text} was sealed while this device was no member"
                );
            }
            let is_queued = message.state == MessageState::Queued;
            let is_out = story.device.stage == Stage::Out;
            ensure!(!is_queued || is_out, "{text} is only queued: {reason}");
            let is_arrived = message.state > MessageState::Accepted;
            let must = matches!(place, Place::Pair(..)) && story.device.stage == Stage::In;
            ensure!(is_arrived || !must, "{text} is only accepted");
        }
        Ok(())
    }
}

/// 4. What both have, both have in one order.
fn one_order(one: &Story<'_>, other: &Story<'_>) -> anyhow::Result<()> {
    let common = |of: &Story<'_>, with: &Story<'_>| -> Vec<String> {
        let has = |message: &&Message| {
            let there = with.stands.get(&message.id);
            let mut theirs = with.history.iter();
            // what stands at two places was judged before
            theirs.any(|their| their.id == message.id) && of.stands.get(&message.id) == there
        };
        let common = of.history.iter().filter(has);
        common.map(|message| short(&message.text)).collect()
    };
    let (left, right) = (common(one, other), common(other, one));
    let differs = left.iter().zip(&right).find(|(left, right)| left != right);
    ensure!(
        left == right,
        "{} and {} have another order from {differs:?} on\n{}\n{}",
        one.device.name,
        other.device.name,
        one.lines(),
        other.lines()
    );
    Ok(())
}

/// What people are told when nobody lies.
const TOLD: [&str; 3] = [
    "clock",
    "removed you from the group",
    "write to the other person to start anew",
];

/// What a text or wish fails with when a lie was found out, or when a device has just replaced its key and no key
/// package by the new one is there yet.
const SAID: [&str; 3] = [
    "key package of somebody else",
    "no device that can be invited",
    "leaf key is not the certified one",
];

/// Honest faults accuse nobody: no proof, no other warning.
fn is_content(client: &Client) -> anyhow::Result<()> {
    if let Some(proof) = client.proofs()?.first() {
        bail!("a proof is kept: {}", proof.what);
    }
    let warnings = client.status()?.warnings;
    let told = TOLD.iter().chain(&SAID);
    let is_odd = |warning: &&String| !told.clone().any(|told| warning.contains(told));
    if let Some(warning) = warnings.iter().find(is_odd) {
        bail!("a warning: {warning}");
    }
    Ok(())
}

/// The beginning of a text.
fn short(text: &str) -> String {
    text.chars().take(24).collect()
}
