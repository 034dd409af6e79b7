//! `Client`'s commands for everyday talk. Each is one step; the driver carries it out to the others.

use conclave_core::content::{ContactCard, Kind, Mention, MessageRef, TextMore};
use conclave_proto::id::{ChatId, MessageId};
use conclave_proto::limits::NAME_BYTES_MAX;

use super::{Done, keep, own_rights, row_of, who};
use crate::client::Client;
use crate::engine::{Step, show};
use crate::error::ClientError;
use crate::people::{find_contact, tell_profile};
use crate::picture;
use crate::send::{self, check_chat};
use crate::store::{ActKind, ActRow, Deleted, MessageRow, OutboxKind, Thing};
use crate::view::{Message, Profile, SendMore, Timer};

impl Client {
    /// [`Client::send`] with what comes beside the text: a reply, mentions, files, a contact card. With files or a
    /// card the text may be empty.
    pub async fn send_with(
        &self,
        to: &str,
        text: &str,
        more: SendMore,
    ) -> Result<Message, ClientError> {
        let more = TextMore {
            reply_to: more.reply_to,
            mentions: more.mentions,
            attachments: more.attachments,
            contact: more.contact,
            ..TextMore::default()
        };
        send::check(text, &more)?;
        let chat = self.chat_of(to).await?;
        let sent = self
            .engine()
            .step(|step| send::queue_with(step, chat, text, more));
        self.wake();
        sent
    }

    /// Sends what a message says to somebody else, marked as forwarded. Who said it first is not told.
    pub async fn forward(&self, id: MessageId, to: &str) -> Result<Message, ClientError> {
        let (text, said) = self.engine().look(|tx, _| {
            let row = tx
                .find_message(id)?
                .filter(|row| row.deleted == Deleted::No);
            let row = row.ok_or_else(|| gone(id))?;
            let is_words = row.raw.is_empty() && (row.own || row.reason.is_empty());
            if !is_words {
                return Err(ClientError::NotAllowed(
                    "this message cannot be read here, so it cannot be forwarded".into(),
                ));
            }
            Ok((row.body.clone(), row.more()))
        })?;
        let more = TextMore {
            forwarded: true,
            attachments: said.attachments,
            contact: said.contact,
            ..TextMore::default()
        };
        let chat = self.chat_of(to).await?;
        let sent = self
            .engine()
            .step(|step| send::queue_with(step, chat, &text, more));
        self.wake();
        sent
    }

    /// How other messages name the message with that id.
    pub fn message_ref(&self, id: MessageId) -> Result<MessageRef, ClientError> {
        self.engine().look(|tx, _| {
            let row = tx.find_message(id)?;
            row.map(|row| row.name()).ok_or_else(|| gone(id))
        })
    }

    /// Somebody's address, to pass it on.
    pub fn card(&self, who: &str) -> Result<ContactCard, ClientError> {
        self.engine().look(|tx, _| {
            let contact = find_contact(tx, who)?;
            let name = contact.name().to_owned();
            if contact.identifier.is_empty() {
                return Err(ClientError::NotFound(format!(
                    "no phone number or e-mail address of {who} is known here"
                )));
            }
            Ok(ContactCard {
                identifier: contact.identifier,
                name,
            })
        })
    }

    /// What this account shows of itself, or somebody else (`+E164`, e-mail, name).
    pub fn profile(&self, who: Option<&str>) -> Result<Profile, ClientError> {
        self.engine().look(|tx, own| {
            let account = match who {
                Some(who) => find_contact(tx, who)?.pin.account_id,
                None => own.account.device.account_id,
            };
            Ok(Profile {
                person: super::who(tx, own, account)?,
                picture: tx.picture(account)?.filter(|jpeg| !jpeg.is_empty()),
            })
        })
    }

