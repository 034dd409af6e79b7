//! Opens the page in the browser of whoever sits at this machine.

use std::process::{Command, Stdio};
use std::thread;

/// Has the desktop open `url`; `false` when there is none. Browsers that stay in the foreground stop nobody.
pub(crate) fn open(url: &str) -> bool {
    let Some(program) =
        opener(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
    else {
        return false;
    };
    let started = Command::new(program)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = started else {
        return false;
    };
    thread::spawn(move || drop(child.wait()));
    true
}

/// The program that knows the person's browser, where there is a screen.
fn opener(is_set: impl Fn(&str) -> bool) -> Option<&'static str> {
    if cfg!(target_os = "macos") {
        return Some("open");
    }
    let has_screen = is_set("DISPLAY") || is_set("WAYLAND_DISPLAY");
    has_screen.then_some("xdg-open")
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::opener;

    /// No browser is started where nobody could see it.
    #[test]
    fn a_browser_needs_a_screen() {
        assert_eq!(opener(|_| false), None);
        for screen in ["DISPLAY", "WAYLAND_DISPLAY"] {
            assert_eq!(opener(|name| name == screen), Some("xdg-open"));
        }
    }
}
