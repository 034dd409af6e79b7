//! `cargo xtask soak`: a bot takes messages off a daemon while bot, daemon and server are killed.
//!
//! 1. build both programs, start a server, a daemon for the bot's profile, and the bot (`examples/journal_bot.py`)
//! 2. somebody sends texts, all different; some of them are questions, which the bot answers
//! 3. meanwhile bot, daemon and server are killed at moments that the seed picks, and started again
//! 4. the bot's file has each text once, in the order in which they were sent; each question has one answer

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::campaign::{
    Chance, Frame, Person, Process, Server, in_folder, join, parse, pause, planned, text,
};

/// The whole campaign takes no longer, whatever hangs.
const LIMIT: Duration = Duration::from_mins(90);
/// Texts of one run of `send --lines`.
const BURST: usize = 500;
/// Lines written ahead of their `queued` rows.
const WINDOW: usize = 16;
/// Every so many texts one is a question.
const QUESTION_EVERY: usize = 25;
/// Its writer waits for the server this long.
const TIMEOUT: [&str; 2] = ["--timeout", "2m"];

/// How much is sent and how often something is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    seed: Option<u64>,
    messages: usize,
    kills: usize,
}

impl Plan {
    /// What a release is held to.
    const FULL: Self = Self {
        seed: None,
        messages: 20_000,
        kills: 300,
    };
    /// What every change is held to.
    pub(crate) const SHORT: Self = Self {
        seed: None,
        messages: 300,
        kills: 12,
    };

    /// The full plan, changed by `--short`, `--seed N`, `--messages N`, `--kills N`.
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
                "--kills" => plan.kills = number,
                _ => return false,
            }
            true
        })
    }

    fn replay_line(&self, seed: u64) -> String {
        format!(
            "cargo xtask soak --seed {seed} --messages {} --kills {}",
            self.messages, self.kills
        )
    }
}

/// What all threads of a running campaign share.
struct Campaign<'a> {
    plan: Plan,
    seed: u64,
    frame: Frame,
    /// Texts that stand in the bot's file.
    seen: AtomicUsize,
    folder: &'a Path,
}

/// What is killed.
struct Targets {
    server: Server,
    daemon: Option<Process>,
    bot: Option<Process>,
    kills: [usize; 3],
}

/// Runs the campaign; fails, keeps its folder and says how to replay it when anything differs.
pub(crate) fn run(root: &Path, plan: Plan) -> anyhow::Result<()> {
    let seed = plan.seed.unwrap_or_else(Chance::fresh_seed);
    in_folder(root, "soak", &plan.replay_line(seed), |folder| {
        // Copied as the programs are: a change meanwhile changes nothing here.
        for script in ["echo_bot.py", "journal_bot.py"] {
            fs::copy(root.join("examples").join(script), folder.join(script))?;
        }
        let campaign = Campaign {
            plan,
            seed,
            frame: Frame::new(LIMIT),
            seen: AtomicUsize::new(0),
            folder,
        };
        campaign.run()
    })
}

