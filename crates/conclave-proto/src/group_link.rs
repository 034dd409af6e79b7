//! `conclave-group:…`: the link of a group, as text. Whoever has it may ask to be let in; nobody is by it alone.

use core::fmt;
use core::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize, VLBytes};

use crate::codec;
use crate::id::{AccountId, LogId, ServerId};
use crate::limits::{GROUP_LINK_PEOPLE_MAX, NAME_BYTES_MAX};

const SCHEME: &str = "conclave-group:";
const VERSION: u8 = 1;

/// A group's link: `conclave-group:` and base64url of these fields, in this order. Its secret lets people ask;
/// shown to whoever may know of the group.
#[derive(Clone, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct GroupLink {
    version: u8,
    /// The server that keeps the group.
    pub server_id: ServerId,
    /// The group.
    pub log_id: LogId,
    /// What its context holds while the link is valid.
    pub secret: [u8; 32],
    /// The group's name, at most 128 bytes of UTF-8.
    pub name_bytes: VLBytes,
    /// Whom to ask: 1 to 8 owners and admins.
    pub people: Vec<AccountId>,
}

/// Text that is no link of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupLinkError {
    /// Another scheme or none.
    #[error(
        "that is not the link of a group; it begins with `conclave-group:` and `conclave group link show` shows it"
    )]
    Scheme,
    /// Cut off, mistyped, or of a newer version.
    #[error("the link is damaged or of a newer version; copy the whole line")]
    Damaged,
}

impl GroupLink {
    /// A link; `people` beyond the first eight are left out.
    pub fn new(
        server_id: ServerId,
        log_id: LogId,
        secret: [u8; 32],
        name: &str,
        mut people: Vec<AccountId>,
    ) -> Self {
        people.truncate(GROUP_LINK_PEOPLE_MAX);
        Self {
            version: VERSION,
            server_id,
            log_id,
            secret,
            name_bytes: name.as_bytes().into(),
            people,
        }
    }

    /// The group's name.
    pub fn name(&self) -> &str {
        str::from_utf8(self.name_bytes.as_slice()).unwrap_or_default()
    }

    fn is_well_formed(&self) -> bool {
        let name = self.name_bytes.as_slice();
        self.version == VERSION
            && name.len() <= NAME_BYTES_MAX
            && str::from_utf8(name).is_ok_and(|name| !name.chars().any(char::is_control))
            && (1..=GROUP_LINK_PEOPLE_MAX).contains(&self.people.len())
    }
}

impl fmt::Debug for GroupLink {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupLink")
    }
}

impl fmt::Display for GroupLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", URL_SAFE_NO_PAD.encode(codec::encode(self)))
    }
}

impl FromStr for GroupLink {
    type Err = GroupLinkError;

    fn from_str(text: &str) -> Result<Self, GroupLinkError> {
        let body = text.trim().strip_prefix(SCHEME);
        let bytes = URL_SAFE_NO_PAD
            .decode(body.ok_or(GroupLinkError::Scheme)?)
            .map_err(|_| GroupLinkError::Damaged)?;
        // C-114: parsed exactly, like every other object.
        let link: Self = codec::parse_exact(&bytes).map_err(|_| GroupLinkError::Damaged)?;
        if link.is_well_formed() {
            Ok(link)
        } else {
            Err(GroupLinkError::Damaged)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(people: usize) -> GroupLink {
        let people = vec![AccountId::new([4; 16]); people];
        let (server_id, log_id) = (ServerId::new([1; 32]), LogId::new([2; 32]));
        GroupLink::new(server_id, log_id, [3; 32], "hike", people)
    }

    /// A link survives its text form, whose bytes are pinned; what is cut, longer or asks nobody is refused.
    #[test]
    fn c114_group_links_are_strict() {
        let text = link(1).to_string();
        assert_eq!(text.parse(), Ok(link(1)));
        assert_eq!(format!(" {text}\n").parse(), Ok(link(1)));
        let expected = format!(
            "01{}{}{}0468696b6510{}",
            "01".repeat(32),
            "02".repeat(32),
            "03".repeat(32),
            "04".repeat(16)
        );
        assert_eq!(hex::encode(codec::encode(&link(1))), expected);
        let parse = |text: &str| text.parse::<GroupLink>();
        assert_eq!(parse(&text[..text.len() - 4]), Err(GroupLinkError::Damaged));
        assert_eq!(parse(&format!("{text}AAAA")), Err(GroupLinkError::Damaged));
        assert_eq!(
            parse(&text.replace(":AQ", ":Ag")),
            Err(GroupLinkError::Damaged)
        );
        assert_eq!(
            parse(&text.replace("group:", "link:")),
            Err(GroupLinkError::Scheme)
        );
        assert_eq!(parse(&link(0).to_string()), Err(GroupLinkError::Damaged));
        assert_eq!(link(9), link(8));
    }
}
