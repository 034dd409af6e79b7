//! The conversation of this account's own devices, and getting all of them into all the others.
//!
//! It begins with the second device. What is said there is the newest value of one thing each ([`SyncItem`]);
//! the last in the log counts, on every device alike: whoever has a newer value on its way passes over what was
//! said before it (C-126).
//!
//! A new device is let into conversations by the one that let it into the account, the newest first; should that
//! one be away, any other does it after a while (C-128).

use conclave_core::capability::Capability;
use conclave_core::content::{IdentitySeeds, SyncContact, SyncItem};
use conclave_core::conversation::create::create;
use conclave_core::conversation::{ConversationKind, CreateOptions, Joined, Member};
use conclave_core::identity::IdentitySecret;
use conclave_core::inbox_item::WelcomePointer;
use conclave_core::intro::Introduced;
use conclave_core::pin::Pin;
use conclave_proto::account::DeviceCert;
use conclave_proto::id::{AccountId, ChatId, DeviceId, LogId};
use conclave_proto::limits::DELETED_TOLD_MAX;

use crate::archive;
use crate::contact::new_group_chat;
use crate::engine::Step;
use crate::error::ClientError;
use crate::intent::random_below;
use crate::invite::keep_created;
use crate::keys;
use crate::members;
use crate::membership::{Intent, want};
use crate::net::Net;
use crate::picture;
use crate::read;
use crate::register::CERT_BEFORE_MS;
use crate::settings;
use crate::shared::{Shared, broken};
use crate::store::{ArchiveRow, ChatRow, ChatStage, ContactRow, Stage, Thing, parse_known};
use crate::transport::TransportError;
use crate::view::ChatKind;

/// Chats that get a new device at once; the others follow as these are done.
const CHATS_AT_ONCE: usize = 50;
/// How long another device than the one that changed the account waits before it does that one's work, in ms.
const STAND_IN_MS: u64 = 60_000;
/// How long a device waits for the own conversation before it begins one itself, in ms.
const BEGIN_ANYWAY_MS: u64 = 3_600_000;
/// Pause between two looks through the conversations, in ms.
const LOOK_AGAIN_MS: u64 = 2_000;
/// Shortest pause before an own device is asked for its key package again, in ms.
const AGAIN_MS: u64 = 250;
/// Longest pause before a device that never came is asked for again, in ms.
const NEVER_CAME_MS: u64 = 3_600_000;

// --- who is in ----------------------------------------------------------------------------------

/// The account has other devices since a moment ago: this device changed it, or learned that another one did.
pub(crate) fn devices_changed(step: &Step<'_>, is_own_doing: bool) -> Result<(), ClientError> {
    let wait_ms = if is_own_doing {
        0
    } else {
        STAND_IN_MS.saturating_add(random_below(step, STAND_IN_MS))
    };
    let due_ms = step.now_ms.saturating_add(wait_ms);
    Ok(step.tx.set_reconcile_ms(Some(due_ms))?)
}

/// A conversation is new here: the other own devices may be missing in it.
pub(crate) fn conversation_is_new(step: &Step<'_>, is_own_doing: bool) -> Result<(), ClientError> {
    if step.own.account.certs.len() > 1 {
        devices_changed(step, is_own_doing)?;
    }
    Ok(())
}

/// A part of each round: the own conversation exists, and wishes for devices that are missing somewhere.
pub(crate) fn tend(shared: &Shared, net: &mut Net) -> Result<(), TransportError> {
    let tended = reload(shared).and_then(|()| shared.engine().step(look_through));
    if let Some(due_ms) = tended.map_err(|error| broken(shared, &error))? {
        net.due_at(due_ms);
    }
    let is_due = shared.engine().look(|tx, _| {
        let is_new = |row: &ArchiveRow| !row.is_up && !row.is_over && row.done == 0;
        Ok(!tx.holes()?.is_empty() || tx.archives()?.iter().any(is_new))
    });
    if is_due.map_err(|error| broken(shared, &error))? {
        shared.archives.notify_one();
    }
    Ok(())
}

