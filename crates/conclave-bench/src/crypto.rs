//! Seal and open one message of 256 bytes: the whole of core, beside the primitives alone.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, bail};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use conclave_core::content::{Content, Kind, Mark};
use conclave_core::conversation::create::{CreateOptions, create};
use conclave_core::conversation::join::join;
use conclave_core::conversation::{Conversation, Opened, Outside, SealedBlob};
use conclave_core::credential::{Accounts, KnownAccount};
use conclave_core::identity::{DeviceFacts, DeviceSecret, IdentitySecret, OwnDevice, StateFacts};
use conclave_core::mls_store::MemoryRows;
use conclave_core::{key_package, sealed_blob};
use conclave_proto::account::{DeviceRole, FLAG_DISCOVERABLE};
use conclave_proto::env::{Env as _, OsEnv};
use conclave_proto::id::{AccountId, DeviceId, Hash32, MessageId, Seq, ServerId};

use crate::Size;
use crate::table::{Better, Table};

const SERVER: ServerId = ServerId::new([5; 32]);
/// Text of one message, bytes.
pub(crate) const MESSAGE_BYTES: usize = 256;
const DAY_MS: u64 = 86_400_000;

pub(crate) fn measure(size: Size, table: &mut Table) -> anyhow::Result<()> {
    let (mut anna, mut ben) = friends()?;
    let [mut seals, mut opens, mut raw_seals, mut raw_opens] = [const { Vec::new() }; 4];
    for _ in 0..size.rounds {
        let mut sealed = Vec::new();
        seals.push(mean_us(size.sealed, || {
            sealed.push(anna.seal()?);
            Ok(())
        })?);
        let mut waiting = sealed.into_iter();
        opens.push(mean_us(size.sealed, || {
            ben.open(&waiting.next().context("a sealed message")?)
        })?);
        let (seal, open) = primitives(size.sealed)?;
        raw_seals.push(seal);
        raw_opens.push(open);
    }
    let limit = "AES-256-GCM + Ed25519";
    let name = |name| (name, "µs", Better::Less);
    table.add(name("seal 256 B, CPU"), &seals, (limit, &raw_seals), None);
    table.add(name("open 256 B, CPU"), &opens, (limit, &raw_opens), None);
    Ok(())
}

/// Mean of `count` turns, in µs.
pub(crate) fn mean_us(
    count: usize,
    mut turn: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    let begin = Instant::now();
    for _ in 0..count {
        turn()?;
    }
    Ok(begin.elapsed().as_secs_f64() * 1e6 / f64::from(u32::try_from(count)?))
}

/// One AEAD and one signature each way: no message of MLS can do with less.
fn primitives(count: usize) -> anyhow::Result<(f64, f64)> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[1; 32])?);
    let signer = Ed25519KeyPair::generate()?;
    let verifier = UnparsedPublicKey::new(&ED25519, signer.public_key().as_ref().to_vec());
    let nonce = || Nonce::assume_unique_for_key([2; 12]);
    let mut sealed = Vec::new();
    let seal = mean_us(count, || {
        let mut bytes = vec![3; MESSAGE_BYTES];
        let signature = signer.sign(&bytes);
        key.seal_in_place_append_tag(nonce(), Aad::empty(), &mut bytes)?;
        sealed.push((bytes, signature));
        Ok(())
    })?;
    let mut waiting = sealed.into_iter();
    let open = mean_us(count, || {
        let (mut bytes, signature) = waiting.next().context("a sealed message")?;
        let plain = key.open_in_place(nonce(), Aad::empty(), &mut bytes)?;
        verifier.verify(plain, signature.as_ref())?;
        Ok(())
    })?;
    Ok((seal, open))
}

/// One device in a conversation, its rows in memory.
pub(crate) struct Side {
    own: OwnDevice,
    rows: MemoryRows,
    chat: Conversation,
}

impl Side {
    /// A device of a conversation that core itself would not make.
    pub(crate) fn of_crowd(side: conclave_hostile::side::Side) -> anyhow::Result<Self> {
        Ok(Self {
            own: side.person.own,
            rows: side.rows,
            chat: side.conversation.context("a conversation")?,
        })
    }

