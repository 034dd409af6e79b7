//! One function per command.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use conclave_proto::address::{ServerAddress, split_host_port};
use conclave_proto::env::OsEnv;
use conclave_proto::id::ServerId;
use conclave_proto::limits::HOLD_MS;
use conclave_server::admin::{self, AskError};
use conclave_server::config::{self, Config, ENV_PREFIX, Loaded};
use conclave_server::keys::{self, KeysError, ServerKeys};
use conclave_server::store::{Address, take_over};
use conclave_server::{ServeOptions, Server, address_of, database, files, folder, health};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::check;
use crate::cli::{Classic, Cli, ClockCommand, Command, Common, ConfigCommand, Invite, Serve};
use crate::exit::CommandError;

/// The short name of `server.database` in the environment.
const DATABASE_VAR: &str = "CONCLAVE_DATABASE";

/// Runs one command to its end.
pub(crate) fn run(cli: Cli) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime does not start")?;
    let folder = data_dir(&cli.common)?;
    let common = &cli.common;
    runtime.block_on(async {
        match cli.command {
            Command::Init => init(&folder, &settings(&folder, common, &[])?.config).await,
            Command::Serve(flags) => serve(folder, common, &flags).await,
            Command::Check => check::run(&folder, settings(&folder, common, &[])).await,
            Command::MigrateStore { from, to } => {
                let config = settings(&folder, common, &[])?.config;
                migrate_store(&from, to, &config).await
            }
            Command::Health => ask_health(&folder, &settings(&folder, common, &[])?.config).await,
            Command::Address { public } => {
                let public = public.as_deref();
                address(&folder, &settings(&folder, common, &[])?.config, public)
            }
            Command::Invite(Invite::Create { uses, expires }) => {
                let config = settings(&folder, common, &[])?.config;
                create_invite(&folder, &config, uses, expires).await
            }
            Command::Clock(ClockCommand::Confirm) => {
                confirm_clock(&folder, &settings(&folder, common, &[])?.config).await
            }
            Command::Classic(Classic::PublicKey { suite }) => {
                server_of(&folder)?;
                let key = conclave_server::classic_server_key(&folder, suite)?;
                print(key.public().to_pem().trim_end())
            }
            Command::Config(ConfigCommand::Show { origin }) => {
                show(&settings(&folder, common, &[])?, origin)
            }
        }
    })
}

fn data_dir(common: &Common) -> anyhow::Result<PathBuf> {
    if let Some(folder) = &common.data_dir {
        return Ok(folder.clone());
    }
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let base = set("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(set("HOME")?).join(".local/share")));
    let base = base.ok_or_else(|| {
        CommandError::Usage("no home folder is known; say --data-dir DIR".to_owned())
    })?;
    Ok(base.join("conclave-server"))
}

fn settings(folder: &Path, common: &Common, flags: &[(&str, String)]) -> anyhow::Result<Loaded> {
    let in_folder = folder.join("config.toml");
    let file = match &common.config {
        Some(file) => Some(file.clone()),
        None => in_folder.exists().then_some(in_folder),
    };
    // a variable that is not text cannot be one of ours
    let vars = std::env::vars_os().filter_map(|(name, value)| {
        let name = match name.into_string().ok()? {
            name if name == DATABASE_VAR => format!("{ENV_PREFIX}SERVER__DATABASE"),
            name => Some(name).filter(|name| name.starts_with(ENV_PREFIX))?,
        };
        Some((name, value.to_string_lossy().into_owned()))
    });
    let mut flags = flags.to_vec();
    if let Some(database) = &common.database {
        if Address::holds_password(database) {
            return Err(CommandError::PasswordShown.into());
        }
        flags.push(("server.database", database.clone()));
    }
    Ok(config::load(file.as_deref(), vars, &flags)?)
}

async fn init(folder: &Path, config: &Config) -> anyhow::Result<()> {
    prepare(folder)?;
    let store = database::open(config, folder, &OsEnv).await?;
    ServerKeys::open(folder, &OsEnv)?;
    drop(store);
    eprintln!("ready in {}", folder.display());
    eprintln!(
        "keep a copy of root-key.pem elsewhere: with it the server's certificate can be renewed \
         without changing its address"
    );
    address(folder, config, None)
}

fn prepare(folder: &Path) -> anyhow::Result<()> {
    folder::prepare(folder).with_context(|| {
        format!(
            "cannot use the data folder {}; say --data-dir DIR",
            folder.display()
        )
    })
}

async fn serve(folder: PathBuf, common: &Common, flags: &Serve) -> anyhow::Result<()> {
    let config = settings(&folder, common, &settings_of(flags))?.config;
    files::raise_limit();
    let listen = config.server.listen;
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        if error.kind() == std::io::ErrorKind::AddrInUse {
            let host = SocketAddr::new(listen.ip(), 0).to_string();
            let host = host.trim_end_matches(":0").to_owned();
            let port = listen.port();
            return anyhow::Error::from(CommandError::PortTaken { host, port });
        }
        anyhow::Error::from(error).context(format!("cannot listen on {listen}"))
    })?;
    let public = config.server.public.clone();
    let options = ServeOptions {
        data_dir: folder.clone(),
        config,
        env: OsEnv::shared(),
        sender: None,
        shared: None,
    };
    // before the first line says that it is ready, so that nobody can ask too early to stop
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let server = Server::open(options, listener).await?;
    if let Some(address) = server.classic_address() {
        eprintln!("classic on {address}");
    }
    eprintln!("listening on {}", server.local_address());
    eprintln!(
        "address {}",
        public_address(&folder, &public, server.local_address())?
    );
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        eprintln!("stopping");
    };
    Ok(server.run(shutdown).await?)
}

