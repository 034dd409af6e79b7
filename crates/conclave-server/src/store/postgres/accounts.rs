//! Accounts, devices and holds in PostgreSQL.

use conclave_proto::id::{AccountId, DeviceId, Hash32, IdentityFingerprint};
use conclave_proto::limits::{HOLD_MS, STATE_CHAIN_MAX};

use super::open::family;
use super::otp::invite_valid_locked;
use super::session::{DbError, Result, Session, bytes, get, int, length, number, params, uint};
use crate::store::rows::listed_first;
use crate::store::{
    DeviceStatus, NewAccount, NewDevice, NewState, Published, PutStateOutcome, RegisterOutcome,
};

/// How often a reader looks anew when the account moved on between its two looks.
const LOOKS: u32 = 8;

pub(super) async fn register(tx: &Session, new: &NewAccount) -> Result<RegisterOutcome> {
    tx.lock(family::IDENTIFIER, new.identifier.as_bytes())
        .await?;
    if let Some(outcome) = refusal(tx, new).await? {
        return Ok(outcome);
    }
    let holder = tx
        .one(
            "SELECT account_id FROM account WHERE identifier = $1 FOR UPDATE",
            params![new.identifier],
            |row| Ok(AccountId::new(bytes(row, 0)?)),
        )
        .await?;
    if let Some(holder) = holder {
        let holder = holder.as_bytes().as_slice();
        let retry_ms = hold_ms_left(tx, holder, new.identity_fingerprint, new.now_ms).await?;
        if retry_ms > 0 {
            delete_challenge(tx, new).await?;
            return Ok(RegisterOutcome::Held { retry_ms });
        }
        tx.run("DELETE FROM hold WHERE account_id = $1", params![holder])
            .await?;
        let leave = "UPDATE account SET identifier = NULL WHERE account_id = $1";
        tx.run(leave, params![holder]).await?;
    } else if let Some(max) = new.accounts_max {
        // two servers may not both find the last place free
        tx.lock(family::ACCOUNTS, b"").await?;
        let held = tx
            .count("SELECT count(identifier) FROM account", params![])
            .await?;
        if held >= max {
            return Ok(RegisterOutcome::ServerFull);
        }
    }
    insert_account(tx, new).await?;
    Ok(RegisterOutcome::Registered)
}

/// Why a registration ends before the identifier is looked at. The challenge and the invite stay locked.
async fn refusal(tx: &Session, new: &NewAccount) -> Result<Option<RegisterOutcome>> {
    let first_state = tx
        .one(
            "SELECT hash FROM account_state WHERE account_id = $1 AND seq = 1",
            params![new.account_id.as_bytes().as_slice()],
            |row| bytes::<32>(row, 0),
        )
        .await?;
    if let Some(hash) = first_state {
        return Ok(Some(if hash == *new.state_hash.as_bytes() {
            RegisterOutcome::AlreadySame
        } else {
            RegisterOutcome::IdTaken
        }));
    }
    for device in &new.devices {
        if device_owner(tx, device.device_id).await?.is_some() {
            return Ok(Some(RegisterOutcome::IdTaken));
        }
    }
    let challenge = "SELECT 1 FROM otp WHERE challenge_id = $1 FOR UPDATE";
    let challenge_id = new.challenge_id.as_bytes().as_slice();
    if !tx.is_there(challenge, params![challenge_id]).await? {
        return Ok(Some(RegisterOutcome::ChallengeUsed));
    }
    if let Some(invite) = new.invite
        && !invite_valid_locked(tx, invite, new.now_ms).await?
    {
        return Ok(Some(RegisterOutcome::InviteInvalid));
    }
    Ok(None)
}

/// Starts the hold of `challenger` on the account's identifier, or says how long it still runs.
async fn hold_ms_left(
    tx: &Session,
    holder: &[u8],
    challenger: IdentityFingerprint,
    now_ms: u64,
) -> Result<u64> {
    // C-044: seven days without a veto, counted from the first right code by this key.
    // C-078: a hold that another clock began in the future begins now.
    let since_ms = tx
        .count(
            "INSERT INTO hold VALUES ($1, $2, $3) ON CONFLICT (account_id, identity_fingerprint)
         DO UPDATE SET since_ms = least(hold.since_ms, excluded.since_ms) RETURNING since_ms",
            params![holder, challenger.as_bytes().as_slice(), int(now_ms)],
        )
        .await?;
    Ok(since_ms.saturating_add(HOLD_MS).saturating_sub(now_ms))
}

async fn insert_account(tx: &Session, new: &NewAccount) -> Result<()> {
    delete_challenge(tx, new).await?;
    if let Some(invite) = new.invite {
        let used = "UPDATE invite SET uses = uses - 1 WHERE token_hash = $1";
        tx.run(used, params![invite.as_bytes().as_slice()]).await?;
    }
    // an id that somebody else takes at the same time breaks these statements: looked at again
    tx.run(
        "INSERT INTO account (account_id, identifier, capability_hash) VALUES ($1, $2, $3)",
        params![
            new.account_id.as_bytes().as_slice(),
            new.identifier,
            new.capability_hash.as_bytes().as_slice()
        ],
    )
    .await?;
    insert_state(tx, new.account_id, 1, new.state_hash, &new.state).await?;
    list_devices(tx, new.account_id, &new.devices).await
}

