//! `conclave timer`: after what time messages of a chat disappear.

use conclave_client::Client;
use conclave_proto::limits::TIMER_S_MAX;

use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::TimerRow;

/// Show or set the time after which messages of a chat disappear, counted from when they are read; for their sender
/// from when they are sent. In a group owners and admins can set it. It holds for what is written from then on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave timer anna@example.org 1w
  conclave timer friends off")]
pub(crate) struct Args {
    /// `+E164` number, e-mail address, group or chat id
    chat: String,
    /// `30s`, `5m`, `8h`, `1d`, `4w`, at most a year; `off` = messages stay
    #[arg(value_name = "DUR", value_parser = seconds)]
    time: Option<u32>,
}

/// Seconds of `30s`, `5m`, `8h`, `1d`, `4w`; 0 for `off`.
pub(crate) fn seconds(text: &str) -> Result<u32, String> {
    let expected = || format!("`{text}` is no time; write 30s, 5m, 8h, 1d, 4w or off");
    if text == "off" {
        return Ok(0);
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u32 = digits.parse().map_err(|_| expected())?;
    let unit = match text.strip_prefix(digits).unwrap_or_default() {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(expected()),
    };
    match number.checked_mul(unit) {
        Some(0) => Err("nobody could read that; say off to let messages stay".to_owned()),
        Some(seconds) if seconds <= TIMER_S_MAX => Ok(seconds),
        _ => Err(format!(
            "`{text}` is more than a year; choose a shorter time"
        )),
    }
}

/// Shows or sets.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let work = async |client: &Client| {
        let chat = client.find_chat(&args.chat)?;
        let Some(seconds) = args.time else {
            return Ok(context.out.row(&TimerRow::from(&client.timer(chat)?))?);
        };
        client.set_timer(chat, seconds)?;
        let settled = context.settle(client).await;
        context.out.row(&TimerRow::from(&client.timer(chat)?))?;
        settled
    };
    context.with_client(work).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times mean what they say; nothing, too much and other words are refused.
    #[test]
    fn c177_times_are_whole_units_up_to_a_year() {
        for (text, expected) in [
            ("30s", 30),
            ("5m", 300),
            ("1d", 86_400),
            ("52w", 31_449_600),
            ("off", 0),
        ] {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "0s",
            "5",
            "53w",
            "4294967295w",
            "-1d",
            "1.5h",
            "1mo",
            "OFF",
        ] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