fn reload(shared: &Shared) -> Result<(), ClientError> {
    let mut engine = shared.engine();
    if engine.step(|step| Ok(step.tx.take_own_changed()?))? {
        engine.load_own()?;
    }
    Ok(())
}

/// Whether and when to look again.
fn look_through(step: &mut Step<'_>) -> Result<Option<u64>, ClientError> {
    settings::tend(step)?;
    let begin_ms = begin(step)?;
    let Some(due_ms) = step.tx.reconcile_ms()? else {
        return Ok(begin_ms);
    };
    // A date far ahead is that of a clock that was wrong.
    if due_ms > step.now_ms && due_ms - step.now_ms <= NEVER_CAME_MS {
        return Ok(Some(
            begin_ms.map_or(due_ms, |begin_ms| begin_ms.min(due_ms)),
        ));
    }
    members::drop_revoked(step, step.own.account.device.account_id)?;
    let mut room = CHATS_AT_ONCE.saturating_sub(step.tx.device_wishes()?);
    let mut is_all = true;
    for chat in step.tx.chats_by_newest()? {
        let missing = missing_in(step, &chat)?;
        if missing.is_empty() {
            continue;
        }
        if room == 0 {
            is_all = false;
            break;
        }
        room -= 1;
        for device in missing {
            let account = step.own.account.device.account_id;
            want(step, chat.chat_id, Intent::AddDevice { account, device })?;
        }
    }
    step.tx.set_reconcile_ms(None)?;
    if is_all {
        return Ok(begin_ms);
    }
    let again_ms = step.now_ms.saturating_add(LOOK_AGAIN_MS);
    step.tx.set_reconcile_ms(Some(again_ms))?;
    Ok(Some(again_ms))
}

/// Whether a device that this one let in is in every conversation, and can be told so in the own one.
pub(crate) fn is_everywhere(step: &Step<'_>, device: DeviceId) -> Result<bool, ClientError> {
    if step.tx.reconcile_ms()?.is_some() || step.tx.is_device_wished(device)? {
        return Ok(false);
    }
    let own = step.tx.own_chat()?.and_then(|chat| chat.live_log);
    let Some(log_id) = own else { return Ok(false) };
    let members = step.group(log_id)?.members();
    Ok(members.iter().any(|member| member.device_id == device))
}

/// Own devices that are not in a chat's conversation and not on their way in.
fn missing_in(step: &Step<'_>, chat: &ChatRow) -> Result<Vec<DeviceId>, ClientError> {
    let row = match chat.live_log {
        Some(log_id) if chat.stage == ChatStage::Open => step.tx.conversation(log_id)?,
        _ => None,
    };
    let Some(row) = row.filter(|row| row.stage != Stage::Broken) else {
        return Ok(Vec::new());
    };
    let (inside, waiting) = (
        step.group(row.log_id)?.members(),
        step.tx.intents_of(chat.chat_id)?,
    );
    let is_in = |device: DeviceId| {
        let is_it = |member: &Member| member.device_id == device;
        inside.iter().any(is_it)
            || waiting
                .iter()
                .any(|intent| intent.device_id == Some(device) && intent.reason.is_empty())
    };
    let devices = step.own.account.certs.iter();
    let devices = devices.map(|cert| cert.content.device_id);
    Ok(devices.filter(|device| !is_in(*device)).collect())
}

