//! MQTT 3.1.1 as far as the jobs need it: sessions that stay, and messages of QoS 1.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{bail, ensure};
use bytes::{Buf as _, BufMut as _, BytesMut};

use super::line::Line;
use super::median_ms;
use crate::PAYLOAD_BYTES;

/// A packet's first byte (§2.2).
const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const QOS_1: u8 = 0x02;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const DISCONNECT: [u8; 2] = [0xe0, 0];

/// A client; its session stays when it goes.
#[derive(Debug)]
pub(crate) struct Client {
    line: Line,
    next_id: u16,
}

impl Client {
    /// Comes with a session called `name`.
    pub(crate) async fn connect(address: SocketAddr, name: &str) -> anyhow::Result<Self> {
        let mut body = BytesMut::new();
        put_words(&mut body, "MQTT")?;
        // protocol 4, session kept, no keep-alive
        body.extend_from_slice(&[4, 0, 0, 0]);
        put_words(&mut body, name)?;
        let mut client = Self {
            line: Line::connect(address).await?,
            next_id: 0,
        };
        client.put(CONNECT, &body)?;
        client.line.flush().await?;
        let (kind, answer) = client.next().await?;
        ensure!(kind == CONNACK && answer.get(1) == Some(&0), "not let in");
        Ok(client)
    }

    /// From now on, and while it is away, it gets what goes to `topic`.
    pub(crate) async fn subscribe(&mut self, topic: &str) -> anyhow::Result<()> {
        let mut body = BytesMut::new();
        body.put_u16(1);
        put_words(&mut body, topic)?;
        body.put_u8(1);
        self.put(SUBSCRIBE, &body)?;
        self.line.flush().await?;
        let (kind, _) = self.next().await?;
        ensure!(kind == SUBACK, "not subscribed");
        Ok(())
    }

    /// Sends `count` messages, `depth` in flight; returns when all are acknowledged.
    pub(crate) async fn publish(
        &mut self,
        topic: &str,
        count: usize,
        depth: usize,
    ) -> anyhow::Result<()> {
        let (mut sent, mut done) = (0, 0);
        while done < count {
            while sent < count && sent - done < depth {
                self.put_message(topic)?;
                sent += 1;
            }
            self.line.flush().await?;
            let (kind, _) = self.next().await?;
            ensure!(kind == PUBACK, "not acknowledged");
            done += 1;
            while let Some((kind, _)) = self.taken()? {
                ensure!(kind == PUBACK, "not acknowledged");
                done += 1;
            }
        }
        Ok(())
    }

    /// Takes `count` messages and acknowledges each.
    pub(crate) async fn take(&mut self, count: usize) -> anyhow::Result<()> {
        let mut taken = 0;
        while taken < count {
            let mut next = Some(self.next().await?);
            while let Some((kind, body)) = next {
                if kind & 0xf0 == PUBLISH {
                    self.acknowledge(&body)?;
                    taken += 1;
                }
                next = self.taken()?;
            }
            self.line.flush().await?;
        }
        Ok(())
    }

    /// Sends to `topic` and waits for what `other` answers on `back`, `count` times; the median in ms.
    pub(crate) async fn ping(
        &mut self,
        topic: &str,
        other: &mut Self,
        back: &str,
        count: usize,
    ) -> anyhow::Result<f64> {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let begin = Instant::now();
            self.put_message(topic)?;
            self.line.flush().await?;
            other.take(1).await?;
            other.put_message(back)?;
            other.line.flush().await?;
            self.take(1).await?;
            times.push(begin.elapsed().as_secs_f64());
        }
        Ok(median_ms(&times))
    }

    /// Goes; the session stays.
    pub(crate) async fn leave(mut self) -> anyhow::Result<()> {
        self.line.output.extend_from_slice(&DISCONNECT);
        self.line.flush().await?;
        self.line.end().await
    }

    fn put_message(&mut self, topic: &str) -> anyhow::Result<()> {
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        let mut body = BytesMut::new();
        put_words(&mut body, topic)?;
        body.put_u16(self.next_id);
        body.put_bytes(7, PAYLOAD_BYTES);
        self.put(PUBLISH | QOS_1, &body)
    }

    /// `body` is that of a message of QoS 1: topic, id, payload.
    fn acknowledge(&mut self, body: &[u8]) -> anyhow::Result<()> {
        let Some((length, rest)) = body.split_first_chunk::<2>() else {
            bail!("a message without a topic");
        };
        let id = rest.get(usize::from(u16::from_be_bytes(*length))..);
        let Some(id) = id.and_then(|rest| rest.first_chunk::<2>()) else {
            bail!("a message without an id");
        };
        self.put(PUBACK, id)
    }

    fn put(&mut self, kind: u8, body: &[u8]) -> anyhow::Result<()> {
        let output = &mut self.line.output;
        output.put_u8(kind);
        let mut length = body.len();
        ensure!(length < 1 << 28, "too long");
        // seven bits a byte, the low ones first (§2.2.3)
        loop {
            let low = u8::try_from(length & 0x7f)?;
            length >>= 7;
            output.put_u8(if length == 0 { low } else { low | 0x80 });
            if length == 0 {
                break;
            }
        }
        output.extend_from_slice(body);
        Ok(())
    }

    async fn next(&mut self) -> anyhow::Result<(u8, BytesMut)> {
        loop {
            if let Some(packet) = self.taken()? {
                return Ok(packet);
            }
            self.line.fill().await?;
        }
    }

    fn taken(&mut self) -> anyhow::Result<Option<(u8, BytesMut)>> {
        let input = &mut self.line.input;
        let (mut length, mut used) = (0_usize, 1);
        loop {
            let Some(byte) = input.get(used).copied() else {
                return Ok(None);
            };
            length |= usize::from(byte & 0x7f) << (7 * (used - 1));
            used += 1;
            if byte & 0x80 == 0 {
                break;
            }
            ensure!(used <= 4, "a length of more than four bytes");
        }
        if input.len() < used + length {
            return Ok(None);
        }
        let kind = input.get_u8();
        input.advance(used - 1);
        Ok(Some((kind, input.split_to(length))))
    }
}

fn put_words(body: &mut BytesMut, words: &str) -> anyhow::Result<()> {
    body.put_u16(u16::try_from(words.len())?);
    body.extend_from_slice(words.as_bytes());
    Ok(())
}
