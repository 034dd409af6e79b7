//! What every campaign has: a folder that is kept when it fails, a limit, and parts that end when one has failed.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use super::build;

/// Builds the programs into a new folder and does `work` there. Afterwards the folder is gone; after a failure it
/// is kept, and the error says where it is and how to `replay` the run.
pub(crate) fn in_folder(
    root: &Path,
    name: &str,
    replay: &str,
    work: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    println!("    {replay}");
    let folder = std::env::temp_dir().join(format!("conclave-{name}-{}", std::process::id()));
    std::fs::create_dir(&folder)
        .with_context(|| format!("{} could not be made", folder.display()))?;
    build(root, &folder)?;
    work(&folder).with_context(|| {
        let folder = folder.display();
        format!("the campaign failed; its folder is kept: {folder}; replay: {replay}")
    })?;
    std::fs::remove_dir_all(&folder).context("the temporary folder could not be removed")
}

/// A plan as `words` change it: `--short` by `short`, every other flag with its number by `set`, which says whether it
/// knows the flag.
pub(crate) fn planned<P>(
    mut plan: P,
    words: &[&str],
    short: impl Fn(&mut P),
    set: impl Fn(&mut P, &str, usize) -> bool,
) -> anyhow::Result<P> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if *word == "--short" {
            short(&mut plan);
            continue;
        }
        let number = words
            .next()
            .with_context(|| format!("{word} wants a number"))?;
        let number = number.parse().with_context(|| format!("{word} {number}"))?;
        ensure!(set(&mut plan, word, number), "no such flag: {word}");
    }
    Ok(plan)
}

/// What the threads of a running campaign share.
pub(crate) struct Frame {
    start: Instant,
    limit: Duration,
    has_failed: AtomicBool,
}

impl Frame {
    /// A campaign that begins now and takes no longer than `limit`, whatever hangs.
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            start: Instant::now(),
            limit,
            has_failed: AtomicBool::new(false),
        }
    }

    /// An error when another part has failed or the time is over.
    pub(crate) fn go_on(&self) -> anyhow::Result<()> {
        let is_whole = !self.has_failed.load(Ordering::Relaxed);
        ensure!(is_whole, "another part failed first");
        let minutes = self.limit.as_secs() / 60;
        ensure!(
            self.start.elapsed() < self.limit,
            "not done after {minutes} min"
        );
        Ok(())
    }

    /// Remembers a failure, so that the other parts end too; tells `say` of the first.
    pub(crate) fn noted<T>(
        &self,
        result: anyhow::Result<T>,
        say: impl FnOnce(&str),
    ) -> anyhow::Result<T> {
        if let Err(error) = &result
            && !self.has_failed.swap(true, Ordering::Relaxed)
        {
            say(&format!("failed: {error:#}"));
        }
        result
    }

    /// Since the beginning, in whole seconds.
    pub(crate) fn seconds(&self) -> u64 {
        self.start.elapsed().as_secs()
    }
}

/// The result of a thread; a panic in it is an error.
pub(crate) fn join<T>(thread: ScopedJoinHandle<'_, anyhow::Result<T>>) -> anyhow::Result<T> {
    thread
        .join()
        .unwrap_or_else(|_| bail!("a part of the campaign panicked"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Frame;

    /// The first failure is told once, and ends the other parts; so does the limit.
    #[test]
    fn a_failure_ends_everything() {
        let frame = Frame::new(Duration::from_hours(1));
        assert!(frame.go_on().is_ok());
        let mut told = vec![];
        for what in ["first", "second"] {
            let failed = Err::<(), _>(anyhow::anyhow!(what));
            assert!(
                frame
                    .noted(failed, |text| told.push(text.to_owned()))
                    .is_err()
            );
        }
        assert_eq!(told, ["failed: first"]);
        assert!(frame.go_on().is_err());
        assert!(Frame::new(Duration::ZERO).go_on().is_err());
    }
}
