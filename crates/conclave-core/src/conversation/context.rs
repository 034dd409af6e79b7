//! What every conversation says about itself: extension 0xF0C1 of its group context (C-034).

use core::fmt;

use conclave_proto::codec;
use conclave_proto::id::{AccountId, LogId, ServerId};
use conclave_proto::limits::{DEVICES_MAX, LEAVES_MAX, NAME_BYTES_MAX};
use openmls::credentials::CredentialType;
use openmls::extensions::errors::InvalidExtensionError;
use openmls::extensions::{
    Extension, ExtensionType, Extensions, RequiredCapabilitiesExtension, UnknownExtension,
};
use openmls::group::GroupContext;
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize, VLBytes};

use super::PEOPLE;
use crate::key_package::EXTENSION_CONTEXT;

/// Version of [`ConversationContext`].
pub const CONTEXT_VERSION: u16 = 1;

/// Version of this program's conversation rules; a context whose `min_version` is higher pauses the chat.
pub const RULES_VERSION: u16 = 1;

/// What a conversation is for. Never changes.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserializeBytes,
)]
#[repr(u8)]
pub enum ConversationKind {
    /// Two people.
    #[default]
    Direct = 1,
    /// Any number of people, with roles and a name.
    Group = 2,
    /// The devices of one account, among themselves.
    Own = 3,
}

impl ConversationKind {
    /// Most leaves that a conversation of this kind can have.
    pub const fn leaves_max(self) -> usize {
        match self {
            Self::Direct => PEOPLE * DEVICES_MAX,
            Self::Group => LEAVES_MAX,
            Self::Own => DEVICES_MAX,
        }
    }
}

/// What an account may do in a group. A later one may all that an earlier one may.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    TlsSize,
    TlsSerialize,
    TlsDeserializeBytes,
)]
#[repr(u8)]
pub enum Role {
    /// Adds own devices and those of people inside. Not written down: who is not listed is a member.
    #[default]
    Member = 0,
    /// Adds anybody, removes members, changes name and link.
    Admin = 1,
    /// Removes anybody and gives roles.
    Owner = 2,
}

/// What an account may do in a conversation.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, TlsSize, TlsSerialize, TlsDeserializeBytes,
)]
pub struct AccountRole {
    /// The account.
    pub account_id: AccountId,
    /// Admin or owner.
    pub role: Role,
}

/// The conversation's own description, carried in every epoch.
#[derive(Clone, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct ConversationContext {
    /// [`CONTEXT_VERSION`].
    pub version: u16,
    /// What it is for. Never changes.
    pub kind: ConversationKind,
    /// The server that keeps the log. Never changes.
    pub server_id: ServerId,
    /// The log, equal to the MLS group id. Never changes.
    pub log_id: LogId,
    /// Lowest [`RULES_VERSION`] that may take part from here on.
    pub min_version: u16,
    /// The conversation that this one continues. Never changes.
    pub successor_of: Option<LogId>,
    /// A group's name, at most 128 bytes of UTF-8; empty in every other kind.
    pub name_bytes: VLBytes,
    /// A group's admins and owners, sorted by account; empty in every other kind.
    pub roles: Vec<AccountRole>,
    /// Secret of a group's link: whoever shows it may ask to be added. `None` in every other kind.
    pub link: Option<[u8; 32]>,
}

