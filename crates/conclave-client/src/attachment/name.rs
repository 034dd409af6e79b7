//! Names of files that others chose, made safe to show and to write to (C-192).

use conclave_proto::limits::FILE_NAME_BYTES_MAX;
use conclave_proto::name::hidden;

/// The name of a file that has none.
const UNNAMED: &str = "file";
/// Bytes of an ending that is kept when the name is cut.
const ENDING_BYTES_MAX: usize = 16;
/// Names that Windows takes for devices, whatever ending they have.
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

/// C-192: the last part of `name`, without anything that hides, leads elsewhere or that some system does not take.
/// At most 255 bytes, never empty; a safe name stays what it is.
pub fn safe_name(name: &str) -> String {
    let last = name
        .rsplit(['/', '\\'])
        .find(|part| !part.trim().is_empty());
    let shown = hidden(last.unwrap_or_default()).filter(|(_, hides)| !hides);
    let plain: String = shown
        .map(|(c, _)| if "<>:\"|?*".contains(c) { '_' } else { c })
        .collect();
    let mut safe = trimmed(&plain).to_owned();
    if is_device(&safe) {
        safe.insert(0, '_');
    }
    let safe = trimmed(&cut(&safe)).to_owned();
    if safe.is_empty() {
        UNNAMED.to_owned()
    } else {
        safe
    }
}

/// A leading dot hides a file, a leading dash makes it an option; some systems drop dots and spaces at the end.
fn trimmed(name: &str) -> &str {
    let name = name.trim_start_matches(|c: char| c == '.' || c == '-' || c.is_whitespace());
    name.trim_end_matches(|c: char| c == '.' || c.is_whitespace())
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end();
    let stem = stem.to_uppercase();
    let numbered = ["COM", "LPT"].iter().any(|port| {
        let number = stem.strip_prefix(port).map(|rest| {
            let mut rest = rest.chars();
            (rest.next(), rest.next())
        });
        matches!(number, Some((Some('0'..='9' | '¹' | '²' | '³'), None)))
    });
    numbered || DEVICES.contains(&stem.as_str())
}

/// A safe name with a number before its ending, for a file that comes beside others of its name; 0 is the name itself.
pub(super) fn numbered(name: &str, number: u32) -> String {
    if number == 0 {
        return name.to_owned();
    }
    let (stem, ending) = parts(name);
    joined(stem, &format!(" ({number}){ending}"))
}

/// Cuts before the ending.
fn cut(name: &str) -> String {
    let (stem, ending) = parts(name);
    joined(stem, ending)
}

/// What is before the ending, and the ending with its dot.
fn parts(name: &str) -> (&str, &str) {
    let (stem, ending) = name.split_at(name.rfind('.').unwrap_or(name.len()));
    if ending.len() <= ENDING_BYTES_MAX {
        (stem, ending)
    } else {
        (name, "")
    }
}

/// As much of `stem` as there is room for before `ending`, which is short.
fn joined(stem: &str, ending: &str) -> String {
    let mut end = stem.len().min(FILE_NAME_BYTES_MAX - ending.len());
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    let stem = stem.get(..end).unwrap_or_default();
    format!("{stem}{ending}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Paths, hidden names, options, devices, direction marks and endless names come out as plain names.
    #[test]
    fn c192_hostile_names_become_plain() {
        let long = format!("{}.pdf", "ä".repeat(300));
        for (given, safe) in [
            ("report.pdf", "report.pdf"),
            ("Grüße 2026 (1).txt", "Grüße 2026 (1).txt"),
            ("../../etc/passwd", "passwd"),
            ("/etc/cron.d/job", "job"),
            ("..\\..\\Windows\\win.ini", "win.ini"),
            ("C:\\autoexec.bat", "autoexec.bat"),
            ("C:evil.exe", "C_evil.exe"),
            ("a/b/", "b"),
            ("..", "file"),
            ("", "file"),
            ("   ", "file"),
            ("...---", "file"),
            (".bashrc", "bashrc"),
            ("-rf", "rf"),
            ("photo\u{202e}gpj.exe", "photogpj.exe"),
            ("a\u{200b}b\0c\n.txt", "abc.txt"),
            ("\u{1b}[31mred", "[31mred"),
            ("what?*.txt", "what__.txt"),
            ("trailing. . ", "trailing"),
            ("nul", "_nul"),
            ("Com1.txt", "_Com1.txt"),
            ("LPT\u{b9}.log", "_LPT\u{b9}.log"),
            ("command.com", "command.com"),
            (".-. CON .txt", "_CON .txt"),
        ] {
            assert_eq!(safe_name(given), safe, "{given:?}");
        }
        assert_eq!(numbered("a.b.txt", 2), "a.b (2).txt");
        assert_eq!(numbered("README", 1), "README (1)");
        assert_eq!(numbered("README", 0), "README");
        let second = numbered(&safe_name(&long), 11);
        assert!(
            second.len() <= 255 && second.ends_with("ä (11).pdf"),
            "{second}"
        );
        let cut = safe_name(&long);
        assert!(cut.len() <= 255 && cut.ends_with("ä.pdf"), "{cut}");
        assert_eq!(safe_name(&"x".repeat(999)), "x".repeat(255));
    }

    proptest! {
        /// Whatever is given: one plain part of a path, and safe names are left alone.
        #[test]
        fn c192_any_name_is_one_part_of_a_path(name in "\\PC{0,40}|[./\\\\ a-\u{202e}\0-]{0,40}|.{200,300}") {
            let safe = safe_name(&name);
            prop_assert!(!safe.is_empty() && safe.len() <= 255);
            prop_assert!(!safe.contains(['/', '\\', '\0', ':']) && !safe.starts_with(['.', '-']));
            let path = std::path::Path::new(&safe);
            prop_assert_eq!(path.file_name(), Some(std::ffi::OsStr::new(&safe)));
            prop_assert_eq!(safe_name(&safe), safe);
        }
    }
}
