//! Key packages and inboxes in SQLite.

use conclave_proto::id::{AccountId, Day, DeviceId, Hash32};
use conclave_proto::label::sha256;
use conclave_proto::limits::{INBOX_ITEMS_MAX, INBOX_STRANGER_ITEMS_MAX, KEY_PACKAGE_POOL};
use rusqlite::{Connection, Result, params};

use super::query::{all, bytes, count, int, length, one, run, uint};
use crate::store::{
    Acked, ClaimedPackage, InboxRead, KeyPackagesOutcome, NewItem, PostOutcome, StoredItem,
};

pub(super) fn put_key_packages(
    tx: &Connection,
    device_id: DeviceId,
    one_time: &[Vec<u8>],
    last_resort: Option<&[u8]>,
    now_ms: u64,
) -> Result<KeyPackagesOutcome> {
    let Some(device) = listed(tx, device_id)? else {
        return Ok(KeyPackagesOutcome::NoSuchDevice);
    };
    for package in one_time {
        run(
            tx,
            "INSERT OR IGNORE INTO key_package (device, hash, package, day) VALUES (?1, ?2, ?3, ?4)",
            params![
                device,
                sha256(package).as_bytes(),
                package,
                Day::of_ms(now_ms).0
            ],
        )?;
    }
    run(
        tx,
        "UPDATE key_package SET package = NULL WHERE id IN
         (SELECT id FROM key_package WHERE device = ?1 AND package IS NOT NULL
          ORDER BY id DESC LIMIT -1 OFFSET ?2)",
        params![device, length(KEY_PACKAGE_POOL)],
    )?;
    if let Some(last_resort) = last_resort {
        run(
            tx,
            "UPDATE device SET last_resort = ?2 WHERE id = ?1",
            params![device, last_resort],
        )?;
    }
    let left = count(
        tx,
        "SELECT count(*) FROM key_package WHERE device = ?1 AND package IS NOT NULL",
        [device],
    )?;
    Ok(KeyPackagesOutcome::Stored {
        pool_left: u32::try_from(left).unwrap_or(u32::MAX),
    })
}

pub(super) fn claim(
    tx: &Connection,
    account_id: AccountId,
    capability_hash: Option<Hash32>,
    only: Option<DeviceId>,
) -> Result<Option<Vec<ClaimedPackage>>> {
    let account = one(
        tx,
        "SELECT id, capability_hash FROM account WHERE account_id = ?1",
        [account_id.as_bytes()],
        |row| Ok((row.get::<_, i64>(0)?, Hash32::new(bytes(row, 1)?))),
    )?;
    let Some((account, capability)) = account else {
        return Ok(None);
    };
    let contact = capability_hash == Some(capability);
    let devices = all(
        tx,
        "SELECT id, device_id, last_resort FROM device
         WHERE account = ?1 AND listed = 1 ORDER BY device_id",
        [account],
        |row| {
            let last_resort: Option<Vec<u8>> = row.get(2)?;
            Ok((row.get(0)?, DeviceId::new(bytes(row, 1)?), last_resort))
        },
    )?;
    let mut claimed = Vec::new();
    let wanted = devices
        .into_iter()
        .filter(|(_, id, _)| only.is_none_or(|only| only == *id));
    for (device, device_id, last_resort) in wanted {
        // C-033: one-time packages for contacts, each once; strangers get the last resort only.
        let one_time = if contact {
            take_package(tx, device)?
        } else {
            None
        };
        let is_last_resort = one_time.is_none();
        if let Some(key_package) = one_time.or(last_resort) {
            claimed.push(ClaimedPackage {
                device_id,
                key_package,
                last_resort: is_last_resort,
            });
        }
    }
    Ok(Some(claimed))
}

fn take_package(tx: &Connection, device: i64) -> Result<Option<Vec<u8>>> {
    let oldest = one(
        tx,
        "SELECT id, package FROM key_package
         WHERE device = ?1 AND package IS NOT NULL ORDER BY id LIMIT 1",
        [device],
        |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)),
    )?;
    let Some((id, package)) = oldest else {
        return Ok(None);
    };
    run(
        tx,
        "UPDATE key_package SET package = NULL WHERE id = ?1",
        [id],
    )?;
    Ok(Some(package))
}

pub(super) fn post_item(tx: &Connection, new: &NewItem) -> Result<PostOutcome> {
    let device = one(
        tx,
        "SELECT device.id, capability_hash FROM device JOIN account ON account.id = device.account
         WHERE device_id = ?1 AND listed = 1",
        [new.device_id.as_bytes()],
        |row| Ok((row.get::<_, i64>(0)?, Hash32::new(bytes(row, 1)?))),
    )?;
    let Some((device, capability)) = device else {
        return Ok(PostOutcome::NoSuchDevice);
    };
    let stranger = new.capability_hash != Some(capability);
    let hash = sha256(&new.item);
    let known = one(
        tx,
        "SELECT 1 FROM inbox WHERE device = ?1 AND hash = ?2",
        params![device, hash.as_bytes()],
        |_| Ok(()),
    )?;
    if known.is_some() {
        return Ok(PostOutcome::SameAgain);
    }
    let (items, strangers): (u32, u32) = tx
        .prepare_cached("SELECT count(*), ifnull(sum(stranger), 0) FROM inbox WHERE device = ?1")?
        .query_row([device], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // C-037: strangers share 32 places.
    if items >= INBOX_ITEMS_MAX || stranger && strangers >= INBOX_STRANGER_ITEMS_MAX {
        return Ok(PostOutcome::Full);
    }
    let number = count(
        tx,
        "UPDATE device SET last_number = last_number + 1 WHERE id = ?1 RETURNING last_number",
        [device],
    )?;
    run(
        tx,
        "INSERT INTO inbox (device, number, stranger, hash, item, day)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            device,
            int(number),
            stranger,
            hash.as_bytes(),
            new.item,
            Day::of_ms(new.now_ms).0
        ],
    )?;
    Ok(PostOutcome::Posted)
}

pub(super) fn read_inbox(
    tx: &Connection,
    device_id: DeviceId,
    after: u64,
    limit: u32,
) -> Result<InboxRead> {
    let mut items = all(
        tx,
        "SELECT number, item FROM inbox
         WHERE device = (SELECT id FROM device WHERE device_id = ?1) AND number > ?2
         ORDER BY number LIMIT ?3",
        params![device_id.as_bytes(), int(after), i64::from(limit) + 1],
        |row| {
            Ok(StoredItem {
                number: uint(row.get(0)?),
                item: row.get(1)?,
            })
        },
    )?;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    Ok(InboxRead { items, more })
}

pub(super) fn ack_inbox(tx: &Connection, device_id: DeviceId, numbers: &[u64]) -> Result<Acked> {
    let mut deleted = 0;
    for number in numbers {
        let rows = run(
            tx,
            "DELETE FROM inbox WHERE number = ?2
             AND device = (SELECT id FROM device WHERE device_id = ?1)",
            params![device_id.as_bytes(), int(*number)],
        )?;
        deleted += u32::from(rows > 0);
    }
    Ok(Acked { deleted })
}

fn listed(tx: &Connection, device_id: DeviceId) -> Result<Option<i64>> {
    one(
        tx,
        "SELECT id FROM device WHERE device_id = ?1 AND listed = 1",
        [device_id.as_bytes()],
        |row| row.get(0),
    )
}
