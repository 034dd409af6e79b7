//! `conclave classic`: the two documented seed protocols, beside Conclave's own and never mixed with it.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use conclave_classic::client::{
    Account, AccountFile, ClientError, Folder, Incoming, Registration, Session,
};
use conclave_classic::keys::PublicKey;
use conclave_classic::suite::{Suite, UnknownSuite};
use conclave_classic::wire::{Code, Receipt};
use conclave_proto::env::OsEnv;
use conclave_proto::identifier::{Identifier, IdentifierError};

use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::{
    ClassicAccountRow, ClassicKeyRow, ClassicMessageRow, ClassicReceiptRow, ClassicSentRow, DoneRow,
};

/// Speak the classic protocols with a server that offers them: RSA or P-256, JSON lines, no forward secrecy.
/// Accounts, keys and messages are their own; see docs/classic.md for what they lack.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave classic register --suite rsa --server 127.0.0.1:5001 --server-key rsa.pem --phone +4915112345678
  conclave classic send +4915187654321 'hello'")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    account: Which,
}

/// Which account, and where it lives.
#[derive(Debug, clap::Args)]
struct Which {
    /// `rsa` or `ec` [default: that of the profile's account]
    #[arg(long, global = true, value_name = "SUITE", value_parser = suite)]
    suite: Option<Suite>,
    /// Where the classic gateway listens, for this command [default: where the account was registered]
    #[arg(long, global = true, value_name = "HOST:PORT")]
    server: Option<String>,
    /// The server's public key of the suite, PEM, known beforehand: `conclave-server classic public-key`
    #[arg(long, global = true, value_name = "FILE")]
    server_key: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a key and an account: a code is sent, and read from standard input
    #[command(after_help = "Examples:
  conclave classic register --suite rsa --server 127.0.0.1:5001 --server-key rsa.pem --phone +4915112345678
  conclave classic register --suite ec --server chat.example.org:5001 --server-key ec.pem --phone +4915112345678")]
    Register {
        /// With `+` and country code
        #[arg(long, value_name = "NUMBER", value_parser = phone)]
        phone: Identifier,
    },
    /// Send a message; ends when the server has it on disk
    #[command(after_help = "Examples:
  conclave classic send +4915187654321 'hello'
  conclave classic send +4915187654321 'hello' --suite ec")]
    Send {
        /// With `+` and country code
        #[arg(value_parser = phone)]
        to: Identifier,
        /// The text
        #[arg(allow_hyphen_values = true)]
        text: String,
    },
    /// Fetch what waits: messages, and receipts for what was sent
    #[command(after_help = "Examples:
  conclave classic fetch
  conclave classic fetch --all -o json")]
    Fetch {
        /// Show every message that was ever fetched, too
        #[arg(long)]
        all: bool,
    },
    /// Print messages and receipts as they come
    #[command(after_help = "Examples:
  conclave classic listen
  conclave classic listen -o json")]
    Listen,
    /// Show somebody's public key as it is pinned here
    #[command(after_help = "Examples:
  conclave classic key +4915187654321
  conclave classic key +4915187654321 --accept")]
    Key {
        /// With `+` and country code
        #[arg(value_parser = phone)]
        phone: Identifier,
        /// Pin the key that the server names now, after you asked them
        #[arg(long)]
        accept: bool,
    },
    /// Log in and say goodbye: shows that server, key and account fit
    #[command(after_help = "Examples:
  conclave classic quit
  conclave classic quit --suite ec")]
    Quit,
}

fn phone(text: &str) -> Result<Identifier, IdentifierError> {
    Identifier::phone(text)
}

fn suite(text: &str) -> Result<Suite, UnknownSuite> {
    text.parse()
}

/// Does what the command line says.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    if let Command::Register { phone } = &args.command {
        return register(context, &args.account, phone.as_str()).await;
    }
    let mut folder = folder(context, &args.account)?;
    let mut file = folder.account()?;
    folder.lock()?;
    // for this command alone: what was pinned at the registration stays
    if let Some(server) = &args.account.server {
        file.server.clone_from(server);
    }
    if let Some(path) = &args.account.server_key {
        file.server_key = server_key(file.suite, path)?;
    }
    let phone = file.phone.clone();
    let passphrase = context.passphrase().await?;
    let account = Account::open(folder, file, &passphrase, OsEnv::shared())?;
    let mut session = account.log_in().await?;
    match args.command {
        Command::Register { .. } => Ok(()),
        Command::Send { to, text } => send(context, &mut session, to.as_str(), &text).await,
        Command::Fetch { all } => fetch(context, &mut session, all).await,
        Command::Listen => listen(context, &mut session).await,
        Command::Key { phone, accept } => {
            let pem = session.show_key(phone.as_str(), accept).await?;
            Ok(context.out.row(&ClassicKeyRow {
                phone: phone.as_str().to_owned(),
                public_key: pem,
            })?)
        }
        Command::Quit => {
            session.quit().await?;
            let to = phone;
            Ok(context.out.row(&DoneRow { done: "quit", to })?)
        }
    }
}

