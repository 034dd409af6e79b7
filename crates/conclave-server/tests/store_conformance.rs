//! One suite for every store: each verb and each rule that the store keeps.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise; clippy knows only the functions marked as tests"
)]

mod postgres_support;
mod store_support;

use std::future::poll_fn;
use std::task::Poll;

use conclave_classic::gateway::{Account, Places, Pushed, Registered};
use conclave_classic::message::Message;
use conclave_classic::suite::Suite;
use conclave_classic::wire::{Delivery, Receipt};
use conclave_proto::id::{ChallengeId, Day, Epoch, Hash32, Seq, ServerId};
use conclave_proto::label::sha256;
use conclave_proto::limits::{
    CLASSIC_QUEUE_MAX, CLASSIC_SEEN_DAYS, HOLD_MS, INBOX_ITEMS_MAX, INBOX_STRANGER_ITEMS_MAX,
    KEY_PACKAGE_OFFER_DAYS, KEY_PACKAGE_POOL, KEY_PACKAGE_VALID_MS, MAILBOX_VALID_MS,
    MAILBOXES_MAX, OTP_CHECKS_MAX, STATE_CHAIN_MAX,
};
use conclave_proto::log::{Entry, Head, chain_next, chain_start};
use conclave_proto::mailbox::{ANSWER, OFFER, PROOF, mailbox_id};
use conclave_server::store::{
    AppendOutcome, BundleOutcome, CreateOutcome, DeviceStatus, KeyPackagesOutcome, MailboxGone,
    MemoryStore, NewAccount, NewBundle, NewChallenge, NewLog, OtpCheckOutcome, OtpStartOutcome,
    Page, PostOutcome, PutStateOutcome, RegisterOutcome, SendId, SqliteStore, Store, StoreOptions,
};
use postgres_support::Database;
use store_support::{
    DAY, DAY_MS, NOW, account_id, account_state, append, blob, bundle, challenge, commit, create,
    device, device_id, fingerprint, hash, item, log_id, new_log, next_state, register,
    registration, sweep,
};

macro_rules! conformance {
    ($($name:ident,)*) => {
        mod memory {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                super::$name(&MemoryStore::new(StoreOptions::default())).await;
            })*
        }
        mod sqlite {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let dir = tempfile::tempdir().unwrap();
                let store = SqliteStore::open(dir.path(), StoreOptions::default()).unwrap();
                super::$name(&store).await;
                assert_eq!(store.check().await.unwrap().problems, Vec::<String>::new());
            })*
        }
        mod postgres {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let database = Database::new().await;
                let store = database.store(StoreOptions::default()).await;
                super::$name(&store).await;
                assert_eq!(store.check().await.unwrap().problems, Vec::<String>::new());
            })*
        }
    };
}

conformance! {
    registers_once_and_finds_again,
    register_uses_challenge_and_invite_up,
    register_keeps_to_the_limit_of_accounts,
    register_refuses_taken_ids,
    c044_a_taken_identifier_moves_after_seven_days,
    c044_a_veto_ends_every_hold,
    c015_states_form_a_chain,
    c137_key_packages_go_with_their_keys,
    state_pages_are_bounded,
    c181_former_devices_come_with_the_states_that_list_them,
    unlisted_devices_lose_everything,
    capability_can_be_replaced,
    c040_five_checks_then_none,
    otp_resend_keeps_the_challenge,
    otp_sends_are_limited,
    otp_challenges_of_two_keys_do_not_meet,
    c075_a_code_waits_until_it_is_sent,
    c076_what_may_have_left_is_not_repeated,
    c075_a_code_waits_no_longer_than_its_challenge,
    c078_another_clock_locks_nobody_out,
    c078_the_latest_day_never_goes_back,
    c033_each_one_time_package_once,
    c033_strangers_get_last_resorts_only,
    c031_packages_are_offered_while_they_are_valid,
    pool_keeps_the_newest,
    inbox_keeps_items_until_acknowledged,
    c037_strangers_share_32_places,
    c020_create_is_idempotent,
    c021_an_old_epoch_is_capped_both_ways,
    c021_reads_are_clamped_and_bounded,
    c022_unknown_and_forgotten_get_one_answer,
    c023_first_commit_wins,
    c024_a_stale_append_is_refused,
    c025_the_chain_closes,
    c026_expired_payloads_leave_their_hash,
    c026_retention_in_force_counts,
    c028_commits_are_spaced_after_a_lost_race,
    c028_an_old_key_slows_nobody_down,
    blobs_expire_and_never_change,
    sweep_forgets_what_is_over,
    summary_counts,
    c120_a_mailbox_takes_each_slot_once,
    c120_a_mailbox_ends_with_its_time_or_before,
    c121_mailboxes_are_bounded,
    classic_phones_keep_to_their_limit,
    classic_messages_wait_in_order_and_become_receipts,
    classic_acks_touch_nobody_elses,
    classic_ids_are_known_for_thirty_days,
    classic_queues_end_at_their_limit,
}

async fn read(store: &dyn Store, n: u8, epoch: u64, after: u64) -> Option<Page> {
    let page = store.read(log_id(n), Epoch(epoch), Seq(after), 100, 1 << 20);
    page.await.unwrap()
}

fn seqs(page: &Page) -> Vec<u64> {
    page.entries.iter().map(|entry| entry.seq).collect()
}

/// A registration is there afterwards, by id and by identifier; the same again gets the same answer.
async fn registers_once_and_finds_again(store: &dyn Store) {
    let new = registration(1, 1, NOW);
    assert_eq!(
        register(store, new.clone()).await,
        RegisterOutcome::Registered
    );
    assert_eq!(
        store.register(new.clone()).await.unwrap(),
        RegisterOutcome::AlreadySame
    );
    let found = store.account_by_identifier(new.identifier.clone()).await;
    let found = found.unwrap().unwrap();
    assert_eq!(found.account_id, account_id(1));
    assert_eq!(found.states, std::slice::from_ref(&new.state));
    assert_eq!(found.certs, [device(1).cert]);
    assert_eq!(store.states(account_id(1), 1).await.unwrap(), Some(found));
    let key = |account, n| store.device_key(account_id(account), device_id(n));
    assert_eq!(key(1, 1).await.unwrap(), Some([1; 32]));
    assert_eq!(key(2, 1).await.unwrap(), None);
    assert_eq!(key(1, 2).await.unwrap(), None);
    let nobody = store.account_by_identifier("+490".into()).await;
    assert_eq!(nobody.unwrap(), None);
}

/// A challenge registers one account, an invite as many as it has uses.
async fn register_uses_challenge_and_invite_up(store: &dyn Store) {
    let invited = |n| NewAccount {
        invite: Some(hash(200)),
        ..registration(n, n, NOW)
    };
    assert_eq!(
        register(store, invited(1)).await,
        RegisterOutcome::InviteInvalid
    );
    store.create_invite(hash(200), 1, NOW + 10).await.unwrap();
    assert!(store.invite_valid(hash(200), NOW).await.unwrap());
    assert!(!store.invite_valid(hash(200), NOW + 10).await.unwrap());
    let late = NewAccount {
        now_ms: NOW + 10,
        ..invited(1)
    };
    assert_eq!(
        store.register(late).await.unwrap(),
        RegisterOutcome::InviteInvalid
    );
    assert_eq!(
        store.register(invited(1)).await.unwrap(),
        RegisterOutcome::Registered
    );
    assert!(!store.invite_valid(hash(200), NOW).await.unwrap());
    let replay = NewAccount {
        challenge_id: ChallengeId::new([1; 16]),
        ..registration(2, 2, NOW)
    };
    assert_eq!(
        store.register(replay).await.unwrap(),
        RegisterOutcome::ChallengeUsed
    );
    assert_eq!(
        register(store, invited(3)).await,
        RegisterOutcome::InviteInvalid
    );
}

/// A full server takes nobody, and says so.
async fn register_keeps_to_the_limit_of_accounts(store: &dyn Store) {
    let limited = |n| NewAccount {
        accounts_max: Some(1),
        ..registration(n, n, NOW)
    };
    assert_eq!(
        register(store, limited(1)).await,
        RegisterOutcome::Registered
    );
    assert_eq!(
        register(store, limited(2)).await,
        RegisterOutcome::ServerFull
    );
    assert_eq!(store.states(account_id(2), 1).await.unwrap(), None);
}

