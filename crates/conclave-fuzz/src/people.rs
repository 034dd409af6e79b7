//! Who speaks in every target: made once, the same in every run but for what their signatures draw.

use std::sync::OnceLock;

use conclave_core::safety_number::SafetyNumber;
use conclave_hostile::people::Person;

/// Who lies in most targets.
pub fn ana() -> &'static Person {
    static ANA: OnceLock<Person> = OnceLock::new();
    ANA.get_or_init(|| Person::new(1))
}

/// Whom it is done to.
pub fn ben() -> &'static Person {
    static BEN: OnceLock<Person> = OnceLock::new();
    BEN.get_or_init(|| Person::new(2))
}

/// The safety number of the two.
pub fn safety_number() -> &'static SafetyNumber {
    static NUMBER: OnceLock<SafetyNumber> = OnceLock::new();
    NUMBER.get_or_init(|| SafetyNumber::of(&ana().identity.public(), &ben().identity.public()))
}
