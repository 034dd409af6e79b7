//! `cargo xtask attachment`: a large file goes up and comes down while programs and server are killed.
//!
//! 1. build both programs, start a server, two people make contact
//! 2. a small file goes both ways, to know what memory that takes
//! 3. the large one goes up, with ten interruptions: every other one kills the sender, the others the server
//! 4. it comes down in the same way
//! 5. the bytes are the same, nothing is left behind, and the memory of nobody grew with the file

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::campaign::{Chance, Person, Server, in_folder, kib_of, text};

/// Interruptions each way.
const INTERRUPTIONS: u64 = 10;
/// The file that the memory is compared with.
const SMALL_MIB: u64 = 16;
/// How much more memory the large file may take than the small one, in hundredths.
const GROWTH_MAX: u64 = 150;
const MIB: u64 = 1024 * 1024;

/// How large the file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    mib: u64,
}

impl Plan {
    /// What a release is held to.
    const FULL: Self = Self { mib: 1024 };
    /// What every change is held to.
    pub(crate) const SHORT: Self = Self { mib: 32 };

    /// The full plan, changed by `--short` or `--mib N`.
    pub(crate) fn parse(words: &[&str]) -> anyhow::Result<Self> {
        match words {
            [] => Ok(Self::FULL),
            ["--short"] => Ok(Self::SHORT),
            ["--mib", number] => Ok(Self {
                mib: number.parse().with_context(|| format!("--mib {number}"))?,
            }),
            _ => bail!("say nothing, --short or --mib N"),
        }
    }
}

/// Runs the campaign; fails and keeps its folder when anything differs.
pub(crate) fn run(root: &Path, plan: Plan) -> anyhow::Result<()> {
    let replay = format!("cargo xtask attachment --mib {}", plan.mib);
    in_folder(root, "attachment", &replay, |folder| campaign(folder, plan))
}

/// The most memory that each program has had, in KiB.
#[derive(Debug, Clone, Copy, Default)]
struct Memory {
    sender: u64,
    receiver: u64,
    server: u64,
}

fn campaign(folder: &Path, plan: Plan) -> anyhow::Result<()> {
    set_limits(folder, plan)?;
    let mut server = Server::start(folder)?;
    let anna = Person::register(folder, "anna", &mut server)?;
    let ben = Person::register(folder, "ben", &mut server)?;
    anna.ok(&["send", &ben.identifier, "hello"])?;
    ben.ok(&["request", "list"])?;
    ben.ok(&["request", "accept", &anna.identifier])?;
    for person in [&anna, &ben] {
        person.ok(&["config", "set", "attachments.max", "16GiB"])?;
    }
    let mut way = Way {
        folder,
        anna: &anna,
        ben: &ben,
        server: &mut server,
    };
    let small = way.both(SMALL_MIB, 0)?;
    let large = way.both(plan.mib, INTERRUPTIONS)?;
    for (who, small, large) in [
        ("sender", small.sender, large.sender),
        ("receiver", small.receiver, large.receiver),
        ("server", small.server, large.server),
    ] {
        let growth = large * 100 / small.max(1);
        println!(
            "    memory of the {who}: {} MiB for {SMALL_MIB} MiB, {} MiB for {} MiB, {growth} %",
            small / 1024,
            large / 1024,
            plan.mib
        );
        ensure!(
            growth <= GROWTH_MAX,
            "the memory of the {who} grew with the file"
        );
    }
    for person in ["anna", "ben"] {
        ensure!(
            files_below(&folder.join(person), "attachments")? == 0,
            "{person} has kept what nobody needs"
        );
    }
    server.stop_and_check()
}

/// The operator raises the limit.
fn set_limits(folder: &Path, plan: Plan) -> anyhow::Result<()> {
    let data = folder.join("server-data");
    fs::DirBuilder::new().mode(0o700).create(&data)?;
    let bytes = (plan.mib + SMALL_MIB + 64) * MIB * 2;
    let settings = format!(
        "[blobs]\nmax_bytes = {bytes}\nquota_bytes = {}\n",
        bytes * 2
    );
    Ok(fs::write(data.join("config.toml"), settings)?)
}

/// Files in every folder called `name` below `folder`.
fn files_below(folder: &Path, name: &str) -> anyhow::Result<usize> {
    let mut found = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        found += if entry.file_name() == name {
            fs::read_dir(entry.path())?.count()
        } else {
            files_below(&entry.path(), name)?
        };
    }
    Ok(found)
}

/// The way of a file from anna to ben.
struct Way<'a> {
    folder: &'a Path,
    anna: &'a Person,
    ben: &'a Person,
    server: &'a mut Server,
}

