//! Where a sender may connect to, and whom it trusts there (C-077).

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::SetupError;

/// Whether a host is this machine: only then may codes travel unencrypted (C-077).
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// The certificates of a PEM file; at least one.
pub(super) fn certificates(file: &str) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let damaged = || SetupError::File {
        path: file.to_owned(),
        reason: "it holds no PEM certificate".to_owned(),
    };
    let bytes = read(file)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|_| damaged())?;
    if found.is_empty() {
        return Err(damaged());
    }
    Ok(found)
}

/// The first line of a file that holds a secret.
pub(super) fn secret(file: &str) -> Result<String, SetupError> {
    let bytes = read(file)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| SetupError::File {
        path: file.to_owned(),
        reason: "it is not text".to_owned(),
    })?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

fn read(file: &str) -> Result<Vec<u8>, SetupError> {
    std::fs::read(Path::new(file)).map_err(|source| SetupError::File {
        path: file.to_owned(),
        reason: source.to_string(),
    })
}

/// TLS for a client that trusts the certificates of `ca_file`, or this machine's when it is empty.
pub(crate) fn tls(ca_file: &str) -> Result<ClientConfig, SetupError> {
    let mut roots = RootCertStore::empty();
    if ca_file.is_empty() {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(SetupError::NoRoots);
        }
    } else {
        roots.add_parsable_certificates(certificates(ca_file)?);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12]);
    let config = config.map_err(|_| SetupError::NoRoots)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This machine has several names; what only looks like one is beyond it.
    #[test]
    fn c077_loopback_is_this_machine_only() {
        for here in [
            "localhost",
            "LOCALHOST",
            "127.0.0.1",
            "127.9.9.9",
            "[::1]",
            "::1",
        ] {
            assert!(is_loopback(here), "{here}");
        }
        for there in [
            "",
            "0.0.0.0",
            "10.0.0.1",
            "localhost.example.org",
            "127.0.0.1.example.org",
            "1270.0.1",
            "[::2]",
            "::ffff:10.0.0.1",
        ] {
            assert!(!is_loopback(there), "{there}");
        }
    }
}