/// Neither an account id nor a device id is given out twice.
async fn register_refuses_taken_ids(store: &dyn Store) {
    register(store, registration(1, 1, NOW)).await;
    let same_account = NewAccount {
        account_id: account_id(1),
        ..registration(2, 2, NOW)
    };
    assert_eq!(
        register(store, same_account).await,
        RegisterOutcome::IdTaken
    );
    let same_device = NewAccount {
        devices: vec![device(1)],
        ..registration(3, 3, NOW)
    };
    assert_eq!(register(store, same_device).await, RegisterOutcome::IdTaken);
}

/// A right code alone moves nothing; seven days later the same key gets the identifier, another does not.
async fn c044_a_taken_identifier_moves_after_seven_days(store: &dyn Store) {
    register(store, registration(1, 1, NOW)).await;
    let held = |retry_ms| RegisterOutcome::Held { retry_ms };
    assert_eq!(
        register(store, registration(2, 1, NOW)).await,
        held(HOLD_MS)
    );
    let status = store.device_status(account_id(1), device_id(1), NOW + 1);
    assert_eq!(status.await.unwrap().unwrap().hold_ms, HOLD_MS - 1);
    let early = registration(2, 1, NOW + HOLD_MS - 1);
    assert_eq!(register(store, early).await, held(1));
    let other_key = registration(3, 1, NOW + HOLD_MS);
    assert_eq!(register(store, other_key).await, held(HOLD_MS));
    let old = store.account_by_identifier("+4900000001".into()).await;
    assert_eq!(old.unwrap().unwrap().account_id, account_id(1));
    let on_time = registration(2, 1, NOW + HOLD_MS);
    assert_eq!(register(store, on_time).await, RegisterOutcome::Registered);
    let new = store.account_by_identifier("+4900000001".into()).await;
    assert_eq!(new.unwrap().unwrap().account_id, account_id(2));
    // the old account keeps its id, its device, and has no hold any more
    let status = store.device_status(account_id(1), device_id(1), NOW + HOLD_MS);
    assert_eq!(status.await.unwrap().unwrap().hold_ms, 0);
    let third = registration(3, 1, NOW + 2 * HOLD_MS);
    assert_eq!(register(store, third).await, held(HOLD_MS));
}

/// A veto starts the seven days anew, for every key that waited.
async fn c044_a_veto_ends_every_hold(store: &dyn Store) {
    register(store, registration(1, 1, NOW)).await;
    assert!(!store.veto_hold(account_id(1)).await.unwrap());
    register(store, registration(2, 1, NOW)).await;
    register(store, registration(3, 1, NOW)).await;
    assert!(store.veto_hold(account_id(1)).await.unwrap());
    for n in [2, 3] {
        let late = register(store, registration(n, 1, NOW + HOLD_MS)).await;
        assert_eq!(late, RegisterOutcome::Held { retry_ms: HOLD_MS });
    }
}

/// A state enters only right behind the newest one.
async fn c015_states_form_a_chain(store: &dyn Store) {
    let put = |state| store.put_state(state);
    let unknown = put(next_state(1, 2, &[1])).await.unwrap();
    assert_eq!(unknown, PutStateOutcome::NoAccount);
    register(store, registration(1, 1, NOW)).await;
    register(store, registration(2, 2, NOW)).await;
    let second = next_state(1, 2, &[1, 11]);
    assert_eq!(put(second.clone()).await.unwrap(), PutStateOutcome::Stored);
    assert_eq!(
        put(second.clone()).await.unwrap(),
        PutStateOutcome::SameAgain
    );
    let mut fork = second.clone();
    fork.state_hash = hash(77);
    assert_eq!(put(fork).await.unwrap(), PutStateOutcome::Conflict);
    let mut unhinged = next_state(1, 3, &[1]);
    unhinged.prev_hash = hash(77);
    assert_eq!(put(unhinged).await.unwrap(), PutStateOutcome::Conflict);
    let gap = next_state(1, 4, &[1]);
    assert_eq!(put(gap).await.unwrap(), PutStateOutcome::Conflict);
    let stolen = next_state(1, 3, &[1, 2]);
    assert_eq!(put(stolen).await.unwrap(), PutStateOutcome::IdTaken);
    let published = store.states(account_id(1), 2).await.unwrap().unwrap();
    assert_eq!(published.states, [second.state]);
    assert_eq!(published.certs, [device(1).cert, device(11).cert]);
}

/// A device whose leaf key changes keeps its place and its inbox and loses its key packages; the others keep theirs.
/// A new generation takes all of them back.
async fn c137_key_packages_go_with_their_keys(store: &dyn Store) {
    register(store, registration(1, 1, NOW)).await;
    store.put_state(next_state(1, 2, &[1, 2])).await.unwrap();
    let supply = async || {
        for n in [1, 2] {
            let put = store.put_key_packages(device_id(n), vec![vec![n]], Some(vec![n]), NOW);
            put.await.unwrap();
        }
    };
    let left = async |n| {
        let status = store.device_status(account_id(1), device_id(n), NOW);
        let status = status.await.unwrap().unwrap();
        (status.pool_left, status.has_last_resort)
    };
    supply().await;
    store.post_item(item(1, 1, None, NOW)).await.unwrap();
    let mut rekeyed = next_state(1, 3, &[1, 2]);
    rekeyed.devices[0].leaf_key = [99; 32];
    let stored = store.put_state(rekeyed).await.unwrap();
    assert_eq!(stored, PutStateOutcome::Stored);
    let key = store.device_key(account_id(1), device_id(1)).await.unwrap();
    assert_eq!(key, Some([99; 32]));
    assert_eq!((left(1).await, left(2).await), ((0, false), (1, true)));
    let inbox = store.read_inbox(device_id(1), 0, 32).await.unwrap();
    assert_eq!(inbox.items.len(), 1);
    supply().await;
    let mut reset = next_state(1, 4, &[1, 2]);
    reset.devices[0].leaf_key = [99; 32];
    reset.is_reset = true;
    store.put_state(reset).await.unwrap();
    assert_eq!((left(1).await, left(2).await), ((0, false), (0, false)));
    supply().await;
    assert_eq!(left(2).await, (1, true));
}

/// At most 256 states in one answer, from where it was asked.
async fn state_pages_are_bounded(store: &dyn Store) {
    register(store, registration(1, 1, NOW)).await;
    for seq in 2..=300 {
        store.put_state(next_state(1, seq, &[1])).await.unwrap();
    }
    let page = |from| store.states(account_id(1), from);
    let states = page(1).await.unwrap().unwrap().states;
    assert_eq!(states.len(), STATE_CHAIN_MAX);
    assert_eq!(page(300).await.unwrap().unwrap().states.len(), 1);
    assert_eq!(page(301).await.unwrap().unwrap().states.len(), 0);
    assert_eq!(page(u64::MAX).await.unwrap().unwrap().states.len(), 0);
    let newest = store.account_by_identifier("+4900000001".into()).await;
    assert_eq!(newest.unwrap().unwrap().states, [vec![1; 30]]);
}

/// States come with the last certificates of those devices that the first of them lists and the newest does not: of
/// none that came later, none that is back, and none of another account, whatever its state claims.
async fn c181_former_devices_come_with_the_states_that_list_them(store: &dyn Store) {
    let listed: [&[u8]; 6] = [&[1, 2], &[1, 2, 3], &[1, 3], &[1], &[1, 3, 4], &[1, 3]];
    let first = registration(1, 1, NOW);
    let first = NewAccount {
        state: account_state(1, 1, listed[0]),
        devices: listed[0].iter().map(|n| device(*n)).collect(),
        ..first
    };
    assert_eq!(register(store, first).await, RegisterOutcome::Registered);
    for (seq, devices) in (2..).zip(&listed[1..]) {
        let mut next = next_state(1, seq, devices);
        next.state = account_state(1, seq, devices);
        for device in &mut next.devices {
            // certified anew with each state
            device.cert = vec![u8::try_from(seq).unwrap(), device.leaf_key[0]];
        }
        assert_eq!(
            store.put_state(next).await.unwrap(),
            PutStateOutcome::Stored
        );
    }
    let former = async |account: u8, from_seq| {
        let shown = store.states(account_id(account), from_seq).await;
        let shown = shown.unwrap().unwrap();
        assert_eq!(shown.certs.len(), if account == 1 { 2 } else { 1 });
        shown.former_certs
    };
    let (second, fourth) = ([2, 2], [5, 4]);
    assert_eq!(former(1, 1).await, [second]);
    assert_eq!(former(1, 2).await, [second], "the third is back");
    assert!(former(1, 3).await.is_empty());
    assert!(former(1, 4).await.is_empty());
    assert_eq!(former(1, 5).await, [fourth]);
    for from_seq in [6, 7, u64::MAX] {
        assert!(former(1, from_seq).await.is_empty(), "{from_seq}");
    }
    let liar = NewAccount {
        state: account_state(9, 1, &[2, 4, 9]),
        ..registration(9, 9, NOW)
    };
    assert_eq!(register(store, liar).await, RegisterOutcome::Registered);
    assert!(former(9, 1).await.is_empty());
    let newest = store.account_by_identifier("+4900000001".into()).await;
    assert!(newest.unwrap().unwrap().former_certs.is_empty());
}

