//! First contact, the other end: inbox items become requests; accepted ones become conversations.
//!
//! Nothing is fetched, joined or committed before the person accepts (C-039). Contacts need no second
//! acceptance: a new conversation with the pinned identity is joined at once, as both wrote first (C-058)
//! or as a successor (C-059).

use conclave_core::content::TextMore;
use conclave_core::conversation::ConversationKind;
use conclave_core::inbox_item::{self, InboxItem, WelcomePointer};
use conclave_core::intro::Introduced;
use conclave_proto::account::AccountStates;
use conclave_proto::codec;
use conclave_proto::hello::Role;
use conclave_proto::id::{AccountId, ChatId, Day};
use conclave_proto::limits::{GROUP_REQUESTS_MAX, INBOX_PAGE_ITEMS, PAGES_AT_ONCE};

use crate::contact::{
    Judged, Source, accept_states, is_about_contact, look_up, new_chat, new_group_chat,
};
use crate::engine::{Step, show};
use crate::error::ClientError;
use crate::event::Event;
use crate::group_link;
use crate::held;
use crate::journal;
use crate::members::LEFT;
use crate::net::Net;
use crate::own;
use crate::own_sync::{self, Pointed};
use crate::rejoin;
use crate::shared::{Shared, broken, is_clock_wrong};
use crate::store::{ChatRow, ChatStage, ContactRow, InvitationRow, NewMessage, Stage};
use crate::successor::{self, Continues};
use crate::transport::{TransportError, calls};
use crate::view::ChatKind;

/// Step 2 of a round: every item becomes rows in one transaction, then is acknowledged.
pub(crate) async fn read_inbox(shared: &Shared, net: &mut Net) -> Result<(), TransportError> {
    let held = shared.engine().step(|step| held::due(step));
    for item in held.map_err(|error| broken(shared, &error))? {
        take_one(shared, net, &item).await?;
    }
    if !net.inbox_moved {
        return Ok(());
    }
    let (account, _) = net.connection(Role::Account).await?;
    if is_clock_wrong(shared, account.hello().skew_ms) {
        // What is void by its date would be deleted: it waits there, and so does this device.
        net.set_aside(None, shared.env.now_ms());
        net.forget(Role::Account);
        return Ok(());
    }
    let mut after = 0;
    for _ in 0..PAGES_AT_ONCE {
        let page = calls::read_inbox(account.as_ref(), after).await?;
        // C-083: each item costs a transaction.
        if page.items.len() > INBOX_PAGE_ITEMS as usize {
            return Err(TransportError::Protocol("an inbox page is too long"));
        }
        let mut done = Vec::with_capacity(page.items.len());
        for item in &page.items {
            if item.number <= after {
                return Err(TransportError::Protocol("inbox items do not grow"));
            }
            after = item.number;
            take_one(shared, net, &item.item).await?;
            // The rows are on disk, or it is void: the server may delete it.
            done.push(item.number);
        }
        if !done.is_empty() {
            calls::ack_inbox(account.as_ref(), done).await?;
        }
        if page.more && page.items.is_empty() {
            return Err(TransportError::Protocol(
                "an empty inbox page promises more",
            ));
        }
        if !page.more {
            net.inbox_moved = false;
            return Ok(());
        }
    }
    // C-083: everything else has its turn first.
    net.progress = true;
    Ok(())
}

/// One item becomes rows, after what it needs was asked for.
async fn take_one(shared: &Shared, net: &mut Net, item: &[u8]) -> Result<(), TransportError> {
    let mut taken = take_item(shared, item, false)?;
    net.progress = true;
    if let Some(asker) = taken.confirm.take() {
        confirm(shared, net, &asker).await?;
    }
    if taken.own_seq > 0 {
        net.own_seq = net.own_seq.max(taken.own_seq);
        own::catch_up_in_round(shared, net).await?;
    }
    if taken.again {
        taken = take_item(shared, item, true)?;
    }
    if let Some(chat) = taken.requested {
        // Nobody listening is fine: the request stands in the store.
        let _ = shared.engine().events.send(Event::Requested { chat });
    }
    Ok(())
}

fn take_item(shared: &Shared, item: &[u8], looked_up: bool) -> Result<Taken, TransportError> {
    let taken = shared.engine().step(|step| take(step, item, looked_up));
    taken.map_err(|error| broken(shared, &error))
}

/// What an item led to, besides rows.
struct Taken {
    /// Look this identifier up: somebody says that it is theirs.
    confirm: Option<String>,
    /// A stranger's request to tell of, once its identifier was looked up. Its first text is told with it.
    requested: Option<ChatId>,
    /// Whether the identity it shows must be looked up before it can be judged.
    again: bool,
    /// The own account's states up to this seq are needed first; 0 = none.
    own_seq: u64,
}

