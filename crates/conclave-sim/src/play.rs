//! What people, machines and networks do, one thing at a time, as chance has it.

use std::time::Duration;

use anyhow::Context as _;
use conclave_client::ClientError;

use crate::crash::Side;
use crate::model::{Place, Sent};
use crate::world::World;

/// How long somebody waits for a command, virtual.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long everybody may take to come to rest, virtual.
const REST: Duration = Duration::from_mins(10);
/// Longest sleep of all machines, ms.
const SLEEP_MS: u64 = 9 * 86_400_000;
/// Past the spacing of receipts.
const RECEIPT_MS: u64 = 3_000;

impl World {
    /// Somebody does something, or something breaks; then a little time passes.
    pub(crate) async fn step(&mut self) -> anyhow::Result<()> {
        let device = self.chance.index(self.devices.len());
        match self.chance.below(100) {
            0..45 => self.send(device).await?,
            45..57 => self.accept(device)?,
            57..63 => self.read(device)?,
            63..69 => self.plan_death(device)?,
            69..72 => self.kill(device).await?,
            72..77 => self.plan_server_death(),
            77..79 => self.kill_server().await?,
            79..84 => self.silence(device).await?,
            84..88 => self.cut(device)?,
            88..91 => self.turn_clock(device)?,
            91..93 => self.sleep(),
            _ => {
                let ms = self.chance.spread(300_000);
                self.pass(ms).await?;
            }
        }
        let ms = self.chance.spread(2_000);
        self.pass(ms).await
    }

    async fn send(&mut self, device: usize) -> anyhow::Result<()> {
        let filling = self.chance.spread(3_000);
        let others = self.people.len() - 1;
        let from = self.devices.get(device).context("no such device")?;
        let mut to = self.chance.index(others);
        to += usize::from(to >= from.person);
        let text = self.model.next_text(&from.name, filling);
        self.trace.note(&format!("{} writes to {to}", from.name));
        let place = Place::pair(from.person, to);
        let identifier = self.people.get(to).context("nobody")?.to_string();
        let Some(client) = from.alive() else {
            return Ok(());
        };
        let sent = tokio::select! {
            biased;
            () = self.died.notified() => None,
            sent = tokio::time::timeout(PATIENCE, client.send(&identifier, &text)) => sent.ok(),
        };
        let id = match sent {
            Some(Ok(message)) => Some(message.id),
            Some(Err(ClientError::NotAllowed(_))) => {
                // a request waits: it is answered first
                return self.accept(device);
            }
            Some(Err(error)) if is_known_trouble(&error) => None,
            Some(Err(error)) => return Err(error).context("a text is refused"),
            None => None,
        };
        let is_queued = if id.is_some() { "queued" } else { "in doubt" };
        self.trace.note(&format!("{}: {is_queued}", from.name));
        self.model.sent.push(Sent {
            device,
            to: place,
            text,
            id,
        });
        Ok(())
    }

    /// Accepts every request that waits there.
    fn accept(&self, device: usize) -> anyhow::Result<()> {
        let device = self.devices.get(device).context("no such device")?;
        let Some(client) = device.alive() else {
            return Ok(());
        };
        for request in known(client.requests())?.unwrap_or_default() {
            self.trace.note(&format!("{} accepts", device.name));
            known(client.accept_request(request.chat))?;
        }
        Ok(())
    }

    fn read(&mut self, device: usize) -> anyhow::Result<()> {
        let device = self.devices.get(device).context("no such device")?;
        let Some(client) = device.alive() else {
            return Ok(());
        };
        let chats = known(client.chats())?.unwrap_or_default();
        if let Some(chat) = self.chance.pick(&chats) {
            let count = known(client.mark_read(chat.id))?;
            self.trace.note(&format!("{} reads {count:?}", device.name));
        }
        Ok(())
    }

    fn plan_death(&mut self, device: usize) -> anyhow::Result<()> {
        let device = self.devices.get(device).context("no such device")?;
        let (left, side) = (self.chance.spread(40), side(self.chance.percent(50)));
        self.trace
            .note(&format!("{} will die {side:?} {left}", device.name));
        if device.is_up() {
            device.mortal.plan(left, side);
        }
        Ok(())
    }

    async fn kill(&mut self, device: usize) -> anyhow::Result<()> {
        let device = self.devices.get(device).context("no such device")?;
        device.mortal.kill();
        self.bury().await
    }

