//! How a new device joins an account: what lies in the four slots of their mailbox.
//!
//! 1. the new device makes keys and an [`Offer`]; the mailbox's id is its hash, shown as a link (C-122)
//! 2. it also shows a [`LinkCode`]; the person types it on a device of the account
//! 3. that device seals an [`Answer`] to the offer's key, with the code bound in: who has the link but
//!    not the code cannot make one, and has one try (C-123)
//! 4. the new device proves that it holds its keys, for that account
//! 5. the old device certifies it, publishes the state that lists it, and seals the [`Bundle`]: the
//!    identity key and what else the account is; never MLS secrets (C-124)

use core::fmt;

use conclave_proto::account::{AccountState, DeviceCert, XWING_KEY_BYTES};
use conclave_proto::env::Env;
use conclave_proto::id::{AccountId, DeviceId, Hash32, ServerId};
use conclave_proto::identifier::Identifier;
use conclave_proto::limits::{
    DEVICES_MAX, IDENTIFIER_BYTES_MAX, MAILBOX_OFFER_BYTES_MAX, MAILBOX_SLOT_BYTES_MAX,
    NAME_BYTES_MAX,
};
use conclave_proto::mailbox::mailbox_id;
use conclave_proto::{codec, label};
use openmls_traits::types::HpkeCiphertext;
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize, VLBytes};
use zeroize::{Zeroize as _, Zeroizing};

use crate::capability::Capability;
use crate::hpke::{self, KEM_OUTPUT_BYTES};
use crate::identity::{DeviceSecret, IdentitySecret, ProvenDevice, STORED_BYTES};
use crate::secret::Secret;

/// Version of offer, answer and bundle.
const VERSION: u8 = 1;
/// Digits of a code: one try in a million for who guesses.
const CODE_DIGITS: usize = 6;

/// Something in the mailbox that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Not what it should be, or of a newer version: end the mailbox and begin again.
    #[error(
        "what the other device sent cannot be read; use the same version on both and begin again"
    )]
    Malformed,
    /// The offer is not the one that the link was made for: the server changed it (C-122).
    #[error(
        "the server shows another offer than the link was made for; report this to its operator"
    )]
    OtherOffer,
    /// Not sealed by somebody who knows the code, or changed on the way (C-123): end the mailbox.
    #[error("the code that was typed is not the one shown here; begin again")]
    WrongCode,
    /// The keys in the offer cannot be sealed to: end the mailbox.
    #[error("the new device offers keys that cannot be used; update its program and begin again")]
    Keys,
    /// The account that arrived contradicts itself or does not hold this device: end the mailbox.
    #[error("the account that arrived does not hold together ({0}); begin again")]
    Contradiction(&'static str),
    /// More than a mailbox carries.
    #[error("the account is too large to travel; remove a device and begin again")]
    TooLarge,
}

/// The six digits that the new device shows and the person types on the old one. Good for one mailbox.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkCode(String);

impl LinkCode {
    /// A fresh one.
    pub fn random(env: &dyn Env) -> Self {
        let mut bytes = [0; 8];
        env.fill(&mut bytes);
        Self(format!("{:06}", u64::from_be_bytes(bytes) % 1_000_000))
    }

    /// The code in what somebody typed: six digits, spaces and dashes do not matter.
    pub fn parse(text: &str) -> Option<Self> {
        let is_filling = |c: &char| c.is_whitespace() || *c == '-';
        let digits: String = text.chars().filter(|c| !is_filling(c)).collect();
        let is_code = digits.len() == CODE_DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
        is_code.then_some(Self(digits))
    }

    /// The digits, to show them.
    pub fn digits(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for LinkCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkCode")
    }
}

/// What a new device shows of itself: fresh keys and the name it goes by.
#[derive(Debug, Clone, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct Offer {
    version: u8,
    server_id: ServerId,
    device_id: DeviceId,
    leaf_key: [u8; 32],
    inbox_key: VLBytes,
    name: VLBytes,
    nonce: [u8; 32],
}

impl Offer {
    /// The offer of a device with these keys.
    pub fn new(
        server_id: ServerId,
        device_id: DeviceId,
        secret: &DeviceSecret,
        name: &str,
        env: &dyn Env,
    ) -> Self {
        let mut nonce = [0; 32];
        env.fill(&mut nonce);
        Self {
            version: VERSION,
            server_id,
            device_id,
            leaf_key: secret.leaf_key(),
            inbox_key: secret.inbox_key().into(),
            name: name.as_bytes().into(),
            nonce,
        }
    }

    /// The offer in a mailbox's first slot.
    pub fn parse(bytes: &[u8], mailbox: Hash32) -> Result<Self, LinkError> {
        // C-122: the link names the offer by its hash, so nobody in between can put keys of their own there
        if mailbox_id(bytes) != mailbox {
            return Err(LinkError::OtherOffer);
        }
        Self::read(bytes)
    }

