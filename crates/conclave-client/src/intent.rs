//! What people want of a conversation's members, from wish to commit.
//!
//! A wish says what shall be, not which commit makes it so: it is compared with the conversation as it stands,
//! built into one commit with all others that wait, and rebuilt on whoever won when that commit lost. So two
//! who change a group at once both get what they wanted, unless the second may not any more (C-105).

use std::collections::BTreeMap;

use conclave_core::conversation::{Change, Changing, Conversation, Member, Role, SealedBlob};
use conclave_core::credential::{Accounts as _, LeafError};
use conclave_core::key_package::{self, CheckedKeyPackage, KeyPackageError};
use conclave_core::leaf::LeafNodeError;
use conclave_proto::blob::NewBlob;
use conclave_proto::codec;
use conclave_proto::id::{AccountId, ChatId, DeviceId, LogId};
use conclave_proto::key_package::ClaimedKeyPackages;
use conclave_proto::limits::{ADDS_MAX, DEVICES_MAX, INTENT_TRIES_MAX, RETENTION_DAYS};
use conclave_proto::log::{Head, PutBundle};
use prost::Message as _;

use crate::engine::{Step, person};
use crate::error::ClientError;
use crate::invite::can_be_sealed_to;
use crate::store::{
    ChatRow, ChatStage, ConversationRow, IntentKind, IntentRow, PendingWelcome, Stage,
};
use crate::view::ChatKind;

/// Longest wait before the second try of a wish, in ms; doubles with each.
const AGAIN_MS: u64 = 250;
/// Ceiling of that wait, in ms.
const AGAIN_MAX_MS: u64 = 16_000;

/// Key packages claimed for a log, until a commit with them won: a lost race costs nobody another package.
pub(crate) type Claimed = BTreeMap<(LogId, AccountId, Option<DeviceId>), ClaimedKeyPackages>;

/// What a chat's wishes need before they can become a commit.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The log to commit to; `None` when nothing can be done now.
    pub(crate) log_id: Option<LogId>,
    /// Whose key packages to claim: of a person, or of one device.
    pub(crate) claims: Vec<(AccountId, Option<DeviceId>)>,
    /// When the next wish is due, ms since 1970-01-01 UTC.
    pub(crate) due_ms: Option<u64>,
}

/// What building a commit led to.
pub(crate) enum Built {
    /// Nothing to do.
    Nothing,
    /// A commit is on disk.
    Done,
    /// Newer states of these accounts are needed first.
    Missing(Vec<AccountId>),
}

/// Looks at a chat's wishes: those that hold are done, those tried too often fail.
pub(crate) fn plan(step: &mut Step<'_>, chat_id: ChatId) -> Result<Plan, ClientError> {
    let mut plan = Plan::default();
    let Some((chat, row)) = ready(step, chat_id)? else {
        return Ok(plan);
    };
    let group = step.group(row.log_id)?;
    let mut adds = 0;
    for intent in waiting(step, chat_id)? {
        if holds(&group, &intent) {
            step.tx.delete_intent(intent.id)?;
        } else if intent.due_ms > step.now_ms {
            plan.due_ms = Some(
                plan.due_ms
                    .map_or(intent.due_ms, |due| due.min(intent.due_ms)),
            );
        } else if intent.tries >= INTENT_TRIES_MAX {
            // C-105: others may change the group faster than this device; the person decides whether to go on.
            fail(
                step,
                &chat,
                &intent,
                "others change the group all the time; try again later",
            )?;
        } else {
            plan.log_id = Some(row.log_id);
            let is_add = matches!(
                intent.kind,
                IntentKind::AddPerson | IntentKind::AddDevice | IntentKind::Readd
            );
            if is_add && adds < ADDS_MAX {
                adds += 1;
                plan.claims.push((intent.account_id, intent.device_id));
            }
        }
    }
    Ok(plan)
}

/// The chat and its live conversation, when a commit can be made there now.
fn ready(
    step: &Step<'_>,
    chat_id: ChatId,
) -> Result<Option<(ChatRow, ConversationRow)>, ClientError> {
    let Some(chat) = step.tx.chat(chat_id)? else {
        return Ok(None);
    };
    let usable = matches!(chat.stage, ChatStage::Open | ChatStage::Left);
    let row = match chat.live_log {
        Some(log_id) if usable => step.tx.conversation(log_id)?,
        _ => None,
    };
    // C-061: one commit of ours at a time.
    let row = row.filter(|row| row.stage == Stage::Live && row.pending_bundle.is_none());
    Ok(row.map(|row| (chat, row)))
}