fn settings_of(flags: &Serve) -> Vec<(&'static str, String)> {
    let mut settings = Vec::new();
    if let Some(listen) = flags.listen {
        settings.push(("server.listen", listen.to_string()));
    }
    if let Some(blobs) = &flags.blobs {
        settings.push(("blobs.store", blobs.clone()));
    }
    if let Some(nats) = &flags.nats {
        settings.push(("server.nats", nats.clone()));
    }
    if let Some(classic) = flags.classic {
        settings.push(("classic.listen", classic.to_string()));
    }
    if let Some(otp) = flags.otp {
        settings.push(("otp.sender", otp.name().to_owned()));
    }
    if let Some(registration) = flags.registration {
        settings.push(("registration.mode", registration.name().to_owned()));
    }
    if flags.print_codes_on_this_terminal_although_strangers_can_connect {
        settings.push(("otp.console_beyond_loopback", "true".to_owned()));
    }
    settings
}

fn address(folder: &Path, config: &Config, public: Option<&str>) -> anyhow::Result<()> {
    let public = public.unwrap_or(&config.server.public);
    let address = public_address(folder, public, last_address(folder, config))?;
    let ending = format!(":{}", address.port);
    if !public.is_empty() && !public.ends_with(&ending) {
        // Not part of the address, which goes to standard output; a closed standard error hears nothing.
        let _ = writeln!(
            std::io::stderr().lock(),
            "note: port {} was added; for another say --public HOST:PORT",
            address.port
        );
    }
    print(&address.to_string())
}

/// Moves a stopped server's store into a shared database.
async fn migrate_store(from: &str, to: Option<String>, config: &Config) -> anyhow::Result<()> {
    let source = from.strip_prefix("sqlite:").filter(|path| !path.is_empty());
    let source = source.ok_or_else(|| {
        CommandError::Usage(format!(
            "`{from}` is not sqlite:DIR, as in sqlite:/srv/conclave"
        ))
    })?;
    if to.as_deref().is_some_and(Address::holds_password) {
        return Err(CommandError::PasswordShown.into());
    }
    let to = to.unwrap_or_else(|| config.server.database.expose().to_owned());
    if !Address::is_one(&to) {
        let text = "name the database: --to postgres://USER@HOST/DATABASE".to_owned();
        return Err(CommandError::Usage(text).into());
    }
    let address = Address::parse(&to, |name| std::env::var(name).ok())?;
    let moved = take_over(Path::new(source), address).await?;
    let rows = moved
        .rows
        .iter()
        .map(|(table, rows)| format!("{table} {rows}"));
    print(&rows.collect::<Vec<_>>().join("\n"))?;
    eprintln!("moved and checked; from now on serve with --database, from the same data folder");
    Ok(())
}