async fn delete_challenge(tx: &Session, new: &NewAccount) -> Result<()> {
    let challenge_id = new.challenge_id.as_bytes().as_slice();
    let delete = "DELETE FROM otp WHERE challenge_id = $1";
    tx.run(delete, params![challenge_id]).await?;
    Ok(())
}

pub(super) async fn put_state(tx: &Session, new: &NewState) -> Result<PutStateOutcome> {
    let id = new.account_id.as_bytes().as_slice();
    let lock = "SELECT 1 FROM account WHERE account_id = $1 FOR NO KEY UPDATE";
    if !tx.is_there(lock, params![id]).await? {
        return Ok(PutStateOutcome::NoAccount);
    }
    let newest = tx
        .one(
            "SELECT seq, hash FROM account_state WHERE account_id = $1 ORDER BY seq DESC LIMIT 1",
            params![id],
            |row| Ok((number(row, 0)?, bytes::<32>(row, 1)?)),
        )
        .await?;
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
    // the lists of one account are changed by one transaction at a time, whatever waits for its rows
    let devices = "SELECT 1 FROM device WHERE account_id = $1 ORDER BY device_id FOR UPDATE";
    tx.rows(devices, params![id]).await?;
    let mut withdrawn = Vec::new();
    for device in &new.devices {
        let owner = device_owner(tx, device.device_id).await?;
        if owner.is_some_and(|(owner, _)| owner != new.account_id) {
            return Ok(PutStateOutcome::IdTaken);
        }
        // Key packages are signed by the leaf key, and name the generation's key.
        if new.is_reset || owner.is_some_and(|(_, leaf_key)| leaf_key != device.leaf_key) {
            withdrawn.push(device.device_id.as_bytes().as_slice());
        }
    }
    for sql in [
        "UPDATE device SET last_resort = NULL WHERE device_id = ANY($1)",
        "DELETE FROM key_package WHERE device_id = ANY($1)",
    ] {
        tx.run(sql, params![withdrawn]).await?;
    }
    insert_state(tx, new.account_id, new.seq, new.state_hash, &new.state).await?;
    list_devices(tx, new.account_id, &new.devices).await?;
    Ok(PutStateOutcome::Stored)
}

async fn insert_state(
    tx: &Session,
    account_id: AccountId,
    seq: u64,
    hash: Hash32,
    state: &[u8],
) -> Result<()> {
    tx.run(
        "INSERT INTO account_state (account_id, seq, hash, state) VALUES ($1, $2, $3, $4)",
        params![
            account_id.as_bytes().as_slice(),
            int(seq),
            hash.as_bytes().as_slice(),
            state
        ],
    )
    .await?;
    Ok(())
}

/// Makes `devices` exactly the account's listed ones.
async fn list_devices(tx: &Session, account_id: AccountId, devices: &[NewDevice]) -> Result<()> {
    let id = account_id.as_bytes().as_slice();
    let none = "UPDATE device SET listed = false WHERE account_id = $1 AND listed";
    tx.run(none, params![id]).await?;
    for device in devices {
        let listed = tx
            .run(
                "INSERT INTO device (device_id, account_id, leaf_key, cert, listed)
             VALUES ($1, $2, $3, $4, true)
             ON CONFLICT (device_id) DO UPDATE
             SET leaf_key = excluded.leaf_key, cert = excluded.cert, listed = true
             WHERE device.account_id = excluded.account_id",
                params![
                    device.device_id.as_bytes().as_slice(),
                    id,
                    device.leaf_key.as_slice(),
                    device.cert
                ],
            )
            .await?;
        // another account took the id a moment ago
        if listed == 0 {
            return Err(DbError::Raced);
        }
    }
    for sql in [
        "UPDATE device SET last_resort = NULL
         WHERE account_id = $1 AND NOT listed AND last_resort IS NOT NULL",
        "DELETE FROM key_package WHERE device_id IN
         (SELECT device_id FROM device WHERE account_id = $1 AND NOT listed)",
        "DELETE FROM inbox WHERE device_id IN
         (SELECT device_id FROM device WHERE account_id = $1 AND NOT listed)",
    ] {
        tx.run(sql, params![id]).await?;
    }
    Ok(())
}

pub(super) async fn account_by_identifier(
    tx: &Session,
    identifier: &str,
) -> Result<Option<Published>> {
    let found = tx
        .one(
            "SELECT account_id, (SELECT max(seq) FROM account_state AS state
           WHERE state.account_id = account.account_id)
         FROM account WHERE identifier = $1",
            params![identifier],
            |row| Ok((AccountId::new(bytes(row, 0)?), number(row, 1)?)),
        )
        .await?;
    match found {
        Some((account_id, newest_seq)) => states(tx, account_id, newest_seq).await,
        None => Ok(None),
    }
}