    /// A well-formed offer, whoever made it.
    pub fn read(bytes: &[u8]) -> Result<Self, LinkError> {
        if bytes.len() > MAILBOX_OFFER_BYTES_MAX {
            return Err(LinkError::Malformed);
        }
        let offer: Self = codec::parse_exact(bytes).map_err(|_| LinkError::Malformed)?;
        let is_whole = offer.version == VERSION
            && offer.inbox_key.as_slice().len() == XWING_KEY_BYTES
            && is_name(offer.name.as_slice());
        if is_whole {
            Ok(offer)
        } else {
            Err(LinkError::Malformed)
        }
    }

    /// The one encoding.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The server that the new device talks to.
    pub fn server_id(&self) -> ServerId {
        self.server_id
    }

    /// The device.
    pub fn device_id(&self) -> DeviceId {
        self.device_id
    }

    /// Whether `cert` is of this device with these keys.
    pub fn is_of(&self, cert: &DeviceCert) -> bool {
        let content = &cert.content;
        content.device_id == self.device_id
            && content.leaf_key == self.leaf_key
            && content.inbox_key == self.inbox_key
    }

    /// The name that it goes by; may be empty.
    pub fn name(&self) -> String {
        String::from_utf8_lossy(self.name.as_slice()).into_owned()
    }
}

fn is_name(bytes: &[u8]) -> bool {
    let text = core::str::from_utf8(bytes);
    bytes.len() <= NAME_BYTES_MAX && text.is_ok_and(|text| !text.chars().any(char::is_control))
}

/// To which account a device would belong, and a secret that its bundle is bound to.
#[derive(TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct Answer {
    version: u8,
    account_id: AccountId,
    secret: [u8; 32],
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl Answer {
    /// A fresh answer by a device of `account_id`.
    pub fn new(account_id: AccountId, env: &dyn Env) -> Self {
        Self::from_stored(account_id, *Secret::<32>::random(env).expose())
    }

    /// The answer with this secret.
    pub fn from_stored(account_id: AccountId, secret: [u8; 32]) -> Self {
        Self {
            version: VERSION,
            account_id,
            secret,
        }
    }

    /// The account.
    pub fn account_id(&self) -> AccountId {
        self.account_id
    }

    /// What the bundle is bound to; for the encrypted store only.
    pub fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// Sealed to the new device, for whoever typed its code.
    pub fn seal(&self, offer: &Offer, code: &LinkCode) -> Result<Vec<u8>, LinkError> {
        let plain = Zeroizing::new(codec::encode(self));
        seal(offer, label::LINK_ANSWER, &bound(offer, code, &[]), &plain)
    }

    /// Opens the answer to our own offer. C-123: only who knows the code can have made it.
    pub fn open(
        sealed: &[u8],
        own: &DeviceSecret,
        offer: &Offer,
        code: &LinkCode,
    ) -> Result<Self, LinkError> {
        let plain = open(sealed, own, label::LINK_ANSWER, &bound(offer, code, &[]))?;
        let answer: Self = codec::parse_exact(&plain).map_err(|_| LinkError::Malformed)?;
        if answer.version == VERSION {
            Ok(answer)
        } else {
            Err(LinkError::Malformed)
        }
    }
}

/// The device that an offer and the proof in the third slot make, for the account of `answer`.
pub fn proven(offer: &Offer, answer: &Answer, proof: &[u8]) -> Result<ProvenDevice, LinkError> {
    let possession = conclave_proto::account::Possession {
        server_id: offer.server_id,
        account_id: answer.account_id,
        device_id: offer.device_id,
        leaf_key: offer.leaf_key,
        inbox_key: offer.inbox_key.clone(),
    };
    let device = ProvenDevice {
        possession,
        signature: proof.to_vec(),
        former: Vec::new(),
    };
    if device.holds() {
        Ok(device)
    } else {
        Err(LinkError::Malformed)
    }
}

/// An account as a new device gets it. Holds the identity key; wiped on drop.
pub struct Bundle {
    /// The identity key: every device of ours certifies.
    pub identity: IdentitySecret,
    /// The newest state; lists the new device.
    pub state: AccountState,
    /// Certificates of all its devices.
    pub certs: Vec<DeviceCert>,
    /// What contacts may post and claim with.
    pub capability: Capability,
    /// Normalised phone number or e-mail address.
    pub identifier: Identifier,
    /// What contacts are shown; may be empty.
    pub name: String,
    /// The pointer to the history that goes with it, encoded; empty when there is none.
    pub history: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bundle")
    }
}

#[derive(TlsSize, TlsSerialize, TlsDeserializeBytes)]
struct BundleContent {
    version: u8,
    identity: [u8; STORED_BYTES],
    state: AccountState,
    certs: Vec<DeviceCert>,
    capability: Capability,
    identifier: VLBytes,
    name: VLBytes,
    history: Vec<u8>,
}

impl Drop for BundleContent {
    fn drop(&mut self) {
        self.identity.zeroize();
        self.history.zeroize();
    }
}