    fn plan_server_death(&mut self) {
        let (left, side) = (self.chance.spread(60), side(self.chance.percent(50)));
        self.trace.note(&format!("server will die {side:?} {left}"));
        if self.server.is_up() {
            self.server.mortal.plan(left, side);
        }
    }

    async fn kill_server(&mut self) -> anyhow::Result<()> {
        self.server.mortal.kill();
        self.bury().await
    }

    /// A while without a network, and without anybody being told.
    async fn silence(&mut self, device: usize) -> anyhow::Result<()> {
        let wire = self
            .devices
            .get(device)
            .context("no such device")?
            .wire
            .clone();
        wire.set_silent(true);
        let ms = self.chance.spread(200_000);
        self.trace
            .note(&format!("{device} hears nothing for {ms} ms"));
        self.pass(ms).await?;
        wire.set_silent(false);
        Ok(())
    }

    fn cut(&self, device: usize) -> anyhow::Result<()> {
        let device = self.devices.get(device).context("no such device")?;
        self.trace.note(&format!("{} is cut off", device.name));
        device.transport.cut();
        Ok(())
    }

    fn turn_clock(&mut self, device: usize) -> anyhow::Result<()> {
        let device = self.devices.get(device).context("no such device")?;
        let ms = i64::try_from(self.chance.spread(1_200_000)).unwrap_or(0) - 600_000;
        self.trace
            .note(&format!("{}'s clock: {ms} ms", device.name));
        device.env.set_wrong_by(ms);
        Ok(())
    }

    /// All machines sleep for days; few enough in all that nothing expires.
    fn sleep(&mut self) {
        let ms = self.chance.spread(SLEEP_MS);
        self.trace.note(&format!("everybody sleeps for {ms} ms"));
        self.time.skip(ms);
    }

    /// Nothing breaks any more: everybody starts, accepts, receives and sends until nothing is left.
    pub(crate) async fn rest(&mut self) -> anyhow::Result<()> {
        self.calm().await?;
        for _ in 0..2 {
            self.settle().await?;
        }
        self.trace.note("everybody says a last word");
        for place in self.model.places() {
            let Place::Pair(one, other) = place;
            for (from, to) in [(one, other), (other, one)] {
                self.last_word(from, to).await?;
                self.settle().await?;
            }
        }
        self.settle().await
    }

    /// Faults end; who was down starts.
    async fn calm(&mut self) -> anyhow::Result<()> {
        self.trace.note("all is calm");
        self.set_rough(false);
        self.server_back_ms = 0;
        self.server.mortal.defuse();
        for device in &mut self.devices {
            device.mortal.defuse();
            device.back_ms = 0;
            device.wire.set_silent(false);
            device.transport.cut();
        }
        self.bury().await?;
        self.bury().await
    }

    async fn settle(&mut self) -> anyhow::Result<()> {
        for device in 0..self.devices.len() {
            self.accept(device)?;
            self.pass(RECEIPT_MS).await?;
            self.settle_one(device).await?;
            self.accept(device)?;
            self.settle_one(device).await?;
        }
        Ok(())
    }

    async fn settle_one(&self, device: usize) -> anyhow::Result<()> {
        let device = self.devices.get(device).context("no such device")?;
        let settled = device.client()?.settle(REST).await;
        settled.with_context(|| format!("{} does not come to rest: a log is wedged", device.name))
    }

    async fn last_word(&mut self, from: usize, to: usize) -> anyhow::Result<()> {
        let device = self.devices.iter().position(|device| device.person == from);
        let device = device.context("somebody without a device")?;
        let speaker = self.devices.get(device).context("no such device")?;
        let text = self.model.next_text(&speaker.name, 0);
        let identifier = self.people.get(to).context("nobody")?.to_string();
        let sending = speaker.client()?.send(&identifier, &text);
        let message = tokio::time::timeout(REST, sending).await;
        let message = message.context("a last word does not leave")?;
        let message = message.with_context(|| format!("the last word of {}", speaker.name))?;
        self.model.sent.push(Sent {
            device,
            to: Place::pair(from, to),
            text,
            id: Some(message.id),
        });
        Ok(())
    }
}

fn side(is_before: bool) -> Side {
    if is_before { Side::Before } else { Side::After }
}

/// Trouble that a network or a death makes: the person tries again.
fn is_known_trouble(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Unreachable(_) | ClientError::TimedOut | ClientError::Store(_)
    )
}

/// The answer of a command; nothing when the process died meanwhile.
fn known<T>(answer: Result<T, ClientError>) -> anyhow::Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if is_known_trouble(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