/// Two looks, because only the states say whose certificates belong to them: the second one says whether
/// the account is still as the first one saw it.
pub(super) async fn states(
    tx: &Session,
    account_id: AccountId,
    from_seq: u64,
) -> Result<Option<Published>> {
    let id = account_id.as_bytes().as_slice();
    for _ in 0..LOOKS {
        let first = tx
            .one(
                "SELECT (SELECT max(seq) FROM account_state WHERE account_id = $1),
               ARRAY(SELECT state FROM account_state WHERE account_id = $1 AND seq >= $2
                 ORDER BY seq LIMIT $3)
             FROM account WHERE account_id = $1",
                params![id, int(from_seq), length(STATE_CHAIN_MAX)],
                |row| Ok((get::<i64>(row, 0)?, get::<Vec<Vec<u8>>>(row, 1)?)),
            )
            .await?;
        let Some((newest, states)) = first else {
            return Ok(None);
        };
        let former = listed_first(&states);
        let former: Vec<&[u8]> = former.iter().map(|id| id.as_bytes().as_slice()).collect();
        let second = tx
            .one(
                "SELECT (SELECT max(seq) FROM account_state WHERE account_id = $1),
               ARRAY(SELECT cert FROM device WHERE account_id = $1 AND listed
                 ORDER BY device_id),
               ARRAY(SELECT cert FROM unnest($2::bytea[]) WITH ORDINALITY AS asked (id, place)
                 JOIN device ON device_id = id AND account_id = $1 AND NOT listed
                 ORDER BY place)",
                params![id, former],
                |row| Ok((get::<i64>(row, 0)?, get(row, 1)?, get(row, 2)?)),
            )
            .await?;
        let Some((seen, certs, former_certs)) = second else {
            return Ok(None);
        };
        if seen == newest {
            return Ok(Some(Published {
                account_id,
                states,
                certs,
                former_certs,
            }));
        }
    }
    Err(DbError::Raced)
}

pub(super) async fn device_key(
    tx: &Session,
    account_id: AccountId,
    device_id: DeviceId,
) -> Result<Option<[u8; 32]>> {
    tx.one(
        "SELECT leaf_key FROM device WHERE device_id = $2 AND account_id = $1 AND listed",
        params![
            account_id.as_bytes().as_slice(),
            device_id.as_bytes().as_slice()
        ],
        |row| bytes(row, 0),
    )
    .await
}

pub(super) async fn device_status(
    tx: &Session,
    account_id: AccountId,
    device_id: DeviceId,
    now_ms: u64,
) -> Result<Option<DeviceStatus>> {
    tx.one(
        "SELECT
           (SELECT count(*) FROM key_package
             WHERE key_package.device_id = device.device_id AND package IS NOT NULL),
           last_resort IS NOT NULL,
           (SELECT max(seq) FROM account_state AS state WHERE state.account_id = $1),
           (SELECT min(since_ms) FROM hold WHERE hold.account_id = $1)
         FROM device WHERE account_id = $1 AND device_id = $2 AND listed",
        params![
            account_id.as_bytes().as_slice(),
            device_id.as_bytes().as_slice()
        ],
        |row| {
            let since_ms = get::<Option<i64>>(row, 3)?.map(uint);
            Ok(DeviceStatus {
                pool_left: u32::try_from(number(row, 0)?).unwrap_or(u32::MAX),
                has_last_resort: get(row, 1)?,
                state_seq: number(row, 2)?,
                hold_ms: since_ms.map_or(0, |since_ms| {
                    let end_ms = since_ms.saturating_add(HOLD_MS);
                    end_ms.saturating_sub(now_ms).max(1)
                }),
            })
        },
    )
    .await
}

pub(super) async fn put_capability(
    tx: &Session,
    account_id: AccountId,
    capability_hash: Hash32,
) -> Result<bool> {
    let changed = tx
        .run(
            "UPDATE account SET capability_hash = $2 WHERE account_id = $1",
            params![
                account_id.as_bytes().as_slice(),
                capability_hash.as_bytes().as_slice()
            ],
        )
        .await?;
    Ok(changed > 0)
}

pub(super) async fn veto_hold(tx: &Session, account_id: AccountId) -> Result<bool> {
    let ended = tx
        .run(
            "DELETE FROM hold WHERE account_id = $1",
            params![account_id.as_bytes().as_slice()],
        )
        .await?;
    Ok(ended > 0)
}

/// Account and leaf key of a device, listed or not.
async fn device_owner(tx: &Session, device_id: DeviceId) -> Result<Option<(AccountId, [u8; 32])>> {
    tx.one(
        "SELECT account_id, leaf_key FROM device WHERE device_id = $1",
        params![device_id.as_bytes().as_slice()],
        |row| Ok((AccountId::new(bytes(row, 0)?), bytes(row, 1)?)),
    )
    .await
}
