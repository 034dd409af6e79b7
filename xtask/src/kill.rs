//! `cargo xtask kill`: four people talk in all six pairs while the server and their programs are killed.
//!
//! 1. build both programs, start a server, register four people
//! 2. everybody makes contact, sends, listens and reads; programs are killed at moments that the seed picks
//! 3. the server is killed and started again all the while
//! 4. when all is quiet: every queued text is in both histories once, in one order, and read

mod talk;
mod verdict;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::campaign::{Chance, Frame, Person, Server, in_folder, join, pause, planned};
use talk::{Sent, Talk};

const NAMES: [&str; 4] = ["anna", "ben", "cleo", "dora"];
/// The whole campaign takes no longer, whatever hangs.
const LIMIT: Duration = Duration::from_mins(40);

/// How much is sent and how often what is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    seed: Option<u64>,
    messages: usize,
    server_kills: usize,
    client_kills: usize,
}

impl Plan {
    /// What a release is held to.
    const FULL: Self = Self {
        seed: None,
        messages: 20_000,
        server_kills: 100,
        client_kills: 200,
    };
    /// What every change is held to.
    pub(crate) const SHORT: Self = Self {
        seed: None,
        messages: 2_000,
        server_kills: 10,
        client_kills: 20,
    };

    /// The full plan, changed by `--short`, `--seed N`, `--messages N`, `--server-kills N`, `--client-kills N`.
    pub(crate) fn parse(words: &[&str]) -> anyhow::Result<Self> {
        let short = |plan: &mut Self| {
            *plan = Self {
                seed: plan.seed,
                ..Self::SHORT
            }
        };
        planned(Self::FULL, words, short, |plan, flag, number| {
            match flag {
                "--seed" => plan.seed = Some(number as u64),
                "--messages" => plan.messages = number,
                "--server-kills" => plan.server_kills = number,
                "--client-kills" => plan.client_kills = number,
                _ => return false,
            }
            true
        })
    }

    fn replay_line(&self, seed: u64) -> String {
        format!(
            "cargo xtask kill --seed {seed} --messages {} --server-kills {} --client-kills {}",
            self.messages, self.server_kills, self.client_kills
        )
    }
}

/// What all threads of a running campaign share.
struct Campaign {
    seed: u64,
    frame: Frame,
    /// Texts that a program has said to be queued.
    queued: AtomicUsize,
    client_kills: AtomicUsize,
    is_over: AtomicBool,
}

/// Runs the campaign; fails, keeps its folder and says how to replay it when anything differs.
pub(crate) fn run(root: &Path, plan: Plan) -> anyhow::Result<()> {
    let seed = plan.seed.unwrap_or_else(Chance::fresh_seed);
    let campaign = Campaign {
        seed,
        frame: Frame::new(LIMIT),
        queued: AtomicUsize::new(0),
        client_kills: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
    };
    in_folder(root, "kill", &plan.replay_line(seed), |folder| {
        campaign.run(plan, folder)
    })
}

impl Campaign {
    fn run(&self, plan: Plan, folder: &Path) -> anyhow::Result<()> {
        let mut server = Server::start(folder)?;
        let mut people = Vec::new();
        for name in NAMES {
            people.push(Person::register(folder, name, &mut server)?);
        }
        let sent = self.talk(plan, &people, &mut server)?;
        let doubtful = sent
            .iter()
            .flatten()
            .filter(|sent| sent.id.is_none())
            .count();
        self.say(&format!(
            "all was sent, {doubtful} texts are in doubt; now everybody catches up"
        ));
        verdict::reach(&people, &sent)?;
        server.stop_and_check()?;
        self.say("none lost, none twice, one order, all read");
        Ok(())
    }

    /// Steps 2 and 3: what each has sent.
    fn talk(
        &self,
        plan: Plan,
        people: &[Person],
        server: &mut Server,
    ) -> anyhow::Result<Vec<Vec<Sent>>> {
        let share = |whole: usize, own: usize| (whole + own) / people.len();
        thread::scope(|scope| {
            let killer = scope.spawn(|| self.noted(self.kill_server(plan, server)));
            let talks: Vec<_> = (0..people.len())
                .map(|own| {
                    let (messages, kills) =
                        (share(plan.messages, own), share(plan.client_kills, own));
                    scope.spawn(move || {
                        self.noted(
                            Talk::new(self, people, own, messages, kills).and_then(Talk::run),
                        )
                    })
                })
                .collect();
            let sent: Vec<_> = talks.into_iter().map(join).collect();
            self.is_over.store(true, Ordering::Relaxed);
            join(killer)?;
            // The first to fail, not those who only heard of it.
            sent.into_iter().collect()
        })
    }

    /// Kills the server at moments spread over the campaign; after its end without delay.
    fn kill_server(&self, plan: Plan, server: &mut Server) -> anyhow::Result<()> {
        let mut chance = Chance::new(self.seed, 0);
        let mut moments: Vec<usize> = (0..plan.server_kills)
            .map(|_| chance.below(plan.messages))
            .collect();
        moments.sort_unstable();
        for (done, moment) in moments.into_iter().enumerate() {
            while self.queued.load(Ordering::Relaxed) < moment
                && !self.is_over.load(Ordering::Relaxed)
            {
                self.frame.go_on()?;
                pause(Duration::from_millis(5));
            }
            pause(chance.wait(100));
            server.kill_and_restart(chance.wait(400))?;
            if (done + 1) % 10 == 0 {
                self.say(&format!("the server was killed {} times", done + 1));
            }
        }
        Ok(())
    }

    /// Remembers a failure, so that the other parts end too.
    fn noted<T>(&self, result: anyhow::Result<T>) -> anyhow::Result<T> {
        self.frame.noted(result, |text| self.say(text))
    }

    fn say(&self, what: &str) {
        println!(
            "    {:>4} s  {:>6} queued, {:>3} client kills  {what}",
            self.frame.seconds(),
            self.queued.load(Ordering::Relaxed),
            self.client_kills.load(Ordering::Relaxed),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::Plan;

    /// Flags change the full plan, and what is no flag is refused.
    #[test]
    fn flags_change_the_plan() -> anyhow::Result<()> {
        assert_eq!(Plan::parse(&[])?, Plan::FULL);
        assert_eq!(Plan::parse(&["--short"])?, Plan::SHORT);
        let plan = Plan::parse(&["--seed", "7", "--short", "--client-kills", "3"])?;
        assert_eq!(
            (plan.seed, plan.messages, plan.client_kills),
            (Some(7), 2_000, 3)
        );
        for words in [["--seed"].as_slice(), &["--seed", "x"], &["--sead", "7"]] {
            assert!(Plan::parse(words).is_err(), "{words:?}");
        }
        Ok(())
    }

    /// The replay line asks for what was run.
    #[test]
    fn the_replay_line_replays() -> anyhow::Result<()> {
        let line = Plan::SHORT.replay_line(42);
        let words: Vec<&str> = line.split(' ').skip(3).collect();
        let again = Plan::parse(&words)?;
        assert_eq!(
            again,
            Plan {
                seed: Some(42),
                ..Plan::SHORT
            }
        );
        Ok(())
    }
}
