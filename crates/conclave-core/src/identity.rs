//! Private keys of a person and of a device, and the objects they sign: certificates and states.

use core::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, ML_DSA_65_SIGNING, PqdsaKeyPair};
use conclave_proto::account::{
    AccountState, AccountStateContent, DeviceCert, DeviceCertContent, DeviceEntry, DeviceRole,
    HybridSignature, IdentityKey, SUITE_ED25519_MLDSA65,
};
use conclave_proto::env::Env;
use conclave_proto::id::{AccountId, DeviceId, Hash32, IdentityFingerprint, ServerId};
use conclave_proto::{codec, label};
use openmls_traits::types::HpkeKeyPair;
use zeroize::Zeroizing;

use crate::credential::{CREDENTIAL_VERSION, Credential};
use crate::hpke;
use crate::secret::Secret;

/// Bytes of a stored identity or device secret: two 32-byte seeds.
pub const STORED_BYTES: usize = 64;

const MLDSA65_SIGNATURE_BYTES: usize = 3309;

/// A person's identity key: Ed25519 and ML-DSA-65, kept as two 32-byte seeds.
///
/// Only certifier devices hold it, in the encrypted store, for the life of the account. It signs device
/// certificates, account states and registrations, nothing else. Wiped on drop; key pairs are expanded for
/// one operation and never stored.
pub struct IdentitySecret {
    ed25519: Secret<32>,
    mldsa65: Secret<32>,
}

impl IdentitySecret {
    /// A new identity.
    pub fn generate(env: &dyn Env) -> Self {
        Self::from_seeds(Secret::random(env), Secret::random(env))
    }

    /// The identity with these seeds.
    pub fn from_seeds(ed25519: Secret<32>, mldsa65: Secret<32>) -> Self {
        Self { ed25519, mldsa65 }
    }

    /// The identity in 64 stored bytes, or `None` when they are not 64. The caller wipes its copy.
    pub fn from_stored(bytes: &[u8]) -> Option<Self> {
        let (ed25519, mldsa65) = parse_pair(bytes)?;
        Some(Self::from_seeds(ed25519, mldsa65))
    }

    /// Both seeds, Ed25519 first, for the encrypted store only.
    pub fn to_stored(&self) -> Zeroizing<Vec<u8>> {
        join_pair(&self.ed25519, &self.mldsa65)
    }

    /// The Ed25519 seed, for key export.
    pub(crate) fn ed25519_seed(&self) -> &[u8; 32] {
        self.ed25519.expose()
    }

    /// The ML-DSA-65 seed, for key export.
    pub(crate) fn mldsa65_seed(&self) -> &[u8; 32] {
        self.mldsa65.expose()
    }

    /// The public half that everybody may know.
    pub fn public(&self) -> IdentityKey {
        IdentityKey {
            suite: SUITE_ED25519_MLDSA65,
            ed25519: public_ed25519(&self.ed25519),
            mldsa65: self.mldsa65_pair().public_key().as_ref().to_vec().into(),
        }
    }

    /// Signs `label ‖ content` with both keys (C-013).
    pub fn sign(&self, label: &str, content: &[u8]) -> HybridSignature {
        self.sign_input(&label::signing_input(label, content))
    }

