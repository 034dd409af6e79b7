//! `conclave config`: settings of a profile.

use clap::ValueEnum;
use conclave_client::view::TrustMode;
use conclave_client::{Client, ClientError};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::SettingRow;

/// Show and change settings of this profile.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave config list
  conclave config set trust.mode strict")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show all settings
    #[command(after_help = "Examples:
  conclave config list
  conclave config list -o json")]
    List,
    /// Show one setting
    #[command(after_help = "Examples:
  conclave config get trust.mode
  conclave config get trust.mode -o json")]
    Get {
        /// The setting
        setting: Setting,
    },
    /// Change one setting
    #[command(after_help = "Examples:
  conclave config set trust.mode strict
  conclave config set trust.mode tofu")]
    Set {
        /// The setting
        setting: Setting,
        /// Its new value
        value: String,
    },
}

/// What can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize, JsonSchema)]
pub(crate) enum Setting {
    /// `tofu`: send to whoever is pinned on first use; `strict`: only to people whose safety number was compared
    #[value(name = "trust.mode")]
    #[serde(rename = "trust.mode")]
    TrustMode,
    /// `on`: accepted people see that you are writing; `off`: they do not
    #[value(name = "typing")]
    #[serde(rename = "typing")]
    Typing,
    /// The largest file that is sent or loaded: bytes, or with KiB, MiB, GiB; the server has its own limit
    #[value(name = "attachments.max")]
    #[serde(rename = "attachments.max")]
    AttachmentsMax,
    /// Files up to this size are loaded when they come, from people you accepted; `off`: none
    #[value(name = "attachments.auto")]
    #[serde(rename = "attachments.auto")]
    AttachmentsAuto,
}

impl Setting {
    /// All of them, as they are listed.
    pub(crate) const ALL: [Self; 4] = [
        Self::TrustMode,
        Self::Typing,
        Self::AttachmentsMax,
        Self::AttachmentsAuto,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::TrustMode => "trust.mode",
            Self::Typing => "typing",
            Self::AttachmentsMax => "attachments.max",
            Self::AttachmentsAuto => "attachments.auto",
        }
    }

    fn value(self, client: &Client) -> Result<String, Failure> {
        match self {
            Self::TrustMode => Ok(client.trust_mode()?.name().to_owned()),
            Self::Typing => Ok(on_off(client.says_typing()?).to_owned()),
            Self::AttachmentsMax => Ok(client.attachment_bytes_max()?.to_string()),
            Self::AttachmentsAuto => Ok(match client.attachment_auto_bytes()? {
                0 => "off".to_owned(),
                bytes => bytes.to_string(),
            }),
        }
    }

    /// It and its value.
    pub(crate) fn row(self, client: &Client) -> Result<SettingRow, Failure> {
        Ok(SettingRow {
            setting: self.name(),
            value: self.value(client)?,
        })
    }

    /// Sets it; a word that it does not know is refused with those that it does.
    pub(crate) fn change(self, client: &Client, value: &str) -> Result<(), Failure> {
        match self {
            Self::TrustMode => {
                let mode = TrustMode::from_name(value).ok_or_else(|| {
                    ClientError::BadInput(format!("`{value}` is no trust mode; say tofu or strict"))
                })?;
                Ok(client.set_trust_mode(mode)?)
            }
            Self::Typing => {
                let is_on = match value {
                    "on" => true,
                    "off" => false,
                    other => {
                        let why = format!("say on or off, not `{other}`");
                        return Err(ClientError::BadInput(why).into());
                    }
                };
                Ok(client.set_says_typing(is_on)?)
            }
            Self::AttachmentsMax => Ok(client.set_attachment_bytes_max(bytes(value)?)?),
            Self::AttachmentsAuto => {
                let bytes = if value == "off" { 0 } else { bytes(value)? };
                Ok(client.set_attachment_auto_bytes(bytes)?)
            }
        }
    }
}

fn on_off(is_on: bool) -> &'static str {
    if is_on { "on" } else { "off" }
}

/// A size: whole bytes, or with `KiB`, `MiB`, `GiB`.
fn bytes(text: &str) -> Result<u64, Failure> {
    let wrong = || {
        let why = format!("`{text}` is no size; write bytes, or 100MiB");
        Failure::from(ClientError::BadInput(why))
    };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.trim_end().parse().map_err(|_| wrong())?;
    let factor: u64 = match text.strip_prefix(digits).unwrap_or_default() {
        "" | "B" => 1,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).ok_or_else(wrong)
}

/// Shows, or changes and shows.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let work = async |client: &Client| {
        let shown = match args.action {
            Action::List => Setting::ALL.to_vec(),
            Action::Get { setting } => vec![setting],
            Action::Set { setting, value } => {
                // A wrong word on the command line.
                let changed = setting.change(client, &value);
                changed.map_err(|failure| match failure.code.as_str() {
                    "BAD_INPUT" => Failure::usage(failure.message),
                    _ => failure,
                })?;
                vec![setting]
            }
        };
        for setting in shown {
            context.out.row(&setting.row(client)?)?;
        }
        Ok(())
    };
    context.with_client(work).await
}
