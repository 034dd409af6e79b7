//! libFuzzer around the targets of `conclave-fuzz`: `CONCLAVE_FUZZ_TARGET` names the one to run.
#![no_main]

use std::sync::OnceLock;

use conclave_fuzz::Target;
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<&'static Target> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("CONCLAVE_FUZZ_TARGET").expect("CONCLAVE_FUZZ_TARGET is set");
        conclave_fuzz::target(&name).expect("there is a target of that name")
    });
    (target.run)(data);
});
