//! Groups that somebody broke, or that the server lost: they go on in another log, without who broke them.
//!
//! 1. a commit is refused, or the log is gone: the group is stuck here, and so at every honest member's
//! 2. each member waits by its place in the tree; the first makes the successor, bound to the last good epoch
//! 3. the others join it when it is what follows from the old group (C-097), and say again what was not read
//! 4. where two were made at once, the smaller log id wins (C-058)
//! 5. an owner or admin adds whoever could not be reached by the first

use conclave_core::conversation::create::create;
use conclave_core::conversation::successor::{
    Cause, check_group_successor, successor_rank, successor_roles,
};
use conclave_core::conversation::{
    Conversation, ConversationKind, CreateError, CreateOptions, Joined, Predecessor, Role as Rank,
    SuccessorError,
};
use conclave_core::credential::Accounts as _;
use conclave_core::inbox_item::WelcomePointer;
use conclave_core::key_package::{self, CheckedKeyPackage};
use conclave_proto::ErrorCode;
use conclave_proto::codec;
use conclave_proto::hello::Role;
use conclave_proto::id::AccountId;
use conclave_proto::key_package::ClaimedKeyPackages;
use conclave_proto::limits::{ADDS_MAX, DEVICES_MAX, SUCCESSOR_SPACING_MS};

use crate::engine::{Step, person};
use crate::error::ClientError;
use crate::intent::wants_states;
use crate::invite::{self, can_be_sealed_to};
use crate::keys;
use crate::membership::{Intent, want_soon};
use crate::net::Net;
use crate::note;
use crate::recover;
use crate::rejoin;
use crate::restored;
use crate::shared::{Shared, broken, is_local};
use crate::states::fetch_missing;
use crate::store::{ChatRow, ChatStage, ConversationRow, InvitationRow, Stage, StuckRow};
use crate::transport::{TransportError, calls};
use crate::view::{ChatKind, Offence};

/// How long each member waits for those before it, in ms.
const TURN_MS: u64 = 1_000;
/// Turns after which everybody tries.
const TURNS_MAX: u64 = 6;
/// How long a successor is put off that cannot be made now, in ms.
const AGAIN_MS: u64 = 60_000;

/// Why a group cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// Nobody is named.
    Unknown,
    /// This account broke it like this: it goes on without them.
    By(AccountId, Offence),
    /// The server was put back from a backup (C-160).
    Restored,
}

impl StuckRow {
    fn cause(&self) -> Cause<'_> {
        Cause {
            left_out: &self.left_out,
            is_restored: self.restored_ms != 0,
        }
    }
}

/// A group cannot go on in `row`'s log: by itself at most once an hour, else the person is asked.
pub(crate) fn strand(
    step: &mut Step<'_>,
    chat: ChatRow,
    mut row: ConversationRow,
    reason: &str,
    why: Why,
) -> Result<(), ClientError> {
    if row.stage == Stage::Creating {
        return postpone(step, chat, row, reason);
    }
    let own = step.own.account.device.account_id;
    let earlier = step.tx.conversations_of(row.chat_id)?;
    let last_ms = earlier
        .iter()
        .map(|row| row.recovered_ms)
        .max()
        .unwrap_or(0);
    let too_soon = last_ms != 0 && step.now_ms.saturating_sub(last_ms) < SUCCESSOR_SPACING_MS;
    let (left_out, is_by_own) = match why {
        Why::By(by, offence) => {
            note::put_out(step, &row, by, offence)?;
            (if by == own { vec![] } else { vec![by] }, by == own)
        }
        _ => (vec![], false),
    };
    let mut stuck = StuckRow {
        log_id: row.log_id,
        chat_id: row.chat_id,
        left_out: left_out.clone(),
        due_ms: step.now_ms,
        restored_ms: if why == Why::Restored { step.now_ms } else { 0 },
    };
    let rank = match Conversation::load(step.tx, row.log_id)? {
        Some(old) => successor_rank(&old, stuck.cause()),
        None => 0,
    };
    let turns = u64::try_from(rank).unwrap_or(u64::MAX).min(TURNS_MAX);
    stuck.due_ms = step.now_ms.saturating_add(turns * TURN_MS);
    step.tx.put_stuck(&stuck)?;
    row.recovered_ms = step.now_ms;
    recover::retire(step, row)?;
    let name = chat.name.clone();
    // who is named as the one who broke it makes no successor: nobody would take it
    let is_asked = too_soon || is_by_own;
    step.tx.put_chat(&ChatRow {
        live_log: None,
        stage: if is_asked && chat.stage == ChatStage::Open {
            ChatStage::Paused
        } else {
            chat.stage
        },
        reason: if is_asked {
            reason.to_owned()
        } else {
            chat.reason
        },
        ..chat
    })?;
    let without = match left_out.first() {
        Some(by) => format!(" without {}", person(step.tx, *by)?.label()),
        None => String::new(),
    };
    step.warn(format!(
        "the group {name} could not go on ({reason}); it continues in a new one{without}"
    ));
    Ok(())
}

