//! The real program: its lines, exit codes, files and signals.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use conclave_proto::id::Day;
use conclave_server::store::{SqliteStore, Store as _, StoreOptions};

fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conclave-server"));
    command.env_clear().arg("--data-dir").arg(folder);
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    program(folder).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A running server; killed when a test fails.
struct Serving {
    child: Child,
    address: String,
}

impl Serving {
    fn start(folder: &Path) -> Self {
        let mut child = program(folder)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let errors = child.stderr.take().unwrap();
        let mut errors = BufReader::new(errors);
        errors.read_line(&mut line).unwrap();
        child.stderr = Some(errors.into_inner());
        let address = line
            .strip_prefix("listening on ")
            .unwrap()
            .trim()
            .to_owned();
        Self { child, address }
    }

    fn stop(&mut self, signal: &str) -> (Option<i32>, String) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(sent.success());
        let status = self.child.wait().unwrap();
        let mut out = String::new();
        let mut pipe = self.child.stdout.take().unwrap();
        pipe.read_to_string(&mut out).unwrap();
        (status.code(), out)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn modes(folder: &Path) -> Vec<(String, u32)> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            (entry.file_name().into_string().unwrap(), mode)
        })
        .collect()
}

/// A server starts on an empty folder, answers its operator, stops on both signals with code 0 and
/// prints nothing on standard output.
#[test]
fn serves_an_empty_folder_and_stops_on_signals() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("data");
    let mut addresses = Vec::new();
    for signal in ["-TERM", "-INT"] {
        let mut serving = Serving::start(&folder);
        let printed = text(&run(&folder, &["address"]).stdout);
        assert!(printed.trim().ends_with(&format!("@{}", serving.address)));
        addresses.push(printed.split('@').next().unwrap().to_owned());
        assert_eq!(run(&folder, &["health"]).status.code(), Some(0));
        let check = run(&folder, &["check"]);
        assert_eq!(check.status.code(), Some(0), "{}", text(&check.stdout));
        assert_eq!(serving.stop(signal), (Some(0), String::new()));
        assert_eq!(run(&folder, &["health"]).status.code(), Some(6));
    }
    assert_eq!(addresses[0], addresses[1]);
    let mode = std::fs::metadata(&folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    for (name, mode) in modes(&folder) {
        let right = if name == "blobs" { 0o700 } else { 0o600 };
        assert_eq!(mode, right, "{name}");
    }
}

/// The address is one line; a public host replaces the one that listens; a bad one is bad usage.
#[test]
fn address_prints_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = run(folder.path(), &["address"]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(text(&nothing.stderr).contains("conclave-server init"));
    assert_eq!(run(folder.path(), &["init"]).status.code(), Some(0));
    let plain = text(&run(folder.path(), &["address"]).stdout);
    assert!(plain.starts_with("conclave://") && plain.ends_with("@127.0.0.1:5000\n"));
    let public = ["address", "--public", "chat.example.org"];
    let public = text(&run(folder.path(), &public).stdout);
    assert!(public.ends_with("@chat.example.org:5000\n"), "{public}");
    assert_eq!(public.lines().count(), 1);
    let bad = run(folder.path(), &["address", "--public", "a b"]);
    assert_eq!(bad.status.code(), Some(2));
}

/// A taken port ends with 9 and says what to do.
#[test]
fn a_taken_port_is_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = run(folder.path(), &["serve", "--listen", &address]);
    assert_eq!(refused.status.code(), Some(9));
    let error = text(&refused.stderr);
    assert!(
        error.contains("taken") && error.contains("--listen"),
        "{error}"
    );
}

/// A second server on one folder ends with 9 and does not disturb the first.
#[test]
fn a_folder_has_one_server() {
    let folder = tempfile::tempdir().unwrap();
    let mut serving = Serving::start(folder.path());
    let second = run(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(9));
    assert_eq!(run(folder.path(), &["health"]).status.code(), Some(0));
    assert_eq!(serving.stop("-TERM").0, Some(0));
}

