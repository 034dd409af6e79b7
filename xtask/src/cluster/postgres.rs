//! Three PostgreSQL nodes under Patroni and etcd: a primary, a synchronous standby, and one more.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::machine::{children, get, ports, signal, until};
use super::packages::{guarded, postgres_programs};
use crate::campaign::{Process, text};
use crate::step::{is_root, succeed};

/// Who runs PostgreSQL when root runs the campaign: it refuses root.
const USER: &str = "postgres";
/// Of the servers' role, which has the name of their database.
pub(super) const PASSWORD: &str = "conclave";
/// Seconds after which a leader that says nothing is no leader.
const TTL: u32 = 20;
/// A start or failover takes no longer.
const LIMIT: Duration = Duration::from_mins(3);
/// Kills the postmasters that Patroni leaves behind, once this program is gone.
const JANITOR: &str = r#"trap "" INT TERM HUP; cat >/dev/null; for data in "$@"; do
pid=$(head -n 1 "$data/postmaster.pid" 2>/dev/null) || continue
tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$data" && kill -KILL "$pid"
done; true"#;

/// The nodes. Patroni goes first, then what it would start again.
pub(super) struct Postgres {
    folder: PathBuf,
    nodes: Vec<Node>,
    etcd: Vec<Process>,
    _janitor: Janitor,
}

struct Node {
    name: String,
    port: u16,
    rest: u16,
    patroni: Option<Process>,
}

struct Janitor(Child);

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It ends by itself; a failure changes nothing.
        let _ = self.0.wait();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            node.patroni = None;
        }
        self.etcd.clear();
    }
}

impl Postgres {
    /// Starts etcd and Patroni and waits for a primary with a synchronous standby; makes the database.
    pub(super) fn start(folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.join("postgres");
        fs::create_dir(&folder)?;
        let all: [u16; 12] = ports()?;
        let (etcd_ports, pg_ports) = all.split_at(6);
        let mut nodes = Vec::new();
        for (index, own) in pg_ports.chunks_exact(2).enumerate() {
            let [port, rest] = *own else { continue };
            nodes.push(Node {
                name: format!("pg{index}"),
                port,
                rest,
                patroni: None,
            });
        }
        let data: Vec<PathBuf> = nodes.iter().map(|node| folder.join(&node.name)).collect();
        let janitor = Command::new("sh")
            .args(["-c", JANITOR, "janitor"])
            .args(data)
            .stdin(Stdio::piped())
            .spawn()?;
        let mut postgres = Self {
            folder,
            nodes,
            etcd: Vec::new(),
            _janitor: Janitor(janitor),
        };
        postgres.start_etcd(etcd_ports)?;
        let clients: Vec<u16> = etcd_ports.iter().step_by(2).copied().collect();
        for index in 0..postgres.nodes.len() {
            postgres.configure(index, &clients)?;
        }
        if is_root() {
            let owner = format!("{USER}:{USER}");
            succeed(
                Command::new("chown")
                    .args(["-R", &owner])
                    .arg(&postgres.folder),
            )?;
        }
        for index in 0..postgres.nodes.len() {
            postgres.start_node(index)?;
        }
        postgres.wait_until_safe()?;
        postgres.make_database()?;
        Ok(postgres)
    }

    fn start_etcd(&mut self, ports: &[u16]) -> anyhow::Result<()> {
        let url = |port: &u16| format!("http://127.0.0.1:{port}");
        let peers = ports
            .chunks_exact(2)
            .enumerate()
            .filter_map(|(index, own)| own.get(1).map(|peer| format!("etcd{index}={}", url(peer))));
        let peers = peers.collect::<Vec<_>>().join(",");
        for (index, own) in ports.chunks_exact(2).enumerate() {
            let [client, peer] = own else { continue };
            let name = format!("etcd{index}");
            let mut command = guarded("etcd", None);
            command
                .args(["--name", &name, "--data-dir"])
                .arg(self.folder.join(&name))
                .args(["--listen-client-urls", &url(client)])
                .args(["--advertise-client-urls", &url(client)])
                .args(["--listen-peer-urls", &url(peer)])
                .args(["--initial-advertise-peer-urls", &url(peer)])
                .args([
                    "--initial-cluster",
                    &peers,
                    "--initial-cluster-token",
                    "conclave",
                ])
                .args(["--heartbeat-interval", "300", "--election-timeout", "3000"]);
            let log = self.folder.join(format!("{name}.log"));
            self.etcd.push(Process::start(&mut command, &log)?);
        }
        Ok(())
    }

    fn configure(&self, index: usize, etcd: &[u16]) -> anyhow::Result<()> {
        let node = self.nodes.get(index).context("no such node")?;
        let address = |port: u16| format!("127.0.0.1:{port}");
        let hosts: Vec<String> = etcd.iter().map(|port| address(*port)).collect();
        let person = |name: &str| json!({"username": name, "password": name});
        // JSON is YAML.
        let config = json!({
            "scope": "conclave",
            "name": node.name,
            "restapi": {"listen": address(node.rest), "connect_address": address(node.rest)},
            "etcd3": {"hosts": hosts},
            "bootstrap": {
                "dcs": {
                    "ttl": TTL,
                    "loop_wait": 2,
                    "retry_timeout": 5,
                    "synchronous_mode": true,
                    "synchronous_mode_strict": true,
                    "postgresql": {"use_pg_rewind": true, "parameters": {
                        "synchronous_commit": "on",
                        "max_connections": 60,
                        "shared_buffers": "64MB",
                        "wal_keep_size": "256MB",
                    }},
                },
                "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, "data-checksums"],
                "pg_hba": [
                    "local all all trust",
                    "host replication all 127.0.0.1/32 scram-sha-256",
                    "host all all 127.0.0.1/32 scram-sha-256",
                ],
            },
            "postgresql": {
                "listen": address(node.port),
                "connect_address": address(node.port),
                "data_dir": self.folder.join(&node.name),
                "bin_dir": postgres_programs()?,
                "pgpass": self.folder.join(format!("{}.pgpass", node.name)),
                "authentication": {
                    "superuser": person("super"),
                    "replication": person("replication"),
                    "rewind": person("rewind"),
                },
                "parameters": {"unix_socket_directories": self.folder},
            },
        });
        fs::write(
            self.folder.join(format!("{}.yml", node.name)),
            config.to_string(),
        )?;
        Ok(())
    }

