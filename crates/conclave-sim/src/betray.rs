//! At the end of a world a member breaks a group: everybody honest talks again within ten seconds, without them.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use conclave_client::inspect::ConversationView;
use conclave_client::transport::{Transport as _, calls};
use conclave_core::access::AccessKey;
use conclave_core::secret::Secret;
use conclave_hostile::frame;
use conclave_hostile::member::Member;
use conclave_proto::hello::Role;
use conclave_proto::log::{OpenOne, PutBundle};

use crate::device::{Device, Stage};
use crate::groups::group_of;
use crate::world::World;

/// How long the others may take, virtual, in ms.
const TALK_AGAIN_MS: u64 = 10_000;

impl World {
    /// Chance picks who breaks which group how; the others are judged. Worlds in which nobody can end in peace.
    pub(crate) async fn betray(&mut self) -> anyhow::Result<()> {
        let number = self.chance.index(self.model.groups);
        let inside = self.inside(number)?;
        let Some((bad, old)) = self.chance.pick(&inside).cloned() else {
            return Ok(());
        };
        let is_garbage = self.chance.percent(50);
        let (person, name) = (self.device(bad)?.person, self.device(bad)?.name.clone());
        let what = format!("{name} breaks group {number}, garbage: {is_garbage}");
        self.note(&what);
        self.ruin(bad, &old, is_garbage).await?;
        for device in &mut self.devices {
            if device.person == person && device.is_up() {
                device.stage = Stage::Out;
                device.end(u64::MAX).await;
            }
        }
        let (mut honest, mut words) = (Vec::new(), BTreeSet::new());
        for (device, view) in inside {
            if let Ok(client) = self.device(device)?.client() {
                let word = format!("{device} goes on");
                client.send(&view.chat.to_string(), &word).await?;
                words.insert(word);
                honest.push(device);
            }
        }
        self.pass(TALK_AGAIN_MS).await?;
        let mut stands = BTreeSet::new();
        for device in honest {
            let device = self.device(device)?;
            let stand = goes_on(device, number, &old, &words);
            stands.insert(stand.with_context(|| format!("{}, after {what}", device.name))?);
        }
        ensure!(stands.len() <= 1, "after {what}: {stands:?}");
        Ok(())
    }

    /// Devices that are in a group, and how it stands there.
    fn inside(&self, number: usize) -> anyhow::Result<Vec<(usize, ConversationView)>> {
        let mut inside = Vec::new();
        for (place, device) in self.devices.iter().enumerate() {
            if device.stage == Stage::In {
                let view = stand(device, number)?;
                inside.extend(view.map(|view| (place, view)));
            }
        }
        Ok(inside)
    }

    /// Ends the group's epoch with something that nobody can follow.
    async fn ruin(&self, bad: usize, at: &ConversationView, garbage: bool) -> anyhow::Result<()> {
        let bad = self.device(bad)?;
        let logs = bad.transport.connect(Role::Logs).await?;
        let (commit_entry, proof) = bad.client()?.lend(|outside| {
            let junk = frame::commit(&[], &[0]);
            let junk = frame::private_message(outside, at.log_id, &junk);
            let mut member = Member::of(outside, at.log_id);
            let commit = if garbage {
                junk
            } else {
                member.commit(|builder| builder).commit
            };
            let nobodys = AccessKey::from_seed(Secret::take(&mut [8; 32]));
            let entry = member.bundle(&commit, &nobodys);
            let access = member.access();
            (
                entry,
                access.prove_open(logs.context(), at.log_id, at.epoch),
            )
        })?;
        let one = OpenOne {
            log_id: at.log_id.to_vec(),
            epoch: at.epoch.0,
            proof,
        };
        let opened = calls::open_logs(logs.as_ref(), vec![one]).await?;
        let bundle = PutBundle {
            handle: opened.first().context("no answer")?.handle,
            commit_entry,
            blobs: vec![],
        };
        calls::put_bundle(logs.as_ref(), bundle).await?;
        Ok(())
    }
}

/// Who was in is in another log, without the offender, and has every word once. What is the same for all.
fn goes_on(
    device: &Device,
    number: usize,
    old: &ConversationView,
    words: &BTreeSet<String>,
) -> anyhow::Result<(String, Vec<String>)> {
    let view = stand(device, number)?.context("is in no group")?;
    ensure!(view.log_id != old.log_id, "is still in the old group");
    let mut members = view.members.iter();
    ensure!(
        members.all(|(account, _)| *account != old.own.0),
        "is not rid of them"
    );
    let history = device.client()?.history(view.chat, usize::MAX)?;
    let said = history.into_iter().map(|message| message.text);
    let said: Vec<_> = said.filter(|text| words.contains(text)).collect();
    ensure!(said.len() == words.len(), "has {said:?} of {words:?}");
    Ok((format!("{} {:?}", view.log_id, view.authenticator), said))
}

/// The conversation that a group goes on in on a device.
fn stand(device: &Device, number: usize) -> anyhow::Result<Option<ConversationView>> {
    let client = device.client()?;
    let chat = group_of(client, number)?;
    let mut views = client.inspect()?.into_iter();
    Ok(views.find(|view| view.is_live && view.is_going && Some(view.chat) == chat))
}
