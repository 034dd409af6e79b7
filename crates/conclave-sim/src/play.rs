//! What people, machines and networks do, one thing at a time, as chance has it.

use std::time::Duration;

use anyhow::Context as _;
use conclave_client::ClientError;

use crate::crash::{Mortal, Side};
use crate::device::{Device, Stage};
use crate::groups::group_of;
use crate::model::{Place, Sent};
use crate::world::World;

/// How long somebody waits for a command, virtual.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How long everybody may take to come to rest, virtual: a clock that was turned back keeps what is due waiting.
const REST: Duration = Duration::from_mins(25);
/// Longest sleep of all machines, ms: few enough days in all that nothing expires.
const SLEEP_MS: u64 = 9 * 86_400_000;
/// Past the spacing of receipts.
const RECEIPT_MS: u64 = 3_000;

impl World {
    /// Somebody does something, or something breaks; then a little time passes.
    pub(crate) async fn step(&mut self) -> anyhow::Result<()> {
        let device = self.chance.index(self.devices.len());
        match self.chance.below(100) {
            0..38 => self.send(device).await?,
            38..46 => self.change_groups(device).await?,
            46..54 => self.accept(device)?,
            54..57 => self.change_devices(device).await?,
            57..63 => self.read(device)?,
            63..69 => {
                let device = self.device(device)?;
                let (name, mortal) = (device.name.clone(), device.mortal.clone());
                self.plan_death(&name, &mortal);
            }
            69..72 => self.device(device)?.mortal.kill(),
            72..77 => self.plan_death("server", &self.server.mortal.clone()),
            77..79 => self.server.mortal.kill(),
            79..84 => self.silence(device).await?,
            84..88 => self.device(device)?.transport.cut(),
            88..91 => self.turn_clock(device)?,
            91..93 => {
                let ms = self.chance.spread(SLEEP_MS);
                self.note(&format!("everybody sleeps for {ms} ms"));
                self.time.skip(ms);
            }
            _ => {
                let ms = self.chance.spread(300_000);
                self.pass(ms).await?;
            }
        }
        let ms = self.chance.spread(2_000);
        self.pass(ms).await
    }

    pub(crate) fn device(&self, device: usize) -> anyhow::Result<&Device> {
        self.devices.get(device).context("no such device")
    }