    fn start_node(&mut self, index: usize) -> anyhow::Result<()> {
        let folder = self.folder.clone();
        let node = self.nodes.get_mut(index).context("no such node")?;
        let mut command = guarded("patroni", Some(USER));
        command
            .arg(folder.join(format!("{}.yml", node.name)))
            .env("HOME", &folder)
            .env("LC_ALL", "C.UTF-8")
            .current_dir(&folder);
        let log = folder.join(format!("{}.log", node.name));
        node.patroni = Some(Process::start(&mut command, &log)?);
        Ok(())
    }

    /// A string for clients that follows a failover.
    pub(super) fn url(&self) -> String {
        let hosts: Vec<String> = self
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port))
            .collect();
        let hosts = hosts.join(",");
        format!("postgres://conclave@{hosts}/conclave?target_session_attrs=read-write")
    }

    fn make_database(&self) -> anyhow::Result<()> {
        let (leader, _) = self.leader().context("no primary")?;
        let port = self
            .nodes
            .get(leader)
            .context("no such node")?
            .port
            .to_string();
        for statement in [
            &*format!("create role conclave login password '{PASSWORD}'"),
            "create database conclave owner conclave",
        ] {
            succeed(
                Command::new(postgres_programs()?.join("psql"))
                    .args(["-q", "-h", "127.0.0.1", "-p", &port, "-U", "super"])
                    .args(["-d", "postgres", "-v", "ON_ERROR_STOP=1", "-c", statement])
                    .env("PGPASSWORD", "super"),
            )?;
        }
        Ok(())
    }

    /// Members as Patroni sees them, from the first node that answers.
    fn members(&self) -> Option<Vec<Value>> {
        let answer = self
            .nodes
            .iter()
            .find_map(|node| get(node.rest, "/cluster").ok())?;
        answer.get("members")?.as_array().cloned()
    }

    fn is_running(member: &Value) -> bool {
        matches!(text(member, "state"), "running" | "streaming")
    }

    /// The primary, and whether a standby is synchronous.
    fn leader(&self) -> Option<(usize, bool)> {
        let members = self.members()?;
        let with_role = |role: &str| {
            members
                .iter()
                .find(|member| text(member, "role") == role && Self::is_running(member))
        };
        let leader = text(with_role("leader")?, "name");
        let index = self.nodes.iter().position(|node| node.name == leader)?;
        Some((index, with_role("sync_standby").is_some()))
    }

    /// Waits for a primary with a synchronous standby; all nodes run.
    pub(super) fn wait_until_safe(&self) -> anyhow::Result<Duration> {
        let is_safe = || {
            let members = self.members()?;
            let all = members.len() == self.nodes.len() && members.iter().all(Self::is_running);
            let (_, is_safe) = self.leader()?;
            (all && is_safe).then_some(())
        };
        let ((), took) = until("a primary with a synchronous standby", LIMIT, is_safe)?;
        Ok(took)
    }

    /// Ends Patroni and all of PostgreSQL on the primary in one moment, as a power cut does; which node that was. A
    /// postmaster that dies alone is another matter: its backends stop waiting for the standby, and for some milliseconds
    /// others can read what no standby has.
    pub(super) fn kill_primary(&mut self) -> anyhow::Result<usize> {
        let (leader, is_safe) = self.leader().context("no primary")?;
        ensure!(is_safe, "no synchronous standby");
        let node = self.nodes.get_mut(leader).context("no such node")?;
        let file = self.folder.join(&node.name).join("postmaster.pid");
        let pid = fs::read_to_string(file)?;
        let pid: u32 = pid
            .lines()
            .next()
            .context("an empty file")?
            .trim()
            .parse()?;
        let patroni = node.patroni.take().context("Patroni does not run")?;
        signal(&[patroni.id(), pid], "STOP")?;
        let backends = children(pid)?;
        for name in ["STOP", "KILL"] {
            // One whose client left is gone by now.
            let _ = signal(&backends, name);
        }
        signal(&[patroni.id(), pid], "KILL")?;
        // Its output is open as long as the postmaster lives.
        patroni.kill(Duration::ZERO)?;
        Ok(leader)
    }

    /// Waits until another node than `old` leads; how long that took.
    pub(super) fn wait_for_failover(&self, old: usize) -> anyhow::Result<Duration> {
        let other = || self.leader().filter(|(leader, _)| *leader != old);
        Ok(until("another primary", LIMIT, other)?.1)
    }

    /// Starts a killed node again and waits until it follows.
    pub(super) fn bring_back(&mut self, index: usize) -> anyhow::Result<Duration> {
        self.start_node(index)?;
        self.wait_until_safe()
    }
}
