//! `Client`'s questions and commands about groups. Each command is a wish in one step; the driver makes it so.

use conclave_core::conversation::create::create;
use conclave_core::conversation::{
    Change, Conversation, ConversationKind, CreateOptions, PolicyViolation, Role,
};
use conclave_proto::id::{AccountId, ChatId};

use crate::client::{Client, parse_identifier};
use crate::contact::new_group_chat;
use crate::engine::{Own, Step, person};
use crate::error::ClientError;
use crate::intent::wish_words;
use crate::invite::keep_created;
use crate::keys;
use crate::members::{self, LEFT};
use crate::membership::{Intent, want};
use crate::note;
use crate::people::{find_chat, show_chat};
use crate::register;
use crate::store::{ChatRow, ChatStage, OutboxKind, Tx};
use crate::view::{ChatKind, Group, GroupMember, GroupRole, Wish};

/// Most people whom a refusal names.
const NAMED_MAX: usize = 3;

impl Client {
    /// Makes a group and invites `who` (`+E164`, e-mail or `a_…`); unknown identifiers are looked up, which needs
    /// the driver. Returns once everything is on disk.
    pub async fn create_group(&self, name: &str, who: &[String]) -> Result<ChatId, ClientError> {
        check_name(name)?;
        let accounts = self.accounts_of(who).await?;
        let chat = self.engine().step(|step| {
            if !step.tx.groups_named(name)?.is_empty() {
                return Err(ClientError::Exists(format!(
                    "there is a group named {name} already; choose another name"
                )));
            }
            let options = CreateOptions {
                kind: ConversationKind::Group,
                name: name.to_owned(),
                ..CreateOptions::default()
            };
            let created = create(step.outside(), &[], &options)
                .map_err(|error| ClientError::Broken(error.to_string()))?;
            let chat = new_group_chat(step, name, ChatStage::Open);
            step.tx.put_chat(&chat)?;
            keep_created(step, &chat, &created)?;
            if let Some(row) = step.tx.conversation(created.log_id)? {
                note::began(step, &row, false)?;
            }
            want(step, chat.chat_id, Intent::AddPeople { accounts })?;
            Ok(chat.chat_id)
        })?;
        self.wake();
        Ok(chat)
    }

    /// Adds people to a group; unknown identifiers are looked up, which needs the driver.
    pub async fn add_to_group(&self, group: &str, who: &[String]) -> Result<ChatId, ClientError> {
        let chat_id = self
            .engine()
            .look(|tx, _| Ok(group_chat(tx, group)?.chat_id))?;
        self.engine().step(|step| {
            let inside = inside(step, group)?;
            let own = step.own.account.device.account_id;
            // Others add devices of people inside only, and those come by themselves.
            if inside.1.context().role(own) < Role::Admin {
                return Err(refused(step, &inside.1, Role::Admin, "add people")?);
            }
            Ok(())
        })?;
        let accounts = self.accounts_of(who).await?;
        self.engine().step(|step| {
            let (chat, group) = inside(step, group)?;
            let people = group.people();
            if accounts.iter().any(|account| people.contains(account)) {
                return Err(ClientError::Exists("they are in the group already".into()));
            }
            want(step, chat.chat_id, Intent::AddPeople { accounts })
        })?;
        self.wake();
        Ok(chat_id)
    }

    /// Takes somebody out of a group, with all their devices. `who` is `+E164`, e-mail, `a_…` or their name.
    pub fn remove_from_group(&self, group: &str, who: &str) -> Result<ChatId, ClientError> {
        self.wish(group, |step, chat, group| {
            let own = step.own.account.device.account_id;
            if group.context().role(own) < Role::Admin {
                return Err(refused(step, group, Role::Admin, "take people out")?);
            }
            let account = member(step.tx, step.own, group, who)?;
            if account == own {
                return Err(ClientError::BadInput(
                    "that is this account; `conclave group leave` leaves the group".into(),
                ));
            }
            let theirs = group.members().into_iter();
            let theirs = theirs.filter(|member| member.account_id == account);
            let changes: Vec<_> = theirs
                .map(|member| Change::Remove { leaf: member.leaf })
                .collect();
            allowed(step, group, &changes)?;
            want(step, chat.chat_id, Intent::RemovePerson { account })
        })
    }

    /// Gives a group another name.
    pub fn rename_group(&self, group: &str, name: &str) -> Result<ChatId, ClientError> {
        check_name(name)?;
        self.wish(group, |step, chat, group| {
            let name = name.to_owned();
            allowed(step, group, &[Change::Name(name.clone())])?;
            want(step, chat.chat_id, Intent::Rename { name })
        })
    }