fn waiting(step: &Step<'_>, chat_id: ChatId) -> Result<Vec<IntentRow>, ClientError> {
    let mut intents = step.tx.intents_of(chat_id)?;
    intents.retain(|intent| intent.reason.is_empty());
    Ok(intents)
}

/// Whether the conversation is already as wanted.
fn holds(group: &Conversation, intent: &IntentRow) -> bool {
    let members = group.members();
    let is_in = |member: &Member| {
        member.account_id == intent.account_id
            && intent
                .device_id
                .is_none_or(|device| device == member.device_id)
    };
    let context = group.context();
    match intent.kind {
        IntentKind::AddPerson | IntentKind::AddDevice => members.iter().any(is_in),
        // Whoever puts it in anew takes the wish back; whoever takes it out as well.
        IntentKind::RemovePerson | IntentKind::RemoveDevice | IntentKind::Readd => {
            !members.iter().any(is_in)
        }
        IntentKind::Rename => context.name().as_bytes() == intent.value,
        IntentKind::SetRole => Some(context.role(intent.account_id)) == role_of(&intent.value),
        IntentKind::SetLink => context.link.as_ref().map_or(&[][..], |link| link) == intent.value,
    }
}

/// A role as a wish keeps it.
pub(crate) fn role_value(role: Role) -> Vec<u8> {
    vec![match role {
        Role::Member => 0,
        Role::Admin => 1,
        Role::Owner => 2,
    }]
}

fn role_of(value: &[u8]) -> Option<Role> {
    match value {
        [0] => Some(Role::Member),
        [1] => Some(Role::Admin),
        [2] => Some(Role::Owner),
        _ => None,
    }
}

/// Takes back wishes that hold now, whoever made them true.
pub(crate) fn settle(
    step: &Step<'_>,
    chat_id: ChatId,
    group: &Conversation,
) -> Result<(), ClientError> {
    for intent in waiting(step, chat_id)? {
        if holds(group, &intent) {
            step.tx.delete_intent(intent.id)?;
        }
    }
    Ok(())
}

/// A wish cannot be carried out: the person is told, and may wish again.
fn fail(
    step: &mut Step<'_>,
    chat: &ChatRow,
    intent: &IntentRow,
    reason: &str,
) -> Result<(), ClientError> {
    if intent.kind == IntentKind::Readd {
        // C-101: nobody here wanted it; the device asks again, and others than this one.
        return Ok(step.tx.delete_intent(intent.id)?);
    }
    step.tx.fail_intent(intent.id, reason)?;
    let what = words(step, intent)?;
    let own = step.own.account.device.account_id;
    if chat.stage == ChatStage::Left && intent.account_id == own {
        // Leaving begins with giving up one's rights; who may not is still in.
        step.tx.drop_leave(chat.chat_id)?;
        step.tx.put_chat(&ChatRow {
            stage: ChatStage::Open,
            reason: String::new(),
            ..chat.clone()
        })?;
    }
    let place = match chat.kind {
        ChatKind::Group => format!("the group {}", chat.name),
        _ => "a chat".to_owned(),
    };
    step.warn(format!("in {place}: {what} failed: {reason}"));
    Ok(())
}

/// What a wish is, in words.
pub(crate) fn words(step: &Step<'_>, intent: &IntentRow) -> Result<String, ClientError> {
    wish_words(step.tx, intent)
}

/// The same, of a look.
pub(crate) fn wish_words(
    tx: &crate::store::Tx<'_>,
    intent: &IntentRow,
) -> Result<String, ClientError> {
    let who = person(tx, intent.account_id)?.label();
    Ok(match intent.kind {
        IntentKind::AddPerson => format!("adding {who}"),
        IntentKind::AddDevice => format!("adding a device of {who}"),
        IntentKind::Readd => format!("letting a device of {who} in again"),
        IntentKind::RemovePerson => format!("removing {who}"),
        IntentKind::RemoveDevice => format!("removing a device of {who}"),
        IntentKind::Rename => "renaming".to_owned(),
        IntentKind::SetRole => format!("changing the role of {who}"),
        IntentKind::SetLink => "changing the link".to_owned(),
    })
}

/// What one wish comes to.
enum Part {
    Changes(Vec<Change>),
    Failed(String),
    Missing(AccountId),
    Later,
}

