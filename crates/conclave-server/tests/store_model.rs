//! Random histories: SQLite and PostgreSQL answer as the plain model does, also after it was closed and opened again.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise; clippy knows only the functions marked as tests"
)]

mod postgres_support;
mod store_support;

use conclave_proto::id::{ChallengeId, Epoch, Seq};
use conclave_server::log::CommitSpacing;
use conclave_server::store::{
    MemoryStore, NewAccount, NewBundle, NewChallenge, NewLog, SqliteStore, Store, StoreOptions,
};
use postgres_support::Database;
use proptest::collection::vec;
use proptest::prelude::*;
use store_support::{
    DAY_MS, NOW, account_id, blob, bundle, challenge, device_id, hash, item, log_id, new_log,
    next_state, registration, sweep,
};

/// One step of a history; small numbers, so that steps meet each other.
#[derive(Debug, Clone)]
enum Step {
    OtpStart {
        who: u8,
        key: u8,
    },
    OtpCheck {
        who: u8,
        key: u8,
        right: bool,
    },
    OtpDelete {
        who: u8,
        key: u8,
    },
    Invite {
        n: u8,
        uses: u32,
    },
    Register {
        n: u8,
        who: u8,
        key: u8,
        invite: Option<u8>,
        max: Option<u64>,
    },
    PutState {
        n: u8,
        seq: u64,
        devices: Vec<u8>,
    },
    Capability {
        n: u8,
        hash: u8,
    },
    Veto {
        n: u8,
    },
    Packages {
        device: u8,
        one_time: Vec<u8>,
        last: Option<u8>,
    },
    Claim {
        n: u8,
        capability: Option<u8>,
    },
    Post {
        device: u8,
        bytes: u8,
        capability: Option<u8>,
    },
    Ack {
        device: u8,
        numbers: Vec<u64>,
    },
    CreateLog {
        n: u8,
        hash: u8,
        blobs: Vec<u8>,
        days: u32,
    },
    Append {
        n: u8,
        epoch: u64,
        words: u64,
    },
    Bundle {
        n: u8,
        epoch: u64,
        bytes: u8,
        blobs: Vec<u8>,
        days: u32,
    },
    Read {
        n: u8,
        epoch: u64,
        after: u64,
        limit: u32,
    },
    Sweep,
    Advance {
        ms: u64,
    },
    Reopen,
}

const N: std::ops::Range<u8> = 1..4;

fn account_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (N, N).prop_map(|(who, key)| Step::OtpStart { who, key }),
        2 => (N, N, any::<bool>()).prop_map(|(who, key, right)| Step::OtpCheck { who, key, right }),
        1 => (N, N).prop_map(|(who, key)| Step::OtpDelete { who, key }),
        1 => (N, 0..3_u32).prop_map(|(n, uses)| Step::Invite { n, uses }),
        6 => (N, N, N, prop::option::weighted(0.2, N), prop::option::weighted(0.2, 0..3_u64))
            .prop_map(|(n, who, key, invite, max)| Step::Register { n, who, key, invite, max }),
        2 => (N, 1..5_u64, vec(1..6_u8, 0..3)).prop_map(|(n, seq, mut devices)| {
            devices.sort_unstable();
            devices.dedup();
            Step::PutState { n, seq, devices }
        }),
        1 => (N, N).prop_map(|(n, hash)| Step::Capability { n, hash }),
        1 => N.prop_map(|n| Step::Veto { n }),
        2 => (N, vec(1..30_u8, 0..25), prop::option::of(N))
            .prop_map(|(device, one_time, last)| Step::Packages { device, one_time, last }),
        2 => (N, prop::option::of(N)).prop_map(|(n, capability)| Step::Claim { n, capability }),
        4 => (N, any::<u8>(), prop::option::of(N))
            .prop_map(|(device, bytes, capability)| Step::Post { device, bytes, capability }),
        1 => (N, vec(0..6_u64, 0..3)).prop_map(|(device, numbers)| Step::Ack { device, numbers }),
    ]
}

