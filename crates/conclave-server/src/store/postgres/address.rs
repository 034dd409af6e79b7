//! Where the database is: `postgres://` addresses, their passwords and their TLS.

use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::{AsyncMessage, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::DatabaseError;

/// How long one host may take to answer a connection, when the address does not say.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
/// How long sent bytes may stay unacknowledged by the other machine before the connection counts as
/// lost. A commit that waits for a standby is acknowledged bytes: it may take for ever.
const SILENCE: Duration = Duration::from_secs(15);
/// Pause after which a silent connection is probed, and between probes.
const PROBE: Duration = Duration::from_secs(5);

/// A database and how to get in.
#[derive(Clone)]
pub struct Address {
    config: Config,
    tls: Option<MakeRustlsConnect>,
}

impl std::fmt::Debug for Address {
    /// Names nothing: addresses hold passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Address")
    }
}

impl Address {
    /// Reads `postgres://USER[:PASSWORD]@HOST[:PORT][,HOST…]/DATABASE[?…]`. `var` gives variables of the
    /// environment: a password that is not in the address comes from `PGPASSWORD` or `PGPASSFILE`.
    ///
    /// TLS: `sslmode=verify-full` (the certificate must be valid for the host's name, by this machine's
    /// roots or those of `sslrootcert=FILE`) or `sslmode=disable`. Without a word it is `disable` on this
    /// machine and `verify-full` to any other; the modes in between, which do not keep anybody out, are
    /// refused.
    pub fn parse(
        address: &str,
        var: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, DatabaseError> {
        let (plain, asked) = take_tls(address)?;
        let parsed = plain.parse::<Config>();
        // the library's own words could hold a part of the address
        let mut config = parsed.map_err(|_| {
            malformed("expected postgres://USER@HOST:PORT/DATABASE, with known parameters only")
        })?;
        let is_near = config.get_hosts().iter().all(is_near);
        let tls = match asked.mode.as_deref() {
            Some("disable") => None,
            None if is_near && asked.roots.is_none() => None,
            Some("verify-full") | None => Some(tls(asked.roots.as_deref())?),
            Some(_) => return Err(malformed("sslmode is verify-full or disable")),
        };
        config.ssl_mode(if tls.is_some() {
            SslMode::Require
        } else {
            SslMode::Disable
        });
        if config.get_password().is_none()
            && let Some(password) = password(&config, &var)
        {
            config.password(password);
        }
        // C-210: only the primary is written to and read from
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.application_name("conclave-server");
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_PATIENCE);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SILENCE);
        }
        config.keepalives_idle(PROBE).keepalives_interval(PROBE);
        Ok(Self { config, tls })
    }

    /// Whether a text is meant as the address of such a database.
    pub fn is_one(text: &str) -> bool {
        text.starts_with("postgres://") || text.starts_with("postgresql://")
    }

    /// Whether an address holds a password: then it must not stand on a command line.
    pub fn holds_password(text: &str) -> bool {
        let parsed = take_tls(text).ok();
        let parsed = parsed.and_then(|(plain, _)| plain.parse::<Config>().ok());
        parsed.is_some_and(|config| config.get_password().is_some())
    }

    /// One connection to the first host that takes writes, with the future that serves it.
    pub(super) async fn connect(&self) -> Result<Connected, tokio_postgres::Error> {
        Ok(match &self.tls {
            None => {
                let (client, mut connection) = self.config.connect(NoTls).await?;
                let serving = Box::new(move |cx: &mut Context<'_>| connection.poll_message(cx));
                Connected { client, serving }
            }
            Some(tls) => {
                let (client, mut connection) = self.config.connect(tls.clone()).await?;
                let serving = Box::new(move |cx: &mut Context<'_>| connection.poll_message(cx));
                Connected { client, serving }
            }
        })
    }
}

/// What has to be polled so that a connection lives; gives what answers nothing.
type Serving = Box<dyn FnMut(&mut Context<'_>) -> Poll<Option<Message>> + Send>;
type Message = Result<AsyncMessage, tokio_postgres::Error>;

/// A connection and what moves its bytes.
pub(super) struct Connected {
    client: tokio_postgres::Client,
    serving: Serving,
}

impl Connected {
    /// The two halves: what asks, and what has to be awaited again and again for that; it gives `None`
    /// when the connection has ended.
    pub(super) fn split(self) -> (tokio_postgres::Client, Messages) {
        (self.client, Messages(self.serving))
    }
}

/// What comes from the database unasked.
pub(super) struct Messages(Serving);

impl Messages {
    pub(super) async fn next(&mut self) -> Option<AsyncMessage> {
        std::future::poll_fn(|cx| (self.0)(cx)).await?.ok()
    }
}

fn malformed(reason: &str) -> DatabaseError {
    DatabaseError::Address(reason.to_owned())
}

/// What an address says about TLS.
#[derive(Default)]
struct AskedTls {
    mode: Option<String>,
    roots: Option<String>,
}

/// The address without what the library does not know, and that.
fn take_tls(address: &str) -> Result<(String, AskedTls), DatabaseError> {
    if !Address::is_one(address) {
        return Err(malformed("expected postgres://USER@HOST:PORT/DATABASE"));
    }
    let Some((base, query)) = address.split_once('?') else {
        return Ok((address.to_owned(), AskedTls::default()));
    };
    let mut asked = AskedTls::default();
    let mut rest = Vec::new();
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("sslmode", mode)) => asked.mode = Some(mode.to_owned()),
            Some(("sslrootcert", file)) => asked.roots = Some(file.replace("%2F", "/")),
            _ => rest.push(pair),
        }
    }
    let plain = if rest.is_empty() {
        base.to_owned()
    } else {
        format!("{base}?{}", rest.join("&"))
    };
    Ok((plain, asked))
}

