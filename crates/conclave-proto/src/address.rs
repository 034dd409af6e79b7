//! `conclave://<base64url SHA-256 of the root's SPKI>@host:5000`: where a server is and whom to expect there.

use core::fmt;
use core::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::id::ServerId;

/// Port when an address names none.
pub const DEFAULT_PORT: u16 = 5000;
const SCHEME: &str = "conclave://";

/// A server's address in pinned mode. `conclave://host` without a pin is kept for the WebPKI mode and refused until that exists (C-010).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// SHA-256 of the root certificate's SubjectPublicKeyInfo.
    pub server_id: ServerId,
    /// DNS name or IP address; IPv6 without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// Text that is not a server address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Another scheme or none.
    #[error(
        "a server address begins with `conclave://`; ask for it with `conclave-server address`"
    )]
    Scheme,
    /// No pin before an `@`: WebPKI addresses are not supported yet.
    #[error(
        "the address has no server key before `@`; copy the whole line that `conclave-server address` prints"
    )]
    NoPin,
    /// The pin is not 43 base64url characters.
    #[error("the server key in the address is damaged; it is 43 characters of base64url")]
    Pin,
    /// Host or port is missing or not one.
    #[error("the address has no valid host and port after `@`")]
    HostPort,
}

impl ServerAddress {
    /// `host:port` as the resolver wants it, IPv6 in brackets.
    pub fn host_port(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// Splits `host[:port]` or `[v6][:port]`; the port defaults to 5000.
pub fn split_host_port(text: &str) -> Result<(String, u16), AddressError> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(AddressError::HostPort)?;
        let port = match after {
            "" => None,
            _ => Some(after.strip_prefix(':').ok_or(AddressError::HostPort)?),
        };
        (host, port)
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let port = port.map_or(Ok(DEFAULT_PORT), |p| {
        p.parse().map_err(|_| AddressError::HostPort)
    })?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._:%".contains(c);
    if host.is_empty() || !host.chars().all(allowed) || port == 0 {
        return Err(AddressError::HostPort);
    }
    Ok((host.to_owned(), port))
}

impl FromStr for ServerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let rest = text
            .trim()
            .strip_prefix(SCHEME)
            .ok_or(AddressError::Scheme)?;
        let (pin, host_port) = rest
            .trim_end_matches('/')
            .split_once('@')
            .ok_or(AddressError::NoPin)?;
        let pin = URL_SAFE_NO_PAD.decode(pin).map_err(|_| AddressError::Pin)?;
        let server_id = ServerId::parse(&pin).ok_or(AddressError::Pin)?;
        let (host, port) = split_host_port(host_port)?;
        Ok(Self {
            server_id,
            host,
            port,
        })
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{SCHEME}{}@{}",
            URL_SAFE_NO_PAD.encode(self.server_id.as_bytes()),
            self.host_port()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: &str, port: u16) -> ServerAddress {
        ServerAddress {
            server_id: ServerId::new([0xfe; 32]),
            host: host.into(),
            port,
        }
    }

    /// Names, IPv4 and IPv6 hosts survive their text form; the port defaults to 5000.
    #[test]
    fn text_form_round_trips() {
        for case in [
            address("chat.example.org", 5000),
            address("127.0.0.1", 6001),
            address("::1", 5000),
        ] {
            assert_eq!(case.to_string().parse(), Ok(case));
        }
        let short = address("h", 5000).to_string().replace(":5000", "");
        assert_eq!(short.parse(), Ok(address("h", 5000)));
    }

    /// Each part that is wrong is named.
    #[test]
    fn c010_refuses_addresses_without_a_pin() {
        let good = address("h", 5000).to_string();
        assert_eq!(
            "conclave://h:5000".parse::<ServerAddress>(),
            Err(AddressError::NoPin)
        );
        assert_eq!(
            good.replace("conclave:", "https:").parse::<ServerAddress>(),
            Err(AddressError::Scheme)
        );
        assert_eq!(
            good.replacen("//", "//A", 1).parse::<ServerAddress>(),
            Err(AddressError::Pin)
        );
        assert_eq!(
            good.replace(":5000", ":0").parse::<ServerAddress>(),
            Err(AddressError::HostPort)
        );
        assert_eq!(
            good.replace("@h", "@a b").parse::<ServerAddress>(),
            Err(AddressError::HostPort)
        );
    }
}
