//! No parser of this crate panics, whatever the bytes; what it accepts, it writes back the same.
#![expect(clippy::unwrap_used, reason = "test helpers")]

use conclave_core::content::Content;
use conclave_core::credential::Credential;
use conclave_core::identity::{DeviceSecret, IdentitySecret, OwnDevice};
use conclave_core::intro::Intro;
use conclave_core::secret::Secret;
use conclave_core::{at_rest, inbox_item, key_export};
use conclave_proto::codec;
use conclave_proto::id::{AccountId, DeviceId, ServerId};
use proptest::prelude::*;

fn own() -> OwnDevice {
    let seed = || Secret::parse(&[7; 32]).unwrap();
    let identity = IdentitySecret::from_seeds(seed(), seed());
    OwnDevice {
        server_id: ServerId::new([1; 32]),
        account_id: AccountId::new([2; 16]),
        device_id: DeviceId::new([3; 16]),
        identity_fingerprint: identity.public().fingerprint(),
        account_seq: 1,
        secret: DeviceSecret::from_seeds(seed(), seed()),
        former: vec![],
    }
}

/// Arbitrary bytes behind a true length, as a hostile member can seal them.
fn padded(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    [&length.to_be_bytes(), bytes, &[0; 32]].concat()
}

proptest! {
    /// Credentials, intros and fingerprints of any bytes: refused, or the same bytes again.
    #[test]
    fn signed_objects(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(credential) = Credential::parse(&bytes) {
            prop_assert_eq!(credential.to_bytes(), bytes.clone());
        }
        if let Ok(intro) = codec::parse_exact::<Intro>(&bytes) {
            prop_assert_eq!(codec::encode(&intro), bytes);
        }
    }

    /// A credential with any one byte changed parses to something else or not at all.
    #[test]
    fn changed_credentials(place in 0_usize..73, change in 1_u8..) {
        let own = own();
        let mut bytes = own.credential().to_bytes();
        if let Some(byte) = bytes.get_mut(place) {
            *byte ^= change;
        }
        prop_assert_ne!(Credential::parse(&bytes), Ok(own.credential()));
    }

    /// Content of any bytes: refused, or readable again after writing it.
    #[test]
    fn contents(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Content::decode_padded(&bytes).is_err());
        if let Ok(content) = Content::decode_padded(&padded(&bytes)) {
            let again = content.encode_padded().unwrap();
            prop_assert_eq!(Content::decode_padded(&again), Ok(content));
        }
    }

    /// Content that begins as a true one does and goes on with anything.
    #[test]
    fn content_bodies(tail in proptest::collection::vec(any::<u8>(), 0..120)) {
        let mut bytes = vec![8, 1, 18, 16];
        bytes.extend_from_slice(&[5; 16]);
        bytes.extend_from_slice(&[42, 32]);
        bytes.extend_from_slice(&[6; 32]);
        bytes.extend_from_slice(&tail);
        if let Ok(content) = Content::decode_padded(&padded(&bytes)) {
            let again = content.encode_padded().unwrap();
            prop_assert_eq!(Content::decode_padded(&again), Ok(content));
        }
    }

    /// Wrapped keys and PEM text of any bytes are refused.
    #[test]
    fn stored_files(bytes in proptest::collection::vec(any::<u8>(), 0..76), text in ".{0,200}") {
        prop_assert!(at_rest::unwrap(&bytes, "passphrase").is_err());
        let pem = format!(
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\n{text}\n-----END ENCRYPTED PRIVATE KEY-----\n"
        );
        prop_assert!(key_export::import_pem(&pem.repeat(2), "passphrase").is_err());
    }
}

/// Inbox items of any bytes of the one size are refused.
#[test]
fn inbox_items() {
    let own = own();
    for fill in 0..=255 {
        assert!(inbox_item::open(&[fill; 16 * 1024], &own).is_err());
    }
}
