//! What only the server reads: its settings.

use conclave_server::config;

use crate::proto::text;

/// A config file: what is accepted is a whole set of settings.
pub fn settings(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Ok(loaded) = config::parse(text) {
        assert!(!loaded.settings().is_empty());
    }
}