/// On a port that another server has taken over, `health` and `check` say so, and say it once.
#[test]
fn another_server_on_the_port_is_told_apart() {
    let home = tempfile::tempdir().unwrap();
    let (ours, theirs) = (home.path().join("ours"), home.path().join("theirs"));
    assert_eq!(run(&ours, &["init"]).status.code(), Some(0));
    let serving = Serving::start(&theirs);
    std::fs::write(ours.join("listening"), &serving.address).unwrap();
    let refused = run(&ours, &["health"]);
    assert_eq!(refused.status.code(), Some(6));
    let error = text(&refused.stderr);
    assert!(error.contains("another server answers at"), "{error}");
    assert!(!error.contains("certificate"), "{error}");
    let check = text(&run(&ours, &["check"]).stdout);
    assert!(check.contains("another server answers at"), "{check}");
    drop(serving);
    let refused = text(&run(&ours, &["health"]).stderr);
    assert_eq!(refused.matches("os error").count(), 1, "{refused}");
}

/// Log lines that no terminal shows have no colours.
#[test]
fn logs_in_a_file_have_no_colours() {
    let home = tempfile::tempdir().unwrap();
    // too long a path for a socket: the server starts with a warning
    let folder = home.path().join("long".repeat(40));
    let mut child = program(&folder)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut log = String::new();
    for line in lines.map(Result::unwrap) {
        log.push_str(&line);
        if line.starts_with("address ") {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        log.contains("WARN") && log.contains("no admin socket"),
        "{log}"
    );
    assert!(!log.contains('\u{1b}'), "{log:?}");
}

/// Invites are made with and without a running server.
#[test]
fn invites_are_made_either_way() {
    let folder = tempfile::tempdir().unwrap();
    let create = ["invite", "create", "--uses", "2", "--expires", "1d"];
    run(folder.path(), &["init"]);
    let offline = run(folder.path(), &create);
    assert_eq!(text(&offline.stdout).trim().len(), 16);
    let mut serving = Serving::start(folder.path());
    let online = run(folder.path(), &create);
    assert_eq!(text(&online.stdout).trim().len(), 16);
    assert_ne!(online.stdout, offline.stdout);
    assert_eq!(serving.stop("-TERM").0, Some(0));
    let never = run(folder.path(), &["invite", "create", "--uses", "0"]);
    assert_eq!(never.status.code(), Some(2));
}

/// Without a server in the folder nothing is made there: whoever asks for one is told how to begin.
#[test]
fn commands_that_need_a_server_make_none() {
    let home = tempfile::tempdir().unwrap();
    let missing = home.path().join("nosuch");
    let empty = home.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    for folder in [&missing, &empty] {
        for command in [&["invite", "create"][..], &["health"], &["address"]] {
            let refused = run(folder, command);
            assert_eq!(refused.status.code(), Some(1), "{command:?}");
            assert_eq!(text(&refused.stdout), "");
            let error = text(&refused.stderr);
            assert!(error.contains("there is no server in"), "{error}");
        }
        assert_eq!(run(folder, &["check"]).status.code(), Some(1));
        assert_eq!(run(folder, &["config", "show"]).status.code(), Some(0));
    }
    assert!(!missing.exists());
    assert_eq!(modes(&empty), []);
}

/// Senders without what they need, a console for strangers and unknown settings are bad usage.
#[test]
fn settings_that_cannot_be_are_bad_usage() {
    let folder = tempfile::tempdir().unwrap();
    let serve = |flags: &[&str]| {
        let mut arguments = vec!["serve", "--listen", "127.0.0.1:0"];
        arguments.extend(flags);
        run(folder.path(), &arguments)
    };
    for sender in ["smtp", "http"] {
        let refused = serve(&["--otp", sender]);
        assert_eq!(refused.status.code(), Some(2));
        let missing = format!("`otp.{sender}.");
        assert!(text(&refused.stderr).contains(&missing));
    }
    let open = run(folder.path(), &["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(open.status.code(), Some(2));
    assert!(text(&open.stderr).contains("although-strangers-can-connect"));
    std::fs::write(folder.path().join("config.toml"), "[server]\nprot = 1\n").unwrap();
    let unknown = serve(&[]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("server.prot"));
}

/// `config show --origin` says where each value came from.
#[test]
fn config_show_names_origins() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("config.toml"),
        "[registration]\nmode = \"invite\"\n",
    )
    .unwrap();
    let shown = program(folder.path())
        .args(["config", "show", "--origin"])
        .env("CONCLAVE_SERVER__SERVER__PUBLIC", "chat.example.org")
        .output()
        .unwrap();
    let shown = text(&shown.stdout);
    let line = |key: &str| shown.lines().find(|l| l.starts_with(key)).unwrap();
    assert!(line("registration.mode = \"invite\"").contains("# file"));
    assert!(line("server.public").contains("# environment CONCLAVE_SERVER__SERVER__PUBLIC"));
    assert!(line("server.listen").ends_with("# default"));
}

/// A check names what keeps codes from going out, and tries to reach the other side.
#[test]
fn check_says_why_no_code_can_go_out() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["init"]);
    let check = |config: &str| {
        std::fs::write(folder.path().join("config.toml"), config).unwrap();
        let check = run(folder.path(), &["check"]);
        (check.status.code(), text(&check.stdout))
    };
    let (code, said) = check("[otp]\nsender = \"smtp\"\n");
    assert_eq!(code, Some(1));
    assert!(
        said.contains("fail  otp       `otp.smtp.host` is not set"),
        "{said}"
    );
    // bound and closed again: nobody listens
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let config = format!(
        "[otp]\nsender = \"smtp\"\n[otp.smtp]\nhost = \"127.0.0.1\"\nport = {port}\n\
         tls = \"none\"\nfrom = \"chat@example.org\"\npassword = \"hush\"\n"
    );
    let (code, said) = check(&config);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("warn  otp       the mail server cannot be used"),
        "{said}"
    );
    assert!(said.contains("warn  otp       no codes by texts"), "{said}");
    let shown = text(&run(folder.path(), &["config", "show"]).stdout);
    assert!(
        shown.contains("otp.smtp.password = \"(hidden)\""),
        "{shown}"
    );
    assert!(!shown.contains("hush"));
}