/// Begins the own conversation when there are others to be in it: the oldest device at once, any other when that
/// one does not. When to look again.
fn begin(step: &mut Step<'_>) -> Result<Option<u64>, ClientError> {
    let own = &step.own.account;
    if own.certs.len() < 2 || is_begun(step)? {
        return Ok(None);
    }
    let since = |cert: &DeviceCert| cert.content.not_before_ms.saturating_add(CERT_BEFORE_MS);
    let oldest = own
        .certs
        .iter()
        .min_by_key(|cert| (since(cert), cert.content.device_id));
    let is_oldest = oldest.is_some_and(|cert| cert.content.device_id == own.device.device_id);
    let begin_ms = since(&own.cert).saturating_add(BEGIN_ANYWAY_MS);
    if !is_oldest && step.now_ms < begin_ms {
        return Ok(Some(begin_ms));
    }
    let chat = own_chat(step)?;
    let options = CreateOptions {
        kind: ConversationKind::Own,
        name: String::new(),
        successor_of: None,
        roles: Vec::new(),
    };
    let created = create(step.outside(), &[], &options)
        .map_err(|error| ClientError::Store(error.to_string()))?;
    keep_created(step, &chat, &created)?;
    step.tx.set_reconcile_ms(Some(step.now_ms))?;
    Ok(None)
}

fn is_begun(step: &Step<'_>) -> Result<bool, ClientError> {
    let chat = step.tx.own_chat()?;
    Ok(chat.is_some_and(|chat| chat.live_log.is_some()))
}

/// The chat that only own devices are in; made when there is none. People do not see it.
fn own_chat(step: &Step<'_>) -> Result<ChatRow, ClientError> {
    if let Some(chat) = step.tx.own_chat()? {
        return Ok(chat);
    }
    let chat = ChatRow {
        kind: ChatKind::Own,
        ..new_group_chat(step, "", ChatStage::Open)
    };
    step.tx.put_chat(&chat)?;
    Ok(chat)
}

/// An own device has published no key package yet: it is asked for again, soon while it is young. One that does
/// not come holds nothing up; one that was in and has none left asks to be let in again by itself.
pub(crate) fn not_there_yet(step: &Step<'_>, device: DeviceId) -> Result<u64, ClientError> {
    step.tx.forget_readd(device)?;
    let mut certs = step.own.account.certs.iter();
    let cert = certs.find(|cert| cert.content.device_id == device);
    let since_ms = cert.map_or(0, |cert| {
        cert.content.not_before_ms.saturating_add(CERT_BEFORE_MS)
    });
    let age_ms = step.now_ms.abs_diff(since_ms);
    let again_ms = step
        .now_ms
        .saturating_add((age_ms / 4).clamp(AGAIN_MS, NEVER_CAME_MS));
    if age_ms < STAND_IN_MS {
        step.tx.put_off_device(device, again_ms)?;
    } else {
        step.tx.forget_device_wishes(device)?;
        step.tx.set_reconcile_ms(Some(again_ms))?;
    }
    Ok(again_ms)
}

// --- being let in -------------------------------------------------------------------------------

/// What a pointer by another own device leads to.
pub(crate) enum Pointed {
    /// To be joined at once: by whom, held in this chat until it is known where it belongs.
    Join(ChatRow),
    /// Its sender is listed by a newer state than the one known here, of this seq.
    Newer(u64),
    /// Nothing: a device that is not one of this account's.
    Void,
}

/// C-128: only a device of this account's newest state lets this one in unasked.
pub(crate) fn pointed(
    step: &Step<'_>,
    introduced: &Introduced,
    pointer: &WelcomePointer,
) -> Result<Pointed, ClientError> {
    let (state, own) = (introduced.sender.state(), &step.own.account);
    // By its keys, which signed the intro: its certificate may be another one since the identity key was replaced.
    let is_own = |cert: &DeviceCert| {
        let mut listed = own.certs.iter().map(|own| &own.content);
        listed.any(|own| {
            own.device_id == cert.content.device_id && own.leaf_key == cert.content.leaf_key
        })
    };
    if !introduced.sender.certs().iter().all(is_own) {
        let newer = state.content.seq > own.state.content.seq;
        return Ok(if newer {
            Pointed::Newer(state.content.seq)
        } else {
            Pointed::Void
        });
    }
    if step
        .tx
        .conversation(pointer.log_id)?
        .is_some_and(|row| row.stage != Stage::Broken)
    {
        return Ok(Pointed::Void);
    }
    own_chat(step).map(Pointed::Join)
}

