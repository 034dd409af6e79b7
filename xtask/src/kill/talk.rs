//! What one person does: makes contact, sends, listens, reads, and is killed in the middle of it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::Campaign;
use crate::campaign::{Chance, Ended, Person, identifier, parse, text};

/// Lines written ahead of their `queued` rows: few, so that a kill leaves few in doubt.
const WINDOW: usize = 8;
/// How long a command may look for a server that is gone.
const TIMEOUT: [&str; 2] = ["--timeout", "5s"];
/// The same for one that has much to send and to receive.
const LONG_TIMEOUT: [&str; 2] = ["--timeout", "1m"];
/// Texts queued before everything is sent and received: kills hit both, not queueing alone.
const BACKLOG_MAX: usize = 300;
/// Most texts that one run of `send --lines` gets.
const BURST_MAX: usize = 500;

/// A text that was written to a program.
pub(super) struct Sent {
    /// To whom, as index.
    pub(super) to: usize,
    /// The text; no two are alike.
    pub(super) text: String,
    /// The message's id, once the program has said that it is queued. A text without one may be there once
    /// or not at all.
    pub(super) id: Option<String>,
}

/// One person at work.
pub(super) struct Talk<'a> {
    campaign: &'a Campaign,
    people: &'a [Person],
    person: &'a Person,
    own: usize,
    chance: Chance,
    messages: usize,
    messages_left: usize,
    kills: usize,
    kills_left: usize,
    /// Texts queued since everything was sent and received.
    backlog: usize,
    sent: Vec<Sent>,
}

