//! Conclave: A appends to a log that B reads; TLS 1.3, and synced before it is acknowledged.
//!
//! What is sent are the 512 bytes that the server stores, as with the others: what MLS costs the two people is measured
//! by `people` and `crypto`.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use aws_lc_rs::signature::Ed25519KeyPair;
use conclave_proto::env::OsEnv;
use conclave_proto::frame::{Reply, Request, reply, request};
use conclave_proto::hello::{Purpose, Role, open_fields};
use conclave_proto::id::{Epoch, LogId};
use conclave_proto::log::{OpenLogs, OpenOne, ReadLog, SubscribeLog};

use tokio::task::JoinSet;

use super::{About, Peer, median_ms};
use crate::server::Server;
use crate::wire::{Connection, Place};

/// The epoch of a new log.
const EPOCH: Epoch = Epoch(1);
/// Unanswered requests of one connection that the server takes (C-011).
const UNANSWERED_MAX: usize = 64;
/// Entries of one page.
const PAGE: u32 = 100;

/// A running server with a log for each direction.
pub(crate) struct Ours {
    server: Server,
    place: Place,
    key: Ed25519KeyPair,
    to_a: LogId,
    to_b: LogId,
    /// Where B stands in the log to it.
    read: u64,
}

/// A connection with one of the logs open.
struct Open {
    connection: Connection,
    next_id: u64,
}

impl Ours {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let server = Server::start()?;
        let (place, pass) = (server.place()?, server.pass()?);
        let key = Ed25519KeyPair::generate()?;
        let (to_a, to_b) = (LogId::random(&OsEnv), LogId::random(&OsEnv));
        for log_id in [to_a, to_b] {
            let mut connection = place.connect().await?;
            let context = connection.greet(server.id, Role::Logs).await?;
            connection
                .create_log_as(&context, &pass, (log_id, &key))
                .await?;
        }
        Ok(Self {
            server,
            place,
            key,
            to_a,
            to_b,
            read: 0,
        })
    }

    /// Connects and opens a log as handle 1, following it when `follows`.
    async fn open(&self, log_id: LogId, follows: bool) -> anyhow::Result<Open> {
        let mut connection = self.place.connect().await?;
        let context = connection.greet(self.server.id, Role::Logs).await?;
        let input = context.proof_input(Purpose::OpenLog, &open_fields(log_id, EPOCH));
        let one = OpenOne {
            log_id: log_id.to_vec(),
            epoch: EPOCH.0,
            proof: self.key.sign(&input).as_ref().to_vec(),
        };
        let mut open = Open {
            connection,
            next_id: 0,
        };
        let logs = OpenLogs { logs: vec![one] };
        match open.ask(request::Body::OpenLogs(logs)).await? {
            reply::Body::OpenedLogs(_) => {}
            other => bail!("the log does not open: {other:?}"),
        }
        if follows {
            let body = request::Body::SubscribeLog(SubscribeLog { handle: 1 });
            open.ask(body).await?;
        }
        Ok(open)
    }
}

impl Open {
    async fn ask(&mut self, body: request::Body) -> anyhow::Result<reply::Body> {
        self.next_id += 1;
        let request = Request {
            id: self.next_id,
            body: Some(body),
        };
        self.connection.put(&request)?;
        self.connection.flush().await?;
        loop {
            match self.next().await? {
                // a hint: whoever waits for one takes it there
                reply::Body::LogPush(_) => {}
                answer => return Ok(answer),
            }
        }
    }

    async fn next(&mut self) -> anyhow::Result<reply::Body> {
        loop {
            if let Some(reply) = self.connection.taken::<Reply>()? {
                let Some(body) = reply.body else {
                    bail!("an empty answer");
                };
                return Ok(body);
            }
            self.connection.fill().await?;
        }
    }

    fn put_append(&mut self) -> anyhow::Result<()> {
        self.next_id += 1;
        self.connection.put_append(self.next_id)
    }

    /// Appends `count` entries, `depth` in flight; returns when all are acknowledged.
    async fn send(mut self, count: usize, depth: usize) -> anyhow::Result<()> {
        let (mut sent, mut done) = (0, 0);
        while done < count {
            while sent < count && sent - done < depth {
                self.put_append()?;
                sent += 1;
            }
            self.connection.flush().await?;
            self.connection.fill().await?;
            while let Some(reply) = self.connection.taken::<Reply>()? {
                match reply.body {
                    Some(reply::Body::Appended(_)) => done += 1,
                    other => bail!("an append was answered with {other:?}"),
                }
            }
        }
        Ok(())
    }

    /// Waits for an entry of 512 bytes that is pushed.
    async fn take(&mut self) -> anyhow::Result<()> {
        loop {
            if let reply::Body::LogPush(push) = self.next().await? {
                ensure!(push.entry.is_some(), "a push without its entry");
                return Ok(());
            }
        }
    }
}

impl Peer for Ours {
    fn about(&self) -> About {
        About::new("Conclave, TLS 1.3", 1)
    }

    async fn send(&mut self, count: usize, depth: usize) -> anyhow::Result<Duration> {
        let connections = depth.div_ceil(UNANSWERED_MAX);
        let mut writers = Vec::new();
        for _ in 0..connections {
            writers.push(self.open(self.to_b, false).await?);
        }
        let mut sending = JoinSet::new();
        let begin = Instant::now();
        for (place, a) in writers.into_iter().enumerate() {
            let share = count / connections + usize::from(place < count % connections);
            sending.spawn(a.send(share, depth / connections));
        }
        while let Some(sent) = sending.join_next().await {
            sent??;
        }
        Ok(begin.elapsed())
    }

    async fn drain(&mut self, count: usize) -> anyhow::Result<()> {
        let mut b = self.open(self.to_b, false).await?;
        let mut taken = 0;
        while taken < count {
            let page = ReadLog {
                handle: 1,
                after: self.read,
                limit: PAGE,
            };
            let reply::Body::LogPage(page) = b.ask(request::Body::ReadLog(page)).await? else {
                bail!("no page came");
            };
            ensure!(!page.entries.is_empty(), "entries are missing");
            taken += page.entries.len();
            self.read = page.entries.last().map_or(self.read, |entry| entry.seq);
        }
        ensure!(taken == count, "{taken} messages came and not {count}");
        Ok(())
    }

    async fn talk(&mut self, count: usize) -> anyhow::Result<f64> {
        let (mut a_in, mut a_out) = (
            self.open(self.to_a, true).await?,
            self.open(self.to_b, false).await?,
        );
        let (mut b_in, mut b_out) = (
            self.open(self.to_b, true).await?,
            self.open(self.to_a, false).await?,
        );
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let begin = Instant::now();
            a_out.put_append()?;
            a_out.connection.flush().await?;
            b_in.take().await?;
            b_out.put_append()?;
            b_out.connection.flush().await?;
            a_in.take().await?;
            times.push(begin.elapsed().as_secs_f64());
        }
        self.read += u64::try_from(count)?;
        Ok(median_ms(&times))
    }

    fn pid(&self) -> u32 {
        self.server.process.pid()
    }
}
