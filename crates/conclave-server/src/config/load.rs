//! Puts defaults, file, environment and flags on top of each other and remembers who won.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use toml::{Table, Value};

use super::Config;

/// Variables with this prefix set a key: `CONCLAVE_SERVER__SERVER__LISTEN`.
pub const ENV_PREFIX: &str = "CONCLAVE_SERVER__";

/// Keys whose values are not shown.
const SECRET: [&str; 6] = [
    "server.database",
    "server.nats",
    "blobs.s3_key",
    "otp.smtp.password",
    "otp.http.url",
    "otp.http.secret",
];
/// What is shown instead.
const HIDDEN: &str = "(hidden)";

/// Settings that do not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the config file {path}: {source}; check --config")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("the config file {path} is not valid TOML: {reason}")]
    Toml {
        /// The file.
        path: PathBuf,
        /// Where and what.
        reason: String,
    },
    /// A key that does not exist.
    #[error("unknown setting `{key}` from {origin}; `conclave-server config show` lists them all")]
    UnknownKey {
        /// `section.key`.
        key: String,
        /// Who set it.
        origin: Origin,
    },
    /// A value that its key does not take.
    #[error("`{key}` from {origin} has a value it cannot take: {reason}")]
    BadValue {
        /// `section.key`.
        key: String,
        /// Who set it.
        origin: Origin,
        /// What was wrong, without the value.
        reason: String,
    },
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// The TOML file.
    File(PathBuf),
    /// This environment variable.
    Env(String),
    /// A flag of the command line.
    Flag,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// One key with its value and origin.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// `section.key`.
    pub key: String,
    /// As TOML.
    pub value: Value,
    /// Who set it.
    pub origin: Origin,
}

/// The settings in force.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// All of them.
    pub config: Config,
    origins: BTreeMap<String, Origin>,
}

impl Loaded {
    /// Every key in order, with value and origin.
    pub fn settings(&self) -> Vec<Setting> {
        let plain = plain("", table_of(&self.config));
        let settings = plain.into_iter().map(|(key, value)| {
            let origin = self.origins.get(&key).cloned().unwrap_or(Origin::Default);
            let is_shown = !SECRET.contains(&key.as_str()) || value.as_str() == Some("");
            let value = if is_shown { value } else { HIDDEN.into() };
            Setting { key, value, origin }
        });
        settings.collect()
    }
}

/// Loads the settings: `file` when given (it must then exist), `vars` of the environment, `flags` as
/// (`section.key`, value) pairs.
pub fn load(
    file: Option<&Path>,
    vars: impl Iterator<Item = (String, String)>,
    flags: &[(&str, String)],
) -> Result<Loaded, ConfigError> {
    let mut layers = Layers::default();
    if let Some(path) = file {
        layers.file(path)?;
    }
    for (name, value) in vars {
        if let Some(rest) = name.strip_prefix(ENV_PREFIX) {
            let key = rest.to_ascii_lowercase().replace("__", ".");
            layers.text(key, &value, Origin::Env(name.clone()))?;
        }
    }
    for (key, value) in flags {
        layers.text((*key).to_owned(), value, Origin::Flag)?;
    }
    Ok(layers.loaded())
}

/// The settings that the text of a config file alone gives.
pub fn parse(text: &str) -> Result<Loaded, ConfigError> {
    let mut layers = Layers::default();
    layers.toml(text, Path::new("config.toml"))?;
    Ok(layers.loaded())
}

#[derive(Default)]
struct Layers {
    config: Config,
    origins: BTreeMap<String, Origin>,
}

impl Layers {
    fn loaded(self) -> Loaded {
        Loaded {
            config: self.config,
            origins: self.origins,
        }
    }

    fn file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        self.toml(&text, path)
    }

    fn toml(&mut self, text: &str, path: &Path) -> Result<(), ConfigError> {
        let table: Table = text
            .parse()
            .map_err(|e: toml::de::Error| ConfigError::Toml {
                path: path.to_path_buf(),
                reason: e.message().to_owned(),
            })?;
        for (key, value) in plain("", table) {
            self.set(key, value, Origin::File(path.to_path_buf()))?;
        }
        Ok(())
    }

    /// Sets a key from text, read as the kind of value that the key has.
    fn text(&mut self, key: String, text: &str, origin: Origin) -> Result<(), ConfigError> {
        let bad = |origin, reason: &str| ConfigError::BadValue {
            key: key.clone(),
            origin,
            reason: reason.to_owned(),
        };
        let value = match self.now(&key) {
            None => return Err(ConfigError::UnknownKey { key, origin }),
            Some(Value::Integer(_)) => match text.parse() {
                Ok(number) => Value::Integer(number),
                Err(_) => return Err(bad(origin, "expected a whole number")),
            },
            Some(Value::Boolean(_)) => match text.parse() {
                Ok(yes) => Value::Boolean(yes),
                Err(_) => return Err(bad(origin, "expected true or false")),
            },
            Some(_) => Value::String(text.to_owned()),
        };
        self.set(key, value, origin)
    }

    fn set(&mut self, key: String, value: Value, origin: Origin) -> Result<(), ConfigError> {
        if self.now(&key).is_none() {
            return Err(ConfigError::UnknownKey { key, origin });
        }
        let mut table = table_of(&self.config);
        if let Some(place) = at(&mut table, &key) {
            *place = value;
        }
        self.config = Config::deserialize(table).map_err(|e| ConfigError::BadValue {
            key: key.clone(),
            origin: origin.clone(),
            reason: e.message().trim().replace('\n', " "),
        })?;
        self.origins.insert(key, origin);
        Ok(())
    }

    fn now(&self, key: &str) -> Option<Value> {
        at(&mut table_of(&self.config), key).cloned()
    }
}

