//! `conclave-bench plot FILE`: draws the JSON lines of a run as a picture, one bar for each row.
//!
//! A bar is how much of its limit a figure reaches, on a scale of powers of ten: 1 in the middle line is all of it. A mark
//! stands where the target is.

use std::fmt::Write as _;

use anyhow::Context as _;
use serde_json::Value;

/// The word that asks for it.
pub(crate) const WORD: &str = "plot";

/// Of one row, in units of the picture.
const ROW: f64 = 26.0;
/// Where bars begin: names stand left of it.
const LEFT: f64 = 470.0;
/// How long the scale is.
const LENGTH: f64 = 420.0;
/// Powers of ten at both ends of the scale.
const SCALE: (f64, f64) = (-2.0, 3.0);
const TOP: f64 = 48.0;

const STYLE: &str = "text{font:13px sans-serif;fill:#222}.axis{stroke:#999}.one{stroke:#222}\
    .good{fill:#2f7d4f}.short{fill:#b5542c}.free{fill:#5673a5}.target{stroke:#222;stroke-width:3}\
    @media(prefers-color-scheme:dark){text{fill:#ddd}.one,.target{stroke:#ddd}.axis{stroke:#777}}";

/// One bar.
struct Bar {
    name: String,
    ratio: f64,
    target: Option<f64>,
}

/// The picture of what `lines` say, with this title.
pub(crate) fn draw(title: &str, lines: &str) -> anyhow::Result<String> {
    let bars = lines.lines().map(bar).collect::<anyhow::Result<Vec<_>>>()?;
    let height = TOP + ROW * f64::from(u32::try_from(bars.len())?) + 12.0;
    let width = LEFT + LENGTH + 90.0;
    let title = escaped(title);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-labelledby=\"t d\"><title id=\"t\">{title}</title><desc id=\"d\">Each bar is how much of \
         its limit a figure reaches, on a scale of powers of ten; a thick mark is the target.</desc>\
         <style>{STYLE}</style><text x=\"8\" y=\"20\">{title}</text>\n"
    );
    for power in -2..=3 {
        let (x, class) = (
            place(10_f64.powi(power)),
            if power == 0 { "one" } else { "axis" },
        );
        // writing to a string does not fail
        let _ = writeln!(
            text,
            "<line class=\"{class}\" x1=\"{x}\" y1=\"{}\" x2=\"{x}\" y2=\"{height}\"/>\
             <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            TOP - 8.0,
            TOP - 12.0,
            10_f64.powi(power)
        );
    }
    for (number, bar) in (0_u32..).zip(&bars) {
        draw_bar(&mut text, bar, TOP + ROW * f64::from(number));
    }
    text.push_str("</svg>\n");
    Ok(text)
}

fn draw_bar(text: &mut String, bar: &Bar, y: f64) {
    let class = match bar.target {
        Some(target) if bar.ratio >= target => "good",
        Some(_) => "short",
        None => "free",
    };
    let (one, end) = (place(1.0), place(bar.ratio));
    let _ = writeln!(
        text,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
         <rect class=\"{class}\" x=\"{:.1}\" y=\"{}\" width=\"{:.1}\" height=\"{}\"/>\
         <text x=\"{}\" y=\"{}\">{:.2}</text>",
        LEFT - 8.0,
        y + 16.0,
        escaped(&bar.name),
        one.min(end),
        y + 4.0,
        (one - end).abs().max(1.0),
        ROW - 10.0,
        LEFT + LENGTH + 12.0,
        y + 16.0,
        bar.ratio
    );
    if let Some(target) = bar.target {
        let x = place(target);
        let _ = writeln!(
            text,
            "<line class=\"target\" x1=\"{x:.1}\" y1=\"{}\" x2=\"{x:.1}\" y2=\"{}\"/>",
            y + 1.0,
            y + ROW - 3.0
        );
    }
}

/// Where a ratio stands on the scale; what is beyond it stands at its end.
fn place(ratio: f64) -> f64 {
    let (low, high) = SCALE;
    let share = (ratio.log10().clamp(low, high) - low) / (high - low);
    LEFT + LENGTH * share
}

fn bar(line: &str) -> anyhow::Result<Bar> {
    let row: Value = serde_json::from_str(line).context("a line that is no JSON")?;
    let words = |key: &str| {
        row.get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let number = |key: &str| row.get(key).and_then(Value::as_f64);
    Ok(Bar {
        name: format!("{} / {}", words("name"), words("limit")),
        ratio: number("reached").context("a row without a ratio")?,
        target: number("target"),
    })
}

fn escaped(words: &str) -> String {
    words
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names are words in the picture, a bar at its limit has no length to speak of, and what misses looks so.
    #[test]
    fn a_run_becomes_a_picture() {
        let line = |name: &str, reached: f64, target: Option<f64>| {
            serde_json::json!({"name": name, "limit": "bare", "reached": reached, "target": target})
                .to_string()
        };
        let lines = [
            line("<b>", 1.0, None),
            line("slow", 0.1, Some(0.5)),
            line("fast", 1e9, Some(2.0)),
        ];
        let picture = draw("a & b", &lines.join("\n")).unwrap_or_default();
        assert!(picture.contains("&lt;b&gt; / bare") && picture.contains("a &amp; b"));
        assert!(
            picture.contains("class=\"free\" x=\"638.0\" y=\"52\" width=\"1.0\""),
            "{picture}"
        );
        assert!(
            picture.contains("class=\"short\" x=\"554.0\" y=\"78\" width=\"84.0\""),
            "{picture}"
        );
        assert!(
            picture.contains("class=\"good\" x=\"638.0\" y=\"104\" width=\"252.0\""),
            "{picture}"
        );
        assert!(draw("", "nonsense").is_err());
    }
}