impl Campaign<'_> {
    fn run(&self) -> anyhow::Result<()> {
        let mut server = Server::start(self.folder)?;
        let bot = Person::register(self.folder, "bot", &mut server)?;
        let writer = Person::register(self.folder, "writer", &mut server)?;
        writer.ok(&["send", &bot.identifier, "may I?"])?;
        bot.ok(&["listen", "--once"])?;
        bot.ok(&["request", "accept", &writer.identifier])?;
        bot.ok(&["listen", "--once"])?;
        let targets = Mutex::new(Targets {
            server,
            daemon: Some(start_daemon(&bot)?),
            bot: Some(self.start_bot()?),
            kills: [0; 3],
        });
        thread::scope(|scope| {
            let watcher = scope.spawn(|| self.noted(self.watch()));
            let killer = scope.spawn(|| self.noted(self.kill(&targets, &bot)));
            let sender = scope.spawn(|| self.noted(self.send(&writer, &bot)));
            let ends = [join(watcher), join(sender), join(killer)];
            // The first to fail, not those who only heard of it.
            ends.into_iter().collect::<anyhow::Result<()>>()
        })?;
        let targets = targets
            .into_inner()
            .map_err(|_| anyhow::anyhow!("a part panicked"))?;
        let [bots, daemons, servers] = targets.kills;
        self.say(&format!(
            "all was sent; bot, daemon and server were killed {bots}, {daemons} and {servers} times"
        ));
        self.check_answers(&writer, &bot)?;
        drop(targets.bot);
        self.check_file()?;
        bot.ok(&["daemon", "stop"])?;
        drop(targets.daemon);
        let bugs = [bot.bugs()?, writer.bugs()?].concat();
        ensure!(bugs.is_empty(), "programs complained: {bugs:?}");
        targets.server.stop_and_check()?;
        self.say("each once, none missing, in order; each question was answered once");
        Ok(())
    }

    fn file(&self) -> PathBuf {
        self.folder.join("journal")
    }

    fn start_bot(&self) -> anyhow::Result<Process> {
        let mut command = Command::new("python3");
        command
            .arg("-B")
            .arg(self.folder.join("journal_bot.py"))
            .arg(self.folder.join("bot/default/daemon.sock"))
            .arg(self.file());
        let mut process = Process::start(&mut command, &self.folder.join("python.log"))?;
        process.next_line()?.context("the bot does not start")?;
        Ok(process)
    }

    /// Counts the lines of the bot's file, until all are there.
    fn watch(&self) -> anyhow::Result<()> {
        let mut told = 0;
        loop {
            self.frame.go_on()?;
            let text = fs::read(self.file()).unwrap_or_default();
            let seen = text.split(|byte| *byte == b'\n').count() - 1;
            self.seen.store(seen, Ordering::Relaxed);
            if seen / 1000 > told {
                told = seen / 1000;
                self.say("seen");
            }
            if seen >= self.plan.messages {
                return Ok(());
            }
            pause(Duration::from_millis(50));
        }
    }

    /// Sends all texts, in bursts.
    fn send(&self, writer: &Person, bot: &Person) -> anyhow::Result<()> {
        let mut next = 0;
        while next < self.plan.messages {
            self.frame.go_on()?;
            let end = (next + BURST).min(self.plan.messages);
            let words = [&TIMEOUT, ["send", &bot.identifier, "--lines"].as_slice()].concat();
            let mut process = writer.start(&words)?;
            let mut written = next;
            while next < end {
                while written < end.min(next + WINDOW) {
                    let line = words_of(written);
                    ensure!(process.write(&line), "`send --lines` reads no more");
                    written += 1;
                }
                let row = process.next_line()?.context("`send --lines` has ended")?;
                next += usize::from(text(&parse(&row)?, "type") == "queued");
            }
            let ended = process.finish()?;
            writer.expect_well(&words, ended.code)?;
        }
        while self.seen.load(Ordering::Relaxed) < self.plan.messages {
            self.frame.go_on()?;
            // What the server had not taken yet when a burst ended.
            writer.run(&[&TIMEOUT, ["listen", "--for", "1s"].as_slice()].concat())?;
        }
        Ok(())
    }

    /// Kills one of the three at each of the moments, which are spread over what the bot sees.
    fn kill(&self, targets: &Mutex<Targets>, bot: &Person) -> anyhow::Result<()> {
        let mut chance = Chance::new(self.seed, 0);
        let mut moments: Vec<usize> = (0..self.plan.kills)
            .map(|_| chance.below(self.plan.messages))
            .collect();
        moments.sort_unstable();
        for moment in moments {
            while self.seen.load(Ordering::Relaxed) < moment {
                self.frame.go_on()?;
                pause(Duration::from_millis(5));
            }
            pause(chance.wait(60));
            let mut targets = targets
                .lock()
                .map_err(|_| anyhow::anyhow!("a part panicked"))?;
            self.kill_one(&mut targets, bot, &mut chance)?;
        }
        Ok(())
    }

    fn kill_one(
        &self,
        targets: &mut Targets,
        bot: &Person,
        chance: &mut Chance,
    ) -> anyhow::Result<()> {
        let which = chance.below(3);
        let dark = chance.wait(200);
        match which {
            0 => {
                end(targets.bot.take(), "the bot")?;
                pause(dark);
                targets.bot = Some(self.start_bot()?);
            }
            1 => {
                end(targets.daemon.take(), "the daemon")?;
                pause(dark);
                targets.daemon = Some(start_daemon(bot)?);
            }
            _ => targets.server.kill_and_restart(dark)?,
        }
        if let Some(count) = targets.kills.get_mut(which) {
            *count += 1;
        }
        Ok(())
    }

    /// Each text once, in the order in which it was sent, under cursors that grow.
    fn check_file(&self) -> anyhow::Result<()> {
        let lines = fs::read_to_string(self.file())?;
        let mut last = 0;
        let mut count = 0;
        for (index, line) in lines.lines().enumerate() {
            let row = parse(line)?;
            let cursor = row.get("cursor").and_then(serde_json::Value::as_u64);
            let cursor = cursor.context("a line without a cursor")?;
            ensure!(cursor > last, "line {index} is behind the one before");
            last = cursor;
            let (said, expected) = (text(&row, "text"), words_of(index));
            ensure!(
                said == expected,
                "line {index} is `{said}`, not `{expected}`"
            );
            count += 1;
        }
        ensure!(count == self.plan.messages, "{count} texts came");
        Ok(())
    }

    /// Each question has one answer at its writer.
    fn check_answers(&self, writer: &Person, bot: &Person) -> anyhow::Result<()> {
        let questions: Vec<String> = (0..self.plan.messages)
            .map(words_of)
            .filter(|words| words.ends_with('?'))
            .map(|words| format!("answer to {words}"))
            .collect();
        let all = (2 * self.plan.messages + 100).to_string();
        loop {
            self.frame.go_on()?;
            writer.run(&["listen", "--once"])?;
            let rows = writer.ok(&["history", &bot.identifier, "--limit", &all])?;
            let answers = rows.iter().map(|row| text(row, "text"));
            let answers: Vec<&str> = answers.filter(|said| said.starts_with("answer")).collect();
            ensure!(
                answers.len() <= questions.len(),
                "{} answers to {} questions",
                answers.len(),
                questions.len()
            );
            if answers.len() == questions.len() {
                ensure!(answers == questions, "the answers are others");
                return Ok(());
            }
            pause(Duration::from_millis(200));
        }
    }

    /// Remembers a failure, so that the other parts end too.
    fn noted<T>(&self, result: anyhow::Result<T>) -> anyhow::Result<T> {
        self.frame.noted(result, |text| self.say(text))
    }

    fn say(&self, what: &str) {
        println!(
            "    {:>4} s  {:>6} seen  {what}",
            self.frame.seconds(),
            self.seen.load(Ordering::Relaxed),
        );
    }
}