    /// Signs bytes that already are a signing input, such as a registration proof.
    #[expect(
        clippy::expect_used,
        reason = "a whole key signs into a buffer of exact size; only lost memory could stop it"
    )]
    pub fn sign_input(&self, input: &[u8]) -> HybridSignature {
        let mut mldsa65 = vec![0; MLDSA65_SIGNATURE_BYTES];
        self.mldsa65_pair()
            .sign(input, &mut mldsa65)
            .expect("ML-DSA-65 signs");
        HybridSignature {
            ed25519: sign_ed25519(&self.ed25519, input).into(),
            mldsa65: mldsa65.into(),
        }
    }

    /// Certifies a device of our own: both the identity's and the device's signature.
    pub fn certify(&self, device: &DeviceSecret, facts: &DeviceFacts) -> DeviceCert {
        let content = DeviceCertContent {
            suite: SUITE_ED25519_MLDSA65,
            identity_fingerprint: self.public().fingerprint(),
            server_id: facts.server_id,
            account_id: facts.account_id,
            generation: facts.generation,
            device_id: facts.device_id,
            leaf_key: device.leaf_key(),
            inbox_key: device.inbox_key().into(),
            role: facts.role,
            not_before_ms: facts.not_before_ms,
            not_after_ms: facts.not_after_ms,
        };
        let bytes = codec::encode(&content);
        DeviceCert {
            identity_signature: self.sign(label::DEVICE_CERT, &bytes),
            possession_signature: device.sign(label::DEVICE_CERT_POSSESSION, &bytes).into(),
            content,
        }
    }

    /// The first state of a new account: seq 1, generation as in `facts`, listing `certs`.
    pub fn first_state(&self, facts: &StateFacts, certs: &[DeviceCert]) -> AccountState {
        self.sign_state(AccountStateContent {
            suite: SUITE_ED25519_MLDSA65,
            server_id: facts.server_id,
            account_id: facts.account_id,
            generation: facts.generation,
            seq: 1,
            prev_hash: Hash32::new([0; 32]),
            issued_ms: facts.issued_ms,
            identity: self.public(),
            devices: entries(certs),
            recovery_key_hash: Hash32::new([0; 32]),
            flags: facts.flags,
        })
    }

    /// The state after `previous` with the same key, listing `certs` (C-015).
    pub fn next_state(
        &self,
        previous: &AccountState,
        certs: &[DeviceCert],
        issued_ms: u64,
    ) -> AccountState {
        self.sign_state(AccountStateContent {
            seq: previous.content.seq.saturating_add(1),
            prev_hash: previous.hash(),
            issued_ms,
            devices: entries(certs),
            ..previous.content.clone()
        })
    }

    fn sign_state(&self, content: AccountStateContent) -> AccountState {
        AccountState {
            signature: self.sign(label::ACCOUNT_STATE, &codec::encode(&content)),
            content,
        }
    }

    #[expect(clippy::expect_used, reason = "any 32 bytes are an ML-DSA-65 seed")]
    fn mldsa65_pair(&self) -> PqdsaKeyPair {
        PqdsaKeyPair::from_seed(&ML_DSA_65_SIGNING, self.mldsa65.expose())
            .expect("32 bytes are a seed")
    }
}

impl fmt::Debug for IdentitySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentitySecret")
    }
}

/// What a device certificate says besides its keys.
#[derive(Debug, Clone, Copy)]
pub struct DeviceFacts {
    /// The server the account lives on.
    pub server_id: ServerId,
    /// The account.
    pub account_id: AccountId,
    /// Generation of the account's identity; 1 for a new account.
    pub generation: u32,
    /// The device; random, never reused.
    pub device_id: DeviceId,
    /// May it certify others?
    pub role: DeviceRole,
    /// First ms (Unix, UTC) of validity.
    pub not_before_ms: u64,
    /// Last ms of validity.
    pub not_after_ms: u64,
}

/// What an account's first state says besides its key and devices.
#[derive(Debug, Clone, Copy)]
pub struct StateFacts {
    /// The server the account lives on.
    pub server_id: ServerId,
    /// The account.
    pub account_id: AccountId,
    /// Generation of the account's identity; 1 for a new account.
    pub generation: u32,
    /// When it is made, ms since 1970-01-01 UTC.
    pub issued_ms: u64,
    /// [`conclave_proto::account::FLAG_DISCOVERABLE`] or 0.
    pub flags: u32,
}

/// A device's keys: the Ed25519 MLS leaf key and the X-Wing inbox key, kept as two 32-byte seeds.
///
/// Held by that device alone, in its encrypted store, until it leaves the account; never backed up or moved.
/// Wiped on drop.
pub struct DeviceSecret {
    leaf: Secret<32>,
    inbox: Secret<32>,
}

impl DeviceSecret {
    /// A new device.
    pub fn generate(env: &dyn Env) -> Self {
        Self::from_seeds(Secret::random(env), Secret::random(env))
    }

    /// The device with these seeds.
    pub fn from_seeds(leaf: Secret<32>, inbox: Secret<32>) -> Self {
        Self { leaf, inbox }
    }