/// The server does not take a successor: it is tried again later.
fn postpone(
    step: &mut Step<'_>,
    chat: ChatRow,
    row: ConversationRow,
    reason: &str,
) -> Result<(), ClientError> {
    let made = Conversation::load(step.tx, row.log_id)?;
    let old = made.and_then(|made| made.context().successor_of);
    let old = old.map(|old| step.tx.stuck(old)).transpose()?.flatten();
    recover::retire(step, row)?;
    let stage = if old.is_some() {
        chat.stage
    } else {
        ChatStage::Paused
    };
    if let Some(old) = old {
        step.tx.put_stuck(&StuckRow {
            due_ms: step.now_ms.saturating_add(AGAIN_MS),
            ..old
        })?;
    }
    Ok(step.tx.put_chat(&ChatRow {
        live_log: None,
        stage,
        reason: reason.to_owned(),
        ..chat
    })?)
}

/// Step of a round: successors whose time has come are made.
pub(crate) async fn make_due(shared: &Shared, net: &mut Net) -> Result<(), TransportError> {
    let stuck = shared.engine().look(|tx, _| Ok(tx.stuck_groups()?));
    for stuck in stuck.map_err(|error| broken(shared, &error))? {
        if stuck.due_ms > shared.env.now_ms() {
            net.due_at(stuck.due_ms);
            continue;
        }
        match make_one(shared, net, &stuck).await {
            Err(error) if is_local(&error) => net.set_aside(None, shared.env.now_ms()),
            done => done?,
        }
    }
    Ok(())
}

async fn make_one(shared: &Shared, net: &mut Net, stuck: &StuckRow) -> Result<(), TransportError> {
    let people = shared.engine().step(|step| roster(step, stuck));
    let people = people.map_err(|error| broken(shared, &error))?;
    let mut claimed = Vec::new();
    for account in people {
        claimed.push((account, claim(shared, net, account).await?));
    }
    for is_last in [false, true] {
        let made = shared
            .engine()
            .step(|step| make(step, stuck, &claimed, is_last));
        match made.map_err(|error| broken(shared, &error))? {
            missing if missing.is_empty() => break,
            missing => {
                if !fetch_missing(shared, net, &missing).await? {
                    return Ok(());
                }
            }
        }
    }
    net.progress = true;
    Ok(())
}

/// Who shall be in the successor besides this device, owners and admins first, then in order of leaves.
fn roster(step: &mut Step<'_>, stuck: &StuckRow) -> Result<Vec<AccountId>, ClientError> {
    let Some(old) = Conversation::load(step.tx, stuck.log_id)? else {
        return Ok(vec![]);
    };
    let mut people: Vec<AccountId> = Vec::new();
    for member in old.members() {
        let account = member.account_id;
        if !people.contains(&account) && !stuck.left_out.contains(&account) {
            people.push(account);
        }
    }
    people.sort_by_key(|account| core::cmp::Reverse(old.context().role(*account)));
    Ok(people)
}

async fn claim(
    shared: &Shared,
    net: &mut Net,
    account: AccountId,
) -> Result<ClaimedKeyPackages, TransportError> {
    let capability = shared.engine().look(|tx, own| {
        if account == own.account.device.account_id {
            return Ok(own.account.capability.to_vec());
        }
        let contact = tx.contact(account)?;
        Ok(contact.map(|row| row.capability).unwrap_or_default())
    });
    let capability = capability.map_err(|error| broken(shared, &error))?;
    let (directory, _) = net.connection(Role::Directory).await?;
    let claimed =
        calls::claim_key_packages(directory.as_ref(), net.pass()?, account, &capability).await;
    match claimed {
        Err(TransportError::Refused(refusal)) if refusal.code() == ErrorCode::NotFound => {
            Ok(ClaimedKeyPackages::default())
        }
        claimed => claimed,
    }
}