fn is_near(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            let address = name.parse::<std::net::IpAddr>();
            name == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
    }
}

fn tls(file: Option<&str>) -> Result<MakeRustlsConnect, DatabaseError> {
    let mut roots = RootCertStore::empty();
    match file {
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(file) => {
            let certificates = CertificateDer::pem_file_iter(Path::new(file));
            let certificates = certificates.and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let certificates = certificates
                .map_err(|error| DatabaseError::Tls(format!("cannot read {file}: {error}")))?;
            roots.add_parsable_certificates(certificates);
        }
    }
    if roots.is_empty() {
        let text = "there are no roots to trust, name a PEM file: sslrootcert=FILE";
        return Err(DatabaseError::Tls(text.to_owned()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| DatabaseError::Tls(error.to_string()))?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// The password from the environment, as the database's own programs find it.
fn password(config: &Config, var: &impl Fn(&str) -> Option<String>) -> Option<String> {
    let set = |name| var(name).filter(|value: &String| !value.is_empty());
    if let Some(password) = set("PGPASSWORD") {
        return Some(password);
    }
    let lines = std::fs::read_to_string(set("PGPASSFILE")?).ok()?;
    lines.lines().find_map(|line| {
        let fields: Vec<&str> = line.splitn(5, ':').collect();
        let [host, port, database, user, password] = fields.as_slice() else {
            return None;
        };
        let is = |field: &str, value: &str| field == "*" || field == value;
        let is_host = config.get_hosts().iter().any(|known| match known {
            Host::Tcp(name) => is(host, name),
            Host::Unix(path) => is(host, "localhost") || path.to_str().is_some_and(|p| is(host, p)),
        });
        let ports = config.get_ports().iter().map(u16::to_string);
        let is_port = *port == "*"
            || config.get_ports().is_empty() && *port == "5432"
            || ports.into_iter().any(|known| known == *port);
        let name = config
            .get_dbname()
            .or(config.get_user())
            .unwrap_or_default();
        let is_ours = is_host
            && is_port
            && is(database, name)
            && is(user, config.get_user().unwrap_or_default());
        is_ours.then(|| (*password).to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    /// TLS is checked in full or, on this machine or when it is said so, not there at all; half measures
    /// are refused, and no error repeats the address.
    #[test]
    fn tls_is_checked_in_full_or_not_there() {
        let has_tls = |text: &str| Address::parse(text, nothing).map(|a| a.tls.is_some());
        assert!(!has_tls("postgres://u@127.0.0.1/d").unwrap());
        assert!(!has_tls("postgres://u@%2Ftmp/d").unwrap());
        assert!(!has_tls("postgres://u@db.example.org/d?sslmode=disable").unwrap());
        for half in ["prefer", "require", "allow", "verify-ca", ""] {
            let text = format!("postgres://u:hunter2@db.example.org/d?sslmode={half}");
            let refused = has_tls(&text).unwrap_err().to_string();
            assert!(!refused.contains("hunter2"), "{refused}");
        }
        for text in [
            "",
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2@h/d?port=x",
        ] {
            let refused = has_tls(text).unwrap_err().to_string();
            assert!(!refused.contains("hunter2"), "{refused}");
        }
        let lost = has_tls("postgres://u@h/d?sslrootcert=/not/there").unwrap_err();
        assert!(matches!(lost, DatabaseError::Tls(_)));
    }

    /// A password comes from the address, else from the environment, and is never printed.
    #[test]
    fn passwords_come_from_three_places() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pass");
        std::fs::write(&file, "other:*:*:*:no\nh:5432:d:u:from:file\n").unwrap();
        let file = file.to_str().unwrap().to_owned();
        let password = |text: &str, name: &'static str, value: String| {
            let var = move |asked: &str| (asked == name).then(|| value.clone());
            let address = Address::parse(text, var).unwrap();
            assert!(!format!("{address:?}").contains("from"));
            address
                .config
                .get_password()
                .map(|p| String::from_utf8_lossy(p).into_owned())
        };
        let plain = "postgres://u@h/d?sslmode=disable";
        assert_eq!(
            password(plain, "PGPASSWORD", "from env".into()).unwrap(),
            "from env"
        );
        assert_eq!(
            password(plain, "PGPASSFILE", file.clone()).unwrap(),
            "from:file"
        );
        let other = "postgres://u@h/e?sslmode=disable";
        assert_eq!(password(other, "PGPASSFILE", file), None);
        let own = "postgres://u:own@h/d?sslmode=disable";
        assert_eq!(
            password(own, "PGPASSWORD", "from env".into()).unwrap(),
            "own"
        );
        assert!(Address::holds_password(own));
        assert!(!Address::holds_password(plain));
    }
}
