//! What account objects refuse, and what may follow a state.

use super::*;

/// An identity key of a suite we do not know verifies nothing, whatever its bytes.
#[test]
fn c002_refuses_unknown_suites() {
    let key = IdentityKey {
        suite: SUITE_ED25519_MLDSA65 + 1,
        ed25519: [0; 32],
        mldsa65: vec![0; MLDSA65_KEY_BYTES].into(),
    };
    assert_eq!(key.check(), Err(CodecError::UnknownVersion.into()));
    let signature = HybridSignature {
        ed25519: vec![0; 64].into(),
        mldsa65: vec![0; 3309].into(),
    };
    assert_eq!(
        key.verify("label", b"content", &signature),
        Err(CodecError::UnknownVersion.into())
    );
}
