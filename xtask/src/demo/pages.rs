//! The demo's last step: a page for each person, beside each other, ready to type into.

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context;

use super::person::Person;
use super::say;
use crate::step::answers;

/// Programs that open a window of their own for a page.
const CHROMIUM: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "brave-browser",
];
/// How wide and high each window is, in pixels: two of them fit beside each other.
const WINDOW: [u32; 2] = [760, 900];

/// What shows pages here.
pub(super) enum Browser {
    /// Opens windows where it is told to.
    Chromium(&'static str),
    /// Opens tabs in the browser that the person has.
    Desktop(&'static str),
}

impl Browser {
    /// What there is; none without a screen, a browser, or anybody who looks.
    pub(super) fn find() -> Option<Self> {
        let is_mac = cfg!(target_os = "macos");
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let has_screen = is_mac || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY");
        if !has_screen || !std::io::stdin().is_terminal() {
            return None;
        }
        let chromium = CHROMIUM
            .into_iter()
            .find(|name| answers(name, &["--version"]));
        let opener = if is_mac { "open" } else { "xdg-open" };
        let has_opener = is_mac || answers(opener, &["--version"]);
        let desktop = || has_opener.then_some(Self::Desktop(opener));
        chromium.map(Self::Chromium).or_else(desktop)
    }

    /// Opens `url` as the window at place `number`, from 0; `folder` is the browser's own.
    fn open(&self, url: &str, number: u32, folder: &Path) -> anyhow::Result<Child> {
        let [width, height] = WINDOW;
        let mut command = match self {
            Self::Chromium(name) => {
                let mut command = Command::new(name);
                command
                    .arg(format!("--app={url}"))
                    .arg(format!("--user-data-dir={}", folder.display()))
                    .arg(format!("--window-size={width},{height}"))
                    .arg(format!("--window-position={},0", number * width))
                    .args(["--no-first-run", "--no-default-browser-check"]);
                command
            }
            Self::Desktop(name) => {
                let mut command = Command::new(name);
                command.arg(url);
                command
            }
        };
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().context("the browser did not start")
    }
}

/// Programs of a page; ended when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Shows a page for each of `people`, who talk to the other one, until somebody presses Enter.
pub(super) fn show(
    browser: &Browser,
    people: [(&Person, &str); 2],
    folder: &Path,
) -> anyhow::Result<()> {
    let mut running = Vec::new();
    for (number, (person, other)) in (0..).zip(people) {
        let (program, url) = person.page(other)?;
        running.push(Running(program));
        let folder = folder.join(format!("browser-{number}"));
        running.push(Running(browser.open(&url, number, &folder)?));
    }
    say("two pages are open, one for each of them: type into both. Enter ends the demo.");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    // Browsers first, then what they talk to.
    while running.pop().is_some() {}
    Ok(())
}
