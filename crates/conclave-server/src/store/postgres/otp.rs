//! One-time codes and invites in PostgreSQL.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use conclave_proto::id::{ChallengeId, Hash32, IdentityFingerprint};
use conclave_proto::limits::OTP_CHECKS_MAX;
use tokio_postgres::Row;

use super::open::family;
use super::session::{Result, Session, bytes, get, int, int4, maybe_bytes, number, params, small};
use crate::store::send_limit;
use crate::store::{
    Challenge, NewChallenge, OtpCheckOutcome, OtpStartOutcome, SendId, WaitingCode,
};

pub(super) async fn start(tx: &Session, new: &NewChallenge) -> Result<OtpStartOutcome> {
    // the sends of one identifier are counted by one transaction at a time
    tx.lock(family::CODES, &new.identifier_hash).await?;
    let mut sends_ms = tx
        .all(
            "SELECT at_ms FROM otp_send WHERE identifier_hash = $1 ORDER BY id",
            params![new.identifier_hash.as_slice()],
            |row| number(row, 0),
        )
        .await?;
    let retry_ms = send_limit::wait_ms(&sends_ms, new.per_hour, new.per_day, new.now_ms);
    if retry_ms > 0 {
        return Ok(OtpStartOutcome::RateLimited { retry_ms });
    }
    tx.run(
        "INSERT INTO otp_send (identifier_hash, at_ms) VALUES ($1, $2)",
        params![new.identifier_hash.as_slice(), int(new.now_ms)],
    )
    .await?;
    sends_ms.push(new.now_ms);
    let resend_after_ms = send_limit::wait_ms(&sends_ms, new.per_hour, new.per_day, new.now_ms);
    let live = prolong(tx, new).await?;
    if live.is_none() {
        replace(tx, new).await?;
    }
    Ok(OtpStartOutcome::Send {
        challenge_id: live.unwrap_or(new.challenge_id),
        resend: live.is_some(),
        resend_after_ms,
    })
}

/// Prolongs the live challenge of the same identifier and key; its code and tries stay.
async fn prolong(tx: &Session, new: &NewChallenge) -> Result<Option<ChallengeId>> {
    let invite = new.invite.as_ref().map(|hash| hash.as_bytes().as_slice());
    tx.one(
        // C-076: what waits already is sent once; what may have left is sent anew under its own id
        "UPDATE otp SET expires_ms = $3, sealed_identifier = $4, invite = $5,
           send_id = CASE WHEN send_id IS NULL OR handed_over THEN $8 ELSE send_id END,
           handed_over = false
         WHERE identifier_hash = $1 AND identity_fingerprint = $2
           AND expires_ms > $6 AND tries < $7
         RETURNING challenge_id",
        params![
            new.identifier_hash.as_slice(),
            new.identity_fingerprint.as_bytes().as_slice(),
            int(new.now_ms.saturating_add(new.valid_ms)),
            new.sealed_identifier,
            invite,
            int(new.now_ms),
            int4(OTP_CHECKS_MAX),
            new.send_id.0.as_slice()
        ],
        |row| Ok(ChallengeId::new(bytes(row, 0)?)),
    )
    .await
}

async fn replace(tx: &Session, new: &NewChallenge) -> Result<()> {
    let invite = new.invite.as_ref().map(|hash| hash.as_bytes().as_slice());
    tx.run(
        "DELETE FROM otp WHERE identifier_hash = $1 AND identity_fingerprint = $2",
        params![
            new.identifier_hash.as_slice(),
            new.identity_fingerprint.as_bytes().as_slice()
        ],
    )
    .await?;
    tx.run(
        "INSERT INTO otp (challenge_id, identifier_hash, sealed_identifier, identity_fingerprint,
           code_mac, invite, tries, expires_ms, send_id)
         VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8)",
        params![
            new.challenge_id.as_bytes().as_slice(),
            new.identifier_hash.as_slice(),
            new.sealed_identifier,
            new.identity_fingerprint.as_bytes().as_slice(),
            new.code_mac.as_slice(),
            invite,
            int(new.now_ms.saturating_add(new.valid_ms)),
            new.send_id.0.as_slice()
        ],
    )
    .await?;
    Ok(())
}

