//! A PostgreSQL of our own, in a folder for the run and with the settings that it ships with.

use std::process::Command;

use anyhow::{Context as _, Error, ensure};
use conclave_server::store::Address;
use tempfile::TempDir;

use crate::server::{Process, until};
use machine::{as_user, command, make, programs, run};

#[path = "../../conclave-server/tests/postgres_support/machine.rs"]
#[expect(dead_code, reason = "tests use the rest")]
mod machine;

/// A running database server; gone when dropped.
#[derive(Debug)]
pub(crate) struct Postgres {
    _process: Process,
    folder: TempDir,
}

impl Postgres {
    /// Starts one. The outer error says that PostgreSQL is not installed here.
    pub(crate) fn start() -> Result<anyhow::Result<Self>, String> {
        programs()?;
        Ok(Self::start_installed())
    }

    fn start_installed() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        make(folder.path(), "").map_err(Error::msg)?;
        let user = as_user();
        // it must not outlive this process, however that ends
        let mut before = vec!["setpriv", "--pdeathsig", "KILL"];
        before.extend(user.iter().skip(1));
        let mut postgres = command(folder.path(), &before, "postgres").map_err(Error::msg)?;
        let log = std::fs::File::create(folder.path().join("log"))?;
        let (process, _) = Process::spawn(postgres.args(["-D", "data"]).stderr(log))?;
        let this = Self {
            _process: process,
            folder,
        };
        let host = this.folder.path().to_string_lossy().into_owned();
        until(|| run(this.folder.path(), "pg_isready", &["-h", &host]).ok())
            .context("PostgreSQL does not start")?;
        // the figures are about a database that keeps what it acknowledged
        let kept = "SELECT (current_setting('fsync') = 'on'
            AND current_setting('synchronous_commit') = 'on'
            AND current_setting('full_page_writes') = 'on')::int";
        ensure!(this.ask(kept)? > 0.5, "PostgreSQL does not sync here");
        Ok(this)
    }

    /// Makes an empty database; its address.
    pub(crate) fn database(&self, name: &str) -> anyhow::Result<String> {
        self.psql(&format!("CREATE DATABASE {name}"))?;
        Ok(machine::url(self.folder.path(), name))
    }

    /// Syncs of the write-ahead log so far. A backend counts its own at the latest when it ends.
    pub(crate) fn syncs(&self) -> anyhow::Result<f64> {
        self.ask("SELECT wal_sync FROM pg_stat_wal")
    }

    /// Whether no server and no store of ours is connected.
    pub(crate) fn is_alone(&self) -> anyhow::Result<bool> {
        let count =
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'conclave-server'";
        Ok(self.ask(count)? < 0.5)
    }

    fn ask(&self, sql: &str) -> anyhow::Result<f64> {
        self.psql(sql)?
            .parse()
            .with_context(|| format!("no number: {sql}"))
    }

    fn psql(&self, sql: &str) -> anyhow::Result<String> {
        let psql = programs().map_err(Error::msg)?.join("psql");
        let done = Command::new(psql)
            .args(["-XAtq", "-U", "postgres", "-d", "postgres", "-h"])
            .arg(self.folder.path())
            .args(["-c", sql])
            .output()?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "psql: {said}");
        Ok(String::from_utf8(done.stdout)?.trim().to_owned())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // its processes are gone afterwards; if not, the kernel and its own children see to that
        let _ = run(
            self.folder.path(),
            "pg_ctl",
            &["-D", "data", "-m", "immediate", "stop"],
        );
    }
}

/// The address as the store wants it.
pub(crate) fn address(url: &str) -> anyhow::Result<Address> {
    Ok(Address::parse(url, |_| None)?)
}
