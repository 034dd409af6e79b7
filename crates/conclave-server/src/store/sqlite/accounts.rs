//! Accounts, devices and holds in SQLite.

use conclave_proto::id::{AccountId, DeviceId, Hash32, IdentityFingerprint};
use conclave_proto::limits::{HOLD_MS, STATE_CHAIN_MAX};
use rusqlite::{Connection, Result, params};

use super::otp::invite_valid;
use super::query::{all, bytes, count, int, length, one, run, uint};
use crate::store::rows::listed_first;
use crate::store::{
    DeviceStatus, NewAccount, NewDevice, NewState, Published, PutStateOutcome, RegisterOutcome,
};

pub(super) fn register(tx: &Connection, new: &NewAccount) -> Result<RegisterOutcome> {
    if let Some(outcome) = refusal(tx, new)? {
        return Ok(outcome);
    }
    let holder = one(
        tx,
        "SELECT id FROM account WHERE identifier = ?1",
        [&new.identifier],
        |row| row.get::<_, i64>(0),
    )?;
    if let Some(holder) = holder {
        let retry_ms = hold_ms_left(tx, holder, new.identity_fingerprint, new.now_ms)?;
        if retry_ms > 0 {
            delete_challenge(tx, new)?;
            return Ok(RegisterOutcome::Held { retry_ms });
        }
        run(tx, "DELETE FROM hold WHERE account = ?1", [holder])?;
        run(
            tx,
            "UPDATE account SET identifier = NULL WHERE id = ?1",
            [holder],
        )?;
    } else if let Some(max) = new.accounts_max
        && accounts_held(tx)? >= max
    {
        return Ok(RegisterOutcome::ServerFull);
    }
    insert_account(tx, new)?;
    Ok(RegisterOutcome::Registered)
}

/// Why a registration ends before the identifier is looked at.
fn refusal(tx: &Connection, new: &NewAccount) -> Result<Option<RegisterOutcome>> {
    let first_state = one(
        tx,
        "SELECT hash FROM account_state WHERE seq = 1
         AND account = (SELECT id FROM account WHERE account_id = ?1)",
        [new.account_id.as_bytes()],
        |row| bytes::<32>(row, 0),
    )?;
    if let Some(hash) = first_state {
        return Ok(Some(if hash == *new.state_hash.as_bytes() {
            RegisterOutcome::AlreadySame
        } else {
            RegisterOutcome::IdTaken
        }));
    }
    for device in &new.devices {
        if device_owner(tx, device.device_id)?.is_some() {
            return Ok(Some(RegisterOutcome::IdTaken));
        }
    }
    let challenge = one(
        tx,
        "SELECT 1 FROM otp WHERE challenge_id = ?1",
        [new.challenge_id.as_bytes()],
        |_| Ok(()),
    )?;
    if challenge.is_none() {
        return Ok(Some(RegisterOutcome::ChallengeUsed));
    }
    if let Some(invite) = new.invite
        && !invite_valid(tx, invite, new.now_ms)?
    {
        return Ok(Some(RegisterOutcome::InviteInvalid));
    }
    Ok(None)
}

/// Starts the hold of `challenger` on the account's identifier, or says how long it still runs.
fn hold_ms_left(
    tx: &Connection,
    holder: i64,
    challenger: IdentityFingerprint,
    now_ms: u64,
) -> Result<u64> {
    // C-044: seven days without a veto, counted from the first right code by this key.
    run(
        tx,
        "INSERT OR IGNORE INTO hold VALUES (?1, ?2, ?3)",
        params![holder, challenger.as_bytes(), int(now_ms)],
    )?;
    // C-078: a hold that another clock began in the future begins now
    run(
        tx,
        "UPDATE hold SET since_ms = ?3
         WHERE account = ?1 AND identity_fingerprint = ?2 AND since_ms > ?3",
        params![holder, challenger.as_bytes(), int(now_ms)],
    )?;
    let since_ms = count(
        tx,
        "SELECT since_ms FROM hold WHERE account = ?1 AND identity_fingerprint = ?2",
        params![holder, challenger.as_bytes()],
    )?;
    Ok(since_ms.saturating_add(HOLD_MS).saturating_sub(now_ms))
}

