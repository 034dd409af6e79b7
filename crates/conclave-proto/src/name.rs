//! Names that people see: which characters cannot be seen, and what a name may be.

/// Whether `c` is a space that is not the plain one, or shows nothing at all, or changes the text around it.
///
/// Controls, direction marks, zero-width and other default-ignorable characters (Unicode), variation selectors, and
/// letters that are drawn blank. In words of some scripts and in emoji, joiners and selectors have a place:
/// [`hidden`] knows it.
pub const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{a0}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}'
        | '\u{1680}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2000}'..='\u{200f}'
        | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' | '\u{2800}' | '\u{3000}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// The characters of `text`, each with whether it hides: what cannot be seen where it stands.
pub fn hidden(text: &str) -> impl Iterator<Item = (char, bool)> + '_ {
    let mut before = None;
    let mut rest = text.chars().peekable();
    core::iter::from_fn(move || {
        let c = rest.next()?;
        let hides = is_invisible(c) && !is_joined(before, c, rest.peek().copied());
        before = Some(c);
        Some((c, hides))
    })
}

/// Whether a joiner or selector does its work there: between emoji, or inside words of scripts that need it.
fn is_joined(before: Option<char>, c: char, after: Option<char>) -> bool {
    let Some(before) = before else { return false };
    let is_in_word = |c: char| matches!(c, '\u{600}'..='\u{dff}') && !is_invisible(c);
    let is_emoji = |c: char| matches!(c, '\u{2190}'..='\u{27bf}' | '\u{2900}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}');
    match c {
        '\u{200c}' | '\u{200d}' if after.is_some_and(is_in_word) => is_in_word(before),
        '\u{200d}' => after.is_some_and(is_emoji) && (is_emoji(before) || before == '\u{fe0f}'),
        '\u{fe0e}' | '\u{fe0f}' => {
            is_emoji(before)
                || matches!(before, '0'..='9' | '#' | '*' | '©' | '®' | '‼' | '⁉' | '™')
        }
        _ => false,
    }
}

/// Whether people can see all of `name` (C-167): nothing hides in it, and it neither begins nor ends with a space.
pub fn is_plain(name: &str) -> bool {
    name.trim() == name && !hidden(name).any(|(_, hides)| hides)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names in any script and with emoji are plain; what cannot be seen is not, alone or inside.
    #[test]
    fn c167_what_cannot_be_seen_is_found() {
        let plain = [
            "",
            "Anna",
            "Bergwandern 2026",
            "Zoë O’Brien",
            "日本語",
            "می\u{200c}خواهم",
            "क\u{94d}\u{200d}ष",
            "👨\u{200d}👩\u{200d}👧 family",
            "❤\u{fe0f}",
            "❤\u{fe0f}\u{200d}🔥",
            "1\u{fe0f}\u{20e3}",
            "👍🏽",
        ];
        for name in plain {
            assert!(is_plain(name), "{name:?}");
        }
        let hides = [
            "Anna\u{200b}",
            "An\u{200d}na",
            "\u{200d}Anna",
            "Anna\u{200d}",
            "An\u{ad}na",
            "Anna\u{feff}",
            "Anna\u{fe0f}",
            "Anna\u{2060}",
            "Anna\u{3164}",
            "Anna\u{a0}B",
            "Anna\u{2003}B",
            "Anna\u{e0041}",
            "\u{202e}annA",
            "Anna\u{7}",
            "Anna\nBen",
            "👍\u{200d}",
            "👍\u{200d}a",
            " Anna",
            "Anna ",
            "\u{2800}",
        ];
        for name in hides {
            assert!(!is_plain(name), "{name:?}");
        }
    }
}
