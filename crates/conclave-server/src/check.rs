//! `check`: named findings, each with a fix.

use std::path::Path;

use conclave_proto::env::{Env as _, OsEnv};
use conclave_proto::id::Day;
use conclave_server::admin::{Request, Response};
use conclave_server::config::{Config, Loaded};
use conclave_server::health::{self, HealthError, Readiness};
use conclave_server::{clock, database, folder, keys, otp};

use crate::commands::{admin_work, print};
use crate::exit::{CommandError, line_of};

/// 2026-01-01 UTC, ms: a clock before this is wrong.
const CLOCK_AT_LEAST_MS: u64 = 1_767_225_600_000;

enum Finding {
    Pass(&'static str, String),
    Warn(&'static str, String),
    Fail(&'static str, String),
}

impl Finding {
    fn line(&self) -> String {
        match self {
            Self::Pass(name, text) => format!("pass  {name:<8}  {text}"),
            Self::Warn(name, text) => format!("warn  {name:<8}  {text}"),
            Self::Fail(name, text) => format!("fail  {name:<8}  {text}"),
        }
    }
}

/// Prints every finding; fails when one does.
pub(crate) async fn run(folder: &Path, settings: anyhow::Result<Loaded>) -> anyhow::Result<()> {
    let mut findings = vec![config(&settings), data_folder(folder), clock()];
    if let Ok(loaded) = &settings {
        findings.extend(codes(&loaded.config).await);
    }
    if folder.exists() {
        findings.extend(keys(folder));
        if let Ok(loaded) = &settings {
            findings.push(storage(folder, &loaded.config).await);
            findings.extend(days(folder, &loaded.config).await);
        }
        findings.push(running(folder).await);
    }
    for finding in &findings {
        print(&finding.line())?;
    }
    let is_failed = |finding: &&Finding| matches!(finding, Finding::Fail(..));
    match findings.iter().filter(is_failed).count() {
        0 => Ok(()),
        failed => Err(CommandError::ChecksFailed(failed).into()),
    }
}

fn config(settings: &anyhow::Result<Loaded>) -> Finding {
    match settings {
        Ok(_) => Finding::Pass("config", "the settings hold".to_owned()),
        Err(error) => Finding::Fail("config", line_of(error)),
    }
}

fn data_folder(folder: &Path) -> Finding {
    let path = folder.display();
    match folder::mode(folder) {
        Ok(0o700) => Finding::Pass("folder", format!("{path} is private")),
        Ok(mode) => {
            let fix = format!("{path} has mode {mode:o}: run `chmod 700 {path}`");
            Finding::Fail("folder", fix)
        }
        Err(_) => {
            let fix = format!("{path} is not there: run `conclave-server init`");
            Finding::Fail("folder", fix)
        }
    }
}

fn clock() -> Finding {
    if OsEnv.now_ms() >= CLOCK_AT_LEAST_MS {
        return Finding::Pass("clock", "the clock is plausible".to_owned());
    }
    let fix = "the clock is years behind: set it, or clients will warn everybody";
    Finding::Fail("clock", fix.to_owned())
}

/// Whether codes can be sent, and whether the other side can be reached now.
async fn codes(config: &Config) -> Vec<Finding> {
    let senders = match otp::senders(&config.otp) {
        Ok(senders) => senders,
        Err(error) => return vec![Finding::Fail("otp", error.to_string())],
    };
    let mut findings = Vec::new();
    for (kind, sender) in [("mail", &senders.mail), ("texts", &senders.sms)] {
        findings.push(match sender {
            None => Finding::Warn(
                "otp",
                format!("no codes by {kind}: set [otp.http] for them"),
            ),
            Some(sender) => match sender.probe().await {
                Ok(()) => Finding::Pass("otp", format!("codes can go out by {kind}")),
                Err(error) => Finding::Warn("otp", error.to_string()),
            },
        });
    }
    findings
}

/// Whether today is plausible beside the latest day that the server has seen (C-078).
async fn days(folder: &Path, config: &Config) -> Option<Finding> {
    let jump_days = config.retention.clock_jump_days;
    if is_missing(folder, config) {
        return None;
    }
    let Ok(Response::LastDay(last)) = admin_work(folder, config, Request::LastDay).await else {
        return None;
    };
    let ahead = clock::ahead_days(Day(last), jump_days, OsEnv.now_ms());
    (ahead > 0).then(|| {
        let text = format!(
            "today is {ahead} days past the last day seen, so nothing expires: set the clock, or run \
             `conclave-server clock confirm` when it is right"
        );
        Finding::Fail("clock", text)
    })
}

fn keys(folder: &Path) -> Vec<Finding> {
    let report = keys::report(folder, &OsEnv);
    let certificate = match (report.leaf_valid, report.leaf_lasts, report.root_key_here) {
        (true, true, _) => Finding::Pass("keys", "the certificate is good for 30 days".to_owned()),
        (true, false, true) => {
            let text = "the certificate ends within 30 days: restart the server to renew it";
            Finding::Warn("keys", text.to_owned())
        }
        (true, false, false) => {
            let text = "the certificate ends within 30 days: put root-key.pem back for one start";
            Finding::Warn("keys", text.to_owned())
        }
        (false, _, true) => {
            let text = "there is no valid certificate: run `conclave-server init`";
            Finding::Fail("keys", text.to_owned())
        }
        (false, _, false) => {
            let text = "there is no valid certificate: put root-key.pem back and run \
                        `conclave-server init`";
            Finding::Fail("keys", text.to_owned())
        }
    };
    let mut findings = vec![certificate];
    let open_files = ["root-key.pem", "leaf-key.pem", "pepper", "store.db"]
        .into_iter()
        .filter(|name| folder::mode(&folder.join(name)).is_ok_and(|mode| mode & 0o077 != 0));
    findings.extend(open_files.map(|name| {
        let path = folder.join(name);
        let path = path.display();
        Finding::Fail(
            "keys",
            format!("{path} is open to others: run `chmod 600 {path}`"),
        )
    }));
    findings
}

/// Whether the data folder lacks the database that the settings want in it.
fn is_missing(folder: &Path, config: &Config) -> bool {
    !database::is_shared(config) && !folder.join("store.db").exists()
}

async fn storage(folder: &Path, config: &Config) -> Finding {
    if is_missing(folder, config) {
        let text = "store.db is missing: restore the folder from a backup, or begin anew with \
                    `conclave-server init`";
        return Finding::Fail("storage", text.to_owned());
    }
    match admin_work(folder, config, Request::Check).await {
        Ok(Response::Problems(problems)) if problems.is_empty() => {
            Finding::Pass("storage", "the database is whole".to_owned())
        }
        Ok(Response::Problems(problems)) => {
            let text = problems.join("; ");
            let what = if database::is_shared(config) {
                "database"
            } else {
                "folder"
            };
            Finding::Fail(
                "storage",
                format!("{text}: restore the {what} from a backup"),
            )
        }
        Ok(Response::Error(text)) => {
            let fix = "look at the disk, or restore the folder from a backup";
            Finding::Fail("storage", format!("{text}: {fix}"))
        }
        Ok(_) => Finding::Fail("storage", "the answer makes no sense".to_owned()),
        Err(error) => Finding::Fail("storage", line_of(&error)),
    }
}

async fn running(folder: &Path) -> Finding {
    let Some(address) = folder::last_listening(folder) else {
        return Finding::Pass("server", "it has never run from here".to_owned());
    };
    match health::ask(folder, address).await {
        Ok(Readiness::Ready) => {
            Finding::Pass("server", format!("it runs and is ready at {address}"))
        }
        Ok(Readiness::HintsAway) => {
            let text =
                format!("it runs at {address}, and what others take comes late: see its log");
            Finding::Warn("server", text)
        }
        Err(error @ HealthError::OtherServer(_)) => Finding::Warn("server", error.to_string()),
        Err(_) => {
            let text = format!("nobody is ready at {address}: run `conclave-server serve`");
            Finding::Warn("server", text)
        }
    }
}
