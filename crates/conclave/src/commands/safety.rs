//! `conclave safety`: safety numbers, compared by people.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, ValueEnum};
use conclave_client::Client;
use conclave_client::ClientError;
use conclave_client::view::{ChatState, Safety, Trust};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

use crate::commands::safety_picture;
use crate::exit::{self, Failure};
use crate::profile::Context;
use crate::rows::SafetyRow;

/// Whoever was told "accept my new key" shall not believe that it was done before the change is known here.
pub(crate) fn something_to_accept(client: &Client, who: &str) -> Result<(), Failure> {
    let safety = client.safety(who)?;
    let is_paused = client
        .find_chat(who)
        .and_then(|chat| client.chat(chat))
        .is_ok_and(|chat| chat.state == ChatState::Paused);
    if safety.trust == Trust::Changed || safety.rotated_ms.is_some() || is_paused {
        return Ok(());
    }
    let text = format!("nothing about {who} changed as far as this device knows");
    let hint = "run `conclave listen --once` to look, then try again";
    Err(Failure::new(exit::NOT_FOUND, "NOTHING_TO_ACCEPT", text).with_hint(hint))
}

/// Compare safety numbers: when yours and theirs are the same digits, nobody stands between you.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave safety show anna@example.org
  conclave safety list")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show the number to compare, on a terminal with its QR code
    #[command(after_help = "Examples:
  conclave safety show anna@example.org
  conclave safety show +4915112345678 --qr-file for-anna.png")]
    Show {
        /// `+E164` number, e-mail address, chat id or account id
        who: String,
        /// The QR code; by default on a terminal only
        #[arg(long, value_name = "MODE")]
        qr: Option<Qr>,
        /// Write the QR code to a new PNG file, for them to read with `safety verify`
        #[arg(long, value_name = "FILE")]
        qr_file: Option<PathBuf>,
    },
    /// Mark somebody as verified: by the number they read out, by their QR code, or by looking at both screens
    #[command(after_help = "Examples:
  conclave safety verify anna@example.org '12345 12345 12345 12345 12345 12345 12345 12345 12345 12345 12345 12345'
  conclave safety verify +4915112345678 --qr-file from-anna.png")]
    #[command(group(ArgGroup::new("how").required(true).args(["number", "qr_file", "side_by_side"])))]
    #[command(
        override_usage = "conclave safety verify <WHO> <NUMBER|--qr-file <FILE>|--side-by-side>"
    )]
    Verify {
        /// `+E164` number, e-mail address, chat id or account id
        who: String,
        /// 60 digits; spaces do not matter
        #[arg(num_args = 1..)]
        number: Vec<String>,
        /// A PNG picture of the QR code that they see
        #[arg(long, value_name = "FILE")]
        qr_file: Option<PathBuf>,
        /// Both run this at once, look at both screens and answer line by line
        #[arg(long)]
        side_by_side: bool,
    },
    /// Show the safety numbers with all contacts
    #[command(after_help = "Examples:
  conclave safety list
  conclave safety list -o json")]
    List,
    /// Accept somebody's changed identity key: sending goes on, the verified mark is cleared
    #[command(after_help = "Examples:
  conclave safety accept anna@example.org
  conclave safety accept +4915112345678")]
    Accept {
        /// `+E164` number, e-mail address or chat id
        who: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Qr {
    /// No QR code.
    None,
    /// Half blocks, two modules a character.
    Utf8,
}

/// Shows or decides.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let work = async |client: &Client| match &args.action {
        Action::Show { who, qr, qr_file } => {
            let safety = client.safety(who)?;
            if let Some(file) = qr_file {
                safety_picture::write(&context.path(file), &safety.qr)?;
            }
            show(context, &safety, *qr)
        }
        Action::Verify {
            who,
            number,
            qr_file,
            side_by_side,
        } => {
            let safety = match qr_file {
                Some(file) => by_picture(context, client, who, file)?,
                None if *side_by_side => side_by_side_with(context, client, who).await?,
                None => client.verify(who, &number.join(" "))?,
            };
            print(context, &safety)
        }
        Action::Accept { who } => {
            something_to_accept(client, who)?;
            print(context, &client.accept_identity(who)?)
        }
        Action::List => {
            for contact in client.contacts()? {
                // Who came with a group may have no known identifier.
                let id = contact.person.account_id.to_string();
                print(context, &client.safety(&id)?)?;
            }
            Ok(())
        }
    };
    context.with_client(work).await
}

