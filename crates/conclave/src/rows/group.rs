//! Rows about groups and who is in them.

use conclave_client::view::{Group, GroupMember, Wish};
use schemars::JsonSchema;
use serde::Serialize;

use crate::output::{Row, safe};
use crate::rows::PersonRow;
use crate::rows::people::ChatRow;

/// A group with its people.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct GroupRow {
    #[serde(flatten)]
    chat: ChatRow,
    epoch: Option<u64>,
    authenticator: String,
    devices: u64,
    has_link: bool,
    members: Vec<GroupMemberRow>,
    waiting: Vec<WishRow>,
    failed: Vec<WishRow>,
}

/// One person of a group.
#[derive(Debug, Serialize, JsonSchema)]
struct GroupMemberRow {
    person: PersonRow,
    role: &'static str,
    devices: u64,
    own: bool,
    confirmed: bool,
}

/// Something that was wanted of a group.
#[derive(Debug, Serialize, JsonSchema)]
struct WishRow {
    text: String,
    reason: String,
}

impl From<&Wish> for WishRow {
    fn from(wish: &Wish) -> Self {
        Self {
            text: wish.text.clone(),
            reason: wish.reason.clone(),
        }
    }
}

impl From<&GroupMember> for GroupMemberRow {
    fn from(member: &GroupMember) -> Self {
        Self {
            person: PersonRow::from(&member.person),
            role: member.role.name(),
            devices: member.devices,
            own: member.own,
            confirmed: member.confirmed,
        }
    }
}

impl From<&Group> for GroupRow {
    fn from(group: &Group) -> Self {
        Self {
            chat: ChatRow::from(&group.chat),
            epoch: group.epoch,
            authenticator: hex::encode(&group.authenticator),
            devices: group.devices,
            has_link: group.has_link,
            members: group.people.iter().map(GroupMemberRow::from).collect(),
            waiting: group.waiting.iter().map(WishRow::from).collect(),
            failed: group.failed.iter().map(WishRow::from).collect(),
        }
    }
}

impl Row for GroupRow {
    const TYPE: &'static str = "group";

    fn text(&self) -> String {
        let mut lines = vec![self.chat.text()];
        for member in &self.members {
            let own = if member.own { "  (this account)" } else { "" };
            let devices = match member.devices {
                1 => String::new(),
                count => format!("  {count} devices"),
            };
            lines.push(format!(
                "    {:<6}  {}{devices}{own}",
                member.role,
                member.person.text()
            ));
        }
        if self.has_link {
            lines.push(
                "    it has a link: owners and admins see it by `conclave group link show`"
                    .to_owned(),
            );
        }
        for wish in &self.waiting {
            lines.push(format!("    waits: {}", safe(&wish.text)));
        }
        for wish in &self.failed {
            lines.push(format!(
                "    failed: {}: {}",
                safe(&wish.text),
                safe(&wish.reason)
            ));
        }
        lines.join("\n")
    }
}

/// A group's link.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct GroupLinkRow {
    /// The group's chat.
    pub(crate) chat: String,
    /// Its name.
    pub(crate) name: String,
    /// `conclave-group:…`
    pub(crate) link: String,
}

impl Row for GroupLinkRow {
    const TYPE: &'static str = "group_link";

    fn text(&self) -> String {
        self.link.clone()
    }
}
