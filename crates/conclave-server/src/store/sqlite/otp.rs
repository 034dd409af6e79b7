//! One-time codes and invites in SQLite.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use conclave_proto::id::{ChallengeId, Hash32, IdentityFingerprint};
use conclave_proto::limits::OTP_CHECKS_MAX;
use rusqlite::{Connection, Result, Row, params};

use super::query::{all, bytes, int, one, run, uint};
use crate::store::send_limit;
use crate::store::{
    Challenge, NewChallenge, OtpCheckOutcome, OtpStartOutcome, SendId, WaitingCode,
};

pub(super) fn start(tx: &Connection, new: &NewChallenge) -> Result<OtpStartOutcome> {
    let mut sends_ms = all(
        tx,
        "SELECT at_ms FROM otp_send WHERE identifier_hash = ?1 ORDER BY id",
        [&new.identifier_hash],
        |row| row.get(0).map(uint),
    )?;
    let retry_ms = send_limit::wait_ms(&sends_ms, new.per_hour, new.per_day, new.now_ms);
    if retry_ms > 0 {
        return Ok(OtpStartOutcome::RateLimited { retry_ms });
    }
    run(
        tx,
        "INSERT INTO otp_send (identifier_hash, at_ms) VALUES (?1, ?2)",
        params![new.identifier_hash, int(new.now_ms)],
    )?;
    sends_ms.push(new.now_ms);
    let resend_after_ms = send_limit::wait_ms(&sends_ms, new.per_hour, new.per_day, new.now_ms);
    let live = prolong(tx, new)?;
    if live.is_none() {
        replace(tx, new)?;
    }
    Ok(OtpStartOutcome::Send {
        challenge_id: live.unwrap_or(new.challenge_id),
        resend: live.is_some(),
        resend_after_ms,
    })
}

/// Prolongs the live challenge of the same identifier and key; its code and tries stay.
fn prolong(tx: &Connection, new: &NewChallenge) -> Result<Option<ChallengeId>> {
    one(
        tx,
        // C-076: what waits already is sent once; what may have left is sent anew under its own id
        "UPDATE otp SET expires_ms = ?3, sealed_identifier = ?4, invite = ?5,
           send_id = iif(send_id IS NULL OR handed_over = 1, ?8, send_id), handed_over = 0
         WHERE identifier_hash = ?1 AND identity_fingerprint = ?2
           AND expires_ms > ?6 AND tries < ?7
         RETURNING challenge_id",
        params![
            new.identifier_hash,
            new.identity_fingerprint.as_bytes(),
            int(new.now_ms.saturating_add(new.valid_ms)),
            new.sealed_identifier,
            new.invite.as_ref().map(Hash32::as_bytes),
            int(new.now_ms),
            OTP_CHECKS_MAX,
            new.send_id.0
        ],
        |row| Ok(ChallengeId::new(bytes(row, 0)?)),
    )
}

fn replace(tx: &Connection, new: &NewChallenge) -> Result<()> {
    run(
        tx,
        "DELETE FROM otp WHERE identifier_hash = ?1 AND identity_fingerprint = ?2",
        params![new.identifier_hash, new.identity_fingerprint.as_bytes()],
    )?;
    run(
        tx,
        "INSERT INTO otp (challenge_id, identifier_hash, sealed_identifier, identity_fingerprint,
           code_mac, invite, tries, expires_ms, send_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?8)",
        params![
            new.challenge_id.as_bytes(),
            new.identifier_hash,
            new.sealed_identifier,
            new.identity_fingerprint.as_bytes(),
            new.code_mac,
            new.invite.as_ref().map(Hash32::as_bytes),
            int(new.now_ms.saturating_add(new.valid_ms)),
            new.send_id.0
        ],
    )?;
    Ok(())
}

