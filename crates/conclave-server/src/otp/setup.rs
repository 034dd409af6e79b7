//! From the settings to the senders, or to the sentence that says what is missing.

use std::sync::Arc;

use super::{ConsoleSender, HttpSender, Sender, Senders, SmtpSender};
use crate::config::{OtpSection, OtpSender};

/// The settings describe no sender that could work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// A setting is needed: (setting, for what).
    #[error("`{0}` is not set: the `{1}` sender needs it")]
    Missing(&'static str, &'static str),
    /// A setting does not hold: (setting, what it should be).
    #[error("`{0}` does not hold: it takes {1}")]
    Wrong(&'static str, &'static str),
    /// Codes would travel in the clear (C-077).
    #[error("`{0}` would send codes unencrypted: that is allowed to this machine only")]
    Unencrypted(&'static str),
    /// A file named by a setting cannot be used.
    #[error("cannot use {path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// Nobody to trust.
    #[error(
        "there are no root certificates to check the other side with: install this machine's \
         (Debian: ca-certificates), or name a `ca_file`"
    )]
    NoRoots,
}

/// The senders that the settings name.
pub fn senders(section: &OtpSection) -> Result<Senders, SetupError> {
    let http = || HttpSender::new(&section.http).map(|http| Arc::new(http) as Arc<dyn Sender>);
    match section.sender {
        OtpSender::Console => Ok(Senders::one(Arc::new(ConsoleSender))),
        OtpSender::Http => Ok(Senders::one(http()?)),
        OtpSender::Smtp => Ok(Senders {
            mail: Some(Arc::new(SmtpSender::new(&section.smtp)?)),
            // phones need a gateway beside the mail server
            sms: if section.http.url.expose().is_empty() {
                None
            } else {
                Some(http()?)
            },
        }),
    }
}
