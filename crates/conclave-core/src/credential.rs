//! The MLS credential of a leaf, and the one check that a leaf is a device of its account.

use conclave_proto::account::{AccountError, AccountState, DeviceCert, DeviceEntry};
use conclave_proto::codec;
use conclave_proto::id::{AccountId, DeviceId, IdentityFingerprint, ServerId};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

/// Version of [`Credential`].
pub const CREDENTIAL_VERSION: u8 = 1;

/// What an MLS leaf says about itself: the identity of its BasicCredential, 73 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct Credential {
    /// [`CREDENTIAL_VERSION`].
    pub version: u8,
    /// The account.
    pub account_id: AccountId,
    /// The device of that account.
    pub device_id: DeviceId,
    /// Seq of the account state in force when the leaf was made.
    pub account_seq: u64,
    /// Fingerprint of the account's identity key.
    pub identity_fingerprint: IdentityFingerprint,
}

impl Credential {
    /// Parses strictly (C-003); another version is refused (C-002).
    pub fn parse(bytes: &[u8]) -> Result<Self, LeafError> {
        let credential: Self = codec::parse_exact(bytes).map_err(|_| LeafError::Malformed)?;
        if credential.version == CREDENTIAL_VERSION {
            Ok(credential)
        } else {
            Err(LeafError::Malformed)
        }
    }

    /// The one encoding.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }
}

/// A leaf as its check sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeafClaim {
    /// What it says about itself.
    pub credential: Credential,
    /// The Ed25519 key its signatures verify with.
    pub signature_key: [u8; 32],
}

impl LeafClaim {
    /// The claim of a leaf with this credential identity and signature key.
    pub fn parse(credential: &[u8], signature_key: &[u8]) -> Result<Self, LeafError> {
        Ok(Self {
            credential: Credential::parse(credential)?,
            signature_key: signature_key.try_into().map_err(|_| LeafError::Malformed)?,
        })
    }
}

/// Why a leaf is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeafError {
    /// The credential or key is not what it should be: the peer's client is broken or hostile.
    #[error("a member's credential is malformed")]
    Malformed,
    /// No state of that account is accepted here. The caller must fetch and accept one first.
    #[error("a member's account is not known here")]
    UnknownAccount,
    /// The leaf was made under a newer state than the one accepted. Fetch the account's states, then try again.
    #[error("a member's account state {claimed} is newer than the accepted {accepted}")]
    NewerState {
        /// Seq in the credential.
        claimed: u64,
        /// Seq accepted here.
        accepted: u64,
    },
    /// The accepted state belongs to another identity key: a swapped key, or a changed one. Whether it changed is
    /// what the account's newest state says.
    #[error("a member's identity key is not the accepted one")]
    OtherIdentity,
    /// The accepted state does not list the device: removed, or never certified.
    #[error("a member's device is not in its account's accepted state")]
    NotListed,
    /// The device is listed, but its certificate is not at hand. Fetch the account's certificates, then try again.
    #[error("a member's device certificate is not at hand")]
    NoCertificate,
    /// The device's certificate names another key than the leaf signs with.
    #[error("a member's leaf key is not the certified one")]
    OtherKey,
    /// A leaf changed its account or device, or went back to an older state (C-018).
    #[error("a member's leaf changed what may never change")]
    Changed,
}

impl LeafError {
    /// Whether newer states or certificates of the account could change the verdict: fetch them, then ask again.
    pub fn wants_states(self) -> bool {
        matches!(
            self,
            Self::UnknownAccount
                | Self::NewerState { .. }
                | Self::NoCertificate
                | Self::OtherIdentity
                | Self::OtherKey
        )
    }
}

/// An account's newest accepted state with certificates of its devices, all signatures verified.
///
/// Made only from a state that the pin accepts ([`crate::pin::judge`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownAccount {
    state: AccountState,
    certs: Vec<DeviceCert>,
}

impl KnownAccount {
    /// Verifies `state` and that each of `certs` is the certificate of a device it lists (C-013, C-014).
    ///
    /// Certificates may be missing (an intro brings one): a leaf of such a device is then refused with
    /// [`LeafError::NoCertificate`] until the caller has them all.
    pub fn new(
        server_id: ServerId,
        state: AccountState,
        certs: Vec<DeviceCert>,
    ) -> Result<Self, AccountError> {
        state.verify(server_id)?;
        for cert in &certs {
            state.verify_cert(cert)?;
        }
        Ok(Self { state, certs })
    }