pub(super) fn check(
    tx: &Connection,
    challenge_id: ChallengeId,
    code_mac: &[u8; 32],
    now_ms: u64,
) -> Result<OtpCheckOutcome> {
    // C-040: counted before comparing, in one statement.
    let counted = one(
        tx,
        "UPDATE otp SET tries = tries + 1
         WHERE challenge_id = ?1 AND tries < ?2 AND expires_ms > ?3 AND expires_ms <= ?4
         RETURNING identifier_hash, sealed_identifier, identity_fingerprint, invite, code_mac, tries",
        params![
            challenge_id.as_bytes(),
            OTP_CHECKS_MAX,
            int(now_ms),
            int(send_limit::latest_end_ms(now_ms))
        ],
        |row| Ok((challenge(row)?, bytes::<32>(row, 4)?, row.get::<_, u32>(5)?)),
    )?;
    let Some((challenge, right_mac, tries)) = counted else {
        let live = one(
            tx,
            "SELECT 1 FROM otp WHERE challenge_id = ?1 AND expires_ms > ?2 AND expires_ms <= ?3",
            params![
                challenge_id.as_bytes(),
                int(now_ms),
                int(send_limit::latest_end_ms(now_ms))
            ],
            |_| Ok(()),
        )?;
        return Ok(match live {
            Some(()) => OtpCheckOutcome::Exhausted,
            None => OtpCheckOutcome::Expired,
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

fn challenge(row: &Row<'_>) -> Result<Challenge> {
    Ok(Challenge {
        identifier_hash: bytes(row, 0)?,
        sealed_identifier: row.get(1)?,
        identity_fingerprint: IdentityFingerprint::new(bytes(row, 2)?),
        invite: row.get::<_, Option<[u8; 32]>>(3)?.map(Hash32::new),
    })
}

pub(super) fn delete(tx: &Connection, challenge_id: ChallengeId) -> Result<()> {
    let id = challenge_id.as_bytes();
    run(tx, "DELETE FROM otp WHERE challenge_id = ?1", [id])?;
    Ok(())
}

pub(super) fn waiting(tx: &Connection, limit: u32) -> Result<Vec<WaitingCode>> {
    all(
        tx,
        "SELECT send_id, challenge_id, sealed_identifier, expires_ms FROM otp
         WHERE send_id IS NOT NULL AND handed_over = 0 ORDER BY expires_ms LIMIT ?1",
        [limit],
        |row| {
            Ok(WaitingCode {
                send_id: SendId(bytes(row, 0)?),
                challenge_id: ChallengeId::new(bytes(row, 1)?),
                sealed_identifier: row.get(2)?,
                expires_ms: uint(row.get(3)?),
            })
        },
    )
}

pub(super) fn hand_over(tx: &Connection, send_id: SendId, handed_over: bool) -> Result<bool> {
    let changed = run(
        tx,
        "UPDATE otp SET handed_over = ?2 WHERE send_id = ?1 AND NOT (?2 AND handed_over)",
        params![send_id.0, handed_over],
    )?;
    Ok(changed > 0)
}

pub(super) fn sent(tx: &Connection, send_id: SendId) -> Result<()> {
    run(
        tx,
        "UPDATE otp SET send_id = NULL, handed_over = 0 WHERE send_id = ?1",
        [send_id.0],
    )?;
    Ok(())
}

pub(super) fn interrupted(tx: &Connection) -> Result<u64> {
    let changed = run(
        tx,
        "UPDATE otp SET send_id = NULL, handed_over = 0
         WHERE send_id IS NOT NULL AND handed_over = 1",
        [],
    )?;
    Ok(changed as u64)
}

pub(super) fn create_invite(
    tx: &Connection,
    token_hash: Hash32,
    uses: u32,
    expires_ms: u64,
) -> Result<()> {
    run(
        tx,
        "INSERT OR REPLACE INTO invite VALUES (?1, ?2, ?3)",
        params![token_hash.as_bytes(), uses, int(expires_ms)],
    )?;
    Ok(())
}

pub(super) fn invite_valid(tx: &Connection, token_hash: Hash32, now_ms: u64) -> Result<bool> {
    let found = one(
        tx,
        "SELECT 1 FROM invite WHERE token_hash = ?1 AND uses > 0 AND expires_ms > ?2",
        params![token_hash.as_bytes(), int(now_ms)],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}
