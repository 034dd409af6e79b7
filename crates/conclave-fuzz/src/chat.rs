//! Entries, commits, key packages and welcomes against two live devices: a refusal changes nothing.
//!
//! Sealed bytes differ in every process, so an input says what to do with the genuine ones: its first byte
//! chooses, and the rest are [`edited`] into them or put in their place.

use std::cell::RefCell;

use conclave_core::access::AccessKey;
use conclave_core::content::padded_len;
use conclave_core::conversation::create::{CreateOptions, create};
use conclave_core::conversation::join::join as join_conversation;
use conclave_core::conversation::{Conversation, Opened, Outside, Unreadable};
use conclave_core::key_package;
use conclave_core::mls_store::{MemoryRows, MemorySnapshot};
use conclave_core::sealed_blob;
use conclave_hostile::people::{Book, FixedEnv, NOW_MS, Person, SERVER};
use conclave_proto::codec;
use conclave_proto::id::{Epoch, Incarnation, LogId, Seq};
use conclave_proto::log::{CommitEntry, Head, chain_start};
use tls_codec::VLBytes;

use crate::core::readable_again;
use crate::people;

/// One device with its rows.
struct Side {
    person: &'static Person,
    rows: MemoryRows,
    env: FixedEnv,
    book: Book,
}

impl Side {
    fn new(person: &'static Person, seed: u64) -> Self {
        Self {
            person,
            rows: MemoryRows::default(),
            env: FixedEnv::new(seed),
            book: Book::of(&[people::ana(), people::ben()]),
        }
    }

    fn outside(&self) -> Outside<'_> {
        Outside {
            rows: &self.rows,
            own: &self.person.own,
            env: &self.env,
        }
    }

    fn load(&self, log_id: LogId) -> Conversation {
        let loaded = Conversation::load(&self.rows, log_id).expect("its rows are whole");
        loaded.expect("the conversation is there")
    }
}

/// Ana wrote to Ben, who joined; what each of them sealed next is still unread.
struct Friends {
    ana: Side,
    ana_chat: Conversation,
    ben: Side,
    ben_chat: Conversation,
    log_id: LogId,
    ben_before: MemorySnapshot,
    access: AccessKey,
    message: Vec<u8>,
    own_message: Vec<u8>,
    commit: Vec<u8>,
    next_access: AccessKey,
}

/// Ben before he joined, and the genuine invitation.
struct Invited {
    ben: Side,
    before: MemorySnapshot,
    log_id: LogId,
    key_package: Vec<u8>,
    welcome: Vec<u8>,
    tree: Vec<u8>,
}

thread_local! {
    static FRIENDS: RefCell<Option<Friends>> = const { RefCell::new(None) };
    static INVITED: RefCell<Option<Invited>> = const { RefCell::new(None) };
}

fn with_friends<T>(work: impl FnOnce(&mut Friends) -> T) -> T {
    FRIENDS.with_borrow_mut(|friends| work(friends.get_or_insert_with(Friends::new)))
}

fn with_invited<T>(work: impl FnOnce(&mut Invited) -> T) -> T {
    INVITED.with_borrow_mut(|invited| work(invited.get_or_insert_with(|| Invited::new().0)))
}

impl Invited {
    /// The invitation, and Ana's side of it.
    fn new() -> (Self, Side, Conversation) {
        let ana = Side::new(people::ana(), 1001);
        let ben = Side::new(people::ben(), 1002);
        let built = key_package::build(&ben.rows, &ben.person.own, &ben.env, true)
            .expect("a key package is made");
        let checked = key_package::check(&built.bytes, &ana.book, NOW_MS).expect("it is genuine");
        let created = create(ana.outside(), &[checked], &CreateOptions::default())
            .expect("a conversation is made");
        let opened = |blob: &conclave_core::conversation::SealedBlob| {
            let plain = sealed_blob::open(&blob.pointer, &blob.bytes).expect("it was just sealed");
            plain.to_vec()
        };
        let invited = Self {
            before: ben.rows.snapshot(),
            log_id: created.log_id,
            key_package: built.bytes,
            welcome: opened(&created.welcomes[0].blob),
            tree: opened(created.tree.as_ref().expect("ben was invited")),
            ben,
        };
        (invited, ana, created.conversation)
    }
}