/// A device that the newest state does not list has no key, no packages and no inbox.
async fn unlisted_devices_lose_everything(store: &dyn Store) {
    register(store, registration(1, 1, NOW)).await;
    store.put_state(next_state(1, 2, &[1, 2])).await.unwrap();
    let packages = store.put_key_packages(device_id(2), vec![vec![1]], Some(vec![2]), NOW);
    packages.await.unwrap();
    store.post_item(item(2, 1, None, NOW)).await.unwrap();
    store.put_state(next_state(1, 3, &[1])).await.unwrap();
    assert_eq!(
        store.device_key(account_id(1), device_id(2)).await.unwrap(),
        None
    );
    let status = store.device_status(account_id(1), device_id(2), NOW);
    assert_eq!(status.await.unwrap(), None);
    assert!(
        store
            .read_inbox(device_id(2), 0, 32)
            .await
            .unwrap()
            .items
            .is_empty()
    );
    let posted = store.post_item(item(2, 2, None, NOW)).await.unwrap();
    assert_eq!(posted, PostOutcome::NoSuchDevice);
    let put = store
        .put_key_packages(device_id(2), vec![], None, NOW)
        .await;
    assert_eq!(put.unwrap(), KeyPackagesOutcome::NoSuchDevice);
    let claimed = store
        .claim(account_id(1), Some(hash(1)), None)
        .await
        .unwrap();
    assert_eq!(claimed, Some(vec![]));
}

/// Who holds the old capability is a stranger after it was replaced.
async fn capability_can_be_replaced(store: &dyn Store) {
    register(store, registration(1, 1, NOW)).await;
    let put = store.put_key_packages(device_id(1), vec![vec![1]], Some(vec![2]), NOW);
    put.await.unwrap();
    assert!(store.put_capability(account_id(1), hash(50)).await.unwrap());
    assert!(!store.put_capability(account_id(2), hash(50)).await.unwrap());
    let claim = async |capability| {
        let claimed = store
            .claim(account_id(1), Some(hash(capability)), None)
            .await;
        claimed.unwrap().unwrap()[0].last_resort
    };
    assert!(claim(1).await);
    assert!(!claim(50).await);
}

/// The sixth check fails though its code is right; so does one after the time is over.
async fn c040_five_checks_then_none(store: &dyn Store) {
    store.otp_start(challenge(1, 1, 1, NOW)).await.unwrap();
    let check = |mac: u8, now_ms| store.otp_check(ChallengeId::new([1; 16]), [mac; 32], now_ms);
    let over = check(1, NOW + 600_000).await.unwrap();
    assert_eq!(over, OtpCheckOutcome::Expired);
    for left in (1..OTP_CHECKS_MAX).rev() {
        let wrong = check(9, NOW).await.unwrap();
        assert_eq!(wrong, OtpCheckOutcome::Wrong { left });
    }
    let OtpCheckOutcome::Right(right) = check(1, NOW).await.unwrap() else {
        panic!("the fifth check is right");
    };
    assert_eq!(right.identifier_hash, [1; 32]);
    assert_eq!(right.sealed_identifier, vec![1; 5]);
    assert_eq!(right.identity_fingerprint, fingerprint(1));
    assert_eq!(check(1, NOW).await.unwrap(), OtpCheckOutcome::Exhausted);
    store.otp_delete(ChallengeId::new([1; 16])).await.unwrap();
    assert_eq!(check(1, NOW).await.unwrap(), OtpCheckOutcome::Expired);
}

/// A resend names the same challenge, keeps its counted tries and prolongs it; a used-up one is replaced.
async fn otp_resend_keeps_the_challenge(store: &dyn Store) {
    let first = store.otp_start(challenge(1, 1, 1, NOW)).await.unwrap();
    let send = |n, resend, resend_after_ms| OtpStartOutcome::Send {
        challenge_id: ChallengeId::new([n; 16]),
        resend,
        resend_after_ms,
    };
    assert_eq!(first, send(1, false, 0));
    let wrong = store.otp_check(ChallengeId::new([1; 16]), [9; 32], NOW);
    assert_eq!(wrong.await.unwrap(), OtpCheckOutcome::Wrong { left: 4 });
    let again = NewChallenge {
        invite: Some(hash(7)),
        ..challenge(2, 1, 1, NOW + 1_000)
    };
    assert_eq!(store.otp_start(again).await.unwrap(), send(1, true, 0));
    let late = NOW + 600_500;
    for left in [3, 2, 1] {
        let wrong = store.otp_check(ChallengeId::new([1; 16]), [9; 32], late);
        assert_eq!(wrong.await.unwrap(), OtpCheckOutcome::Wrong { left });
    }
    let right = store.otp_check(ChallengeId::new([1; 16]), [1; 32], late);
    let OtpCheckOutcome::Right(right) = right.await.unwrap() else {
        panic!("the code is the first one");
    };
    assert_eq!(right.invite, Some(hash(7)));
    let third = store.otp_start(challenge(3, 1, 1, late)).await.unwrap();
    assert_eq!(third, send(3, false, 3_600_000 - 600_500));
}

/// Three sends an hour and five a day for one identifier, whatever key asks.
async fn otp_sends_are_limited(store: &dyn Store) {
    let minute = 60_000;
    let start = |n: u8, at| store.otp_start(challenge(n, 1, n, NOW + at));
    for n in 1..=3 {
        let sent = start(n, u64::from(n) * minute).await.unwrap();
        assert!(matches!(sent, OtpStartOutcome::Send { .. }));
    }
    let limited = |retry_ms| OtpStartOutcome::RateLimited { retry_ms };
    assert_eq!(start(4, 4 * minute).await.unwrap(), limited(57 * minute));
    for (n, at) in [(5, 70 * minute), (6, 71 * minute)] {
        let sent = start(n, at).await.unwrap();
        assert!(matches!(sent, OtpStartOutcome::Send { .. }));
    }
    let day = 24 * 60 * minute;
    assert_eq!(
        start(7, 600 * minute).await.unwrap(),
        limited(day + minute - 600 * minute)
    );
    let other = store.otp_start(challenge(8, 2, 1, NOW)).await.unwrap();
    assert!(matches!(other, OtpStartOutcome::Send { .. }));
}

/// The ids under which codes wait to be sent.
async fn waiting(store: &dyn Store) -> Vec<u8> {
    let waiting = store.otp_waiting(10).await.unwrap();
    waiting.iter().map(|code| code.send_id.0[0]).collect()
}

/// A code waits from the start on, soonest over first; asking again before it is sent adds nothing,
/// afterwards it is a sending of its own.
async fn c075_a_code_waits_until_it_is_sent(store: &dyn Store) {
    assert!(waiting(store).await.is_empty());
    store.otp_start(challenge(2, 2, 2, NOW + 9)).await.unwrap();
    store.otp_start(challenge(1, 1, 1, NOW)).await.unwrap();
    assert_eq!(waiting(store).await, [1, 2]);
    let code = store.otp_waiting(1).await.unwrap().remove(0);
    assert_eq!(code.challenge_id, ChallengeId::new([1; 16]));
    assert_eq!(code.sealed_identifier, vec![1; 5]);
    assert_eq!(code.expires_ms, NOW + 600_000);
    store.otp_start(challenge(3, 1, 1, NOW)).await.unwrap();
    assert_eq!(waiting(store).await, [1, 2]);
    store.otp_sent(code.send_id).await.unwrap();
    assert_eq!(waiting(store).await, [2]);
    store.otp_start(challenge(4, 1, 1, NOW)).await.unwrap();
    assert_eq!(waiting(store).await, [4, 2]);
    let again = store.otp_waiting(1).await.unwrap().remove(0);
    assert_eq!(again.challenge_id, code.challenge_id);
}