/// Builds one commit of all wishes that are due and writes it down with what it brings along.
pub(crate) fn build(
    step: &mut Step<'_>,
    chat_id: ChatId,
    claimed: &Claimed,
) -> Result<Built, ClientError> {
    let Some((chat, row)) = ready(step, chat_id)? else {
        return Ok(Built::Nothing);
    };
    let mut group = step.group(row.log_id)?;
    let mut changes = revoked(step, &group);
    let (mut carried, mut missing) = (Vec::new(), Vec::new());
    for intent in waiting(step, chat_id)? {
        if intent.due_ms > step.now_ms || holds(&group, &intent) {
            continue;
        }
        let part = match part(step, &group, &intent, claimed) {
            Part::Changes(part) => part,
            Part::Failed(reason) => {
                fail(step, &chat, &intent, &reason)?;
                continue;
            }
            Part::Missing(account) => {
                missing.push(account);
                continue;
            }
            Part::Later => continue,
        };
        if adds(&changes) + adds(&part) > ADDS_MAX {
            // With the next commit.
            continue;
        }
        let before = changes.len();
        changes.extend(part);
        let accounts = step.tx.known_accounts(&step.own.known);
        // C-106: asked of the same policy that everybody will ask; what nobody may do is not sent.
        match group.check_change(&accounts, &changes) {
            Ok(()) => carried.push(intent),
            Err(violation) => {
                changes.truncate(before);
                fail(step, &chat, &intent, &violation.to_string())?;
            }
        }
    }
    if !missing.is_empty() {
        return Ok(Built::Missing(missing));
    }
    if carried.is_empty() {
        return Ok(Built::Nothing);
    }
    commit(step, row, &mut group, &changes)?;
    for intent in carried {
        let due_ms = step.now_ms.saturating_add(again_ms(step, intent.tries));
        step.tx.try_intent(intent.id, due_ms)?;
    }
    Ok(Built::Done)
}

fn adds(changes: &[Change]) -> usize {
    let adds = changes
        .iter()
        .filter(|change| matches!(change, Change::Add(_)));
    adds.count()
}

/// A random wait that grows with each lost race, so that two do not meet again and again.
fn again_ms(step: &Step<'_>, tries: u32) -> u64 {
    let most = AGAIN_MS
        .saturating_mul(1 << tries.min(10))
        .min(AGAIN_MAX_MS);
    random_below(step, most)
}

/// A random time below `most` ms.
pub(crate) fn random_below(step: &Step<'_>, most: u64) -> u64 {
    let mut random = [0; 4];
    step.env.fill(&mut random);
    u64::from(u32::from_be_bytes(random)) % most.max(1)
}

/// Devices that their accounts took out: every commit takes them along, whoever made it and for whatever (C-107).
fn revoked(step: &Step<'_>, group: &Conversation) -> Vec<Change> {
    let accounts = step.tx.known_accounts(&step.own.known);
    let mut changes: Vec<Change> = Vec::new();
    for member in group.members() {
        if member.leaf != group.own_leaf() && is_revoked(&accounts, &member) {
            changes.push(Change::Remove { leaf: member.leaf });
        }
    }
    if group.check_change(&accounts, &changes).is_err() {
        changes.clear();
    }
    changes
}

/// Whether an accepted state of its account lists a device no more.
pub(crate) fn is_revoked(accounts: &crate::store::Known<'_>, member: &Member) -> bool {
    accounts.known(member.account_id).is_some_and(|known| {
        let devices = &known.state().content.devices;
        devices
            .iter()
            .all(|entry| entry.device_id != member.device_id)
    })
}

fn part(step: &Step<'_>, group: &Conversation, intent: &IntentRow, claimed: &Claimed) -> Part {
    match intent.kind {
        IntentKind::AddPerson | IntentKind::AddDevice => {
            let key = (group.log_id(), intent.account_id, intent.device_id);
            match claimed.get(&key) {
                Some(claimed) => packages(step, intent, claimed),
                None => Part::Later,
            }
        }
        IntentKind::RemovePerson | IntentKind::RemoveDevice => {
            Part::Changes(removals(group, intent))
        }
        IntentKind::Readd => {
            let key = (group.log_id(), intent.account_id, intent.device_id);
            match claimed.get(&key) {
                Some(claimed) => match packages(step, intent, claimed) {
                    Part::Changes(mut adds) => {
                        // C-095: out and in with one commit
                        let mut changes = removals(group, intent);
                        changes.append(&mut adds);
                        Part::Changes(changes)
                    }
                    other => other,
                },
                None => Part::Later,
            }
        }
        IntentKind::Rename => match String::from_utf8(intent.value.clone()) {
            Ok(name) => Part::Changes(vec![Change::Name(name)]),
            Err(_) => Part::Failed("the name is not text".into()),
        },
        IntentKind::SetRole => match role_of(&intent.value) {
            Some(role) => Part::Changes(vec![Change::Role {
                account_id: intent.account_id,
                role,
            }]),
            None => Part::Failed("there is no such role".into()),
        },
        IntentKind::SetLink => {
            let secret = <[u8; 32]>::try_from(intent.value.as_slice()).ok();
            Part::Changes(vec![Change::Link(secret)])
        }
    }
}

