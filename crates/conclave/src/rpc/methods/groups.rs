//! Methods about groups.

use std::time::Duration;

use conclave_client::Client;
use conclave_client::view::GroupRole;
use conclave_proto::id::ChatId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Caller, Method, Reach, RpcError, Scope, Short, TimeoutMs, reach_chat};
use crate::exit::{self, Failure};
use crate::rows::{GroupLinkRow, GroupRow};

/// What somebody may do in a group.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Role {
    /// Writes and leaves.
    Member,
    /// Also adds people, removes members, changes name and link.
    Admin,
    /// Also removes anybody and gives roles.
    Owner,
}

impl From<Role> for GroupRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Member => Self::Member,
            Role::Admin => Self::Admin,
            Role::Owner => Self::Owner,
        }
    }
}

/// Groups, newest first.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {}

impl Method for ListParams {
    const NAME: &'static str = "groups.list";
    const SCOPE: Scope = Scope::Read;
    type Result = Groups;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Filtered)
    }

    async fn call(self, client: &Client, caller: &Caller) -> Result<Groups, RpcError> {
        let groups = client.groups()?;
        let seen = groups.iter().filter(|group| caller.may_see(group.chat.id));
        let groups = seen.map(GroupRow::from).collect();
        Ok(Groups { groups })
    }
}

/// Groups.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Groups {
    /// Newest first.
    groups: Vec<GroupRow>,
}

/// A group with its people.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ShowParams {
    /// Name or chat id.
    group: Short,
}

impl Method for ShowParams {
    const NAME: &'static str = "groups.show";
    const SCOPE: Scope = Scope::Read;
    type Result = GroupRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.group)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<GroupRow, RpcError> {
        Ok(GroupRow::from(&client.group(&self.group.0)?))
    }
}

/// Make a group and invite people.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateParams {
    /// What the group is called.
    name: Short,
    /// `+E164` numbers, e-mail addresses or account ids.
    who: Vec<Short>,
    /// How long to wait until it is so; what is not done then stands in `waiting`.
    #[serde(default)]
    timeout_ms: TimeoutMs,
}

impl Method for CreateParams {
    const NAME: &'static str = "groups.create";
    const SCOPE: Scope = Scope::Admin;
    type Result = GroupRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<GroupRow, RpcError> {
        let chat = client.create_group(&self.name.0, &words(self.who)).await?;
        settled(client, chat, self.timeout_ms).await
    }
}

/// Add people; for owners and admins.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddParams {
    /// Name or chat id.
    group: Short,
    /// `+E164` numbers, e-mail addresses or account ids.
    who: Vec<Short>,
    /// How long to wait until it is so; what is not done then stands in `waiting`.
    #[serde(default)]
    timeout_ms: TimeoutMs,
}

impl Method for AddParams {
    const NAME: &'static str = "groups.add";
    const SCOPE: Scope = Scope::Admin;
    type Result = GroupRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.group)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<GroupRow, RpcError> {
        let (group, who) = (self.group.0, words(self.who));
        look(client, self.timeout_ms).await;
        let chat = client.add_to_group(&group, &who).await?;
        settled(client, chat, self.timeout_ms).await
    }
}

/// Take somebody out, with all their devices.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoveParams {
    /// Name or chat id.
    group: Short,
    /// `+E164` number, e-mail address, account id or the name they show.
    who: Short,
    /// How long to wait until it is so; what is not done then stands in `waiting`.
    #[serde(default)]
    timeout_ms: TimeoutMs,
}

impl Method for RemoveParams {
    const NAME: &'static str = "groups.remove";
    const SCOPE: Scope = Scope::Admin;
    type Result = GroupRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.group)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<GroupRow, RpcError> {
        look(client, self.timeout_ms).await;
        let chat = client.remove_from_group(&self.group.0, &self.who.0)?;
        settled(client, chat, self.timeout_ms).await
    }
}

/// Give the group another name; for owners and admins.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RenameParams {
    /// Name or chat id.
    group: Short,
    /// The new name.
    name: Short,
    /// How long to wait until it is so; what is not done then stands in `waiting`.
    #[serde(default)]
    timeout_ms: TimeoutMs,
}

impl Method for RenameParams {
    const NAME: &'static str = "groups.rename";
    const SCOPE: Scope = Scope::Admin;
    type Result = GroupRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.group)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<GroupRow, RpcError> {
        look(client, self.timeout_ms).await;
        let chat = client.rename_group(&self.group.0, &self.name.0)?;
        settled(client, chat, self.timeout_ms).await
    }
}

/// Give somebody another role; for owners, or to lower your own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleParams {
    /// Name or chat id.
    group: Short,
    /// `+E164` number, e-mail address, account id or the name they show.
    who: Short,
    /// What they may do from now on.
    role: Role,
    /// How long to wait until it is so; what is not done then stands in `waiting`.
    #[serde(default)]
    timeout_ms: TimeoutMs,
}