    /// Gives somebody in a group another role.
    pub fn set_group_role(
        &self,
        group: &str,
        who: &str,
        role: GroupRole,
    ) -> Result<ChatId, ClientError> {
        self.wish(group, |step, chat, group| {
            let own = step.own.account.device.account_id;
            let is_self = |account: &AccountId| *account == own;
            let account = member(step.tx, step.own, group, who);
            // Who may not is told so, whoever is meant; anybody may lower their own role.
            if group.context().role(own) != Role::Owner && !account.as_ref().is_ok_and(is_self) {
                return Err(refused(step, group, Role::Owner, "give or take roles")?);
            }
            let (account, role) = (account?, core_role(role));
            let change = Change::Role {
                account_id: account,
                role,
            };
            allowed(step, group, &[change])?;
            want(step, chat.chat_id, Intent::SetRole { account, role })
        })
    }

    /// Leaves a group: it stays readable here. Who alone owns it makes somebody else owner first.
    pub fn leave_group(&self, group: &str) -> Result<ChatId, ClientError> {
        self.wish(group, leave)
    }

    /// Goes on with a group that was paused.
    pub fn resume_group(&self, group: &str) -> Result<ChatId, ClientError> {
        let chat_id = self.engine().step(|step| {
            let mut chat = group_chat(step.tx, group)?;
            let live = chat.live_log.filter(|_| chat.stage == ChatStage::Paused);
            let Some(log_id) = live else {
                return Err(ClientError::NotFound("that group is not paused".into()));
            };
            // C-137: what this device says there is refused, and a new group would be without the others.
            if keys::is_left_behind(step, &step.group(log_id)?) {
                return Err(ClientError::NotAllowed(keys::GROUP_LEFT_BEHIND.into()));
            }
            chat.stage = ChatStage::Open;
            chat.reason.clear();
            step.tx.put_chat(&chat)?;
            Ok(chat.chat_id)
        })?;
        self.wake();
        Ok(chat_id)
    }

    /// A group with its people.
    pub fn group(&self, group: &str) -> Result<Group, ClientError> {
        let now_ms = self.shared().env.now_ms();
        self.engine().look(|tx, own| {
            let chat = group_chat(tx, group)?;
            show_group(tx, own, &chat, now_ms)
        })
    }

    /// All groups, newest first; those that wait for an answer included.
    pub fn groups(&self) -> Result<Vec<Group>, ClientError> {
        let now_ms = self.shared().env.now_ms();
        self.engine().look(|tx, own| {
            let chats = tx.chats()?.into_iter();
            let chats = chats.filter(|chat| chat.kind == ChatKind::Group);
            let mut groups = chats
                .map(|chat| show_group(tx, own, &chat, now_ms))
                .collect::<Result<Vec<_>, _>>()?;
            groups.sort_by_key(|group| std::cmp::Reverse(group.chat.ts_ms));
            Ok(groups)
        })
    }

    /// Forgets wishes of a group that failed, and says which.
    pub fn take_failed_wishes(&self, chat: ChatId) -> Result<Vec<Wish>, ClientError> {
        self.engine().step(|step| {
            let mut failed = Vec::new();
            for intent in step.tx.intents_of(chat)? {
                if !intent.reason.is_empty() {
                    step.tx.delete_intent(intent.id)?;
                    failed.push(Wish {
                        text: wish_words(step.tx, &intent)?,
                        reason: intent.reason,
                    });
                }
            }
            Ok(failed)
        })
    }

