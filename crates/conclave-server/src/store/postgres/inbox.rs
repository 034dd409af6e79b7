//! Key packages and inboxes in PostgreSQL. Whoever writes to a device's pool or inbox locks its row.

use conclave_proto::id::{AccountId, Day, DeviceId, Hash32};
use conclave_proto::label::sha256;
use conclave_proto::limits::{INBOX_ITEMS_MAX, INBOX_STRANGER_ITEMS_MAX, KEY_PACKAGE_POOL};

use super::session::{Result, Session, bytes, get, int, int4, length, number, params};
use crate::store::{
    Acked, ClaimedPackage, InboxRead, KeyPackagesOutcome, NewItem, PostOutcome, StoredItem,
};

pub(super) async fn put_key_packages(
    tx: &Session,
    device_id: DeviceId,
    one_time: &[Vec<u8>],
    last_resort: Option<&[u8]>,
    now_ms: u64,
) -> Result<KeyPackagesOutcome> {
    let id = device_id.as_bytes().as_slice();
    let last_place = tx
        .one(
            "UPDATE device SET last_package = last_package + $2,
           last_resort = coalesce($3, last_resort)
         WHERE device_id = $1 AND listed RETURNING last_package",
            params![id, length(one_time.len()), last_resort],
            |row| get::<i64>(row, 0),
        )
        .await?;
    let Some(last_place) = last_place else {
        return Ok(KeyPackagesOutcome::NoSuchDevice);
    };
    let hashes: Vec<Hash32> = one_time.iter().map(|package| sha256(package)).collect();
    let hashes: Vec<&[u8]> = hashes
        .iter()
        .map(|hash| hash.as_bytes().as_slice())
        .collect();
    let before = last_place.saturating_sub(length(one_time.len()));
    tx.run(
        "INSERT INTO key_package (device_id, place, hash, package, day)
         SELECT $1::bytea, $2::int8 + place, hash, package, $5::int4
         FROM unnest($3::bytea[], $4::bytea[]) WITH ORDINALITY AS new (hash, package, place)
         ON CONFLICT (device_id, hash) DO NOTHING",
        params![id, before, hashes, one_time, int4(Day::of_ms(now_ms).0)],
    )
    .await?;
    tx.run(
        "UPDATE key_package SET package = NULL WHERE device_id = $1 AND place IN
         (SELECT place FROM key_package WHERE device_id = $1 AND package IS NOT NULL
          ORDER BY place DESC OFFSET $2)",
        params![id, length(KEY_PACKAGE_POOL)],
    )
    .await?;
    let left = tx
        .count(
            "SELECT count(*) FROM key_package WHERE device_id = $1 AND package IS NOT NULL",
            params![id],
        )
        .await?;
    Ok(KeyPackagesOutcome::Stored {
        pool_left: u32::try_from(left).unwrap_or(u32::MAX),
    })
}