/// A code that was handed over waits no more, unless it certainly did not leave or somebody asks
/// anew; after a restart it is over.
async fn c076_what_may_have_left_is_not_repeated(store: &dyn Store) {
    let id = |n: u8| SendId([n; 16]);
    for n in 1..=3 {
        store.otp_start(challenge(n, n, n, NOW)).await.unwrap();
        assert!(store.otp_hand_over(id(n), true).await.unwrap());
        // of two servers one sends it
        assert!(!store.otp_hand_over(id(n), true).await.unwrap());
    }
    assert!(waiting(store).await.is_empty());
    assert!(store.otp_hand_over(id(1), false).await.unwrap());
    assert_eq!(waiting(store).await, [1]);
    store.otp_start(challenge(9, 2, 2, NOW)).await.unwrap();
    assert_eq!(waiting(store).await, [1, 9]);
    assert!(!store.otp_hand_over(id(2), true).await.unwrap());
    store.otp_sent(id(2)).await.unwrap();
    assert_eq!(waiting(store).await, [1, 9]);
    assert_eq!(store.otp_interrupted().await.unwrap(), 1);
    assert_eq!(store.otp_interrupted().await.unwrap(), 0);
    assert!(!store.otp_hand_over(id(3), true).await.unwrap());
    assert_eq!(waiting(store).await, [1, 9]);
}

/// A used challenge takes its waiting code along.
async fn c075_a_code_waits_no_longer_than_its_challenge(store: &dyn Store) {
    store.otp_start(challenge(1, 1, 1, NOW)).await.unwrap();
    let registered = store.register(registration(1, 1, NOW)).await.unwrap();
    assert_eq!(registered, RegisterOutcome::Registered);
    assert!(waiting(store).await.is_empty());
    assert!(!store.otp_hand_over(SendId([1; 16]), true).await.unwrap());
}

/// What a clock a year ahead left behind: codes that would live for a year are over, sends that
/// would count for a year do not, a hold that would last a year begins anew.
async fn c078_another_clock_locks_nobody_out(store: &dyn Store) {
    let year = 365 * DAY_MS;
    register(store, registration(1, 1, NOW)).await;
    for n in 2..=4 {
        store
            .otp_start(challenge(n, 1, n, NOW + year))
            .await
            .unwrap();
    }
    let challenger = NewAccount {
        identifier: registration(1, 1, NOW).identifier,
        ..registration(2, 1, NOW + year)
    };
    let held = store.register(challenger.clone()).await.unwrap();
    assert_eq!(held, RegisterOutcome::Held { retry_ms: HOLD_MS });
    let check = store.otp_check(ChallengeId::new([3; 16]), [3; 32], NOW);
    assert_eq!(check.await.unwrap(), OtpCheckOutcome::Expired);
    let started = store.otp_start(challenge(5, 1, 2, NOW)).await.unwrap();
    assert!(matches!(started, OtpStartOutcome::Send { .. }));
    let again = NewAccount {
        challenge_id: ChallengeId::new([5; 16]),
        now_ms: NOW,
        ..challenger
    };
    let held = store.register(again).await.unwrap();
    assert_eq!(held, RegisterOutcome::Held { retry_ms: HOLD_MS });
}

/// The latest day follows the sweeps forward and never back; an operator may set it to any day.
async fn c078_the_latest_day_never_goes_back(store: &dyn Store) {
    assert_eq!(store.last_day().await.unwrap(), Day(0));
    sweep(store, NOW).await;
    assert_eq!(store.last_day().await.unwrap(), Day(DAY));
    sweep(store, NOW - 365 * DAY_MS).await;
    assert_eq!(store.last_day().await.unwrap(), Day(DAY));
    store.confirm_day(Day(7)).await.unwrap();
    assert_eq!(store.last_day().await.unwrap(), Day(7));
}

/// Nobody burns another key's checks, and each has its own code.
async fn otp_challenges_of_two_keys_do_not_meet(store: &dyn Store) {
    store.otp_start(challenge(1, 1, 1, NOW)).await.unwrap();
    store.otp_start(challenge(2, 1, 2, NOW)).await.unwrap();
    let check = |n: u8, mac: u8| store.otp_check(ChallengeId::new([n; 16]), [mac; 32], NOW);
    for _ in 0..OTP_CHECKS_MAX {
        assert!(matches!(
            check(1, 2).await,
            Ok(OtpCheckOutcome::Wrong { .. })
        ));
    }
    assert_eq!(check(1, 1).await.unwrap(), OtpCheckOutcome::Exhausted);
    assert!(matches!(check(2, 2).await, Ok(OtpCheckOutcome::Right(_))));
}

/// Contacts get each one-time package once, oldest first, then the last resort; an upload that is
/// repeated after a claim brings nothing back.
async fn c033_each_one_time_package_once(store: &dyn Store) {
    register(store, registration(1, 1, NOW)).await;
    store.put_state(next_state(1, 2, &[1, 2])).await.unwrap();
    let packages = vec![vec![1; 3], vec![2; 3]];
    let put = || store.put_key_packages(device_id(1), packages.clone(), Some(vec![9]), NOW);
    assert_eq!(
        put().await.unwrap(),
        KeyPackagesOutcome::Stored { pool_left: 2 }
    );
    store
        .put_key_packages(device_id(2), vec![], Some(vec![8]), NOW)
        .await
        .unwrap();
    let claim = async || {
        store
            .claim(account_id(1), Some(hash(1)), None)
            .await
            .unwrap()
            .unwrap()
    };
    let first = claim().await;
    assert_eq!(first[0].device_id, device_id(1));
    assert_eq!(first[0].key_package, [1; 3]);
    assert!(!first[0].last_resort);
    assert_eq!(first[1].key_package, [8]);
    assert!(first[1].last_resort);
    assert_eq!(
        put().await.unwrap(),
        KeyPackagesOutcome::Stored { pool_left: 1 }
    );
    assert_eq!(claim().await[0].key_package, [2; 3]);
    let empty = claim().await;
    assert_eq!(empty[0].key_package, [9]);
    assert!(empty[0].last_resort);
    assert_eq!(store.claim(account_id(7), None, None).await.unwrap(), None);
    let status = store.device_status(account_id(1), device_id(1), NOW).await;
    let expected = DeviceStatus {
        pool_left: 0,
        has_last_resort: true,
        state_seq: 2,
        hold_ms: 0,
    };
    assert_eq!(status.unwrap(), Some(expected));
}

/// Without the capability, or with a wrong one, no one-time package goes away.
async fn c033_strangers_get_last_resorts_only(store: &dyn Store) {
    register(store, registration(1, 1, NOW)).await;
    let put = |last| store.put_key_packages(device_id(1), vec![vec![1]], last, NOW);
    put(None).await.unwrap();
    let none = store.claim(account_id(1), None, None).await.unwrap();
    assert_eq!(none, Some(vec![]));
    put(Some(vec![9])).await.unwrap();
    for capability in [None, Some(hash(3))] {
        let claimed = store
            .claim(account_id(1), capability, None)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(claimed[0].key_package, [9]);
        assert!(claimed[0].last_resort);
    }
    let status = store.device_status(account_id(1), device_id(1), NOW).await;
    assert_eq!(status.unwrap().unwrap().pool_left, 1);
}

/// A one-time package is withdrawn ten days before it ends, so that its owner fills the pool again; until its
/// own row goes, the same package does not come back.
async fn c031_packages_are_offered_while_they_are_valid(store: &dyn Store) {
    register(store, registration(1, 1, NOW)).await;
    let put = |now_ms| store.put_key_packages(device_id(1), vec![vec![1]], Some(vec![9]), now_ms);
    put(NOW).await.unwrap();
    let offered = u64::from(KEY_PACKAGE_OFFER_DAYS) * DAY_MS;
    assert!(offered < KEY_PACKAGE_VALID_MS);
    for (now_ms, left) in [(NOW + offered, 1), (NOW + offered + DAY_MS, 0)] {
        sweep(store, now_ms).await;
        let status = store.device_status(account_id(1), device_id(1), now_ms);
        assert_eq!(status.await.unwrap().unwrap().pool_left, left);
    }
    let again = put(NOW + offered + DAY_MS).await.unwrap();
    assert_eq!(again, KeyPackagesOutcome::Stored { pool_left: 0 });
    let claimed = store
        .claim(account_id(1), Some(hash(1)), None)
        .await
        .unwrap();
    assert!(claimed.unwrap()[0].last_resort);
}

