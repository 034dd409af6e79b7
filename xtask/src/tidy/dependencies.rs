//! Who may depend on whom, and on what terms: crate edges, licences, sources, bans.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, bail};

use super::Findings;
use crate::step::{OpenSsl, cargo};

/// The edges of `docs/ARCHITECTURE.md`: each crate and the crates of ours that it may link.
const EDGES: [(&str, &[&str]); 11] = [
    ("conclave-proto", &[]),
    ("conclave-classic", &["conclave-proto"]),
    ("conclave-core", &["conclave-proto"]),
    ("conclave-client", &["conclave-core", "conclave-proto"]),
    ("conclave-server", &["conclave-classic", "conclave-proto"]),
    (
        "conclave",
        &[
            "conclave-classic",
            "conclave-client",
            "conclave-core",
            "conclave-proto",
        ],
    ),
    (
        "conclave-bench",
        &[
            "conclave-classic",
            "conclave-client",
            "conclave-core",
            "conclave-hostile",
            "conclave-proto",
            "conclave-server",
        ],
    ),
    ("conclave-hostile", &["conclave-core", "conclave-proto"]),
    // reads what either side reads; only tests and libFuzzer run it
    (
        "conclave-fuzz",
        &[
            "conclave-classic",
            "conclave-core",
            "conclave-hostile",
            "conclave-proto",
            "conclave-server",
        ],
    ),
    (
        "conclave-sim",
        &[
            "conclave-client",
            "conclave-core",
            "conclave-hostile",
            "conclave-proto",
            "conclave-server",
        ],
    ),
    ("xtask", &[]),
];

/// The crates that may call OpenMLS: the one that checks what it says, and the one that forges for tests.
/// Nobody may link the latter but for tests: only another crate for tests has it in its edges.
const MLS: [&str; 2] = ["conclave-core", "conclave-hostile"];

/// What a crate may not link, directly or through others: (crate, package, reason).
const FORBIDDEN: [(&str, &str, &str); 8] = [
    (
        "conclave-classic",
        "openmls",
        "the classic protocols know no MLS",
    ),
    ("conclave-server", "openmls", "the server links no MLS"),
    (
        "conclave-proto",
        "openmls",
        "both sides' language knows no MLS",
    ),
    (
        "conclave-proto",
        "tokio",
        "both sides' language does no I/O",
    ),
    (
        "conclave-core",
        "tokio",
        "core is synchronous and has no socket",
    ),
    ("conclave-core", "rustls", "core has no socket"),
    ("conclave-core", "rusqlite", "core has no database"),
    ("xtask", "conclave-proto", "xtask links no Conclave crate"),
];

/// Packages of which there may be one version at most: a second one is a second implementation of
/// the same job, or two copies of one C library.
const ONCE: [&str; 6] = [
    "aws-lc-rs",
    "aws-lc-sys",
    "libsqlite3-sys",
    "openmls",
    "rusqlite",
    "rustls",
];

/// Packages that may not be linked at all: a second TLS, a second provider for TLS.
const NEVER: [&str; 5] = [
    "native-tls",
    "openssl",
    "openmls_sqlite_storage",
    "ring",
    "boring",
];

/// Licences that a dependency may come under; each is compatible with ours. The last two cover parts
/// of SQLCipher's source.
const LICENCES: [&str; 15] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "WTFPL",
    "blessing",
];

/// Checks manifests, lock file and the tree that cargo resolves.
pub(crate) fn check(root: &Path, findings: &mut Findings) -> anyhow::Result<()> {
    manifests(root, findings)?;
    let lock = std::fs::read_to_string(root.join("Cargo.lock"))?;
    lock_file(&lock, findings);
    let workspace = tree(root, &["--workspace", "--edges", "normal,build,dev"])?;
    licences(&workspace, findings);
    never(&workspace, findings);
    for (name, package, reason) in FORBIDDEN {
        let linked = tree(root, &["--package", name, "--edges", "normal,build"])?;
        if linked.iter().any(|(found, _)| found == package) {
            findings.error(format!("{name} links {package}: {reason}"));
        }
    }
    Ok(())
}

