//! What people do with groups: they make and leave them, and change who is in and who may do what.

use anyhow::Context as _;
use conclave_client::view::GroupRole;
use conclave_client::{Client, ClientError};
use conclave_proto::id::ChatId;

use crate::play::{PATIENCE, is_known_trouble, is_no};
use crate::world::World;

/// Groups of a world.
const GROUPS_MAX: usize = 2;

impl World {
    /// Somebody makes a group, or wants something of one.
    pub(crate) async fn change_groups(&mut self, device: usize) -> anyhow::Result<()> {
        let what = self.chance.below(12);
        if self.model.groups == 0 || (what == 0 && self.model.groups < GROUPS_MAX) {
            return self.make_group(device).await;
        }
        let number = self.chance.index(self.model.groups);
        let who = self.name_of(self.chance.clone().index(self.people.len()));
        let role = [GroupRole::Member, GroupRole::Admin, GroupRole::Owner];
        let role = self.chance.pick(&role).copied().unwrap_or(GroupRole::Owner);
        let from = self.device(device)?;
        let Some(client) = from.online() else {
            return Ok(());
        };
        let Some(chat) = group_of(client, number)? else {
            return Ok(());
        };
        let group = chat.to_string();
        self.note(&format!("{}: {what} of group {number}, {who}", from.name));
        let wanted = match what {
            0..4 => {
                let adding = client.add_to_group(&group, std::slice::from_ref(&who));
                let added = self.patiently(PATIENCE, adding).await;
                added.unwrap_or(Err(ClientError::TimedOut))
            }
            4..6 => client.remove_from_group(&group, &who),
            6..8 => client.rename_group(&group, &format!("{}of {what}", group_name(number))),
            8..11 => client.set_group_role(&group, &who, role),
            _ => client.leave_group(&group),
        };
        match wanted {
            Err(error) if !is_known_trouble(&error) && !is_no(&error) => {
                Err(error).context("a wish for a group is refused")
            }
            _ => Ok(()),
        }
    }

    async fn make_group(&mut self, device: usize) -> anyhow::Result<()> {
        let number = self.model.groups;
        let mut who = Vec::new();
        for person in 0..self.people.len() {
            if person != self.device(device)?.person && self.chance.percent(70) {
                who.push(self.name_of(person));
            }
        }
        let from = self.device(device)?;
        let Some(client) = from.online() else {
            return Ok(());
        };
        self.note(&format!("{} makes group {number}", from.name));
        let name = group_name(number);
        let making = client.create_group(&name, &who);
        let made = self.patiently(PATIENCE, making).await;
        self.model.groups += 1;
        match made {
            Some(Err(error)) if !is_known_trouble(&error) && !is_no(&error) => {
                Err(error).context("a group cannot be made")
            }
            _ => Ok(()),
        }
    }

    /// At rest nothing that was wanted of a group waits.
    pub(crate) fn no_wish_waits(&self) -> anyhow::Result<()> {
        for device in self.members() {
            for group in device.client()?.groups()? {
                if let Some(wish) = group.waiting.first() {
                    anyhow::bail!("{} still waits: {}", device.name, wish.text);
                }
            }
        }
        Ok(())
    }
}

/// What its name begins with.
pub(crate) fn group_name(number: usize) -> String {
    format!("group {number}. ")
}

/// The group of that number on a device, whatever its name has become.
pub(crate) fn group_of(client: &Client, number: usize) -> anyhow::Result<Option<ChatId>> {
    let begin = group_name(number);
    let groups = match client.groups() {
        Ok(groups) => groups,
        Err(error) if is_known_trouble(&error) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let group = groups
        .iter()
        .find(|group| group.chat.name.starts_with(begin.trim_end()));
    Ok(group.map(|group| group.chat.id))
}
