//! Mosquitto: QoS 1 and sessions that stay, as Debian packages it.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::mqtt::Client;
use super::{About, Peer, Writes};
use crate::server::{Process, free_port, until_listening};

/// Where messages to each of the two go.
const TO_A: &str = "a";
const TO_B: &str = "b";

/// A running broker.
pub(crate) struct Mosquitto {
    process: Process,
    _folder: TempDir,
    address: SocketAddr,
    writes: Writes,
}

impl Mosquitto {
    pub(crate) async fn start(writes: Writes) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = free_port()?;
        let config = folder.path().join("mosquitto.conf");
        // as installed, but for: who may come, no limit on what waits, and no delay of small packets
        let text = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\npersistence true\n\
             persistence_location {}/\nmax_queued_messages 0\nset_tcp_nodelay true\nuser root\n\
             log_type none\n",
            address.port(),
            folder.path().display()
        );
        let saved = match writes {
            Writes::AsInstalled => "",
            // the whole of what waits is written and synced after each turn that changed something
            Writes::Synced => "autosave_on_changes true\nautosave_interval 1\n",
        };
        std::fs::write(&config, text + saved)?;
        let mut command = Command::new("mosquitto");
        let (process, _) = Process::spawn(command.arg("-c").arg(config))?;
        until_listening(address)?;
        let mosquitto = Self {
            process,
            _folder: folder,
            address,
            writes,
        };
        for (name, topic) in [("a", TO_A), ("b", TO_B)] {
            let mut client = Client::connect(address, name).await?;
            client.subscribe(topic).await?;
            client.leave().await?;
        }
        Ok(mosquitto)
    }
}

impl Peer for Mosquitto {
    fn about(&self) -> About {
        match self.writes {
            Writes::AsInstalled => About::new("Mosquitto, QoS 1, no TLS", 1),
            Writes::Synced => About::new("Mosquitto, QoS 1, no TLS, saved at once", 20),
        }
    }

    async fn send(&mut self, count: usize, depth: usize) -> anyhow::Result<Duration> {
        let mut a = Client::connect(self.address, "a").await?;
        let begin = Instant::now();
        a.publish(TO_B, count, depth).await?;
        let took = begin.elapsed();
        a.leave().await?;
        Ok(took)
    }

    async fn drain(&mut self, count: usize) -> anyhow::Result<()> {
        let mut b = Client::connect(self.address, "b").await?;
        b.take(count).await?;
        b.leave().await
    }

    async fn talk(&mut self, count: usize) -> anyhow::Result<f64> {
        let mut a = Client::connect(self.address, "a").await?;
        let mut b = Client::connect(self.address, "b").await?;
        let time = a.ping(TO_B, &mut b, TO_A, count).await?;
        a.leave().await?;
        b.leave().await?;
        Ok(time)
    }

    fn pid(&self) -> u32 {
        self.process.pid()
    }
}
