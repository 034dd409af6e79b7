//! Many connections of one process to one server: each from an address of its own, each with its open logs.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use aws_lc_rs::signature::Ed25519KeyPair;
use conclave_proto::frame::{Ping, Reply, Request, reply, request};
use conclave_proto::hello::{ConnectionContext, Purpose, Role, open_fields};
use conclave_proto::id::ServerId;
use conclave_proto::log::{OpenLogs, OpenOne, SubscribeLog};
use tokio::task::JoinSet;

use crate::fill::{EPOCH, access_key, log_id};
use crate::server::Server;
use crate::wire::{Connection, Place};

/// Logs that each connection has open.
pub(crate) const OPEN_LOGS: u32 = 50;
/// Connections that are made at the same time.
const AT_ONCE: u64 = 32;
/// After so many new ones everybody gives a sign of life: silence ends a connection after 90 s.
const WAVE: u64 = 1_000;

/// Where a crowd comes from and goes to. Member `n` opens the filled logs from `n` × [`OPEN_LOGS`] on.
#[derive(Debug)]
pub(crate) struct Crowd {
    pub(crate) place: Place,
    server_id: ServerId,
    key: Ed25519KeyPair,
}

impl Crowd {
    /// A crowd for this server, or for another way to it.
    pub(crate) fn new(server: &Server, place: Place) -> anyhow::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            place,
            server_id: server.id,
            key: access_key()?,
        }))
    }

    /// TLS and hello from this member's own address.
    pub(crate) async fn greet(
        &self,
        member: u64,
    ) -> anyhow::Result<(Connection, ConnectionContext)> {
        let mut connection = self.place.connect_from(address_of(member)?).await?;
        let context = connection.greet(self.server_id, Role::Logs).await?;
        Ok((connection, context))
    }

    /// Opens a member's logs; they get the handles from 1 on.
    pub(crate) async fn open_logs(
        &self,
        member: u64,
        connection: &mut Connection,
        context: &ConnectionContext,
    ) -> anyhow::Result<()> {
        let first = member * u64::from(OPEN_LOGS);
        let logs = first..first + u64::from(OPEN_LOGS);
        self.open(logs, connection, context).await
    }

    /// Opens these filled logs; they get the handles from 1 on.
    pub(crate) async fn open(
        &self,
        logs: Range<u64>,
        connection: &mut Connection,
        context: &ConnectionContext,
    ) -> anyhow::Result<()> {
        let count = logs.clone().count();
        let logs = logs.map(|number| {
            let log_id = log_id(number);
            let input = context.proof_input(Purpose::OpenLog, &open_fields(log_id, EPOCH));
            OpenOne {
                log_id: log_id.to_vec(),
                epoch: EPOCH.0,
                proof: self.key.sign(&input).as_ref().to_vec(),
            }
        });
        let logs = logs.collect();
        let body = Some(request::Body::OpenLogs(OpenLogs { logs }));
        let reply: Reply = connection.ask(&Request { id: 1, body }).await?;
        let Some(reply::Body::OpenedLogs(opened)) = reply.body else {
            bail!("no logs were opened: {:?}", reply.body);
        };
        let handles = opened.logs.iter().map(|one| one.handle);
        ensure!(handles.eq((1..).take(count)), "filled logs open");
        Ok(())
    }

    /// Opens a member's logs and subscribes to each, as a client does when it comes online.
    pub(crate) async fn follow_logs(
        &self,
        member: u64,
        connection: &mut Connection,
        context: &ConnectionContext,
    ) -> anyhow::Result<()> {
        self.open_logs(member, connection, context).await?;
        Self::follow(OPEN_LOGS, connection).await
    }

    /// Subscribes to the first so many handles.
    pub(crate) async fn follow(count: u32, connection: &mut Connection) -> anyhow::Result<()> {
        for handle in 1..=count {
            let body = Some(request::Body::SubscribeLog(SubscribeLog { handle }));
            let id = u64::from(handle);
            connection.put(&Request { id, body })?;
        }
        connection.flush().await?;
        for _ in 0..count {
            done(connection).await?;
        }
        connection.rest();
        Ok(())
    }

    /// A whole member: greeted, and following its logs when `opens`.
    async fn join(self: Arc<Self>, member: u64, opens: bool) -> anyhow::Result<Connection> {
        let (mut connection, context) = self.greet(member).await?;
        if opens {
            self.follow_logs(member, &mut connection, &context).await?;
        }
        Ok(connection)
    }

    /// The members from `from` up to `to`; beside them all who are there already are kept alive.
    pub(crate) async fn gather(
        self: &Arc<Self>,
        members: &mut Vec<Connection>,
        count: u64,
        opens: bool,
    ) -> anyhow::Result<()> {
        let mut joining = JoinSet::new();
        let first = u64::try_from(members.len())?;
        for member in first..first + count {
            joining.spawn(Arc::clone(self).join(member, opens));
            if u64::try_from(joining.len())? >= AT_ONCE {
                members.push(joining.join_next().await.context("a connection")???);
            }
            if member % WAVE == WAVE - 1 {
                ping_all(members).await?;
            }
        }
        while let Some(joined) = joining.join_next().await {
            members.push(joined??);
        }
        Ok(())
    }
}

/// Asks every connection for a sign of life; an error when one has none.
pub(crate) async fn ping_all(members: &mut [Connection]) -> anyhow::Result<()> {
    for connection in members {
        ping(connection).await?;
    }
    Ok(())
}

/// Asks one connection.
pub(crate) async fn ping(connection: &mut Connection) -> anyhow::Result<()> {
    let body = Some(request::Body::Ping(Ping {}));
    connection.put(&Request { id: 99, body })?;
    connection.flush().await?;
    done(connection).await?;
    connection.rest();
    Ok(())
}

async fn done(connection: &mut Connection) -> anyhow::Result<()> {
    loop {
        match connection.taken::<Reply>()?.map(|reply| reply.body) {
            None => connection.fill().await?,
            Some(Some(reply::Body::Done(_))) => return Ok(()),
            Some(other) => bail!("a request was answered with {other:?}"),
        }
    }
}

/// Loopback addresses of 200 networks with 200 hosts each, so that the limits of a network and of a host hold
/// for a crowd as they do for the world.
fn address_of(member: u64) -> anyhow::Result<Ipv4Addr> {
    let (network, host) = (
        u8::try_from(member % 200)?,
        u8::try_from(member / 200 % 200)?,
    );
    Ok(Ipv4Addr::new(127, 1, network, host + 1))
}