impl Method for RoleParams {
    const NAME: &'static str = "groups.role";
    const SCOPE: Scope = Scope::Admin;
    type Result = GroupRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.group)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<GroupRow, RpcError> {
        look(client, self.timeout_ms).await;
        let role = self.role.into();
        let chat = client.set_group_role(&self.group.0, &self.who.0, role)?;
        settled(client, chat, self.timeout_ms).await
    }
}

/// Leave; what was written stays readable here.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LeaveParams {
    /// Name or chat id.
    group: Short,
    /// How long to wait until it is so; what is not done then stands in `waiting`.
    #[serde(default)]
    timeout_ms: TimeoutMs,
}

impl Method for LeaveParams {
    const NAME: &'static str = "groups.leave";
    const SCOPE: Scope = Scope::Admin;
    type Result = GroupRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.group)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<GroupRow, RpcError> {
        look(client, self.timeout_ms).await;
        let chat = client.leave_group(&self.group.0)?;
        settled(client, chat, self.timeout_ms).await
    }
}

/// Go on with a group that was paused.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResumeParams {
    /// Name or chat id.
    group: Short,
    /// How long to wait until it is so; what is not done then stands in `waiting`.
    #[serde(default)]
    timeout_ms: TimeoutMs,
}

impl Method for ResumeParams {
    const NAME: &'static str = "groups.resume";
    const SCOPE: Scope = Scope::Admin;
    type Result = GroupRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.group)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<GroupRow, RpcError> {
        let chat = client.resume_group(&self.group.0)?;
        settled(client, chat, self.timeout_ms).await
    }
}

/// Ask to come into a group by its link.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JoinParams {
    /// The whole line, from `conclave-group:` on.
    link: Short,
    /// How long to wait until it is so; what is not done then stands in `waiting`.
    #[serde(default)]
    timeout_ms: TimeoutMs,
}

impl Method for JoinParams {
    const NAME: &'static str = "groups.join";
    const SCOPE: Scope = Scope::Admin;
    type Result = GroupRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<GroupRow, RpcError> {
        let chat = client.join_group(&self.link.0)?;
        settled(client, chat, self.timeout_ms).await
    }
}

/// The link that lets people ask to come in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkParams {
    /// Name or chat id.
    group: Short,
}

impl Method for LinkParams {
    const NAME: &'static str = "groups.link";
    const SCOPE: Scope = Scope::Admin;
    type Result = GroupLinkRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.group)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<GroupLinkRow, RpcError> {
        shown_link(client, &self.group.0)
    }
}

/// Make a link, or a new one in place of the old.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkCreateParams {
    /// Name or chat id.
    group: Short,
    /// How long to wait until it is so; what is not done then stands in `waiting`.
    #[serde(default)]
    timeout_ms: TimeoutMs,
}

impl Method for LinkCreateParams {
    const NAME: &'static str = "groups.link_create";
    const SCOPE: Scope = Scope::Admin;
    type Result = GroupLinkRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.group)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<GroupLinkRow, RpcError> {
        look(client, self.timeout_ms).await;
        let chat = client.create_group_link(&self.group.0)?;
        settled(client, chat, self.timeout_ms).await?;
        shown_link(client, &chat.to_string())
    }
}

/// Take the link back: who shows it is let in no more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkRevokeParams {
    /// Name or chat id.
    group: Short,
    /// How long to wait until it is so; what is not done then stands in `waiting`.
    #[serde(default)]
    timeout_ms: TimeoutMs,
}

impl Method for LinkRevokeParams {
    const NAME: &'static str = "groups.link_revoke";
    const SCOPE: Scope = Scope::Admin;
    type Result = GroupRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.group)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<GroupRow, RpcError> {
        look(client, self.timeout_ms).await;
        let chat = client.revoke_group_link(&self.group.0)?;
        settled(client, chat, self.timeout_ms).await
    }
}

fn words(who: Vec<Short>) -> Vec<String> {
    who.into_iter().map(|one| one.0).collect()
}

/// What is said about members is said about those there are now: reads first, when the server is there.
async fn look(client: &Client, timeout: TimeoutMs) {
    let _ = client.settle(Duration::from_millis(timeout.0)).await;
}

/// The group when what was wanted is so, or time is over; a wish that cannot be is the failure.
async fn settled(client: &Client, chat: ChatId, timeout: TimeoutMs) -> Result<GroupRow, RpcError> {
    look(client, timeout).await;
    if let Some(wish) = client.take_failed_wishes(chat)?.into_iter().next() {
        let message = format!("{} failed: {}", wish.text, wish.reason);
        return Err(Failure::new(exit::PARTLY, "PARTLY_DONE", message).into());
    }
    Ok(GroupRow::from(&client.group(&chat.to_string())?))
}

fn shown_link(client: &Client, group: &str) -> Result<GroupLinkRow, RpcError> {
    let link = client.group_link(group)?;
    let group = client.group(group)?;
    Ok(GroupLinkRow {
        chat: group.chat.id.to_string(),
        name: group.chat.name,
        link,
    })
}
