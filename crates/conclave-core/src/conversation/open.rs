//! A message entry becomes its content and sender, or a reason why it stays closed.

use conclave_proto::id::Epoch;
use openmls::framing::{ContentType, ProcessedMessageContent, Sender};

use super::{Conversation, Member, Outside, envelope};
use crate::mls_store::RowsError;
use crate::provider::MlsFailure;

/// What a message entry turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// A message by another device. The content is padded and not parsed yet.
    Message {
        /// Who sealed it.
        sender: Member,
        /// As it was given to `seal`.
        content: Vec<u8>,
    },
    /// An entry under our own leaf. Unauthenticated: compare its bytes with what was sent; if they are
    /// not ours, a copy of this profile is at work, or a member pretends so.
    Own,
    /// It cannot be read, now or ever; nothing was changed. Keep a row that says why, and go on.
    Unreadable(Unreadable),
}

/// Why an entry stays closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// Its header is not what it must be (C-029). Whoever appended it is broken or hostile.
    #[error("the entry is not a message of this conversation: {0}")]
    Envelope(&'static str),
    /// It does not decrypt or verify, came twice, or skips too many messages of its sender.
    #[error("the message cannot be decrypted; answer it, then ask for it again")]
    Closed,
}

/// Why an entry could not even be tried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// This device was removed; entries after its removal are not for it.
    #[error("this device is no longer in the conversation")]
    NotMember,
    /// The entry is not of the conversation's epoch: the caller skipped or repeated a commit. Load again.
    #[error("entry of epoch {entry} given to a conversation in epoch {own}")]
    WrongEpoch {
        /// Of the entry.
        entry: Epoch,
        /// Of the conversation.
        own: Epoch,
    },
    /// The store failed, or we are broken. Roll back and drop the conversation.
    #[error(transparent)]
    Failed(#[from] MlsFailure),
}

impl From<RowsError> for OpenError {
    fn from(error: RowsError) -> Self {
        Self::Failed(error.into())
    }
}

impl Conversation {
    /// Opens the payload of a message entry that the log holds in `epoch`.
    pub fn open_message(
        &mut self,
        outside: Outside<'_>,
        payload: &[u8],
        epoch: Epoch,
    ) -> Result<Opened, OpenError> {
        if !self.is_active() {
            return Err(OpenError::NotMember);
        }
        let own = self.epoch();
        if epoch != own {
            return Err(OpenError::WrongEpoch { entry: epoch, own });
        }
        // C-029: the header first
        let checked = envelope::parse(payload, self.log_id(), epoch, ContentType::Application);
        let message = match checked {
            Ok(message) => message,
            Err(reason) => return Ok(Opened::Unreadable(Unreadable::Envelope(reason))),
        };
        let provider = outside.provider();
        let processed = self.group.process_message(&provider, message);
        // C-086: MLS steps a ratchet only for what opened, in memory too;
        // a failed row looks like a closed message to MLS and must not become one
        let Ok(processed) = provider.settle(processed)? else {
            return Ok(Opened::Unreadable(Unreadable::Closed));
        };
        let sender = match processed.sender() {
            Sender::Member(leaf) => self.member(leaf.u32()),
            _ => None,
        };
        Ok(match (processed.into_content(), sender) {
            (ProcessedMessageContent::OwnPrivateMessage, _) => Opened::Own,
            (ProcessedMessageContent::ApplicationMessage(message), Some(sender)) => {
                Opened::Message {
                    sender,
                    content: message.into_bytes(),
                }
            }
            _ => Opened::Unreadable(Unreadable::Closed),
        })
    }
}
