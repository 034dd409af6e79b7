//! The command line: what can be said, and the help that goes with it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use conclave_classic::suite::{Suite, UnknownSuite};

/// Conclave's server: keeps sealed conversations that it cannot read.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n  conclave-server serve\n  conclave-server address --public chat.example.org:5000"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command; before or after its name.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Folder with keys and database [default: $XDG_DATA_HOME/conclave-server or
    /// ~/.local/share/conclave-server]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "CONCLAVE_SERVER_DATA_DIR",
        hide_env_values = true
    )]
    pub(crate) data_dir: Option<PathBuf>,
    /// TOML settings [default: config.toml in the data folder, when there is one]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "CONCLAVE_SERVER_CONFIG",
        hide_env_values = true
    )]
    pub(crate) config: Option<PathBuf>,
    /// Database that several servers share: `postgres://USER@HOST[,HOST…]/DATABASE` without a password,
    /// which PGPASSFILE or PGPASSWORD brings; or all of it in CONCLAVE_DATABASE [default: the data folder]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) database: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make keys and an empty database; safe to repeat
    #[command(
        after_help = "Examples:\n  conclave-server init\n  conclave-server init --data-dir /srv/conclave"
    )]
    Init,
    /// Run the server; makes what an empty data folder lacks
    #[command(
        after_help = "Examples:\n  conclave-server serve\n  conclave-server serve --listen 127.0.0.1:0 --registration invite"
    )]
    Serve(Serve),
    /// Check data folder, keys, settings and stored data; each finding has a fix
    #[command(
        after_help = "Examples:\n  conclave-server check\n  conclave-server check --data-dir /srv/conclave"
    )]
    Check,
    /// Move a stopped server's store into an empty shared database; checks all of it, changes nothing before
    #[command(
        after_help = "Examples:\n  conclave-server migrate-store --from sqlite:/srv/conclave --to postgres://conclave@db/conclave\n  conclave-server migrate-store --from sqlite:/srv/conclave  # the database of the settings"
    )]
    MigrateStore {
        /// `sqlite:` and the data folder of the server, which is stopped
        #[arg(long, value_name = "sqlite:DIR")]
        from: String,
        /// The empty database, without a password as in `--database` [default: that of the settings]
        #[arg(long, value_name = "URL")]
        to: Option<String>,
    },
    /// Ask the running server whether it is ready
    #[command(
        after_help = "Examples:\n  conclave-server health\n  conclave-server health --data-dir /srv/conclave && echo up"
    )]
    Health,
    /// Print the address that people register with, and nothing else
    #[command(
        after_help = "Examples:\n  conclave-server address\n  conclave-server address --public chat.example.org:5000"
    )]
    Address {
        /// Host and port that clients reach the server under
        #[arg(long, value_name = "HOST:PORT")]
        public: Option<String>,
    },
    /// Invites, for `--registration invite`
    #[command(
        subcommand,
        after_help = "Examples:\n  conclave-server invite create\n  conclave-server invite create --uses 10 --expires 30d"
    )]
    Invite(Invite),
    /// The server's idea of the day
    #[command(
        subcommand,
        after_help = "Examples:\n  conclave-server clock confirm\n  conclave-server clock confirm --data-dir /srv/conclave"
    )]
    Clock(ClockCommand),
    /// The classic protocols (docs/classic.md); `serve --classic ADDR:PORT` switches them on
    #[command(
        subcommand,
        after_help = "Examples:\n  conclave-server classic public-key --suite rsa\n  conclave-server classic public-key --suite ec > ec.pem"
    )]
    Classic(Classic),
    /// Settings
    #[command(
        subcommand,
        after_help = "Examples:\n  conclave-server config show\n  conclave-server config show --origin"
    )]
    Config(ConfigCommand),
}