    fn outside(own: &OwnDevice, rows: &MemoryRows, work: impl FnOnce(Outside<'_>)) {
        work(Outside {
            rows,
            own,
            env: &OsEnv,
        });
    }

    /// Seals the next message of [`MESSAGE_BYTES`].
    pub(crate) fn seal(&mut self) -> anyhow::Result<Vec<u8>> {
        let content = Content {
            message_id: MessageId::random(&OsEnv),
            sent_ms: OsEnv.now_ms(),
            seen: Mark {
                seq: Seq(1),
                hash: Hash32::new([4; 32]),
            },
            state_head: None,
            kind: Kind::text("x".repeat(MESSAGE_BYTES)),
        };
        let content = content.encode_padded()?;
        let mut sealed = None;
        let chat = &mut self.chat;
        Self::outside(&self.own, &self.rows, |outside| {
            sealed = Some(chat.seal(outside, &content));
        });
        Ok(sealed.context("a seal")??)
    }

    /// Opens what the other side sealed.
    pub(crate) fn open(&mut self, payload: &[u8]) -> anyhow::Result<()> {
        let epoch = self.chat.epoch();
        let mut opened = None;
        let chat = &mut self.chat;
        Self::outside(&self.own, &self.rows, |outside| {
            opened = Some(chat.open_message(outside, payload, epoch));
        });
        match opened.context("an open")?? {
            Opened::Message { content, .. } => {
                Content::decode_padded(&content)?;
                Ok(())
            }
            other => bail!("a message did not open: {other:?}"),
        }
    }
}

/// Accounts that are accepted.
struct Book(BTreeMap<AccountId, KnownAccount>);

impl Accounts for Book {
    fn known(&self, account: AccountId) -> Option<KnownAccount> {
        self.0.get(&account).cloned()
    }
}

/// Anna made a conversation and Ben joined it.
fn friends() -> anyhow::Result<(Side, Side)> {
    let ((anna, a), (ben, b)) = (person()?, person()?);
    let book = Book([(anna.account_id, a), (ben.account_id, b)].into());
    let (rows_a, rows_b) = (MemoryRows::default(), MemoryRows::default());
    let package = key_package::build(&rows_b, &ben, &OsEnv, false)?;
    let checked = key_package::check(&package.bytes, &book, OsEnv.now_ms())?;
    let outside = |rows, own| Outside {
        rows,
        own,
        env: &OsEnv,
    };
    let created = create(
        outside(&rows_a, &anna),
        &[checked],
        &CreateOptions::default(),
    )?;
    let welcome = created.welcomes.first().context("a welcome")?;
    let plain = |blob: &SealedBlob| sealed_blob::open(&blob.pointer, &blob.bytes);
    let joined = join(
        outside(&rows_b, &ben),
        &book,
        created.log_id,
        &plain(&welcome.blob)?,
        &plain(created.tree.as_ref().context("a tree")?)?,
        &[],
    )?;
    let anna = Side {
        own: anna,
        rows: rows_a,
        chat: created.conversation,
    };
    let ben = Side {
        own: ben,
        rows: rows_b,
        chat: joined.conversation,
    };
    Ok((anna, ben))
}

fn person() -> anyhow::Result<(OwnDevice, KnownAccount)> {
    let (identity, secret) = (
        IdentitySecret::generate(&OsEnv),
        DeviceSecret::generate(&OsEnv),
    );
    let (account_id, device_id) = (AccountId::random(&OsEnv), DeviceId::random(&OsEnv));
    let now_ms = OsEnv.now_ms();
    let cert = identity.certify(
        &secret,
        &DeviceFacts {
            server_id: SERVER,
            account_id,
            generation: 1,
            device_id,
            role: DeviceRole::Certifier,
            not_before_ms: now_ms - 1000,
            not_after_ms: now_ms + 400 * DAY_MS,
        },
    );
    let facts = StateFacts {
        server_id: SERVER,
        account_id,
        generation: 1,
        issued_ms: now_ms,
        flags: FLAG_DISCOVERABLE,
    };
    let state = identity.first_state(&facts, std::slice::from_ref(&cert));
    let known = KnownAccount::new(SERVER, state, vec![cert])?;
    let own = OwnDevice {
        server_id: SERVER,
        account_id,
        device_id,
        identity_fingerprint: identity.public().fingerprint(),
        account_seq: 1,
        secret,
        former: Vec::new(),
    };
    Ok((own, known))
}
