//! `conclave safety`: safety numbers, compared by people.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use conclave_client::Client;
use conclave_client::view::Safety;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::SafetyRow;

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
  conclave safety show +4915112345678 --qr none")]
    Show {
        /// `+E164` number, e-mail address or chat id
        who: String,
        /// The QR code; by default on a terminal only
        #[arg(long, value_name = "MODE")]
        qr: Option<Qr>,
    },
    /// Mark somebody as verified when the number they read out is yours too
    #[command(after_help = "Examples:
  conclave safety verify anna@example.org 123451234512345123451234512345123451234512345123451234512345
  conclave safety verify +4915112345678 '12345 12345 12345 12345 12345 12345 12345 12345 12345 12345 12345 12345'")]
    Verify {
        /// `+E164` number, e-mail address or chat id
        who: String,
        /// 60 digits; spaces do not matter
        #[arg(required = true, num_args = 1..)]
        number: Vec<String>,
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
        Action::Show { who, qr } => show(context, &client.safety(who)?, *qr),
        Action::Verify { who, number } => print(context, &client.verify(who, &number.join(" "))?),
        Action::Accept { who } => print(context, &client.accept_identity(who)?),
        Action::List => {
            for contact in client.contacts()? {
                print(context, &client.safety(&contact.person.identifier)?)?;
            }
            Ok(())
        }
    };
    context.with_client(work).await
}

fn print(context: &Context, safety: &Safety) -> Result<(), Failure> {
    Ok(context.out.row(&SafetyRow::from(safety))?)
}

fn show(context: &Context, safety: &Safety, qr: Option<Qr>) -> Result<(), Failure> {
    print(context, safety)?;
    let by_default = if std::io::stdout().is_terminal() {
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
            crate::exit::UNEXPECTED,
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