/// Beyond twenty the oldest go.
async fn pool_keeps_the_newest(store: &dyn Store) {
    register(store, registration(1, 1, NOW)).await;
    let packages: Vec<Vec<u8>> = (0..25).map(|n| vec![n; 3]).collect();
    let put = store
        .put_key_packages(device_id(1), packages, None, NOW)
        .await;
    let pool_left = u32::try_from(KEY_PACKAGE_POOL).unwrap();
    assert_eq!(put.unwrap(), KeyPackagesOutcome::Stored { pool_left });
    let claimed = store
        .claim(account_id(1), Some(hash(1)), None)
        .await
        .unwrap();
    assert_eq!(claimed.unwrap()[0].key_package, [5; 3]);
}

/// Items come in order, the same bytes once, and go when acknowledged, by their own device only.
async fn inbox_keeps_items_until_acknowledged(store: &dyn Store) {
    register(store, registration(1, 1, NOW)).await;
    register(store, registration(2, 2, NOW)).await;
    for n in [1, 2, 3] {
        let posted = store.post_item(item(1, n, Some(1), NOW)).await.unwrap();
        assert_eq!(posted, PostOutcome::Posted);
    }
    let again = store.post_item(item(1, 2, None, NOW)).await.unwrap();
    assert_eq!(again, PostOutcome::SameAgain);
    let page = store.read_inbox(device_id(1), 0, 2).await.unwrap();
    assert!(page.more);
    assert_eq!(page.items[0].item, vec![1; 64]);
    let rest = store
        .read_inbox(device_id(1), page.items[1].number, 2)
        .await;
    let rest = rest.unwrap();
    assert!(!rest.more);
    assert_eq!(rest.items[0].item, vec![3; 64]);
    let numbers = vec![page.items[0].number, rest.items[0].number, 999];
    let foreign = store
        .ack_inbox(device_id(2), numbers.clone())
        .await
        .unwrap();
    assert_eq!(foreign.deleted, 0);
    let acked = store.ack_inbox(device_id(1), numbers).await.unwrap();
    assert_eq!(acked.deleted, 2);
    let left = store.read_inbox(device_id(1), 0, 9).await.unwrap();
    assert_eq!(left.items.len(), 1);
    // numbers never come again
    store.post_item(item(1, 9, None, NOW)).await.unwrap();
    let newest = store.read_inbox(device_id(1), 0, 9).await.unwrap();
    assert!(newest.items[1].number > rest.items[0].number);
    let nobody = store.post_item(item(7, 1, None, NOW)).await.unwrap();
    assert_eq!(nobody, PostOutcome::NoSuchDevice);
}

/// The 33rd item from strangers is refused while contacts still get through, up to 1,024 in all.
async fn c037_strangers_share_32_places(store: &dyn Store) {
    register(store, registration(1, 1, NOW)).await;
    let numbered = |n: u32, capability| {
        let mut new = item(1, 0, capability, NOW);
        new.item = n.to_be_bytes().to_vec();
        store.post_item(new)
    };
    for n in 0..INBOX_STRANGER_ITEMS_MAX {
        let wrong_capability = (n % 2 == 0).then_some(77);
        let posted = numbered(n, wrong_capability).await.unwrap();
        assert_eq!(posted, PostOutcome::Posted);
    }
    assert_eq!(numbered(5_000, None).await.unwrap(), PostOutcome::Full);
    for n in INBOX_STRANGER_ITEMS_MAX..INBOX_ITEMS_MAX {
        let posted = numbered(n, Some(1)).await.unwrap();
        assert_eq!(posted, PostOutcome::Posted);
    }
    assert_eq!(numbered(5_000, Some(1)).await.unwrap(), PostOutcome::Full);
}

/// The same request gets the same answer, also later; any other is a conflict and changes nothing.
async fn c020_create_is_idempotent(store: &dyn Store) {
    let new = new_log(1, &[1, 2], NOW);
    let head = Head {
        epoch: Epoch(1),
        seq: Seq(0),
        hash: new.chain_start,
        incarnation: store.incarnation(),
    };
    let create = |new: NewLog| store.create_log(new);
    assert_eq!(
        create(new.clone()).await.unwrap(),
        CreateOutcome::Created { head }
    );
    assert_eq!(
        create(new.clone()).await.unwrap(),
        CreateOutcome::SameAgain { head }
    );
    append(store, 1, 1, b"x", NOW).await;
    let CreateOutcome::SameAgain { head: later } = create(new.clone()).await.unwrap() else {
        panic!("the same request again");
    };
    assert_eq!(later.seq, Seq(1));
    let other = NewLog {
        create_hash: hash(99),
        ..new.clone()
    };
    assert_eq!(create(other).await.unwrap(), CreateOutcome::Conflict);
    for blobs in [&[3, 2][..], &[3, 3]] {
        let clash = create(new_log(2, blobs, NOW)).await.unwrap();
        assert_eq!(clash, CreateOutcome::Conflict);
    }
    assert_eq!(store.blob(blob(3).blob_id).await.unwrap(), None);
    assert_eq!(
        store.blob(blob(2).blob_id).await.unwrap(),
        Some(blob(2).bytes)
    );
    assert_eq!(store.epoch_key(log_id(2), Epoch(1)).await.unwrap(), None);
}

/// The key of an ended epoch neither appends, nor reads past the commit that ended it, nor sees a
/// newer head: with a fresh opening and with a handle from before alike.
async fn c021_an_old_epoch_is_capped_both_ways(store: &dyn Store) {
    create(store, 1).await;
    append(store, 1, 1, b"a", NOW).await;
    let before = store.epoch_key(log_id(1), Epoch(1)).await.unwrap().unwrap();
    assert_eq!(before.head.seq, Seq(1));
    commit(store, 1, 1).await;
    append(store, 1, 2, b"b", NOW).await;
    commit(store, 1, 2).await;
    append(store, 1, 3, b"c", NOW).await;

    let fresh = store.epoch_key(log_id(1), Epoch(1)).await.unwrap().unwrap();
    assert_eq!((fresh.head.epoch, fresh.head.seq), (Epoch(2), Seq(2)));
    assert_eq!(fresh.access_key, [1; 32]);
    for after in [0, 1, 2, 3, 4, u64::MAX] {
        let page = read(store, 1, 1, after).await.unwrap();
        assert!(seqs(&page).iter().all(|seq| *seq <= 2 && *seq > after));
        assert_eq!(page.head, fresh.head);
    }
    assert_eq!(seqs(&read(store, 1, 1, 0).await.unwrap()), [1, 2]);
    let late = store
        .append(log_id(1), Epoch(1), b"late".to_vec(), NOW)
        .await;
    assert_eq!(late.unwrap(), AppendOutcome::StaleEpoch);
    // from after the commit that began it: the entries before are not this epoch's
    assert_eq!(seqs(&read(store, 1, 2, 0).await.unwrap()), [3, 4]);
    assert_eq!(seqs(&read(store, 1, 3, 0).await.unwrap()), [5]);
}

/// A page ends at its bounds of entries and bytes; its first entry always fits.
async fn c021_reads_are_clamped_and_bounded(store: &dyn Store) {
    create(store, 1).await;
    for n in 0..10 {
        append(store, 1, 1, &[n; 100], NOW).await;
    }
    let page = async |after, limit, bytes| {
        let page = store
            .read(log_id(1), Epoch(1), Seq(after), limit, bytes)
            .await;
        let page = page.unwrap().unwrap();
        assert_eq!(page.head.seq, Seq(10));
        seqs(&page)
    };
    assert_eq!(page(0, 3, 1 << 20).await, [1, 2, 3]);
    assert_eq!(page(3, 100, 250).await, [4, 5]);
    assert_eq!(page(9, 100, 1).await, [10]);
    assert_eq!(page(10, 100, 1).await, Vec::<u64>::new());
    assert_eq!(page(0, 0, 1 << 20).await, Vec::<u64>::new());
}

