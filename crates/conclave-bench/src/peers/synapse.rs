//! Synapse with SQLite, from its Python package: one request for each message.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::http::Http;
use super::{About, Peer, median_ms};
use crate::PAYLOAD_BYTES;
use crate::server::{Process, free_port, until_listening};

/// Says which Python has the package: `cargo xtask bench peers` makes one.
pub(crate) const PYTHON: &str = "CONCLAVE_BENCH_SYNAPSE";
/// Connections that send at the same time.
const CONNECTIONS_MAX: usize = 64;
const CLIENT: &str = "/_matrix/client/v3";

/// A running server.
pub(crate) struct Synapse {
    process: Process,
    _folder: TempDir,
    address: SocketAddr,
    a: Person,
    b: Person,
    room: String,
    /// Messages sent so far: each has a number of its own.
    sent: usize,
}

/// Somebody with an account.
#[derive(Debug, Clone)]
struct Person {
    id: String,
    token: String,
    /// How far it has read.
    since: String,
}

impl Synapse {
    pub(crate) async fn start(python: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = free_port()?;
        let config = folder.path().join("homeserver.yaml");
        std::fs::write(&config, settings(folder.path(), address.port()))?;
        let command = || {
            let mut command = Command::new(python);
            command
                .args(["-m", "synapse.app.homeserver", "-c"])
                .arg(&config)
                .current_dir(folder.path())
                .stderr(Stdio::null());
            command
        };
        let made = command()
            .arg("--generate-keys")
            .stdout(Stdio::null())
            .status()?;
        ensure!(made.success(), "synapse made no keys: {made}");
        let (process, _) = Process::spawn(&mut command())?;
        until_listening(address)?;
        let mut http = Http::connect(address).await?;
        let mut a = Person::register(&mut http, "a").await?;
        let mut b = Person::register(&mut http, "b").await?;
        let wish = json!({"preset": "public_chat"});
        let made = http
            .ask("POST", &format!("{CLIENT}/createRoom"), &a.token, &wish)
            .await?;
        let room = text(&made, "room_id")?
            .replace('!', "%21")
            .replace(':', "%3A");
        let join = format!("{CLIENT}/join/{room}");
        http.ask("POST", &join, &b.token, &json!({})).await?;
        for person in [&mut a, &mut b] {
            person.sync(&mut http, 0).await?;
        }
        Ok(Self {
            process,
            _folder: folder,
            address,
            a,
            b,
            room,
            sent: 0,
        })
    }

    /// Where the next message goes.
    fn next(&mut self) -> String {
        self.sent += 1;
        format!(
            "{CLIENT}/rooms/{}/send/m.room.message/t{}",
            self.room, self.sent
        )
    }
}

/// As generated, but for: no limits of rate and of a page, and who may register.
fn settings(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    let mut text = format!(
        "server_name: localhost\npid_file: {folder}/pid\nmedia_store_path: {folder}/media\n\
         signing_key_path: {folder}/signing.key\nreport_stats: false\ntrusted_key_servers: []\n\
         macaroon_secret_key: word\nform_secret: word\nenable_registration: true\n\
         enable_registration_without_verification: true\nfilter_timeline_limit: -1\n\
         database:\n  name: sqlite3\n  args:\n    database: {folder}/homeserver.db\n\
         listeners:\n  - port: {port}\n    tls: false\n    type: http\n    \
         bind_addresses: ['127.0.0.1']\n    resources:\n      - names: [client]\n"
    );
    for limit in ["rc_message", "rc_registration"] {
        // writing to a string does not fail
        let _ = writeln!(text, "{limit}: {{per_second: 100000, burst_count: 100000}}");
    }
    text
}

impl Person {
    async fn register(http: &mut Http, name: &str) -> anyhow::Result<Self> {
        let wish = json!({
            "username": name, "password": "word", "auth": {"type": "m.login.dummy"},
        });
        let made = http
            .ask("POST", &format!("{CLIENT}/register"), "", &wish)
            .await?;
        Ok(Self {
            id: text(&made, "user_id")?,
            token: text(&made, "access_token")?,
            since: String::new(),
        })
    }