/// Makes the successor and writes down everything that it needs. Accounts whose newer states are needed first;
/// `is_last` goes on without them.
fn make(
    step: &mut Step<'_>,
    stuck: &StuckRow,
    claimed: &[(AccountId, ClaimedKeyPackages)],
    is_last: bool,
) -> Result<Vec<AccountId>, ClientError> {
    let chat = step.tx.chat(stuck.chat_id)?;
    let chat = chat.filter(|chat| chat.live_log.is_none() && chat.stage == ChatStage::Open);
    let old = Conversation::load(step.tx, stuck.log_id)?;
    let (Some(chat), Some(old)) = (chat, old) else {
        return Ok(vec![]);
    };
    // C-137: the others go on without whoever holds the lost key, so a successor by this device would split them.
    if keys::is_left_behind(step, &old) {
        recover::pause_chat(step, chat, keys::GROUP_LEFT_BEHIND)?;
        return Ok(vec![]);
    }
    let (mut peers, missing) = packages(step, claimed);
    if !missing.is_empty() && !is_last {
        return Ok(missing);
    }
    peers.truncate(ADDS_MAX);
    let own = step.own.account.device.account_id;
    let mut people: Vec<_> = peers.iter().map(CheckedKeyPackage::account_id).collect();
    people.push(own);
    // C-160: members may stand at other epochs; they follow who may add anybody, and need no secret of this one
    let leads = stuck.restored_ms != 0 && old.context().role(own) >= Rank::Admin;
    let psk = old.reboot_psks(step.tx)?.into_iter().next();
    let options = CreateOptions {
        kind: ConversationKind::Group,
        name: old.context().name().to_owned(),
        roles: successor_roles(&old, &people),
        successor_of: Some(Predecessor {
            log_id: stuck.log_id,
            psk: psk.filter(|_| !leads),
        }),
    };
    let created = match create(step.outside(), &peers, &options) {
        Ok(created) => created,
        Err(CreateError::Failed(error)) => return Err(error.into()),
        Err(error) => {
            step.warn(format!("the group {} cannot go on: {error}", chat.name));
            recover::pause_chat(step, chat, &error.to_string())?;
            return Ok(vec![]);
        }
    };
    let log_id = created.log_id;
    invite::keep_group(step, &chat, created)?;
    // C-097: everybody waits for it, and posts of one's own group tell the server nothing new
    step.tx.hurry_posts_of(log_id, step.now_ms)?;
    complete(step, &chat, &old, &people, &stuck.left_out)?;
    Ok(vec![])
}

/// The claimed devices that can be invited, without this one, and accounts whose newer states that needs.
fn packages(
    step: &Step<'_>,
    claimed: &[(AccountId, ClaimedKeyPackages)],
) -> (Vec<CheckedKeyPackage>, Vec<AccountId>) {
    let accounts = step.tx.known_accounts(&step.own.known);
    let own = step.own.account.device.device_id;
    let (mut peers, mut missing) = (Vec::<CheckedKeyPackage>::new(), Vec::new());
    for (account, claimed) in claimed {
        let known = accounts.known(*account);
        // C-083: each check costs; an account has no more devices.
        for package in claimed.packages.iter().take(DEVICES_MAX) {
            match key_package::check(&package.key_package, &accounts, step.now_ms) {
                Ok(peer)
                    if peer.account_id() == *account
                        && peer.device_id() != own
                        && can_be_sealed_to(known.as_ref(), &peer)
                        && peers
                            .iter()
                            .all(|other| other.device_id() != peer.device_id()) =>
                {
                    peers.push(peer);
                }
                Err(error) if wants_states(&error) => missing.push(*account),
                _ => {}
            }
        }
    }
    (peers, missing)
}

/// Whoever may adds people of the old group that a successor was made without.
fn complete(
    step: &Step<'_>,
    chat: &ChatRow,
    old: &Conversation,
    people: &[AccountId],
    left_out: &[AccountId],
) -> Result<(), ClientError> {
    let own = step.own.account.device.account_id;
    let mut accounts = old.people();
    accounts.retain(|account| !people.contains(account) && !left_out.contains(account));
    if accounts.is_empty() || old.context().role(own) < Rank::Admin {
        return Ok(());
    }
    want_soon(step, chat.chat_id, Intent::AddPeople { accounts })
}

