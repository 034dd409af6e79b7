//! What lies in an inbox: items sealed to one device, all of one size (C-038).

use core::fmt;

use conclave_proto::account::DeviceCert;
use conclave_proto::codec;
use conclave_proto::id::{DeviceId, Epoch, Hash32, LogId, Seq};
use conclave_proto::label;
use conclave_proto::limits::{INBOX_ITEM_BYTES, NAME_BYTES_MAX, NOTICE_TEXT_BYTES_MAX};
use openmls_traits::types::HpkeCiphertext;
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize, VLBytes};
use zeroize::Zeroizing;

use crate::conversation::ConversationKind;
use crate::hpke::{self, HpkeError, KEM_OUTPUT_BYTES, TAG_BYTES};
use crate::identity::OwnDevice;
use crate::intro::Intro;
use crate::padding;
use crate::sealed_blob::BlobPointer;

/// Plaintext bytes of every item, padding included.
const PLAIN_BYTES: usize = INBOX_ITEM_BYTES - KEM_OUTPUT_BYTES - TAG_BYTES;

/// What an item says; an unknown kind is [`ItemError::UnknownKind`]. Every kind carries an intro, so that the
/// receiver knows who says it before doing anything (C-039).
#[derive(Debug, TlsSize, TlsSerialize)]
#[repr(u8)]
#[expect(
    clippy::large_enum_variant,
    reason = "one item at a time, and most are welcomes"
)]
pub enum InboxItem {
    /// An invitation to a conversation.
    #[tls_codec(discriminant = 1)]
    Welcome(WelcomePointer),
    /// A member cannot go on in a conversation, and asks to be taken out and put in anew.
    #[tls_codec(discriminant = 2)]
    Rejoin(Rejoin),
    /// Why something that the receiver asked for was not done.
    #[tls_codec(discriminant = 3)]
    Notice(Notice),
    /// Somebody shows a group's link and asks to be added.
    #[tls_codec(discriminant = 4)]
    JoinRequest(JoinRequest),
}

/// A stranded member's cry for help: the sender's device is in `log_id`, and cannot read on there.
#[derive(Debug, TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct Rejoin {
    /// The conversation.
    pub log_id: LogId,
    /// Who asks, for this receiver and log.
    pub intro: Intro,
}

/// An answer to what the receiver asked for.
#[derive(Debug, TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct Notice {
    /// The conversation that it is about.
    pub log_id: LogId,
    /// Which answer; the program's own list. An unknown one is shown by its text alone.
    pub code: u8,
    /// For people: at most [`NOTICE_TEXT_BYTES_MAX`] of UTF-8.
    pub text_bytes: VLBytes,
    /// Who answers, for this receiver and log.
    pub intro: Intro,
}

impl WelcomePointer {
    /// The group's name, for people.
    pub fn name(&self) -> &str {
        str::from_utf8(self.name_bytes.as_slice()).unwrap_or_default()
    }

    fn is_well_formed(&self) -> bool {
        let name = self.name_bytes.as_slice();
        let is_named = self.kind == ConversationKind::Group || name.is_empty();
        is_named && name.len() <= NAME_BYTES_MAX && str::from_utf8(name).is_ok()
    }
}

impl Notice {
    /// What it says to people.
    pub fn text(&self) -> &str {
        str::from_utf8(self.text_bytes.as_slice()).unwrap_or_default()
    }

    fn is_well_formed(&self) -> bool {
        // C-096
        let text = self.text_bytes.as_slice();
        text.len() <= NOTICE_TEXT_BYTES_MAX && str::from_utf8(text).is_ok()
    }
}

/// A wish to be added to a group, with what its link says.
#[derive(TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct JoinRequest {
    /// The group.
    pub log_id: LogId,
    /// The secret of its link; only the current one counts.
    pub secret: [u8; 32],
    /// Who asks, for this receiver and log.
    pub intro: Intro,
}

impl fmt::Debug for JoinRequest {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinRequest")
    }
}