const VOID: Taken = Taken {
    confirm: None,
    requested: None,
    again: false,
    own_seq: 0,
};

/// Opens one item and writes what it says.
fn take(step: &mut Step<'_>, bytes: &[u8], looked_up: bool) -> Result<Taken, ClientError> {
    // Void is also what only a newer program knows: left there, any member could fill a stranger's slots.
    let Ok(item) = inbox_item::open(bytes, &step.own.account.device) else {
        return Ok(VOID);
    };
    let (intro, log_id) = match &item {
        InboxItem::Welcome(pointer) => (&pointer.intro, pointer.log_id),
        InboxItem::JoinRequest(request) => (&request.intro, request.log_id),
        InboxItem::Notice(notice) => (&notice.intro, notice.log_id),
        InboxItem::Rejoin(rejoin) => (&rejoin.intro, rejoin.log_id),
    };
    let device = &step.own.account.device;
    // C-039: signed for this device, this log, these days, by a device of its state.
    let Ok(introduced) = intro.verify(device, log_id, Day::of_ms(step.now_ms)) else {
        return Ok(VOID);
    };
    let sender = introduced.sender.state().content.account_id;
    // C-100: of anybody else nothing is kept, not even who they say they are
    if matches!(item, InboxItem::Rejoin(_)) && rejoin::may_ask(step, &introduced, log_id)?.is_none()
    {
        return Ok(VOID);
    }
    // C-137: a notice is an answer, or tells a contact of a new key; of a stranger's nothing is kept
    if matches!(item, InboxItem::Notice(_)) && step.tx.contact(sender)?.is_none() {
        return Ok(VOID);
    }
    if let InboxItem::Welcome(pointer) = &item
        && !may_lead_on(step, pointer)?
    {
        // C-182
        held::hold(step, pointer, sender, bytes)?;
        return asked_before(step, sender);
    }
    if sender == device.account_id {
        return of_own(step, &introduced, &item, looked_up);
    }
    let states = AccountStates {
        states: vec![introduced.sender.state().to_bytes()],
        certs: introduced
            .sender
            .certs()
            .iter()
            .map(conclave_proto::account::DeviceCert::to_bytes)
            .collect(),
        former_certs: vec![],
    };
    let before = step.tx.contact(sender)?;
    match accept_states(step, Source::Peer, &states) {
        Ok(Judged::Accepted(contact)) => said(step, *contact, &introduced, &item),
        // A gap closes with the lookup: what is said must not be lost over it.
        Ok(Judged::Doubtful | Judged::Fetch(..)) if !looked_up => Ok(Taken {
            confirm: Some(introduced.greeting.identifier.to_string()),
            again: true,
            ..VOID
        }),
        Ok(Judged::Doubtful) => still_doubtful(step, before),
        // Changed: kept for when the person accepts the new identity. Gaps close with the next lookup.
        Ok(Judged::Stopped | Judged::Fetch(..)) => {
            if let InboxItem::Welcome(pointer) = &item
                && pointer.kind == ConversationKind::Direct
                && let Some(chat) = step.tx.chat_with(sender)?
            {
                invite_row(step, &chat, sender, pointer)?;
            }
            Ok(Taken {
                confirm: Some(introduced.greeting.identifier.to_string()),
                ..VOID
            })
        }
        Ok(Judged::Own) | Err(ClientError::WrongServer(_)) => Ok(VOID),
        Err(error) => Err(error),
    }
}

/// A key that the lookup did not show: that lookup was made, or is due still, as `before` says.
fn still_doubtful(step: &Step<'_>, before: Option<ContactRow>) -> Result<Taken, ClientError> {
    if let Some(before) = before
        && let Some(now) = step.tx.contact(before.pin.account_id)?
    {
        step.tx.put_contact(&ContactRow {
            checked_ms: before.checked_ms,
            ..now
        })?;
    }
    Ok(VOID)
}

/// What another device of this account says: where to join, or that it wants to be put into a group anew.
fn of_own(
    step: &mut Step<'_>,
    introduced: &Introduced,
    item: &InboxItem,
    looked_up: bool,
) -> Result<Taken, ClientError> {
    let pointer = match item {
        InboxItem::Welcome(pointer) => pointer,
        InboxItem::Rejoin(request) => {
            rejoin::asked(step, None, introduced, request.log_id)?;
            return Ok(VOID);
        }
        InboxItem::JoinRequest(_) | InboxItem::Notice(_) => return Ok(VOID),
    };
    let own = step.own.account.device.account_id;
    match own_sync::pointed(step, introduced, pointer)? {
        Pointed::Join(chat) => {
            invite_row(step, &chat, own, pointer)?;
            Ok(VOID)
        }
        Pointed::Newer(seq) if !looked_up => Ok(Taken {
            own_seq: seq,
            again: true,
            ..VOID
        }),
        Pointed::Newer(_) | Pointed::Void => Ok(VOID),
    }
}

