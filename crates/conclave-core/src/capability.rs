//! The account-wide capability: contacts hold it, strangers do not.

use core::fmt;

use conclave_proto::env::Env;
use conclave_proto::id::Hash32;
use conclave_proto::label;
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};
use zeroize::ZeroizeOnDrop;

/// 32 random bytes that open an account's inbox and one-time key packages to its contacts.
///
/// Contacts keep it as long as they are contacts; the server keeps its hash; rotating it shuts everybody out who
/// is not told the new one. Wiped on drop; never printed.
#[derive(Clone, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserializeBytes, ZeroizeOnDrop)]
pub struct Capability([u8; 32]);

impl Capability {
    /// A new capability.
    pub fn random(env: &dyn Env) -> Self {
        let mut bytes = [0; 32];
        env.fill(&mut bytes);
        Self(bytes)
    }

    /// The capability in `bytes`, or `None` when they are not 32.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes, as posts and claims carry them.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What the server keeps.
    pub fn hash(&self) -> Hash32 {
        label::hash(label::CAPABILITY_HASH, &self.0)
    }
}

impl fmt::Debug for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Capability")
    }
}
