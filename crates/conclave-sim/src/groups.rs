//! What people do with groups: they make and leave them, and change who is in and who may do what.

use conclave_client::Client;
use conclave_client::view::GroupRole;
use conclave_proto::id::ChatId;

use crate::play::{PATIENCE, came_to, is_no, known};
use crate::world::World;

/// Groups of a world.
const GROUPS_MAX: usize = 2;

impl World {
    /// Somebody makes a group, or wants something of one.
    pub(crate) async fn change_groups(&mut self, device: usize) -> anyhow::Result<()> {
        let what = self.chance.below(15);
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
                self.patiently(PATIENCE, adding).await
            }
            4..6 => Some(client.remove_from_group(&group, &who)),
            6..8 => {
                let name = format!("{}of {what}", group_name(number));
                Some(client.rename_group(&group, &name))
            }
            8..11 => Some(client.set_group_role(&group, &who, role)),
            11 => Some(client.leave_group(&group)),
            12 => Some(client.create_group_link(&group)),
            _ => match client.group_link(&group) {
                Ok(link) => return self.join(&link),
                Err(error) => Some(Err(error)),
            },
        };
        came_to(wanted, is_no, "a wish for a group is refused").map(drop)
    }

    /// Somebody got a group's link and asks to come in.
    fn join(&mut self, link: &str) -> anyhow::Result<()> {
        let guest = self.chance.index(self.devices.len());
        let guest = self.device(guest)?;
        if let Some(client) = guest.online() {
            self.note(&format!("{} asks to come in", guest.name));
            let asked = Some(client.join_group(link));
            came_to(asked, is_no, "a link is refused")?;
        }
        Ok(())
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
        came_to(made, is_no, "a group cannot be made").map(drop)
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
fn group_name(number: usize) -> String {
    format!("group {number}. ")
}

/// The group of that number on a device, whatever its name has become.
pub(crate) fn group_of(client: &Client, number: usize) -> anyhow::Result<Option<ChatId>> {
    let begin = group_name(number);
    let groups = known(client.groups())?.unwrap_or_default();
    let group = groups
        .iter()
        .find(|group| group.chat.name.starts_with(begin.trim_end()));
    Ok(group.map(|group| group.chat.id))
}
