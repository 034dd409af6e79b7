//! What only a database that several servers share can do wrong.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise; clippy knows only the functions marked as tests"
)]

mod postgres_support;
mod store_support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use conclave_proto::env::OsEnv;
use conclave_proto::id::{ChallengeId, DeviceId, Epoch, LogId, Seq};
use conclave_proto::limits::OTP_CHECKS_MAX;
use conclave_server::config;
use conclave_server::database::StoreOpenError;
use conclave_server::hint::{Heard, Hint, Hints};
use conclave_server::keys::ServerKeys;
use conclave_server::store::{
    Address, AppendOutcome, BundleOutcome, DatabaseError, NewAccount, NewBundle, OtpCheckOutcome,
    OtpStartOutcome, PostgresHints, PostgresStore, RegisterOutcome, Store, StoreError,
    StoreOptions,
};
use postgres_support::Database;
use store_support::{
    NOW, account_id, append, bundle, challenge, create, device_id, hash, item, log_id, register,
    registration,
};
use tokio::task::JoinSet;

/// Several servers' stores over one database, opened at the same time while it was empty.
async fn servers(database: &Database, count: usize) -> Vec<Arc<PostgresStore>> {
    let mut opening = JoinSet::new();
    for _ in 0..count {
        let url = database.url();
        opening.spawn(async move {
            let address = Address::parse(&url, |_| None).unwrap();
            PostgresStore::open(address, None, StoreOptions::default()).await
        });
    }
    let opened = opening.join_all().await;
    opened
        .into_iter()
        .map(|store| Arc::new(store.unwrap()))
        .collect()
}

