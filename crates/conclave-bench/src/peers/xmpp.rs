//! XMPP as far as the jobs need it: log in, send with stream management, take what waits.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Buf as _;

use super::line::{Line, find};
use super::median_ms;
use crate::PAYLOAD_BYTES;

/// The domain of both.
pub(crate) const DOMAIN: &str = "localhost";
/// The password of both.
pub(crate) const PASSWORD: &str = "word";
/// Ends every message.
const END: &[u8] = b"</message>";

/// Somebody who is there.
#[derive(Debug)]
pub(crate) struct Client {
    line: Line,
    /// Stanzas that the server said it has taken, modulo 2^32 (XEP-0198 §4).
    acknowledged: u32,
    body: String,
}

impl Client {
    /// Logs in with the password and takes part from now on.
    pub(crate) async fn connect(address: SocketAddr, name: &str) -> anyhow::Result<Self> {
        let mut line = Line::connect(address).await?;
        begin(&mut line).await?;
        let words = STANDARD.encode(format!("\0{name}\0{PASSWORD}"));
        let auth = format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{words}</auth>"
        );
        say(&mut line, &auth).await?;
        line.expect("<success").await?;
        begin(&mut line).await?;
        say(
            &mut line,
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
        )
        .await?;
        line.expect("</jid>").await?;
        line.expect("</iq>").await?;
        say(&mut line, "<enable xmlns='urn:xmpp:sm:3'/>").await?;
        line.expect("<enabled").await?;
        Ok(Self {
            line,
            acknowledged: 0,
            body: "7".repeat(PAYLOAD_BYTES),
        })
    }

    /// From now on messages come; what waited comes first.
    pub(crate) async fn appear(&mut self) -> anyhow::Result<()> {
        say(&mut self.line, "<presence/>").await
    }

    /// Sends `count` messages, `depth` in flight; returns when all are acknowledged.
    pub(crate) async fn send(
        &mut self,
        to: &str,
        count: usize,
        depth: usize,
    ) -> anyhow::Result<()> {
        let count = u32::try_from(count)?;
        let depth = u32::try_from(depth)?;
        let begin = self.acknowledged;
        let mut sent = 0;
        loop {
            let done = self.acknowledged.wrapping_sub(begin);
            if done >= count {
                return Ok(());
            }
            while sent < count && sent - done < depth {
                self.put_message(to);
                self.line
                    .output
                    .extend_from_slice(b"<r xmlns='urn:xmpp:sm:3'/>");
                sent += 1;
            }
            self.line.flush().await?;
            self.take_acks().await?;
        }
    }

    /// Takes `count` messages.
    pub(crate) async fn take(&mut self, count: usize) -> anyhow::Result<()> {
        let mut taken = 0;
        loop {
            while let Some(at) = find(&self.line.input, END) {
                self.line.input.advance(at + END.len());
                taken += 1;
            }
            if taken >= count {
                ensure!(taken == count, "{taken} messages came and not {count}");
                return Ok(());
            }
            self.line.fill().await?;
        }
    }

    /// Sends to `other`, who answers, `count` times; the median in ms.
    pub(crate) async fn ping(
        &mut self,
        names: (&str, &str),
        other: &mut Self,
        count: usize,
    ) -> anyhow::Result<f64> {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let begin = Instant::now();
            self.put_message(names.1);
            self.line.flush().await?;
            other.take(1).await?;
            other.put_message(names.0);
            other.line.flush().await?;
            self.take(1).await?;
            times.push(begin.elapsed().as_secs_f64());
        }
        Ok(median_ms(&times))
    }

    /// Says that everything came, and goes.
    pub(crate) async fn leave(mut self, taken: usize) -> anyhow::Result<()> {
        let bye = format!("<a xmlns='urn:xmpp:sm:3' h='{taken}'/></stream:stream>");
        say(&mut self.line, &bye).await?;
        self.line.end().await
    }

    fn put_message(&mut self, to: &str) {
        let message = format!(
            "<message to='{to}@{DOMAIN}' type='chat'><body>{}</body></message>",
            self.body
        );
        self.line.output.extend_from_slice(message.as_bytes());
    }

    /// Reads until at least one acknowledgement came; the newest counts.
    async fn take_acks(&mut self) -> anyhow::Result<()> {
        let mut has_some = false;
        loop {
            while let Some(count) = self.taken_ack()? {
                self.acknowledged = count;
                has_some = true;
            }
            if has_some {
                return Ok(());
            }
            self.line.fill().await?;
        }
    }

    /// `<a … h='N'…/>`, in either order and with either quotes.
    fn taken_ack(&mut self) -> anyhow::Result<Option<u32>> {
        let input = &mut self.line.input;
        let Some(begin) = find(input, b"<a ") else {
            return Ok(None);
        };
        let Some(length) = input.get(begin..).and_then(|rest| find(rest, b">")) else {
            return Ok(None);
        };
        input.advance(begin);
        let words = String::from_utf8(input.split_to(length + 1).to_vec())?;
        let count = words.split_once(" h=").map(|(_, rest)| rest);
        let count = count.context("an acknowledgement without a count")?;
        let digits: String = (count.chars().skip(1))
            .take_while(char::is_ascii_digit)
            .collect();
        Ok(Some(digits.parse()?))
    }
}

/// A sends while B is away.
pub(super) async fn send(
    address: SocketAddr,
    count: usize,
    depth: usize,
) -> anyhow::Result<Duration> {
    let mut a = Client::connect(address, "a").await?;
    let begin = Instant::now();
    a.send("b", count, depth).await?;
    let took = begin.elapsed();
    a.leave(0).await?;
    Ok(took)
}

/// B comes, takes everything and goes.
pub(super) async fn drain(address: SocketAddr, count: usize) -> anyhow::Result<()> {
    let mut b = Client::connect(address, "b").await?;
    b.appear().await?;
    b.take(count).await?;
    b.leave(count + 1).await
}

/// Both are there; the median of A to B and back, in ms.
pub(super) async fn talk(address: SocketAddr, count: usize) -> anyhow::Result<f64> {
    let mut a = Client::connect(address, "a").await?;
    let mut b = Client::connect(address, "b").await?;
    a.appear().await?;
    b.appear().await?;
    let time = a.ping(("a", "b"), &mut b, count).await?;
    a.leave(count + 1).await?;
    b.leave(count + 1).await?;
    Ok(time)
}

/// Makes an account in the stream, where the server lets everybody (XEP-0077).
pub(crate) async fn register(address: SocketAddr, name: &str) -> anyhow::Result<()> {
    let mut line = Line::connect(address).await?;
    begin(&mut line).await?;
    let query = format!(
        "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>{name}</username>\
         <password>{PASSWORD}</password></query></iq>"
    );
    say(&mut line, &query).await?;
    line.expect("type='result'").await?;
    say(&mut line, "</stream:stream>").await?;
    line.end().await
}

async fn say(line: &mut Line, words: &str) -> anyhow::Result<()> {
    line.output.extend_from_slice(words.as_bytes());
    line.flush().await
}

async fn begin(line: &mut Line) -> anyhow::Result<()> {
    let open = format!(
        "<?xml version='1.0'?><stream:stream to='{DOMAIN}' xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
    );
    say(line, &open).await?;
    line.expect("</stream:features>").await
}
