//! The binding of a bundle: who made it, readable by members only (C-036).
//!
//! `nonce[12] ‖ AES-256-GCM(key, leaf u32 ‖ leaf signature over the head [64])`, under the exporter key
//! of the epoch that ends, additional data log id ‖ epoch. So members, not the server, can name who
//! registered wrong keys, even when the commit itself cannot be processed.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use conclave_proto::account::verify_ed25519;
use conclave_proto::env::Env;
use conclave_proto::log::BundleHead;
use openmls::prelude::LeafNodeIndex;

use super::{Conversation, Member};
use crate::access::Use;
use crate::identity::OwnDevice;
use crate::provider::MlsFailure;
use crate::secret::Secret;

const LEAF_BYTES: usize = 4;

/// Our binding for `head`.
#[expect(
    clippy::expect_used,
    reason = "AES-256-GCM seals 68 bytes into a growing buffer"
)]
pub(super) fn seal(
    conversation: &Conversation,
    own: &OwnDevice,
    env: &dyn Env,
    head: &BundleHead,
) -> Result<Vec<u8>, MlsFailure> {
    let key = conversation.export(Use::Bind)?;
    let mut nonce = [0; NONCE_LEN];
    env.fill(&mut nonce);
    let mut sealed = conversation.own_leaf().to_be_bytes().to_vec();
    let signer = conversation.signer(own);
    sealed.extend_from_slice(&signer.0.sign_input(&head.binding_input()));
    cipher(&key)
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(additional(head)),
            &mut sealed,
        )
        .expect("seals");
    Ok([nonce.to_vec(), sealed].concat())
}

/// Who bound themselves to `head`, or `None` when nobody did. `conversation` is still in the epoch that ends.
pub(super) fn open(
    conversation: &Conversation,
    head: &BundleHead,
    binding: &[u8],
) -> Result<Option<Member>, MlsFailure> {
    let key = conversation.export(Use::Bind)?;
    Ok(unseal(&key, head, binding).and_then(|(leaf, signature)| {
        let member = conversation.group.member_at(LeafNodeIndex::new(leaf))?;
        let signed = verify_ed25519(&member.signature_key, &head.binding_input(), &signature);
        if signed {
            conversation.member(leaf)
        } else {
            None
        }
    }))
}

fn unseal(key: &Secret<32>, head: &BundleHead, binding: &[u8]) -> Option<(u32, Vec<u8>)> {
    let (nonce, sealed) = binding.split_first_chunk::<NONCE_LEN>()?;
    let mut buffer = sealed.to_vec();
    let plain = cipher(key)
        .open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(additional(head)),
            &mut buffer,
        )
        .ok()?;
    let (leaf, signature) = plain.split_first_chunk::<LEAF_BYTES>()?;
    Some((u32::from_be_bytes(*leaf), signature.to_vec()))
}

#[expect(clippy::expect_used, reason = "an AES-256 key is 32 bytes")]
fn cipher(key: &Secret<32>) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.expose()).expect("32 bytes"))
}

fn additional(head: &BundleHead) -> Vec<u8> {
    [
        head.log_id.as_bytes().as_slice(),
        &head.base_epoch.0.to_be_bytes(),
    ]
    .concat()
}