/// The first server's keys are those of the database: one with others is refused, one that has none yet too and makes
/// none, and one with copies of the right ones serves.
#[tokio::test]
async fn c232_a_server_with_other_keys_is_refused() {
    let database = Database::new().await;
    let (first, other, fresh) = (folder(), folder(), folder());
    opened(&database, &first).await.unwrap();
    ServerKeys::open(other.path(), &OsEnv).unwrap();
    for wrong in [&other, &fresh] {
        let error = opened(&database, wrong).await.unwrap_err();
        assert!(
            matches!(error, StoreOpenError::Database(DatabaseError::OtherKeys)),
            "{error}"
        );
    }
    assert!(!ServerKeys::are_in(fresh.path()), "keys were made");
    for name in ["root.pem", "chain.pem", "leaf-key.pem", "pepper"] {
        std::fs::copy(first.path().join(name), fresh.path().join(name)).unwrap();
    }
    opened(&database, &fresh).await.unwrap();
    // The same root is not enough: what the database hashes hangs on the pepper.
    std::fs::write(fresh.path().join("pepper"), [7; 32]).unwrap();
    let error = opened(&database, &fresh).await.unwrap_err();
    assert!(error.to_string().contains("pepper"), "{error}");
    opened(&database, &first).await.unwrap();
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// The database as a server with this data folder opens it.
async fn opened(database: &Database, folder: &tempfile::TempDir) -> Result<(), StoreOpenError> {
    let address = ("server.database", database.url());
    let config = config::load(None, std::iter::empty(), &[address]).unwrap();
    conclave_server::database::open(&config.config, folder.path(), &OsEnv)
        .await
        .map(drop)
}

/// Appends of three servers to the same two logs form one gapless order in each, and each is there once.
#[tokio::test]
async fn c213_appends_of_several_servers_form_one_order() {
    let database = Database::new().await;
    let servers = servers(&database, 3).await;
    for n in [1, 2] {
        create(&*servers[0], n).await;
    }
    let mut appends = JoinSet::new();
    for number in 0..300_u16 {
        let store = Arc::clone(&servers[usize::from(number) % 3]);
        appends.spawn(async move {
            let n = u8::try_from(number % 2).unwrap() + 1;
            let payload = number.to_be_bytes().to_vec();
            match store.append(log_id(n), Epoch(1), payload, NOW).await {
                Ok(AppendOutcome::Appended { head }) => (n, head.seq, number),
                other => panic!("{other:?}"),
            }
        });
    }
    let told: BTreeSet<_> = appends.join_all().await.into_iter().collect();
    for n in [1, 2] {
        let (mut after, mut stored) = (Seq(0), Vec::new());
        loop {
            let page = servers[2]
                .read(log_id(n), Epoch(1), after, 100, 1 << 20)
                .await;
            let page = page.unwrap().unwrap();
            let Some(last) = page.entries.last() else {
                break;
            };
            after = Seq(last.seq);
            stored.extend(page.entries);
        }
        assert_eq!(stored.len(), 150);
        for (place, entry) in (1..).zip(stored) {
            assert_eq!(entry.seq, place);
            let number = u16::from_be_bytes(entry.payload.try_into().unwrap());
            assert!(told.contains(&(n, Seq(place), number)));
        }
    }
    assert_eq!(
        servers[0].check().await.unwrap().problems,
        Vec::<String>::new()
    );
}

/// Of commits that several servers take at once for one epoch one wins, every other one hears which, and
/// what was lost counts for all servers.
#[tokio::test]
async fn c213_one_commit_ends_an_epoch_whoever_takes_it() {
    let database = Database::new().await;
    let servers = servers(&database, 3).await;
    create(&*servers[0], 1).await;
    let mut commits = JoinSet::new();
    for number in 0..12_u8 {
        let store = Arc::clone(&servers[usize::from(number) % 3]);
        commits.spawn(async move {
            store
                .put_bundle(bundle(1, 1, &[number], NOW))
                .await
                .unwrap()
        });
    }
    let (mut won, mut winners) = (0, BTreeSet::new());
    for outcome in commits.join_all().await {
        match outcome {
            BundleOutcome::Appended { .. } => won += 1,
            BundleOutcome::Lost {
                winner,
                is_race: true,
            } => {
                winners.insert(winner.payload);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((won, winners.len()), (1, 1));
    for store in &servers {
        let soon = NewBundle {
            now_ms: NOW + 1,
            ..bundle(1, 2, b"soon", NOW)
        };
        let outcome = store.put_bundle(soon).await.unwrap();
        assert_eq!(outcome, BundleOutcome::TooSoon { retry_ms: 1_999 });
    }
}

/// Claims, checks and places that several servers count at once are counted once.
#[tokio::test]
async fn c213_what_is_counted_is_counted_once() {
    let database = Database::new().await;
    let servers = servers(&database, 3).await;
    register(&*servers[0], registration(1, 1, NOW)).await;
    let packages: Vec<_> = (0..20).map(|n| vec![n; 9]).collect();
    let put = servers[0].put_key_packages(device_id(1), packages, Some(vec![99]), NOW);
    put.await.unwrap();
    let mut claims = JoinSet::new();
    for number in 0..30 {
        let store = Arc::clone(&servers[number % 3]);
        claims.spawn(async move {
            let claimed = store.claim(account_id(1), Some(hash(1)), None).await;
            claimed.unwrap().unwrap().remove(0)
        });
    }
    let claimed = claims.join_all().await;
    let one_time = claimed.iter().filter(|package| !package.last_resort);
    let one_time: Vec<_> = one_time
        .map(|package| package.key_package.clone())
        .collect();
    let different: BTreeSet<_> = one_time.iter().collect();
    assert_eq!(different.len(), one_time.len(), "handed out twice");
    // who met others on the last ones may have got the last resort instead
    let status = servers[0]
        .device_status(account_id(1), device_id(1), NOW)
        .await;
    let left = status.unwrap().unwrap().pool_left;
    assert_eq!(usize::try_from(left).unwrap() + one_time.len(), 20);

    servers[0].otp_start(challenge(9, 9, 9, NOW)).await.unwrap();
    let mut checks = JoinSet::new();
    for number in 0..12 {
        let store = Arc::clone(&servers[number % 3]);
        let check = async move {
            store
                .otp_check(ChallengeId::new([9; 16]), [0; 32], NOW)
                .await
        };
        checks.spawn(check);
    }
    let checks = checks.join_all().await;
    let wrong = |found: &&Result<_, StoreError>| matches!(found, Ok(OtpCheckOutcome::Wrong { .. }));
    let counted = checks.iter().filter(wrong).count();
    assert_eq!(u32::try_from(counted).unwrap(), OTP_CHECKS_MAX);

    let mut starts = JoinSet::new();
    for number in 10..22_u8 {
        let store = Arc::clone(&servers[usize::from(number) % 3]);
        starts.spawn(async move { store.otp_start(challenge(number, 8, number, NOW)).await });
    }
    let starts = starts.join_all().await;
    let sent = starts
        .iter()
        .filter(|found| matches!(found, Ok(OtpStartOutcome::Send { .. })));
    assert_eq!(sent.count(), 3);

    let mut posts = JoinSet::new();
    for number in 0..40_u8 {
        let store = Arc::clone(&servers[usize::from(number) % 3]);
        posts.spawn(async move { store.post_item(item(1, number, None, NOW)).await.unwrap() });
    }
    posts.join_all().await;
    let inbox = servers[0].read_inbox(device_id(1), 0, 100).await.unwrap();
    let numbers: Vec<_> = inbox.items.iter().map(|item| item.number).collect();
    assert_eq!(
        numbers,
        (1..=32).collect::<Vec<u64>>(),
        "strangers share 32 places"
    );
}

/// The last free place of a server goes to one of those who want it on several servers at once, and so
/// does an identifier.
#[tokio::test]
async fn c213_one_place_is_given_once() {
    let database = Database::new().await;
    let servers = servers(&database, 3).await;
    for n in 1..10 {
        servers[0].otp_start(challenge(n, n, n, NOW)).await.unwrap();
    }
    let mut registrations = JoinSet::new();
    for n in 1..10_u8 {
        let store = Arc::clone(&servers[usize::from(n) % 3]);
        // three want each identifier
        let new = NewAccount {
            accounts_max: Some(2),
            ..registration(n, n % 3, NOW)
        };
        registrations.spawn(async move { store.register(new).await.unwrap() });
    }
    let outcomes = registrations.join_all().await;
    let registered = |outcome: &&RegisterOutcome| **outcome == RegisterOutcome::Registered;
    assert_eq!(
        outcomes.iter().filter(registered).count(),
        2,
        "{outcomes:?}"
    );
    assert_eq!(servers[0].summary().await.unwrap().accounts, 2);
}

/// A database that was restored from a backup begins a new life: the server that noted more notices, the
/// others stop, and new servers, which noted nothing, believe what they find.
#[tokio::test]
async fn c211_a_restored_database_begins_a_new_life() {
    let database = Database::new().await;
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions::default();
    let address = || Address::parse(&database.url(), |_| None).unwrap();
    let noting = async || {
        PostgresStore::open(address(), Some(folder.path()), options)
            .await
            .unwrap()
    };
    let first = noting().await.incarnation();
    assert_eq!(noting().await.incarnation(), first);
    let other = database.store(options).await;
    assert_eq!(other.incarnation(), first);
    create(&other, 1).await;
    // what a backup of the first moment would bring back
    database.execute("UPDATE meta SET mark = 0").await;
    let second = noting().await.incarnation();
    assert_eq!(second, first.next());
    assert_eq!(noting().await.incarnation(), second);
    assert_eq!(database.store(options).await.incarnation(), second);
    assert!(matches!(other.last_day().await, Err(StoreError::Broken(_))));
    other.failed().await;
    let late = other.append(log_id(1), Epoch(1), vec![1], NOW).await;
    assert!(matches!(late, Err(StoreError::Broken(_))));
}

/// A standby, a wrong name and a newer schema are each refused in words of their own.
#[tokio::test]
async fn c210_what_cannot_be_the_primary_is_refused() {
    let database = Database::new().await;
    let options = StoreOptions::default();
    let open = async |url: &str| {
        let address = Address::parse(url, |_| None).unwrap();
        PostgresStore::open(address, None, options)
            .await
            .unwrap_err()
    };
    let store = database.store(options).await;
    database.execute("UPDATE meta SET schema = 99").await;
    let newer = open(&database.url()).await;
    assert!(
        matches!(newer, DatabaseError::NewerSchema { found: 99, .. }),
        "{newer}"
    );
    let url = database.url();
    // a session that may not write is what a standby gives
    let standby = format!("{url}&options=-cdefault_transaction_read_only%3Don");
    assert!(matches!(open(&standby).await, DatabaseError::ReadOnly));
    let missing = url.replace("postgres:///t", "postgres:///nobody");
    assert!(matches!(open(&missing).await, DatabaseError::NoDatabase));
    let nowhere = "postgres:///t?host=/nowhere&user=postgres";
    assert!(matches!(open(nowhere).await, DatabaseError::Unreachable(_)));
    drop(store);
}

/// What is said through two servers at once, and again later through one that only just came, stands once: whoever
/// asks gets the same place. What differs in anything, words, epoch or log, has a place of its own.
#[tokio::test]
async fn c212_a_copy_through_another_server_stands_once() {
    let database = Database::new().await;
    let servers = servers(&database, 2).await;
    create(&*servers[0], 1).await;
    create(&*servers[0], 2).await;
    let mut places = BTreeMap::new();
    for round in 0..8_u8 {
        let mut copies = JoinSet::new();
        for (number, server) in (0..16_u8).flat_map(|number| [(number, 0), (number, 1)]) {
            let server = Arc::clone(&servers[server]);
            let payload = vec![round, number];
            copies.spawn(async move {
                let said = server.append(log_id(1), Epoch(1), payload.clone(), NOW);
                (payload, place(said.await))
            });
        }
        for (payload, seq) in copies.join_all().await {
            assert_eq!(
                *places.entry(payload).or_insert(seq),
                seq,
                "it stands twice"
            );
        }
    }
    let late = self::servers(&database, 1).await;
    for server in servers.iter().chain(&late) {
        for (payload, seq) in places.iter().filter(|(payload, _)| payload[0] >= 4) {
            let again = server.append(log_id(1), Epoch(1), payload.clone(), NOW);
            assert_eq!(place(again.await), *seq);
        }
    }
    let stored = payloads(&late[0], 1).await;
    let said: Vec<_> = (1..).map(Seq).zip(stored).collect();
    let mut told: Vec<_> = places
        .into_iter()
        .map(|(words, seq)| (seq, words))
        .collect();
    told.sort();
    assert_eq!(said, told);
    let elsewhere = servers[1].append(log_id(2), Epoch(1), vec![7, 7], NOW);
    assert_eq!(place(elsewhere.await), Seq(1));
    let ended = servers[1].put_bundle(bundle(1, 1, b"commit", NOW)).await;
    assert!(matches!(ended, Ok(BundleOutcome::Appended { .. })));
    let next = servers[0].append(log_id(1), Epoch(2), vec![7, 7], NOW);
    assert_eq!(place(next.await), Seq(8 * 16 + 2));
    // a copy that comes after its epoch ended is no new message either
    let over = servers[1].append(log_id(1), Epoch(1), vec![7, 7], NOW);
    assert!(place(over.await) <= Seq(8 * 16));
}

fn place(outcome: Result<AppendOutcome, StoreError>) -> Seq {
    match outcome {
        Ok(AppendOutcome::Appended { head }) => head.seq,
        Ok(AppendOutcome::SaidBefore { seq }) => seq,
        other => panic!("{other:?}"),
    }
}

/// Everything that stands in the first epoch of a log, in order.
async fn payloads(store: &PostgresStore, number: u8) -> Vec<Vec<u8>> {
    let (mut stored, mut after) = (Vec::new(), Seq(0));
    loop {
        let page = store.read(log_id(number), Epoch(1), after, 100, 1 << 20);
        let entries = page.await.unwrap().unwrap().entries;
        let Some(last) = entries.last() else {
            return stored;
        };
        after = Seq(last.seq);
        stored.extend(entries.into_iter().map(|entry| entry.payload));
    }
}

/// Every connection is cut, again and again, while messages come in: what is acknowledged is there once,
/// and the store goes on.
#[tokio::test]
async fn c212_cut_connections_lose_nothing() {
    let database = Database::new().await;
    let store = Arc::new(database.store(StoreOptions::default()).await);
    create(&*store, 1).await;
    let (mut acked, mut number) = (BTreeSet::new(), 0_u32);
    for _ in 0..8 {
        let mut appends = JoinSet::new();
        for _ in 0..64 {
            number += 1;
            let (store, number) = (Arc::clone(&store), number);
            appends.spawn(async move {
                let payload = number.to_be_bytes().to_vec();
                (
                    number,
                    store.append(log_id(1), Epoch(1), payload, NOW).await,
                )
            });
        }
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()";
        database.execute(cut).await;
        for (number, outcome) in appends.join_all().await {
            match outcome {
                Ok(AppendOutcome::Appended { .. } | AppendOutcome::SaidBefore { .. }) => {
                    assert!(acked.insert(number));
                }
                Err(StoreError::Busy | StoreError::Broken(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    append(&*store, 1, 1, &0_u32.to_be_bytes(), NOW).await;
    let stored = payloads(&store, 1).await;
    let stored = stored
        .into_iter()
        .map(|payload| u32::from_be_bytes(payload.try_into().unwrap()));
    let stored: Vec<_> = stored.collect();
    let once: BTreeSet<_> = stored.iter().copied().collect();
    assert_eq!(once.len(), stored.len(), "stored twice");
    assert!(acked.is_subset(&once), "acknowledged and lost");
    assert!(!acked.is_empty());
}

/// What one process tells through the database the other hears, and itself does not.
#[tokio::test]
async fn hints_travel_through_the_database() {
    let database = Database::new().await;
    let address = || Address::parse(&database.url(), |_| None).unwrap();
    let (one, other) = (
        PostgresHints::start(address(), 1),
        PostgresHints::start(address(), 2),
    );
    let (mut own, mut heard) = (one.subscribe(), other.subscribe());
    // both listen from now on
    assert_eq!(own.recv().await, Some(Heard::Gap));
    assert_eq!(heard.recv().await, Some(Heard::Gap));
    assert!(one.is_connected() && other.is_connected());
    let hints: Vec<_> = (0..1_000)
        .map(|seq| Hint::Log {
            log_id: LogId::new([7; 32]),
            epoch: Epoch(1),
            seq: Seq(seq),
        })
        .collect();
    one.publish(hints.clone());
    let mut told = Vec::new();
    while told.len() < hints.len() {
        match heard.recv().await {
            Some(Heard::Hints(more)) => told.extend(more),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(told, hints);
    other.publish(vec![Hint::Inbox {
        device_id: DeviceId::new([1; 16]),
    }]);
    let back = Heard::Hints(vec![Hint::Inbox {
        device_id: DeviceId::new([1; 16]),
    }]);
    assert_eq!(own.recv().await, Some(back));
    // a stranger's words are no hints
    database
        .execute(
            "NOTIFY conclave, 'what is this'; SELECT pg_terminate_backend(pid)
         FROM pg_stat_activity WHERE query = 'LISTEN conclave' AND datname = current_database()",
        )
        .await;
    assert_eq!(
        heard.recv().await,
        Some(Heard::Gap),
        "the connection was cut"
    );
}