/// The chat that a conversation belongs to which another own device let this one into.
pub(crate) fn home(
    step: &Step<'_>,
    log_id: LogId,
    joined: &Joined,
) -> Result<ChatRow, ClientError> {
    let context = joined.conversation.context();
    match context.kind {
        ConversationKind::Own => own_chat(step),
        ConversationKind::Direct => {
            let own = step.own.account.device.account_id;
            let mut people = joined.conversation.people().into_iter();
            match people.find(|account| *account != own) {
                Some(peer) => direct_chat(step, peer),
                None => Err(ClientError::Broken(
                    "a conversation of two has one person".into(),
                )),
            }
        }
        ConversationKind::Group => {
            let known = [Some(log_id), context.successor_of];
            for log_id in known.into_iter().flatten() {
                let chat = match step.tx.conversation(log_id)? {
                    Some(row) => Some(row.chat_id),
                    // C-153: its past came before it, by an archive
                    None => step.tx.archived_chat_of(log_id)?,
                };
                if let Some(chat) = chat.map(|id| step.tx.chat(id)).transpose()?.flatten() {
                    return opened(step, chat);
                }
            }
            let chat = new_group_chat(step, context.name(), ChatStage::Open);
            step.tx.put_chat(&chat)?;
            Ok(chat)
        }
    }
}

/// Another own device talks with them: so they are accepted here too.
fn direct_chat(step: &Step<'_>, peer: AccountId) -> Result<ChatRow, ClientError> {
    if let Some(contact) = step.tx.contact(peer)?.filter(|row| !row.accepted) {
        // Quietly: what the other device knows of them may still be on its way here.
        step.tx.put_contact_quietly(&ContactRow {
            accepted: true,
            ..contact
        })?;
    }
    if let Some(chat) = step.tx.chat_with(peer)? {
        return opened(step, chat);
    }
    let chat = crate::contact::new_chat(step, peer, ChatStage::Open);
    step.tx.put_chat(&chat)?;
    Ok(chat)
}

fn opened(step: &Step<'_>, mut chat: ChatRow) -> Result<ChatRow, ClientError> {
    if matches!(
        chat.stage,
        ChatStage::Request | ChatStage::Declined | ChatStage::Left
    ) {
        chat.stage = ChatStage::Open;
        chat.reason.clear();
        step.tx.put_chat(&chat)?;
    }
    Ok(chat)
}

// --- what is said -------------------------------------------------------------------------------

/// A device came into the own conversation by this one's hand: it is told everything.
pub(crate) fn tell_everything(step: &Step<'_>) -> Result<(), ClientError> {
    step.tx.share(Thing::Profile)?;
    for (device, _) in step.tx.device_names()? {
        step.tx.share(Thing::Device(device))?;
    }
    for contact in step.tx.contacts()? {
        if contact.accepted || contact.blocked || is_declined(step, contact.pin.account_id)? {
            step.tx.share(Thing::Contact(contact.pin.account_id))?;
        }
    }
    settings::tell_everything(step)
}

fn is_declined(step: &Step<'_>, account: AccountId) -> Result<bool, ClientError> {
    let chat = step.tx.chat_with(account)?;
    Ok(chat.is_some_and(|chat| chat.stage == ChatStage::Declined))
}