/// No log, no such epoch and a forgotten epoch look the same in every verb.
async fn c022_unknown_and_forgotten_get_one_answer(store: &dyn Store) {
    create(store, 1).await;
    commit(store, 1, 1).await;
    sweep(store, NOW + 401 * DAY_MS).await;
    for (n, epoch) in [(1, 1), (1, 3), (1, 0), (1, u64::MAX), (2, 1)] {
        let key = store.epoch_key(log_id(n), Epoch(epoch)).await.unwrap();
        assert_eq!(key, None);
        assert_eq!(read(store, n, epoch, 0).await, None);
        let appended = store.append(log_id(n), Epoch(epoch), vec![1], NOW).await;
        assert_eq!(appended.unwrap(), AppendOutcome::NoLog);
        let late = NewBundle {
            base_epoch: Epoch(epoch),
            ..bundle(n, 1, b"c", NOW)
        };
        assert_eq!(store.put_bundle(late).await.unwrap(), BundleOutcome::NoLog);
    }
    assert!(
        store
            .epoch_key(log_id(1), Epoch(2))
            .await
            .unwrap()
            .is_some()
    );
}

/// Of two commits of one epoch the first wins; the other gets the winner and changes nothing.
async fn c023_first_commit_wins(store: &dyn Store) {
    create(store, 1).await;
    let first = NewBundle {
        blobs: vec![blob(1)],
        ..bundle(1, 1, b"first", NOW)
    };
    let BundleOutcome::Appended { head } = store.put_bundle(first.clone()).await.unwrap() else {
        panic!("the first commit enters");
    };
    assert_eq!((head.epoch, head.seq), (Epoch(2), Seq(1)));
    let second = NewBundle {
        blobs: vec![blob(2)],
        ..bundle(1, 1, b"second", NOW)
    };
    for late in [second, first] {
        let outcome = store.put_bundle(late).await.unwrap();
        let BundleOutcome::Lost { winner, .. } = outcome else {
            panic!("the epoch is over");
        };
        assert_eq!((winner.seq, winner.epoch), (1, 1));
        assert_eq!(winner.payload, b"first");
    }
    assert_eq!(store.blob(blob(2).blob_id).await.unwrap(), None);
    let key = store.epoch_key(log_id(1), Epoch(2)).await.unwrap().unwrap();
    assert_eq!(key.access_key, [2; 32]);
    assert_eq!(key.head, head);
    let clash = NewBundle {
        blobs: vec![blob(1)],
        ..bundle(1, 2, b"third", NOW + DAY_MS)
    };
    assert_eq!(
        store.put_bundle(clash).await.unwrap(),
        BundleOutcome::Conflict
    );
    let next = store.put_bundle(bundle(1, 2, b"third", NOW + DAY_MS)).await;
    assert!(matches!(next, Ok(BundleOutcome::Appended { .. })));
}

/// An append to an epoch that is over leaves no trace.
async fn c024_a_stale_append_is_refused(store: &dyn Store) {
    create(store, 1).await;
    commit(store, 1, 1).await;
    let stale = store.append(log_id(1), Epoch(1), vec![1], NOW).await;
    assert_eq!(stale.unwrap(), AppendOutcome::StaleEpoch);
    let key = store.epoch_key(log_id(1), Epoch(2)).await.unwrap().unwrap();
    assert_eq!(key.head.seq, Seq(1));
    append(store, 1, 2, b"x", NOW).await;
}

fn chained(start: Hash32, entries: &[Entry]) -> Hash32 {
    entries.iter().fold(start, |previous, entry| {
        let payload_hash = entry.payload_hash().unwrap();
        chain_next(
            previous,
            Seq(entry.seq),
            Epoch(entry.epoch),
            entry.kind(),
            payload_hash,
        )
    })
}

/// A reader that walks the epochs computes the heads that the store shows.
async fn c025_the_chain_closes(store: &dyn Store) {
    create(store, 1).await;
    let mut hash = chain_start(ServerId::new([9; 32]), log_id(1));
    for epoch in 1..4 {
        append(store, 1, epoch, &[1, 2], NOW).await;
        append(store, 1, epoch, &[], NOW).await;
        commit(store, 1, epoch).await;
        let page = read(store, 1, epoch, 0).await.unwrap();
        assert_eq!(page.entries.len(), 3);
        hash = chained(hash, &page.entries);
        assert_eq!(page.head.hash, hash);
        assert_eq!(page.head.epoch, Epoch(epoch + 1));
    }
}

/// After its time a payload is gone, its hash stays, and the chain still closes. Commits stay longer.
async fn c026_expired_payloads_leave_their_hash(store: &dyn Store) {
    create(store, 1).await;
    append(store, 1, 1, b"secret", NOW).await;
    append(store, 1, 1, b"younger", NOW + DAY_MS).await;
    commit(store, 1, 1).await;
    sweep(store, NOW + 30 * DAY_MS).await;
    let page = read(store, 1, 1, 0).await.unwrap();
    assert!(page.entries.iter().all(|entry| !entry.is_expired()));
    sweep(store, NOW + 31 * DAY_MS).await;
    let page = read(store, 1, 1, 0).await.unwrap();
    assert!(page.entries[0].payload.is_empty());
    assert_eq!(page.entries[0].expired_hash, sha256(b"secret").to_vec());
    assert_eq!((page.entries[0].day, page.entries[0].epoch), (DAY, 1));
    assert_eq!(page.entries[1].payload, b"younger");
    assert!(!page.entries[2].is_expired());
    let start = chain_start(ServerId::new([9; 32]), log_id(1));
    assert_eq!(chained(start, &page.entries), page.head.hash);
    append(store, 1, 2, b"on", NOW + 31 * DAY_MS).await;
}

/// A shorter retention applies to what waits already, a longer one too; one log's says nothing about another's.
async fn c026_retention_in_force_counts(store: &dyn Store) {
    let shrink = |n, days| NewBundle {
        retention_days: days,
        ..bundle(n, 1, b"commit", NOW)
    };
    for n in [1, 2, 3] {
        let new = NewLog {
            retention_days: if n == 3 { 1 } else { 30 },
            ..new_log(n, &[], NOW)
        };
        store.create_log(new).await.unwrap();
        append(store, n, 1, b"early", NOW).await;
    }
    store.put_bundle(shrink(1, 1)).await.unwrap();
    store.put_bundle(shrink(3, 7)).await.unwrap();
    append(store, 1, 2, b"later", NOW).await;
    let gone = async |n, epoch| {
        let page = read(store, n, epoch, 0).await.unwrap();
        page.entries.iter().any(Entry::is_expired)
    };
    sweep(store, NOW + DAY_MS).await;
    assert!(!gone(1, 1).await);
    sweep(store, NOW + 2 * DAY_MS).await;
    assert!(gone(1, 1).await);
    assert!(gone(1, 2).await);
    assert!(!gone(2, 1).await);
    assert!(!gone(3, 1).await);
    sweep(store, NOW + 8 * DAY_MS).await;
    assert!(gone(3, 1).await);
    assert!(!gone(2, 1).await);
}

/// After a lost race the log takes its next commit 2 s after the last one; messages go on.
async fn c028_commits_are_spaced_after_a_lost_race(store: &dyn Store) {
    create(store, 1).await;
    commit(store, 1, 1).await;
    commit(store, 1, 2).await;
    let lost = store.put_bundle(bundle(1, 2, b"loser", NOW + 500)).await;
    assert!(matches!(lost, Ok(BundleOutcome::Lost { .. })));
    let soon = store
        .put_bundle(bundle(1, 3, b"soon", NOW + 600))
        .await
        .unwrap();
    assert_eq!(soon, BundleOutcome::TooSoon { retry_ms: 1_400 });
    append(store, 1, 3, b"message", NOW + 600).await;
    let again = store.put_bundle(bundle(1, 2, b"loser 2", NOW + 700)).await;
    assert!(matches!(again, Ok(BundleOutcome::Lost { .. })));
    let waited = store.put_bundle(bundle(1, 3, b"soon", NOW + 2_000)).await;
    assert!(matches!(waited, Ok(BundleOutcome::Appended { .. })));
    store
        .put_bundle(bundle(1, 3, b"loser 3", NOW + 2_100))
        .await
        .unwrap();
    let doubled = store.put_bundle(bundle(1, 4, b"next", NOW + 3_000)).await;
    assert_eq!(doubled.unwrap(), BundleOutcome::TooSoon { retry_ms: 3_000 });
}

/// Neither the key of an epoch long over nor one's own commit again slows a log down.
async fn c028_an_old_key_slows_nobody_down(store: &dyn Store) {
    create(store, 1).await;
    commit(store, 1, 1).await;
    commit(store, 1, 2).await;
    let old = store.put_bundle(bundle(1, 1, b"spite", NOW)).await;
    assert!(matches!(old, Ok(BundleOutcome::Lost { .. })));
    let own = store.put_bundle(bundle(1, 2, &[1, 0xc0], NOW)).await;
    assert!(matches!(own, Ok(BundleOutcome::Lost { .. })));
    commit(store, 1, 3).await;
}

