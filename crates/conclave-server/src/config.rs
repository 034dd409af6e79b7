//! What an operator can set, its defaults, and where each value came from.
//!
//! Flags win over the environment (`CONCLAVE_SERVER__SECTION__KEY`), that over the TOML file, that
//! over the defaults. Every value is plain text, a number or a yes/no, so all four can say all of it,
//! but for secrets, which have no flag: other users of a machine can read command lines.

mod load;
mod secret;

use std::net::{Ipv4Addr, SocketAddr};

use conclave_proto::address::DEFAULT_PORT;
use conclave_proto::limits::{
    BLOB_BYTES_MAX, BLOB_KEEP_DAYS, BLOB_UPLOADS_MAX, CLOCK_JUMP_DAYS_MAX, COMMIT_SPACING_MAX_MS,
    COMMIT_SPACING_MS,
};
use serde::{Deserialize, Serialize};

use crate::blobs::BlobLimits;
use crate::log::CommitSpacing;

pub use load::{ConfigError, ENV_PREFIX, Loaded, Origin, Setting, load, parse};
pub use secret::Secret;

/// All settings of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[server]`
    pub server: ServerSection,
    /// `[registration]`
    pub registration: RegistrationSection,
    /// `[otp]`
    pub otp: OtpSection,
    /// `[limits]`
    pub limits: LimitsSection,
    /// `[retention]`
    pub retention: RetentionSection,
    /// `[logs]`
    pub logs: LogsSection,
    /// `[blobs]`
    pub blobs: BlobsSection,
    /// `[classic]`
    pub classic: ClassicSection,
}

/// `[server]`: where it listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSection {
    /// Address and port to listen on; port 0 = any free one.
    pub listen: SocketAddr,
    /// `HOST:PORT` that clients reach it under; empty = as it listens.
    pub public: String,
    /// Where everything is kept: empty = in the data folder, else `postgres://USER@HOST/DATABASE`, which
    /// several servers may share. May hold a password, so it is never shown.
    pub database: Secret,
    /// NATS that tells the servers over one database about each other, as in `tls://HOST:4222`, several with
    /// commas between them; empty = none. May hold a password, so it is never shown.
    pub nats: Secret,
    /// PEM file of the only roots to trust there; empty = this machine's.
    pub nats_ca_file: String,
    /// Connections at once; further ones are closed before TLS.
    pub max_connections: u32,
    /// Connections at once from one IPv4 address or IPv6 /64; 0 = no limit.
    pub max_connections_per_host: u32,
}

/// `[registration]`: who may have an account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrationSection {
    /// Who may register.
    pub mode: RegistrationMode,
    /// Accounts with an identifier; 0 = any number.
    pub max_accounts: u64,
}

/// Who may register.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegistrationMode {
    /// Everybody who gets a code.
    #[default]
    Open,
    /// Who also has an invite.
    Invite,
    /// Nobody.
    Closed,
}

/// `[otp]`: how one-time codes travel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtpSection {
    /// Who sends codes.
    pub sender: OtpSender,
    /// Lets the console sender work while others than this machine can connect: whoever sees the
    /// terminal can register any identifier.
    pub console_beyond_loopback: bool,
    /// Calling codes that phone numbers may have, as in `49 43`; empty = any. Texts cost money, and
    /// some numbers exist to earn it.
    pub sms_countries: String,
    /// `[otp.smtp]`
    pub smtp: SmtpSection,
    /// `[otp.http]`
    pub http: HttpSection,
}

impl OtpSection {
    /// Whether codes may go to a phone number in E.164 form.
    pub fn takes_phone(&self, number: &str) -> bool {
        let digits = number.trim_start_matches('+');
        let mut countries = self
            .sms_countries
            .split([' ', ','])
            .map(|country| country.trim_start_matches('+'))
            .filter(|country| !country.is_empty())
            .peekable();
        countries.peek().is_none() || countries.any(|country| digits.starts_with(country))
    }
}

