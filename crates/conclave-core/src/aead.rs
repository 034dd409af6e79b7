//! AES-256-GCM under a key that seals exactly once, so the nonce may be zero.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

/// Bytes that sealing adds.
pub(crate) const TAG_BYTES: usize = 16;

/// Seals `plain`. The key must be fresh: sealing twice under one key gives both texts away.
#[expect(
    clippy::expect_used,
    reason = "AES-256-GCM fails only above 2^36 bytes, which no limit allows"
)]
pub(crate) fn seal_once(key: &[u8; 32], aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(plain.len() + TAG_BYTES);
    bytes.extend_from_slice(plain);
    cipher(key)
        .seal_in_place_append_tag(zero_nonce(), Aad::from(aad), &mut bytes)
        .expect("far below the limit of GCM");
    bytes
}

/// Opens in place what [`seal_once`] made and leaves the plaintext, or `None` when anything was changed.
pub(crate) fn open_once<'a>(key: &[u8; 32], aad: &[u8], bytes: &'a mut [u8]) -> Option<&'a [u8]> {
    cipher(key)
        .open_in_place(zero_nonce(), Aad::from(aad), bytes)
        .ok()
        .map(|plain| &*plain)
}

/// The cipher under `key`, without a nonce.
#[expect(clippy::expect_used, reason = "an AES-256 key is 32 bytes")]
pub(crate) fn cipher(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("32 bytes"))
}

fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}
