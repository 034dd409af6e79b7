//! ejabberd, as Debian packages it: messages wait in Mnesia.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use super::xmpp::{self, DOMAIN, drain, send, talk};
use super::{About, Peer, Writes};
use crate::server::{Process, free_port, until_listening};

/// Where Debian puts Erlang libraries.
const LIBRARIES: [&str; 2] = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];

/// What ejabberd's SQLite database begins with.
const TABLES: &str = "/usr/share/ejabberd/sql/lite.sql";

/// A running server.
pub(crate) struct Ejabberd {
    process: Process,
    _folder: TempDir,
    address: SocketAddr,
    writes: Writes,
}

impl Ejabberd {
    pub(crate) async fn start(writes: Writes) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = free_port()?;
        let config = folder.path().join("ejabberd.yml");
        // as installed, but for: only the modules that the jobs need, no TLS, passwords in clear, no limits of rate and of
        // what waits, and who may register
        let text = format!(
            "hosts: [{DOMAIN}]\nloglevel: error\nlisten:\n  - port: {}\n    ip: \"127.0.0.1\"\n    \
             module: ejabberd_c2s\n    shaper: none\n    access: all\n\
             auth_method: internal\nauth_password_format: plain\nregistration_timeout: infinity\n\
             shaper_rules:\n  max_user_offline_messages: infinity\nmodules:\n  mod_offline:\n    \
             access_max_user_messages: max_user_offline_messages\n{}  mod_stream_mgmt: {{}}\n  \
             mod_roster: {{}}\n  mod_register:\n    ip_access: all\n",
            address.port(),
            match writes {
                Writes::AsInstalled => "",
                Writes::Synced => "    db_type: sql\n",
            }
        );
        std::fs::write(&config, text + &database(folder.path(), writes)?)?;
        let mut command = Command::new("erl");
        command
            .env("EJABBERD_CONFIG_PATH", &config)
            .env("EJABBERD_LOG_PATH", folder.path().join("log"))
            .env("HOME", folder.path())
            .current_dir(folder.path())
            .arg("-noinput");
        for library in libraries()? {
            command.arg("-pa").arg(library);
        }
        let mnesia = format!("{:?}", folder.path().join("db").display().to_string());
        command.args(["-mnesia", "dir", &mnesia, "-s", "ejabberd"]);
        let (process, _) = Process::spawn(&mut command)?;
        until_listening(address)?;
        for name in ["a", "b"] {
            xmpp::register(address, name).await?;
        }
        Ok(Self {
            process,
            _folder: folder,
            address,
            writes,
        })
    }
}

/// Mnesia writes its log later; SQLite syncs each transaction. The settings of the database, which is made here.
fn database(folder: &Path, writes: Writes) -> anyhow::Result<String> {
    if writes == Writes::AsInstalled {
        return Ok(String::new());
    }
    let path = folder.join("ejabberd.sqlite");
    let tables = std::fs::read_to_string(TABLES).context("ejabberd's tables are not installed")?;
    rusqlite::Connection::open(&path)?.execute_batch(&tables)?;
    let path = path.display();
    Ok(format!("sql_type: sqlite\nsql_database: \"{path}\"\n"))
}

/// The folders of compiled modules beside ejabberd's own.
fn libraries() -> anyhow::Result<Vec<std::path::PathBuf>> {
    let place = LIBRARIES
        .into_iter()
        .map(Path::new)
        .find(|place| place.is_dir());
    let place = place.context("no folder of Erlang libraries")?;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(place)? {
        let modules = entry?.path().join("ebin");
        if modules.is_dir() {
            found.push(modules);
        }
    }
    ensure!(!found.is_empty(), "ejabberd is not installed");
    Ok(found)
}

impl Peer for Ejabberd {
    fn about(&self) -> About {
        match self.writes {
            Writes::AsInstalled => About::new("ejabberd, no TLS", 20),
            Writes::Synced => About::new("ejabberd, no TLS, SQLite", 20),
        }
    }

    async fn send(&mut self, count: usize, depth: usize) -> anyhow::Result<Duration> {
        send(self.address, count, depth).await
    }

    async fn drain(&mut self, count: usize) -> anyhow::Result<()> {
        drain(self.address, count).await
    }

    async fn talk(&mut self, count: usize) -> anyhow::Result<f64> {
        talk(self.address, count).await
    }

    fn pid(&self) -> u32 {
        self.process.pid()
    }
}