/// What a pointer continues that says it is to a group's successor.
pub(crate) enum Continues {
    /// No group that this device holds: it is an invitation as any other.
    Nothing,
    /// The group of this chat, by somebody who was in it: no new request.
    Chat(ChatRow),
    /// A group that is here and that its sender was not in, or that this account is about to leave (C-097).
    Void,
}

/// What `pointer` continues here, by `sender`.
pub(crate) fn continues(
    step: &Step<'_>,
    pointer: &WelcomePointer,
    sender: AccountId,
) -> Result<Continues, ClientError> {
    let Some((_, chat, group)) = continued(step, pointer)? else {
        return Ok(Continues::Nothing);
    };
    let goes_on = matches!(chat.stage, ChatStage::Open | ChatStage::Paused);
    let was_in = group.people().contains(&sender);
    Ok(if goes_on && was_in {
        Continues::Chat(chat)
    } else {
        Continues::Void
    })
}

/// The group that a pointer says it continues, when this device holds it: is in it, or got stuck in it. Who was
/// taken out holds it no more.
fn continued(
    step: &Step<'_>,
    pointer: &WelcomePointer,
) -> Result<Option<(ConversationRow, ChatRow, Conversation)>, ClientError> {
    let Some(old) = pointer.successor_of else {
        return Ok(None);
    };
    let row = step.tx.conversation(old)?;
    let (Some(row), Some(group)) = (row, Conversation::load(step.tx, old)?) else {
        return Ok(None);
    };
    let chat = step.tx.chat(row.chat_id)?;
    Ok(chat
        .filter(|chat| chat.kind == ChatKind::Group)
        .map(|chat| (row, chat, group)))
}

/// Whether a successor must wait: this device is not stuck in the old log, so nothing says that it is needed.
pub(crate) fn must_wait(step: &Step<'_>, pointer: &WelcomePointer) -> Result<bool, ClientError> {
    if rejoin::is_awaited(step, pointer.log_id)? {
        return Ok(false);
    }
    let Some((old, chat, _)) = continued(step, pointer)? else {
        return Ok(false);
    };
    Ok(match step.tx.stuck(old.log_id)? {
        // C-161: read on in meanwhile
        Some(stuck) if chat.live_log == Some(old.log_id) => !restored::follows(step, &stuck),
        Some(_) => false,
        None => true,
    })
}

/// Whether an invitation is to a successor of a group that is here.
pub(crate) fn is_invitation(
    step: &Step<'_>,
    invitation: &InvitationRow,
) -> Result<bool, ClientError> {
    match codec::parse_exact::<WelcomePointer>(&invitation.pointer) {
        Ok(pointer) => Ok(continued(step, &pointer)?.is_some()),
        Err(_) => Ok(false),
    }
}

/// Judges what was joined, when it continues a group that is here (C-097).
pub(crate) fn judge(
    step: &Step<'_>,
    joined: &Joined,
    pointer: &WelcomePointer,
) -> Result<Result<(), SuccessorError>, ClientError> {
    if rejoin::is_awaited(step, pointer.log_id)? {
        return match pointer.successor_of {
            Some(old) if step.tx.conversation(pointer.log_id)?.is_none() => {
                restored::judge(step, joined, old)
            }
            // It was in this very log before: that it continues another was judged then.
            _ => Ok(Ok(())),
        };
    }
    let Some((old, _, group)) = continued(step, pointer)? else {
        return Ok(Ok(()));
    };
    let Some(stuck) = step.tx.stuck(old.log_id)? else {
        return Ok(Err(SuccessorError::OtherPredecessor));
    };
    Ok(check_group_successor(joined, &group, stuck.cause()))
}

/// What follows from having joined a successor: whoever may completes it.
pub(crate) fn joined(step: &Step<'_>, chat: &ChatRow, joined: &Joined) -> Result<(), ClientError> {
    let Some(old) = joined.conversation.context().successor_of else {
        return Ok(());
    };
    let (group, stuck) = (Conversation::load(step.tx, old)?, step.tx.stuck(old)?);
    if let (Some(group), Some(stuck)) = (group, stuck) {
        let people = joined.conversation.people();
        complete(step, chat, &group, &people, &stuck.left_out)?;
    }
    Ok(())
}
