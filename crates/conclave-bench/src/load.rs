//! Closed loops: so many messages in flight, the next one only when one is answered.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use conclave_proto::frame::{Reply, reply};
use tokio::task::JoinSet;

use crate::PAYLOAD_BYTES;
use crate::wire::Connection;

/// How messages are in flight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Connections, or logs.
    pub(crate) connections: usize,
    /// Unanswered messages on each.
    pub(crate) depth: usize,
}

impl Shape {
    /// Messages in flight.
    pub(crate) fn senders(self) -> usize {
        self.connections * self.depth
    }
}

/// Runs all loops for `span`; messages a second. Each loop gives how many were answered.
pub(crate) async fn rate<F, L>(loops: Vec<L>, span: Duration) -> anyhow::Result<(f64, Vec<F>)>
where
    L: FnOnce(Instant) -> futures::Loop<F>,
    F: Send + 'static,
{
    let begin = Instant::now();
    let mut running = JoinSet::new();
    for one in loops {
        running.spawn(one(begin + span));
    }
    let (mut answered, mut kept) = (0_u32, Vec::new());
    while let Some(ended) = running.join_next().await {
        let (count, what) = ended??;
        answered += count;
        kept.push(what);
    }
    Ok((f64::from(answered) / begin.elapsed().as_secs_f64(), kept))
}

/// The shape of a running loop.
pub(crate) mod futures {
    use std::pin::Pin;

    use super::Future;

    /// Gives how many messages were answered, and what it borrowed.
    pub(crate) type Loop<T> = Pin<Box<dyn Future<Output = anyhow::Result<(u32, T)>> + Send>>;
}

/// A message like no other of this process: a store may take the same bytes for the same message said again (C-212).
pub(crate) fn payload() -> Vec<u8> {
    static SAID: AtomicU64 = AtomicU64::new(0);
    let mut payload = vec![7; PAYLOAD_BYTES];
    let number = SAID.fetch_add(1, Ordering::Relaxed);
    for (byte, of_number) in payload.iter_mut().zip(number.to_be_bytes()) {
        *byte = of_number;
    }
    payload
}

/// What an answer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// The server says that the entry is accepted.
    Accepted,
    /// Any frame.
    Anything,
}

/// Keeps `depth` appends in flight on one connection until `end`, then waits for the last answers.
pub(crate) async fn appends(
    mut connection: Connection,
    depth: usize,
    expect: Expect,
    end: Instant,
) -> anyhow::Result<(u32, Connection)> {
    let (mut id, mut in_flight, mut answered) = (1, 0_usize, 0_u32);
    loop {
        if Instant::now() < end {
            while in_flight < depth {
                id += 1;
                connection.put_append(id)?;
                in_flight += 1;
            }
            connection.flush().await?;
        } else if in_flight == 0 {
            return Ok((answered, connection));
        }
        connection.fill().await?;
        while is_answered(&mut connection, expect)? {
            in_flight -= 1;
            answered += 1;
        }
    }
}

fn is_answered(connection: &mut Connection, expect: Expect) -> anyhow::Result<bool> {
    if expect == Expect::Anything {
        return Ok(connection.skipped());
    }
    match connection.taken::<Reply>()?.map(|reply| reply.body) {
        None => Ok(false),
        Some(Some(reply::Body::Appended(_))) => Ok(true),
        Some(other) => bail!("an append was answered with {other:?}"),
    }
}
