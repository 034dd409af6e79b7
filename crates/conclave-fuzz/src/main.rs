//! Writes the seeds of every target into a folder each: `conclave-fuzz FOLDER`. `cargo xtask fuzz` calls it.

use std::path::Path;
use std::process::ExitCode;

use conclave_fuzz::TARGETS;
use conclave_proto::label;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("usage: conclave-fuzz FOLDER");
        return ExitCode::FAILURE;
    };
    match write(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: cannot write the seeds: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Each seed under the hash of its bytes, so that the same one is written once.
fn write(folder: &Path) -> std::io::Result<()> {
    for target in TARGETS {
        let corpus = folder.join(target.name);
        std::fs::create_dir_all(&corpus)?;
        for seed in (target.seeds)() {
            let name = label::sha256(&seed).to_string();
            std::fs::write(corpus.join(name.get(..18).unwrap_or(&name)), &seed)?;
        }
    }
    Ok(())
}