    /// Changes what contacts see, and tells them: the name, at most 128 bytes; the picture, made from the bytes of a
    /// JPEG or PNG file, or removed by none. `None` leaves as it is.
    pub fn set_profile(
        &self,
        name: Option<&str>,
        picture: Option<&[u8]>,
    ) -> Result<(), ClientError> {
        if name
            .is_some_and(|name| name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control))
        {
            return Err(ClientError::BadInput(
                "a name has at most 128 bytes and no control characters".into(),
            ));
        }
        let picture = picture.map(|file| {
            if file.is_empty() {
                Ok(Vec::new())
            } else {
                picture::make(file)
            }
        });
        let picture = picture.transpose()?;
        let mut engine = self.engine();
        engine.step(|step| {
            let own = &step.own.account;
            let capability = own.capability.as_slice().try_into();
            let capability: [u8; 32] = capability
                .map_err(|_| ClientError::Broken("the own capability is damaged".into()))?;
            step.tx
                .put_own_profile(name.unwrap_or(&own.name), &capability)?;
            if let Some(jpeg) = &picture {
                step.tx.put_picture(own.device.account_id, jpeg)?;
            }
            tell_profile(step)?;
            step.tx.tell_groups_profile()?;
            Ok(step.tx.share(Thing::Profile)?)
        })?;
        engine.load_own()?;
        drop(engine);
        self.wake();
        Ok(())
    }

    /// The account of somebody that this profile knows, to name them in a text: `person` as people write them
    /// (identifier or name), behind an `@` in `text`. The mention stands at its first place there.
    pub fn mention(&self, text: &str, person: &str) -> Result<Mention, ClientError> {
        let named = format!("@{person}");
        let start = text.find(&named).ok_or_else(|| {
            ClientError::BadInput(format!("the text does not name them; write {named} in it"))
        })?;
        let account_id = self.engine().look(|tx, own| {
            if person == own.account.identifier {
                return Ok(own.account.device.account_id);
            }
            Ok(find_contact(tx, person)?.pin.account_id)
        })?;
        let place = |n: usize| {
            u32::try_from(n).map_err(|_| ClientError::TooLarge("the text is too long".into()))
        };
        Ok(Mention {
            start: place(start)?,
            length: place(named.len())?,
            account_id,
        })
    }

    /// Puts an emoji on a message in the place of the one before; an empty one takes it back.
    pub fn react(&self, id: MessageId, emoji: &str) -> Result<Message, ClientError> {
        let emoji = emoji.to_owned();
        self.act_on(id, |target, _| Ok(Kind::Reaction { target, emoji }))
    }

    /// Gives an own message other words; what it said before stays visible to everybody.
    pub fn edit(
        &self,
        id: MessageId,
        text: &str,
        mentions: Vec<Mention>,
    ) -> Result<Message, ClientError> {
        send::check_text(text)?;
        let body = text.to_owned();
        self.act_on(id, |target, row| {
            if !row.own {
                return Err(ClientError::NotAllowed(
                    "only its writer can edit a message".into(),
                ));
            }
            Ok(Kind::Edit {
                target,
                body,
                mentions,
            })
        })
    }

    /// Takes a message away from everybody: an own one, or in a group as its owner or admin. Programs of others that
    /// do not keep the rules may keep what they have.
    pub fn delete_for_everyone(&self, id: MessageId) -> Result<Message, ClientError> {
        self.act_on(id, |target, _| Ok(Kind::Delete { target }))
    }

    /// Holds a message up in its chat, or no longer; in a group as its owner or admin.
    pub fn pin(&self, id: MessageId, pinned: bool) -> Result<Message, ClientError> {
        self.act_on(id, |target, _| Ok(Kind::Pin { target, pinned }))
    }

    /// The messages held up in a chat, the one pinned last at the end.
    pub fn pins(&self, chat: ChatId) -> Result<Vec<Message>, ClientError> {
        self.engine().look(|tx, own| {
            let mut pins = Vec::new();
            for act in tx.acts_in(chat, ActKind::Pin)? {
                let target = act.target.filter(|_| act.number != 0);
                let row = target.map(|target| tx.message(target.sender, target.message_id));
                let Some(row) = row.transpose()?.flatten() else {
                    continue;
                };
                let shown = show(tx, own, &row)?;
                if shown.pinned && row.chat_id == chat && !pins.contains(&shown) {
                    pins.push(shown);
                }
            }
            Ok(pins)
        })
    }

    /// The time after which messages of a chat disappear.
    pub fn timer(&self, chat: ChatId) -> Result<Timer, ClientError> {
        self.engine().look(|tx, own| {
            let acts = tx.acts_in(chat, ActKind::Timer)?;
            let by = acts
                .last()
                .map(|act| who(tx, own, act.sender))
                .transpose()?;
            Ok(Timer {
                chat,
                seconds: acts.last().map_or(0, |act| act.number),
                by,
            })
        })
    }

    /// Sets it for what is written from now on, in seconds, at most a year; 0 = messages stay. In a group as its
    /// owner or admin.
    pub fn set_timer(&self, chat: ChatId, seconds: u32) -> Result<Timer, ClientError> {
        self.engine()
            .step(|step| act(step, chat, Kind::Timer { seconds }))?;
        self.wake();
        self.timer(chat)
    }

    /// Does to a message what `kind` says of it, and shows it.
    fn act_on(
        &self,
        id: MessageId,
        kind: impl FnOnce(MessageRef, &MessageRow) -> Result<Kind, ClientError>,
    ) -> Result<Message, ClientError> {
        let shown = self.engine().step(|step| {
            let row = find(step, id)?;
            let kind = kind(row.name(), &row)?;
            act(step, row.chat_id, kind)?;
            step.made = Some(id);
            let row = step.tx.message(row.sender, row.message_id)?;
            let row = row.ok_or_else(|| gone(id))?;
            show(step.tx, step.own, &row)
        });
        self.wake();
        shown
    }
}

