//! What `conclave-core` reads: credentials, contents, introductions, sealed items, files with keys.

use conclave_core::attachment::{AttachmentError, AttachmentPointer, Opener, Sealer};
use conclave_core::content::{Content, padded_len};
use conclave_core::credential::{Credential, LeafClaim, check_leaf};
use conclave_core::hpke;
use conclave_core::inbox_item::{self, InboxItem, WelcomePointer};
use conclave_core::intro::Intro;
use conclave_core::pin::{self, Pin, Verdict};
use conclave_core::sealed_blob::{self, BlobPointer};
use conclave_core::{at_rest, key_export};
use conclave_hostile::people::{Book, FixedEnv, NOW_MS, SERVER};
use conclave_proto::account::{AccountState, verify_chain};
use conclave_proto::blob::padme;
use conclave_proto::codec;
use conclave_proto::id::{Day, LogId};
use conclave_proto::limits::INBOX_ITEM_BYTES;

use crate::people;
use crate::proto::{strict, text};

/// The log that seeds of introductions are about.
pub const LOG: LogId = LogId::new([0x10; 32]);
/// The passphrase of seeds.
pub const PASSPHRASE: &str = "pass phrase";
/// Dearest key derivation that a target waits for.
const COST_MAX: u32 = 64;
const DAY_MS: u64 = 86_400_000;
/// Plaintext bytes of every inbox item.
const PLAIN_BYTES: usize = INBOX_ITEM_BYTES - hpke::KEM_OUTPUT_BYTES - hpke::TAG_BYTES;

/// The day of [`NOW_MS`].
pub fn today() -> Day {
    Day(u32::try_from(NOW_MS / DAY_MS).unwrap_or(u32::MAX))
}

/// A credential with a key: nobody but the certified device passes the check of a leaf (C-017).
pub fn credential(bytes: &[u8]) {
    let (identity, key) = bytes.split_at(bytes.len().min(73));
    if let Ok(credential) = Credential::parse(identity) {
        assert_eq!(credential.to_bytes(), identity, "a second spelling");
    }
    let Ok(claim) = LeafClaim::parse(identity, key) else {
        return;
    };
    let ana = people::ana();
    let book = Book::of(&[ana]);
    for previous in [None, Some(ana.claim())] {
        if check_leaf(&claim, &book, previous.as_ref()).is_ok() {
            assert_eq!(claim, ana.claim(), "a forged leaf");
        }
    }
}

/// Content after decryption, padding included; then the same bytes as the inner message.
pub fn content(bytes: &[u8]) {
    readable_again(bytes);
    let padded = u32::try_from(bytes.len()).ok().and_then(|length| {
        let mut padded = [&length.to_be_bytes(), bytes].concat();
        padded.resize(padded_len(bytes.len())?, 0);
        Some(padded)
    });
    if let Some(padded) = padded {
        readable_again(&padded);
    }
}

/// What is accepted is written and read again as the same content.
pub(crate) fn readable_again(padded: &[u8]) {
    let Ok(content) = Content::decode_padded(padded) else {
        return;
    };
    // what was decoded may have been spread thinner than we write, never thicker
    let again = content
        .encode_padded()
        .expect("what was read can be written");
    assert_eq!(Content::decode_padded(&again), Ok(content));
}

/// An introduction: read strictly, and refused unless it is the one that was signed (C-039).
pub fn intro(bytes: &[u8]) {
    let Some(intro) = strict::<Intro>(bytes) else {
        return;
    };
    let ben = people::ben();
    if let Ok(introduced) = intro.verify(&ben.own, LOG, today()) {
        assert_eq!(introduced.device_id, people::ana().own.device_id);
    }
}

/// A pointer as it lies in an inbox item, after opening.
pub fn welcome_pointer(bytes: &[u8]) {
    let _ = strict::<WelcomePointer>(bytes);
}

/// Any plaintext that a stranger seals to a device's inbox, filled up to the one size.
pub fn inbox_item(bytes: &[u8]) {
    let ben = people::ben();
    let mut plain = bytes.to_vec();
    plain.resize(PLAIN_BYTES.max(bytes.len()), 0);
    if let Ok(item) = inbox_item::parse(&plain) {
        let item = codec::encode(&item);
        assert!(plain[4..].starts_with(&item), "a second spelling");
    }
    // C-039: whatever an item says, it counts only from the device that signed its introduction
    let (intro, log_id) = match inbox_item::parse(&plain) {
        Ok(InboxItem::Welcome(item)) => (item.intro, item.log_id),
        Ok(InboxItem::Rejoin(item)) => (item.intro, item.log_id),
        Ok(InboxItem::Notice(item)) => (item.intro, item.log_id),
        Ok(InboxItem::JoinRequest(item)) => (item.intro, item.log_id),
        Err(_) => return,
    };
    if let Ok(introduced) = intro.verify(&ben.own, log_id, today()) {
        assert_eq!(introduced.device_id, people::ana().own.device_id);
    }
}

