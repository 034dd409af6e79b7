//! Trust on first use: what a pinned account may show next (C-016).

use conclave_proto::account::{AccountError, AccountState, verify_chain};
use conclave_proto::id::{AccountId, Hash32, IdentityFingerprint, ServerId};

/// What is remembered about an account once a state of it was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// The account that the identifier led to.
    pub account_id: AccountId,
    /// Fingerprint of its identity key.
    pub identity_fingerprint: IdentityFingerprint,
    /// Generation of that key.
    pub generation: u32,
    /// Seq of the newest accepted state.
    pub seq: u64,
    /// Hash of that state.
    pub hash: Hash32,
}

impl Pin {
    /// The pin that accepting `state` makes.
    pub fn of(state: &AccountState) -> Self {
        let content = &state.content;
        Self {
            account_id: content.account_id,
            identity_fingerprint: content.identity.fingerprint(),
            generation: content.generation,
            seq: content.seq,
            hash: state.hash(),
        }
    }
}

/// What changed in a way that only the person can accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The identifier leads to another account: the person registered anew, or somebody else did.
    Account,
    /// The account began a new generation: its key was lost and replaced.
    Generation,
    /// The same account and generation under another key, which the pinned one did not sign for.
    Key,
}

/// What to do with the states that a server or peer shows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a verdict that nobody acts on protects nobody"]
pub enum Verdict {
    /// Never seen: remember this pin and go on (trust on first use).
    New(Pin),
    /// What is pinned already: go on.
    Same,
    /// An unbroken chain from the pin: remember this pin and go on. When its fingerprint is another one, the
    /// identity key was rotated under the old one's signature: tell the person, and go on (C-136).
    Advanced(Pin),
    /// Older than the pin: ignore it.
    Stale,
    /// The states begin after the pin: fetch them from this seq on, then judge again.
    Incomplete {
        /// First seq to ask for.
        from_seq: u64,
    },
    /// Two signed states for one place in the chain: stop, keep the pinned one and this one as proof.
    Fork {
        /// The state that contradicts the pin.
        other: Box<AccountState>,
    },
    /// Another key, generation or account: stop sending until the person decides.
    Changed {
        /// What changed.
        what: Change,
        /// The pin that accepting it would make.
        pin: Pin,
    },
    /// Signatures, order or server do not hold: whoever showed this is broken or hostile; ignore it.
    Invalid(AccountError),
}

/// Judges `states` (oldest first, at most 256, the newest last) against what is pinned.
///
/// Pure: the caller stores the new pin, or stops, as the verdict says.
pub fn judge(pin: Option<&Pin>, server_id: ServerId, states: &[AccountState]) -> Verdict {
    let Some(newest) = states.last() else {
        return Verdict::Invalid(AccountError::Chain);
    };
    // the newest alone decides whether this still is the pinned key, so that a change is never "invalid"
    if let Err(error) = newest.verify(server_id) {
        return Verdict::Invalid(error);
    }
    let shown = Pin::of(newest);
    let chain = verify_chain(server_id, states);
    // C-016: another account, generation or key is never accepted silently.
    match pin.and_then(|pin| change(pin, &shown)) {
        // C-136: unless it says that the pinned key signed for it, and the chain from there shows it.
        Some(Change::Key) if chain.is_ok() && is_said_to_follow(pin, newest) => {}
        Some(what) => return Verdict::Changed { what, pin: shown },
        None => {}
    }
    if let Err(error) = chain {
        return Verdict::Invalid(error);
    }
    match pin {
        None => Verdict::New(shown),
        Some(pin) => follow(pin, shown, states),
    }
}

fn is_said_to_follow(pin: Option<&Pin>, newest: &AccountState) -> bool {
    pin.is_some_and(|pin| {
        newest.content.former.contains(&pin.identity_fingerprint) && newest.content.seq > pin.seq
    })
}

/// Whether `shown` is by a key that `accepted` replaced: nothing that such a key signs counts any more, whoever
/// shows it (C-136). Ask before [`judge`]; what is true here is stale.
pub fn is_retired(accepted: &AccountState, shown: &AccountState) -> bool {
    let (accepted, shown) = (&accepted.content, &shown.content);
    accepted.account_id == shown.account_id
        && accepted.generation == shown.generation
        && accepted.former.contains(&shown.identity.fingerprint())
}

fn change(pin: &Pin, shown: &Pin) -> Option<Change> {
    if shown.account_id != pin.account_id {
        Some(Change::Account)
    } else if shown.generation != pin.generation {
        Some(Change::Generation)
    } else if shown.identity_fingerprint != pin.identity_fingerprint {
        Some(Change::Key)
    } else {
        None
    }
}

