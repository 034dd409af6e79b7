//! Rounds, medians, and the rows that are printed.

use std::fmt::Write as _;

use serde_json::json;

/// One figure beside its limit.
#[derive(Debug)]
struct Row {
    name: String,
    unit: &'static str,
    value: f64,
    /// What the limit is, and its figure.
    limit: (String, f64),
    /// How much of the limit is reached; 1 = all of it.
    ratio: f64,
    target: Option<f64>,
}

/// Whether a larger figure is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    /// Rates.
    More,
    /// Times and sizes.
    Less,
}

/// All figures of a run.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    /// Adds a figure from the rounds of both: the medians, and the median of the rounds' own ratios.
    pub(crate) fn add(
        &mut self,
        (name, unit, better): (impl Into<String>, &'static str, Better),
        values: &[f64],
        limit: (impl Into<String>, &[f64]),
        target: Option<f64>,
    ) {
        let ratios: Vec<f64> = values
            .iter()
            .zip(limit.1)
            .map(|(value, limit)| match better {
                // the clock may have seen nothing of either
                _ if value.total_cmp(limit).is_eq() => 1.0,
                Better::More => value / limit,
                Better::Less => limit / value,
            })
            .collect();
        self.0.push(Row {
            name: name.into(),
            unit,
            value: median(values),
            limit: (limit.0.into(), median(limit.1)),
            ratio: median(&ratios),
            target,
        });
    }

    /// Prints it for people; the same lines are good Markdown.
    pub(crate) fn print(&self) {
        println!("\n| what | figure | unit | its limit | figure | reached | target |");
        println!("|---|---:|---|---|---:|---:|---:|");
        for row in &self.0 {
            let target = row.target.map_or(String::new(), |t| format!("≥ {t:.2}"));
            println!(
                "| {} | {} | {} | {} | {} | {:.2} | {target} |",
                row.name,
                figure(row.value),
                row.unit,
                row.limit.0,
                figure(row.limit.1),
                row.ratio,
            );
        }
    }

    /// One JSON object a line.
    pub(crate) fn json_lines(&self) -> String {
        let mut lines = String::new();
        for row in &self.0 {
            let line = json!({
                "name": row.name,
                "unit": row.unit,
                "value": row.value,
                "limit": row.limit.0,
                "limit_value": row.limit.1,
                "reached": row.ratio,
                "target": row.target,
            });
            // writing to a string does not fail
            let _ = writeln!(lines, "{line}");
        }
        lines
    }
}

fn figure(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

/// The middle one; the lower of two.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len().saturating_sub(1) / 2;
    sorted.get(middle).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ratio is the median of each round's own, so a slow round of both does not count; two figures of 0 are
    /// the same.
    #[test]
    fn ratios_are_taken_round_by_round() {
        let mut table = Table::default();
        let (ours, limit) = ([10.0, 1.0, 12.0], [20.0, 2.0, 20.0]);
        table.add(
            ("rate", "1/s", Better::More),
            &ours,
            ("bare", &limit),
            Some(0.4),
        );
        table.add(("time", "ms", Better::Less), &limit, ("bare", &ours), None);
        table.add(("none", "µs", Better::Less), &[0.0], ("bare", &[0.0]), None);
        let lines = table.json_lines();
        assert_eq!(lines.matches("\"reached\":0.5").count(), 2, "{lines}");
        assert_eq!(lines.matches("\"reached\":1.0").count(), 1, "{lines}");
        assert!(lines.contains("\"value\":10.0") && lines.contains("\"limit_value\":20.0"));
    }
}