/// Blobs come with a log or bundle, keep their bytes, and go after 30 days.
async fn blobs_expire_and_never_change(store: &dyn Store) {
    store.create_log(new_log(1, &[1], NOW)).await.unwrap();
    let with_blob = NewBundle {
        blobs: vec![blob(2)],
        ..bundle(1, 1, b"c", NOW + DAY_MS)
    };
    store.put_bundle(with_blob).await.unwrap();
    let stored = async |n| store.blob(blob(n).blob_id).await.unwrap();
    sweep(store, NOW + 30 * DAY_MS).await;
    assert_eq!(stored(1).await, Some(blob(1).bytes));
    sweep(store, NOW + 31 * DAY_MS).await;
    assert_eq!(stored(1).await, None);
    assert_eq!(stored(2).await, Some(blob(2).bytes));
    assert_eq!(stored(3).await, None);
}

/// Inbox items, codes, invites, holds and old key packages do not stay for ever.
async fn sweep_forgets_what_is_over(store: &dyn Store) {
    register(store, registration(1, 1, NOW)).await;
    register(store, registration(2, 1, NOW)).await;
    store.otp_start(challenge(9, 9, 9, NOW)).await.unwrap();
    store.create_invite(hash(1), 5, NOW + 1).await.unwrap();
    store.post_item(item(1, 1, None, NOW)).await.unwrap();
    let put = store.put_key_packages(device_id(1), vec![vec![1]], Some(vec![2]), NOW);
    put.await.unwrap();
    sweep(store, NOW + 30 * DAY_MS).await;
    let before = store.summary().await.unwrap();
    assert_eq!((before.inbox_items, before.key_packages), (1, 2));
    let status = |at| store.device_status(account_id(1), device_id(1), at);
    assert_eq!(status(NOW + 30 * DAY_MS).await.unwrap().unwrap().hold_ms, 1);
    sweep(store, NOW + 101 * DAY_MS).await;
    let after = store.summary().await.unwrap();
    assert_eq!((after.inbox_items, after.key_packages), (0, 1));
    assert_eq!(
        status(NOW + 101 * DAY_MS).await.unwrap().unwrap().hold_ms,
        0
    );
    assert!(!store.invite_valid(hash(1), NOW).await.unwrap());
    let gone = store.otp_check(ChallengeId::new([9; 16]), [9; 32], NOW);
    assert_eq!(gone.await.unwrap(), OtpCheckOutcome::Expired);
}

/// The summary counts what is there.
async fn summary_counts(store: &dyn Store) {
    register(store, registration(1, 1, NOW)).await;
    store.create_log(new_log(1, &[1, 2], NOW)).await.unwrap();
    append(store, 1, 1, &[0; 50], NOW).await;
    append(store, 1, 1, &[1; 50], NOW + 9 * DAY_MS).await;
    sweep(store, NOW + 31 * DAY_MS - 1).await;
    let summary = store.summary().await.unwrap();
    assert_eq!((summary.accounts, summary.devices), (1, 1));
    assert_eq!(
        (summary.logs, summary.entries, summary.entries_expired),
        (1, 2, 0)
    );
    assert_eq!(
        (summary.payload_bytes, summary.blobs, summary.blob_bytes),
        (100, 2, 200)
    );
    sweep(store, NOW + 31 * DAY_MS).await;
    let summary = store.summary().await.unwrap();
    assert_eq!((summary.entries, summary.entries_expired), (2, 1));
    assert_eq!((summary.payload_bytes, summary.blobs), (50, 0));
}

const ANNA: &str = "+491";
const BEN: &str = "+492";
const CARL: &str = "+493";

/// Message `id` from one phone to another.
fn classic_delivery(id: u64, sender: &str, recipient: &str) -> Delivery {
    Delivery {
        message_id: format!("{id:032x}"),
        message: Message {
            sender_id: sender.to_owned(),
            recipient_id: recipient.to_owned(),
            encrypted_content: format!("content {id}"),
            encrypted_aes_key: String::new(),
            signature: String::new(),
            timestamp: NOW / 1_000,
        },
    }
}

async fn classic_push(store: &dyn Store, id: u64, sender: &str, recipient: &str) -> Pushed {
    let delivery = classic_delivery(id, sender, recipient);
    store.classic_push(delivery, NOW).await.unwrap()
}

/// Numbers of the messages that wait for `phone` behind `after`, each with its place.
async fn classic_queue(store: &dyn Store, phone: &str, after: u64, most: u32) -> Vec<(u64, u64)> {
    let after = Places {
        message: after,
        receipt: 0,
    };
    let waiting = store.classic_waiting(phone.into(), after, most).await;
    let number = |(place, delivery): (u64, Delivery)| {
        let id = u64::from_str_radix(&delivery.message_id, 16).unwrap();
        assert_eq!(
            delivery.message.encrypted_content,
            format!("content {id}"),
            "each id has its own message"
        );
        (place, id)
    };
    waiting.unwrap().messages.into_iter().map(number).collect()
}

fn numbers(queue: &[(u64, u64)]) -> Vec<u64> {
    queue.iter().map(|(_, id)| *id).collect()
}

/// Receipts that wait for `phone`, each with its place.
async fn classic_receipts(store: &dyn Store, phone: &str, after: u64) -> Vec<(u64, Receipt)> {
    let after = Places {
        message: 0,
        receipt: after,
    };
    let waiting = store.classic_waiting(phone.into(), after, 100).await;
    waiting.unwrap().receipts
}

async fn classic_ack(
    store: &dyn Store,
    phone: &str,
    messages: &[u64],
    receipts: &[u64],
) -> Vec<String> {
    let ids = |numbers: &[u64]| numbers.iter().map(|id| format!("{id:032x}")).collect();
    let acked = store.classic_ack(phone.into(), ids(messages), ids(receipts), NOW + 5_000);
    acked.await.unwrap()
}

/// A slot takes one value, said as often as it likes; the offer is no slot to write, and there are four.
async fn c120_a_mailbox_takes_each_slot_once(store: &dyn Store) {
    let id = mailbox_id(b"offer");
    let put = |slot, bytes: &[u8]| store.put_slot(id, slot, bytes.to_vec(), NOW);
    assert_eq!(put(ANSWER, b"early").await.unwrap(), Err(MailboxGone::Over));
    for _ in 0..2 {
        let opened = store.open_mailbox(b"offer".to_vec(), NOW).await.unwrap();
        assert_eq!(opened, Ok(()));
        assert_eq!(put(ANSWER, b"first").await.unwrap(), Ok(()));
    }
    for (slot, bytes) in [(ANSWER, b"other"), (OFFER, b"other"), (4, b"other")] {
        assert_eq!(put(slot, bytes).await.unwrap(), Err(MailboxGone::Over));
    }
    let read = async |slot| store.read_slot(id, slot, NOW).await.unwrap();
    assert_eq!(read(OFFER).await.unwrap(), b"offer");
    assert_eq!(read(ANSWER).await.unwrap(), b"first");
    assert_eq!(read(PROOF).await.unwrap(), b"");
    assert_eq!(read(4).await, Err(MailboxGone::Over));
}

/// Over by its time, by a clock set back, or closed: it gives nothing, and a used offer opens nothing again.
async fn c120_a_mailbox_ends_with_its_time_or_before(store: &dyn Store) {
    let id = mailbox_id(b"offer");
    let open = |now_ms| store.open_mailbox(b"offer".to_vec(), now_ms);
    let read = |now_ms| store.read_slot(id, OFFER, now_ms);
    let end_ms = NOW + MAILBOX_VALID_MS;
    assert_eq!(open(NOW).await.unwrap(), Ok(()));
    assert!(read(end_ms - 1).await.unwrap().is_ok());
    for now_ms in [end_ms, NOW - 1] {
        assert_eq!(read(now_ms).await.unwrap(), Err(MailboxGone::Over));
        let put = store.put_slot(id, ANSWER, vec![1], now_ms).await.unwrap();
        assert_eq!(put, Err(MailboxGone::Over));
        let closed = store.close_mailbox(id, now_ms).await.unwrap();
        assert_eq!(closed, Err(MailboxGone::Over));
    }
    assert_eq!(
        store.put_slot(id, ANSWER, vec![1], NOW).await.unwrap(),
        Ok(())
    );
    assert_eq!(store.close_mailbox(id, NOW).await.unwrap(), Ok(()));
    assert_eq!(read(NOW).await.unwrap(), Err(MailboxGone::Over));
    assert_eq!(open(end_ms - 1).await.unwrap(), Err(MailboxGone::Over));
    sweep(store, end_ms).await;
    assert_eq!(open(end_ms).await.unwrap(), Ok(()));
    let answer = store.read_slot(id, ANSWER, end_ms).await.unwrap();
    assert_eq!(answer, Ok(vec![]), "nothing of before");
}