impl Way<'_> {
    /// Steps 3 to 5 for one file.
    fn both(&mut self, mib: u64, interruptions: u64) -> anyhow::Result<Memory> {
        let source = self.folder.join(format!("{mib}-mib"));
        let copy = self.folder.join(format!("{mib}-mib-copy"));
        make(&source, mib)?;
        let mut memory = Memory::default();
        let start = Instant::now();
        let path = source.to_string_lossy().into_owned();
        let words = ["send", &self.ben.identifier, "a file", "--attach", &path];
        let id = self.carry(self.anna, &words, interruptions, &mut memory)?;
        println!("    {mib} MiB up after {} s", start.elapsed().as_secs());

        self.ben.ok(&["read", &self.anna.identifier])?;
        let rows = self
            .ben
            .ok(&["history", &self.anna.identifier, "--limit", "1"])?;
        ensure!(
            rows.iter().any(|row| id.starts_with(text(row, "id"))),
            "the message did not come"
        );
        let start = Instant::now();
        let path = copy.to_string_lossy().into_owned();
        let words = ["attachment", "get", &id, "-O", &path];
        self.carry(self.ben, &words, interruptions, &mut memory)?;
        println!("    {mib} MiB down after {} s", start.elapsed().as_secs());
        ensure!(is_same(&source, &copy)?, "the bytes differ");
        fs::remove_file(source)?;
        fs::remove_file(copy)?;
        memory.server = memory.server.max(self.server.memory_kib()?);
        Ok(memory)
    }

    /// Runs a command that moves a file, interrupted evenly over its bytes; the file's id.
    fn carry(
        &mut self,
        person: &Person,
        words: &[&str],
        interruptions: u64,
        memory: &mut Memory,
    ) -> anyhow::Result<String> {
        let (mut done, mut id) = (0, String::new());
        let mut process = person.start(words)?;
        let mut end = None;
        loop {
            let own_kib = kib_of(process.id());
            let most = if person.identifier == self.anna.identifier {
                &mut memory.sender
            } else {
                &mut memory.receiver
            };
            *most = own_kib.unwrap_or(0).max(*most);
            let Some(line) = process.next_line()? else {
                let code = process.finish()?.code;
                if code == Some(0) {
                    break;
                }
                // The server may have been away for a moment: a person tries again.
                person.expect_well(words, code)?;
                process = person.start(&again(words, &id))?;
                continue;
            };
            let row: Value = serde_json::from_str(&line)?;
            if text(&row, "type") != "attachment" {
                continue;
            }
            text(&row, "id").clone_into(&mut id);
            let number = |name| row.get(name).and_then(Value::as_u64).unwrap_or(0);
            end = Some(text(&row, "state").to_owned());
            let next = number("bytes_total") * (done + 1) / (interruptions + 1);
            if done < interruptions && number("bytes_done") >= next.max(1) {
                done += 1;
                memory.server = memory.server.max(self.server.memory_kib()?);
                if done % 2 == 0 {
                    self.server.kill_and_restart(Duration::from_millis(200))?;
                } else {
                    let (was_alive, _) = process.kill(Duration::ZERO)?;
                    ensure!(was_alive, "the file was there before it was interrupted");
                    process = person.start(&again(words, &id))?;
                }
            }
        }
        ensure!(
            done == interruptions,
            "interrupted {done} times of {interruptions}; last state {end:?}"
        );
        ensure!(!id.is_empty(), "no progress was told");
        Ok(id)
    }
}

/// What a person says after a cut: a message is queued already, so its file is waited for alone.
fn again<'a>(words: &[&'a str], id: &'a str) -> Vec<&'a str> {
    match words {
        ["send", ..] => vec!["attachment", "wait", id],
        words => words.to_vec(),
    }
}

/// A file of bytes that nothing makes smaller.
fn make(path: &Path, mib: u64) -> anyhow::Result<()> {
    let mut chance = Chance::new(mib, 0);
    let mut file = BufWriter::new(File::create_new(path)?);
    let mut block = Vec::with_capacity(1 << 20);
    for n in 0..mib {
        block.clear();
        // one fresh block in each MiB, its number before it: no two pieces are alike
        let fresh: Vec<u8> = (0..4096)
            .map(|_| u8::try_from(chance.below(256)).unwrap_or(0))
            .collect();
        for part in 0..256_u64 {
            block.extend_from_slice(&(n * 256 + part).to_be_bytes());
            block.extend_from_slice(fresh.get(8..).unwrap_or_default());
        }
        file.write_all(&block)?;
    }
    Ok(file.into_inner()?.sync_all()?)
}

fn is_same(one: &Path, other: &Path) -> anyhow::Result<bool> {
    let (mut one, mut other) = (
        BufReader::new(File::open(one)?),
        BufReader::new(File::open(other)?),
    );
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let read = one.read(&mut left)?;
        let there = left.get(..read).unwrap_or_default();
        let room = right.get_mut(..read).unwrap_or_default();
        if other.read_exact(room).is_err() || room != there {
            return Ok(false);
        }
        if read == 0 {
            return Ok(other.read(&mut right)? == 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The plans are what their words say.
    #[test]
    fn plans_parse() {
        assert_eq!(Plan::parse(&[]).unwrap().mib, 1024);
        assert_eq!(Plan::parse(&["--short"]).unwrap(), Plan::SHORT);
        assert_eq!(Plan::parse(&["--mib", "7"]).unwrap().mib, 7);
        assert!(Plan::parse(&["--mib"]).is_err());
        assert!(Plan::parse(&["--gib", "1"]).is_err());
    }

    /// Files are the same when all of their bytes are.
    #[test]
    fn files_are_compared_to_their_end() {
        let folder = std::env::temp_dir().join(format!("conclave-same-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let (one, other) = (folder.join("one"), folder.join("other"));
        make(&one, 1).unwrap();
        let whole = fs::read(&one).unwrap();
        fs::write(&other, &whole).unwrap();
        assert!(is_same(&one, &other).unwrap());
        fs::write(&other, &whole[1..]).unwrap();
        assert!(!is_same(&one, &other).unwrap());
        fs::write(&other, [whole.as_slice(), b"x"].concat()).unwrap();
        assert!(!is_same(&one, &other).unwrap());
        fs::remove_dir_all(&folder).unwrap();
    }
}
