//! What every conversation says about itself: extension 0xF0C1 of its group context (C-034).

use conclave_proto::codec;
use conclave_proto::id::{AccountId, LogId, ServerId};
use openmls::credentials::CredentialType;
use openmls::extensions::errors::InvalidExtensionError;
use openmls::extensions::{
    Extension, ExtensionType, Extensions, RequiredCapabilitiesExtension, UnknownExtension,
};
use openmls::group::GroupContext;
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::key_package::EXTENSION_CONTEXT;

/// Version of [`ConversationContext`].
pub const CONTEXT_VERSION: u16 = 1;

/// Version of this program's conversation rules; a context whose `min_version` is higher pauses the chat.
pub const RULES_VERSION: u16 = 1;

/// What an account may do in a conversation. Nobody is listed yet: everybody may do what two people need.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, TlsSize, TlsSerialize, TlsDeserializeBytes,
)]
pub struct AccountRole {
    /// The account.
    pub account_id: AccountId,
    /// Kept for groups.
    pub role: u8,
}

/// The conversation's own description, carried in every epoch.
#[derive(Debug, Clone, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct ConversationContext {
    /// [`CONTEXT_VERSION`].
    pub version: u16,
    /// The server that keeps the log. Never changes.
    pub server_id: ServerId,
    /// The log, equal to the MLS group id. Never changes.
    pub log_id: LogId,
    /// Lowest [`RULES_VERSION`] that may take part from here on.
    pub min_version: u16,
    /// The conversation that this one continues. Never changes.
    pub successor_of: Option<LogId>,
    /// Roles, sorted by account; empty until groups exist.
    pub roles: Vec<AccountRole>,
}

/// A group context that is not one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContextError {
    /// Extensions are missing, extra or malformed (C-034): the peer's client is broken or hostile.
    #[error("the conversation's context is missing or malformed")]
    Malformed,
    /// The conversation asks for a newer program. Update Conclave, then try again; nothing is lost.
    #[error("the conversation needs a newer version of conclave")]
    NeedsNewerVersion,
}

impl ConversationContext {
    /// A new conversation's context.
    pub fn new(server_id: ServerId, log_id: LogId, successor_of: Option<LogId>) -> Self {
        Self {
            version: CONTEXT_VERSION,
            server_id,
            log_id,
            min_version: RULES_VERSION,
            successor_of,
            roles: vec![],
        }
    }

    /// The whole extension list of a group context: required capabilities and this.
    pub(crate) fn extensions(&self) -> Result<Extensions<GroupContext>, InvalidExtensionError> {
        Extensions::from_vec(vec![
            Extension::RequiredCapabilities(required_capabilities()),
            Extension::Unknown(EXTENSION_CONTEXT, UnknownExtension(codec::encode(self))),
        ])
    }

    /// Reads and checks a group context's extension list: exactly the two, nothing else.
    pub(crate) fn read(extensions: &Extensions<GroupContext>) -> Result<Self, ContextError> {
        // C-034: every group requires and carries 0xF0C1
        let bytes = extensions
            .unknown(EXTENSION_CONTEXT)
            .ok_or(ContextError::Malformed)?;
        let context = Self::parse(&bytes.0)?;
        let required = extensions.required_capabilities() == Some(&required_capabilities());
        if required && extensions.iter().count() == 2 {
            Ok(context)
        } else {
            Err(ContextError::Malformed)
        }
    }

    /// Parses strictly; a newer version or a higher `min_version` pauses rather than guesses (C-002).
    fn parse(bytes: &[u8]) -> Result<Self, ContextError> {
        let version = bytes.first_chunk().map(|head| u16::from_be_bytes(*head));
        if version.is_some_and(|version| version > CONTEXT_VERSION) {
            return Err(ContextError::NeedsNewerVersion);
        }
        let context: Self = codec::parse_exact(bytes).map_err(|_| ContextError::Malformed)?;
        if context.min_version > RULES_VERSION {
            return Err(ContextError::NeedsNewerVersion);
        }
        let sorted = context
            .roles
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if a.account_id < b.account_id));
        if context.version == CONTEXT_VERSION && sorted {
            Ok(context)
        } else {
            Err(ContextError::Malformed)
        }
    }
}

fn required_capabilities() -> RequiredCapabilitiesExtension {
    RequiredCapabilitiesExtension::new(
        &[ExtensionType::Unknown(EXTENSION_CONTEXT)],
        &[],
        &[CredentialType::Basic],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> ConversationContext {
        ConversationContext::new(
            ServerId::new([1; 32]),
            LogId::new([2; 32]),
            Some(LogId::new([3; 32])),
        )
    }

    /// A context comes back from its extensions, and its bytes are pinned.
    #[test]
    fn c034_round_trip_and_encoding() {
        let extensions = context().extensions().unwrap();
        assert_eq!(ConversationContext::read(&extensions), Ok(context()));
        let expected = format!(
            "0001{}{}000101{}00",
            "01".repeat(32),
            "02".repeat(32),
            "03".repeat(32)
        );
        assert_eq!(hex::encode(codec::encode(&context())), expected);
    }

    /// Anything missing, extra or malformed is refused; a newer version asks for an update instead.
    #[test]
    fn c034_refuses_other_extension_lists() {
        let ours = |bytes: Vec<u8>| Extension::Unknown(EXTENSION_CONTEXT, UnknownExtension(bytes));
        let required = || Extension::RequiredCapabilities(required_capabilities());
        let bytes = codec::encode(&context());
        let read =
            |list: Vec<Extension>| ConversationContext::read(&Extensions::from_vec(list).unwrap());
        let extra = Extension::Unknown(0xF0C9, UnknownExtension(vec![]));
        let trailing = [bytes.clone(), vec![0]].concat();
        for list in [
            vec![],
            vec![required()],
            vec![ours(bytes.clone())],
            vec![required(), ours(bytes.clone()), extra],
            vec![required(), ours(trailing)],
        ] {
            assert_eq!(read(list), Err(ContextError::Malformed));
        }
        let newer = ConversationContext {
            min_version: RULES_VERSION + 1,
            ..context()
        };
        let future = [vec![0, 9], vec![7; 5]].concat();
        for bytes in [codec::encode(&newer), future] {
            assert_eq!(
                read(vec![required(), ours(bytes)]),
                Err(ContextError::NeedsNewerVersion)
            );
        }
    }
}