fn insert_account(tx: &Connection, new: &NewAccount) -> Result<()> {
    delete_challenge(tx, new)?;
    if let Some(invite) = new.invite {
        run(
            tx,
            "UPDATE invite SET uses = uses - 1 WHERE token_hash = ?1",
            [invite.as_bytes()],
        )?;
    }
    run(
        tx,
        "INSERT INTO account (account_id, identifier, capability_hash) VALUES (?1, ?2, ?3)",
        params![
            new.account_id.as_bytes(),
            new.identifier,
            new.capability_hash.as_bytes()
        ],
    )?;
    let account = tx.last_insert_rowid();
    insert_state(tx, account, 1, new.state_hash, &new.state)?;
    list_devices(tx, account, &new.devices)
}

fn delete_challenge(tx: &Connection, new: &NewAccount) -> Result<()> {
    let challenge = new.challenge_id.as_bytes();
    run(tx, "DELETE FROM otp WHERE challenge_id = ?1", [challenge])?;
    Ok(())
}

pub(super) fn put_state(tx: &Connection, new: &NewState) -> Result<PutStateOutcome> {
    let Some(account) = row_id(tx, new.account_id)? else {
        return Ok(PutStateOutcome::NoAccount);
    };
    let newest = one(
        tx,
        "SELECT seq, hash FROM account_state WHERE account = ?1 ORDER BY seq DESC LIMIT 1",
        [account],
        |row| Ok((uint(row.get(0)?), bytes::<32>(row, 1)?)),
    )?;
    let Some((seq, hash)) = newest else {
        return Ok(PutStateOutcome::NoAccount);
    };
    if new.seq == seq && *new.state_hash.as_bytes() == hash {
        return Ok(PutStateOutcome::SameAgain);
    }
    // C-015: seq + 1 and the hash of the one before.
    if new.seq != seq + 1 || *new.prev_hash.as_bytes() != hash {
        return Ok(PutStateOutcome::Conflict);
    }
    for device in &new.devices {
        let owner = device_owner(tx, device.device_id)?;
        if owner.is_some_and(|(owner, _)| owner != account) {
            return Ok(PutStateOutcome::IdTaken);
        }
        // Key packages are signed by the leaf key, and name the generation's key.
        if new.is_reset || owner.is_some_and(|(_, leaf_key)| leaf_key != device.leaf_key) {
            withdraw(tx, device.device_id)?;
        }
    }
    insert_state(tx, account, new.seq, new.state_hash, &new.state)?;
    list_devices(tx, account, &new.devices)?;
    Ok(PutStateOutcome::Stored)
}

/// Takes back a device's key packages.
fn withdraw(tx: &Connection, device_id: DeviceId) -> Result<()> {
    for sql in [
        "UPDATE device SET last_resort = NULL WHERE device_id = ?1",
        "DELETE FROM key_package WHERE device IN (SELECT id FROM device WHERE device_id = ?1)",
    ] {
        run(tx, sql, [device_id.as_bytes()])?;
    }
    Ok(())
}

fn insert_state(tx: &Connection, account: i64, seq: u64, hash: Hash32, state: &[u8]) -> Result<()> {
    run(
        tx,
        "INSERT INTO account_state (account, seq, hash, state) VALUES (?1, ?2, ?3, ?4)",
        params![account, int(seq), hash.as_bytes(), state],
    )?;
    Ok(())
}

/// Makes `devices` exactly the account's listed ones.
fn list_devices(tx: &Connection, account: i64, devices: &[NewDevice]) -> Result<()> {
    run(
        tx,
        "UPDATE device SET listed = 0 WHERE account = ?1",
        [account],
    )?;
    for device in devices {
        run(
            tx,
            "INSERT INTO device (device_id, account, leaf_key, cert, listed)
             VALUES (?1, ?2, ?3, ?4, 1)
             ON CONFLICT (device_id) DO UPDATE
             SET leaf_key = excluded.leaf_key, cert = excluded.cert, listed = 1",
            params![
                device.device_id.as_bytes(),
                account,
                device.leaf_key,
                device.cert
            ],
        )?;
    }
    for sql in [
        "UPDATE device SET last_resort = NULL WHERE account = ?1 AND listed = 0",
        "DELETE FROM key_package WHERE device IN
         (SELECT id FROM device WHERE account = ?1 AND listed = 0)",
        "DELETE FROM inbox WHERE device IN
         (SELECT id FROM device WHERE account = ?1 AND listed = 0)",
    ] {
        run(tx, sql, [account])?;
    }
    Ok(())
}

pub(super) fn account_by_identifier(
    tx: &Connection,
    identifier: &str,
) -> Result<Option<Published>> {
    let found = one(
        tx,
        "SELECT account_id, (SELECT max(seq) FROM account_state WHERE account = account.id)
         FROM account WHERE identifier = ?1",
        [identifier],
        |row| Ok((AccountId::new(bytes(row, 0)?), uint(row.get(1)?))),
    )?;
    match found {
        Some((account_id, newest_seq)) => states(tx, account_id, newest_seq),
        None => Ok(None),
    }
}

