//! Which public keys are taken: right kind, right size, right exponent, on the curve.

#![allow(
    clippy::unwrap_used,
    reason = "a test stops at the first surprise; clippy knows only the functions marked as tests"
)]

use conclave_classic::keys::{KeyError, PublicKey};
use conclave_classic::suite::Suite;

macro_rules! pem {
    ($name:literal) => {
        include_str!(concat!("keys/", $name, ".pem"))
    };
}

/// Keys of the wrong size, exponent, curve or kind are refused, each for its own reason.
#[test]
fn weak_and_foreign_keys_are_refused() {
    let refused = [
        (Suite::Rsa, pem!("rsa_1024"), KeyError::RsaSize),
        (Suite::Rsa, pem!("rsa_5120"), KeyError::RsaSize),
        (Suite::Rsa, pem!("rsa_e3"), KeyError::RsaExponent),
        (Suite::Rsa, pem!("ec_compressed"), KeyError::Malformed),
        (Suite::Rsa, pem!("ed25519"), KeyError::Malformed),
        (Suite::Ec, pem!("ec_p384"), KeyError::Malformed),
        (Suite::Ec, pem!("ec_compressed"), KeyError::Point),
        (Suite::Ec, pem!("ec_off_curve"), KeyError::Point),
        (Suite::Ec, pem!("rsa_3072"), KeyError::Malformed),
        (Suite::Ec, "", KeyError::Malformed),
        (Suite::Ec, "not PEM", KeyError::Malformed),
    ];
    for (suite, pem, error) in refused {
        assert_eq!(PublicKey::from_pem(suite, pem), Err(error), "{suite} {pem}");
    }
    let long = format!("{}{}", pem!("rsa_3072"), " ".repeat(5_000));
    assert_eq!(
        PublicKey::from_pem(Suite::Rsa, &long),
        Err(KeyError::Malformed)
    );
}

/// An RSA key of another allowed size, made by another program, works and is written as it was read.
#[test]
fn larger_rsa_keys_are_taken() {
    let key = PublicKey::from_pem(Suite::Rsa, pem!("rsa_3072")).unwrap();
    assert_eq!(key.to_pem(), pem!("rsa_3072"));
    assert_eq!(key.wrap("", &[1; 32]).unwrap().len(), 384);
}
