//! Three NATS nodes in one cluster, whose routes go through doors that can be shut.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use super::door::Door;
use super::machine::{get, ports, until};
use super::packages::guarded;
use crate::campaign::Process;

const LIMIT: Duration = Duration::from_secs(30);

/// The nodes.
pub(super) struct Nats {
    folder: PathBuf,
    nodes: Vec<Node>,
}

struct Node {
    client: u16,
    monitor: u16,
    /// In front of the port for routes.
    door: Door,
    process: Option<Process>,
}

impl Nats {
    /// Starts them and waits until each has a route to both others.
    pub(super) fn start(folder: &Path) -> anyhow::Result<Self> {
        let all: [u16; 9] = ports()?;
        let mut nodes = Vec::new();
        let mut routes = Vec::new();
        for own in all.chunks_exact(3) {
            let [client, monitor, route] = *own else {
                continue;
            };
            let door = Door::open(vec![route])?;
            routes.push((route, door.port));
            nodes.push(Node {
                client,
                monitor,
                door,
                process: None,
            });
        }
        for (index, node) in nodes.iter().enumerate() {
            let (route, door) = *routes.get(index).context("no route")?;
            let others = routes.iter().filter(|(other, _)| *other != route);
            let others: Vec<String> = others
                .map(|(_, door)| format!("\"nats://127.0.0.1:{door}\""))
                .collect();
            let (client, monitor, others) = (node.client, node.monitor, others.join(", "));
            let text = format!(
                "server_name: n{index}\nlisten: \"127.0.0.1:{client}\"\nhttp: \"127.0.0.1:{monitor}\"\n\
                 cluster {{\n  name: conclave\n  listen: \"127.0.0.1:{route}\"\n  \
                 advertise: \"127.0.0.1:{door}\"\n  no_advertise: true\n  routes: [{others}]\n}}\n"
            );
            fs::write(folder.join(format!("nats-{index}.conf")), text)?;
        }
        let mut nats = Self {
            folder: folder.to_owned(),
            nodes,
        };
        nats.set_away(false)?;
        nats.wait_for_routes(true)?;
        Ok(nats)
    }

    /// What a server is told; its own node is the first.
    pub(super) fn url(&self, own: usize) -> String {
        let count = self.nodes.len();
        let turned = self.nodes.iter().cycle().skip(own).take(count);
        let urls: Vec<String> = turned
            .map(|node| format!("nats://127.0.0.1:{}", node.client))
            .collect();
        urls.join(",")
    }

    /// Cuts every node off from the others, or lets them find each other again.
    pub(super) fn cut(&self, is_cut: bool) -> anyhow::Result<()> {
        for node in &self.nodes {
            node.door.shut(is_cut);
        }
        self.wait_for_routes(!is_cut)
    }

    fn wait_for_routes(&self, are_there: bool) -> anyhow::Result<()> {
        let holds = |node: &Node| {
            let routes = get(node.monitor, "/routez").ok()?;
            let count = routes.get("num_routes")?.as_u64()?;
            (if are_there { count >= 2 } else { count == 0 }).then_some(())
        };
        let all = || self.nodes.iter().try_for_each(holds);
        until("routes between NATS nodes", LIMIT, all)?;
        Ok(())
    }

    /// Kills all nodes, or starts them again.
    pub(super) fn set_away(&mut self, is_away: bool) -> anyhow::Result<()> {
        for (index, node) in self.nodes.iter_mut().enumerate() {
            match node.process.take() {
                Some(process) => {
                    process.kill(Duration::ZERO)?;
                }
                None if !is_away => {
                    let mut command = guarded("nats-server", None);
                    command
                        .arg("-c")
                        .arg(self.folder.join(format!("nats-{index}.conf")));
                    let log = self.folder.join(format!("nats-{index}.log"));
                    node.process = Some(Process::start(&mut command, &log)?);
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Waits until a cluster that was away is one again.
    pub(super) fn come_back(&mut self) -> anyhow::Result<()> {
        self.set_away(false)?;
        self.wait_for_routes(true)
    }
}
