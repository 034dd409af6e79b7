//! Two people with the real program who talk through all of it: each text is in both histories once.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use serde_json::Value;

use super::nodes::Nodes;
use crate::campaign::{Person, pause, text};

/// A command gives the server up after this; what it queued goes later.
const TIMEOUT: [&str; 2] = ["--timeout", "10s"];
/// How a command may end while all of this happens: done, busy, unreachable, out of time.
const WELL: [i32; 4] = [0, 5, 6, 10];
/// Between two texts of one person.
const PACE: Duration = Duration::from_millis(700);
/// When all is over, both have agreed by then.
const LIMIT: Duration = Duration::from_mins(3);

/// The two, in contact.
pub(super) struct People([Person; 2]);

impl People {
    /// Registers both and has them accept each other.
    pub(super) fn meet(folder: &Path, nodes: &Nodes) -> anyhow::Result<Self> {
        let people = [
            register(folder, "anna", nodes)?,
            register(folder, "ben", nodes)?,
        ];
        let [anna, ben] = &people;
        anna.ok(&["send", &ben.identifier, "may I?"])?;
        ben.ok(&["listen", "--once"])?;
        ben.ok(&["request", "accept", &anna.identifier])?;
        anna.ok(&["listen", "--once"])?;
        Ok(Self(people))
    }

    /// Both talk until it is over; what each has said.
    pub(super) fn talk(&self, is_over: &AtomicBool) -> anyhow::Result<[Vec<String>; 2]> {
        let [anna, ben] = &self.0;
        std::thread::scope(|scope| {
            let first = scope.spawn(|| say(anna, ben, is_over));
            let second = say(ben, anna, is_over);
            Ok([crate::campaign::join(first)?, second?])
        })
    }

    /// Lets both catch up, and compares their histories with what was said.
    pub(super) fn agree(&self, said: &[Vec<String>; 2]) -> anyhow::Result<()> {
        let all = said.concat();
        let start = Instant::now();
        loop {
            for person in &self.0 {
                try_it(person, &["listen", "--once"])?;
            }
            let [first, second] = self.histories(all.len())?;
            let lacks =
                |history: &[String]| all.iter().filter(|one| !history.contains(one)).count();
            let missing = lacks(&first) + lacks(&second);
            if missing == 0 {
                ensure!(first == second, "the two histories differ");
                // One more than was said: the first word.
                ensure!(
                    first.len() == all.len() + 1,
                    "{} texts of {}",
                    first.len(),
                    all.len() + 1
                );
                break;
            }
            if start.elapsed() > LIMIT {
                bail!("{missing} texts of {} are missing", all.len());
            }
            pause(PACE);
        }
        for person in &self.0 {
            let bugs = person.bugs()?;
            ensure!(bugs.is_empty(), "programs complained: {bugs:?}");
        }
        println!(
            "    two people said {} texts: each is in both histories once",
            all.len()
        );
        Ok(())
    }

    fn histories(&self, texts: usize) -> anyhow::Result<[Vec<String>; 2]> {
        let [anna, ben] = &self.0;
        let limit = (2 * texts + 100).to_string();
        let read = |person: &Person, other: &Person| {
            let rows = person.ok(&["history", &other.identifier, "--limit", &limit])?;
            let texts = rows.iter().map(|row| text(row, "text").to_owned());
            anyhow::Ok(texts.filter(|text| !text.is_empty()).collect())
        };
        Ok([read(anna, ben)?, read(ben, anna)?])
    }
}

fn register(folder: &Path, name: &str, nodes: &Nodes) -> anyhow::Result<Person> {
    let person = Person::new(folder, name, &format!("{name}@example.org"));
    let address = nodes.address()?;
    let words = ["register", "--server", &address, "--email"];
    person.ok(&[&words, [&*person.identifier, "--no-passphrase"].as_slice()].concat())?;
    let code = nodes.code_for(&person.identifier)?;
    person.ok(&["register", "confirm", &code])?;
    Ok(person)
}

/// Says one text after the other, and listens between them.
fn say(own: &Person, other: &Person, is_over: &AtomicBool) -> anyhow::Result<Vec<String>> {
    let mut said = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let words = format!("{} says {}", own.identifier, said.len());
        let rows = try_it(
            own,
            &[&TIMEOUT, ["send", &other.identifier, &words].as_slice()].concat(),
        )?;
        let is_kept = |row: &Value| matches!(text(row, "type"), "queued" | "sent");
        let is_queued = rows.iter().any(is_kept);
        ensure!(is_queued, "a text was not queued: {rows:?}");
        said.push(words);
        try_it(own, &[&TIMEOUT, ["listen", "--once"].as_slice()].concat())?;
        pause(PACE);
    }
    Ok(said)
}

/// Runs a command that may find the service away or busy; its rows.
fn try_it(person: &Person, words: &[&str]) -> anyhow::Result<Vec<Value>> {
    let (code, rows) = person.run_any(words)?;
    let is_well = code.is_some_and(|code| WELL.contains(&code));
    ensure!(is_well, "{}", person.complaint(words, code));
    Ok(rows)
}
