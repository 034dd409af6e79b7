//! The command line as clap sees it: global flags and the list of commands.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use crate::commands;
use crate::console::Console;
use crate::exit::Failure;
use crate::output::{Format, Output};
use crate::profile::profile_name;

/// Talk to people through a server that cannot read you.
#[derive(Debug, Parser)]
#[command(
    name = "conclave",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(after_help = "Examples:
  conclave register --server conclave://KEY@chat.example.org --phone +4915112345678
  conclave send anna@example.org 'hello'")]
pub(crate) struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that stand before or after the command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Which account of this computer: letters, digits, `-`, `_`, `.`
    #[arg(
        short,
        long,
        global = true,
        value_name = "NAME",
        default_value = "default"
    )]
    #[arg(env = "CONCLAVE_PROFILE", hide_env_values = true, value_parser = profile_name)]
    pub(crate) profile: String,
    /// Folder that holds the profiles [default: $XDG_DATA_HOME/conclave]
    #[arg(long, global = true, value_name = "DIR")]
    #[arg(env = "CONCLAVE_DATA_DIR", hide_env_values = true)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Rows for people, or JSON Lines for programs
    #[arg(
        short,
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub(crate) output: Format,
    /// Never ask anything
    #[arg(long, global = true)]
    pub(crate) no_input: bool,
    /// How long to wait for the server: `30s`, `500ms`, `2m`, or seconds
    #[arg(long, global = true, value_name = "DUR", default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Log more to standard error; repeat for more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// File whose first line is the profile's passphrase
    #[arg(long, global = true, value_name = "FILE")]
    #[arg(env = "CONCLAVE_PASSPHRASE_FILE", hide_env_values = true)]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Keep a new profile's key in a file instead of under a passphrase
    #[arg(long, global = true)]
    pub(crate) no_passphrase: bool,
}

/// The commands; each has a file of its own in `commands/`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an account: ask the server for a code, then confirm it
    Register(commands::register::Args),
    /// Join an account that lives on another device
    Link(commands::link::Args),
    /// List, rename and remove the account's devices, let new ones in
    Device(commands::device::Args),
    /// Show this account
    Whoami(commands::whoami::Args),
    /// Show connection, queue, unread messages and problems
    Status(commands::status::Args),
    /// Send a message
    Send(commands::send::Args),
    /// List and load files of messages
    Attachment(commands::attachment::Args),
    /// Answer a message
    Reply(commands::reply::Args),
    /// Put an emoji on a message
    React(commands::react::Args),
    /// Give a message of yours other words
    Edit(commands::edit::Args),
    /// Delete a message, for you or for everyone
    Delete(commands::delete::Args),
    /// Send what a message says to others
    Forward(commands::forward::Args),
    /// Hold a message up in its chat
    Pin(commands::pin::PinArgs),
    /// Hold a message up no longer
    Unpin(commands::pin::UnpinArgs),
    /// Show the messages held up in a chat
    Pins(commands::pin::PinsArgs),
    /// Show or set after what time messages disappear
    Timer(commands::timer::Args),
    /// Tell a chat that you are writing
    Typing(commands::typing::Args),
    /// Show or change the name and picture that contacts see
    Profile(commands::profile::Args),
    /// Write and see messages in one terminal
    Chat(commands::chat::Args),
    /// Print messages as they come in
    Listen(commands::listen::Args),
    /// Mark a chat as read
    Read(commands::read::Args),
    /// Count unread messages, or mark a chat as unread
    Unread(commands::unread::Args),
    /// List chats, and pin or clear one
    Chats(commands::chats::Args),
    /// Show the newest messages of a chat
    History(commands::history::Args),
    /// Look for words in all messages
    Search(commands::search::Args),
    /// Write out all messages of a chat
    Export(commands::export::Args),
    /// Keep a chat silent
    Mute(commands::mute::Args),
    /// Put a chat away
    Archive(commands::archive::Args),
    /// Fetch a chat back that was put away
    Unarchive(commands::archive::BackArgs),
    /// Show, keep or send what you began to write
    Draft(commands::draft::Args),
    /// Show one message in detail
    Info(commands::info::Args),
    /// Compare safety numbers
    Safety(commands::safety::Args),
    /// List, rename and block people
    Contact(commands::contact::Args),
    /// Decide about strangers who wrote first
    Request(commands::request::Args),
    /// Make groups and change who is in them
    Group(commands::group::Args),
    /// Ask to come into a group by its link
    Join(commands::join::Args),
    /// Export the identity key, check an export, or replace the key
    Key(commands::key::Args),
    /// Show and change settings of this profile
    Config(commands::config::Args),
    /// Change what unlocks this profile
    Passphrase(commands::passphrase::Args),
    /// List or write out what shows that somebody misbehaved
    Proofs(commands::proofs::Args),
    /// Open the page: this profile's chats in the browser
    Web(commands::web::Args),
    /// Keep this profile open and online, for all its commands at once
    Daemon(commands::daemon::Args),
    /// Serve JSON-RPC to a program
    Rpc(commands::rpc::Args),
    /// Make, list and revoke tokens for programs that use HTTP
    Token(commands::token::Args),
    /// Have the daemon post events to an address
    Webhook(commands::webhook::Args),
    /// Check clock, server, store and keys
    Doctor(commands::doctor::Args),
    /// Show where this profile lives
    Paths(commands::paths::Args),
    /// Speak the classic protocols: RSA or P-256 over JSON lines
    Classic(commands::classic::Args),
    /// Print a completion script for a shell
    Completions(commands::completions::Args),
    /// Print the manual page, or write all of them to a folder
    Man(commands::man::Args),
}

