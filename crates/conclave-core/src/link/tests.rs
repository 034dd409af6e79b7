//! The four slots of a link, by two honest devices and by everybody in between.

use super::*;
use crate::fixture::{FixedEnv, NOW_MS, Person, SERVER, device_facts};

/// A new device with its offer and code, and somebody whose account it should join.
struct Link {
    anna: Person,
    secret: DeviceSecret,
    offer: Offer,
    code: LinkCode,
    answer: Answer,
}

impl Link {
    fn new() -> Self {
        let env = FixedEnv::new(70);
        let anna = Person::new(1);
        let secret = DeviceSecret::generate(&env);
        let device_id = DeviceId::random(&env);
        Self {
            offer: Offer::new(SERVER, device_id, &secret, "laptop", &env),
            code: LinkCode::random(&env),
            answer: Answer::new(anna.own.account_id, &env),
            anna,
            secret,
        }
    }

    fn proof(&self) -> Vec<u8> {
        let (account, device) = (self.answer.account_id(), self.offer.device_id());
        self.secret.prove(SERVER, account, device).signature
    }

    /// The bundle of an account that now lists the new device.
    fn bundle(&self) -> Bundle {
        let proven = proven(&self.offer, &self.answer, &self.proof()).unwrap();
        let facts = device_facts(self.anna.own.account_id, self.offer.device_id());
        let cert = self.anna.identity.certify_proven(&proven, &facts);
        let certs = vec![self.anna.cert.clone(), cert];
        let identity = IdentitySecret::from_stored(&self.anna.identity.to_stored()).unwrap();
        Bundle {
            state: identity.next_state(&self.anna.state, &certs, NOW_MS),
            identity,
            certs,
            capability: Capability::random(&FixedEnv::new(71)),
            identifier: Identifier::phone("+491700000001").unwrap(),
            name: "Anna".to_owned(),
            history: vec![5; 73].into(),
        }
    }

    fn open(&self, sealed: &[u8]) -> Result<Bundle, LinkError> {
        Bundle::open(sealed, &self.secret, &self.offer, &self.code, &self.answer)
    }

    fn seal(&self, bundle: &Bundle) -> Vec<u8> {
        bundle.seal(&self.offer, &self.code, &self.answer).unwrap()
    }
}

/// An offer leads over answer and proof to the whole account, on both sides the same.
#[test]
fn a_new_device_gets_the_account() {
    let link = Link::new();
    let bytes = link.offer.to_bytes();
    let offer = Offer::parse(&bytes, mailbox_id(&bytes)).unwrap();
    assert_eq!(offer, link.offer);
    assert_eq!(offer.name(), "laptop");
    let sealed = link.answer.seal(&offer, &link.code).unwrap();
    let answer = Answer::open(&sealed, &link.secret, &link.offer, &link.code).unwrap();
    assert_eq!(answer.account_id(), link.anna.own.account_id);
    assert_eq!(answer.secret(), link.answer.secret());
    let bundle = link.bundle();
    let sealed = link.seal(&bundle);
    let opened = link.open(&sealed).unwrap();
    assert_eq!(opened.state, bundle.state);
    assert_eq!(opened.certs, bundle.certs);
    assert_eq!(opened.identity.public(), link.anna.identity.public());
    assert_eq!(
        (opened.name.as_str(), opened.identifier.as_str()),
        ("Anna", "+491700000001")
    );
}

/// Ten devices with all their certificates, each with four former leaf keys, still fit into a slot.
#[test]
fn the_largest_account_fits_a_slot() {
    let link = Link::new();
    let env = FixedEnv::new(72);
    let mut bundle = link.bundle();
    while bundle.certs.len() < DEVICES_MAX {
        let facts = device_facts(link.anna.own.account_id, DeviceId::random(&env));
        let device = DeviceSecret::generate(&env);
        let proven = device.prove(facts.server_id, facts.account_id, facts.device_id);
        let proven = proven.with_former(&[1, 2, 3, 4].map(|byte| [byte; 32]));
        let cert = link.anna.identity.certify_proven(&proven, &facts);
        bundle.certs.push(cert);
    }
    bundle.state = link
        .anna
        .identity
        .next_state(&link.anna.state, &bundle.certs, NOW_MS);
    let sealed = link.seal(&bundle);
    assert!(sealed.len() <= MAILBOX_SLOT_BYTES_MAX);
    assert_eq!(link.open(&sealed).unwrap().certs.len(), DEVICES_MAX);
}

/// A server that puts an offer of its own into the mailbox is found out by the link's hash.
#[test]
fn c122_swapped_offer_is_refused() {
    let link = Link::new();
    let env = FixedEnv::new(73);
    let thief = DeviceSecret::generate(&env);
    let other = Offer::new(SERVER, link.offer.device_id(), &thief, "laptop", &env);
    let shown = mailbox_id(&link.offer.to_bytes());
    assert_eq!(
        Offer::parse(&other.to_bytes(), shown),
        Err(LinkError::OtherOffer)
    );
    // and what is sealed to one offer opens with no other
    let sealed = link.answer.seal(&link.offer, &link.code).unwrap();
    let opened = Answer::open(&sealed, &thief, &other, &link.code);
    assert_eq!(opened.err(), Some(LinkError::WrongCode));
}