/// There are so many mailboxes and no more, until the time of one is over; those that are open are found.
async fn c121_mailboxes_are_bounded(store: &dyn Store) {
    let open = |number: usize, now_ms| {
        let offer = number.to_be_bytes().to_vec();
        store.open_mailbox(offer, now_ms)
    };
    for number in 0..MAILBOXES_MAX {
        assert_eq!(open(number, NOW).await.unwrap(), Ok(()));
    }
    let full = Err(MailboxGone::Full);
    assert_eq!(open(MAILBOXES_MAX, NOW).await.unwrap(), full);
    assert_eq!(open(0, NOW).await.unwrap(), Ok(()));
    let later_ms = NOW + MAILBOX_VALID_MS;
    assert_eq!(open(MAILBOXES_MAX, later_ms).await.unwrap(), Ok(()));
}

/// A full server takes no new phone; a registered one still gets a new key, even of the other suite.
async fn classic_phones_keep_to_their_limit(store: &dyn Store) {
    let account = |suite, key: &str| Account {
        suite,
        public_key: key.to_owned(),
    };
    let put = |phone: &str, account, max| store.classic_put_account(phone.into(), account, max);
    let old = account(Suite::Rsa, "old");
    assert_eq!(
        put(ANNA, old.clone(), 0).await.unwrap(),
        Registered::Full,
        "no place at all"
    );
    for phone in [ANNA, BEN] {
        let stored = put(phone, old.clone(), 2).await.unwrap();
        assert_eq!(stored, Registered::Yes);
    }
    assert_eq!(put(CARL, old.clone(), 2).await.unwrap(), Registered::Full);
    let new = account(Suite::Ec, "new");
    assert_eq!(put(ANNA, new.clone(), 2).await.unwrap(), Registered::Yes);
    assert_eq!(store.classic_accounts().await.unwrap(), 2);
    for (phone, expected) in [(ANNA, Some(new)), (BEN, Some(old)), (CARL, None)] {
        let found = store.classic_account(phone.into()).await.unwrap();
        assert_eq!(found, expected, "{phone}");
    }
}

/// Messages wait in order, from any place on; each acknowledged one becomes a receipt, once.
async fn classic_messages_wait_in_order_and_become_receipts(store: &dyn Store) {
    for id in [5, 3, 9, 1] {
        assert_eq!(classic_push(store, id, ANNA, BEN).await, Pushed::Stored);
    }
    classic_push(store, 7, CARL, BEN).await;
    let queue = classic_queue(store, BEN, 0, 100).await;
    assert_eq!(numbers(&queue), [5, 3, 9, 1, 7]);
    assert!(queue.is_sorted(), "places grow");
    assert_eq!(classic_queue(store, BEN, queue[1].0, 2).await, queue[2..4]);
    let end = queue[4].0;
    assert_eq!(classic_queue(store, BEN, end, 100).await, []);
    assert_eq!(classic_queue(store, BEN, u64::MAX, 100).await, []);

    let told = classic_ack(store, BEN, &[9, 7, 5, 9, 77], &[]).await;
    assert_eq!(told, [ANNA, CARL], "each sender once");
    assert_eq!(numbers(&classic_queue(store, BEN, 0, 100).await), [3, 1]);
    let receipts = classic_receipts(store, ANNA, 0).await;
    let expected = [9_u64, 5].map(|id| Receipt {
        message_id: format!("{id:032x}"),
        recipient_id: BEN.to_owned(),
        delivered_at: NOW / 1_000 + 5,
    });
    let found: Vec<Receipt> = receipts.iter().map(|(_, one)| one.clone()).collect();
    assert_eq!(found, expected);
    let rest = classic_receipts(store, ANNA, receipts[0].0).await;
    assert_eq!(rest, receipts[1..]);
    assert_eq!(classic_receipts(store, CARL, 0).await.len(), 1);

    let none: [&str; 0] = [];
    assert_eq!(classic_ack(store, BEN, &[9], &[]).await, none, "once");
    assert_eq!(classic_ack(store, ANNA, &[], &[9]).await, none);
    assert_eq!(classic_receipts(store, ANNA, 0).await, receipts[1..]);
    // a place is never given out again, or who listens behind it would miss a message
    classic_ack(store, BEN, &[3, 1], &[]).await;
    classic_push(store, 11, ANNA, BEN).await;
    assert_eq!(numbers(&classic_queue(store, BEN, end, 100).await), [11]);
}

/// Nobody takes away what waits for somebody else.
async fn classic_acks_touch_nobody_elses(store: &dyn Store) {
    classic_push(store, 1, ANNA, BEN).await;
    for phone in [ANNA, CARL] {
        let told = classic_ack(store, phone, &[1], &[]).await;
        assert!(told.is_empty(), "{phone}");
    }
    assert_eq!(numbers(&classic_queue(store, BEN, 0, 100).await), [1]);
    assert_eq!(classic_ack(store, BEN, &[1], &[]).await, [ANNA]);
    for phone in [BEN, CARL] {
        classic_ack(store, phone, &[], &[1]).await;
    }
    assert_eq!(classic_receipts(store, ANNA, 0).await.len(), 1);
}

/// A message is taken once, also after it was fetched, for 30 days and no longer; what waits stays.
async fn classic_ids_are_known_for_thirty_days(store: &dyn Store) {
    let known = |id: u64| store.classic_is_known(format!("{id:032x}"));
    classic_push(store, 1, ANNA, BEN).await;
    classic_push(store, 2, ANNA, BEN).await;
    classic_ack(store, BEN, &[1], &[]).await;
    let last_day = NOW + u64::from(CLASSIC_SEEN_DAYS) * DAY_MS;
    sweep(store, last_day + DAY_MS - 1).await;
    for id in [1, 2] {
        assert!(known(id).await.unwrap());
        assert_eq!(classic_push(store, id, ANNA, BEN).await, Pushed::Replay);
    }
    assert!(!known(3).await.unwrap());
    sweep(store, last_day + DAY_MS).await;
    assert!(!known(1).await.unwrap());
    assert!(!known(2).await.unwrap());
    assert_eq!(numbers(&classic_queue(store, BEN, 0, 100).await), [2]);
    assert_eq!(classic_receipts(store, ANNA, 0).await.len(), 1);
    assert_eq!(classic_push(store, 1, ANNA, BEN).await, Pushed::Stored);
}

/// A full queue takes nothing more and remembers nothing of it; others' go on, and one place is one message.
async fn classic_queues_end_at_their_limit(store: &dyn Store) {
    let ids: Vec<u64> = (1..=CLASSIC_QUEUE_MAX).collect();
    for ids in ids.chunks(250) {
        let push = |id: &u64| store.classic_push(classic_delivery(*id, ANNA, BEN), NOW);
        let mut pushes: Vec<_> = ids.iter().map(push).collect();
        // all of them wait for one sync
        poll_fn(|context| {
            pushes.retain_mut(|push| match push.as_mut().poll(context) {
                Poll::Ready(pushed) => {
                    assert_eq!(pushed.unwrap(), Pushed::Stored);
                    false
                }
                Poll::Pending => true,
            });
            if pushes.is_empty() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
    let over = CLASSIC_QUEUE_MAX + 1;
    assert_eq!(classic_push(store, over, ANNA, BEN).await, Pushed::Full);
    let known = store.classic_is_known(format!("{over:032x}")).await;
    assert!(!known.unwrap(), "it may be sent again");
    assert_eq!(classic_push(store, 1, ANNA, BEN).await, Pushed::Replay);
    let other = over + 1;
    assert_eq!(classic_push(store, other, ANNA, CARL).await, Pushed::Stored);
    classic_ack(store, BEN, &[1], &[]).await;
    assert_eq!(classic_push(store, over, ANNA, BEN).await, Pushed::Stored);
    assert_eq!(classic_push(store, over + 2, ANNA, BEN).await, Pushed::Full);
}
