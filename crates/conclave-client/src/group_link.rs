//! A group's link: made and revoked by wishes, shown to those who may know, and what it lets people ask.
//!
//! 1. `join LINK` keeps the wish; the driver asks the owners and admins that the link names
//! 2. one of them who is online, and whose group still has that link, adds whoever asks; else says why not
//! 3. the welcome that comes back from somebody who was asked needs no second acceptance

use conclave_core::conversation::{Change, Role};
use conclave_core::inbox_item::{self, InboxItem, JoinRequest, Notice};
use conclave_core::intro::Introduced;
use conclave_proto::account::DeviceCert;
use conclave_proto::group_link::GroupLink;
use conclave_proto::id::{AccountId, ChatId, LogId};

use crate::client::Client;
use crate::contact::new_group_chat;
use crate::engine::Step;
use crate::error::ClientError;
use crate::group::{allowed, refused};
use crate::invite::{intro, pointer_due};
use crate::membership::{Intent, want, want_soon};
use crate::net::Net;
use crate::shared::{Shared, broken};
use crate::states::fetch_missing;
use crate::store::{ChatRow, ChatStage, ContactRow, JoinWish, Stage};
use crate::transport::TransportError;
use crate::view::ChatKind;

/// A notice that says: this link is not valid any more.
const STALE_LINK: u8 = 1;
/// What a chat says while nobody has answered.
const ASKED: &str = "you asked to come in; an owner or admin who is online lets you in";

impl Client {
    /// Makes a link for a group, or a new one in place of the old: who shows that one is let in no more.
    pub fn create_group_link(&self, group: &str) -> Result<ChatId, ClientError> {
        self.wish(group, |step, chat, group| {
            let mut secret = [0; 32];
            step.env.fill(&mut secret);
            allowed(step, group, &[Change::Link(Some(secret))])?;
            let secret = Some(secret);
            want(step, chat.chat_id, Intent::SetLink { secret })
        })
    }

    /// Takes a group's link back.
    pub fn revoke_group_link(&self, group: &str) -> Result<ChatId, ClientError> {
        self.wish(group, |step, chat, group| {
            allowed(step, group, &[Change::Link(None)])?;
            want(step, chat.chat_id, Intent::SetLink { secret: None })
        })
    }

    /// A group's link as text.
    pub fn group_link(&self, group: &str) -> Result<String, ClientError> {
        self.engine().step(|step| {
            let (_, group) = crate::group::inside(step, group)?;
            let context = group.context();
            let own = step.own.account.device.account_id;
            if context.role(own) < Role::Admin {
                return Err(refused(step, &group, Role::Admin, "hand out its link")?);
            }
            let secret = context.link.ok_or_else(|| {
                ClientError::NotFound(
                    "the group has no link; `conclave group link create` makes one".into(),
                )
            })?;
            // Whoever may let people in, this account first: it shows the link.
            let mut people: Vec<_> = context.roles.iter().map(|entry| entry.account_id).collect();
            people.sort_by_key(|account| *account != own);
            let server_id = step.own.server_id();
            let link = GroupLink::new(server_id, context.log_id, secret, context.name(), people);
            Ok(link.to_string())
        })
    }

    /// Asks to come into the group of a link. Whoever is asked first and online lets this account in.
    pub fn join_group(&self, link: &str) -> Result<ChatId, ClientError> {
        let link: GroupLink =
            link.parse()
                .map_err(|error: conclave_proto::group_link::GroupLinkError| {
                    ClientError::BadInput(error.to_string())
                })?;
        let chat_id = self.engine().step(|step| ask(step, &link))?;
        self.wake();
        Ok(chat_id)
    }
}

/// Keeps the wish to come in, with the group's chat.
fn ask(step: &mut Step<'_>, link: &GroupLink) -> Result<ChatId, ClientError> {
    if link.server_id != step.own.server_id() {
        return Err(ClientError::BadInput(
            "that group is on another server; register there in another --profile".into(),
        ));
    }
    let here = step.tx.conversation(link.log_id)?;
    if let Some(row) = here.as_ref().filter(|row| row.stage != Stage::Broken) {
        let chat = step.tx.chat(row.chat_id)?;
        let is_leaving = chat.is_some_and(|chat| chat.stage == ChatStage::Left);
        return Err(ClientError::Exists(if is_leaving {
            "you are leaving that group; ask again once somebody in it has taken you out".into()
        } else {
            "you are in that group already".into()
        }));
    }
    let chat_id = match (step.tx.join_wish(link.log_id)?, here) {
        (Some(wish), _) => Some(wish.chat_id),
        (None, Some(row)) => Some(row.chat_id),
        (None, None) => None,
    };
    let chat = chat_id
        .map(|chat_id| step.tx.chat(chat_id))
        .transpose()?
        .flatten();
    let chat = chat.unwrap_or_else(|| new_group_chat(step, link.name(), ChatStage::Paused));
    step.tx.put_chat(&ChatRow {
        stage: ChatStage::Paused,
        reason: ASKED.to_owned(),
        ..chat.clone()
    })?;
    let wish = JoinWish {
        log_id: link.log_id,
        chat_id: chat.chat_id,
        asked: link.people.clone(),
        secret: link.secret.to_vec(),
    };
    step.tx.put_join_wish(&wish)?;
    Ok(chat.chat_id)
}

