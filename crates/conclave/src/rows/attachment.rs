//! Rows about files of messages.

use std::path::Path;

use conclave_client::view::{Attachment, Pruned};
use schemars::JsonSchema;
use serde::Serialize;

use super::PersonRow;
use crate::output::{Row, safe};

/// A file of a message and where it is.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AttachmentRow {
    /// `m_…/1`: what commands take.
    id: String,
    message: String,
    number: u32,
    chat: String,
    from: PersonRow,
    own: bool,
    name: String,
    media_type: String,
    length: u64,
    /// `remote`, `uploading`, `loading`, `loaded` or `failed`.
    state: &'static str,
    bytes_done: u64,
    bytes_total: u64,
    reason: String,
    /// Where it was written; empty when it was not.
    path: String,
}

impl From<&Attachment> for AttachmentRow {
    fn from(file: &Attachment) -> Self {
        Self {
            id: format!("{}/{}", file.message, file.number),
            message: file.message.to_string(),
            number: file.number,
            chat: file.chat.to_string(),
            from: PersonRow::from(&file.from),
            own: file.own,
            name: file.name.clone(),
            media_type: file.media_type.clone(),
            length: file.length,
            state: file.state.name(),
            bytes_done: file.bytes_done,
            bytes_total: file.bytes_total,
            reason: file.reason.clone(),
            path: String::new(),
        }
    }
}

impl AttachmentRow {
    /// It was written there.
    pub(crate) fn saved(&mut self, path: &Path) {
        self.path = path.to_string_lossy().into_owned();
    }

    /// `[#####.....]  50 %  512 KiB of 1 MiB  report.pdf`.
    pub(crate) fn bar(&self) -> String {
        let tenths = self.bytes_done.saturating_mul(20) / self.bytes_total.max(1);
        let full = usize::try_from(tenths.min(20)).unwrap_or_default();
        let (done, left) = ("#".repeat(full), ".".repeat(20 - full));
        let percent = self.bytes_done.saturating_mul(100) / self.bytes_total.max(1);
        let (now, total) = (size(self.bytes_done), size(self.bytes_total));
        let name: String = self.name.chars().take(30).collect();
        let line = format!("[{done}{left}] {percent:>3} %  {now} of {total}  {name}");
        match self.reason.as_str() {
            "" => line,
            reason => format!("{line}  {reason}"),
        }
    }
}

impl Row for AttachmentRow {
    const TYPE: &'static str = "attachment";

    fn text(&self) -> String {
        let hundredths = self.bytes_done.saturating_mul(100) / self.bytes_total.max(1);
        let moves = matches!(self.state, "uploading" | "loading");
        let state = if moves {
            format!("{} {hundredths} %", self.state)
        } else {
            self.state.to_owned()
        };
        let kind = safe(&self.media_type);
        let mut text = format!(
            "{}  {state}  {}  {kind}  {}",
            self.id,
            size(self.length),
            safe(&self.name)
        );
        for (label, value) in [("", &self.reason), ("written to ", &self.path)] {
            if !value.is_empty() {
                text.push_str("  ");
                text.push_str(label);
                text.push_str(&safe(value));
            }
        }
        text
    }
}

/// What was cleared away.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PrunedRow {
    files: u64,
    bytes: u64,
}

impl From<Pruned> for PrunedRow {
    fn from(pruned: Pruned) -> Self {
        Self {
            files: pruned.files,
            bytes: pruned.bytes,
        }
    }
}

impl Row for PrunedRow {
    const TYPE: &'static str = "pruned";

    fn text(&self) -> String {
        format!("{} files removed, {}", self.files, size(self.bytes))
    }
}

/// `0 B`, `1.5 KiB`, `100 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut whole, mut rest, mut unit) = (bytes, 0, 0);
    while whole >= 1024 && unit + 1 < units.len() {
        (whole, rest) = (whole / 1024, whole % 1024);
        unit += 1;
    }
    let tenth = rest * 10 / 1024;
    let name = units.get(unit).copied().unwrap_or_default();
    if tenth == 0 || whole >= 100 {
        format!("{whole} {name}")
    } else {
        format!("{whole}.{tenth} {name}")
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    /// Sizes are short, and never more than there is.
    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (104_857_600, "100 MiB"),
            (104_857_599, "99.9 MiB"),
            (1_073_741_824, "1 GiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
