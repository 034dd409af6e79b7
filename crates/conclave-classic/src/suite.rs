//! The two suites of primitives: names on the wire, nothing negotiated between them.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which primitives an account uses; people of different suites cannot write to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Suite {
    /// RSA-2048: OAEP for keys, PSS for signatures, AES-256-CFB128 for content.
    Rsa,
    /// P-256: ECDH with HKDF for keys, ECDSA for signatures, AES-256-GCM for content.
    Ec,
}

/// A suite that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such suite: choose `rsa` or `ec`")]
pub struct UnknownSuite;

impl Suite {
    /// Both, in the order that `hello` names them.
    pub const ALL: [Self; 2] = [Self::Rsa, Self::Ec];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rsa => "rsa",
            Self::Ec => "ec",
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Suite {
    type Err = UnknownSuite;

    fn from_str(text: &str) -> Result<Self, UnknownSuite> {
        Self::ALL
            .into_iter()
            .find(|suite| suite.as_str() == text)
            .ok_or(UnknownSuite)
    }
}
