//! Identity keys, device certificates and account states: encodings and the checks both sides make.
//!
//! Private keys live in `conclave-core`; this file only verifies. Every signed object is
//! `{content, signatures}` in TLS presentation language, parsed strictly (C-003), and every
//! signature is over `label<V> ‖ content<V>` ([`label::signing_input`], C-005).

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize, VLBytes};

use crate::codec::{self, CodecError};
use crate::id::{AccountId, DeviceId, Hash32, IdentityFingerprint, ServerId};
use crate::label;
use crate::limits::{
    ACCOUNT_STATE_BYTES_MAX, DEVICE_CERT_BYTES_MAX, DEVICES_MAX, FORMER_KEYS_MAX,
    FORMER_LEAF_KEYS_MAX, STATE_CHAIN_MAX,
};

mod requests;
pub use requests::*;

/// The only identity suite: Ed25519 and ML-DSA-65 over the same bytes, both must verify.
pub const SUITE_ED25519_MLDSA65: u16 = 2;
/// Bytes of an ML-DSA-65 public key.
pub const MLDSA65_KEY_BYTES: usize = 1952;
/// Bytes of an X-Wing public key.
pub const XWING_KEY_BYTES: usize = 1216;
/// Bytes of an Ed25519 signature.
pub const ED25519_SIGNATURE_BYTES: usize = 64;

/// An account object that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// Not the encoding it should be, or over its limit.
    #[error("malformed account object: {0}")]
    Codec(#[from] CodecError),
    /// A signature does not verify (C-013).
    #[error("a signature of the account object does not verify")]
    Signature,
    /// A field contradicts another: other server, fingerprint, order or count (C-014).
    #[error("the account object contradicts itself: {0}")]
    Contradiction(&'static str),
    /// The states are not one unbroken chain (C-015).
    #[error("the account states are not one unbroken chain")]
    Chain,
}

/// A person's public identity key: both halves are needed for everything.
#[derive(Debug, Clone, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct IdentityKey {
    /// [`SUITE_ED25519_MLDSA65`].
    pub suite: u16,
    /// Ed25519 public key.
    pub ed25519: [u8; 32],
    /// ML-DSA-65 public key, 1,952 bytes.
    pub mldsa65: VLBytes,
}

/// Both signatures of an identity key over the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct HybridSignature {
    /// Ed25519 signature, 64 bytes.
    pub ed25519: VLBytes,
    /// ML-DSA-65 signature, 3,309 bytes, empty context.
    pub mldsa65: VLBytes,
}

impl IdentityKey {
    /// The fingerprint that certificates, credentials and pins name.
    pub fn fingerprint(&self) -> IdentityFingerprint {
        IdentityFingerprint::new(
            *label::hash(label::IDENTITY_FINGERPRINT, &codec::encode(self)).as_bytes(),
        )
    }

    /// Checks suite and lengths.
    pub fn check(&self) -> Result<(), AccountError> {
        if self.suite != SUITE_ED25519_MLDSA65 || self.mldsa65.as_slice().len() != MLDSA65_KEY_BYTES
        {
            return Err(CodecError::UnknownVersion.into());
        }
        Ok(())
    }

    /// Verifies both signatures over `label ‖ content` (C-013: one alone is no signature).
    pub fn verify(
        &self,
        label: &str,
        content: &[u8],
        signature: &HybridSignature,
    ) -> Result<(), AccountError> {
        self.verify_input(&label::signing_input(label, content), signature)
    }

    /// Verifies both signatures over bytes that already are a signing input, such as a connection proof.
    pub fn verify_input(
        &self,
        input: &[u8],
        signature: &HybridSignature,
    ) -> Result<(), AccountError> {
        self.check()?;
        let classical = verify_ed25519(&self.ed25519, input, signature.ed25519.as_slice());
        let quantum =
            UnparsedPublicKey::new(&aws_lc_rs::signature::ML_DSA_65, self.mldsa65.as_slice())
                .verify(input, signature.mldsa65.as_slice())
                .is_ok();
        if classical && quantum {
            Ok(())
        } else {
            Err(AccountError::Signature)
        }
    }
}