pub(super) async fn check(
    tx: &Session,
    challenge_id: ChallengeId,
    code_mac: &[u8; 32],
    now_ms: u64,
) -> Result<OtpCheckOutcome> {
    let id = challenge_id.as_bytes().as_slice();
    let latest_end_ms = int(send_limit::latest_end_ms(now_ms));
    // C-040: counted before comparing, in one statement.
    let counted = tx.one(
        "UPDATE otp SET tries = tries + 1
         WHERE challenge_id = $1 AND tries < $2 AND expires_ms > $3 AND expires_ms <= $4
         RETURNING identifier_hash, sealed_identifier, identity_fingerprint, invite, code_mac, tries",
        params![id, int4(OTP_CHECKS_MAX), int(now_ms), latest_end_ms],
        |row| Ok((challenge(row)?, bytes::<32>(row, 4)?, small(row, 5)?)),
    ).await?;
    let Some((challenge, right_mac, tries)) = counted else {
        let live = tx.is_there(
            "SELECT 1 FROM otp WHERE challenge_id = $1 AND expires_ms > $2 AND expires_ms <= $3",
            params![id, int(now_ms), latest_end_ms],
        ).await?;
        return Ok(if live {
            OtpCheckOutcome::Exhausted
        } else {
            OtpCheckOutcome::Expired
        });
    };
    Ok(if verify_slices_are_equal(&right_mac, code_mac).is_ok() {
        OtpCheckOutcome::Right(Box::new(challenge))
    } else {
        OtpCheckOutcome::Wrong {
            left: OTP_CHECKS_MAX.saturating_sub(tries),
        }
    })
}

fn challenge(row: &Row) -> Result<Challenge> {
    Ok(Challenge {
        identifier_hash: bytes(row, 0)?,
        sealed_identifier: get(row, 1)?,
        identity_fingerprint: IdentityFingerprint::new(bytes(row, 2)?),
        invite: maybe_bytes(row, 3)?.map(Hash32::new),
    })
}

pub(super) async fn delete(tx: &Session, challenge_id: ChallengeId) -> Result<()> {
    let id = challenge_id.as_bytes().as_slice();
    tx.run("DELETE FROM otp WHERE challenge_id = $1", params![id])
        .await?;
    Ok(())
}

pub(super) async fn waiting(tx: &Session, limit: u32) -> Result<Vec<WaitingCode>> {
    tx.all(
        "SELECT send_id, challenge_id, sealed_identifier, expires_ms FROM otp
         WHERE send_id IS NOT NULL AND NOT handed_over ORDER BY expires_ms LIMIT $1",
        params![i64::from(limit)],
        |row| {
            Ok(WaitingCode {
                send_id: SendId(bytes(row, 0)?),
                challenge_id: ChallengeId::new(bytes(row, 1)?),
                sealed_identifier: get(row, 2)?,
                expires_ms: number(row, 3)?,
            })
        },
    )
    .await
}

/// Of several servers that want to send one code, one gets it.
pub(super) async fn hand_over(tx: &Session, send_id: SendId, handed_over: bool) -> Result<bool> {
    let changed = tx
        .run(
            "UPDATE otp SET handed_over = $2 WHERE send_id = $1 AND NOT ($2 AND handed_over)",
            params![send_id.0.as_slice(), handed_over],
        )
        .await?;
    Ok(changed > 0)
}

pub(super) async fn sent(tx: &Session, send_id: SendId) -> Result<()> {
    tx.run(
        "UPDATE otp SET send_id = NULL, handed_over = false WHERE send_id = $1",
        params![send_id.0.as_slice()],
    )
    .await?;
    Ok(())
}

pub(super) async fn interrupted(tx: &Session) -> Result<u64> {
    tx.run(
        "UPDATE otp SET send_id = NULL, handed_over = false
         WHERE send_id IS NOT NULL AND handed_over",
        params![],
    )
    .await
}

pub(super) async fn create_invite(
    tx: &Session,
    token_hash: Hash32,
    uses: u32,
    expires_ms: u64,
) -> Result<()> {
    tx.run(
        "INSERT INTO invite VALUES ($1, $2, $3) ON CONFLICT (token_hash)
         DO UPDATE SET uses = excluded.uses, expires_ms = excluded.expires_ms",
        params![
            token_hash.as_bytes().as_slice(),
            i64::from(uses),
            int(expires_ms)
        ],
    )
    .await?;
    Ok(())
}

pub(super) async fn invite_valid(tx: &Session, token_hash: Hash32, now_ms: u64) -> Result<bool> {
    tx.is_there(
        "SELECT 1 FROM invite WHERE token_hash = $1 AND uses > 0 AND expires_ms > $2",
        params![token_hash.as_bytes().as_slice(), int(now_ms)],
    )
    .await
}

/// The same, and nobody else may use it up before this transaction ends.
pub(super) async fn invite_valid_locked(
    tx: &Session,
    token_hash: Hash32,
    now_ms: u64,
) -> Result<bool> {
    tx.is_there(
        "SELECT 1 FROM invite WHERE token_hash = $1 AND uses > 0 AND expires_ms > $2 FOR UPDATE",
        params![token_hash.as_bytes().as_slice(), int(now_ms)],
    )
    .await
}
