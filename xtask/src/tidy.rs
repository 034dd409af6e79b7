//! `cargo xtask tidy`: the rules of the house that no compiler checks. Text only, a few seconds.
//!
//! - `dependencies`: crate edges, licences, sources, bans
//! - `sources`: what a source file may contain, its size, its first line, its tests
//! - `rules`: every rule id of the protocol has a check and a test
//! - `corpora`: every fuzz target has a corpus, and every corpus a target
//! - `documents`: files and links that documents name exist
//! - `deploy`: flags and settings that `deploy/` gives the server exist

mod corpora;
mod dependencies;
mod deploy;
mod documents;
mod rules;
mod sources;
mod tree;

use std::path::Path;

use anyhow::bail;

use tree::SourceFile;

/// What tidy found: errors fail it, warnings are only shown.
#[derive(Default)]
pub(crate) struct Findings {
    errors: Vec<String>,
    warnings: Vec<String>,
}

impl Findings {
    fn error(&mut self, text: impl Into<String>) {
        self.errors.push(text.into());
    }

    fn warning(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }
}

/// Checks the whole repository and lists everything that is wrong, not only the first.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let files = tree::rust_files(root)?;
    let mut findings = Findings::default();
    dependencies::check(root, &mut findings)?;
    for file in &files {
        sources::check(file, &mut findings);
    }
    let protocol = std::fs::read_to_string(root.join("docs/protocol.md"))?;
    rules::check(&protocol, &files, &mut findings);
    corpora::check(root, &mut findings)?;
    documents::check(root, &mut findings)?;
    deploy::check(root, &mut findings)?;
    report(&findings, files.len())
}

fn report(findings: &Findings, files: usize) -> anyhow::Result<()> {
    for warning in &findings.warnings {
        println!("    warning: {warning}");
    }
    for error in &findings.errors {
        println!("    error: {error}");
    }
    if !findings.errors.is_empty() {
        bail!(
            "tidy found {} errors in {files} source files",
            findings.errors.len()
        );
    }
    println!("    {files} source files are tidy");
    Ok(())
}