/// One of the codes in the picture has to be theirs; else the first refusal is told.
fn by_picture(
    context: &Context,
    client: &Client,
    who: &str,
    file: &Path,
) -> Result<Safety, Failure> {
    let codes = safety_picture::read(&context.path(file))?;
    Ok(by_codes(client, who, &codes)?)
}

/// The same of what the codes hold.
pub(crate) fn by_codes(
    client: &Client,
    who: &str,
    codes: &[Vec<u8>],
) -> Result<Safety, ClientError> {
    let mut refused = None;
    for payload in codes {
        match client.verify_picture(who, payload) {
            Ok(safety) => return Ok(safety),
            // Of several codes, one of another safety number says more than one of something else.
            Err(error @ ClientError::NotMatching) => refused = Some(error),
            Err(error @ ClientError::BadInput(_)) => refused = refused.or(Some(error)),
            Err(error) => return Err(error),
        }
    }
    Err(refused.unwrap_or(ClientError::NotMatching))
}

/// Shows the digits line by line and marks verified only what was confirmed whole, as it was shown. All digits: who
/// tries keys for long enough meets a shorter number.
async fn side_by_side_with(
    context: &Context,
    client: &Client,
    who: &str,
) -> Result<Safety, Failure> {
    if context.global.no_input {
        let message =
            "--side-by-side asks whether both screens show the same; leave --no-input out";
        return Err(Failure::usage(message));
    }
    let safety = client.safety(who)?;
    let groups: Vec<&str> = safety.number.split_whitespace().collect();
    let lines: Vec<String> = groups.chunks(4).map(|four| four.join(" ")).collect();
    for (number, line) in lines.iter().enumerate() {
        let of = lines.len();
        let question = format!(
            "line {} of {of}:    {line}\nis it the same on both screens? [y/n] ",
            number + 1
        );
        if !confirmed(context, &question).await? {
            return Err(ClientError::NotMatching.into());
        }
    }
    // Should the key change while people look, the number shown is the one that counts.
    Ok(client.verify(who, &safety.number)?)
}

/// Whether the person says yes; whatever is no answer is asked again, the end of input is a no.
async fn confirmed(context: &Context, question: &str) -> Result<bool, Failure> {
    let is_typed = context.console.is_input_terminal();
    loop {
        context.console.err(question)?;
        let answer = context.console.line().await?;
        if answer.is_none() || !is_typed {
            context.console.err("\n")?;
        }
        let Some(answer) = answer else {
            return Ok(false);
        };
        match answer.trim().to_lowercase().as_str() {
            "y" | "yes" => return Ok(true),
            "n" | "no" => return Ok(false),
            _ => {}
        }
    }
}

fn print(context: &Context, safety: &Safety) -> Result<(), Failure> {
    Ok(context.out.row(&SafetyRow::from(safety))?)
}

fn show(context: &Context, safety: &Safety, qr: Option<Qr>) -> Result<(), Failure> {
    print(context, safety)?;
    let by_default = if context.console.is_output_terminal() {
        Qr::Utf8
    } else {
        Qr::None
    };
    match qr.unwrap_or(by_default) {
        Qr::Utf8 => Ok(context.out.text(&half_blocks(&safety.qr)?)?),
        Qr::None => Ok(()),
    }
}

/// The QR code in half blocks: light modules are drawn, as most terminals are dark; readers take both.
pub(crate) fn half_blocks(bytes: &[u8]) -> Result<String, Failure> {
    let code = QrCode::new(bytes).map_err(|error| {
        Failure::new(
            exit::UNEXPECTED,
            "QR",
            format!("no QR code can hold it: {error}"),
        )
    })?;
    let (dark, light) = (Dense1x2::Light, Dense1x2::Dark);
    Ok(code
        .render::<Dense1x2>()
        .dark_color(dark)
        .light_color(light)
        .build())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The code of two fingerprints is a square of half blocks with a quiet zone.
    #[test]
    fn qr_is_square() {
        let text = half_blocks(&[7; 65]).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let width = lines[0].chars().count();
        assert!(lines.iter().all(|line| line.chars().count() == width));
        assert_eq!(lines.len(), width.div_ceil(2));
        assert!(text.chars().all(|c| " ▀▄█\n".contains(c)));
    }
}