/// The value of one thing as it is now; `None` when it is gone.
pub(crate) fn item(step: &Step<'_>, what: Thing) -> Result<Option<SyncItem>, ClientError> {
    let own = &step.own.account;
    let picture = step.tx.picture(own.device.account_id)?;
    Ok(match what {
        Thing::Contact(account) => {
            let declined = is_declined(step, account)?;
            let contact = step.tx.contact(account)?;
            contact.map(|row| SyncItem::Contact(Box::new(said_of(row, declined))))
        }
        Thing::Device(device) => {
            let mut names = step.tx.device_names()?.into_iter();
            let named = names.find(|(id, _)| *id == device);
            named.map(|(device_id, name)| SyncItem::Device { device_id, name })
        }
        Thing::Profile => Capability::parse(&own.capability).map(|capability| SyncItem::Profile {
            name: own.name.clone(),
            capability,
            picture,
        }),
        Thing::Read(log_id) => {
            let seq = step.tx.own_read(log_id)?;
            Some(SyncItem::Read { log_id, seq })
        }
        Thing::Identity => {
            let identity = step.tx.identity()?;
            identity.map(|identity| SyncItem::Identity(IdentitySeeds(identity.to_stored())))
        }
        Thing::Chat(chat, field) => settings::item(step, chat, field)?,
        Thing::Deleted(of) => Some(SyncItem::Deleted(vec![of])),
        Thing::AllDeleted => {
            let targets = step.tx.deleted_for_me(DELETED_TOLD_MAX)?;
            (!targets.is_empty()).then_some(SyncItem::Deleted(targets))
        }
        Thing::History(device_id) => {
            let hole = step.tx.hole(device_id)?;
            let pointer = hole.and_then(|hole| hole.pointer);
            pointer.map(|pointer| SyncItem::History { device_id, pointer })
        }
    })
}

fn said_of(row: ContactRow, declined: bool) -> SyncContact {
    SyncContact {
        account_id: row.pin.account_id,
        capability: Capability::parse(&row.capability),
        states: row.states,
        identifier: row.identifier,
        given_name: row.given_name,
        own_name: row.own_name,
        confirmed: row.confirmed,
        accepted: row.accepted,
        blocked: row.blocked,
        verified: row.verified,
        declined,
    }
}

/// What another own device said. One that is out of the account has no say, even while it is still inside here.
pub(crate) fn apply(
    step: &mut Step<'_>,
    sender: &Member,
    said: SyncItem,
) -> Result<(), ClientError> {
    let mut certs = step.own.account.certs.iter();
    if !certs.any(|cert| cert.content.device_id == sender.device_id) {
        return Ok(());
    }
    let what = match &said {
        // What only grows is never passed over; a setting is looked at where its chat is known.
        SyncItem::Chat(setting) => return settings::told(step, setting),
        SyncItem::Deleted(targets) => return settings::deleted_elsewhere(step, targets),
        SyncItem::Read { log_id, seq } => return read::read_elsewhere(step, *log_id, *seq),
        SyncItem::Contact(contact) => Thing::Contact(contact.account_id),
        SyncItem::Device { device_id, .. } => Thing::Device(*device_id),
        SyncItem::Profile { .. } => Thing::Profile,
        SyncItem::Identity(_) => Thing::Identity,
        SyncItem::History { device_id, .. } => Thing::History(*device_id),
    };
    // C-126: this device's own value comes later in the log, and counts everywhere
    if step.tx.is_sharing(what)? {
        return Ok(());
    }
    match said {
        SyncItem::Contact(contact) => apply_contact(step, *contact),
        SyncItem::Device { device_id, name } => Ok(step.tx.put_device_name(device_id, &name)?),
        SyncItem::Profile {
            name,
            capability,
            picture,
        } => {
            let account = step.own.account.device.account_id;
            if let Some(jpeg) = picture.filter(|jpeg| picture::is_well(jpeg)) {
                step.tx.put_picture(account, &jpeg)?;
            }
            step.tx.put_own_profile(&name, capability.as_bytes())?;
            Ok(step.tx.set_own_changed()?)
        }
        // taken above
        SyncItem::Read { .. } | SyncItem::Chat(_) | SyncItem::Deleted(_) => Ok(()),
        SyncItem::Identity(seeds) => {
            if let Some(identity) = IdentitySecret::from_stored(&seeds.0) {
                keys::told(step, &identity)?;
            }
            Ok(())
        }
        // C-188
        SyncItem::History { device_id, pointer } => {
            if device_id == step.own.account.device.device_id {
                archive::take(step.tx, &pointer, step.now_ms)?;
            }
            Ok(())
        }
    }
}