/// Flags of `serve`.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Address to listen on; port 0 = any free one [default: 127.0.0.1:5000]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Who sends one-time codes [default: console]
    #[arg(long, value_enum)]
    pub(crate) otp: Option<Otp>,
    /// Who may register [default: open]
    #[arg(long, value_enum)]
    pub(crate) registration: Option<Registration>,
    /// Offer the classic protocols too, on this address [default: off]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) classic: Option<SocketAddr>,
    /// Where files of clients lie: `s3://BUCKET?endpoint=URL&region=NAME` [default: the data folder]
    #[arg(long, value_name = "STORE")]
    pub(crate) blobs: Option<String>,
    /// NATS between the servers of one database: `nats://HOST:PORT` or `tls://…`, several with commas; with
    /// a password in the settings alone [default: none]
    #[arg(long, value_name = "URL")]
    pub(crate) nats: Option<String>,
    /// Let the console sender work while listening beyond this machine: whoever sees this terminal
    /// can register any identifier
    #[arg(long)]
    pub(crate) print_codes_on_this_terminal_although_strangers_can_connect: bool,
}

/// The classic protocols.
#[derive(Debug, Subcommand)]
pub(crate) enum Classic {
    /// Print the key that classic clients must know beforehand, PEM; makes it when missing
    #[command(
        after_help = "Examples:\n  conclave-server classic public-key --suite rsa > rsa.pem\n  conclave-server classic public-key --suite ec --data-dir /srv/conclave"
    )]
    PublicKey {
        /// `rsa` or `ec`
        #[arg(long, value_name = "SUITE", value_parser = suite)]
        suite: Suite,
    },
}

fn suite(text: &str) -> Result<Suite, UnknownSuite> {
    text.parse()
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Otp {
    /// Print them on standard output
    Console,
    /// E-mail, by the mail server in [otp.smtp]
    Smtp,
    /// Signed webhook to the address in [otp.http]: any SMS gateway
    Http,
}

impl Otp {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::Smtp => "smtp",
            Self::Http => "http",
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Registration {
    /// Everybody who gets a code
    Open,
    /// Who also has an invite
    Invite,
    /// Nobody
    Closed,
}

impl Registration {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Invite => "invite",
            Self::Closed => "closed",
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Invite {
    /// Make an invite and print its token; works while the server runs
    #[command(
        after_help = "Examples:\n  conclave-server invite create\n  conclave-server invite create --uses 10 --expires 30d"
    )]
    Create {
        /// How many may register with it
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        uses: u32,
        /// How long it is good: a number with s, m, h or d
        #[arg(long, value_name = "DUR", default_value = "7d", value_parser = duration)]
        expires: Duration,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClockCommand {
    /// Say that today's date is right although the server has not run for days; things expire again
    #[command(
        after_help = "Examples:\n  conclave-server clock confirm\n  conclave-server clock confirm --data-dir /srv/conclave"
    )]
    Confirm,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every setting in force
    #[command(
        after_help = "Examples:\n  conclave-server config show\n  conclave-server config show --origin"
    )]
    Show {
        /// Also say where each value came from
        #[arg(long)]
        origin: bool,
    },
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time; write it as in 90s, 30m, 12h or 7d");
    let (number, unit) = text
        .char_indices()
        .next_back()
        .and_then(|(at, unit)| Some((text.get(..at)?, unit)))
        .ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = number.checked_mul(seconds).filter(|&s| s > 0);
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// Flags work before and after the command, and clap finds no contradiction.
    #[test]
    fn common_flags_work_on_both_sides() {
        Cli::command().debug_assert();
        for line in [
            ["conclave-server", "--data-dir", "/x", "address"],
            ["conclave-server", "address", "--data-dir", "/x"],
        ] {
            let cli = Cli::parse_from(line);
            assert_eq!(cli.common.data_dir, Some(PathBuf::from("/x")));
        }
    }

    /// The help of each command ends with two examples.
    #[test]
    fn every_help_ends_with_two_examples() {
        fn look(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string);
            let help = help.unwrap_or_default();
            let examples = help.lines().filter(|l| l.starts_with("  conclave-server"));
            assert_eq!(examples.count(), 2, "{}", command.get_name());
            command.get_subcommands().for_each(look);
        }
        look(&Cli::command());
    }

    /// Times are a number and a unit.
    #[test]
    fn times_are_a_number_and_a_unit() {
        assert_eq!(duration("2d"), Ok(Duration::from_hours(48)));
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        for wrong in [
            "",
            "d",
            "7",
            "7w",
            "-1d",
            "0d",
            "99999999999999999999d",
            "7é",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