/// A sealed blob under the key that the input names.
pub fn sealed_blob(bytes: &[u8]) {
    let Some((pointer, sealed)) = bytes.split_at_checked(64) else {
        return;
    };
    let pointer = strict::<BlobPointer>(pointer).expect("any 64 bytes are a pointer");
    let _ = sealed_blob::open(&pointer, sealed);
}

/// A file behind its pointer, opened piece by piece: as much content as the pointer says, or a refusal.
pub fn attachment(bytes: &[u8]) {
    let (pointer, mut sealed) = bytes.split_at(bytes.len().min(73));
    let Ok(pointer) = AttachmentPointer::parse(pointer) else {
        return;
    };
    assert_eq!(padme(pointer.sealed_bytes()), pointer.sealed_bytes());
    let mut opener = Opener::new(&pointer);
    let mut content = 0;
    while let Some((piece, rest)) = sealed.split_at_checked(opener.next_bytes()) {
        if piece.is_empty() {
            assert_eq!(content, pointer.length, "other content than promised");
            return;
        }
        sealed = rest;
        match opener.open(&mut piece.to_vec()) {
            Ok(opened) => content += opened.len() as u64,
            Err(_) => return,
        }
    }
}

/// Files behind their pointers: whole, cut, with another length, and a pointer alone.
pub fn attachments() -> Vec<Vec<u8>> {
    let mut sealed = Vec::new();
    let mut sink = |piece: &[u8]| -> Result<(), AttachmentError> {
        sealed.extend_from_slice(piece);
        Ok(())
    };
    let mut sealer = Sealer::new(&FixedEnv::new(10));
    sealer.write(b"a small file", &mut sink).unwrap();
    let pointer = sealer.finish(&mut sink).unwrap().to_bytes();
    let whole = [&pointer[..], &sealed].concat();
    let mut longer = whole.clone();
    longer[72] ^= 1;
    let cut = whole[..whole.len() - 1].to_vec();
    vec![whole, longer, cut, pointer.to_vec()]
}

/// States in order, each behind its length (u16): judged against nothing, and against a pin (C-015, C-016).
pub fn state_chain(bytes: &[u8]) {
    let states: Option<Vec<AccountState>> = parts(bytes)
        .into_iter()
        .map(|part| AccountState::parse(part).ok())
        .collect();
    let Some(states) = states else { return };
    let ana = people::ana();
    let holds = verify_chain(SERVER, &states).is_ok();
    let pin = Pin::of(&ana.state);
    for pinned in [None, Some(&pin)] {
        let accepted = !matches!(
            pin::judge(pinned, SERVER, &states),
            Verdict::Invalid(_) | Verdict::Changed { .. }
        );
        assert!(!accepted || holds, "a broken chain was accepted");
    }
}

/// `length u16 ‖ bytes` again and again; the last part may be shorter.
fn parts(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (part, after) = rest.split_at(length);
        parts.push(part);
        bytes = after;
    }
    parts
}

/// A wrapped store key that asks for little work.
pub fn at_rest(bytes: &[u8]) {
    let number = |place: usize| {
        let four = bytes.get(place..place + 4)?.try_into().ok()?;
        Some(u32::from_be_bytes(four))
    };
    let (memory_kib, passes) = (number(1), number(5));
    let dear = memory_kib.is_some_and(|kib| kib > COST_MAX) || passes.is_some_and(|n| n > 2);
    let refused_anyway = memory_kib.is_some_and(|kib| kib > 1024 * 1024);
    if dear && !refused_anyway {
        return;
    }
    let _ = at_rest::unwrap(bytes, PASSPHRASE);
}

/// An exported identity key that asks for few rounds.
pub fn key_export(bytes: &[u8]) {
    let Some(pem) = text(bytes) else { return };
    match key_export::rounds(pem) {
        Ok(rounds) if rounds > COST_MAX => {}
        Ok(_) => {
            let _ = key_export::import_pem(pem, PASSPHRASE);
        }
        Err(_) => assert!(key_export::import_pem(pem, PASSPHRASE).is_err()),
    }
}

/// A safety number as somebody typed it: only the same sixty digits are this number.
pub fn safety_number(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let number = people::safety_number();
    if number.compare(text) == Ok(true) {
        let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        assert_eq!(digits, number.digits());
    }
}