/// The folder of the account of the wanted suite, else of the only one there is.
fn folder(context: &Context, which: &Which) -> Result<Folder, Failure> {
    let base = context.dir()?.join("classic");
    let at = |suite: Suite| Folder::new(base.join(suite.as_str()));
    if let Some(suite) = which.suite {
        return Ok(at(suite));
    }
    match Suite::ALL.map(|suite| at(suite).has_account()) {
        [true, true] => Err(Failure::usage(
            "this profile has an account of each suite: say --suite rsa or --suite ec",
        )),
        [_, is_ec] => Ok(at(if is_ec { Suite::Ec } else { Suite::Rsa })),
    }
}

fn server_key(suite: Suite, path: &Path) -> Result<String, Failure> {
    let pem = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("--server-key {}: {error}", path.display())))?;
    PublicKey::from_pem(suite, &pem)
        .map_err(|error| Failure::usage(format!("--server-key {}: {error}", path.display())))?;
    Ok(pem)
}

async fn register(context: &Context, which: &Which, phone: &str) -> Result<(), Failure> {
    let (Some(suite), Some(server), Some(key)) = (which.suite, &which.server, &which.server_key)
    else {
        return Err(Failure::usage("say --suite, --server and --server-key"));
    };
    let mut folder = folder(context, which)?;
    folder.lock()?;
    if folder.has_account() {
        return Err(ClientError::AccountExists(context.dir()?).into());
    }
    let file = AccountFile {
        phone: phone.to_owned(),
        suite,
        server: server.clone(),
        server_key: server_key(suite, key)?,
    };
    if context.global.no_passphrase {
        return Err(Failure::usage(
            "a classic key is always kept under a passphrase: give one with --passphrase-file FILE",
        ));
    }
    let given = context.global.passphrase_file.as_deref();
    let passphrase = context
        .new_secret(given, "--passphrase-file", "new passphrase: ")
        .await?;
    let mut registration = Registration::start(folder, file, &passphrase).await?;
    context.out.text("a code is on its way; type it here")?;
    loop {
        match registration.finish(&read_code()?).await {
            Ok(()) => break,
            Err(
                error @ ClientError::Refused {
                    code: Code::WrongCode,
                    ..
                },
            ) if io::stdin().is_terminal() => context.out.failure(&error.into()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(context.out.row(&ClassicAccountRow {
        phone: phone.to_owned(),
        suite: suite.as_str(),
        server: server.clone(),
    })?)
}

fn read_code() -> Result<String, Failure> {
    if io::stdin().is_terminal() {
        write!(io::stderr(), "code: ")?;
    }
    let mut code = String::new();
    io::stdin().lock().read_line(&mut code)?;
    if code.trim().is_empty() {
        return Err(Failure::usage(
            "no code came on standard input; run it again when you have one",
        ));
    }
    Ok(code.trim().to_owned())
}

async fn send(
    context: &Context,
    session: &mut Session,
    to: &str,
    text: &str,
) -> Result<(), Failure> {
    let sent = session.send(to, text).await?;
    Ok(context.out.row(&ClassicSentRow {
        message_id: sent,
        to: to.to_owned(),
    })?)
}

async fn fetch(context: &Context, session: &mut Session, all: bool) -> Result<(), Failure> {
    let fresh = session.fetch().await?;
    if !all {
        return show(context, fresh);
    }
    // what is fresh was kept, so it is part of what there is
    show(context, session.history().await?)?;
    let is_receipt = |row: &Incoming| matches!(row, Incoming::Receipt(_));
    show(context, fresh.into_iter().filter(is_receipt).collect())
}

async fn listen(context: &Context, session: &mut Session) -> Result<(), Failure> {
    session.listen().await?;
    loop {
        tokio::select! {
            rows = session.next() => show(context, rows?)?,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

fn show(context: &Context, rows: Vec<Incoming>) -> Result<(), Failure> {
    for row in rows {
        match row {
            Incoming::Message {
                id,
                sender,
                at,
                text,
            } => {
                let (text, problem) = match text {
                    Ok(text) => (text, None),
                    Err(problem) => (String::new(), Some(problem)),
                };
                context.out.row(&ClassicMessageRow {
                    message_id: id,
                    from: sender,
                    timestamp: at,
                    text,
                    problem,
                })?;
            }
            Incoming::Receipt(Receipt {
                message_id,
                recipient_id,
                delivered_at,
            }) => context.out.row(&ClassicReceiptRow {
                message_id,
                to: recipient_id,
                delivered_at,
            })?,
        }
    }
    Ok(())
}