/// `[otp.smtp]`: the mail server that takes codes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpSection {
    /// Its name, as in its certificate.
    pub host: String,
    /// Its port; 0 = 465 for implicit TLS, else 587.
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: SmtpTls,
    /// Who the mails are from, as in `Chat <chat@example.org>`.
    pub from: String,
    /// Login; empty = none.
    pub user: String,
    /// Password. Not for the command line: set it in the environment, or name a file.
    pub password: Secret,
    /// File whose first line is the password.
    pub password_file: String,
    /// PEM file of the only roots to trust; empty = this machine's.
    pub ca_file: String,
}

/// How the connection to the mail server is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// By STARTTLS, which the server must offer.
    #[default]
    Starttls,
    /// From the first byte.
    Implicit,
    /// Not at all: to this machine only.
    None,
}

/// `[otp.http]`: the webhook that takes codes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSection {
    /// Where to post; https, but to this machine. May hold a token, so it is never shown.
    pub url: Secret,
    /// The secret that requests are signed with, at least 16 bytes.
    pub secret: Secret,
    /// File whose first line is the secret.
    pub secret_file: String,
    /// PEM file of the only roots to trust; empty = this machine's.
    pub ca_file: String,
}

/// Who sends one-time codes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OtpSender {
    /// Prints them on the server's standard output.
    #[default]
    Console,
    /// E-mail; phones through the webhook, when one is set.
    Smtp,
    /// A signed webhook.
    Http,
}

/// `[classic]`: the classic protocols, off by default (`docs/classic.md`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassicSection {
    /// Address and port of the classic gateway; empty = off.
    #[serde(deserialize_with = "socket_or_empty")]
    pub listen: String,
    /// Phones that may register there.
    pub max_accounts: u64,
}

impl ClassicSection {
    /// Where the gateway listens, if it does.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listen.parse().ok()
    }
}

impl Default for ClassicSection {
    fn default() -> Self {
        Self {
            listen: String::new(),
            max_accounts: 10,
        }
    }
}

fn socket_or_empty<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() || text.parse::<SocketAddr>().is_ok() {
        return Ok(text);
    }
    Err(serde::de::Error::custom(
        "expected ADDR:PORT, as in 127.0.0.1:5001, or nothing",
    ))
}

/// `[limits]`: events per hour; a whole hour's worth may come at once. 0 = no limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names and the doc of the type say it all")]
pub struct LimitsSection {
    pub per_network_lookups: u32,
    pub per_network_claims: u32,
    pub per_network_creates: u32,
    pub per_network_posts: u32,
    pub per_network_otp_starts: u32,
    pub per_network_otp_checks: u32,
    pub per_network_mailboxes: u32,
    pub per_network_failed_opens: u32,
    pub per_network_handshakes: u32,
    pub per_network_uploads: u32,
    pub per_connection_lookups: u32,
    pub per_connection_claims: u32,
    pub per_connection_creates: u32,
    pub per_connection_posts: u32,
    pub per_connection_otp_starts: u32,
    pub per_connection_otp_checks: u32,
    pub per_connection_mailboxes: u32,
    pub per_connection_failed_opens: u32,
    pub per_connection_signals: u32,
    /// Code requests of the whole world.
    pub otp_starts_in_all: u32,
    /// Whether connections from this machine are exempt.
    pub exempt_loopback: ExemptLoopback,
}

/// Whether connections from this machine are exempt from `[limits]` and the limit per host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExemptLoopback {
    /// While the server listens on loopback alone: behind a proxy everybody comes from loopback.
    #[default]
    Auto,
    /// Yes.
    Always,
    /// No.
    Never,
}

/// `[retention]`: how expired data leaves. (How long messages stay is each log's own choice.)
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionSection {
    /// Time between two sweeps, ms.
    pub sweep_every_ms: u64,
    /// Days that the clock may lie past the latest day seen before nothing expires until
    /// `conclave-server clock confirm`; 0 = any number (C-078).
    pub clock_jump_days: u32,
}