pub(super) fn states(
    tx: &Connection,
    account_id: AccountId,
    from_seq: u64,
) -> Result<Option<Published>> {
    let Some(account) = row_id(tx, account_id)? else {
        return Ok(None);
    };
    let states = all(
        tx,
        "SELECT state FROM account_state WHERE account = ?1 AND seq >= ?2 ORDER BY seq LIMIT ?3",
        params![account, int(from_seq), length(STATE_CHAIN_MAX)],
        |row| row.get(0),
    )?;
    let certs = all(
        tx,
        "SELECT cert FROM device WHERE account = ?1 AND listed = 1 ORDER BY device_id",
        [account],
        |row| row.get(0),
    )?;
    let mut former_certs = Vec::new();
    for device_id in listed_first(&states) {
        let gone = "SELECT cert FROM device WHERE device_id = ?1 AND account = ?2 AND listed = 0";
        let cert = one(tx, gone, params![device_id.as_bytes(), account], |row| {
            row.get(0)
        })?;
        former_certs.extend(cert);
    }
    Ok(Some(Published {
        account_id,
        states,
        certs,
        former_certs,
    }))
}

pub(super) fn device_key(
    tx: &Connection,
    account_id: AccountId,
    device_id: DeviceId,
) -> Result<Option<[u8; 32]>> {
    one(
        tx,
        "SELECT leaf_key FROM device JOIN account ON account.id = device.account
         WHERE account_id = ?1 AND device_id = ?2 AND listed = 1",
        params![account_id.as_bytes(), device_id.as_bytes()],
        |row| bytes(row, 0),
    )
}

pub(super) fn device_status(
    tx: &Connection,
    account_id: AccountId,
    device_id: DeviceId,
    now_ms: u64,
) -> Result<Option<DeviceStatus>> {
    one(
        tx,
        "SELECT
           (SELECT count(*) FROM key_package WHERE device = device.id AND package IS NOT NULL),
           last_resort IS NOT NULL,
           (SELECT max(seq) FROM account_state WHERE account = account.id),
           (SELECT min(since_ms) FROM hold WHERE account = account.id)
         FROM device JOIN account ON account.id = device.account
         WHERE account_id = ?1 AND device_id = ?2 AND listed = 1",
        params![account_id.as_bytes(), device_id.as_bytes()],
        |row| {
            let since_ms = row.get::<_, Option<i64>>(3)?.map(uint);
            Ok(DeviceStatus {
                pool_left: row.get(0)?,
                has_last_resort: row.get(1)?,
                state_seq: uint(row.get(2)?),
                hold_ms: since_ms.map_or(0, |since_ms| {
                    let end_ms = since_ms.saturating_add(HOLD_MS);
                    end_ms.saturating_sub(now_ms).max(1)
                }),
            })
        },
    )
}

pub(super) fn put_capability(
    tx: &Connection,
    account_id: AccountId,
    capability_hash: Hash32,
) -> Result<bool> {
    let changed = run(
        tx,
        "UPDATE account SET capability_hash = ?2 WHERE account_id = ?1",
        params![account_id.as_bytes(), capability_hash.as_bytes()],
    )?;
    Ok(changed > 0)
}

pub(super) fn veto_hold(tx: &Connection, account_id: AccountId) -> Result<bool> {
    let ended = run(
        tx,
        "DELETE FROM hold WHERE account = (SELECT id FROM account WHERE account_id = ?1)",
        [account_id.as_bytes()],
    )?;
    Ok(ended > 0)
}

pub(super) fn row_id(tx: &Connection, account_id: AccountId) -> Result<Option<i64>> {
    one(
        tx,
        "SELECT id FROM account WHERE account_id = ?1",
        [account_id.as_bytes()],
        |row| row.get(0),
    )
}

/// Account row and leaf key of a device, listed or not.
fn device_owner(tx: &Connection, device_id: DeviceId) -> Result<Option<(i64, [u8; 32])>> {
    one(
        tx,
        "SELECT account, leaf_key FROM device WHERE device_id = ?1",
        [device_id.as_bytes()],
        |row| Ok((row.get(0)?, bytes(row, 1)?)),
    )
}

fn accounts_held(tx: &Connection) -> Result<u64> {
    count(tx, "SELECT count(identifier) FROM account", [])
}