/// `(package, licence)` of everything that cargo would link for `arguments`.
fn tree(root: &Path, arguments: &[&str]) -> anyhow::Result<Vec<(String, String)>> {
    let output = cargo(root, OpenSsl::Vendored)
        .args([
            "tree",
            "--locked",
            "--prefix",
            "none",
            "--no-dedupe",
            "--format",
            "{p}\t{l}",
        ])
        .args(arguments)
        // what a package links by itself, whatever the caller's builds share
        .env_remove("CARGO_RESOLVER_FEATURE_UNIFICATION")
        .stderr(Stdio::inherit())
        .output()
        .context("cargo tree did not start")?;
    if !output.status.success() {
        bail!("cargo tree ended with {}", output.status);
    }
    let text = String::from_utf8(output.stdout).context("cargo tree printed no text")?;
    let mut packages: Vec<(String, String)> = text.lines().filter_map(package).collect();
    packages.sort();
    packages.dedup();
    Ok(packages)
}

/// `name v1.2.3 (path)<tab>licence` as `(name, licence)`.
fn package(line: &str) -> Option<(String, String)> {
    let (package, licence) = line.split_once('\t')?;
    Some((
        package.split(' ').next()?.to_owned(),
        licence.trim().to_owned(),
    ))
}

fn manifests(root: &Path, findings: &mut Findings) -> anyhow::Result<()> {
    wildcards(
        "Cargo.toml",
        &std::fs::read_to_string(root.join("Cargo.toml"))?,
        findings,
    );
    let mut crates = vec![root.join("xtask")];
    for entry in std::fs::read_dir(root.join("crates"))? {
        crates.push(entry?.path());
    }
    crates.sort();
    for folder in crates {
        let name = folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let text = std::fs::read_to_string(folder.join("Cargo.toml"))
            .with_context(|| format!("{name} has no readable Cargo.toml"))?;
        edges(&name, &text, findings);
        wildcards(&name, &text, findings);
    }
    Ok(())
}

/// Compares the crates of ours that `manifest` links with the edges that are allowed.
fn edges(name: &str, manifest: &str, findings: &mut Findings) {
    let Some((_, allowed)) = EDGES.iter().find(|(known, _)| *known == name) else {
        findings.error(format!(
            "{name}: add its edges to docs/ARCHITECTURE.md and to tidy"
        ));
        return;
    };
    let mut section = "";
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line.trim();
        }
        let key = line.split(['.', ' ', '=']).next().unwrap_or_default();
        let ours = key == "conclave" || key.starts_with("conclave-");
        let links = matches!(section, "[dependencies]" | "[build-dependencies]");
        if ours && links && !allowed.contains(&key) {
            findings.error(format!("{name} may not depend on {key}"));
        }
        if key.starts_with("openmls") && links && !MLS.contains(&name) {
            findings.error(format!("{name} may not call OpenMLS itself"));
        }
        if name == "xtask" && ours {
            findings.error(format!("{name} may not depend on {key}, not even in tests"));
        }
    }
}

/// No version without a bound, nothing from a repository.
fn wildcards(name: &str, manifest: &str, findings: &mut Findings) {
    for line in manifest
        .lines()
        .map(|line| line.split('#').next().unwrap_or(line))
    {
        let spaceless: String = line.split_whitespace().collect();
        if spaceless.contains("=\"*\"") {
            findings.error(format!(
                "{name}: a dependency needs a version: {}",
                line.trim()
            ));
        }
        if spaceless.contains("git=\"") {
            findings.error(format!("{name}: no dependency from git: {}", line.trim()));
        }
    }
}

/// Everything comes from the registry, and what must exist once exists once.
fn lock_file(lock: &str, findings: &mut Findings) {
    for line in lock.lines().filter(|line| line.starts_with("source = ")) {
        if !line.starts_with("source = \"registry+") {
            findings.error(format!("Cargo.lock: not from a registry: {line}"));
        }
    }
    for name in ONCE {
        let entry = format!("name = \"{name}\"");
        let versions = lock.lines().filter(|line| **line == entry).count();
        if versions > 1 {
            findings.error(format!(
                "Cargo.lock: {versions} versions of {name}, one is the most"
            ));
        }
    }
}

fn never(packages: &[(String, String)], findings: &mut Findings) {
    for (name, _) in packages {
        if NEVER.contains(&name.as_str()) {
            findings.error(format!(
                "{name} may not be linked: the job is done by another crate"
            ));
        }
    }
}

fn licences(packages: &[(String, String)], findings: &mut Findings) {
    for (name, licence) in packages {
        if !is_allowed(licence) {
            findings.error(format!("{name}: licence `{licence}` is not on the list"));
        }
    }
}