/// Where a Welcome lies, and who invites.
#[derive(Debug, TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct WelcomePointer {
    /// The conversation's log and MLS group id.
    pub log_id: LogId,
    /// This device's own Welcome.
    pub welcome: BlobPointer,
    /// The ratchet tree that all invited devices share.
    pub tree: BlobPointer,
    /// The epoch that the Welcome joins.
    pub epoch: Epoch,
    /// Last entry before that epoch; 0 in a new log.
    pub start_seq: Seq,
    /// Chain hash there.
    pub start_hash: Hash32,
    /// What the conversation is for, by the inviter's word: what is joined must be of this kind.
    pub kind: ConversationKind,
    /// The group's name, by the inviter's word; empty in every other kind.
    pub name_bytes: VLBytes,
    /// The conversation that it continues, by the inviter's word: what is joined must say the same.
    pub successor_of: Option<LogId>,
    /// Who invites; nothing is fetched before it was verified and accepted (C-039).
    pub intro: Intro,
}

/// An item that cannot be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ItemError {
    /// More than 16 KiB hold. Shorten the intro.
    #[error("the inbox item does not fit into {INBOX_ITEM_BYTES} bytes")]
    TooLarge,
    /// The recipient's certificate carries no usable inbox key.
    #[error("the recipient's inbox key is not usable: {0}")]
    Recipient(HpkeError),
    /// Not of the one size, or not sealed to this device. Acknowledge and forget it.
    #[error("the inbox item was not sealed to this device")]
    NotOurs,
    /// Opened, but not what it should be: the sender is broken or hostile. Acknowledge and forget it.
    #[error("the inbox item is malformed")]
    Malformed,
    /// A kind that a newer program knows. Acknowledge and forget it: kept, it would hold a stranger's slot.
    #[error("the inbox item is of a newer kind: update this program")]
    UnknownKind,
}

/// Seals `item` to the certified device: exactly 16 KiB.
pub fn seal(item: &InboxItem, recipient: &DeviceCert) -> Result<Vec<u8>, ItemError> {
    let bytes = Zeroizing::new(codec::encode(item));
    let padded = Zeroizing::new(padding::pad(&bytes, PLAIN_BYTES).ok_or(ItemError::TooLarge)?);
    let content = &recipient.content;
    let sealed = hpke::seal(
        content.inbox_key.as_slice(),
        label::INBOX_ITEM.as_bytes(),
        content.device_id.as_bytes(),
        &padded,
    )
    .map_err(ItemError::Recipient)?;
    Ok([sealed.kem_output.as_slice(), sealed.ciphertext.as_slice()].concat())
}

/// Opens an item of this device's inbox.
pub fn open(bytes: &[u8], own: &OwnDevice) -> Result<InboxItem, ItemError> {
    // C-038: one size for all; anything else never came from our program
    if bytes.len() != INBOX_ITEM_BYTES {
        return Err(ItemError::NotOurs);
    }
    parse(&Zeroizing::new(open_padded(bytes, own, own.device_id)?))
}

/// What the padded plaintext of an opened item says.
pub fn parse(padded: &[u8]) -> Result<InboxItem, ItemError> {
    let plain = padding::unpad(padded).ok_or(ItemError::Malformed)?;
    let (kind, body) = plain.split_first().ok_or(ItemError::Malformed)?;
    let item = match kind {
        1 => codec::parse_exact(body).map(InboxItem::Welcome),
        2 => codec::parse_exact(body).map(InboxItem::Rejoin),
        3 => codec::parse_exact(body).map(InboxItem::Notice),
        4 => codec::parse_exact(body).map(InboxItem::JoinRequest),
        _ => return Err(ItemError::UnknownKind),
    };
    match item {
        Ok(InboxItem::Notice(notice)) if !notice.is_well_formed() => Err(ItemError::Malformed),
        Ok(InboxItem::Welcome(pointer)) if !pointer.is_well_formed() => Err(ItemError::Malformed),
        item => item.map_err(|_| ItemError::Malformed),
    }
}