impl Friends {
    fn new() -> Self {
        let (invited, ana, mut ana_chat) = Invited::new();
        let Invited { ben, log_id, .. } = invited;
        let (welcome, tree) = (&invited.welcome, &invited.tree);
        let joined = join_conversation(ben.outside(), &ben.book, log_id, welcome, tree, &[]);
        let mut ben_chat = joined.expect("the invitation is genuine").conversation;
        let padded = vec![0; padded_len(0).expect("nothing fits a bucket")];
        let own_message = ben_chat.seal(ben.outside(), &padded).expect("Ben seals");
        let message = ana_chat.seal(ana.outside(), &padded).expect("Ana seals");
        let head = Head {
            epoch: ana_chat.epoch(),
            seq: Seq(0),
            hash: chain_start(SERVER, log_id),
            incarnation: Incarnation(1),
        };
        let pending = ana_chat
            .self_update(ana.outside(), &head, 30)
            .expect("Ana commits");
        Self {
            access: ana_chat.access_key().expect("Ana is a member"),
            ben_before: ben.rows.snapshot(),
            log_id,
            ana,
            ana_chat,
            ben,
            ben_chat,
            message,
            own_message,
            commit: pending.entry,
            next_access: pending.next_access,
        }
    }

    /// Ben rolls back and loads again.
    fn roll_back(&mut self) {
        self.ben.rows.restore(&self.ben_before);
        self.ben_chat = self.ben.load(self.log_id);
    }

    fn open(&mut self, payload: &[u8]) -> Opened {
        let opened = self
            .ben_chat
            .open_message(self.ben.outside(), payload, Epoch(1));
        opened.expect("no bytes break the store or the epoch")
    }
}

/// `genuine` after `edits` of four bytes each: kind and value, then the place (u16).
pub fn edited(genuine: &[u8], edits: &[u8]) -> Vec<u8> {
    let mut bytes = genuine.to_vec();
    for edit in edits.chunks_exact(4) {
        let place = usize::from(u16::from_be_bytes([edit[2], edit[3]])) % (bytes.len() + 1);
        let value = edit[1];
        match edit[0] % 4 {
            0 => bytes.truncate(place),
            1 => bytes.insert(place, value),
            2 if place < bytes.len() => bytes[place] = value,
            _ if place < bytes.len() => bytes[place] ^= value,
            _ => bytes.push(value),
        }
    }
    bytes
}

/// A message entry, edited or invented: it stays closed, nothing of Ben's changes, and the genuine one still opens.
pub fn open(bytes: &[u8]) {
    let Some((&mode, rest)) = bytes.split_first() else {
        return;
    };
    with_friends(|friends| {
        let payload = match mode % 4 {
            0 => rest.to_vec(),
            1 => edited(&friends.own_message, rest),
            2 => edited(&friends.commit, rest),
            _ => edited(&friends.message, rest),
        };
        let genuine = payload == friends.message;
        match friends.open(&payload) {
            Opened::Message { .. } => assert!(genuine, "a forged message opened"),
            Opened::Own => assert!(!genuine, "somebody else's message as our own"),
            Opened::Unreadable(why) => {
                assert!(!genuine, "the genuine message stays closed");
                assert!(
                    friends.ben.rows.is_at(&friends.ben_before),
                    "a refusal wrote rows"
                );
                if why != Unreadable::Closed {
                    return;
                }
                // what MLS looked at may not have cost the message it pretends to be
                let message = friends.message.clone();
                assert!(matches!(friends.open(&message), Opened::Message { .. }));
            }
        }
        friends.roll_back();
    });
}

/// Any content that a hostile member seals: it opens, and its inside is refused or read as ever (C-056).
pub fn content_sealed(bytes: &[u8]) {
    let Some(total) = padded_len(bytes.len().saturating_sub(4)) else {
        return;
    };
    let mut content = bytes.to_vec();
    content.resize(total, 0);
    with_friends(|friends| {
        let sealed = friends.ana_chat.seal(friends.ana.outside(), &content);
        let payload = sealed.expect("it fills a bucket");
        match friends.open(&payload) {
            Opened::Message {
                content: opened, ..
            } => {
                assert_eq!(opened, content);
                readable_again(&opened);
            }
            other => panic!("a member's message became {other:?}"),
        }
    });
}