/// Kills a program that has to run.
fn end(process: Option<Process>, who: &str) -> anyhow::Result<()> {
    let process = process.with_context(|| format!("{who} does not run"))?;
    let (was_alive, ended) = process.kill(Duration::ZERO)?;
    ensure!(was_alive, "{who} ended by itself: {:?}", ended.code);
    Ok(())
}

fn start_daemon(bot: &Person) -> anyhow::Result<Process> {
    let mut process = bot.start(&["daemon"])?;
    process.next_line()?.context("the daemon does not start")?;
    Ok(process)
}

/// The text with that number.
fn words_of(number: usize) -> String {
    let mark = if number.is_multiple_of(QUESTION_EVERY) {
        "?"
    } else {
        ""
    };
    format!("text {number}{mark}")
}

#[cfg(test)]
mod tests {
    use super::Plan;

    /// Flags change the full plan, what is no flag is refused, and the replay line asks for what was run.
    #[test]
    fn flags_change_the_plan() -> anyhow::Result<()> {
        assert_eq!(Plan::parse(&[])?, Plan::FULL);
        let plan = Plan::parse(&["--seed", "7", "--short", "--kills", "3"])?;
        assert_eq!((plan.seed, plan.messages, plan.kills), (Some(7), 300, 3));
        for words in [["--seed"].as_slice(), &["--seed", "x"], &["--sead", "7"]] {
            assert!(Plan::parse(words).is_err(), "{words:?}");
        }
        let line = plan.replay_line(7);
        let words: Vec<&str> = line.split(' ').skip(3).collect();
        assert_eq!(Plan::parse(&words)?, plan);
        Ok(())
    }
}