/// Part of step 3 of a round: those whom a link names are asked.
pub(crate) async fn knock(shared: &Shared, net: &mut Net) -> Result<(), TransportError> {
    let wishes = shared.engine().look(|tx, _| Ok(tx.knocks()?));
    for wish in wishes.map_err(|error| broken(shared, &error))? {
        if !fetch_missing(shared, net, &wish.asked).await? {
            return Ok(());
        }
        let posted = shared.engine().step(|step| post(step, &wish));
        posted.map_err(|error| broken(shared, &error))?;
        net.progress = true;
    }
    Ok(())
}

/// Seals the request to each device of those asked and queues it; the secret is needed no more then.
fn post(step: &mut Step<'_>, wish: &JoinWish) -> Result<(), ClientError> {
    let own = step.own.account.device.account_id;
    let secret = <[u8; 32]>::try_from(wish.secret.as_slice()).unwrap_or_default();
    let mut posted = 0;
    for account in wish.asked.iter().filter(|account| **account != own) {
        let known = step
            .tx
            .contact(*account)?
            .and_then(|contact| contact.known());
        for cert in known.iter().flat_map(|known| known.certs()) {
            let log_id = wish.log_id;
            let to = (cert.content.account_id, cert.content.device_id);
            let item = InboxItem::JoinRequest(JoinRequest {
                log_id,
                secret,
                intro: intro(step, to, log_id, None)?,
            });
            posted += u32::from(queue(step, log_id, &item, cert)?);
        }
    }
    step.tx.put_join_wish(&JoinWish {
        secret: Vec::new(),
        ..wish.clone()
    })?;
    if posted == 0 {
        refuse(
            step,
            wish,
            "nobody whom the link names can be reached any more",
        )?;
    }
    Ok(())
}

/// Whether the item could be sealed: a hostile certificate's key cannot be sealed to.
pub(crate) fn queue(
    step: &Step<'_>,
    log_id: LogId,
    item: &InboxItem,
    cert: &DeviceCert,
) -> Result<bool, ClientError> {
    let to = (cert.content.account_id, cert.content.device_id);
    let Ok(sealed) = inbox_item::seal(item, cert) else {
        return Ok(false);
    };
    step.tx.push_post(log_id, to, &sealed, pointer_due(step))?;
    Ok(true)
}

/// Somebody shows a link and asks: who may, adds them; a link that is not the group's any more is told (C-115).
pub(crate) fn asked(
    step: &mut Step<'_>,
    contact: &ContactRow,
    introduced: &Introduced,
    request: &JoinRequest,
) -> Result<(), ClientError> {
    let account = contact.pin.account_id;
    let log_id = request.log_id;
    let live = step.tx.conversation(log_id)?;
    let live = live.filter(|row| row.stage == Stage::Live);
    let Some(row) = live else { return Ok(()) };
    let chat = step.tx.chat(row.chat_id)?;
    let is_open = |chat: &ChatRow| chat.kind == ChatKind::Group && chat.stage == ChatStage::Open;
    let group = step.group(log_id)?;
    let own = step.own.account.device.account_id;
    // Who cannot let them in does not show either that there is such a group.
    let may = group.context().role(own) >= Role::Admin && chat.as_ref().is_some_and(is_open);
    if !may || contact.blocked {
        return Ok(());
    }
    if group.context().link == Some(request.secret) {
        step.tx.put_contact(&ContactRow {
            own_name: introduced.greeting.name.clone(),
            capability: introduced.greeting.capability.as_bytes().to_vec(),
            ..contact.clone()
        })?;
        return want_soon(step, row.chat_id, Intent::LetIn { account });
    }
    for cert in introduced.sender.certs() {
        let to = (cert.content.account_id, cert.content.device_id);
        let text = "the link of this group is not valid any more; ask for a new one";
        let item = InboxItem::Notice(Notice {
            log_id,
            code: STALE_LINK,
            text_bytes: text.as_bytes().into(),
            intro: intro(step, to, log_id, None)?,
        });
        queue(step, log_id, &item, cert)?;
    }
    Ok(())
}

/// Somebody who was asked says why not (C-115): anybody else is not heard.
pub(crate) fn answered(
    step: &mut Step<'_>,
    sender: AccountId,
    notice: &Notice,
) -> Result<(), ClientError> {
    let wish = step.tx.join_wish(notice.log_id)?;
    match wish.filter(|wish| wish.asked.contains(&sender)) {
        Some(wish) => refuse(step, &wish, notice.text()),
        None => Ok(()),
    }
}

fn refuse(step: &mut Step<'_>, wish: &JoinWish, reason: &str) -> Result<(), ClientError> {
    step.tx.delete_join_wish(wish.log_id)?;
    if let Some(chat) = step.tx.chat(wish.chat_id)? {
        step.warn(format!("the group {}: {reason}", chat.name));
        step.tx.put_chat(&ChatRow {
            stage: ChatStage::Left,
            reason: reason.to_owned(),
            ..chat
        })?;
    }
    Ok(())
}