/// C-016: does the verified chain `states` go on from the pin?
fn follow(pin: &Pin, shown: Pin, states: &[AccountState]) -> Verdict {
    if shown.seq < pin.seq {
        return Verdict::Stale;
    }
    if let Some(same_place) = states.iter().find(|state| state.content.seq == pin.seq) {
        if same_place.hash() != pin.hash {
            return apart(pin, shown, same_place);
        }
        return if shown.seq == pin.seq {
            Verdict::Same
        } else {
            Verdict::Advanced(shown)
        };
    }
    match states.first() {
        // The state after the pin alone does not show that the pinned key signed for a new one.
        Some(first) if first.content.seq == pin.seq.saturating_add(1) && is_by(pin, first) => {
            if first.content.prev_hash == pin.hash {
                Verdict::Advanced(shown)
            } else {
                apart(pin, shown, first)
            }
        }
        _ => Verdict::Incomplete { from_seq: pin.seq },
    }
}

/// Two states for one place: proof when the pinned key signed both, else merely another key.
fn apart(pin: &Pin, shown: Pin, other: &AccountState) -> Verdict {
    if is_by(pin, other) {
        Verdict::Fork {
            other: Box::new(other.clone()),
        }
    } else {
        Verdict::Changed {
            what: Change::Key,
            pin: shown,
        }
    }
}

