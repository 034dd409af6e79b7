//! Seeds of what a person keeps or reads out: wrapped and exported keys, safety numbers.

use conclave_core::at_rest::{self, Cost};
use conclave_core::secret::Secret;
use conclave_hostile::people::FixedEnv;

use super::Seeds;
use crate::core::PASSPHRASE;
use crate::people;

/// Wrapped store keys: cheap, dear, and too dear.
pub fn wrapped_keys() -> Seeds {
    let key = Secret::parse(&[7; 32]).unwrap();
    let cost = Cost::new(8, 1).unwrap();
    let cheap = at_rest::wrap(&key, PASSPHRASE, cost, &FixedEnv::new(9)).unwrap();
    let mut dear = cheap.clone();
    dear[1..5].copy_from_slice(&u32::MAX.to_be_bytes());
    let mut newer = cheap.clone();
    newer[0] = 2;
    vec![cheap, dear, newer]
}

/// Exported keys: two blocks of one round each, one alone, and the text around them.
pub fn key_exports() -> Seeds {
    let pem = include_str!("../key_export.pem");
    let (first, _) = pem.split_at(pem.len() / 2);
    vec![
        pem.as_bytes().to_vec(),
        first.as_bytes().to_vec(),
        format!("Bag attributes\n{pem}").into_bytes(),
    ]
}

/// A safety number as shown, as typed, and another one.
pub fn safety_numbers() -> Seeds {
    let number = people::safety_number();
    vec![
        number.to_string().into_bytes(),
        number.digits().as_bytes().to_vec(),
        vec![b'0'; 60],
    ]
}
