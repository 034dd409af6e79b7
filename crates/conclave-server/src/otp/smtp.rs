//! Sends codes by e-mail through the operator's mail server.
//!
//! Connections are kept and used again. Everything that can fail without a trace — connecting, TLS,
//! logging in, sender and recipient — happens before the note that the code leaves (C-076).

use std::error::Error as _;
use std::time::{Duration, UNIX_EPOCH};

use conclave_proto::identifier::Identifier;
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters,
};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, Message};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::reach::{certificates, is_loopback, secret};
use super::{CodeMessage, Leaving, SendError, SendFuture, Sender, SetupError};
use crate::config::{SmtpSection, SmtpTls};

/// How long connecting, TLS and logging in may take in all; and one command afterwards.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the mail server may take to accept a mail.
const ACCEPT_PATIENCE: Duration = Duration::from_mins(1);
/// Idle connections that are kept.
const IDLE_MAX: usize = 4;

/// Sends codes through one mail server.
pub struct SmtpSender {
    host: String,
    port: u16,
    tls: Tls,
    credentials: Option<Credentials>,
    from: Mailbox,
    hello: ClientId,
    idle: Mutex<Vec<AsyncSmtpConnection>>,
    patience: Duration,
}

enum Tls {
    None,
    Upgrade(TlsParameters),
    FromTheStart(TlsParameters),
}

impl std::fmt::Debug for SmtpSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SmtpSender")
    }
}

impl SmtpSender {
    /// The sender that the settings describe. Nothing is connected yet.
    pub fn new(section: &SmtpSection) -> Result<Self, SetupError> {
        let missing = |key| SetupError::Missing(key, "smtp");
        if section.host.is_empty() {
            return Err(missing("otp.smtp.host"));
        }
        if section.from.is_empty() {
            return Err(missing("otp.smtp.from"));
        }
        let from: Mailbox = section.from.parse().map_err(|_| {
            let what = "a mail address, as in `Chat <chat@example.org>`";
            SetupError::Wrong("otp.smtp.from", what)
        })?;
        let tls = tls(section)?;
        let port = match (section.port, section.tls) {
            (0, SmtpTls::Implicit) => 465,
            (0, _) => 587,
            (port, _) => port,
        };
        Ok(Self {
            host: section.host.clone(),
            port,
            tls,
            credentials: credentials(section)?,
            hello: ClientId::Domain(from.email.domain().to_owned()),
            from,
            idle: Mutex::new(Vec::new()),
            patience: PATIENCE,
        })
    }

    /// The same with other patience for connecting and for each command.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// A connection that is ready for a mail: an idle one that still answers, or a new one.
    async fn connection(&self) -> Result<AsyncSmtpConnection, SendError> {
        loop {
            let Some(mut idle) = self.idle.lock().await.pop() else {
                break;
            };
            let alive = timeout(self.patience, idle.test_connected()).await;
            if alive.unwrap_or(false) {
                return Ok(idle);
            }
        }
        match timeout(self.patience, self.connect()).await {
            Ok(connected) => connected,
            Err(_) => Err(later("the mail server takes too long to connect")),
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, SendError> {
        let words = |error| {
            later(&format!(
                "the mail server cannot be used: {}",
                words(&error)
            ))
        };
        let implicit = match &self.tls {
            Tls::FromTheStart(parameters) => Some(parameters.clone()),
            Tls::None | Tls::Upgrade(_) => None,
        };
        let server = (self.host.as_str(), self.port);
        let connected = AsyncSmtpConnection::connect_tokio1(
            server,
            Some(self.patience),
            &self.hello,
            implicit,
            None,
        );
        let mut connection = connected.await.map_err(words)?;
        if let Tls::Upgrade(parameters) = &self.tls {
            // C-077: no STARTTLS, no mail.
            if !connection.can_starttls() {
                let text = "the mail server offers no STARTTLS, and codes do not travel \
                            unencrypted: set otp.smtp.tls";
                return Err(later(text));
            }
            let upgraded = connection.starttls(parameters.clone(), &self.hello).await;
            upgraded.map_err(words)?;
        }
        if let Some(credentials) = &self.credentials {
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            let welcome = connection.auth(&mechanisms, credentials).await;
            welcome.map_err(|error| {
                let words = self::words(&error);
                later(&format!("the mail server refuses the login: {words}"))
            })?;
        }
        Ok(connection)
    }

    async fn mail(&self, message: &CodeMessage, leaving: &dyn Leaving) -> Result<(), SendError> {
        let to = address(&message.identifier)?;
        let mail = self.write(message, to.clone())?;
        let mut connection = self.connection().await?;
        let from = Mail::new(Some(self.from.email.clone()), vec![]);
        self.command(connection.command(from)).await?;
        let recipient = Rcpt::new(to, vec![]);
        self.command(connection.command(recipient)).await?;
        // C-076: from the next command on the mail may arrive.
        leaving.note().await?;
        self.command(connection.command(Data)).await?;
        match timeout(ACCEPT_PATIENCE, connection.message(&mail)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) if error.status().is_some() => return Err(answered(&error)),
            Ok(Err(_)) | Err(_) => {
                let text = "the mail server did not say whether it takes the mail";
                return Err(SendError::Unknown(text.to_owned()));
            }
        }
        let mut idle = self.idle.lock().await;
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
        Ok(())
    }

    /// One command before the mail itself: whatever goes wrong, nothing has arrived.
    async fn command<T>(
        &self,
        asked: impl Future<Output = Result<T, lettre::transport::smtp::Error>>,
    ) -> Result<T, SendError> {
        match timeout(self.patience, asked).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(answered(&error)),
            Err(_) => Err(later("the mail server does not answer")),
        }
    }

