//! Secret bytes that wipe themselves and never print.

use core::fmt;

use conclave_proto::env::Env;
use zeroize::Zeroize;

/// `N` secret bytes: a seed or a symmetric key.
///
/// Held by whoever owns the object it sits in, for as long as that object lives; zeroized on drop.
/// There is no `Clone` and no `Display`, and `Debug` prints the type's name only.
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Takes over `bytes` and wipes the caller's copy.
    pub fn take(bytes: &mut [u8; N]) -> Self {
        let secret = Self(Box::new(*bytes));
        bytes.zeroize();
        secret
    }

    /// Fresh random bytes.
    pub fn random(env: &dyn Env) -> Self {
        let mut secret = Self(Box::new([0; N]));
        env.fill(secret.0.as_mut());
        secret
    }

    /// The secret in `bytes`, or `None` when they are not exactly `N`. The caller wipes its own copy.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut secret = Self(Box::new([0; N]));
        if bytes.len() != N {
            return None;
        }
        secret.0.copy_from_slice(bytes);
        Some(secret)
    }

    /// The bytes themselves. Never copy them into something that does not wipe itself.
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A secret takes exactly its length, wipes where it came from and does not print itself.
    #[test]
    fn keeps_to_itself() {
        let mut source = [7; 32];
        let secret = Secret::take(&mut source);
        assert_eq!(source, [0; 32]);
        assert_eq!(secret.expose(), &[7; 32]);
        assert_eq!(format!("{secret:?}"), "Secret");
        assert!(Secret::<32>::parse(&[0; 31]).is_none());
        assert!(Secret::<32>::parse(&[0; 33]).is_none());
    }
}
