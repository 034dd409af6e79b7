//! `cargo xtask demo`: two people talk through a real server while one of them is offline.
//!
//! 1. build both programs
//! 2. start a server in a temporary folder
//! 3. register anna and ben
//! 4. anna writes while ben is offline: accepted
//! 5. ben comes online: delivered, read, answered
//! 6. both compare their safety number
//! 7. look at what the server has stored
//! 8. open a page for each of them, where there is a screen
//! 9. stop, or leave it running

mod pages;
mod person;
mod server;
mod stored;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use crate::step::{OpenSsl, cargo, succeed};
use crate::ui;
use pages::Browser;
use person::Person;
use server::Server;

/// A number that its country keeps for films and books.
const ANNA: &str = "+491713920012";
const BEN: &str = "ben@example.org";
const FIRST: &str = "Hello Ben, this is Anna. Are you there?";
const SECOND: &str = "The walnut cake is in the oven, come at seven.";
const ANSWER: &str = "Wonderful, I will bring the plum jam.";

/// What the demo does behind its story.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Plan {
    /// The server is left running.
    keep: bool,
    /// Terminals only.
    no_page: bool,
}

impl Plan {
    /// Nobody looks.
    pub(crate) const UNSEEN: Self = Self {
        keep: false,
        no_page: true,
    };

    /// What `flags` say.
    pub(crate) fn parse(flags: &[&str]) -> anyhow::Result<Self> {
        let mut plan = Self::default();
        for flag in flags {
            match *flag {
                "--keep" => plan.keep = true,
                "--no-page" => plan.no_page = true,
                other => bail!("demo takes --keep and --no-page, not {other}"),
            }
        }
        Ok(plan)
    }

    /// What shows the pages; none: terminals only.
    fn browser(self) -> Option<Browser> {
        if self.no_page || self.keep {
            return None;
        }
        let browser = Browser::find();
        if browser.is_none() {
            say("no screen or browser is here: the demo leaves the pages out (--no-page)");
        } else if let Err(error) = ui::check_node() {
            say(&format!(
                "the demo leaves the pages out (--no-page): {error}"
            ));
            return None;
        }
        browser
    }
}

/// Tells the story; fails when a step does not end as told.
pub(crate) fn run(root: &Path, plan: Plan) -> anyhow::Result<()> {
    let browser = plan.browser();
    if browser.is_some() {
        headline("Building the page");
        ui::run(root)?;
    }
    let programs = build(root)?;
    let folder = temporary_folder()?;
    let keep = plan.keep;
    let result = tell(&programs, &folder, keep, browser.as_ref());
    if result.is_err() {
        println!(
            "\nthe folder of this run is kept for a look: {}",
            folder.display()
        );
    } else if !keep {
        std::fs::remove_dir_all(&folder).context("the temporary folder could not be removed")?;
    }
    result
}

fn tell(
    programs: &Path,
    folder: &Path,
    keep: bool,
    browser: Option<&Browser>,
) -> anyhow::Result<()> {
    headline("A server starts in an empty folder");
    let mut server = Server::start(programs, folder, keep)?;
    let address = server.address()?;

    headline("Anna registers with a phone number, Ben with an e-mail address");
    let anna = Person::new(programs, folder, "anna");
    let ben = Person::new(programs, folder, "ben");
    register(
        &anna,
        &mut server,
        &address,
        ["--phone", ANNA, "--name", "Anna"],
    )?;
    register(
        &ben,
        &mut server,
        &address,
        ["--email", BEN, "--name", "Ben"],
    )?;

    talk(&anna, &ben)?;

    headline("Both see the same safety number: nobody sits between them");
    let number = anna.safety_number(BEN)?;
    ensure!(
        number == ben.safety_number(ANNA)?,
        "the safety numbers differ"
    );
    say("the two numbers are equal.");

    headline("What the server has stored");
    stored::show(
        &server.data_folder(),
        &[FIRST, SECOND, ANSWER],
        &[ANNA, BEN],
    )?;
    ensure!(
        !server.log()?.contains(ANNA),
        "the server's log names a person"
    );

    if let Some(browser) = browser {
        headline("Each of them opens the page");
        pages::show(browser, [(&anna, BEN), (&ben, ANNA)], folder)?;
    }
    if keep {
        leave_running(programs, folder, &server, &address);
        server.leave();
    } else {
        headline("The server stops");
        server.stop()?;
    }
    say("The demo went as told.");
    Ok(())
}