fn open_padded(bytes: &[u8], own: &OwnDevice, device_id: DeviceId) -> Result<Vec<u8>, ItemError> {
    let (kem_output, ciphertext) = bytes
        .split_at_checked(KEM_OUTPUT_BYTES)
        .ok_or(ItemError::NotOurs)?;
    let sealed = HpkeCiphertext {
        kem_output: kem_output.into(),
        ciphertext: ciphertext.into(),
    };
    hpke::open(
        &own.secret.inbox_pair().private,
        &sealed,
        label::INBOX_ITEM.as_bytes(),
        device_id.as_bytes(),
    )
    .map_err(|_| ItemError::NotOurs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{FixedEnv, Person};
    use crate::intro::tests::{LOG, intro, today};
    use crate::sealed_blob;

    fn item(from: &Person, to: &Person) -> InboxItem {
        let env = FixedEnv::new(8);
        let (welcome, _) = sealed_blob::seal(b"welcome", &env).unwrap();
        let (tree, _) = sealed_blob::seal(b"tree", &env).unwrap();
        InboxItem::Welcome(WelcomePointer {
            log_id: LOG,
            successor_of: None,
            welcome,
            tree,
            epoch: Epoch(1),
            start_seq: Seq(0),
            start_hash: Hash32::new([4; 32]),
            kind: ConversationKind::Direct,
            name_bytes: vec![].into(),
            intro: intro(from, to),
        })
    }

    fn seal_raw(plain: &[u8], to: &Person) -> Vec<u8> {
        let key = to.own.secret.inbox_key();
        let aad = to.own.device_id;
        let info = label::INBOX_ITEM.as_bytes();
        let sealed = hpke::seal(&key, info, aad.as_bytes(), plain).unwrap();
        [sealed.kem_output.as_slice(), sealed.ciphertext.as_slice()].concat()
    }

    /// An item is exactly 16 KiB and opens for its device, whole, pointer and intro.
    #[test]
    fn c038_items_are_of_one_size() {
        let (from, to) = (Person::new(1), Person::new(2));
        let sent = item(&from, &to);
        let bytes = seal(&sent, &to.cert).unwrap();
        assert_eq!(bytes.len(), INBOX_ITEM_BYTES);
        let InboxItem::Welcome(pointer) = open(&bytes, &to.own).unwrap() else {
            panic!("another kind");
        };
        assert!(pointer.intro.verify(&to.own, LOG, today()).is_ok());
        assert_eq!(
            codec::encode(&InboxItem::Welcome(pointer)),
            codec::encode(&sent)
        );
    }

    /// The largest introduction fits: sixteen former keys, four former leaf keys, ten devices, a rotation just now, a long greeting.
    #[test]
    fn c038_the_largest_introduction_fits() {
        let to = Person::new(2);
        let mut from = Person::new(1);
        for seed in 40..44 {
            from = from.rekeyed(seed);
        }
        assert_eq!(from.cert.leaf_keys().len(), 5);
        for seed in 20..36 {
            from = from.rotated(seed);
        }
        let certs: Vec<_> = (0..10)
            .map(|number| {
                let mut cert = from.cert.clone();
                cert.content.device_id = DeviceId::new([number; 16]);
                cert
            })
            .collect();
        let new = crate::identity::IdentitySecret::generate(&FixedEnv::new(36));
        from.state = new.rotated_state(&from.identity, &from.state, &certs, u64::MAX);
        assert!(from.state.rotation.is_some());
        assert_eq!(from.state.content.former.len(), 16);
        let bytes = seal(&item(&from, &to), &to.cert).unwrap();
        let InboxItem::Welcome(pointer) = open(&bytes, &to.own).unwrap() else {
            panic!("another kind");
        };
        let slack = NAME_BYTES_MAX + conclave_proto::limits::IDENTIFIER_BYTES_MAX;
        assert!(codec::encode(&InboxItem::Welcome(pointer)).len() + slack < PLAIN_BYTES - 4);
    }

    /// Any other size, any changed byte and any other device's item are refused.
    #[test]
    fn c038_refuses_other_sizes_and_other_devices() {
        let (from, to) = (Person::new(1), Person::new(2));
        let bytes = seal(&item(&from, &to), &to.cert).unwrap();
        assert_eq!(open(&bytes, &from.own).err(), Some(ItemError::NotOurs));
        assert_eq!(open(&bytes[1..], &to.own).err(), Some(ItemError::NotOurs));
        assert_eq!(open(&[], &to.own).err(), Some(ItemError::NotOurs));
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(open(&longer, &to.own).err(), Some(ItemError::NotOurs));
        for place in [0, KEM_OUTPUT_BYTES, INBOX_ITEM_BYTES - 1] {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert_eq!(open(&changed, &to.own).err(), Some(ItemError::NotOurs));
        }
    }

    /// What opens and says nonsense is malformed; a newer kind is told apart.
    #[test]
    fn refuses_hostile_plaintext() {
        let to = Person::new(2);
        for (plain, wanted) in [
            (vec![0xff; PLAIN_BYTES], ItemError::Malformed),
            (vec![0; PLAIN_BYTES], ItemError::Malformed),
            (
                padding::pad(&[1, 2, 3], PLAIN_BYTES).unwrap(),
                ItemError::Malformed,
            ),
            (
                padding::pad(&[5, 2, 3], PLAIN_BYTES).unwrap(),
                ItemError::UnknownKind,
            ),
            (
                padding::pad(&[0, 2, 3], PLAIN_BYTES).unwrap(),
                ItemError::UnknownKind,
            ),
        ] {
            let bytes = seal_raw(&plain, &to);
            assert_eq!(open(&bytes, &to.own).err(), Some(wanted));
        }
    }

    /// The other kinds come back whole, and their bytes before the intro are pinned.
    #[test]
    fn the_other_kinds_come_back() {
        let (from, to) = (Person::new(1), Person::new(2));
        let log = hex::encode(LOG.as_bytes());
        let signed = || intro(&from, &to);
        let items = [
            (
                InboxItem::Rejoin(Rejoin {
                    log_id: LOG,
                    intro: signed(),
                }),
                format!("02{log}"),
            ),
            (
                InboxItem::Notice(Notice {
                    log_id: LOG,
                    code: 7,
                    text_bytes: b"no".to_vec().into(),
                    intro: signed(),
                }),
                format!("03{log}07026e6f"),
            ),
            (
                InboxItem::JoinRequest(JoinRequest {
                    log_id: LOG,
                    secret: [9; 32],
                    intro: signed(),
                }),
                format!("04{log}{}", "09".repeat(32)),
            ),
        ];
        for (sent, head) in items {
            let opened = open(&seal(&sent, &to.cert).unwrap(), &to.own).unwrap();
            let bytes = codec::encode(&opened);
            assert_eq!(bytes, codec::encode(&sent));
            assert_eq!(
                hex::encode(bytes),
                format!("{head}{}", hex::encode(codec::encode(&signed())))
            );
        }
    }

    /// A notice whose text is too long, or no text, is malformed.
    #[test]
    fn c096_a_notice_holds_a_short_text() {
        let (from, to) = (Person::new(1), Person::new(2));
        for (text, holds) in [
            (vec![b'x'; NOTICE_TEXT_BYTES_MAX], true),
            (vec![b'x'; NOTICE_TEXT_BYTES_MAX + 1], false),
            (vec![0xff], false),
        ] {
            let notice = InboxItem::Notice(Notice {
                log_id: LOG,
                code: 1,
                text_bytes: text.into(),
                intro: intro(&from, &to),
            });
            let opened = open(&seal(&notice, &to.cert).unwrap(), &to.own);
            assert_eq!(opened.is_ok(), holds);
        }
    }

    /// A recipient whose certificate carries a short inbox key is an error, not a panic.
    #[test]
    fn c030_short_inbox_keys_are_refused() {
        let (from, to) = (Person::new(1), Person::new(2));
        let mut cert = to.cert.clone();
        cert.content.inbox_key = vec![1; 100].into();
        assert_eq!(
            seal(&item(&from, &to), &cert).err(),
            Some(ItemError::Recipient(HpkeError::Length))
        );
    }
}
