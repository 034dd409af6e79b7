//! The first frames of a connection, and the one shape of every proof made on it.

use tls_codec::{TlsSerialize, TlsSize, VLByteSlice};

use crate::codec;
use crate::id::{Hash32, ServerId};
use crate::label;

/// What a connection is for. Fixed by its hello; a request of another role is refused (C-006).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Role {
    /// Not a role.
    Unspecified = 0,
    /// Registration, own key packages, own inbox, own account state, member pass.
    Account = 1,
    /// Lookup and claim; no account.
    Directory = 2,
    /// Posting inbox items; no account.
    Post = 3,
    /// Logs; no account.
    Logs = 4,
    /// Blobs; no account.
    Blobs = 5,
}

/// First frame of every connection, from the client.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ClientHello {
    /// [`crate::PROTOCOL_VERSION`].
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// A [`Role`].
    #[prost(enumeration = "Role", tag = "2")]
    pub role: i32,
    /// 32 random bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub nonce: Vec<u8>,
}

/// The server's answer. Tags 10 to 15 are kept for the WebPKI mode's signature over both nonces.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ServerHello {
    /// [`crate::PROTOCOL_VERSION`].
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// 32 random bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub nonce: Vec<u8>,
    /// Server clock, ms since 1970-01-01 UTC: to tell people about a wrong clock, never for trust.
    #[prost(uint64, tag = "3")]
    pub time_ms: u64,
    /// Hash of today's member pass (`label::MEMBER_PASS_HASH`), the same for everybody (C-041).
    #[prost(bytes = "vec", tag = "4")]
    pub pass_hash: Vec<u8>,
    /// The store's incarnation.
    #[prost(uint64, tag = "5")]
    pub incarnation: u64,
    /// When the hello is refused: why. All other fields are empty then.
    #[prost(message, optional, tag = "6")]
    pub refusal: Option<crate::Refusal>,
}

/// What both ends know about one connection; every proof on it signs all of this (C-007).
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionContext {
    /// The server that the client means.
    pub server_id: ServerId,
    /// From the client's hello.
    pub client_nonce: [u8; 32],
    /// From the server's hello.
    pub server_nonce: [u8; 32],
    /// TLS exporter value ([`EXPORTER_LABEL`], no context, 32 bytes); empty in WebPKI mode.
    pub binding: Vec<u8>,
}

/// Label of the TLS exporter (RFC 9266's idea under our own name).
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-conclave-1";

impl std::fmt::Debug for ConnectionContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConnectionContext")
    }
}

/// What a proof on a connection is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Device key: this connection acts for the device. Fields: account id ‖ device id.
    Account,
    /// Identity key: register with this code. Fields: challenge id ‖ SHA-256(code) ‖ state hash.
    Register,
    /// A_1: create the log. Fields: [`crate::log::CreateLog::fields_hash`].
    CreateLog,
    /// A_e: open the log at epoch e. Fields: log id ‖ e.
    OpenLog,
}

impl Purpose {
    const fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Register => "register",
            Self::CreateLog => "create-log",
            Self::OpenLog => "open-log",
        }
    }
}

#[derive(TlsSize, TlsSerialize)]
struct ProofContent<'a> {
    server_id: ServerId,
    client_nonce: [u8; 32],
    server_nonce: [u8; 32],
    binding: VLByteSlice<'a>,
    purpose: VLByteSlice<'a>,
    fields: VLByteSlice<'a>,
}

impl ConnectionContext {
    /// The bytes a proof for `purpose` over `fields` signs on this connection.
    pub fn proof_input(&self, purpose: Purpose, fields: &[u8]) -> Vec<u8> {
        let content = ProofContent {
            server_id: self.server_id,
            client_nonce: self.client_nonce,
            server_nonce: self.server_nonce,
            binding: VLByteSlice(&self.binding),
            purpose: VLByteSlice(purpose.name().as_bytes()),
            fields: VLByteSlice(fields),
        };
        label::signing_input(label::CONNECTION_PROOF, &codec::encode(&content))
    }
}

/// Fields of a [`Purpose::Account`] proof.
pub fn account_fields(account: crate::id::AccountId, device: crate::id::DeviceId) -> Vec<u8> {
    [account.as_bytes().as_slice(), device.as_bytes()].concat()
}

/// Fields of a [`Purpose::Register`] proof: challenge, code as typed (normalised) and state hash.
pub fn register_fields(challenge: crate::id::ChallengeId, code: &str, state: Hash32) -> Vec<u8> {
    let code = label::sha256(code.as_bytes());
    [
        challenge.as_bytes().as_slice(),
        code.as_bytes(),
        state.as_bytes(),
    ]
    .concat()
}

/// Fields of a [`Purpose::OpenLog`] proof.
pub fn open_fields(log: crate::id::LogId, epoch: crate::id::Epoch) -> Vec<u8> {
    [log.as_bytes().as_slice(), &epoch.0.to_be_bytes()].concat()
}

/// Hash of a member pass as the hello shows it.
pub fn pass_hash(pass: &[u8]) -> Hash32 {
    label::hash(label::MEMBER_PASS_HASH, pass)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A proof changes with every part of the connection, the purpose and the fields.
    #[test]
    fn c007_binds_proofs_to_everything() {
        let base = ConnectionContext {
            server_id: ServerId::new([1; 32]),
            client_nonce: [2; 32],
            server_nonce: [3; 32],
            binding: vec![4; 32],
        };
        let input = base.proof_input(Purpose::OpenLog, b"fields");
        let mut others = vec![
            base.proof_input(Purpose::CreateLog, b"fields"),
            base.proof_input(Purpose::OpenLog, b"field"),
        ];
        others.push(
            ConnectionContext {
                server_id: ServerId::new([9; 32]),
                ..base.clone()
            }
            .proof_input(Purpose::OpenLog, b"fields"),
        );
        others.push(
            ConnectionContext {
                client_nonce: [9; 32],
                ..base.clone()
            }
            .proof_input(Purpose::OpenLog, b"fields"),
        );
        others.push(
            ConnectionContext {
                server_nonce: [9; 32],
                ..base.clone()
            }
            .proof_input(Purpose::OpenLog, b"fields"),
        );
        others.push(
            ConnectionContext {
                binding: vec![9; 32],
                ..base
            }
            .proof_input(Purpose::OpenLog, b"fields"),
        );
        assert!(others.iter().all(|other| *other != input));
    }
}