    /// The accepted state.
    pub fn state(&self) -> &AccountState {
        &self.state
    }

    /// The certificates of its devices.
    pub fn certs(&self) -> &[DeviceCert] {
        &self.certs
    }

    /// The certificate of one device.
    pub fn cert(&self, device_id: DeviceId) -> Option<&DeviceCert> {
        self.certs
            .iter()
            .find(|cert| cert.content.device_id == device_id)
    }
}

/// A device that an account listed once and that its newest state lists no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerDevice {
    /// Whose it was.
    pub account_id: AccountId,
    /// Never used again.
    pub device_id: DeviceId,
    /// The keys that its certificate named, newest last.
    pub leaf_keys: Vec<[u8; 32]>,
    /// Seq of the first state, of those shown, that lists it.
    pub first_seq: u64,
    /// Seq of the last one.
    pub last_seq: u64,
}

impl FormerDevice {
    /// C-180: whether `leaf` is this device's, made under a state that listed it.
    fn made(&self, leaf: &LeafClaim) -> bool {
        let claim = &leaf.credential;
        (self.account_id, self.device_id) == (claim.account_id, claim.device_id)
            && self.leaf_keys.contains(&leaf.signature_key)
            && (self.first_seq..=self.last_seq).contains(&claim.account_seq)
    }
}

/// The devices behind `certs` that `states`, oldest first, list and the accepted state does not. A state counts when
/// an unbroken chain of hashes leads from it to the accepted one, a certificate by its hash in such a state (C-181);
/// whatever else is shown is passed over.
pub fn former_devices(
    known: &KnownAccount,
    states: &[AccountState],
    certs: &[DeviceCert],
) -> Vec<FormerDevice> {
    let newest = &known.state.content;
    let mut next = known.state.hash();
    let mut chain: Vec<&AccountState> = Vec::new();
    for state in states.iter().rev() {
        if state.hash() == next && state.content.generation == newest.generation {
            next = state.content.prev_hash;
            chain.push(state);
        }
    }
    let is_listed = |device_id| {
        let mut devices = newest.devices.iter();
        devices.any(|entry| entry.device_id == device_id)
    };
    let mut found = Vec::new();
    for cert in certs {
        let (device_id, hash) = (cert.content.device_id, cert.hash());
        let lists = |state: &&&AccountState| {
            let mut devices = state.content.devices.iter();
            devices.any(|entry| entry.device_id == device_id)
        };
        let entry = DeviceEntry {
            device_id,
            cert_hash: hash,
        };
        let is_its = chain
            .iter()
            .any(|state| state.content.devices.contains(&entry));
        let mut listing = chain.iter().filter(lists);
        let last = listing.next().map(|state| state.content.seq);
        let first = listing.next_back().map(|state| state.content.seq).or(last);
        if let (true, false, Some(first_seq), Some(last_seq)) =
            (is_its, is_listed(device_id), first, last)
        {
            found.push(FormerDevice {
                account_id: newest.account_id,
                device_id,
                leaf_keys: cert.leaf_keys(),
                first_seq,
                last_seq,
            });
        }
    }
    found
}

/// What of an account could change a verdict about one of its leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// Its newest states and certificates.
    Newest(AccountId),
    /// Its states from this seq on, with the certificates of devices that are gone since.
    Since(AccountId, u64),
}

impl Wanted {
    /// Whose.
    pub fn account_id(self) -> AccountId {
        match self {
            Self::Newest(account_id) | Self::Since(account_id, _) => account_id,
        }
    }
}

/// Where accepted account states come from: the client's store, inside the transaction that needs them.
pub trait Accounts {
    /// The newest accepted state of `account`, own account included; `None` when none was ever accepted.
    fn known(&self, account: AccountId) -> Option<KnownAccount>;

    /// What is known of a device that `account` listed once ([`former_devices`]); nothing by default.
    fn former(&self, account: AccountId, device: DeviceId) -> Option<FormerDevice> {
        let _ = (account, device);
        None
    }
}

