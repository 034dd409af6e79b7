//! Private keys of a person and of a device, and the objects they sign: certificates and states.

use core::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, ML_DSA_65_SIGNING, PqdsaKeyPair};
use conclave_proto::account::{
    AccountState, AccountStateContent, DeviceCert, DeviceCertContent, DeviceEntry, DeviceRole,
    ED25519_SIGNATURE_BYTES, HybridSignature, IdentityKey, Possession, SUITE_ED25519_MLDSA65,
};
use conclave_proto::env::Env;
use conclave_proto::id::{AccountId, DeviceId, Hash32, IdentityFingerprint, ServerId};
use conclave_proto::limits::FORMER_LEAF_KEYS_MAX;
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
            ed25519: public_ed25519(&ed25519_pair(&self.ed25519)),
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
            ed25519: ed25519_pair(&self.ed25519).sign(input).as_ref().into(),
            mldsa65: mldsa65.into(),
        }
    }

    /// Certifies a device whose keys are at hand: both the identity's and the device's signature.
    pub fn certify(&self, device: &DeviceSecret, facts: &DeviceFacts) -> DeviceCert {
        let proven = device.prove(facts.server_id, facts.account_id, facts.device_id);
        self.certify_proven(&proven, facts)
    }

    /// Certifies a device that proved its keys, wherever they are (C-135).
    ///
    /// The certificate does not verify when the proof does not hold, or is about another device than `facts`.
    pub fn certify_proven(&self, device: &ProvenDevice, facts: &DeviceFacts) -> DeviceCert {
        let content = DeviceCertContent {
            suite: SUITE_ED25519_MLDSA65,
            identity_fingerprint: self.public().fingerprint(),
            server_id: facts.server_id,
            account_id: facts.account_id,
            generation: facts.generation,
            device_id: facts.device_id,
            leaf_key: device.possession.leaf_key,
            inbox_key: device.possession.inbox_key.clone(),
            role: facts.role,
            not_before_ms: facts.not_before_ms,
            not_after_ms: facts.not_after_ms,
        };
        DeviceCert {
            identity_signature: self.sign(label::DEVICE_CERT, &codec::encode(&content)),
            possession_signature: [&device.signature[..], device.former.as_flattened()]
                .concat()
                .into(),
            content,
        }
    }

    /// Certifies the device of `cert` again under this key, for `generation`; role and dates stay.
    pub fn recertify(&self, cert: &DeviceCert, generation: u32) -> DeviceCert {
        let old = &cert.content;
        let facts = DeviceFacts {
            server_id: old.server_id,
            account_id: old.account_id,
            generation,
            device_id: old.device_id,
            role: old.role,
            not_before_ms: old.not_before_ms,
            not_after_ms: old.not_after_ms,
        };
        self.certify_proven(&ProvenDevice::of(cert), &facts)
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
            former: vec![],
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

    /// The state after `previous` in which this key replaces `old`, the key of `previous`; both sign (C-136).
    ///
    /// `certs` are those of the account's devices, certified by this key.
    pub fn rotated_state(
        &self,
        old: &Self,
        previous: &AccountState,
        certs: &[DeviceCert],
        issued_ms: u64,
    ) -> AccountState {
        let mut state = self.sign_state(AccountStateContent {
            seq: previous.content.seq.saturating_add(1),
            prev_hash: previous.hash(),
            issued_ms,
            identity: self.public(),
            former: previous.former_after(),
            devices: entries(certs),
            ..previous.content.clone()
        });
        let content = codec::encode(&state.content);
        state.rotation = Some(old.sign(label::ACCOUNT_STATE_ROTATION, &content));
        state
    }

    /// The state after `previous` that begins a new generation under this key: the key before is lost or stolen and
    /// signs for nothing (C-137). Contacts have to decide.
    pub fn reset_state(
        &self,
        previous: &AccountState,
        certs: &[DeviceCert],
        issued_ms: u64,
    ) -> AccountState {
        self.sign_state(AccountStateContent {
            generation: previous.content.generation.saturating_add(1),
            seq: previous.content.seq.saturating_add(1),
            prev_hash: previous.hash(),
            issued_ms,
            identity: self.public(),
            former: vec![],
            devices: entries(certs),
            ..previous.content.clone()
        })
    }

    fn sign_state(&self, content: AccountStateContent) -> AccountState {
        AccountState {
            signature: self.sign(label::ACCOUNT_STATE, &codec::encode(&content)),
            rotation: None,
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
    /// `leaf` expanded, once: each message is signed with it. aws-lc wipes what it frees.
    leaf_pair: Ed25519KeyPair,
    inbox: Secret<32>,
}

impl DeviceSecret {
    /// A new device.
    pub fn generate(env: &dyn Env) -> Self {
        Self::from_seeds(Secret::random(env), Secret::random(env))
    }

    /// The device with these seeds.
    pub fn from_seeds(leaf: Secret<32>, inbox: Secret<32>) -> Self {
        Self {
            leaf_pair: ed25519_pair(&leaf),
            leaf,
            inbox,
        }
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
        public_ed25519(&self.leaf_pair)
    }

    /// Public half of the inbox key, 1,216 bytes.
    pub fn inbox_key(&self) -> Vec<u8> {
        self.inbox_pair().public
    }

    /// Shows that this device of that account holds these keys: what an identity key needs to certify it (C-135).
    pub fn prove(
        &self,
        server_id: ServerId,
        account_id: AccountId,
        device_id: DeviceId,
    ) -> ProvenDevice {
        let possession = Possession {
            server_id,
            account_id,
            device_id,
            leaf_key: self.leaf_key(),
            inbox_key: self.inbox_key().into(),
        };
        let signature = self.sign(label::DEVICE_CERT_POSSESSION, &codec::encode(&possession));
        ProvenDevice {
            possession,
            signature,
            former: Vec::new(),
        }
    }

    /// The same device with a new leaf key; the inbox key stays, so that what is on its way can be opened (C-187).
    #[must_use]
    pub fn with_new_leaf(&self, env: &dyn Env) -> Self {
        let mut inbox = *self.inbox.expose();
        Self::from_seeds(Secret::random(env), Secret::take(&mut inbox))
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
        self.leaf_pair.sign(input).as_ref().to_vec()
    }
}

impl fmt::Debug for DeviceSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceSecret")
    }
}

