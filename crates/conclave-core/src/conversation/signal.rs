//! Signals: what is worth something for seconds only, such as that somebody is writing. Never stored by anybody.

use aws_lc_rs::aead::{Aad, Nonce};
use conclave_proto::env::Env;

use super::{Conversation, Member};
use crate::aead::{TAG_BYTES, cipher};
use crate::provider::MlsFailure;
use crate::secret::Secret;

/// The sender's leaf, a random nonce, then the sealed kind and time.
const SIGNAL_BYTES: usize = 4 + NONCE_BYTES + PLAIN_BYTES + TAG_BYTES;
const NONCE_BYTES: usize = 12;
const PLAIN_BYTES: usize = 1 + 8;
/// That somebody is writing.
const TYPING: u8 = 1;

/// A signal that opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// The sender is writing.
    Typing {
        /// The sender's clock, ms since 1970-01-01 UTC.
        sent_ms: u64,
    },
}

impl Conversation {
    /// Seals a signal under this device's key of the current epoch: 41 bytes, whatever it says.
    pub fn seal_signal(&self, env: &dyn Env, signal: Signal) -> Result<Vec<u8>, MlsFailure> {
        let leaf = self.own_leaf();
        let mut nonce = [0; NONCE_BYTES];
        env.fill(&mut nonce);
        Ok(seal(&self.signal_key(leaf)?, leaf, nonce, signal))
    }

    /// Opens a signal of another device of the current epoch; `None` for anything else (C-178).
    pub fn open_signal(&self, payload: &[u8]) -> Option<(Member, Signal)> {
        let leaf = u32::from_be_bytes(*payload.first_chunk()?);
        if leaf == self.own_leaf() {
            return None;
        }
        let member = self.member(leaf)?;
        let signal = open(&self.signal_key(leaf).ok()?, payload)?;
        Some((member, signal))
    }
}

#[expect(
    clippy::expect_used,
    reason = "AES-256-GCM fails only above 2^36 bytes, and these are nine"
)]
fn seal(key: &Secret<32>, leaf: u32, nonce: [u8; NONCE_BYTES], signal: Signal) -> Vec<u8> {
    let Signal::Typing { sent_ms } = signal;
    let mut sealed = vec![TYPING];
    sealed.extend_from_slice(&sent_ms.to_be_bytes());
    cipher(key.expose())
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(leaf.to_be_bytes()),
            &mut sealed,
        )
        .expect("far below the limit of GCM");
    [&leaf.to_be_bytes()[..], &nonce, &sealed].concat()
}

/// C-178: exactly as long as it must be, under the key of the leaf that it names, of a kind that is known.
fn open(key: &Secret<32>, payload: &[u8]) -> Option<Signal> {
    if payload.len() != SIGNAL_BYTES {
        return None;
    }
    let (leaf, rest) = payload.split_first_chunk::<4>()?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>()?;
    let mut sealed = sealed.to_vec();
    let plain = cipher(key.expose()).open_in_place(
        Nonce::assume_unique_for_key(*nonce),
        Aad::from(*leaf),
        &mut sealed,
    );
    match plain.ok()?.split_first()? {
        (&TYPING, time) => {
            let sent_ms = u64::from_be_bytes(time.try_into().ok()?);
            Some(Signal::Typing { sent_ms })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Secret<32> {
        Secret::take(&mut [byte; 32])
    }

    /// A signal opens under its leaf's key as it was sealed, and its bytes are the committed ones.
    #[test]
    fn signals_open_as_they_were_sealed() {
        let signal = Signal::Typing {
            sent_ms: 1_795_348_800_000,
        };
        let sealed = seal(&key(7), 3, [1; 12], signal);
        assert_eq!(sealed.len(), 41);
        assert_eq!(open(&key(7), &sealed), Some(signal));
        insta::assert_snapshot!(hex::encode(&sealed), @"0000000301010101010101010101010177e189b632bcccacd1c222c15f2891094672295766ac9ad5ed");
    }

    /// Of another key, for another leaf, cut, longer or with any bit changed it is nothing.
    #[test]
    fn c178_forged_signals_are_nothing() {
        let signal = Signal::Typing { sent_ms: 5 };
        let sealed = seal(&key(7), 3, [1; 12], signal);
        assert_eq!(open(&key(8), &sealed), None);
        assert_eq!(open(&key(7), &sealed[..40]), None);
        assert_eq!(open(&key(7), &[&sealed[..], &[0]].concat()), None);
        for at in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[at] ^= 1;
            assert_eq!(open(&key(7), &bent), None, "{at}");
        }
        assert_eq!(open(&key(7), &[]), None);
    }
}