/// The server whose keys lie in the folder; there must be one.
fn server_of(folder: &Path) -> anyhow::Result<ServerId> {
    keys::server_id(folder).map_err(|error| match error {
        KeysError::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            CommandError::NoServer(folder.display().to_string()).into()
        }
        error => error.into(),
    })
}

/// The address with the public host, or the one that listens.
fn public_address(
    folder: &Path,
    public: &str,
    listening: SocketAddr,
) -> anyhow::Result<ServerAddress> {
    let server_id = server_of(folder)?;
    if public.is_empty() {
        return Ok(address_of(server_id, listening));
    }
    let (host, port) = split_host_port(public).map_err(|_| {
        CommandError::Usage(format!(
            "`{public}` is not HOST:PORT, as in chat.example.org:5000"
        ))
    })?;
    Ok(ServerAddress {
        server_id,
        host,
        port,
    })
}

/// Where the last `serve` from this folder listened, else where one would.
fn last_address(folder: &Path, config: &Config) -> SocketAddr {
    folder::last_listening(folder).unwrap_or(config.server.listen)
}

async fn ask_health(folder: &Path, config: &Config) -> anyhow::Result<()> {
    server_of(folder)?;
    let address = address_of_listener(last_address(folder, config));
    print(health::ask(folder, address).await?.text())
}

/// An address that this machine can connect to.
fn address_of_listener(mut listening: SocketAddr) -> SocketAddr {
    if listening.ip().is_unspecified() {
        listening.set_ip(match listening {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    listening
}

async fn create_invite(
    folder: &Path,
    config: &Config,
    uses: u32,
    expires: Duration,
) -> anyhow::Result<()> {
    let valid_ms = u64::try_from(expires.as_millis()).unwrap_or(u64::MAX);
    let valid_ms = valid_ms.min(HOLD_MS.saturating_mul(1000));
    let request = admin::Request::CreateInvite { uses, valid_ms };
    match admin_work(folder, config, request).await? {
        admin::Response::Invite(token) => print(&token),
        admin::Response::Error(text) => Err(CommandError::Refused(text).into()),
        _ => Err(other_answer()),
    }
}

async fn confirm_clock(folder: &Path, config: &Config) -> anyhow::Result<()> {
    match admin_work(folder, config, admin::Request::ConfirmClock).await? {
        admin::Response::Confirmed(_) => print("confirmed"),
        admin::Response::Error(text) => Err(CommandError::Refused(text).into()),
        _ => Err(other_answer()),
    }
}

fn other_answer() -> anyhow::Error {
    let text = "the running server gave another answer, use its own version".to_owned();
    CommandError::Refused(text).into()
}

/// Asks the running server, or does the work on its store when none runs; makes no server.
pub(crate) async fn admin_work(
    folder: &Path,
    config: &Config,
    request: admin::Request,
) -> anyhow::Result<admin::Response> {
    match admin::ask(folder, request).await {
        Ok(response) => Ok(response),
        Err(AskError::NotRunning) => {
            server_of(folder)?;
            prepare(folder)?;
            let opened = database::open(config, folder, &OsEnv).await?;
            Ok(admin::perform(&*opened.store, &OsEnv, request).await)
        }
        Err(error) => Err(error.into()),
    }
}

fn show(loaded: &Loaded, with_origin: bool) -> anyhow::Result<()> {
    let lines: Vec<String> = loaded
        .settings()
        .into_iter()
        .map(|setting| {
            let (key, value) = (setting.key, setting.value);
            if with_origin {
                format!("{key} = {value}  # {}", setting.origin)
            } else {
                format!("{key} = {value}")
            }
        })
        .collect();
    print(&lines.join("\n"))
}

/// One answer on standard output.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}").context("standard output is closed")
}
