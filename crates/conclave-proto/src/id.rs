//! Newtypes for every id and counter, and how ids are written for people: a letter and lower-case hex.

use core::fmt;

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::env::Env;

/// An id in text that is not one: wrong prefix, length or digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid id: expected `{prefix}_` and {digits} lower-case hex digits")]
pub struct IdError {
    /// The letter the id should begin with.
    pub prefix: char,
    /// How many hex digits should follow.
    pub digits: usize,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, TlsSize, TlsSerialize, TlsDeserializeBytes)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// Length in bytes.
            pub const BYTES: usize = $bytes;

            /// The id with exactly these bytes.
            pub const fn new(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// A fresh random id.
            pub fn random(env: &dyn Env) -> Self {
                let mut bytes = [0; $bytes];
                env.fill(&mut bytes);
                Self(bytes)
            }

            /// The id in `bytes`, or `None` when the length is wrong.
            pub fn parse(bytes: &[u8]) -> Option<Self> {
                <[u8; $bytes]>::try_from(bytes).ok().map(Self)
            }

            /// The raw bytes.
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }

            /// The raw bytes, owned, as protobuf fields want them.
            pub fn to_vec(&self) -> Vec<u8> {
                self.0.to_vec()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl core::str::FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let wrong = IdError { prefix: $prefix, digits: 2 * $bytes };
                let digits = text.strip_prefix(concat!($prefix, "_")).ok_or(wrong)?;
                if digits.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(wrong);
                }
                let mut bytes = [0; $bytes];
                hex::decode_to_slice(digits, &mut bytes).map_err(|_| wrong)?;
                Ok(Self(bytes))
            }
        }
    };
}

id!(
    /// Which log, and the MLS group id of its conversation. Random; says nothing about anybody.
    LogId, 32, 'l'
);
id!(
    /// A person on one server: one identifier, one identity key. Random.
    AccountId, 16, 'a'
);
id!(
    /// One device of an account: one MLS leaf in each conversation. Random, never reused.
    DeviceId, 16, 'd'
);
id!(
    /// What a person sees as one chat, over all its conversations. Local to a profile.
    ChatId, 16, 'c'
);
id!(
    /// One message, the same on every device; receivers keep the first of (sender account, id).
    MessageId, 16, 'm'
);
id!(
    /// One blob. Random.
    BlobId, 32, 'b'
);
id!(
    /// One registration attempt: an identifier and an identity key that asked for a code.
    ChallengeId, 16, 'o'
);
id!(
    /// SHA-256 of the server root's SubjectPublicKeyInfo: what the address pins.
    ServerId, 32, 's'
);
id!(
    /// SHA-256 over an identity key's encoding (`label::IDENTITY_FINGERPRINT`).
    IdentityFingerprint, 32, 'f'
);
id!(
    /// A SHA-256 value: chain hashes, state hashes, payload hashes.
    Hash32, 32, 'h'
);

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, TlsSize, TlsSerialize, TlsDeserializeBytes)]
        pub struct $name(pub u64);

        impl $name {
            /// The next value.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter!(
    /// Position in a log. 0 stands before the first entry; the first entry is 1; no gaps.
    Seq
);
counter!(
    /// MLS epoch, and the epoch of the log. Epoch 0 never reaches the server.
    Epoch
);
counter!(
    /// Which life of the server's store this is; grows when an older backup was restored.
    Incarnation
);

/// Whole days since 1970-01-01 UTC: the only times stored beside logs, blobs and inbox items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Day(pub u32);

impl Day {
    /// Milliseconds in a day.
    pub const MS: u64 = 86_400_000;

    /// The day that `unix_ms` (milliseconds since 1970-01-01 UTC) lies in.
    pub fn of_ms(unix_ms: u64) -> Self {
        Self(u32::try_from(unix_ms / Self::MS).unwrap_or(u32::MAX))
    }

    /// The first millisecond of this day.
    pub const fn start_ms(self) -> u64 {
        self.0 as u64 * Self::MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids survive their text form, and near misses are refused.
    #[test]
    fn text_form_is_strict() {
        let id = AccountId::new([0xab; 16]);
        let text = id.to_string();
        assert_eq!(text, format!("a_{}", "ab".repeat(16)));
        assert_eq!(text.parse(), Ok(id));
        assert!(
            text.to_uppercase()
                .replace("A_", "a_")
                .parse::<AccountId>()
                .is_err()
        );
        assert!(text.replace("a_", "d_").parse::<AccountId>().is_err());
        assert!(text[..text.len() - 1].parse::<AccountId>().is_err());
    }

    /// A day is 86,400,000 ms and begins at midnight UTC.
    #[test]
    fn days_are_utc_days() {
        assert_eq!(Day::of_ms(86_399_999), Day(0));
        assert_eq!(Day::of_ms(86_400_000), Day(1));
        assert_eq!(Day(20_000).start_ms(), 1_728_000_000_000);
    }
}