/// C-127: what an own device accepted counts here, but nobody's newer state gives way to an older one.
fn apply_contact(step: &mut Step<'_>, said: SyncContact) -> Result<(), ClientError> {
    let account = said.account_id;
    let known = parse_known(step.own.server_id(), &said.states);
    let known = known.filter(|known| known.state().content.account_id == account);
    let Some(known) = known else {
        return Ok(());
    };
    if account == step.own.account.device.account_id {
        return Ok(());
    }
    let before = step.tx.contact(account)?;
    let said = with_known(said, before.as_ref());
    let pin = Pin::of(known.state());
    let is_older = |row: &&ContactRow| {
        row.pin.identity_fingerprint == pin.identity_fingerprint
            && row.pin.generation == pin.generation
            && row.pin.seq >= pin.seq
    };
    let kept = before.as_ref().filter(is_older);
    let (pin, states) = kept.map_or((pin, said.states), |row| (row.pin, row.states.clone()));
    let moved = before.as_ref().is_none_or(|row| {
        row.pin.identity_fingerprint != pin.identity_fingerprint
            || row.pin.generation != pin.generation
    });
    // A change that waits for a decision here was decided there, or still waits.
    let changed = before.as_ref().and_then(|row| row.changed.clone());
    step.tx.put_contact_quietly(&ContactRow {
        pin,
        states,
        identifier: said.identifier,
        given_name: said.given_name,
        own_name: said.own_name,
        changed: changed.filter(|_| !moved),
        capability: said
            .capability
            .map(|it| it.as_bytes().to_vec())
            .unwrap_or_default(),
        confirmed: said.confirmed,
        accepted: said.accepted,
        blocked: said.blocked,
        verified: said.verified,
        rotated_ms: before.as_ref().map_or(0, |row| row.rotated_ms),
        checked_ms: before.map_or(0, |row| row.checked_ms),
    })?;
    if moved {
        members::key_accepted(step, account)?;
    }
    decided_elsewhere(step, account, said.accepted, said.declined)
}

/// Whoever does not know an identifier, a name or a capability yet takes it from nobody.
fn with_known(mut said: SyncContact, before: Option<&ContactRow>) -> SyncContact {
    let Some(before) = before else {
        return said;
    };
    if said.identifier.is_empty() {
        said.identifier.clone_from(&before.identifier);
        said.confirmed |= before.confirmed;
    }
    if said.own_name.is_empty() {
        said.own_name.clone_from(&before.own_name);
    }
    if said.capability.is_none() {
        said.capability = Capability::parse(&before.capability);
    }
    said
}

/// A request that was answered on another own device is answered here.
fn decided_elsewhere(
    step: &mut Step<'_>,
    account: AccountId,
    accepted: bool,
    declined: bool,
) -> Result<(), ClientError> {
    let Some(mut chat) = step.tx.chat_with(account)? else {
        return Ok(());
    };
    let is_asking = matches!(chat.stage, ChatStage::Request | ChatStage::Declined);
    if accepted && is_asking {
        chat.stage = ChatStage::Open;
    } else if declined && chat.stage == ChatStage::Request {
        chat.stage = ChatStage::Declined;
        step.tx.mark_read(chat.chat_id)?;
    }
    Ok(step.tx.put_chat(&chat)?)
}

/// Whether a chat is the one of own devices: nothing there is a message to people.
pub(crate) fn is_own_chat(step: &Step<'_>, chat_id: ChatId) -> Result<bool, ClientError> {
    let chat = step.tx.chat(chat_id)?;
    Ok(chat.is_some_and(|chat| chat.kind == ChatKind::Own))
}