/// All values that are no tables, each with its whole key.
fn plain(prefix: &str, table: Table) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (key, value) in table {
        let key = format!("{prefix}{key}");
        match value {
            Value::Table(inner) => found.extend(plain(&format!("{key}."), inner)),
            value => found.push((key, value)),
        }
    }
    found
}

/// The value under a whole key.
fn at<'a>(table: &'a mut Table, key: &str) -> Option<&'a mut Value> {
    match key.split_once('.') {
        None => table.get_mut(key).filter(|value| !value.is_table()),
        Some((section, rest)) => match table.get_mut(section)? {
            Value::Table(inner) => at(inner, rest),
            _ => None,
        },
    }
}

#[expect(
    clippy::expect_used,
    reason = "every field is text, a number in range of i64 or a bool"
)]
fn table_of(config: &Config) -> Table {
    Table::try_from(config).expect("the config is a table of plain values")
}

#[cfg(test)]
mod tests {
    use super::super::{OtpSender, RegistrationMode};
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn env(pairs: &[(&str, &str)]) -> std::vec::IntoIter<(String, String)> {
        let owned: Vec<_> = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        owned.into_iter()
    }

    /// Flags win over the environment, that over the file, that over the defaults.
    #[test]
    fn flags_env_file_defaults_in_this_order() {
        let (_folder, path) = file(
            "[registration]\nmode = \"invite\"\nmax_accounts = 3\n[limits]\nper_network_posts = 9\n",
        );
        let vars = env(&[
            ("CONCLAVE_SERVER__REGISTRATION__MODE", "closed"),
            ("CONCLAVE_SERVER__LIMITS__PER_NETWORK_POSTS", "8"),
            ("CONCLAVE_SERVER_DATA_DIR", "/not/a/setting"),
            ("HOME", "/x"),
        ]);
        let flags = [("registration.mode", "open".to_owned())];
        let loaded = load(Some(&path), vars, &flags).unwrap();
        assert_eq!(loaded.config.registration.mode, RegistrationMode::Open);
        assert_eq!(loaded.config.registration.max_accounts, 3);
        assert_eq!(loaded.config.limits.per_network_posts, 8);
        assert_eq!(loaded.config.otp.sender, OtpSender::Console);
        let origin = |key: &str| {
            let settings = loaded.settings();
            settings.into_iter().find(|s| s.key == key).unwrap().origin
        };
        assert_eq!(origin("registration.mode"), Origin::Flag);
        assert_eq!(origin("registration.max_accounts"), Origin::File(path));
        assert!(matches!(origin("limits.per_network_posts"), Origin::Env(_)));
        assert_eq!(origin("otp.sender"), Origin::Default);
    }

    /// A key that does not exist is an error that names it, wherever it comes from.
    #[test]
    fn unknown_keys_are_named() {
        let (_folder, path) = file("[server]\nlissten = \"x\"\n");
        let refused = load(Some(&path), env(&[]), &[]).unwrap_err().to_string();
        assert!(refused.contains("server.lissten"), "{refused}");
        let vars = env(&[("CONCLAVE_SERVER__NO__SUCH", "1")]);
        let refused = load(None, vars, &[]).unwrap_err().to_string();
        assert!(refused.contains("no.such"), "{refused}");
    }

    /// A value of the wrong kind is an error that names its key.
    #[test]
    fn wrong_values_are_named() {
        for (name, value) in [
            ("CONCLAVE_SERVER__SERVER__LISTEN", "here"),
            ("CONCLAVE_SERVER__REGISTRATION__MODE", "maybe"),
            ("CONCLAVE_SERVER__LIMITS__PER_NETWORK_POSTS", "many"),
            ("CONCLAVE_SERVER__LIMITS__PER_NETWORK_POSTS", "-1"),
            ("CONCLAVE_SERVER__OTP__CONSOLE_BEYOND_LOOPBACK", "perhaps"),
        ] {
            let refused = load(None, env(&[(name, value)]), &[]).unwrap_err();
            assert!(matches!(refused, ConfigError::BadValue { .. }), "{name}");
        }
    }
}
