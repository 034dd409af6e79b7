//! What people write, under the message's own AES-256 key: CFB128 for `rsa`, GCM for `ec`.

use aws_lc_rs::cipher::{
    AES_256, DecryptingKey, DecryptionContext, EncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use zeroize::Zeroizing;

use crate::aead;
use crate::keys::Refused;
use crate::suite::Suite;

const CFB_IV_BYTES: usize = 16;

/// iv\[16\] ‖ AES-256-CFB128 for `rsa` (no integrity of its own: the signature has to carry it), iv\[12\] ‖
/// AES-256-GCM for `ec`.
pub(crate) fn seal(suite: Suite, key: &[u8; 32], text: &[u8]) -> Result<Vec<u8>, Refused> {
    match suite {
        Suite::Ec => aead::seal(key, text),
        Suite::Rsa => {
            let mut sealed = text.to_vec();
            let key = UnboundCipherKey::new(&AES_256, key).map_err(|_| Refused)?;
            let context = EncryptingKey::cfb128(key)
                .and_then(|key| key.encrypt(&mut sealed))
                .map_err(|_| Refused)?;
            Ok([iv(&context)?, &sealed].concat())
        }
    }
}

/// Opens what [`seal`] sealed. For `rsa` any bytes open to something: check the signature first.
pub(crate) fn open(
    suite: Suite,
    key: &[u8; 32],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Refused> {
    match suite {
        Suite::Ec => aead::open(key, sealed),
        Suite::Rsa => {
            let (iv, rest) = sealed.split_first_chunk::<CFB_IV_BYTES>().ok_or(Refused)?;
            let mut rest = Zeroizing::new(rest.to_vec());
            let key = UnboundCipherKey::new(&AES_256, key).map_err(|_| Refused)?;
            let context = DecryptionContext::Iv128(FixedLength::from(iv));
            DecryptingKey::cfb128(key)
                .and_then(|key| key.decrypt(&mut rest, context).map(|_| ()))
                .map_err(|_| Refused)?;
            Ok(rest)
        }
    }
}

fn iv(context: &DecryptionContext) -> Result<&[u8], Refused> {
    <&[u8]>::try_from(context).map_err(|_| Refused)
}