/// Whether `signature` is the Ed25519 key's over exactly `input`.
pub fn verify_ed25519(public_key: &[u8], input: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public_key)
        .verify(input, signature)
        .is_ok()
}

/// May this device add and remove devices?
#[derive(Debug, Clone, Copy, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserializeBytes)]
#[repr(u8)]
pub enum DeviceRole {
    /// Holds the identity key.
    Certifier = 1,
    /// Does not.
    Ordinary = 2,
}

/// What a device certificate says.
#[derive(Debug, Clone, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct DeviceCertContent {
    /// [`SUITE_ED25519_MLDSA65`].
    pub suite: u16,
    /// The identity key that signs.
    pub identity_fingerprint: IdentityFingerprint,
    /// The server this account lives on.
    pub server_id: ServerId,
    /// The account.
    pub account_id: AccountId,
    /// Generation of the account's identity.
    pub generation: u32,
    /// The device; random, never reused.
    pub device_id: DeviceId,
    /// MLS leaf signature key, Ed25519.
    pub leaf_key: [u8; 32],
    /// X-Wing HPKE key for inbox items, 1,216 bytes.
    pub inbox_key: VLBytes,
    /// May it certify others?
    pub role: DeviceRole,
    /// First ms (Unix, UTC) of validity; checked when a device is added, never to freeze a member.
    pub not_before_ms: u64,
    /// Last ms of validity.
    pub not_after_ms: u64,
}

/// What a device signs to show that it holds its keys.
///
/// It says nothing of identity key, role or dates, so that a new identity key can certify the same device again
/// without its help (C-135).
#[derive(Debug, Clone, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct Possession {
    /// The server the account lives on.
    pub server_id: ServerId,
    /// The account.
    pub account_id: AccountId,
    /// The device.
    pub device_id: DeviceId,
    /// MLS leaf signature key, Ed25519: what signs.
    pub leaf_key: [u8; 32],
    /// X-Wing HPKE key for inbox items, 1,216 bytes.
    pub inbox_key: VLBytes,
}

impl Possession {
    /// Whether `signature` is the leaf key's over exactly this.
    pub fn holds(&self, signature: &[u8]) -> bool {
        let input = label::signing_input(label::DEVICE_CERT_POSSESSION, &codec::encode(self));
        self.inbox_key.as_slice().len() == XWING_KEY_BYTES
            && verify_ed25519(&self.leaf_key, &input, signature)
    }
}

impl DeviceCertContent {
    /// What the device itself signs of this.
    pub fn possession(&self) -> Possession {
        Possession {
            server_id: self.server_id,
            account_id: self.account_id,
            device_id: self.device_id,
            leaf_key: self.leaf_key,
            inbox_key: self.inbox_key.clone(),
        }
    }
}

/// A device certificate: signed by the identity key, with the device key's proof of possession.
#[derive(Debug, Clone, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct DeviceCert {
    /// What it says.
    pub content: DeviceCertContent,
    /// By the identity key, under [`label::DEVICE_CERT`].
    pub identity_signature: HybridSignature,
    /// By the device key over [`Possession`], under [`label::DEVICE_CERT_POSSESSION`], 64 bytes; behind it the
    /// leaf keys that this one replaced, 32 bytes each, newest last.
    pub possession_signature: VLBytes,
}

impl DeviceCert {
    /// Parses strictly; signatures are not checked yet.
    pub fn parse(bytes: &[u8]) -> Result<Self, AccountError> {
        let cert: Self = parse_bounded(bytes, DEVICE_CERT_BYTES_MAX)?;
        if cert.content.suite != SUITE_ED25519_MLDSA65
            || cert.content.inbox_key.as_slice().len() != XWING_KEY_BYTES
        {
            return Err(CodecError::UnknownVersion.into());
        }
        Ok(cert)
    }