/// Steps 4 and 5: every message goes from accepted to delivered to read.
fn talk(anna: &Person, ben: &Person) -> anyhow::Result<()> {
    headline("Anna writes while Ben is offline (no program of his runs)");
    let first = anna.send(BEN, FIRST)?;
    let second = anna.send(BEN, SECOND)?;
    anna.expect_state(&first, "accepted")?;
    anna.expect_state(&second, "accepted")?;
    say("accepted: the server has both messages on disk, encrypted, and Ben has not seen them.");

    headline("Ben comes online: a stranger's first message is a request");
    ben.run(&["listen", "--once"])?;
    ben.run(&["request", "list"])?;
    ben.run(&["request", "accept", ANNA])?;
    ben.run(&["listen", "--once"])?;
    let seen = ben.run(&["history", ANNA])?;
    ensure!(
        seen.contains(FIRST) && seen.contains(SECOND),
        "ben does not see both messages"
    );
    anna.wait_for_state(&second, "delivered")?;
    say("delivered: one of Ben's devices has them and could open them.");

    ben.run(&["read", ANNA])?;
    anna.wait_for_state(&second, "read")?;
    anna.expect_state(&first, "read")?;
    say("read: Ben has marked the chat as read, and wants Anna to know.");
    let answer = ben.send(ANNA, ANSWER)?;
    anna.run(&["listen", "--once"])?;
    anna.run(&["read", BEN])?;
    ben.wait_for_state(&answer, "read")?;
    let seen = anna.run(&["history", BEN])?;
    ensure!(seen.contains(ANSWER), "anna does not see the answer");
    Ok(())
}

/// Registers in two runs, as a script does; a person at a terminal needs one.
fn register(
    person: &Person,
    server: &mut Server,
    address: &str,
    [kind, identifier, name_flag, name]: [&str; 4],
) -> anyhow::Result<()> {
    let words = [
        "register", "--server", address, kind, identifier, name_flag, name,
    ];
    person.run(&[words.as_slice(), &["--no-passphrase", "--no-input"]].concat())?;
    let code = server.code_for(identifier)?;
    say(&format!(
        "the server's console sender printed the code for {identifier}: {code}"
    ));
    person.run(&["register", "confirm", &code])?;
    Ok(())
}

/// Builds both programs in release mode and answers where they are.
pub(crate) fn build(root: &Path) -> anyhow::Result<PathBuf> {
    headline("Building conclave-server and conclave (some minutes the first time)");
    let openssl = OpenSsl::find()?;
    let words = [
        "build",
        "--release",
        "--locked",
        "-p",
        "conclave-server",
        "-p",
        "conclave",
    ];
    succeed(cargo(root, openssl).args(words))?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let programs = root.join(target).join("release");
    say(&format!("both programs are in {}", programs.display()));
    Ok(programs)
}

fn temporary_folder() -> anyhow::Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("conclave-demo-{}", std::process::id()));
    std::fs::create_dir(&folder)
        .with_context(|| format!("{} could not be made", folder.display()))?;
    Ok(folder)
}

fn leave_running(programs: &Path, folder: &Path, server: &Server, address: &str) {
    let (programs, folder) = (programs.display(), folder.display());
    headline("The server keeps running; go on by hand");
    println!(
        "  export PATH={programs}:$PATH
  conclave --data-dir {folder}/anna send {BEN} 'Still there?'
  conclave --data-dir {folder}/ben chat {ANNA}
  conclave --data-dir {folder}/ben web          # the page, when `cargo xtask ui` ran before the build

A third person, in a terminal of their own (the code appears in {folder}/server.out):

  conclave --data-dir {folder}/cleo register --server {address} --email cleo@example.org --no-passphrase --no-input
  tail {folder}/server.out
  conclave --data-dir {folder}/cleo register confirm CODE

When you are done:

  kill {pid} && rm -r {folder}
",
        pid = server.id()
    );
}

fn headline(text: &str) {
    println!("\n== {text}");
}

fn say(text: &str) {
    println!("   {text}");
}

#[cfg(test)]
mod tests {
    use super::Plan;

    /// Flags are read in any order; unknown ones are refused, and nothing is opened where nobody looks.
    #[test]
    fn reads_flags() {
        let plan = Plan::parse(&["--no-page", "--keep"]).unwrap();
        assert!(plan.keep && plan.no_page && plan.browser().is_none());
        assert!(!Plan::parse(&[]).unwrap().no_page);
        assert!(Plan::parse(&["--pages"]).is_err());
        assert!(Plan::UNSEEN.browser().is_none());
    }
}