/// What somebody whose identity holds says.
fn said(
    step: &mut Step<'_>,
    contact: ContactRow,
    introduced: &Introduced,
    item: &InboxItem,
) -> Result<Taken, ClientError> {
    match item {
        InboxItem::Welcome(pointer) => return introduce(step, contact, introduced, pointer),
        InboxItem::JoinRequest(request) => {
            group_link::asked(step, &contact, introduced, request)?;
        }
        InboxItem::Notice(notice) => {
            group_link::answered(step, contact.pin.account_id, notice)?;
        }
        InboxItem::Rejoin(request) => {
            rejoin::asked(step, Some(&contact), introduced, request.log_id)?;
        }
    }
    Ok(VOID)
}

/// Somebody whose identity holds: a contact's invitation, or a stranger's request.
fn introduce(
    step: &mut Step<'_>,
    mut contact: ContactRow,
    introduced: &Introduced,
    pointer: &WelcomePointer,
) -> Result<Taken, ClientError> {
    // A group that is stuck goes on with whoever of it was first, contact or not.
    if is_successor(step, contact.pin.account_id, pointer)? {
        return Ok(VOID);
    }
    // A blocked or declined inviter learns nothing and changes nothing.
    if contact.blocked {
        return Ok(VOID);
    }
    let sender = contact.pin.account_id;
    let known_chat = step.tx.chat_with(sender)?;
    if known_chat
        .as_ref()
        .is_some_and(|chat| chat.stage == ChatStage::Declined)
    {
        return Ok(VOID);
    }
    if pointer.kind == ConversationKind::Own {
        // Of this account's own devices, which do not come this way.
        return Ok(VOID);
    }
    let is_group = pointer.kind == ConversationKind::Group;
    let greeting = &introduced.greeting;
    if contact.identifier.is_empty() || !contact.confirmed {
        contact.identifier = greeting.identifier.to_string();
    }
    contact.own_name.clone_from(&greeting.name);
    contact.capability = greeting.capability.as_bytes().to_vec();
    step.tx.put_contact(&contact)?;
    let chat = if is_group {
        let Some(chat) = group_chat(step, &contact, pointer)? else {
            return Ok(VOID);
        };
        chat
    } else if let Some(chat) = known_chat {
        chat
    } else {
        let stage = if contact.accepted {
            ChatStage::Open
        } else {
            ChatStage::Request
        };
        let chat = new_chat(step, sender, stage);
        step.tx.put_chat(&chat)?;
        chat
    };
    invite_row(step, &chat, sender, pointer)?;
    // A group is no place for words to one person.
    if let Some(first) = greeting.first.as_ref().filter(|_| !is_group) {
        let is_new = step.tx.insert_message(&NewMessage {
            chat_id: chat.chat_id,
            message_id: first.message_id,
            sender,
            own: false,
            body: &first.body,
            more: &TextMore::default(),
            raw: &[],
            reason: "",
            sent_ms: first.sent_ms,
            // A stranger's first text is told with the request, not as a message: shown once.
            is_heard: chat.stage == ChatStage::Request,
        })?;
        let row = step.tx.message(sender, first.message_id)?;
        if let (true, ChatStage::Open, Some(row)) = (is_new, chat.stage, row) {
            let shown = show(step.tx, step.own, &row)?;
            step.events.push(Event::Received(shown));
        }
    }
    let confirm = (!contact.confirmed).then(|| contact.identifier.clone());
    Ok(Taken {
        confirm,
        requested: note_request(step, &chat)?,
        ..VOID
    })
}

/// The event of a request is on disk with it; told it is after the lookup.
fn note_request(step: &Step<'_>, chat: &ChatRow) -> Result<Option<ChatId>, ClientError> {
    let requested = (chat.stage == ChatStage::Request).then_some(chat.chat_id);
    if let Some(chat) = requested {
        journal::write(step, &Event::Requested { chat })?;
    }
    Ok(requested)
}

/// An item that was taken before its sender's identifier was looked up: that is still to do.
fn asked_before(step: &Step<'_>, sender: AccountId) -> Result<Taken, ClientError> {
    let contact = step.tx.contact(sender)?;
    let unknown = contact.filter(|row| !row.confirmed && !row.identifier.is_empty());
    let Some(contact) = unknown else {
        return Ok(VOID);
    };
    let chat = step.tx.chat_with(sender)?;
    let asking = chat.filter(|chat| chat.stage == ChatStage::Request);
    Ok(Taken {
        confirm: Some(contact.identifier),
        requested: asking.map(|chat| chat.chat_id),
        ..VOID
    })
}

