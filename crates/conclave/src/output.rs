//! What goes to standard output (rows) and to standard error (what went wrong), as text or JSON Lines.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;

use clap::ValueEnum;
use conclave_proto::name;
use serde::Serialize;

use crate::console::Console;
use crate::exit::Failure;
use crate::rows::told::BothForms;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Short lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Something that is printed as one row.
pub(crate) trait Row: Serialize {
    /// The JSON object's `type`.
    const TYPE: &'static str;

    /// The row for people, without a line end.
    fn text(&self) -> String;
}

/// Where rows go.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    format: Format,
    console: Console,
}

/// A JSON object's fixed head and its body: version, type, then the row's own fields.
#[derive(Serialize)]
struct Line<'a, T> {
    v: u8,
    r#type: &'static str,
    #[serde(flatten)]
    body: &'a T,
}

/// An error as programs read it.
#[derive(Serialize)]
struct ErrorBody<'a> {
    code: &'a str,
    message: &'a str,
    hint: &'a str,
    retry_after_ms: Option<u64>,
    details: serde_json::Map<String, serde_json::Value>,
}

impl Output {
    /// Rows in `format` for whoever sits at `console`.
    pub(crate) const fn new(format: Format, console: Console) -> Self {
        Self { format, console }
    }

    /// Whether programs read the rows.
    pub(crate) const fn is_json(&self) -> bool {
        matches!(self.format, Format::Json)
    }

    /// Prints one row and flushes it.
    pub(crate) fn row<T: Row>(&self, row: &T) -> io::Result<()> {
        match self.format {
            Format::Text => self.text(&row.text()),
            Format::Json => self.console.out(&json_line(row)?),
        }
    }

    /// Prints a row that is made already.
    pub(crate) fn told(&self, line: &BothForms) -> io::Result<()> {
        match self.format {
            Format::Text => self.console.out(&line.text),
            Format::Json => self.console.out(&line.json),
        }
    }

    /// Prints a line for people only; programs get nothing.
    pub(crate) fn text(&self, line: &str) -> io::Result<()> {
        match self.format {
            Format::Text => self.console.out(line),
            Format::Json => Ok(()),
        }
    }

    /// Prints a line that is what it is, in either format.
    pub(crate) fn line(&self, line: &str) -> io::Result<()> {
        self.console.out(line)
    }

    /// Prints any JSON on one line, for programs and people alike.
    pub(crate) fn json(&self, value: &serde_json::Value) -> io::Result<()> {
        self.console.out(&escape(&value.to_string()))
    }

    /// Tells on standard error why the command failed.
    pub(crate) fn failure(&self, failure: &Failure) {
        if failure.is_silent() {
            return;
        }
        let body = ErrorBody {
            code: &failure.code,
            message: &failure.message,
            hint: &failure.hint,
            retry_after_ms: failure.retry_after_ms,
            details: serde_json::Map::new(),
        };
        let text = match self.format {
            Format::Json => json("error", &body).unwrap_or_default(),
            Format::Text => failure_text(failure),
        };
        // When standard error is closed there is nobody to tell.
        let _ = self.console.err(&format!("{text}\n"));
    }

    /// Shows how far something is: a row for programs; for people at a terminal a line that the next one replaces, and
    /// an empty one clears.
    pub(crate) fn progress<T: Row>(&self, row: &T, line: &str) -> io::Result<()> {
        match self.format {
            Format::Json if !line.is_empty() => self.console.out(&json(T::TYPE, row)?),
            Format::Text if self.console.is_output_terminal() => {
                self.console.err(&format!("\r\u{1b}[K{}", safe(line)))
            }
            Format::Json | Format::Text => Ok(()),
        }
    }
}

/// A row as programs read it, without a line end.
pub(crate) fn json_line<T: Row>(row: &T) -> io::Result<String> {
    json(T::TYPE, row)
}

