//! What happens, as front ends hear it. An event is sent only after its rows are on disk.

use conclave_proto::id::{ChatId, MessageId};

use crate::view::{
    Attachment, Change, HistoryProgress, Message, MessageState, Note, Person, Timer,
};

/// Something happened. Every variant is also visible in the store; a slow listener loses only the hint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A message of somebody else came in.
    Received(Message),
    /// Somebody changed a message that is here: an edit, a reaction, a deletion, a pin.
    Changed {
        /// The message as it is now.
        message: Message,
        /// What was done.
        what: Change,
        /// Who did it.
        by: Person,
    },
    /// The time after which messages disappear is another one now.
    TimerSet(Timer),
    /// Somebody writes, or did a moment ago; forget it after six seconds.
    Typing {
        /// The chat.
        chat: ChatId,
        /// Who.
        from: Person,
    },
    /// An own message moved on.
    StateChanged {
        /// Its chat.
        chat: ChatId,
        /// The message.
        id: MessageId,
        /// Where it is now.
        state: MessageState,
    },
    /// A stranger asks.
    Requested {
        /// The chat it would become.
        chat: ChatId,
    },
    /// A contact's identity key is another one now; sending stopped.
    IdentityChanged {
        /// The chat with them.
        chat: ChatId,
    },
    /// Something happened in a chat that is no message: a note of it stands in its history.
    Noted(Note),
    /// Messages are gone before this device read them.
    Gap {
        /// The chat.
        chat: ChatId,
        /// First entry lost.
        from: u64,
        /// Last entry lost.
        to: u64,
    },
    /// History for another device moved on its way there, or here.
    History(HistoryProgress),
    /// A file of a message moved on its way up or down.
    File(Attachment),
    /// Something people should know: a sentence with what to do.
    Warning(String),
}