    /// The device in 64 stored bytes, or `None` when they are not 64. The caller wipes its copy.
    pub fn from_stored(bytes: &[u8]) -> Option<Self> {
        let (leaf, inbox) = parse_pair(bytes)?;
        Some(Self::from_seeds(leaf, inbox))
    }

    /// Both seeds, leaf first, for the encrypted store only.
    pub fn to_stored(&self) -> Zeroizing<Vec<u8>> {
        join_pair(&self.leaf, &self.inbox)
    }

    /// Public half of the MLS leaf signature key.
    pub fn leaf_key(&self) -> [u8; 32] {
        public_ed25519(&self.leaf)
    }

    /// Public half of the inbox key, 1,216 bytes.
    pub fn inbox_key(&self) -> Vec<u8> {
        self.inbox_pair().public
    }

    /// The inbox key pair, expanded for one operation.
    #[expect(
        clippy::expect_used,
        reason = "any 32 bytes derive a key pair; without randomness for libcrux nothing can go on"
    )]
    pub(crate) fn inbox_pair(&self) -> HpkeKeyPair {
        hpke::derive_keypair(self.inbox.expose()).expect("32 bytes derive a key pair")
    }

    /// Ed25519 over `label ‖ content` by the leaf key, 64 bytes.
    pub fn sign(&self, label: &str, content: &[u8]) -> Vec<u8> {
        self.sign_input(&label::signing_input(label, content))
    }

    /// Ed25519 over exactly `input` (a connection proof, or what MLS hands over), 64 bytes.
    pub fn sign_input(&self, input: &[u8]) -> Vec<u8> {
        sign_ed25519(&self.leaf, input)
    }
}

impl fmt::Debug for DeviceSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceSecret")
    }
}

/// This device, as its own conversations need it. Holds its keys: one per running profile.
pub struct OwnDevice {
    /// The server the account lives on.
    pub server_id: ServerId,
    /// The account.
    pub account_id: AccountId,
    /// This device.
    pub device_id: DeviceId,
    /// Fingerprint of the account's identity key.
    pub identity_fingerprint: IdentityFingerprint,
    /// Seq of the account's newest state.
    pub account_seq: u64,
    /// This device's keys.
    pub secret: DeviceSecret,
}

impl OwnDevice {
    /// What this device's leaves say about it.
    pub fn credential(&self) -> Credential {
        Credential {
            version: CREDENTIAL_VERSION,
            account_id: self.account_id,
            device_id: self.device_id,
            account_seq: self.account_seq,
            identity_fingerprint: self.identity_fingerprint,
        }
    }
}

impl fmt::Debug for OwnDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnDevice")
    }
}

fn entries(certs: &[DeviceCert]) -> Vec<DeviceEntry> {
    let mut entries: Vec<_> = certs
        .iter()
        .map(|cert| DeviceEntry {
            device_id: cert.content.device_id,
            cert_hash: cert.hash(),
        })
        .collect();
    entries.sort();
    entries
}

#[expect(clippy::expect_used, reason = "any 32 bytes are an Ed25519 seed")]
fn ed25519_pair(seed: &Secret<32>) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(seed.expose()).expect("32 bytes are a seed")
}

#[expect(clippy::expect_used, reason = "an Ed25519 public key is 32 bytes")]
fn public_ed25519(seed: &Secret<32>) -> [u8; 32] {
    ed25519_pair(seed)
        .public_key()
        .as_ref()
        .try_into()
        .expect("32 bytes")
}

fn sign_ed25519(seed: &Secret<32>, input: &[u8]) -> Vec<u8> {
    ed25519_pair(seed).sign(input).as_ref().to_vec()
}

fn parse_pair(bytes: &[u8]) -> Option<(Secret<32>, Secret<32>)> {
    if bytes.len() != STORED_BYTES {
        return None;
    }
    let (first, second) = bytes.split_at_checked(32)?;
    Some((Secret::parse(first)?, Secret::parse(second)?))
}

fn join_pair(first: &Secret<32>, second: &Secret<32>) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(STORED_BYTES));
    bytes.extend_from_slice(first.expose());
    bytes.extend_from_slice(second.expose());
    bytes
}

#[cfg(test)]
mod tests;