impl fmt::Debug for ConversationContext {
    /// Without the link, which lets people in.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConversationContext")
            .field("kind", &self.kind)
            .field("min_version", &self.min_version)
            .field("roles", &self.roles.len())
            .finish_non_exhaustive()
    }
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
    /// A new conversation's context: no name, no roles, no link.
    pub fn new(
        kind: ConversationKind,
        server_id: ServerId,
        log_id: LogId,
        successor_of: Option<LogId>,
    ) -> Self {
        Self {
            version: CONTEXT_VERSION,
            kind,
            server_id,
            log_id,
            min_version: RULES_VERSION,
            successor_of,
            name_bytes: vec![].into(),
            roles: vec![],
            link: None,
        }
    }

    /// The group's name; empty when it has none.
    pub fn name(&self) -> &str {
        str::from_utf8(self.name_bytes.as_slice()).unwrap_or_default()
    }

    /// What an account may do. Who is not in the conversation is a member too: ask for its leaves first.
    pub fn role(&self, account_id: AccountId) -> Role {
        self.roles
            .iter()
            .find(|entry| entry.account_id == account_id)
            .map(|entry| entry.role)
            .unwrap_or_default()
    }

    /// Gives an account a role; [`Role::Member`] takes it off the list.
    pub(crate) fn set_role(&mut self, account_id: AccountId, role: Role) {
        self.roles.retain(|entry| entry.account_id != account_id);
        if role != Role::Member {
            self.roles.push(AccountRole { account_id, role });
            self.roles.sort();
        }
    }

    /// Takes the roles of everybody else.
    pub(crate) fn keep_roles_of(&mut self, people: &[AccountId]) {
        self.roles
            .retain(|entry| people.contains(&entry.account_id));
    }

    /// When there is no owner, the first of `heirs` is, admins before members.
    pub(crate) fn settle_owner(&mut self, mut heirs: Vec<AccountId>) {
        if self.roles.iter().any(|entry| entry.role == Role::Owner) {
            return;
        }
        // stable: within a role, they stay in order
        heirs.sort_by_key(|account| core::cmp::Reverse(self.role(*account)));
        if let Some(heir) = heirs.first() {
            self.set_role(*heir, Role::Owner);
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

    /// The context in the bytes of extension 0xF0C1: read strictly; a newer version or a higher `min_version` pauses
    /// rather than guesses (C-002).
    pub fn parse(bytes: &[u8]) -> Result<Self, ContextError> {
        let version = bytes.first_chunk().map(|head| u16::from_be_bytes(*head));
        if version.is_some_and(|version| version > CONTEXT_VERSION) {
            return Err(ContextError::NeedsNewerVersion);
        }
        let context: Self = codec::parse_exact(bytes).map_err(|_| ContextError::Malformed)?;
        if context.min_version > RULES_VERSION {
            return Err(ContextError::NeedsNewerVersion);
        }
        if context.version == CONTEXT_VERSION && context.is_well_formed() {
            Ok(context)
        } else {
            Err(ContextError::Malformed)
        }
    }

    /// Whether the fields are as they must be, and those of groups are in groups only.
    fn is_well_formed(&self) -> bool {
        let sorted = self
            .roles
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if a.account_id < b.account_id));
        let listed = self.roles.iter().all(|entry| entry.role != Role::Member);
        let name = self.name_bytes.as_slice();
        let named = name.len() <= NAME_BYTES_MAX && str::from_utf8(name).is_ok();
        let plain = name.is_empty() && self.roles.is_empty() && self.link.is_none();
        sorted && listed && named && (plain || self.kind == ConversationKind::Group)
    }

    /// What everybody will read of this context, or why nobody would accept it.
    pub(crate) fn as_read(&self) -> Result<Self, ContextError> {
        Self::parse(&codec::encode(self))
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
            ConversationKind::Direct,
            ServerId::new([1; 32]),
            LogId::new([2; 32]),
            Some(LogId::new([3; 32])),
        )
    }

    fn group() -> ConversationContext {
        let role = |byte, role| AccountRole {
            account_id: AccountId::new([byte; 16]),
            role,
        };
        ConversationContext {
            kind: ConversationKind::Group,
            name_bytes: b"choir".to_vec().into(),
            roles: vec![role(4, Role::Owner), role(5, Role::Admin)],
            link: Some([6; 32]),
            ..context()
        }
    }

    /// A context comes back from its extensions, and its bytes are pinned.
    #[test]
    fn c034_round_trip_and_encoding() {
        for context in [context(), group()] {
            let extensions = context.extensions().unwrap();
            assert_eq!(ConversationContext::read(&extensions), Ok(context));
        }
        let fixed = |kind: &str| {
            let ids = format!("{}{}", "01".repeat(32), "02".repeat(32));
            format!("0001{kind}{ids}000101{}", "03".repeat(32))
        };
        let direct = format!("{}000000", fixed("01"));
        assert_eq!(hex::encode(codec::encode(&context())), direct);
        let roles = format!("22{}02{}01", "04".repeat(16), "05".repeat(16));
        let link = "06".repeat(32);
        let expected = format!("{}0563686f6972{roles}01{link}", fixed("02"));
        assert_eq!(hex::encode(codec::encode(&group())), expected);
    }

    /// Names, roles and links are of groups; unsorted roles, members in the list, long or broken names are none.
    #[test]
    fn c090_refuses_malformed_fields() {
        let read = |context: &ConversationContext| context.as_read();
        let malformed = |change: fn(&mut ConversationContext)| {
            let mut changed = group();
            change(&mut changed);
            assert_eq!(read(&changed), Err(ContextError::Malformed), "{changed:?}");
        };
        malformed(|c| c.kind = ConversationKind::Direct);
        malformed(|c| c.kind = ConversationKind::Own);
        malformed(|c| c.roles.reverse());
        malformed(|c| c.roles[1].account_id = c.roles[0].account_id);
        malformed(|c| c.roles[1].role = Role::Member);
        malformed(|c| c.name_bytes = vec![b'x'; NAME_BYTES_MAX + 1].into());
        malformed(|c| c.name_bytes = vec![0xff].into());
        malformed(|c| c.version = 0);
        let mut unknown = codec::encode(&group());
        for (place, byte) in [(2, 0), (2, 4)] {
            unknown[place] = byte;
            let parsed = ConversationContext::parse(&unknown);
            assert_eq!(parsed, Err(ContextError::Malformed));
        }
        assert_eq!(read(&group()), Ok(group()));
    }

    /// Roles are asked and given by account.
    #[test]
    fn roles_are_by_account() {
        let mut context = group();
        let [owner, admin, other] = [4, 5, 3].map(|byte| AccountId::new([byte; 16]));
        assert_eq!(context.role(owner), Role::Owner);
        assert_eq!(context.role(other), Role::Member);
        context.set_role(other, Role::Admin);
        context.set_role(admin, Role::Member);
        assert_eq!(context.role(admin), Role::Member);
        assert_eq!(context.as_read(), Ok(context.clone()));
        assert_eq!(context.roles.len(), 2);
        assert!(!format!("{context:?}").contains("6, 6"));
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