fn gone(id: MessageId) -> ClientError {
    ClientError::NotFound(format!("there is no message {id}"))
}

/// A message that is here and not deleted.
pub(crate) fn find(step: &Step<'_>, id: MessageId) -> Result<MessageRow, ClientError> {
    let row = step.tx.find_message(id)?;
    let row = row.filter(|row| row.deleted != Deleted::ForMe);
    let row = row.ok_or_else(|| gone(id))?;
    if row.deleted != Deleted::No {
        return Err(ClientError::NotFound(format!("message {id} was deleted")));
    }
    Ok(row)
}

/// Does something in a chat: checked, kept, counted here, queued for the others.
fn act(step: &mut Step<'_>, chat_id: ChatId, kind: Kind) -> Result<(), ClientError> {
    kind.check()
        .map_err(|error| ClientError::BadInput(error.to_string()))?;
    let chat = check_chat(step, chat_id)?;
    let rights = own_rights(step, &chat)?;
    queue(step, chat_id, kind, |row| rights.allow(row))
}

/// A program that does not ask whether it may.
#[cfg(test)]
pub(crate) fn force(step: &mut Step<'_>, chat_id: ChatId, kind: Kind) -> Result<(), ClientError> {
    queue(step, chat_id, kind, |_| true)
}

fn queue(
    step: &mut Step<'_>,
    chat_id: ChatId,
    kind: Kind,
    is_allowed: impl FnOnce(&ActRow) -> bool,
) -> Result<(), ClientError> {
    let done = Done {
        chat_id,
        sender: step.own.account.device.account_id,
        act_id: MessageId::random(step.env),
        sent_ms: step.now_ms,
    };
    let row = row_of(&done, kind);
    let row = row.ok_or_else(|| ClientError::Broken("this is nothing to do in a chat".into()))?;
    if !is_allowed(&row) {
        return Err(ClientError::NotAllowed(
            "only the group's owners and admins can do this; ask one of them".into(),
        ));
    }
    if keep(step, &row)? {
        step.tx
            .push_outbox(chat_id, None, Some(row.act_id), OutboxKind::Act)?;
    }
    Ok(())
}
