//! What the person set for one chat, as own devices tell each other: each setting is a thing of its own.

use conclave_proto::id::{AccountId, LogId};
use conclave_proto::limits::TEXT_BYTES_MAX;

/// One setting of one chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncChat {
    /// Which chat.
    pub chat: ChatName,
    /// What is set.
    pub setting: ChatSetting,
}

/// How own devices name a chat to each other: each of them has an id of its own for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChatName {
    /// The chat with somebody.
    With(AccountId),
    /// The chat that a conversation belongs to.
    Of(LogId),
}

/// A place in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPlace {
    /// The log.
    pub log_id: LogId,
    /// The entry.
    pub seq: u64,
}

/// The newest value of one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChatSetting {
    /// Silent until then, ms since 1970-01-01 UTC; 0 = not.
    MutedUntil(u64),
    /// Put away, until somebody else says something after the place (C-201).
    Archived {
        /// Whether it is.
        archived: bool,
        /// How far the device that put it away had read the log; `None` when there was none.
        from: Option<LogPlace>,
    },
    /// Stands above the others.
    Pinned(bool),
    /// What the person began to write, at most 64 KiB; empty when nothing.
    Draft(String),
    /// Shown as unread although nothing is.
    MarkedUnread(bool),
    /// Everything up to the place was deleted for this person; never taken back (C-202).
    Cleared(LogPlace),
    /// What the person said to an invitation into the group's log, which is named by its log (C-233).
    Answered {
        /// Whether they go in.
        accepted: bool,
        /// The last entry that the invitation knows of; the answer is to no later one.
        seq: u64,
    },
}

impl SyncChat {
    pub(super) fn is_well(&self) -> bool {
        match &self.setting {
            ChatSetting::Draft(text) => text.len() <= TEXT_BYTES_MAX,
            _ => true,
        }
    }

    pub(super) fn to_wire(&self) -> WireChat {
        let place = |place: LogPlace| WirePlace {
            log_id: place.log_id.to_vec(),
            seq: place.seq,
        };
        let (account_id, log_id) = match self.chat {
            ChatName::With(account) => (account.to_vec(), Vec::new()),
            ChatName::Of(log_id) => (Vec::new(), log_id.to_vec()),
        };
        let setting = match &self.setting {
            ChatSetting::MutedUntil(until_ms) => WireSetting::MutedUntil(*until_ms),
            ChatSetting::Archived { archived, from } => WireSetting::Archived(WireArchived {
                archived: *archived,
                from: from.map(place),
            }),
            ChatSetting::Pinned(pinned) => WireSetting::Pinned(*pinned),
            ChatSetting::Draft(text) => WireSetting::Draft(text.clone()),
            ChatSetting::MarkedUnread(marked) => WireSetting::MarkedUnread(*marked),
            ChatSetting::Cleared(to) => WireSetting::Cleared(place(*to)),
            ChatSetting::Answered { accepted, seq } => WireSetting::Answered(WireAnswered {
                accepted: *accepted,
                seq: *seq,
            }),
        };
        WireChat {
            account_id,
            log_id,
            setting: Some(setting),
        }
    }

    pub(super) fn parse(wire: WireChat) -> Option<Self> {
        let chat = match (wire.account_id.as_slice(), wire.log_id.as_slice()) {
            (account, []) => ChatName::With(AccountId::parse(account)?),
            ([], log_id) => ChatName::Of(LogId::parse(log_id)?),
            _ => return None,
        };
        let setting = match wire.setting? {
            WireSetting::MutedUntil(until_ms) => ChatSetting::MutedUntil(until_ms),
            WireSetting::Archived(wire) => ChatSetting::Archived {
                archived: wire.archived,
                from: match wire.from {
                    Some(place) => Some(place.parse()?),
                    None => None,
                },
            },
            WireSetting::Pinned(pinned) => ChatSetting::Pinned(pinned),
            WireSetting::Draft(text) => ChatSetting::Draft(text),
            WireSetting::MarkedUnread(marked) => ChatSetting::MarkedUnread(marked),
            WireSetting::Cleared(place) => ChatSetting::Cleared(place.parse()?),
            WireSetting::Answered(WireAnswered { accepted, seq }) => {
                ChatSetting::Answered { accepted, seq }
            }
        };
        Some(Self { chat, setting })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WireChat {
    #[prost(bytes = "vec", tag = "1")]
    account_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    log_id: Vec<u8>,
    #[prost(oneof = "WireSetting", tags = "3, 4, 5, 6, 7, 8, 9")]
    setting: Option<WireSetting>,
}

impl WireChat {
    /// Whether it sets what this version does not know.
    pub(super) fn is_newer(&self) -> bool {
        self.setting.is_none()
    }
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum WireSetting {
    #[prost(uint64, tag = "3")]
    MutedUntil(u64),
    #[prost(message, tag = "4")]
    Archived(WireArchived),
    #[prost(bool, tag = "5")]
    Pinned(bool),
    #[prost(string, tag = "6")]
    Draft(String),
    #[prost(bool, tag = "7")]
    MarkedUnread(bool),
    #[prost(message, tag = "8")]
    Cleared(WirePlace),
    #[prost(message, tag = "9")]
    Answered(WireAnswered),
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireArchived {
    #[prost(bool, tag = "1")]
    archived: bool,
    #[prost(message, optional, tag = "2")]
    from: Option<WirePlace>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireAnswered {
    #[prost(bool, tag = "1")]
    accepted: bool,
    #[prost(uint64, tag = "2")]
    seq: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WirePlace {
    #[prost(bytes = "vec", tag = "1")]
    log_id: Vec<u8>,
    #[prost(uint64, tag = "2")]
    seq: u64,
}

impl WirePlace {
    fn parse(&self) -> Option<LogPlace> {
        Some(LogPlace {
            log_id: LogId::parse(&self.log_id)?,
            seq: self.seq,
        })
    }
}