    fn write(&self, message: &CodeMessage, to: Address) -> Result<Vec<u8>, SendError> {
        let text = format!(
            "Your Conclave code is {}\n\nIt is valid until {} UTC. Give it to nobody: whoever has \
             it can register in your name.\nDid you not ask for it? Then do nothing.\n",
            message.code,
            clock_time(message.expires_ms)
        );
        // the same id over retries and restarts, so that mail servers know a repetition
        let id = format!("<{}@{}>", message.send_id, self.from.email.domain());
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        let mail = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject("Your Conclave code")
            .message_id(Some(id))
            .date(UNIX_EPOCH + Duration::from_millis(message.now_ms))
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
            .header(ContentType::TEXT_PLAIN)
            .body(text);
        let mail = mail.map_err(|_| SendError::Refused("the mail cannot be written".to_owned()))?;
        Ok(mail.formatted())
    }
}

impl Sender for SmtpSender {
    fn send<'a>(&'a self, message: &'a CodeMessage, leaving: &'a dyn Leaving) -> SendFuture<'a> {
        Box::pin(self.mail(message, leaving))
    }

    fn probe(&self) -> SendFuture<'_> {
        Box::pin(async move { self.connection().await.map(|_| ()) })
    }
}

fn answered(error: &lettre::transport::smtp::Error) -> SendError {
    let text = format!("the mail server does not take a mail: {}", words(error));
    if error.is_permanent() {
        SendError::Refused(text)
    } else {
        SendError::Later(text)
    }
}

/// What went wrong, in words of ours: a mail server's own words may repeat the address (C-043).
fn words(error: &lettre::transport::smtp::Error) -> String {
    if let Some(code) = error.status() {
        return format!("it answered {code}");
    }
    if error.is_response() {
        return "its answer makes no sense".to_owned();
    }
    match error.source() {
        Some(cause) => cause.to_string(),
        None => "it offers no login that is known here".to_owned(),
    }
}

fn later(text: &str) -> SendError {
    SendError::Later(text.to_owned())
}

fn address(identifier: &Identifier) -> Result<Address, SendError> {
    let parsed = identifier.as_str().parse();
    parsed.map_err(|_| SendError::Refused("no mail server takes such an address".to_owned()))
}

fn clock_time(at_ms: u64) -> String {
    let minute = at_ms / 60_000 % (24 * 60);
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

fn tls(section: &SmtpSection) -> Result<Tls, SetupError> {
    if section.tls == SmtpTls::None {
        // C-077: unencrypted only to this machine.
        if !is_loopback(&section.host) {
            return Err(SetupError::Unencrypted("otp.smtp.tls"));
        }
        return Ok(Tls::None);
    }
    let mut parameters = TlsParameters::builder(section.host.clone());
    if !section.ca_file.is_empty() {
        parameters = parameters.certificate_store(CertificateStore::None);
        for certificate in certificates(&section.ca_file)? {
            let certificate = Certificate::from_der(certificate.to_vec());
            let certificate = certificate.map_err(|_| SetupError::NoRoots)?;
            parameters = parameters.add_root_certificate(certificate);
        }
    }
    let parameters = parameters.build().map_err(|_| SetupError::NoRoots)?;
    Ok(match section.tls {
        SmtpTls::Implicit => Tls::FromTheStart(parameters),
        SmtpTls::Starttls | SmtpTls::None => Tls::Upgrade(parameters),
    })
}

fn credentials(section: &SmtpSection) -> Result<Option<Credentials>, SetupError> {
    if section.user.is_empty() {
        return Ok(None);
    }
    let password = match section.password_file.as_str() {
        "" => section.password.expose().to_owned(),
        file => secret(file)?,
    };
    if password.is_empty() {
        let key = "otp.smtp.password_file";
        return Err(SetupError::Missing(key, "smtp with a user"));
    }
    Ok(Some(Credentials::new(section.user.clone(), password)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The time of day in a mail is the end of the code, in UTC.
    #[test]
    fn the_end_is_a_time_of_day() {
        assert_eq!(clock_time(0), "00:00");
        assert_eq!(clock_time(1_767_225_599_999), "23:59");
        assert_eq!(clock_time(1_767_225_600_000 + 754 * 60_000), "12:34");
    }
}