impl<'a> Talk<'a> {
    /// The person `own`, who has to get `messages` queued and to be killed `kills` times.
    pub(super) fn new(
        campaign: &'a Campaign,
        people: &'a [Person],
        own: usize,
        messages: usize,
        kills: usize,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            campaign,
            people,
            person: people.get(own).context("nobody there")?,
            own,
            chance: Chance::new(campaign.seed, own as u64 + 1),
            messages,
            messages_left: messages,
            kills,
            kills_left: kills,
            backlog: 0,
            sent: Vec::new(),
        })
    }

    /// Does it all; what was sent.
    pub(super) fn run(mut self) -> anyhow::Result<Vec<Sent>> {
        for to in self.own + 1..self.people.len() {
            while !self.has_queued_to(to) {
                let kill = self.maybe_kill_within(400);
                self.send(to, 1, kill.map(|wait| (0, wait)))?;
            }
        }
        for from in 0..self.own {
            self.accept(from)?;
        }
        while self.messages_left + self.kills_left > 0 {
            self.act()?;
        }
        Ok(self.sent)
    }

    fn has_queued_to(&self, to: usize) -> bool {
        self.sent
            .iter()
            .any(|sent| sent.to == to && sent.id.is_some())
    }

    /// Every second time, as long as there are kills left: when to kill.
    fn maybe_kill_within(&mut self, end_ms: u64) -> Option<Duration> {
        let is_kill = self.kills_left > 0 && self.chance.below(2) == 0;
        is_kill.then(|| self.chance.wait(end_ms))
    }

    /// Accepts the request of `from`, however often that is interrupted.
    fn accept(&mut self, from: usize) -> anyhow::Result<()> {
        let other = &self.people.get(from).context("nobody there")?.identifier;
        loop {
            self.campaign.frame.go_on()?;
            let (_, chats) = self.person.run(&["chats"])?;
            let chat = chats.iter().find(|chat| identifier(chat, "with") == other);
            match chat.map(|chat| text(chat, "state")) {
                Some("open") => return Ok(()),
                Some(_) => {
                    let kill = self.maybe_kill_within(300);
                    self.network(TIMEOUT, &["request", "accept", other], kill)?;
                }
                None => {
                    self.person
                        .run(&[&TIMEOUT, ["listen", "--for", "300ms"].as_slice()].concat())?;
                }
            }
        }
    }

    /// One thing that people do, killed or not.
    fn act(&mut self) -> anyhow::Result<()> {
        self.campaign.frame.go_on()?;
        let to = (self.own + 1 + self.chance.below(self.people.len() - 1)) % self.people.len();
        let other = &self.people.get(to).context("nobody there")?.identifier;
        // Kills keep step with messages, so that they hit the whole campaign.
        let is_kill = self.kills_left > 0
            && self.kills_left * self.messages >= self.messages_left * self.kills;
        if self.backlog > BACKLOG_MAX {
            let wait = is_kill.then(|| self.chance.wait(5000));
            return self.network(LONG_TIMEOUT, &["listen", "--once"], wait);
        }
        match self.chance.below(10) {
            0..6 if self.messages_left > 0 => {
                let mean = self.messages_left / (self.kills_left + 1) + 1;
                let count = 1 + self.chance.below(2 * mean);
                let count = count.min(self.messages_left).min(BURST_MAX);
                let after = self.chance.below(count + 1);
                let wait = if after == 0 { 150 } else { 30 };
                let kill = is_kill.then(|| (after, self.chance.wait(wait)));
                self.send(to, count, kill)
            }
            0..8 => {
                let wait = is_kill.then(|| self.chance.wait(800));
                let words = if is_kill {
                    ["listen"].as_slice()
                } else {
                    &["listen", "--once"]
                };
                self.network(TIMEOUT, words, wait)
            }
            _ => {
                let wait = is_kill.then(|| self.chance.wait(300));
                self.network(TIMEOUT, &["read", other], wait)
            }
        }
    }

    /// Runs a command to its end, or kills it after a while.
    fn network(
        &mut self,
        timeout: [&str; 2],
        words: &[&str],
        kill: Option<Duration>,
    ) -> anyhow::Result<()> {
        let words = [&timeout, words].concat();
        let process = self.person.start(&words)?;
        let ended = match kill {
            None => process.finish()?,
            Some(wait) => {
                let (was_alive, ended) = process.kill(wait)?;
                if self.count_kill(was_alive) {
                    return Ok(());
                }
                ended
            }
        };
        if self.person.expect_well(&words, ended.code)? == 0 {
            self.backlog = 0;
        }
        Ok(())
    }

    /// Sends up to `count` texts through one `send --lines`; with `kill`, that program is killed so long
    /// after so many of them were queued.
    fn send(
        &mut self,
        to: usize,
        count: usize,
        kill: Option<(usize, Duration)>,
    ) -> anyhow::Result<()> {
        let other = &self.people.get(to).context("nobody there")?.identifier;
        let words = [&TIMEOUT, ["send", other, "--lines"].as_slice()].concat();
        let mut process = self.person.start(&words)?;
        let (begin, mut queued) = (self.sent.len(), 0);
        let end = kill.map_or(count, |(after, _)| after.min(count));
        loop {
            while self.sent.len() - begin < count.min(queued + WINDOW) {
                let text = format!("{} to {to}: {}", self.own, self.sent.len());
                let is_written = process.write(&text);
                self.sent.push(Sent { to, text, id: None });
                if !is_written {
                    break;
                }
            }
            if queued == end {
                break;
            }
            match process.next_line()? {
                Some(line) => queued += self.note(begin + queued, &line)?,
                None => break,
            }
        }
        let (was_alive, ended) = match kill {
            Some((_, wait)) => process.kill(wait)?,
            None => (false, process.finish()?),
        };
        let Ended { code, lines } = ended;
        for line in lines {
            queued += self.note(begin + queued, &line)?;
        }
        if !self.count_kill(was_alive) {
            self.person.expect_well(&words, code)?;
        }
        Ok(())
    }

    /// Notes a `queued` row for the text at `index`; how many it confirmed.
    fn note(&mut self, index: usize, line: &str) -> anyhow::Result<usize> {
        let row = parse(line)?;
        if text(&row, "type") != "queued" {
            return Ok(0);
        }
        let sent = self.sent.get_mut(index).context("more rows than lines")?;
        ensure!(sent.id.is_none(), "a line was queued twice");
        sent.id = Some(text(&row, "id").to_owned());
        self.messages_left = self.messages_left.saturating_sub(1);
        self.backlog += 1;
        self.campaign.queued.fetch_add(1, Ordering::Relaxed);
        Ok(1)
    }

    fn count_kill(&mut self, was_alive: bool) -> bool {
        if was_alive {
            self.kills_left = self.kills_left.saturating_sub(1);
            self.campaign.client_kills.fetch_add(1, Ordering::Relaxed);
        }
        was_alive
    }
}
