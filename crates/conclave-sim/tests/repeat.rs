//! A seed is a whole world: it comes out the same every time.

use conclave_sim::{Plan, run};

/// Two runs of one seed make the same decisions at the same moments, with messages of the same sizes; another
/// seed makes others.
#[test]
fn a_seed_repeats() {
    let mut traces = Vec::new();
    for seed in [2, 3, 5] {
        let first = run(&Plan::of(seed)).unwrap();
        let second = run(&Plan::of(seed)).unwrap();
        let differs = first.trace.iter().zip(&second.trace);
        let differs = differs.enumerate().find(|(_, (one, other))| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(first.trace.len(), second.trace.len(), "seed {seed}");
        traces.push(first.trace);
    }
    traces.sort_unstable();
    traces.dedup();
    assert_eq!(traces.len(), 3);
}