pub(super) async fn claim(
    tx: &Session,
    account_id: AccountId,
    capability_hash: Option<Hash32>,
    only: Option<DeviceId>,
) -> Result<Option<Vec<ClaimedPackage>>> {
    let id = account_id.as_bytes().as_slice();
    let capability = tx
        .one(
            "SELECT capability_hash FROM account WHERE account_id = $1",
            params![id],
            |row| Ok(Hash32::new(bytes(row, 0)?)),
        )
        .await?;
    let Some(capability) = capability else {
        return Ok(None);
    };
    let contact = capability_hash == Some(capability);
    let devices = tx
        .all(
            "SELECT device_id, last_resort FROM device
         WHERE account_id = $1 AND listed ORDER BY device_id",
            params![id],
            |row| {
                let last_resort: Option<Vec<u8>> = get(row, 1)?;
                Ok((DeviceId::new(bytes(row, 0)?), last_resort))
            },
        )
        .await?;
    let mut claimed = Vec::new();
    let wanted = (devices.into_iter()).filter(|(id, _)| only.is_none_or(|only| only == *id));
    for (device_id, last_resort) in wanted {
        // C-033: one-time packages for contacts, each once; strangers get the last resort only.
        let one_time = if contact {
            take_package(tx, device_id).await?
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

/// The oldest one that nobody is taking just now.
async fn take_package(tx: &Session, device_id: DeviceId) -> Result<Option<Vec<u8>>> {
    let id = device_id.as_bytes().as_slice();
    let oldest = tx
        .one(
            "SELECT place, package FROM key_package
         WHERE device_id = $1 AND package IS NOT NULL ORDER BY place LIMIT 1
         FOR UPDATE SKIP LOCKED",
            params![id],
            |row| Ok((get::<i64>(row, 0)?, get(row, 1)?)),
        )
        .await?;
    let Some((place, package)) = oldest else {
        return Ok(None);
    };
    let taken = "UPDATE key_package SET package = NULL WHERE device_id = $1 AND place = $2";
    tx.run(taken, params![id, place]).await?;
    Ok(Some(package))
}

pub(super) async fn post_item(tx: &Session, new: &NewItem) -> Result<PostOutcome> {
    let id = new.device_id.as_bytes().as_slice();
    let device = tx
        .one(
            "SELECT capability_hash FROM device
         JOIN account ON account.account_id = device.account_id
         WHERE device_id = $1 AND listed FOR NO KEY UPDATE OF device",
            params![id],
            |row| Ok(Hash32::new(bytes(row, 0)?)),
        )
        .await?;
    let Some(capability) = device else {
        return Ok(PostOutcome::NoSuchDevice);
    };
    let stranger = new.capability_hash != Some(capability);
    let hash = sha256(&new.item);
    let hash = hash.as_bytes().as_slice();
    let known = "SELECT 1 FROM inbox WHERE device_id = $1 AND hash = $2";
    if tx.is_there(known, params![id, hash]).await? {
        return Ok(PostOutcome::SameAgain);
    }
    let counted = tx
        .one(
            "SELECT count(*), count(*) FILTER (WHERE stranger) FROM inbox WHERE device_id = $1",
            params![id],
            |row| Ok((number(row, 0)?, number(row, 1)?)),
        )
        .await?;
    let (items, strangers) = counted.unwrap_or_default();
    // C-037: strangers share 32 places.
    let is_full = items >= u64::from(INBOX_ITEMS_MAX)
        || stranger && strangers >= u64::from(INBOX_STRANGER_ITEMS_MAX);
    if is_full {
        return Ok(PostOutcome::Full);
    }
    let next = "UPDATE device SET last_number = last_number + 1 WHERE device_id = $1
         RETURNING last_number";
    let number = tx.count(next, params![id]).await?;
    tx.run(
        "INSERT INTO inbox (device_id, number, stranger, hash, item, day)
         VALUES ($1, $2, $3, $4, $5, $6)",
        params![
            id,
            int(number),
            stranger,
            hash,
            new.item,
            int4(Day::of_ms(new.now_ms).0)
        ],
    )
    .await?;
    Ok(PostOutcome::Posted)
}

pub(super) async fn read_inbox(
    tx: &Session,
    device_id: DeviceId,
    after: u64,
    limit: u32,
) -> Result<InboxRead> {
    let items = tx
        .all(
            "SELECT number, item FROM inbox WHERE device_id = $1 AND number > $2
         ORDER BY number LIMIT $3",
            params![
                device_id.as_bytes().as_slice(),
                int(after),
                i64::from(limit) + 1
            ],
            |row| {
                Ok(StoredItem {
                    number: number(row, 0)?,
                    item: get(row, 1)?,
                })
            },
        )
        .await?;
    let mut items = items;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    Ok(InboxRead { items, more })
}

pub(super) async fn ack_inbox(tx: &Session, device_id: DeviceId, numbers: &[u64]) -> Result<Acked> {
    let numbers: Vec<i64> = numbers.iter().map(|number| int(*number)).collect();
    let deleted = tx
        .run(
            "DELETE FROM inbox WHERE device_id = $1 AND number = ANY($2)",
            params![device_id.as_bytes().as_slice(), numbers],
        )
        .await?;
    Ok(Acked {
        deleted: u32::try_from(deleted).unwrap_or(u32::MAX),
    })
}

/// Number of the newest waiting item of each device; 0 = nothing waits.
pub(super) async fn newest_items(tx: &Session, devices: &[DeviceId]) -> Result<Vec<u64>> {
    let ids: Vec<&[u8]> = devices.iter().map(|id| id.as_bytes().as_slice()).collect();
    tx.all(
        "SELECT coalesce((SELECT max(number) FROM inbox WHERE inbox.device_id = asked.id), 0)
         FROM unnest($1::bytea[]) WITH ORDINALITY AS asked (id, place) ORDER BY place",
        params![ids],
        |row| number(row, 0),
    )
    .await
}