fn is_by(pin: &Pin, state: &AccountState) -> bool {
    state.content.identity.fingerprint() == pin.identity_fingerprint
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{FixedEnv, NOW_MS, Person, SERVER, state_facts};
    use crate::identity::{IdentitySecret, StateFacts};

    /// First use pins; the same again is the same; longer unbroken chains advance, whole or from the pin on.
    #[test]
    fn c016_follows_an_unbroken_chain() {
        let chain = Person::new(1).chain(3);
        let first = Pin::of(&chain[0]);
        let newest = Pin::of(&chain[3]);
        assert_eq!(judge(None, SERVER, &chain[..1]), Verdict::New(first));
        assert_eq!(judge(Some(&first), SERVER, &chain[..1]), Verdict::Same);
        assert_eq!(
            judge(Some(&first), SERVER, &chain),
            Verdict::Advanced(newest)
        );
        assert_eq!(
            judge(Some(&first), SERVER, &chain[1..]),
            Verdict::Advanced(newest)
        );
        assert_eq!(
            judge(Some(&first), SERVER, &chain[2..]),
            Verdict::Incomplete { from_seq: 1 }
        );
    }

    /// An older state than the pinned one is ignored, however well signed.
    #[test]
    fn c016_lower_seq_is_stale() {
        let chain = Person::new(1).chain(2);
        let pin = Pin::of(&chain[2]);
        assert_eq!(judge(Some(&pin), SERVER, &chain[..2]), Verdict::Stale);
        assert_eq!(judge(Some(&pin), SERVER, &chain[..1]), Verdict::Stale);
    }

    /// Two states for one seq are a fork: at the pin, and right after it.
    #[test]
    fn c016_same_seq_other_hash_is_a_fork() {
        let person = Person::new(1);
        let chain = person.chain(1);
        let twin = person.identity.next_state(&chain[0], &[], NOW_MS + 1);
        let after_twin = person.identity.next_state(&twin, &[], NOW_MS + 2);
        let pin = Pin::of(&chain[1]);
        let at_pin = judge(Some(&pin), SERVER, &[chain[0].clone(), twin.clone()]);
        assert_eq!(
            at_pin,
            Verdict::Fork {
                other: Box::new(twin)
            }
        );
        let after = judge(Some(&pin), SERVER, std::slice::from_ref(&after_twin));
        assert_eq!(
            after,
            Verdict::Fork {
                other: Box::new(after_twin)
            }
        );
    }

    /// Another key, generation or account stops sending, each with its reason.
    #[test]
    fn c016_other_key_generation_or_account_stops() {
        let (one, other) = (Person::new(1), Person::new(2));
        let pin = Pin::of(&one.state);
        let thief = IdentitySecret::generate(&FixedEnv::new(9));
        let facts = state_facts(one.own.account_id);
        let next_generation = StateFacts {
            generation: 2,
            ..facts
        };
        for (state, what) in [
            (thief.first_state(&facts, &[]), Change::Key),
            (thief.first_state(&next_generation, &[]), Change::Generation),
            (
                one.identity.first_state(&next_generation, &[]),
                Change::Generation,
            ),
            (other.state.clone(), Change::Account),
        ] {
            let shown = Pin::of(&state);
            let verdict = judge(Some(&pin), SERVER, &[state]);
            assert_eq!(verdict, Verdict::Changed { what, pin: shown });
        }
    }

    /// What does not verify is neither new, changed nor a fork, and a broken chain does not advance.
    #[test]
    fn c016_unsigned_or_broken_is_invalid() {
        let person = Person::new(1);
        let chain = person.chain(3);
        let pin = Pin::of(&chain[0]);
        let mut forged = chain[1].clone();
        forged.content.issued_ms += 1;
        let gap = vec![chain[0].clone(), chain[1].clone(), chain[3].clone()];
        let inner = vec![chain[0].clone(), forged.clone(), chain[2].clone()];
        for states in [vec![], vec![forged], gap, inner] {
            assert!(matches!(
                judge(Some(&pin), SERVER, &states),
                Verdict::Invalid(_)
            ));
            assert!(matches!(judge(None, SERVER, &states), Verdict::Invalid(_)));
        }
        let elsewhere = ServerId::new([9; 32]);
        assert!(matches!(
            judge(None, elsewhere, &chain),
            Verdict::Invalid(_)
        ));
    }
    /// A rotation that the pinned key signed is followed, also over several and from the newest alone; the pin then
    /// names the new key.
    #[test]
    fn c136_rotation_advances_the_pin() {
        let one = Person::new(1);
        let two = one.rotated(11);
        let three = two.rotated(12);
        let pin = Pin::of(&one.state);
        let newest = Pin::of(&three.state);
        let chain = [&one, &two, &three].map(|person| person.state.clone());
        assert_ne!(newest.identity_fingerprint, pin.identity_fingerprint);
        assert_eq!(judge(Some(&pin), SERVER, &chain), Verdict::Advanced(newest));
        for part in [&chain[1..], &chain[2..]] {
            let wanted = Verdict::Incomplete { from_seq: 1 };
            assert_eq!(judge(Some(&pin), SERVER, part), wanted);
        }
        let alone = [three.state.without_rotation()];
        let wanted = Verdict::Incomplete { from_seq: 1 };
        assert_eq!(judge(Some(&pin), SERVER, &alone), wanted);
        assert_eq!(judge(Some(&newest), SERVER, &alone), Verdict::Same);
    }

    /// Whoever merely says that the pinned key was replaced is stopped like any other key, however it is told.
    #[test]
    fn c136_rotation_without_the_old_key_is_a_change() {
        let (one, thief) = (Person::new(1), IdentitySecret::generate(&FixedEnv::new(9)));
        let pin = Pin::of(&one.state);
        let certs = [thief.recertify(&one.cert, 1)];
        let forged = thief.rotated_state(&thief, &one.state, &certs, NOW_MS);
        let after = thief.next_state(&forged, &certs, NOW_MS);
        let shown = [one.state.clone(), forged.clone()];
        for states in [
            shown.to_vec(),
            vec![one.state.clone(), forged.clone(), after.clone()],
            vec![one.state.clone(), forged.without_rotation()],
        ] {
            let wanted = Verdict::Changed {
                what: Change::Key,
                pin: Pin::of(states.last().unwrap()),
            };
            assert_eq!(judge(Some(&pin), SERVER, &states), wanted);
        }
        // a chain of the thief's own from the first state on
        let other_first = thief.first_state(&state_facts(one.own.account_id), &certs);
        let own = IdentitySecret::generate(&FixedEnv::new(10));
        let rotated = own.rotated_state(&thief, &other_first, &[], NOW_MS);
        let verdict = judge(Some(&pin), SERVER, &[other_first, rotated]);
        assert!(matches!(
            verdict,
            Verdict::Changed {
                what: Change::Key,
                ..
            }
        ));
    }

    /// What a replaced key signs afterwards counts for nothing: not as a fork, not as a change.
    #[test]
    fn c136_replaced_keys_are_retired() {
        let one = Person::new(1);
        let two = one.rotated(11);
        let late = one.identity.next_state(&one.state, &[], NOW_MS + 5);
        assert!(is_retired(&two.state, &late));
        assert!(is_retired(&two.state, &one.state));
        assert!(!is_retired(&two.state, &two.state));
        assert!(!is_retired(&one.state, &two.state));
        assert!(!is_retired(&two.state, &Person::new(2).state));
        assert!(!is_retired(&two.state, &two.reset(12).state));
    }
}