/// C-180: how a leaf that comes in and that its account's newest state does not list is judged by the state that it
/// names. What is needed for that, when it is not at hand; `None` when that state does not list it either.
pub(crate) fn check_former(
    leaf: &LeafClaim,
    accounts: &dyn Accounts,
) -> Result<(), Option<Wanted>> {
    let claim = &leaf.credential;
    let former = accounts.former(claim.account_id, claim.device_id);
    if former.is_some_and(|former| former.made(leaf)) {
        return Ok(());
    }
    let known = accounts.known(claim.account_id);
    let is_older = known.is_some_and(|known| claim.account_seq < known.state.content.seq);
    Err(is_older.then_some(Wanted::Since(claim.account_id, claim.account_seq)))
}

/// The one check of a leaf, made at every leaf on every path: key package, welcome tree, add, update, commit.
///
/// `previous` is the leaf that stood at the same place before, if there was one. Needs no lookup and no clock.
pub fn check_leaf(
    leaf: &LeafClaim,
    accounts: &dyn Accounts,
    previous: Option<&LeafClaim>,
) -> Result<(), LeafError> {
    let claim = &leaf.credential;
    if let Some(previous) = previous {
        check_unchanged(claim, &previous.credential)?;
    }
    let known = accounts
        .known(claim.account_id)
        .ok_or(LeafError::UnknownAccount)?;
    let state = &known.state.content;
    if claim.account_seq == 0 {
        return Err(LeafError::Malformed);
    }
    if claim.account_seq > state.seq {
        return Err(LeafError::NewerState {
            claimed: claim.account_seq,
            accepted: state.seq,
        });
    }
    // C-017: account and identity key are those of the state accepted here, or the key is one that it replaced.
    let used = known.state.keys_used();
    let place = |key: &IdentityFingerprint| used.iter().position(|used| used == key);
    let key = place(&claim.identity_fingerprint).ok_or(LeafError::OtherIdentity)?;
    let is_former = key + 1 < used.len();
    if state.account_id != claim.account_id || is_former && claim.account_seq >= state.seq {
        return Err(LeafError::OtherIdentity);
    }
    if let Some(previous) = previous.map(|previous| &previous.credential)
        && previous.identity_fingerprint != claim.identity_fingerprint
    {
        // C-018: the fingerprint goes along the account's own list of replaced keys only, and with a newer state.
        let earlier = place(&previous.identity_fingerprint).ok_or(LeafError::Changed)?;
        if earlier > key || claim.account_seq <= previous.account_seq {
            return Err(LeafError::Changed);
        }
    }
    // C-017: the device is listed there, and its certificate names this key.
    if !state
        .devices
        .iter()
        .any(|entry| entry.device_id == claim.device_id)
    {
        return Err(LeafError::NotListed);
    }
    let cert = known
        .cert(claim.device_id)
        .ok_or(LeafError::NoCertificate)?;
    check_key(leaf, state.seq, cert, previous)
}

/// C-186: the leaf signs with the certified key, or under an older state with one that it replaced; to another key it
/// goes forward only, and with a newer state.
fn check_key(
    leaf: &LeafClaim,
    newest_seq: u64,
    cert: &DeviceCert,
    previous: Option<&LeafClaim>,
) -> Result<(), LeafError> {
    let keys = cert.leaf_keys();
    let place = |key: &[u8; 32]| keys.iter().position(|used| used == key);
    let key = place(&leaf.signature_key).ok_or(LeafError::OtherKey)?;
    let is_former = key + 1 < keys.len();
    if is_former && leaf.credential.account_seq >= newest_seq {
        return Err(LeafError::OtherKey);
    }
    let Some(previous) = previous.filter(|it| it.signature_key != leaf.signature_key) else {
        return Ok(());
    };
    let is_back = place(&previous.signature_key).is_some_and(|earlier| earlier > key);
    if is_back || leaf.credential.account_seq <= previous.credential.account_seq {
        return Err(LeafError::Changed);
    }
    Ok(())
}

/// C-018: account and device stay, the account seq only grows. The fingerprint is judged with the accepted state.
fn check_unchanged(claim: &Credential, previous: &Credential) -> Result<(), LeafError> {
    let same = claim.account_id == previous.account_id
        && claim.device_id == previous.device_id
        && claim.account_seq >= previous.account_seq;
    if same {
        Ok(())
    } else {
        Err(LeafError::Changed)
    }
}

#[cfg(test)]
mod tests;
