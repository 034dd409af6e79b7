//! Signed objects as one likes them: the content is changed, and whoever has the keys signs it again.

use conclave_core::identity::{DeviceSecret, IdentitySecret};
use conclave_core::intro::Intro;
use conclave_proto::account::{
    AccountState, AccountStateContent, DeviceCert, DeviceCertContent, HybridSignature,
};
use conclave_proto::id::{AccountId, DeviceId, LogId, MessageId};
use conclave_proto::{codec, label};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize, VLBytes};

/// `state` after `change`, signed again by `identity`.
pub fn state(
    state: &AccountState,
    identity: &IdentitySecret,
    change: impl FnOnce(&mut AccountStateContent),
) -> AccountState {
    let mut content = state.content.clone();
    change(&mut content);
    AccountState {
        signature: identity.sign(label::ACCOUNT_STATE, &codec::encode(&content)),
        rotation: state.rotation.clone(),
        content,
    }
}

/// `cert` after `change`, signed again by `identity` and by the device that holds `device`.
pub fn cert(
    cert: &DeviceCert,
    identity: &IdentitySecret,
    device: &DeviceSecret,
    change: impl FnOnce(&mut DeviceCertContent),
) -> DeviceCert {
    let mut content = cert.content.clone();
    change(&mut content);
    let possession = codec::encode(&content.possession());
    DeviceCert {
        identity_signature: identity.sign(label::DEVICE_CERT, &codec::encode(&content)),
        possession_signature: device
            .sign(label::DEVICE_CERT_POSSESSION, &possession)
            .into(),
        content,
    }
}

/// Everything that may be done to one of two signatures: left out, cut, of another key, swapped.
pub fn broken_signatures(
    good: &HybridSignature,
    foreign: &HybridSignature,
) -> Vec<HybridSignature> {
    let cut = |bytes: &VLBytes| VLBytes::from(bytes.as_slice()[1..].to_vec());
    let ed25519 = [
        VLBytes::from(vec![]),
        cut(&good.ed25519),
        foreign.ed25519.clone(),
    ];
    let mldsa65 = [
        VLBytes::from(vec![]),
        cut(&good.mldsa65),
        foreign.mldsa65.clone(),
    ];
    let mut broken = vec![HybridSignature {
        ed25519: good.mldsa65.clone(),
        mldsa65: good.ed25519.clone(),
    }];
    broken.extend(ed25519.map(|ed25519| HybridSignature {
        ed25519,
        mldsa65: good.mldsa65.clone(),
    }));
    broken.extend(mldsa65.map(|mldsa65| HybridSignature {
        ed25519: good.ed25519.clone(),
        mldsa65,
    }));
    broken
}

/// An intro (C-039) with its fields open.
#[derive(Debug, TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct RawIntro {
    /// What it says.
    pub content: RawIntroContent,
    /// By the sender's device.
    pub signature: VLBytes,
}

/// What an intro says.
#[derive(Debug, TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct RawIntroContent {
    /// 1.
    pub version: u8,
    /// For whom.
    pub recipient_account: AccountId,
    /// For which device.
    pub recipient_device: DeviceId,
    /// About which log.
    pub log_id: LogId,
    /// Days since 1970-01-01 UTC.
    pub day: u32,
    /// Display name, UTF-8.
    pub name: VLBytes,
    /// The sender's identifier, UTF-8.
    pub identifier: VLBytes,
    /// The sender's capability.
    pub capability: [u8; 32],
    /// The first message.
    pub first: Option<RawFirst>,
    /// The sender's newest state.
    pub state: AccountState,
    /// The sender's certificate.
    pub cert: DeviceCert,
}

/// The first message in an intro.
#[derive(Debug, TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct RawFirst {
    /// Its id.
    pub message_id: MessageId,
    /// Sender's clock, ms since 1970-01-01 UTC.
    pub sent_ms: u64,
    /// UTF-8.
    pub body: VLBytes,
}

/// `intro` after `change`, signed again by `device`; [`None`] keeps the old signature.
pub fn intro(
    intro: &Intro,
    device: Option<&DeviceSecret>,
    change: impl FnOnce(&mut RawIntroContent),
) -> Intro {
    let mut raw: RawIntro = codec::parse_exact(&codec::encode(intro)).unwrap();
    change(&mut raw.content);
    if let Some(device) = device {
        let bytes = codec::encode(&raw.content);
        raw.signature = device.sign(label::INTRO, &bytes).into();
    }
    codec::parse_exact(&codec::encode(&raw)).unwrap()
}