/// Leaves of whom or what a wish is about, out.
fn removals(group: &Conversation, intent: &IntentRow) -> Vec<Change> {
    let is_meant = |member: &Member| {
        member.account_id == intent.account_id
            && intent
                .device_id
                .is_none_or(|device| device == member.device_id)
    };
    let members = group.members().into_iter();
    members
        .filter(is_meant)
        .map(|member| Change::Remove { leaf: member.leaf })
        .collect()
}

/// The devices that a claim brought, checked; or why none of them can be added.
fn packages(step: &Step<'_>, intent: &IntentRow, claimed: &ClaimedKeyPackages) -> Part {
    let accounts = step.tx.known_accounts(&step.own.known);
    let known = accounts.known(intent.account_id);
    let mut peers: Vec<CheckedKeyPackage> = Vec::new();
    let mut reason =
        "no device of theirs can be invited; ask them to start conclave once".to_owned();
    // C-083: each check costs; an account has no more devices.
    for package in claimed.packages.iter().take(DEVICES_MAX) {
        match key_package::check(&package.key_package, &accounts, step.now_ms) {
            Ok(peer)
                if peer.account_id() != intent.account_id
                    || intent
                        .device_id
                        .is_some_and(|device| device != peer.device_id()) =>
            {
                "the server handed out a key package of somebody else".clone_into(&mut reason);
            }
            Ok(peer) if !can_be_sealed_to(known.as_ref(), &peer) => {
                "their device has an inbox key that cannot be used".clone_into(&mut reason);
            }
            Ok(peer) => {
                if peers
                    .iter()
                    .all(|other| other.device_id() != peer.device_id())
                {
                    peers.push(peer);
                }
            }
            Err(error) if wants_states(&error) => return Part::Missing(intent.account_id),
            Err(error) => reason = format!("their device cannot be invited: {error}"),
        }
    }
    if peers.is_empty() {
        return Part::Failed(reason);
    }
    Part::Changes(peers.into_iter().map(Change::Add).collect())
}

pub(crate) fn wants_states(error: &KeyPackageError) -> bool {
    matches!(
        error,
        KeyPackageError::Leaf(LeafNodeError::Leaf(
            LeafError::NewerState { .. } | LeafError::NoCertificate | LeafError::UnknownAccount
        ))
    )
}

/// Makes a commit and keeps it with what it brings along, in the step's transaction.
pub(crate) fn commit(
    step: &mut Step<'_>,
    mut row: ConversationRow,
    group: &mut Conversation,
    changes: &[Change],
) -> Result<(), ClientError> {
    let head = Head {
        epoch: row.epoch,
        seq: row.cursor_seq,
        hash: row.cursor_hash,
        incarnation: row.incarnation,
    };
    let days = u8::try_from(RETENTION_DAYS).unwrap_or(u8::MAX);
    let accounts = step.tx.known_accounts(&step.own.known);
    let changing = group
        .change(step.outside(), &accounts, &head, days, changes)
        .map_err(|error| ClientError::Store(error.to_string()))?;
    let Changing {
        pending,
        welcomes,
        tree,
    } = changing;
    let blobs = welcomes.iter().map(|welcome| &welcome.blob).chain(&tree);
    let blobs: Vec<NewBlob> = blobs.map(new_blob).collect();
    row.pending_blobs = (!blobs.is_empty()).then(|| {
        let bundle = PutBundle {
            blobs,
            ..PutBundle::default()
        };
        bundle.encode_to_vec()
    });
    if let Some(tree) = &tree {
        for welcome in &welcomes {
            let pending = PendingWelcome {
                account_id: welcome.account_id,
                device_id: welcome.device_id,
                welcome: codec::encode(&welcome.blob.pointer),
                tree: codec::encode(&tree.pointer),
            };
            step.tx.put_pending_welcome(row.log_id, &pending)?;
        }
    }
    row.pending_bundle = Some(pending.entry);
    step.tx.put_conversation(&row)?;
    Ok(())
}

/// A sealed blob as the server takes it.
pub(crate) fn new_blob(blob: &SealedBlob) -> NewBlob {
    NewBlob {
        blob_id: blob.pointer.blob_id.to_vec(),
        bytes: blob.bytes.clone(),
    }
}