impl Bundle {
    /// Sealed to the new device, bound to the code and to the answer that it took.
    pub fn seal(
        &self,
        offer: &Offer,
        code: &LinkCode,
        answer: &Answer,
    ) -> Result<Vec<u8>, LinkError> {
        let mut identity = [0; STORED_BYTES];
        identity.copy_from_slice(&self.identity.to_stored());
        let content = BundleContent {
            version: VERSION,
            identity,
            state: self.state.clone(),
            certs: self.certs.clone(),
            capability: self.capability.clone(),
            identifier: self.identifier.as_str().as_bytes().into(),
            name: self.name.as_bytes().into(),
            history: self.history.to_vec(),
        };
        identity.zeroize();
        let plain = Zeroizing::new(codec::encode(&content));
        let sealed = seal(
            offer,
            label::LINK_BUNDLE,
            &bound(offer, code, &answer.secret),
            &plain,
        )?;
        if sealed.len() > MAILBOX_SLOT_BYTES_MAX {
            return Err(LinkError::TooLarge);
        }
        Ok(sealed)
    }

    /// Opens the bundle for our own offer and checks that it is whole: the state holds, is of the answer's
    /// account, lists this device with these keys, and the identity key is the one that signed it (C-124).
    pub fn open(
        sealed: &[u8],
        own: &DeviceSecret,
        offer: &Offer,
        code: &LinkCode,
        answer: &Answer,
    ) -> Result<Self, LinkError> {
        let aad = bound(offer, code, &answer.secret);
        let plain = open(sealed, own, label::LINK_BUNDLE, &aad)?;
        let content: BundleContent =
            codec::parse_exact(&plain).map_err(|_| LinkError::Malformed)?;
        let identifier = core::str::from_utf8(content.identifier.as_slice())
            .ok()
            .filter(|text| text.len() <= IDENTIFIER_BYTES_MAX)
            .and_then(|text| Identifier::parse_normalised(text).ok());
        if content.version != VERSION || !is_name(content.name.as_slice()) {
            return Err(LinkError::Malformed);
        }
        let bundle = Self {
            identity: IdentitySecret::from_stored(&content.identity).ok_or(LinkError::Malformed)?,
            state: content.state.clone(),
            certs: content.certs.clone(),
            capability: content.capability.clone(),
            identifier: identifier.ok_or(LinkError::Malformed)?,
            name: String::from_utf8_lossy(content.name.as_slice()).into_owned(),
            history: Zeroizing::new(content.history.clone()),
        };
        bundle.check(own, offer, answer)?;
        Ok(bundle)
    }

    fn check(&self, own: &DeviceSecret, offer: &Offer, answer: &Answer) -> Result<(), LinkError> {
        let wrong = LinkError::Contradiction;
        let content = &self.state.content;
        self.state
            .verify(offer.server_id)
            .map_err(|_| wrong("its state does not verify"))?;
        if self.certs.len() > DEVICES_MAX || self.state.verify_certs(&self.certs).is_err() {
            return Err(wrong("its certificates do not verify"));
        }
        if content.account_id != answer.account_id || content.identity != self.identity.public() {
            return Err(wrong("its key is of another account"));
        }
        let is_ours =
            offer.leaf_key == own.leaf_key() && offer.inbox_key.as_slice() == own.inbox_key();
        if is_ours && self.certs.iter().any(|cert| offer.is_of(cert)) {
            Ok(())
        } else {
            Err(wrong("this device is not in it"))
        }
    }
}

/// What is authenticated beside a sealed slot: the offer, the code and, for the bundle, the answer's secret.
#[derive(TlsSize, TlsSerialize)]
struct Bound {
    offer: Hash32,
    code: VLBytes,
    secret: VLBytes,
}

fn bound(offer: &Offer, code: &LinkCode, secret: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(codec::encode(&Bound {
        offer: mailbox_id(&offer.to_bytes()),
        code: code.0.as_bytes().into(),
        secret: secret.into(),
    }))
}

fn seal(offer: &Offer, info: &str, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, LinkError> {
    let sealed = hpke::seal(offer.inbox_key.as_slice(), info.as_bytes(), aad, plain)
        .map_err(|_| LinkError::Keys)?;
    Ok([sealed.kem_output.as_slice(), sealed.ciphertext.as_slice()].concat())
}

fn open(
    sealed: &[u8],
    own: &DeviceSecret,
    info: &str,
    aad: &[u8],
) -> Result<Zeroizing<Vec<u8>>, LinkError> {
    let split = sealed.split_at_checked(KEM_OUTPUT_BYTES);
    let (kem_output, ciphertext) = split.ok_or(LinkError::Malformed)?;
    let sealed = HpkeCiphertext {
        kem_output: kem_output.into(),
        ciphertext: ciphertext.into(),
    };
    hpke::open(&own.inbox_pair().private, &sealed, info.as_bytes(), aad)
        .map(Zeroizing::new)
        .map_err(|_| LinkError::WrongCode)
}

#[cfg(test)]
mod tests;