/// Offers are parsed strictly: version, key length, name, trailing bytes.
#[test]
fn c003_offers_are_strict() {
    let offer = Link::new().offer;
    let long = Offer {
        name: vec![b'x'; NAME_BYTES_MAX + 1].into(),
        ..offer.clone()
    };
    let control = Offer {
        name: b"a\nb".to_vec().into(),
        ..offer.clone()
    };
    let short = Offer {
        inbox_key: vec![1; XWING_KEY_BYTES - 1].into(),
        ..offer.clone()
    };
    let newer = Offer {
        version: 2,
        ..offer.clone()
    };
    for wrong in [long, control, short, newer] {
        assert_eq!(Offer::read(&wrong.to_bytes()), Err(LinkError::Malformed));
    }
    let mut bytes = offer.to_bytes();
    bytes.push(0);
    assert_eq!(Offer::read(&bytes), Err(LinkError::Malformed));
    assert_eq!(Offer::read(&[]), Err(LinkError::Malformed));
}

/// Who has the link and guesses the code makes an answer that does not open; so does one made for another offer,
/// changed on the way, or of no use at all.
#[test]
fn c123_answer_without_the_code_is_refused() {
    let link = Link::new();
    let open = |sealed: &[u8]| Answer::open(sealed, &link.secret, &link.offer, &link.code).err();
    let guess = LinkCode::parse("000000").unwrap();
    assert_ne!(guess, link.code);
    let thief = Answer::new(AccountId::new([9; 16]), &FixedEnv::new(74));
    let sealed = thief.seal(&link.offer, &guess).unwrap();
    assert_eq!(open(&sealed), Some(LinkError::WrongCode));
    let mut sealed = link.answer.seal(&link.offer, &link.code).unwrap();
    assert_eq!(open(&sealed), None);
    *sealed.last_mut().unwrap() ^= 1;
    assert_eq!(open(&sealed), Some(LinkError::WrongCode));
    assert_eq!(open(&sealed[..100]), Some(LinkError::Malformed));
    let again = Offer {
        nonce: [9; 32],
        ..link.offer.clone()
    };
    let replayed = link.answer.seal(&again, &link.code).unwrap();
    assert_eq!(open(&replayed), Some(LinkError::WrongCode));
}

/// A proof by another key, or for another account, certifies nothing.
#[test]
fn c123_proof_of_somebody_else_is_refused() {
    let link = Link::new();
    let thief = DeviceSecret::generate(&FixedEnv::new(75));
    let (account, device) = (link.answer.account_id(), link.offer.device_id());
    let wrong = [
        thief.prove(SERVER, account, device).signature,
        link.secret
            .prove(SERVER, AccountId::new([9; 16]), device)
            .signature,
        link.secret
            .prove(SERVER, account, DeviceId::new([9; 16]))
            .signature,
        vec![],
    ];
    for proof in wrong {
        assert_eq!(
            proven(&link.offer, &link.answer, &proof).err(),
            Some(LinkError::Malformed)
        );
    }
    assert!(proven(&link.offer, &link.answer, &link.proof()).is_ok());
}

/// A bundle needs code and answer; one by who took part in neither, or swapped for an answer, does not open.
#[test]
fn c124_bundle_is_bound_to_code_and_answer() {
    let link = Link::new();
    let bundle = link.bundle();
    let other = Answer::new(link.answer.account_id(), &FixedEnv::new(76));
    let guess = LinkCode::parse("000000").unwrap();
    let wrong = [
        bundle.seal(&link.offer, &link.code, &other).unwrap(),
        bundle.seal(&link.offer, &guess, &link.answer).unwrap(),
        link.answer.seal(&link.offer, &link.code).unwrap(),
    ];
    for sealed in wrong {
        assert_eq!(link.open(&sealed).err(), Some(LinkError::WrongCode));
    }
}

/// A bundle whose parts do not fit each other is refused, part by part.
#[test]
fn c124_bundle_that_contradicts_itself_is_refused() {
    let link = Link::new();
    let is_refused = |bundle: &Bundle| {
        let error = link.open(&link.seal(bundle)).err();
        matches!(error, Some(LinkError::Contradiction(_)))
    };
    let ben = Person::new(2);
    let mut unlisted = link.bundle();
    unlisted.state = link.anna.state.clone();
    unlisted.certs = vec![link.anna.cert.clone()];
    let mut other_key = link.bundle();
    other_key.identity = IdentitySecret::from_stored(&ben.identity.to_stored()).unwrap();
    let mut other_account = link.bundle();
    other_account.state = ben.state.clone();
    other_account.certs = vec![ben.cert.clone()];
    let mut one_cert = link.bundle();
    one_cert.certs.pop();
    let mut unsigned = link.bundle();
    unsigned.state.content.issued_ms += 1;
    for wrong in [unlisted, other_key, other_account, one_cert, unsigned] {
        assert!(is_refused(&wrong));
    }
    assert!(!is_refused(&link.bundle()));
}

/// Codes survive the ways people type them; nothing else is a code.
#[test]
fn codes_are_six_digits() {
    let code = LinkCode::parse("123456").unwrap();
    for typed in [" 123 456\n", "123-456"] {
        assert_eq!(LinkCode::parse(typed).as_ref(), Some(&code));
    }
    for wrong in ["12345", "1234567", "12345a", "", "１２３４５６"] {
        assert_eq!(LinkCode::parse(wrong), None);
    }
    assert_eq!(LinkCode::random(&FixedEnv::new(1)).digits().len(), 6);
    assert_eq!(format!("{code:?}"), "LinkCode");
}
