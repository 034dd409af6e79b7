//! The exported identity key in the hands of OpenSSL.

#![cfg(test)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use support::{Person, Server};

fn openssl(folder: &Path, args: &[&str]) -> Output {
    Command::new("openssl")
        .args(args)
        .current_dir(folder)
        .output()
        .expect("the program `openssl` is needed for this test; install it (Debian: apt-get install openssl)")
}

/// `openssl pkey` opens the export with its passphrase and with no other, and finds an Ed25519 key.
#[test]
fn openssl_reads_the_exported_key() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let anna = Person::registered(folder.path(), &server, "anna@example.org");
    fs::write(folder.path().join("pass"), "export words\nsecond line").unwrap();
    fs::write(folder.path().join("wrong"), "other words\n").unwrap();
    let exported = anna.ok(&[
        "key",
        "export",
        "key.pem",
        "--export-passphrase-file",
        "pass",
    ]);
    assert_eq!(exported[0]["matches"], true);
    assert_eq!(
        exported[0]["fingerprint"],
        anna.ok(&["whoami"])[0]["fingerprint"]
    );
    let mode = fs::metadata(folder.path().join("key.pem"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600, "only its owner reads it");
    let pem = fs::read_to_string(folder.path().join("key.pem")).unwrap();
    assert_eq!(
        pem.matches("-----BEGIN ENCRYPTED PRIVATE KEY-----").count(),
        2,
        "Ed25519 and ML-DSA-65"
    );

    let read = openssl(
        folder.path(),
        &[
            "pkey",
            "-in",
            "key.pem",
            "-passin",
            "pass:export words",
            "-noout",
            "-text",
        ],
    );
    let text = String::from_utf8_lossy(&read.stdout);
    assert!(
        read.status.success(),
        "{}",
        String::from_utf8_lossy(&read.stderr)
    );
    assert!(text.to_lowercase().contains("ed25519"), "{text}");
    let read = openssl(
        folder.path(),
        &[
            "pkey",
            "-in",
            "key.pem",
            "-passin",
            "pass:other words",
            "-noout",
        ],
    );
    assert!(
        !read.status.success(),
        "another passphrase does not open it"
    );
}

/// An export is never overwritten, opens only with its passphrase, and is known as one's own or not.
#[test]
fn exports_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let anna = Person::registered(folder.path(), &server, "anna@example.org");
    let ben = Person::registered(folder.path(), &server, "ben@example.org");
    for (name, text) in [
        ("pass", "export words\n"),
        ("wrong", "other words\n"),
        ("empty", "\n"),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let with = |name: &'static str| ["--export-passphrase-file", name];
    anna.run(&[&["key", "export", "key.pem"], with("empty").as_slice()].concat())
        .expect_error(2, "EMPTY_PASSPHRASE");
    assert!(
        !folder.path().join("key.pem").exists(),
        "a refused export leaves no file"
    );
    anna.ok(&[&["key", "export", "key.pem"], with("pass").as_slice()].concat());
    let before = fs::read(folder.path().join("key.pem")).unwrap();
    anna.run(&[&["key", "export", "key.pem"], with("pass").as_slice()].concat())
        .expect_error(9, "FILE_EXISTS");
    assert_eq!(fs::read(folder.path().join("key.pem")).unwrap(), before);

    let verify = ["key", "import", "--verify", "key.pem"];
    let row = &anna.ok(&[verify.as_slice(), &with("pass")].concat())[0];
    assert_eq!(row["matches"], true);
    anna.run(&[verify.as_slice(), &with("wrong")].concat())
        .expect_error(3, "PASSPHRASE");
    let outcome = ben.run(&[verify.as_slice(), &with("pass")].concat());
    outcome.expect_error(4, "OTHER_KEY");
    assert_eq!(outcome.rows()[0]["matches"], false);
    fs::write(folder.path().join("noise.pem"), "no key at all").unwrap();
    let noise = anna.run(
        &[
            ["key", "import", "--verify", "noise.pem"].as_slice(),
            &with("pass"),
        ]
        .concat(),
    );
    assert_ne!(noise.code, 0, "{noise}");
}
