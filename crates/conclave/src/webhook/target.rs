//! Where a webhook may post to: https anywhere, plain http to this machine alone.

use std::net::{IpAddr, SocketAddr};

use hyper::Uri;
use tokio::net::TcpStream;

/// An address, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Whether TLS is spoken.
    pub(super) is_secret: bool,
    /// Name or number, without brackets.
    pub(super) host: String,
    /// Port.
    pub(super) port: u16,
    /// `host:port` as `Host` says it.
    pub(super) authority: String,
    /// Path and query.
    pub(super) path: String,
}

impl Target {
    /// The address in `text`, or what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let expected = "write https://HOST/PATH, or http://127.0.0.1:PORT/PATH on this machine";
        let uri: Uri = text
            .parse()
            .map_err(|_| format!("this is no address; {expected}"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(format!("the address is not whole; {expected}"));
        };
        // Who posts there would show the password to whoever lists webhooks.
        if authority.as_str().contains('@') || text.contains('#') {
            return Err(format!("the address has a user or a fragment; {expected}"));
        }
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let (is_secret, port) = match scheme {
            "https" => (true, 443),
            "http" if is_here(host) => (false, 80),
            "http" => return Err(format!("http reaches this machine alone; {expected}")),
            _ => return Err(format!("the address begins with another word; {expected}")),
        };
        if host.is_empty() || authority.as_str().ends_with(':') {
            return Err(format!("the address names no host; {expected}"));
        }
        if authority.port_u16().is_none() && authority.as_str() != authority.host() {
            return Err(format!("there is no such port; {expected}"));
        }
        let path = uri.path_and_query().map(ToString::to_string);
        Ok(Self {
            is_secret,
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(port),
            authority: authority.to_string(),
            path: path
                .filter(|path| !path.is_empty())
                .unwrap_or_else(|| "/".to_owned()),
        })
    }

    /// A connection; without TLS to this machine alone, whatever the name leads to.
    pub(super) async fn connect(&self) -> Result<TcpStream, String> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let found: Vec<SocketAddr> = found
            .map_err(|error| format!("the host is not found: {error}"))?
            .filter(|address| self.is_secret || address.ip().is_loopback())
            .collect();
        if found.is_empty() {
            return Err("the host is not found".to_owned());
        }
        let connected = TcpStream::connect(found.as_slice()).await;
        connected.map_err(|error| format!("nobody answers: {error}"))
    }
}

fn is_here(host: &str) -> bool {
    let is_loopback = |ip: IpAddr| ip.is_loopback();
    host == "localhost" || host.parse().is_ok_and(is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// https goes anywhere, http stays on this machine, and what is no address is refused.
    #[test]
    fn plain_posts_stay_on_this_machine() {
        for text in [
            "https://example.org",
            "https://example.org:8443/a/b?c=d",
            "https://10.0.0.1/x",
            "http://127.0.0.1:8000/x",
            "http://[::1]:8000/",
            "http://localhost/x",
        ] {
            assert!(Target::parse(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "x",
            "/x",
            "example.org",
            "http://example.org/",
            "http://192.168.1.1/",
            "http://0.0.0.0/",
            "http://127.0.0.1:99999/",
            "https://example.org:65536/",
            "http://127.0.0.1.example.org/",
            "http://127.0.0.1@example.org/",
            "https://user:pass@example.org/",
            "https://example.org/#x",
            "https:///x",
            "ftp://example.org/",
            "file:///etc/passwd",
            "unix:/run/x",
            "https://exa mple.org/",
            "https://example.org/\r\nx: y",
        ] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
        let target = Target::parse("https://example.org/a?b").unwrap();
        assert_eq!((target.port, target.path.as_str()), (443, "/a?b"));
    }
}
