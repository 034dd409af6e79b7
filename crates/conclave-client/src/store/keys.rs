//! Keys that change, and whom this user trusts.

use conclave_core::identity::IdentitySecret;
use conclave_proto::account::IdentityKey;

use super::{StoreError, Tx};
use crate::view::TrustMode;

const TRUST_MODE: &str = "trust_mode";
const TYPING_OFF: &str = "typing_off";
const MADE_IDENTITY: &str = "made_identity";

/// Where an identity key that a state names came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// This device made it.
    Made,
    /// Another own device made it and told this one.
    Told,
    /// It is not here, or not yet.
    Missing,
}

impl Tx<'_> {
    /// Whether others are told that the person types; so unless set otherwise.
    pub(crate) fn says_typing(&self) -> Result<bool, StoreError> {
        Ok(self.meta(TYPING_OFF)?.is_none_or(|value| value.is_empty()))
    }

    /// Sets it.
    pub(crate) fn set_says_typing(&self, is_on: bool) -> Result<(), StoreError> {
        self.set_meta(TYPING_OFF, if is_on { b"" } else { b"1" })
    }

    /// The identity key that this device made and that no state names yet.
    pub(crate) fn made_identity(&self) -> Result<Option<IdentitySecret>, StoreError> {
        let Some(bytes) = self.meta(MADE_IDENTITY)? else {
            return Ok(None);
        };
        let made = IdentitySecret::from_stored(&bytes);
        made.map(Some)
            .ok_or_else(|| StoreError("the stored new identity key is damaged".into()))
    }

    /// Keeps a new identity key before anybody hears of it.
    pub(crate) fn put_made_identity(&self, made: &IdentitySecret) -> Result<(), StoreError> {
        self.set_meta(MADE_IDENTITY, &made.to_stored())
    }

    /// The account's newest state names `key`: when this device has it, it takes the place of the one before, which is
    /// gone. What was made in vain is gone too; what was told and fits nothing yet waits.
    pub(crate) fn take_identity(&self, key: &IdentityKey) -> Result<Taken, StoreError> {
        let made = self.made_identity()?.map(|made| (made, Taken::Made));
        let told = self.next_identity()?.map(|told| (told, Taken::Told));
        self.delete_meta(MADE_IDENTITY)?;
        let mut held = [made, told].into_iter().flatten();
        let Some((held, taken)) = held.find(|(held, _)| held.public() == *key) else {
            return Ok(Taken::Missing);
        };
        self.put_identity(&held)?;
        Ok(taken)
    }

    /// Whom this user sends to; trust on first use unless they chose otherwise.
    pub(crate) fn trust_mode(&self) -> Result<TrustMode, StoreError> {
        let Some(name) = self.meta(TRUST_MODE)? else {
            return Ok(TrustMode::Tofu);
        };
        let mode = std::str::from_utf8(&name)
            .ok()
            .and_then(TrustMode::from_name);
        mode.ok_or_else(|| StoreError("the stored trust mode is damaged".into()))
    }

    /// Changes whom this user sends to.
    pub(crate) fn put_trust_mode(&self, mode: TrustMode) -> Result<(), StoreError> {
        self.set_meta(TRUST_MODE, mode.name().as_bytes())
    }
}