impl Command {
    /// Whether the daemon of the profile runs it, when there is one. Others need no profile, or are the daemon.
    pub(crate) const fn is_hosted(&self) -> bool {
        if let Self::Rpc(args) = self {
            return args.is_hosted();
        }
        if let Self::Listen(args) = self {
            return args.is_hosted();
        }
        !matches!(
            self,
            Self::Daemon(_)
                | Self::Web(_)
                | Self::Paths(_)
                | Self::Classic(_)
                | Self::Completions(_)
                | Self::Man(_)
        )
    }
}

/// A duration: a whole number with `ms`, `s`, `m` or `h`; without a unit, seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("`{text}` is no duration; write 30s, 500ms, 2m, 1h or plain seconds");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| expected())?;
    let factor = match text.strip_prefix(digits).unwrap_or_default() {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(expected()),
    };
    let ms = number.checked_mul(factor).filter(|ms| *ms <= MS_MAX);
    ms.map(Duration::from_millis).ok_or_else(expected)
}

/// A hundred years, in ms: longer waits would overflow the timers below us.
const MS_MAX: u64 = 100 * 365 * 86_400_000;

/// Help and version go to standard output; anything else is bad usage, exit 2, in the wanted format.
pub(crate) fn refuse(error: &clap::Error) -> ExitCode {
    let is_help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    if !is_help
        && wants_json(
            std::env::args_os()
                .skip(1)
                .filter_map(|word| word.into_string().ok()),
        )
    {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        let failure = Failure::usage(first.trim_start_matches("error: "))
            .with_hint("run the command with --help");
        Output::new(Format::Json, Console::own()).failure(&failure);
        return ExitCode::from(failure.exit);
    }
    // When the terminal is gone there is nobody to tell.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1))
}

