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
}

impl Setting {
    /// All of them, as they are listed.
    pub(crate) const ALL: [Self; 2] = [Self::TrustMode, Self::Typing];

    fn name(self) -> &'static str {
        match self {
            Self::TrustMode => "trust.mode",
            Self::Typing => "typing",
        }
    }

    fn value(self, client: &Client) -> Result<&'static str, Failure> {
        match self {
            Self::TrustMode => Ok(client.trust_mode()?.name()),
            Self::Typing => Ok(if client.says_typing()? { "on" } else { "off" }),
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
        }
    }
}

/// Shows, or changes and shows.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let work = async |client: &Client| {
        let shown = match args.action {
            Action::List => Setting::ALL.to_vec(),
            Action::Get { setting } => vec![setting],
            Action::Set { setting, value } => {
                setting.change(client, &value)?;
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