/// A device's public keys with its signature that it holds the private ones. Not secret.
///
/// A device that is not certified yet makes one ([`DeviceSecret::prove`]); a certificate holds one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenDevice {
    /// Whose keys, and which.
    pub possession: Possession,
    /// By the leaf key over `possession`, 64 bytes.
    pub signature: Vec<u8>,
    /// Leaf keys that this one replaced, newest last, at most [`FORMER_LEAF_KEYS_MAX`].
    pub former: Vec<[u8; 32]>,
}

impl ProvenDevice {
    /// The proof inside a certificate.
    pub fn of(cert: &DeviceCert) -> Self {
        let signature = cert.possession_signature.as_slice();
        let mut former = cert.leaf_keys();
        former.pop();
        Self {
            possession: cert.content.possession(),
            signature: signature
                .get(..ED25519_SIGNATURE_BYTES)
                .unwrap_or(signature)
                .to_vec(),
            former,
        }
    }

    /// The same with these leaf keys before the present one, of which the newest count.
    #[must_use]
    pub fn with_former(mut self, former: &[[u8; 32]]) -> Self {
        let too_many = former.len().saturating_sub(FORMER_LEAF_KEYS_MAX);
        self.former = former.iter().skip(too_many).copied().collect();
        self
    }

    /// Whether the device signed exactly this.
    pub fn holds(&self) -> bool {
        self.possession.holds(&self.signature)
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
    /// Its keys before, while a conversation or an invitation may still be under one of them (C-187).
    pub former: Vec<DeviceSecret>,
}

impl OwnDevice {
    /// Whether this device can sign with that leaf key.
    pub(crate) fn holds(&self, leaf_key: &[u8]) -> bool {
        let mut keys = self.former.iter().chain([&self.secret]);
        keys.any(|secret| secret.leaf_key() == leaf_key)
    }

    /// The keys that this device's leaf with that signature key signs with.
    pub(crate) fn signs_as(&self, leaf_key: &[u8]) -> &DeviceSecret {
        let mut former = self.former.iter();
        if self.secret.leaf_key() == leaf_key {
            return &self.secret;
        }
        let is_it = |secret: &&DeviceSecret| secret.leaf_key() == leaf_key;
        former.find(is_it).unwrap_or(&self.secret)
    }

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
fn public_ed25519(pair: &Ed25519KeyPair) -> [u8; 32] {
    pair.public_key().as_ref().try_into().expect("32 bytes")
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