    /// The one encoding.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The device's signature over its [`Possession`], and the leaf keys that the certified one replaced, newest last.
    fn possession(&self) -> Result<(&[u8], &[[u8; 32]]), AccountError> {
        let bytes = self.possession_signature.as_slice();
        let malformed = AccountError::Contradiction("former leaf keys are malformed");
        let (signature, former) = bytes
            .split_at_checked(ED25519_SIGNATURE_BYTES)
            .ok_or(AccountError::Signature)?;
        let (former, rest) = former.as_chunks::<32>();
        let current = &self.content.leaf_key;
        let is_repeated = former.iter().enumerate().any(|(place, key)| {
            key == current || former.iter().skip(place + 1).any(|later| later == key)
        });
        // C-185: few, each once, and none is in use again
        if !rest.is_empty() || former.len() > FORMER_LEAF_KEYS_MAX || is_repeated {
            return Err(malformed);
        }
        Ok((signature, former))
    }

    /// Leaf keys that the device had before and the one it has, newest last: the order in which its leaves may go
    /// from one to another (C-186).
    pub fn leaf_keys(&self) -> Vec<[u8; 32]> {
        let former = self.possession().map_or(&[][..], |(_, former)| former);
        let mut keys = former.to_vec();
        keys.push(self.content.leaf_key);
        keys
    }

    /// What an account state lists.
    pub fn hash(&self) -> Hash32 {
        label::hash(label::DEVICE_CERT_HASH, &self.to_bytes())
    }

    /// Verifies identity signature, proof of possession and that `identity` is the key named (C-013, C-014).
    pub fn verify(&self, identity: &IdentityKey) -> Result<(), AccountError> {
        if self.content.identity_fingerprint != identity.fingerprint() {
            return Err(AccountError::Contradiction(
                "certificate names another identity key",
            ));
        }
        let content = codec::encode(&self.content);
        identity.verify(label::DEVICE_CERT, &content, &self.identity_signature)?;
        // C-135: the device's own signature outlives the identity key.
        let (signature, _) = self.possession()?;
        if self.content.possession().holds(signature) {
            Ok(())
        } else {
            Err(AccountError::Signature)
        }
    }
}

/// One device in an account state.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, TlsSize, TlsSerialize, TlsDeserializeBytes,
)]
pub struct DeviceEntry {
    /// The device.
    pub device_id: DeviceId,
    /// [`DeviceCert::hash`].
    pub cert_hash: Hash32,
}

/// What an account state says.
#[derive(Debug, Clone, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct AccountStateContent {
    /// [`SUITE_ED25519_MLDSA65`].
    pub suite: u16,
    /// The server this account lives on.
    pub server_id: ServerId,
    /// The account.
    pub account_id: AccountId,
    /// Grows when the identity key was lost and replaced without its signature.
    pub generation: u32,
    /// Position in the chain; the first state is 1.
    pub seq: u64,
    /// [`AccountState::hash`] of the state before; all zero in the first.
    pub prev_hash: Hash32,
    /// When it was made, ms since 1970-01-01 UTC; shown, never trusted.
    pub issued_ms: u64,
    /// The identity key that signs this state.
    pub identity: IdentityKey,
    /// Keys of this generation that were replaced under their own signature, newest last, at most 16.
    pub former: Vec<IdentityFingerprint>,
    /// Devices, sorted by id, at most 10.
    pub devices: Vec<DeviceEntry>,
    /// Hash of the recovery key; all zero while there is none.
    pub recovery_key_hash: Hash32,
    /// Bit 0: discoverable by identifier. Others zero.
    pub flags: u32,
}

/// The account can be found by its identifier.
pub const FLAG_DISCOVERABLE: u32 = 1;

/// A signed account state. Its hash is what key transparency will publish.
#[derive(Debug, Clone, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct AccountState {
    /// What it says.
    pub content: AccountStateContent,
    /// By `content.identity`, under [`label::ACCOUNT_STATE`].
    pub signature: HybridSignature,
    /// By the key of the state before, under [`label::ACCOUNT_STATE_ROTATION`]: there when this state replaces it.
    pub rotation: Option<HybridSignature>,
}

/// How a state follows the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Succession {
    /// The same identity key goes on.
    SameKey,
    /// A new key, signed for by the one that it replaces.
    Rotation,
    /// A new generation: the key before was lost or stolen and signs for nothing.
    Reset,
}

