//! Keys that change, and whom this user trusts.

use super::{StoreError, Tx};
use crate::view::TrustMode;

const TRUST_MODE: &str = "trust_mode";

impl Tx<'_> {
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