fn log_step() -> impl Strategy<Value = Step> {
    let days = || prop::sample::select(&[1_u32, 7, 30][..]);
    let blobs = || vec(1..40_u8, 0..2);
    prop_oneof![
        2 => (N, N, blobs(), days())
            .prop_map(|(n, hash, blobs, days)| Step::CreateLog { n, hash, blobs, days }),
        8 => (N, 1..6_u64, any::<u64>()).prop_map(|(n, epoch, words)| Step::Append { n, epoch, words }),
        4 => (N, 1..6_u64, any::<u8>(), blobs(), days()).prop_map(
            |(n, epoch, bytes, blobs, days)| Step::Bundle { n, epoch, bytes, blobs, days }
        ),
        4 => (N, 1..6_u64, 0..9_u64, 0..5_u32)
            .prop_map(|(n, epoch, after, limit)| Step::Read { n, epoch, after, limit }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => account_step(),
        8 => log_step(),
        1 => Just(Step::Sweep),
        2 => prop::sample::select(&[500, 60_000, 3_600_000, DAY_MS, 7 * DAY_MS, 31 * DAY_MS][..])
            .prop_map(|ms| Step::Advance { ms }),
        1 => Just(Step::Reopen),
    ]
}

fn challenge_of(who: u8, key: u8) -> u8 {
    who * 16 + key
}

fn registration_of(step: &Step, now_ms: u64) -> Option<NewAccount> {
    let Step::Register {
        n,
        who,
        key,
        invite,
        max,
    } = step
    else {
        return None;
    };
    Some(NewAccount {
        identity_fingerprint: challenge(0, 0, *key, 0).identity_fingerprint,
        challenge_id: ChallengeId::new([challenge_of(*who, *key); 16]),
        invite: invite.map(hash),
        accounts_max: *max,
        ..registration(*n, *who, now_ms)
    })
}

/// What the store says to an account's step, in words.
async fn account_answer(store: &dyn Store, step: &Step, now_ms: u64) -> String {
    match step.clone() {
        Step::OtpStart { who, key } => {
            let new = NewChallenge {
                per_hour: 8,
                per_day: 12,
                ..challenge(challenge_of(who, key), who, key, now_ms)
            };
            format!("{:?}", store.otp_start(new).await)
        }
        Step::OtpCheck { who, key, right } => {
            let n = challenge_of(who, key);
            let mac = if right { n } else { 0 };
            let checked = store.otp_check(ChallengeId::new([n; 16]), [mac; 32], now_ms);
            format!("{:?}", checked.await)
        }
        Step::OtpDelete { who, key } => {
            let id = ChallengeId::new([challenge_of(who, key); 16]);
            format!("{:?}", store.otp_delete(id).await)
        }
        Step::Invite { n, uses } => {
            let created = store.create_invite(hash(n), uses, now_ms + DAY_MS).await;
            let valid = store.invite_valid(hash(n), now_ms).await;
            format!("{created:?} {valid:?}")
        }
        Step::PutState { n, seq, devices } => {
            format!("{:?}", store.put_state(next_state(n, seq, &devices)).await)
        }
        Step::Capability { n, hash: to } => {
            format!("{:?}", store.put_capability(account_id(n), hash(to)).await)
        }
        Step::Veto { n } => format!("{:?}", store.veto_hold(account_id(n)).await),
        Step::Packages {
            device,
            one_time,
            last,
        } => {
            let one_time = one_time.iter().map(|n| vec![*n; 9]).collect();
            let last = last.map(|n| vec![n; 4]);
            let put = store.put_key_packages(device_id(device), one_time, last, now_ms);
            format!("{:?}", put.await)
        }
        Step::Claim { n, capability } => {
            let claimed = store.claim(account_id(n), capability.map(hash), None);
            format!("{:?}", claimed.await)
        }
        Step::Post {
            device,
            bytes,
            capability,
        } => {
            let posted = store.post_item(item(device, bytes, capability, now_ms));
            format!("{:?}", posted.await)
        }
        Step::Ack { device, numbers } => {
            format!("{:?}", store.ack_inbox(device_id(device), numbers).await)
        }
        other => match registration_of(&other, now_ms) {
            Some(new) => register_answer(store, new).await,
            None => log_answer(store, &other, now_ms).await,
        },
    }
}

/// Most registrations come with a challenge just opened, so that accounts, moves and holds happen.
async fn register_answer(store: &dyn Store, new: NewAccount) -> String {
    let [id, ..] = *new.challenge_id.as_bytes();
    let fresh = NewChallenge {
        per_hour: 1_000,
        per_day: 1_000,
        ..challenge(id, id / 16, id % 16, new.now_ms)
    };
    if new.accounts_max.is_none() {
        store.otp_start(fresh).await.unwrap();
    }
    format!("{:?}", store.register(new).await)
}

/// What the store says to a log's step, in words.
async fn log_answer(store: &dyn Store, step: &Step, now_ms: u64) -> String {
    match step.clone() {
        Step::CreateLog {
            n,
            hash: to,
            blobs,
            days,
        } => {
            let new = NewLog {
                create_hash: hash(to),
                retention_days: days,
                ..new_log(n, &blobs, now_ms)
            };
            format!("{:?}", store.create_log(new).await)
        }
        Step::Append { n, epoch, words } => {
            // no two alike, as with ciphertexts: C-212 says what becomes of those
            let words = words.to_be_bytes();
            let payload = words.repeat(usize::from(words[0]) / 8 + 1);
            let appended = store.append(log_id(n), Epoch(epoch), payload, now_ms);
            format!("{:?}", appended.await)
        }
        Step::Bundle {
            n,
            epoch,
            bytes,
            blobs,
            days,
        } => {
            let new = NewBundle {
                retention_days: days,
                blobs: blobs.iter().map(|n| blob(*n)).collect(),
                ..bundle(n, epoch, &[bytes], now_ms)
            };
            format!("{:?}", store.put_bundle(new).await)
        }
        Step::Read {
            n,
            epoch,
            after,
            limit,
        } => {
            let page = store.read(log_id(n), Epoch(epoch), Seq(after), limit, 300);
            format!("{:?}", page.await)
        }
        Step::Sweep => {
            sweep(store, now_ms).await;
            String::new()
        }
        _ => String::new(),
    }
}

/// Everything that the reading verbs tell.
async fn everything(store: &dyn Store, now_ms: u64) -> String {
    let mut told = vec![format!("{:?}", store.summary().await)];
    for n in 1..6 {
        let identifier = registration(n, n, 0).identifier;
        let by_identifier = store.account_by_identifier(identifier).await;
        let states = store.states(account_id(n), 1).await;
        let inbox = store.read_inbox(device_id(n), 0, 9).await;
        told.push(format!("{by_identifier:?}\n{states:?}\n{inbox:?}"));
        for owner in N {
            let key = store.device_key(account_id(owner), device_id(n)).await;
            let status = store
                .device_status(account_id(owner), device_id(n), now_ms)
                .await;
            told.push(format!("{key:?} {status:?}"));
        }
        for epoch in 0..7 {
            let key = store.epoch_key(log_id(n), Epoch(epoch)).await;
            let page = store
                .read(log_id(n), Epoch(epoch), Seq(0), 100, 1 << 20)
                .await;
            told.push(format!("{key:?} {page:?}"));
        }
    }
    for n in 1..40 {
        told.push(format!("{:?}", store.blob(blob(n).blob_id).await));
    }
    told.join("\n")
}

/// Where the store under test lives; it can be closed and opened again.
enum Home {
    Folder(tempfile::TempDir),
    Database(Box<Database>),
}

impl Home {
    async fn open(&self, options: StoreOptions) -> Box<dyn Store> {
        match self {
            Self::Folder(dir) => Box::new(SqliteStore::open(dir.path(), options).unwrap()),
            Self::Database(database) => Box::new(database.store(options).await),
        }
    }
}

async fn compare(home: Home, steps: &[Step], spaced: bool) -> Result<(), TestCaseError> {
    let commit_spacing = if spaced {
        CommitSpacing::default()
    } else {
        CommitSpacing::OFF
    };
    let options = StoreOptions { commit_spacing };
    let model = MemoryStore::new(options);
    let mut store = home.open(options).await;
    let mut now_ms = NOW;
    for step in steps {
        match step {
            Step::Advance { ms } => now_ms += ms,
            // spacing is forgotten by a restart, and the model does not restart
            Step::Reopen if !spaced => {
                drop(store);
                store = home.open(options).await;
            }
            _ => {
                let expected = account_answer(&model, step, now_ms).await;
                let answer = account_answer(&*store, step, now_ms).await;
                prop_assert_eq!(answer, expected, "after {:?}", step);
            }
        }
    }
    let expected = everything(&model, now_ms).await;
    prop_assert_eq!(everything(&*store, now_ms).await, expected.clone());
    drop(store);
    let store = home.open(options).await;
    prop_assert_eq!(everything(&*store, now_ms).await, expected);
    prop_assert_eq!(store.check().await.unwrap().problems, Vec::<String>::new());
    Ok(())
}

fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 32,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Any history gets the same answers from SQLite and the model, and is still there after a restart.
    #[test]
    fn sqlite_answers_as_the_model(steps in vec(step(), 1..120), spaced in any::<bool>()) {
        let home = Home::Folder(tempfile::tempdir().unwrap());
        runtime().block_on(compare(home, &steps, spaced))?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 8,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// The same from PostgreSQL.
    #[test]
    fn postgres_answers_as_the_model(steps in vec(step(), 1..120), spaced in any::<bool>()) {
        let runtime = runtime();
        let home = Home::Database(Box::new(runtime.block_on(Database::new())));
        runtime.block_on(compare(home, &steps, spaced))?;
    }
}
