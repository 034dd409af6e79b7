//! Every input that was ever found worth keeping still breaks nothing.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use conclave_fuzz::{TARGETS, target};

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

fn replay(name: &str) {
    let target = target(name).unwrap();
    for seed in (target.seeds)() {
        (target.run)(&seed);
    }
    let mut replayed = 0;
    for file in std::fs::read_dir(corpora().join(name)).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        (target.run)(&bytes);
        replayed += 1;
    }
    assert!(replayed > 0, "the corpus of {name} is empty");
}

macro_rules! replayed {
    ($($name:ident)*) => {
        $(
            /// The target's seeds and its whole corpus end without a panic.
            #[test]
            fn $name() {
                replay(stringify!($name));
            }
        )*

        /// Every target is replayed here and has a corpus, and every corpus has a target.
        #[test]
        fn nothing_is_left_out() {
            let targets: BTreeSet<String> =
                TARGETS.iter().map(|target| target.name.to_owned()).collect();
            let tests: BTreeSet<String> = [$(stringify!($name).to_owned()),*].into();
            assert_eq!(tests, targets);
            let folders: BTreeSet<String> = std::fs::read_dir(corpora())
                .unwrap()
                .map(|folder| folder.unwrap().file_name().into_string().unwrap())
                .collect();
            assert_eq!(folders, targets);
        }
    };
}

replayed! {
    account_state address apply_commit archive at_rest attachment classic_key classic_line commit_entry content
    content_sealed context credential
    device_cert device_link entry frame group_link head hello http id identifier identity_key inbox_item intro join key_export
    key_package link_offer link_slot open reply request safety_number sealed_blob server_config state_chain
    websocket welcome_pointer
}
