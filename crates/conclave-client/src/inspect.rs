//! What a profile knows about its conversations, for whoever checks that all devices agree.

use conclave_core::conversation::{Conversation, Outside};
use conclave_proto::id::{AccountId, ChatId, DeviceId, Epoch, Hash32, LogId, MessageId, Seq};

use crate::client::Client;
use crate::error::ClientError;
use crate::store::Stage;

/// One conversation as this device stands in it. Holds no key: the authenticator is what RFC 9420 §8.7 lets
/// members compare aloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationView {
    /// Log and MLS group.
    pub log_id: LogId,
    /// The chat it belongs to.
    pub chat: ChatId,
    /// Whether new messages of the chat go there.
    pub is_live: bool,
    /// Whether the server has it and it is still read.
    pub is_going: bool,
    /// Epoch of the MLS group.
    pub epoch: Epoch,
    /// Equal on all devices in the same state of the same epoch (RFC 9420 §8.7).
    pub authenticator: Vec<u8>,
    /// This device.
    pub own: (AccountId, DeviceId),
    /// Devices in it, in order of their leaves.
    pub members: Vec<(AccountId, DeviceId)>,
    /// Last entry applied.
    pub cursor: (Seq, Hash32),
}

/// Where a message stands in the log that it came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessagePlace {
    /// The message.
    pub id: MessageId,
    /// The log.
    pub log_id: LogId,
    /// Epoch of its entry.
    pub epoch: Epoch,
    /// Place in the log.
    pub seq: Seq,
}

impl Client {
    /// The epoch of every conversation that this device still reads: cheap, to see whether
    /// [`Client::inspect`] has anything new to say.
    pub fn epochs(&self) -> Result<Vec<(LogId, Epoch)>, ClientError> {
        self.engine().look(|tx, _| {
            let rows = tx.active_conversations()?.into_iter();
            Ok(rows.map(|row| (row.log_id, row.epoch)).collect())
        })
    }

    /// Where the messages of a chat stand, in the order of its history; those that stand in no log are left out.
    pub fn places(&self, chat: ChatId) -> Result<Vec<MessagePlace>, ClientError> {
        self.engine().look(|tx, _| Ok(tx.places(chat)?))
    }

    /// Lends this device's keys and rows, in a transaction that stays: for the simulator, which plays members who break
    /// the protocol. What is made of them may cost the device its place everywhere.
    pub fn lend<T>(&self, work: impl FnOnce(Outside<'_>) -> T) -> Result<T, ClientError> {
        self.engine().step(|step| Ok(work(step.outside())))
    }

    /// Every conversation that this device still reads, oldest first within a chat.
    pub fn inspect(&self) -> Result<Vec<ConversationView>, ClientError> {
        self.engine().look(|tx, own| {
            let device = &own.account.device;
            let mut views = Vec::new();
            for row in tx.active_conversations()? {
                let Some(group) = Conversation::load(tx, row.log_id)? else {
                    continue;
                };
                let chat = tx.chat(row.chat_id)?;
                let members = group.members().into_iter();
                views.push(ConversationView {
                    log_id: row.log_id,
                    chat: row.chat_id,
                    is_live: chat.is_some_and(|chat| chat.live_log == Some(row.log_id)),
                    is_going: row.stage == Stage::Live && group.is_active(),
                    epoch: row.epoch,
                    authenticator: group.authenticator().to_vec(),
                    own: (device.account_id, device.device_id),
                    members: members
                        .map(|member| (member.account_id, member.device_id))
                        .collect(),
                    cursor: (row.cursor_seq, row.cursor_hash),
                });
            }
            Ok(views)
        })
    }
}