    /// Devices that their accounts list.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Device> {
        let devices = self.devices.iter();
        devices.filter(|device| device.stage == Stage::In)
    }

    /// What a command comes to, for who waits so long; nothing when somebody dies meanwhile.
    pub(crate) async fn patiently<T>(
        &self,
        patience: Duration,
        command: impl Future<Output = Result<T, ClientError>>,
    ) -> Option<Result<T, ClientError>> {
        tokio::select! {
            biased;
            () = self.died.notified() => None,
            done = tokio::time::timeout(patience, command) => done.ok(),
        }
    }

    async fn send(&mut self, device: usize) -> anyhow::Result<()> {
        let filling = usize::try_from(self.chance.spread(3_000))?;
        let person = self.device(device)?.person;
        let place = if self.model.groups > 0 && self.chance.percent(60) {
            Place::Group(self.chance.index(self.model.groups))
        } else {
            let other = self.chance.index(self.people.len() - 1);
            Place::pair(person, other + usize::from(other >= person))
        };
        self.send_to(device, place, filling).await
    }

    async fn send_to(&mut self, device: usize, place: Place, filling: usize) -> anyhow::Result<()> {
        let from = self.device(device)?;
        let Some(client) = from.online() else {
            return Ok(());
        };
        let to = match (place, place.partner(from.person)) {
            (_, Some(partner)) => self.name_of(partner),
            (Place::Group(number), _) => match group_of(client, number)? {
                Some(chat) => chat.to_string(),
                None => return Ok(()),
            },
            (Place::Pair(..), None) => return Ok(()),
        };
        // no two texts are the same
        let (number, name) = (self.model.sent.len(), &from.name);
        let text = format!("{number} of {name} {}", "x".repeat(filling));
        self.note(&format!("{name} writes to {place:?}"));
        let said = self.patiently(PATIENCE, client.send(&to, &text)).await;
        match &said {
            // a request waits: it is answered first
            Some(Err(ClientError::NotAllowed(_))) if place.partner(from.person).is_some() => {
                return self.accept(device);
            }
            Some(Err(error)) if is_no(error) => return Ok(()),
            _ => {}
        }
        let id = came_to(said, is_no, "a text is refused")?.map(|message| message.id);
        let is_queued = if id.is_some() { "queued" } else { "in doubt" };
        self.note(&format!("{}: {is_queued}", from.name));
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
        let device = self.device(device)?;
        let Some(client) = device.online() else {
            return Ok(());
        };
        for request in known(client.requests())?.unwrap_or_default() {
            self.note(&format!("{} accepts", device.name));
            known(client.accept_request(request.chat))?;
        }
        Ok(())
    }

    fn read(&mut self, device: usize) -> anyhow::Result<()> {
        let device = self.devices.get(device).context("no such device")?;
        let Some(client) = device.online() else {
            return Ok(());
        };
        let chats = known(client.chats())?.unwrap_or_default();
        if let Some(chat) = self.chance.pick(&chats) {
            let count = known(client.mark_read(chat.id))?;
            self.note(&format!("{} reads {count:?}", device.name));
        }
        Ok(())
    }

    /// Who is dead already forgets it with the next start.
    fn plan_death(&mut self, name: &str, mortal: &Mortal) {
        let (left, side) = (self.chance.spread(50), Side::any(&mut self.chance));
        self.note(&format!("{name} will die {side:?} {left}"));
        mortal.plan(left, side);
    }

    /// A while without a network, and without anybody being told.
    async fn silence(&mut self, device: usize) -> anyhow::Result<()> {
        let wire = self.device(device)?.wire.clone();
        wire.set_silent(true);
        let ms = self.chance.spread(200_000);
        self.note(&format!("{device} hears nothing for {ms} ms"));
        self.pass(ms).await?;
        wire.set_silent(false);
        Ok(())
    }

    fn turn_clock(&mut self, device: usize) -> anyhow::Result<()> {
        let ms = i64::try_from(self.chance.spread(1_200_000)).unwrap_or(0) - 600_000;
        let device = self.device(device)?;
        self.note(&format!("{}'s clock: {ms} ms", device.name));
        device.env.set_wrong_by(ms);
        Ok(())
    }

    /// Nothing breaks any more: everybody starts, accepts, receives and sends until nothing is left.
    pub(crate) async fn rest(&mut self) -> anyhow::Result<()> {
        self.calm().await?;
        self.settle().await?;
        self.settle_accounts().await?;
        for _ in 0..2 {
            self.settle().await?;
        }
        self.note("everybody says a last word");
        for place in self.model.places() {
            for device in 0..self.devices.len() {
                if self.device(device)?.stage == Stage::In {
                    self.send_to(device, place, 0).await?;
                }
            }
        }
        for _ in 0..3 {
            self.settle().await?;
        }
        Ok(())
    }

    /// Faults end; who was down starts.
    async fn calm(&mut self) -> anyhow::Result<()> {
        self.note("all is calm");
        self.set_rough(false);
        self.server_back_ms = 0;
        self.server.mortal.defuse();
        for device in &mut self.devices {
            device.mortal.defuse();
            device.back_ms = 0;
            device.wire.set_silent(false);
            device.transport.set_dark(false);
            device.transport.cut();
        }
        self.bury().await?;
        self.bury().await
    }

    async fn settle(&mut self) -> anyhow::Result<()> {
        for device in 0..self.devices.len() {
            self.settle_one(device).await?;
            self.accept(device)?;
            self.settle_one(device).await?;
            self.pass(RECEIPT_MS).await?;
        }
        Ok(())
    }

    async fn settle_one(&self, device: usize) -> anyhow::Result<()> {
        let device = self.device(device)?;
        if device.stage != Stage::In {
            return Ok(());
        }
        let until = tokio::time::Instant::now() + REST;
        loop {
            match device.client()?.settle(REST).await {
                // its account may have put it out: the others say so
                Err(ClientError::Removed) => return Ok(()),
                // the first try after a start: the program goes on trying
                Err(ClientError::Unreachable(_)) if tokio::time::Instant::now() < until => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                settled => {
                    let name = &device.name;
                    return settled.with_context(|| format!("{name} does not come to rest"));
                }
            }
        }
    }
}

/// Trouble that a network, a lie or a death makes: the person tries again.
pub(crate) fn is_known_trouble(error: &ClientError) -> bool {
    use ClientError::{Store, TimedOut, Unreachable, WrongServer};
    matches!(error, Unreachable(_) | TimedOut | Store(_) | WrongServer(_))
}

/// The program says no, and nothing happened.
pub(crate) fn is_no(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::NotAllowed(_)
            | ClientError::NotFound(_)
            | ClientError::BadInput(_)
            | ClientError::Exists(_)
            | ClientError::Removed
    )
}

/// What a command came to; nothing when it failed as it may, or somebody died meanwhile.
pub(crate) fn came_to<T>(
    done: Option<Result<T, ClientError>>,
    may_fail: fn(&ClientError) -> bool,
    what: &'static str,
) -> anyhow::Result<Option<T>> {
    match done.transpose() {
        Err(error) if !is_known_trouble(&error) && !may_fail(&error) => Err(error).context(what),
        done => Ok(done.ok().flatten()),
    }
}

/// The answer of a command; nothing when the process died meanwhile.
pub(crate) fn known<T>(answer: Result<T, ClientError>) -> anyhow::Result<Option<T>> {
    came_to(Some(answer), |_| false, "a question is refused")
}