/// Whether `-o json` stands somewhere in words that clap could not make sense of.
fn wants_json(words: impl Iterator<Item = String>) -> bool {
    let mut last = String::new();
    for word in words {
        let joined = matches!(word.as_str(), "-ojson" | "-o=json" | "--output=json");
        if joined || (word == "json" && matches!(last.as_str(), "-o" | "--output")) {
            return true;
        }
        last = word;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    /// Splits a line as a shell does, as far as our examples need it: spaces and single quotes.
    fn words(line: &str) -> Vec<String> {
        let (mut all, mut word, mut is_quoted, mut is_word) =
            (Vec::new(), String::new(), false, false);
        for c in line.chars() {
            match c {
                '\'' => (is_quoted, is_word) = (!is_quoted, true),
                ' ' if !is_quoted => {
                    if is_word {
                        all.push(std::mem::take(&mut word));
                    }
                    is_word = false;
                }
                _ => {
                    word.push(c);
                    is_word = true;
                }
            }
        }
        if is_word {
            all.push(word);
        }
        all
    }

    /// The `conclave …` part of an example line: what stands before pipes and redirections is cut.
    fn own_part(line: &str) -> Vec<String> {
        let own = line
            .split(" | ")
            .find(|part| part.trim().starts_with("conclave"))
            .unwrap();
        let own = own.split(['<', '>', '|']).next().unwrap();
        let key = "A".repeat(43);
        words(&own.replace("KEY@", &format!("{key}@")))
            .into_iter()
            .collect()
    }

    fn each_command(
        command: &clap::Command,
        path: &str,
        visit: &mut impl FnMut(&clap::Command, &str),
    ) {
        visit(command, path);
        for sub in command
            .get_subcommands()
            .filter(|sub| sub.get_name() != "help")
        {
            each_command(sub, &format!("{path} {}", sub.get_name()), visit);
        }
    }

    /// The definition holds together by clap's own rules.
    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    /// The help of every command ends with two examples, and each of them is a command line that parses.
    #[test]
    fn help_ends_with_two_examples_that_work() {
        each_command(&Cli::command(), "conclave", &mut |command, path| {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let lines: Vec<&str> = help.lines().collect();
            assert_eq!(lines.first(), Some(&"Examples:"), "{path}");
            assert_eq!(lines.len(), 3, "{path}: two examples");
            for line in &lines[1..] {
                assert!(line.starts_with("  "), "{path}: `{line}` is indented");
                assert!(
                    line.contains(path),
                    "{path}: `{line}` shows another command"
                );
                Cli::try_parse_from(own_part(line)).unwrap_or_else(|e| panic!("{line}\n{e}"));
            }
        });
    }

    /// Each spelling of a duration means what it says, and nonsense is refused.
    #[test]
    fn durations_parse() {
        for (text, ms) in [
            ("10s", 10_000),
            ("500ms", 500),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("7", 7_000),
            ("0", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in [
            "",
            "s",
            "1d",
            "-1",
            "1.5s",
            "10 s",
            "99999999999999999999",
            "9999999999999h",
            "1sm",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    /// Global flags mean the same before and after the command, also with one in between.
    #[test]
    fn global_flags_stand_anywhere() {
        for line in [
            "conclave -p work -o json --timeout 5s --no-input -vv contact list",
            "conclave contact -p work -o json list --timeout 5s --no-input -vv",
            "conclave contact list -p work -o json --timeout 5s --no-input -vv",
        ] {
            let cli = Cli::try_parse_from(words(line)).unwrap();
            assert_eq!(cli.global.profile, "work", "{line}");
            assert_eq!(cli.global.output, Format::Json, "{line}");
            assert_eq!(cli.global.timeout, Duration::from_secs(5), "{line}");
            assert!(cli.global.no_input, "{line}");
            assert_eq!(cli.global.verbose, 2, "{line}");
        }
    }

    /// A usage error is told in JSON when the words ask for JSON, wherever they do.
    #[test]
    fn json_is_wanted_in_any_spelling() {
        for line in ["-o json x", "x --output json", "-ojson", "x --output=json"] {
            assert!(wants_json(words(line).into_iter()), "{line}");
        }
        for line in ["", "json", "send json", "-o text json"] {
            assert!(!wants_json(words(line).into_iter()), "{line}");
        }
    }
}