    /// One wish about a group that this account is in.
    pub(crate) fn wish(
        &self,
        group: &str,
        work: impl FnOnce(&mut Step<'_>, ChatRow, &Conversation) -> Result<(), ClientError>,
    ) -> Result<ChatId, ClientError> {
        let chat_id = self.engine().step(|step| {
            let (chat, conversation) = inside(step, group)?;
            let chat_id = chat.chat_id;
            work(step, chat, &conversation)?;
            Ok(chat_id)
        })?;
        self.wake();
        Ok(chat_id)
    }

    /// The accounts behind identifiers and ids, each once.
    async fn accounts_of(&self, who: &[String]) -> Result<Vec<AccountId>, ClientError> {
        let mut accounts = Vec::new();
        for one in who {
            let account = self.account_of(one).await?;
            if !accounts.contains(&account) {
                accounts.push(account);
            }
        }
        Ok(accounts)
    }

    async fn account_of(&self, who: &str) -> Result<AccountId, ClientError> {
        if let Ok(account) = who.parse::<AccountId>() {
            let known = self.engine().look(|tx, _| Ok(tx.contact(account)?));
            return known?.map(|row| row.pin.account_id).ok_or_else(|| {
                ClientError::NotFound(format!("there is nobody {who} here; say who by identifier"))
            });
        }
        let chat = self.chat_of(who).await?;
        self.engine().step(|step| {
            let chat = crate::send::check_chat(step, chat)?;
            chat.peer
                .ok_or_else(|| ClientError::BadInput(format!("{who} is a group; say whom to add")))
        })
    }
}

/// Whether a group can be called so: never like a person, whom it would be written to in place of.
pub(crate) fn check_name(name: &str) -> Result<(), ClientError> {
    register::check_name(name)?;
    if name.is_empty() {
        return Err(ClientError::BadInput(
            "a group has a name; give it one".into(),
        ));
    }
    let is_id = ["c_", "a_", "d_", "l_", "m_", "+"]
        .iter()
        .any(|begin| name.starts_with(begin));
    if is_id || name.contains('@') {
        return Err(ClientError::BadInput(
            "a group's name must not look like an e-mail address, a number or an id".into(),
        ));
    }
    Ok(())
}

/// C-106: what policy refuses is refused before anything is written or sent.
pub(crate) fn allowed(
    step: &Step<'_>,
    group: &Conversation,
    changes: &[Change],
) -> Result<(), ClientError> {
    let accounts = step.tx.known_accounts(&step.own.known);
    match group.check_change(&accounts, changes) {
        Ok(()) => Ok(()),
        Err(PolicyViolation::Describe) => {
            let what = "change its name and link";
            Err(refused(step, group, Role::Admin, what)?)
        }
        Err(PolicyViolation::Roles) => {
            Err(refused(step, group, Role::Owner, "give or take roles")?)
        }
        Err(violation) => Err(ClientError::NotAllowed(violation.to_string())),
    }
}

/// Only those with `least` may do `what`: who they are.
pub(crate) fn refused(
    step: &Step<'_>,
    group: &Conversation,
    least: Role,
    what: &str,
) -> Result<ClientError, ClientError> {
    let mut names = Vec::new();
    for entry in &group.context().roles {
        if entry.role >= least {
            names.push(person(step.tx, entry.account_id)?.label());
        }
    }
    let more = names.len().saturating_sub(NAMED_MAX);
    names.truncate(NAMED_MAX);
    let mut whom = names.join(", ");
    if more > 0 {
        whom = format!("{whom} and {more} more");
    }
    let who = if least == Role::Owner {
        "an owner"
    } else {
        "an owner or an admin"
    };
    Ok(ClientError::NotAllowed(format!(
        "only {who} of the group may {what}; ask {whom}"
    )))
}

/// The group that `who` means.
pub(crate) fn group_chat(tx: &Tx<'_>, who: &str) -> Result<ChatRow, ClientError> {
    let chat = find_chat(tx, who)?;
    if chat.kind == ChatKind::Group {
        Ok(chat)
    } else {
        Err(ClientError::BadInput(format!(
            "{who} is a person, not a group"
        )))
    }
}

/// A group that this account is in, with its keys.
pub(crate) fn inside(step: &Step<'_>, who: &str) -> Result<(ChatRow, Conversation), ClientError> {
    let chat = crate::send::check_chat(step, group_chat(step.tx, who)?.chat_id)?;
    let log_id = chat.live_log.ok_or_else(|| {
        ClientError::NotAllowed("the group is being set up; try again in a moment".into())
    })?;
    let group = step.group(log_id)?;
    Ok((chat, group))
}

/// Who of a group is meant: by identifier, account id, or the one name that only they have.
fn member(
    tx: &Tx<'_>,
    own: &Own,
    group: &Conversation,
    who: &str,
) -> Result<AccountId, ClientError> {
    let people = group.people();
    let device = &own.account.device;
    let absent = || ClientError::NotFound(format!("{who} is not in the group"));
    let account = if let Ok(account) = who.parse::<AccountId>() {
        Some(account)
    } else if who == own.account.identifier {
        Some(device.account_id)
    } else if let Ok(identifier) = parse_identifier(who) {
        tx.contact_by_identifier(identifier.as_str())?
            .map(|row| row.pin.account_id)
    } else {
        let mut named = Vec::new();
        for account in &people {
            if person(tx, *account)?.name == who {
                named.push(*account);
            }
        }
        match named.as_slice() {
            [] => None,
            [one] => Some(*one),
            _ => {
                return Err(ClientError::BadInput(format!(
                    "several people in the group are named {who}; say which by id, `conclave group show` lists them"
                )));
            }
        }
    };
    account
        .filter(|account| people.contains(account))
        .ok_or_else(absent)
}

fn leave(step: &mut Step<'_>, chat: ChatRow, group: &Conversation) -> Result<(), ClientError> {
    let own = step.own.account.device.account_id;
    let log_id = group.log_id();
    let context = group.context();
    let Some(row) = step.tx.conversation(log_id)? else {
        return Ok(());
    };
    let is_alone = group.people().iter().all(|account| *account == own);
    if is_alone {
        note::left(step, &row, own, row.cursor_seq.0, true)?;
        return members::retire(step, &row, chat, LEFT);
    }
    let role = context.role(own);
    let mut owners = context
        .roles
        .iter()
        .filter(|entry| entry.role == Role::Owner);
    if role == Role::Owner && owners.all(|entry| entry.account_id == own) {
        return Err(ClientError::NotAllowed(format!(
            "you are the only owner of the group; first run `conclave group role {} WHO owner`",
            chat.chat_id
        )));
    }
    note::left(step, &row, own, row.cursor_seq.0, true)?;
    step.tx.delete_intents_of(chat.chat_id)?;
    if role != Role::Member {
        let role = Role::Member;
        want(step, chat.chat_id, Intent::SetRole { account: own, role })?;
    }
    members::fail_texts(step, chat.chat_id, LEFT)?;
    step.tx
        .push_outbox(chat.chat_id, Some(log_id), None, OutboxKind::Leave)?;
    Ok(step.tx.put_chat(&ChatRow {
        stage: ChatStage::Left,
        reason: LEFT.to_owned(),
        ..chat
    })?)
}

fn core_role(role: GroupRole) -> Role {
    match role {
        GroupRole::Member => Role::Member,
        GroupRole::Admin => Role::Admin,
        GroupRole::Owner => Role::Owner,
    }
}

fn shown_role(role: Role) -> GroupRole {
    match role {
        Role::Member => GroupRole::Member,
        Role::Admin => GroupRole::Admin,
        Role::Owner => GroupRole::Owner,
    }
}

fn show_group(tx: &Tx<'_>, own: &Own, chat: &ChatRow, now_ms: u64) -> Result<Group, ClientError> {
    let group = match chat.live_log {
        Some(log_id) => Conversation::load(tx, log_id)?,
        None => None,
    };
    let mut people = Vec::new();
    let mut has_link = false;
    let mut devices = 0;
    if let Some(group) = &group {
        let members = group.members();
        has_link = group.context().link.is_some();
        devices = members.len() as u64;
        for account in group.people() {
            people.push(show_member(tx, own, group, account)?);
        }
    }
    people.sort_by_key(|member| std::cmp::Reverse(member.role));
    let (mut waiting, mut failed) = (Vec::new(), Vec::new());
    for intent in tx.intents_of(chat.chat_id)? {
        let wish = Wish {
            text: wish_words(tx, &intent)?,
            reason: intent.reason.clone(),
        };
        if intent.reason.is_empty() {
            waiting.push(wish);
        } else {
            failed.push(wish);
        }
    }
    Ok(Group {
        chat: show_chat(tx, own, chat, now_ms)?,
        epoch: group.as_ref().map(|group| group.epoch().0),
        authenticator: group
            .as_ref()
            .map(|group| group.authenticator().iter().take(16).copied().collect())
            .unwrap_or_default(),
        people,
        devices,
        has_link,
        waiting,
        failed,
    })
}

fn show_member(
    tx: &Tx<'_>,
    own: &Own,
    group: &Conversation,
    account: AccountId,
) -> Result<GroupMember, ClientError> {
    let is_own = account == own.account.device.account_id;
    let who = if is_own {
        own.person()
    } else {
        person(tx, account)?
    };
    let theirs = group.members().into_iter();
    let confirmed = is_own || tx.contact(account)?.is_some_and(|row| row.confirmed);
    Ok(GroupMember {
        person: who,
        role: shown_role(group.context().role(account)),
        devices: theirs.filter(|member| member.account_id == account).count() as u64,
        own: is_own,
        confirmed,
    })
}
