//! Prosody, as Debian packages it: messages wait in its own files.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::ensure;
use tempfile::TempDir;

use super::xmpp::{DOMAIN, PASSWORD, drain, send, talk};
use super::{About, Peer, Writes};
use crate::server::{Process, free_port, until_listening};

/// A running server.
pub(crate) struct Prosody {
    process: Process,
    _folder: TempDir,
    address: SocketAddr,
    writes: Writes,
}

impl Prosody {
    pub(crate) fn start(writes: Writes) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = free_port()?;
        let config = folder.path().join("prosody.cfg.lua");
        // as installed, but for: only the modules that the jobs need, no TLS, passwords in clear, one host, no limits
        let text = format!(
            "modules_enabled = {{ \"saslauth\", \"roster\", \"smacks\", \"offline\" }}\n\
             modules_disabled = {{ \"s2s\", \"tls\" }}\n\
             authentication = \"internal_plain\"\nallow_unencrypted_plain_auth = true\n\
             c2s_require_encryption = false\nc2s_ports = {{ {} }}\nc2s_direct_tls_ports = {{}}\n\
             interfaces = {{ \"127.0.0.1\" }}\nrun_as_root = true\ndata_path = \"{}\"\n\
             pidfile = \"{}/pid\"\nlog = {{ error = \"{}/log\" }}\n{}VirtualHost \"{DOMAIN}\"\n",
            address.port(),
            folder.path().display(),
            folder.path().display(),
            folder.path().display(),
            storage(writes),
        );
        std::fs::write(&config, text)?;
        for name in ["a", "b"] {
            register(&config, name)?;
        }
        let mut command = Command::new("prosody");
        command.arg("--config").arg(&config).arg("-F");
        let (process, _) = Process::spawn(&mut command)?;
        until_listening(address)?;
        Ok(Self {
            process,
            _folder: folder,
            address,
            writes,
        })
    }
}

/// Its own files are not synced; SQLite syncs each transaction.
fn storage(writes: Writes) -> &'static str {
    match writes {
        Writes::AsInstalled => "",
        Writes::Synced => {
            "storage = \"sql\"\nsql = { driver = \"SQLite3\", database = \"prosody.sqlite\" }\n"
        }
    }
}

fn register(config: &Path, name: &str) -> anyhow::Result<()> {
    let mut command = Command::new("prosodyctl");
    command.arg("--root").arg("--config").arg(config);
    let ended = command
        .args(["register", name, DOMAIN, PASSWORD])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    ensure!(ended.success(), "prosodyctl ended with {ended}");
    Ok(())
}

impl Peer for Prosody {
    fn about(&self) -> About {
        match self.writes {
            Writes::AsInstalled => About::new("Prosody, no TLS", 5),
            Writes::Synced => About::new("Prosody, no TLS, SQLite", 20),
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