/// Judges an SPDX expression: of each alternative one must do, of a conjunction all.
fn is_allowed(expression: &str) -> bool {
    let parts = split_outside(expression, &[" OR ", "/"]);
    if parts.len() > 1 {
        return parts.iter().any(|part| is_allowed(part));
    }
    let parts = split_outside(expression, &[" AND "]);
    if parts.len() > 1 {
        return parts.iter().all(|part| is_allowed(part));
    }
    let word = expression.trim();
    match word
        .strip_prefix('(')
        .and_then(|inner| inner.strip_suffix(')'))
    {
        Some(inner) => is_allowed(inner),
        None => LICENCES.contains(&word),
    }
}

/// Splits at any of `separators` that stands outside parentheses.
fn split_outside<'a>(text: &'a str, separators: &[&str]) -> Vec<&'a str> {
    let mut depth = 0_i32;
    for (at, c) in text.char_indices() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        let (head, tail) = text.split_at(at);
        let hit = separators.iter().find_map(|word| tail.strip_prefix(word));
        if let (0, Some(rest)) = (depth, hit) {
            let mut parts = vec![head];
            parts.extend(split_outside(rest, separators));
            return parts;
        }
    }
    vec![text]
}

#[cfg(test)]
mod tests {
    use super::{Findings, edges, is_allowed, lock_file, package, wildcards};

    fn errors(check: impl FnOnce(&mut Findings)) -> Vec<String> {
        let mut findings = Findings::default();
        check(&mut findings);
        findings.errors
    }

    /// An edge against the arrows is refused, one along them and one for tests is not.
    #[test]
    fn refuses_edges_against_the_arrows() {
        let manifest = "[dependencies]\nconclave-proto.workspace = true\n[dev-dependencies]\nconclave-server.workspace = true\n";
        assert_eq!(
            errors(|f| edges("conclave-core", manifest, f)),
            Vec::<String>::new()
        );
        let manifest = "[dependencies]\nconclave-core = { path = \"x\" }\n";
        assert_eq!(errors(|f| edges("conclave-server", manifest, f)).len(), 1);
        assert_eq!(errors(|f| edges("conclave-new", "", f)).len(), 1);
    }

    /// What forges is for tests only, and MLS is called where its answers are checked.
    #[test]
    fn refuses_forgers_outside_tests() {
        let manifest = "[dev-dependencies]\nconclave-hostile.workspace = true\n";
        let found = errors(|f| edges("conclave-client", manifest, f));
        assert_eq!(found, Vec::<String>::new());
        let manifest = "[dependencies]\nconclave-hostile.workspace = true\n";
        assert_eq!(errors(|f| edges("conclave-client", manifest, f)).len(), 1);
        let manifest = "[dependencies]\nopenmls.workspace = true\n";
        assert_eq!(errors(|f| edges("conclave-client", manifest, f)).len(), 1);
        assert_eq!(
            errors(|f| edges("conclave-core", manifest, f)),
            Vec::<String>::new()
        );
    }

    /// Versions have a bound and sources are registries; comments may say what they like.
    #[test]
    fn refuses_wildcards_and_git() {
        let manifest =
            "a = \"*\"\nb = { version = \"*\" }\nc = { git = \"x\" }\nd = \"1\" # git = \"x\"\n";
        assert_eq!(errors(|f| wildcards("x", manifest, f)).len(), 3);
        assert_eq!(
            errors(|f| lock_file("source = \"git+https://x\"\n", f)).len(),
            1
        );
        assert_eq!(
            errors(|f| lock_file("source = \"registry+https://x\"\n", f)),
            Vec::<String>::new()
        );
    }

    /// Two copies of SQLite's C code in one lock file are refused.
    #[test]
    fn refuses_a_second_sqlite() {
        let lock = "name = \"libsqlite3-sys\"\nname = \"libsqlite3-sys\"\n";
        assert_eq!(errors(|f| lock_file(lock, f)).len(), 1);
    }

    /// Licence expressions are judged as they are meant, old slashes included.
    #[test]
    fn judges_licences() {
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR X) AND Unicode-3.0",
            "ISC AND (X OR ISC)",
        ] {
            assert!(is_allowed(good), "{good}");
        }
        for bad in [
            "",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(X OR Y) AND MIT",
            "AGPL-3.0/GPL-3.0",
        ] {
            assert!(!is_allowed(bad), "{bad}");
        }
    }

    /// cargo's line is read as it is printed.
    #[test]
    fn reads_cargo_tree() {
        let found = package("serde v1.0.1 (proc-macro)\tMIT OR Apache-2.0");
        assert_eq!(
            found,
            Some(("serde".to_owned(), "MIT OR Apache-2.0".to_owned()))
        );
    }
}