impl AccountState {
    /// Parses strictly; the signature is not checked yet.
    pub fn parse(bytes: &[u8]) -> Result<Self, AccountError> {
        let state: Self = parse_bounded(bytes, ACCOUNT_STATE_BYTES_MAX)?;
        if state.content.suite != SUITE_ED25519_MLDSA65 {
            return Err(CodecError::UnknownVersion.into());
        }
        Ok(state)
    }

    /// The one encoding.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// What the next state's `prev_hash` holds, and pins remember: of content and signature.
    ///
    /// The former key's signature is left out. Who walks the chain needs it; who is shown the newest state alone
    /// does not, and an introduction has no room for it.
    pub fn hash(&self) -> Hash32 {
        let named = [codec::encode(&self.content), codec::encode(&self.signature)].concat();
        label::hash(label::ACCOUNT_STATE_HASH, &named)
    }

    /// The same state, same hash, without the former key's signature: for whoever is shown it alone.
    #[must_use]
    pub fn without_rotation(&self) -> Self {
        Self {
            rotation: None,
            ..self.clone()
        }
    }

    /// Verifies the signature by the state's own key, its server and its inner order (C-013, C-014).
    pub fn verify(&self, server_id: ServerId) -> Result<(), AccountError> {
        let content = &self.content;
        if content.server_id != server_id {
            return Err(AccountError::Contradiction(
                "account state is for another server",
            ));
        }
        if content.devices.len() > DEVICES_MAX {
            return Err(AccountError::Contradiction("more than 10 devices"));
        }
        let sorted = content
            .devices
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if a.device_id < b.device_id));
        if !sorted {
            return Err(AccountError::Contradiction(
                "devices are not sorted or repeat",
            ));
        }
        if content.seq == 0 || (content.seq == 1) != (content.prev_hash == Hash32::new([0; 32])) {
            return Err(AccountError::Contradiction(
                "the first state alone has no predecessor",
            ));
        }
        if content.flags & !FLAG_DISCOVERABLE != 0 {
            return Err(AccountError::Contradiction("unknown flags"));
        }
        self.verify_former()?;
        content.identity.verify(
            label::ACCOUNT_STATE,
            &codec::encode(content),
            &self.signature,
        )
    }

    /// Verifies that `certs` are exactly the listed devices' certificates, all signed by this identity (C-014).
    pub fn verify_certs(&self, certs: &[DeviceCert]) -> Result<(), AccountError> {
        if certs.len() != self.content.devices.len() {
            return Err(AccountError::Contradiction(
                "certificates and listed devices differ",
            ));
        }
        for cert in certs {
            self.verify_cert(cert)?;
        }
        // two copies of one certificate must not stand in for another device's
        let complete = self.content.devices.iter().all(|entry| {
            certs
                .iter()
                .any(|cert| cert.content.device_id == entry.device_id)
        });
        if complete {
            Ok(())
        } else {
            Err(AccountError::Contradiction("a certificate is repeated"))
        }
    }

    /// Verifies that `cert` is a listed device's certificate, signed by this identity (C-014).
    pub fn verify_cert(&self, cert: &DeviceCert) -> Result<(), AccountError> {
        let content = &cert.content;
        let entry = DeviceEntry {
            device_id: content.device_id,
            cert_hash: cert.hash(),
        };
        if !self.content.devices.contains(&entry) {
            return Err(AccountError::Contradiction("certificate is not listed"));
        }
        if content.account_id != self.content.account_id
            || content.server_id != self.content.server_id
            || content.generation != self.content.generation
        {
            return Err(AccountError::Contradiction(
                "certificate is for another account",
            ));
        }
        cert.verify(&self.content.identity)
    }

    /// C-136: former keys are few, each is there once, none is in use again, and the first state has none.
    fn verify_former(&self) -> Result<(), AccountError> {
        let content = &self.content;
        let current = content.identity.fingerprint();
        let is_repeated = content.former.iter().enumerate().any(|(place, key)| {
            *key == current
                || content
                    .former
                    .iter()
                    .skip(place + 1)
                    .any(|later| later == key)
        });
        if content.former.len() > FORMER_KEYS_MAX || is_repeated {
            return Err(AccountError::Contradiction(
                "former keys repeat or are too many",
            ));
        }
        if content.former.is_empty() && self.rotation.is_some()
            || content.seq == 1 && !content.former.is_empty()
        {
            return Err(AccountError::Contradiction(
                "a rotation without a key that it replaces",
            ));
        }
        Ok(())
    }

    /// How `next` follows this state directly, or `None`: same account, seq + 1, right `prev_hash` (C-015), and
    /// the same key, or one that this state's key signs for (C-136), or a new generation (C-137).
    ///
    /// `next` itself must be verified besides ([`AccountState::verify`]).
    pub fn succession(&self, next: &Self) -> Option<Succession> {
        let (a, b) = (&self.content, &next.content);
        let is_next = a.server_id == b.server_id
            && a.account_id == b.account_id
            && a.seq.checked_add(1) == Some(b.seq)
            && b.prev_hash == self.hash();
        if !is_next {
            return None;
        }
        if a.generation == b.generation && a.identity == b.identity {
            let is_same = a.former == b.former && next.rotation.is_none();
            return is_same.then_some(Succession::SameKey);
        }
        let used = self.keys_used();
        if used.contains(&b.identity.fingerprint()) {
            return None;
        }
        if a.generation == b.generation {
            let is_rotation = b.former == self.former_after() && self.signs_for(next);
            return is_rotation.then_some(Succession::Rotation);
        }
        let is_reset = a.generation.checked_add(1) == Some(b.generation)
            && b.former.is_empty()
            && next.rotation.is_none();
        is_reset.then_some(Succession::Reset)
    }

    /// Whether `next` follows this state directly without the person having to decide: by the same key, or by one
    /// that this state's key signs for (C-015, C-136).
    pub fn is_followed_by(&self, next: &Self) -> bool {
        matches!(
            self.succession(next),
            Some(Succession::SameKey | Succession::Rotation)
        )
    }

    /// Former keys and the present one, newest last: the order in which leaves may go from one to another (C-018).
    pub fn keys_used(&self) -> Vec<IdentityFingerprint> {
        let content = &self.content;
        let mut used = content.former.clone();
        used.push(content.identity.fingerprint());
        used
    }

    /// What a state that replaces this one's key lists as former: all keys used, the newest 16 of them.
    pub fn former_after(&self) -> Vec<IdentityFingerprint> {
        let used = self.keys_used();
        let too_many = used.len().saturating_sub(FORMER_KEYS_MAX);
        used.into_iter().skip(too_many).collect()
    }

    /// C-136: the key that is replaced signs the whole content of the state that replaces it.
    fn signs_for(&self, next: &Self) -> bool {
        next.rotation.as_ref().is_some_and(|signature| {
            let content = codec::encode(&next.content);
            let verified =
                self.content
                    .identity
                    .verify(label::ACCOUNT_STATE_ROTATION, &content, signature);
            verified.is_ok()
        })
    }
}

/// Verifies that `states` is one unbroken, signed chain in order, at most 256 long (C-015).
pub fn verify_chain(server_id: ServerId, states: &[AccountState]) -> Result<(), AccountError> {
    if states.is_empty() || states.len() > STATE_CHAIN_MAX {
        return Err(AccountError::Chain);
    }
    for state in states {
        state.verify(server_id)?;
    }
    let unbroken = states
        .windows(2)
        .all(|pair| matches!(pair, [a, b] if a.is_followed_by(b)));
    if unbroken {
        Ok(())
    } else {
        Err(AccountError::Chain)
    }
}

fn parse_bounded<T>(bytes: &[u8], max: usize) -> Result<T, AccountError>
where
    T: tls_codec::DeserializeBytes + tls_codec::Serialize,
{
    if bytes.len() > max {
        return Err(CodecError::FrameTooLarge {
            bytes: bytes.len(),
            max,
        }
        .into());
    }
    Ok(codec::parse_exact(bytes)?)
}

#[cfg(test)]
mod tests;