/// A commit entry, edited or invented, also under the true access keys as a member can sign it: only the
/// genuine one changes the epoch, and a refused one leaves Ben where he was (C-023, C-029, C-036).
pub fn apply_commit(bytes: &[u8]) {
    let Some((&mode, rest)) = bytes.split_first() else {
        return;
    };
    with_friends(|friends| {
        let payload = match mode % 5 {
            0 => rest.to_vec(),
            1 => edited(&friends.commit, rest),
            2 => friends.signed(|entry| entry.commit = rest.to_vec().into()),
            3 => friends.signed(|entry| edit_field(&mut entry.commit, rest)),
            _ => friends.signed(|entry| edit_field(&mut entry.binding, rest)),
        };
        let (outside, book) = (friends.ben.outside(), &friends.ben.book);
        let applied = friends
            .ben_chat
            .apply_commit(outside, book, &payload, Epoch(1));
        let genuine = payload == friends.commit;
        match applied {
            // a whole commit from another process is Ana's too: only HPKE's own randomness differs
            Ok(applied) => assert!(genuine || (mode % 5 == 0 && !applied.is_own())),
            Err(refused) => assert!(!genuine, "{refused}"),
        }
        friends.roll_back();
        assert_eq!(friends.ben_chat.epoch(), Epoch(1));
    });
}

impl Friends {
    /// The genuine commit entry after `change`, its head fitted and signed again by both access keys.
    fn signed(&self, change: impl FnOnce(&mut CommitEntry)) -> Vec<u8> {
        let mut entry: CommitEntry = codec::parse_exact(&self.commit).expect("it is genuine");
        change(&mut entry);
        entry.head.commit_hash = conclave_proto::label::sha256(entry.commit.as_slice());
        entry.old_signature = self.access.sign_old(&entry.head).into();
        entry.new_signature = self.next_access.sign_new(&entry.head).into();
        codec::encode(&entry)
    }
}

fn edit_field(field: &mut VLBytes, edits: &[u8]) {
    *field = edited(field.as_slice(), edits).into();
}

/// A key package, edited or invented: nobody is added with it unless it is Ben's own (C-017, C-030).
pub fn key_package(bytes: &[u8]) {
    let Some((&mode, rest)) = bytes.split_first() else {
        return;
    };
    with_invited(|invited| {
        let package = match mode % 2 {
            0 => rest.to_vec(),
            _ => edited(&invited.key_package, rest),
        };
        let checked = key_package::check(&package, &invited.ben.book, NOW_MS);
        assert_eq!(checked.is_ok(), package == invited.key_package);
    });
}

/// A welcome or tree, edited or invented: Ben enters a conversation with Ana, or none.
pub fn join(bytes: &[u8]) {
    let Some((&mode, rest)) = bytes.split_first() else {
        return;
    };
    with_invited(|invited| {
        let (mut welcome, mut tree) = (invited.welcome.clone(), invited.tree.clone());
        match mode % 4 {
            0 => welcome = rest.to_vec(),
            1 => welcome = edited(&welcome, rest),
            2 => tree = rest.to_vec(),
            _ => tree = edited(&tree, rest),
        }
        let ben = &invited.ben;
        let log_id = invited.log_id;
        let joined = join_conversation(ben.outside(), &ben.book, log_id, &welcome, &tree, &[]);
        if let Ok(joined) = joined {
            let inviter = joined.inviter.account_id;
            assert_eq!(inviter, people::ana().own.account_id);
            assert_eq!(joined.conversation.members().len(), 2);
        }
        ben.rows.restore(&invited.before);
    });
}

/// The genuine bytes that inputs edit: message, commit entry, key package, welcome, tree.
pub fn genuine() -> [Vec<u8>; 5] {
    let (message, commit) =
        with_friends(|friends| (friends.message.clone(), friends.commit.clone()));
    with_invited(|invited| {
        [
            message,
            commit,
            invited.key_package.clone(),
            invited.welcome.clone(),
            invited.tree.clone(),
        ]
    })
}
