//! What `deploy/` gives the server exists: every flag of `serve`, every setting from the environment.

use std::path::Path;

use super::{Findings, tree};

/// Kinds of files that start the server.
const KINDS: [&str; 3] = ["yaml", "service", "conf"];

/// Checks every file of `deploy/` against the server's own sources.
pub(crate) fn check(root: &Path, findings: &mut Findings) -> anyhow::Result<()> {
    let source =
        |file: &str| std::fs::read_to_string(root.join("crates/conclave-server/src").join(file));
    let known = flags_of(&source("cli.rs")?);
    let settings = source("config.rs")?;
    let mut paths = Vec::new();
    for kind in KINDS {
        tree::collect(&root.join("deploy"), kind, &mut paths)?;
    }
    paths.push(root.join("deploy/Containerfile"));
    for path in paths {
        let (name, text) = (tree::relative(root, &path), std::fs::read_to_string(&path)?);
        for flag in given(&text) {
            if !known.contains(&flag) {
                findings.error(format!("{name}: `conclave-server serve` has no {flag}"));
            }
        }
        for variable in settings_of(&text) {
            let is_key = |key: &str| settings.contains(&format!("pub {key}: "));
            if !variable.split('.').all(is_key) {
                findings.error(format!("{name}: the server has no setting {variable}"));
            }
        }
    }
    Ok(())
}

/// Flags that every command or `serve` has, as `--name`.
fn flags_of(cli: &str) -> Vec<String> {
    let mut flags = Vec::new();
    let mut is_inside = false;
    for line in cli.lines() {
        if let Some(rest) = line.strip_prefix("pub(crate) struct ") {
            is_inside = rest.starts_with("Common ") || rest.starts_with("Serve ");
        }
        let field = line
            .trim()
            .strip_prefix("pub(crate) ")
            .and_then(|rest| rest.split_once(": "));
        if let Some((field, _)) = field.filter(|_| is_inside) {
            flags.push(format!("--{}", field.replace('_', "-")));
        }
    }
    flags
}

/// Flags behind a `serve`: on its line, and on the lines after it that begin with one.
fn given(text: &str) -> Vec<String> {
    let mut flags = Vec::new();
    let mut is_open = false;
    for line in text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
    {
        let words = line.split(|c: char| c.is_whitespace() || "[],\"'".contains(c));
        let mut words = words
            .filter(|word| !word.is_empty() && *word != "-")
            .peekable();
        is_open &= words.peek().is_some_and(|word| word.starts_with("--"));
        for word in words {
            is_open |= word == "serve";
            if is_open && word.starts_with("--") {
                flags.push(word.split('=').next().unwrap_or(word).to_owned());
            }
        }
    }
    flags
}

/// `CONCLAVE_SERVER__A__B` as `a.b`.
fn settings_of(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_ascii_uppercase() && c != '_' && !c.is_ascii_digit());
    let names = words.filter_map(|word| word.strip_prefix("CONCLAVE_SERVER__"));
    let whole =
        names.filter(|name| !name.is_empty() && !name.ends_with('_') && *name != "SECTION__KEY");
    whole
        .map(|name| name.to_ascii_lowercase().replace("__", "."))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{flags_of, given, settings_of};

    /// Flags of the server are found in lists, on one line and over several; those of other programs are not.
    #[test]
    fn finds_what_is_given_to_the_server() {
        let list = "command: [serve, \"--listen=0.0.0.0:1\"]\nother: [\"--cluster=x\"]\n";
        assert_eq!(given(list), ["--listen"]);
        let lines =
            "Exec=x serve --otp smtp \\\n  --nats a \\\n  --blobs b\nRestart=no\n  --else\n";
        assert_eq!(given(lines), ["--otp", "--nats", "--blobs"]);
        assert_eq!(
            given("- serve\n- --listen=a\n# --no\n- --otp=b\nports: 1\n- --no\n").len(),
            2
        );
        assert_eq!(
            settings_of("X: 1\nCONCLAVE_SERVER__OTP__SMTP__HOST: a"),
            ["otp.smtp.host"]
        );
    }

    /// A flag of another command is none of `serve`.
    #[test]
    fn knows_the_flags_of_serve() {
        let cli = "pub(crate) struct Serve {\n    pub(crate) a_b: X,\n}\npub(crate) struct Other {\n    \
                   pub(crate) c: X,\n}\n";
        assert_eq!(flags_of(cli), ["--a-b"]);
    }
}