fn failure_text(failure: &Failure) -> String {
    let mut lines = vec![format!("error: {}", safe(&failure.message))];
    if !failure.hint.is_empty() {
        lines.push(format!("hint: {}", safe(&failure.hint)));
    }
    if let Some(ms) = failure.retry_after_ms {
        lines.push(format!("retry after: {} s", ms.div_ceil(1000)));
    }
    lines.join("\n")
}

/// One line; controls and direction marks escaped, so that it is safe to look at.
fn json<T: Serialize>(kind: &'static str, body: &T) -> io::Result<String> {
    let line = Line {
        v: 1,
        r#type: kind,
        body,
    };
    let text = serde_json::to_string(&line)?;
    Ok(escape(&text))
}

/// Escapes what could drive a terminal and JSON would let through: only strings can hold such characters.
fn escape(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for (c, hides) in name::hidden(json) {
        if hides {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// `text` so that it cannot drive the terminal, reverse the line or look like a row of its own.
///
/// What cannot be seen where it stands, or changes the text around it, becomes `�` (C-167); further lines are
/// indented. Everything that other people wrote goes through here before a terminal sees it.
pub(crate) fn safe(text: &str) -> Cow<'_, str> {
    // C-167
    if !name::hidden(text).any(|(_, hides)| hides) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for (c, hides) in name::hidden(text) {
        match c {
            '\n' => out.push_str("\n    "),
            // Spaces of all widths show as one.
            '\t' | '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
                out.push(' ');
            }
            _ if hides => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// JSON rows hold no raw control or direction mark, and parse to the same text.
    #[test]
    fn json_cannot_drive_the_terminal() {
        let text = "a\u{7f}b\u{9b}31mc\u{202e}d\ne";
        let line = json("x", &serde_json::json!({ "text": text })).unwrap();
        assert!(
            line.is_ascii() && !line.contains(char::is_control),
            "{line}"
        );
        let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(parsed["text"], text);
    }

    /// Other people's text cannot move the cursor, reverse the line or fake a row.
    #[test]
    fn text_cannot_drive_the_terminal() {
        assert_eq!(safe("grüße 👋"), "grüße 👋");
        assert_eq!(safe("a\u{1b}[2Jb\r\u{7}\u{9b}"), "a�[2Jb���");
        assert_eq!(safe("a\nmallory: b\tc"), "a\n    mallory: b c");
        assert_eq!(safe("x\u{202e}y\u{2028}z"), "x�y�z");
    }

    /// Nobody can call themselves like somebody else but for what cannot be seen: it shows, and programs read it
    /// escaped; joiners inside emoji and words do their work.
    #[test]
    fn c167_hidden_characters_show() {
        assert_eq!(safe("An\u{200b}na\u{e0041}"), "An�na�");
        assert_eq!(safe("10\u{a0}€"), "10 €");
        let family = "👨\u{200d}👩 می\u{200c}خواهم";
        assert_eq!(safe(family), family);
        let line = json("x", &serde_json::json!({ "name": "An\u{200b}na\u{e0041}" })).unwrap();
        assert!(line.contains(r#""An\u200bna\udb40\udc41""#), "{line}");
    }

    /// The shape that programs rely on: version and type first, all fields there even when empty.
    #[test]
    fn errors_have_every_field() {
        let failure = Failure::new(4, "KEY_CHANGED", "changed").with_hint("compare");
        let body = ErrorBody {
            code: &failure.code,
            message: &failure.message,
            hint: &failure.hint,
            retry_after_ms: None,
            details: serde_json::Map::new(),
        };
        assert_eq!(
            json("error", &body).unwrap(),
            r#"{"v":1,"type":"error","code":"KEY_CHANGED","message":"changed","hint":"compare","retry_after_ms":null,"details":{}}"#
        );
    }

    /// People read the same on up to three lines.
    #[test]
    fn errors_read_well() {
        let mut failure = Failure::new(5, "RATE_LIMITED", "too often").with_hint("try again later");
        failure.retry_after_ms = Some(1500);
        assert_eq!(
            failure_text(&failure),
            "error: too often\nhint: try again later\nretry after: 2 s"
        );
    }
}