    /// How many messages of others came since; waits up to `timeout_ms` for one.
    async fn sync(&mut self, http: &mut Http, timeout_ms: u32) -> anyhow::Result<usize> {
        // {"room":{"timeline":{"limit":100000}}}
        let filter = "%7B%22room%22%3A%7B%22timeline%22%3A%7B%22limit%22%3A100000%7D%7D%7D";
        let mut path = format!("{CLIENT}/sync?timeout={timeout_ms}&filter={filter}");
        if !self.since.is_empty() {
            let _ = write!(path, "&since={}", self.since);
        }
        let page = http.ask("GET", &path, &self.token, &Value::Null).await?;
        self.since = text(&page, "next_batch")?;
        let rooms = page.pointer("/rooms/join").and_then(Value::as_object);
        let rooms = rooms.into_iter().flat_map(|rooms| rooms.values());
        let events = rooms.filter_map(|room| room.pointer("/timeline/events")?.as_array());
        let is_new = |event: &&Value| {
            event["type"] == "m.room.message" && event["sender"].as_str() != Some(&self.id)
        };
        Ok(events.flatten().filter(is_new).count())
    }

    /// Takes `count` messages.
    async fn take(&mut self, http: &mut Http, count: usize) -> anyhow::Result<()> {
        let mut taken = 0;
        while taken < count {
            taken += self.sync(http, 30_000).await?;
        }
        ensure!(taken == count, "{taken} messages came and not {count}");
        Ok(())
    }
}

fn text(value: &Value, key: &str) -> anyhow::Result<String> {
    let found = value[key].as_str();
    Ok(found
        .with_context(|| format!("no {key} in {value}"))?
        .to_owned())
}

async fn say(http: &mut Http, path: &str, token: &str) -> anyhow::Result<()> {
    let body = json!({"msgtype": "m.text", "body": "7".repeat(PAYLOAD_BYTES)});
    let done = http.ask("PUT", path, token, &body).await?;
    text(&done, "event_id").map(drop)
}

impl Peer for Synapse {
    fn about(&self) -> About {
        About {
            least: 64,
            ..About::new("Synapse, SQLite, no TLS", 200)
        }
    }

    async fn send(&mut self, count: usize, depth: usize) -> anyhow::Result<Duration> {
        let connections = depth.min(count).min(CONNECTIONS_MAX);
        let mut sending = JoinSet::new();
        let begin = Instant::now();
        for place in 0..connections {
            let mut http = Http::connect(self.address).await?;
            let share = count / connections + usize::from(place < count % connections);
            let paths: Vec<String> = (0..share).map(|_| self.next()).collect();
            let token = self.a.token.clone();
            sending.spawn(async move {
                for path in paths {
                    say(&mut http, &path, &token).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(sent) = sending.join_next().await {
            sent??;
        }
        Ok(begin.elapsed())
    }

    async fn drain(&mut self, count: usize) -> anyhow::Result<()> {
        let mut http = Http::connect(self.address).await?;
        self.b.take(&mut http, count).await
    }

    async fn talk(&mut self, count: usize) -> anyhow::Result<f64> {
        let (mut of_a, mut of_b) = (
            Http::connect(self.address).await?,
            Http::connect(self.address).await?,
        );
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let (there, back) = (self.next(), self.next());
            let begin = Instant::now();
            say(&mut of_a, &there, &self.a.token).await?;
            self.b.take(&mut of_b, 1).await?;
            say(&mut of_b, &back, &self.b.token).await?;
            self.a.take(&mut of_a, 1).await?;
            times.push(begin.elapsed().as_secs_f64());
        }
        Ok(median_ms(&times))
    }

    fn pid(&self) -> u32 {
        self.process.pid()
    }
}