/// A date far past the latest day seen fails the check until it is confirmed, with or without a
/// running server.
#[tokio::test]
async fn c078_the_operator_confirms_a_date() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["init"]);
    let set_back = async || {
        let store = SqliteStore::open(folder.path(), StoreOptions::default()).unwrap();
        store.confirm_day(Day(20_000)).await.unwrap();
    };
    for serve in [false, true] {
        set_back().await;
        let serving = serve.then(|| Serving::start(folder.path()));
        let check = run(folder.path(), &["check"]);
        let said = text(&check.stdout);
        assert_eq!(check.status.code(), Some(1), "{said}");
        assert!(said.contains("clock confirm"), "{said}");
        let confirmed = run(folder.path(), &["clock", "confirm"]);
        assert_eq!(text(&confirmed.stdout), "confirmed\n");
        let check = run(folder.path(), &["check"]);
        assert_eq!(check.status.code(), Some(0), "{}", text(&check.stdout));
        drop(serving);
    }
}

/// A failing check ends with 1 and says how to fix it.
#[test]
fn a_failing_check_says_how_to_fix_it() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["init"]);
    let key = folder.path().join("leaf-key.pem");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let check = run(folder.path(), &["check"]);
    assert_eq!(check.status.code(), Some(1));
    assert!(text(&check.stdout).contains("chmod 600"));
    let database = folder.path().join("store.db");
    std::fs::remove_file(&database).unwrap();
    let check = run(folder.path(), &["check"]);
    assert!(text(&check.stdout).contains("store.db is missing"));
    assert!(!database.exists());
}