/// Whether a pointer is to a successor of a group that is here. Keeps it when it may be one (C-097), the newest of
/// each member.
fn is_successor(
    step: &Step<'_>,
    sender: AccountId,
    pointer: &WelcomePointer,
) -> Result<bool, ClientError> {
    let chat = match successor::continues(step, pointer, sender)? {
        Continues::Nothing => return Ok(false),
        Continues::Void => return Ok(true),
        Continues::Chat(chat) => chat,
    };
    for earlier in step.tx.invitations_of(chat.chat_id)? {
        if earlier.account_id == sender {
            step.tx.delete_invitation(earlier.log_id)?;
        }
    }
    invite_row(step, &chat, sender, pointer)?;
    Ok(true)
}

/// Whether a pointer can lead anywhere: to a log that is new here, or back into one that this device is out of.
/// One that leads to an epoch it was in already is an old one, replayed (C-110).
fn may_lead_on(step: &Step<'_>, pointer: &WelcomePointer) -> Result<bool, ClientError> {
    if step.tx.is_invited(pointer.log_id)? {
        return Ok(false);
    }
    let here = step.tx.conversation(pointer.log_id)?;
    Ok(here.is_none_or(|row| row.stage == Stage::Broken && pointer.epoch > row.epoch))
}

/// The chat of a group that somebody invites to: a contact's at once, a stranger's as a request. Who left by
/// themselves is asked again. `None` when this stranger asks too much.
fn group_chat(
    step: &mut Step<'_>,
    contact: &ContactRow,
    pointer: &WelcomePointer,
) -> Result<Option<ChatRow>, ClientError> {
    let inviter = contact.pin.account_id;
    let asked = step.tx.join_wish(pointer.log_id)?;
    // Anybody else may know the log id too: only those who were asked let in without another question.
    if let Some(wish) = asked.filter(|wish| wish.asked.contains(&inviter)) {
        step.tx.delete_join_wish(pointer.log_id)?;
        if let Some(chat) = step.tx.chat(wish.chat_id)? {
            let chat = ChatRow {
                stage: ChatStage::Open,
                reason: String::new(),
                ..chat
            };
            step.tx.put_chat(&chat)?;
            return Ok(Some(chat));
        }
    }
    if rejoin::is_awaited(step, pointer.log_id)? {
        // Who could be asked lets in without another question; nobody else is heard about it (C-100).
        return rejoin::chat_of(step, pointer.log_id, inviter);
    }
    let stage = if contact.accepted {
        ChatStage::Open
    } else {
        ChatStage::Request
    };
    let here = match step.tx.conversation(pointer.log_id)? {
        Some(row) => Some(row.chat_id),
        // its past came before it, from another device of the account
        None => step.tx.archived_chat_of(pointer.log_id)?,
    };
    let here = here.map(|chat_id| step.tx.chat(chat_id)).transpose()?;
    let here = match here.flatten() {
        Some(chat) => Some(chat),
        None => was_left(step, pointer)?,
    };
    if let Some(mut chat) = here.filter(|chat| chat.kind == ChatKind::Group) {
        chat.stage = if chat.reason == LEFT {
            ChatStage::Request
        } else {
            stage
        };
        chat.reason.clear();
        step.tx.put_chat(&chat)?;
        return Ok(Some(chat));
    }
    // C-111: what one stranger can make this device keep is bounded.
    if stage == ChatStage::Request && step.tx.requests_by(inviter)? >= GROUP_REQUESTS_MAX {
        return Ok(None);
    }
    let chat = new_group_chat(step, pointer.name(), stage);
    step.tx.put_chat(&chat)?;
    Ok(Some(chat))
}

/// The chat that this account is out of and that went on in the log of `pointer`: no second one of its name.
fn was_left(step: &Step<'_>, pointer: &WelcomePointer) -> Result<Option<ChatRow>, ClientError> {
    let old = pointer.successor_of.map(|old| step.tx.conversation(old));
    let Some(old) = old.transpose()?.flatten() else {
        return Ok(None);
    };
    let chat = step.tx.chat(old.chat_id)?;
    Ok(chat.filter(|chat| chat.stage == ChatStage::Left))
}

fn invite_row(
    step: &Step<'_>,
    chat: &ChatRow,
    account_id: AccountId,
    pointer: &WelcomePointer,
) -> Result<(), ClientError> {
    let row = InvitationRow {
        log_id: pointer.log_id,
        chat_id: chat.chat_id,
        account_id,
        pointer: codec::encode(pointer),
        received_ms: step.now_ms,
    };
    Ok(step.tx.put_invitation(&row)?)
}

/// Checks by a lookup of our own that the identifier leads to whoever claims it. A refusal leaves them unconfirmed.
async fn confirm(shared: &Shared, net: &mut Net, identifier: &str) -> Result<(), TransportError> {
    match look_up(shared, net, Source::Confirm(identifier)).await {
        Ok(_) => Ok(()),
        Err(error) if is_about_contact(&error) => Ok(()),
        Err(error) => Err(error),
    }
}