/// `[logs]`: rules of conversation logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogsSection {
    /// Spacing of a log's commits after the first lost race, ms; doubles. 0 = off (C-028).
    pub commit_spacing_ms: u64,
    /// Ceiling of that spacing, ms.
    pub commit_spacing_max_ms: u64,
}

/// `[blobs]`: encrypted files of clients, kept beside the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlobsSection {
    /// Where whole blobs lie: empty = in the data folder, else `s3://BUCKET?endpoint=URL&region=NAME`.
    pub store: String,
    /// The id of the key for that store; empty = `AWS_ACCESS_KEY_ID` of the environment.
    pub s3_key_id: String,
    /// The key itself.
    pub s3_key: Secret,
    /// Bytes that one blob may have.
    pub max_bytes: u64,
    /// Bytes of all blobs together; those that are being uploaded count in full.
    pub quota_bytes: u64,
    /// Bytes of the disk that blobs leave free for everything else.
    pub keep_free_bytes: u64,
    /// Days that a blob is kept after the one it was begun on.
    pub keep_days: u32,
}

impl Default for BlobsSection {
    fn default() -> Self {
        Self {
            store: String::new(),
            s3_key_id: String::new(),
            s3_key: Secret::default(),
            max_bytes: BLOB_BYTES_MAX,
            quota_bytes: 10 * 1024 * 1024 * 1024,
            keep_free_bytes: 512 * 1024 * 1024,
            keep_days: BLOB_KEEP_DAYS,
        }
    }
}

impl BlobsSection {
    /// What the folder of blobs keeps to.
    pub(crate) fn limits(&self) -> BlobLimits {
        BlobLimits {
            quota_bytes: self.quota_bytes,
            keep_free_bytes: self.keep_free_bytes,
            keep_days: self.keep_days,
            uploads_max: BLOB_UPLOADS_MAX,
        }
    }
}

impl Default for ServerSection {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)),
            public: String::new(),
            database: Secret::default(),
            nats: Secret::default(),
            nats_ca_file: String::new(),
            max_connections: 20_000,
            max_connections_per_host: 1_000,
        }
    }
}

impl Default for LimitsSection {
    fn default() -> Self {
        Self {
            per_network_lookups: 1200,
            per_network_claims: 1200,
            per_network_creates: 600,
            per_network_posts: 3600,
            per_network_otp_starts: 30,
            per_network_otp_checks: 150,
            per_network_mailboxes: 30,
            per_network_failed_opens: 600,
            per_network_handshakes: 7200,
            per_network_uploads: 600,
            per_connection_lookups: 300,
            per_connection_claims: 300,
            per_connection_creates: 300,
            per_connection_posts: 1200,
            per_connection_otp_starts: 20,
            per_connection_otp_checks: 60,
            per_connection_mailboxes: 10,
            per_connection_failed_opens: 100,
            per_connection_signals: 3600,
            otp_starts_in_all: 2000,
            exempt_loopback: ExemptLoopback::Auto,
        }
    }
}

impl Default for RetentionSection {
    fn default() -> Self {
        Self {
            sweep_every_ms: 60_000,
            clock_jump_days: CLOCK_JUMP_DAYS_MAX,
        }
    }
}

impl Default for LogsSection {
    fn default() -> Self {
        Self {
            commit_spacing_ms: COMMIT_SPACING_MS,
            commit_spacing_max_ms: COMMIT_SPACING_MAX_MS,
        }
    }
}

impl LogsSection {
    /// The rule that the store follows.
    pub fn commit_spacing(&self) -> CommitSpacing {
        CommitSpacing {
            first_ms: self.commit_spacing_ms,
            max_ms: self.commit_spacing_max_ms.max(self.commit_spacing_ms),
        }
    }
}
