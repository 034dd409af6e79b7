//! One-time codes and invites of the model.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use conclave_proto::id::{ChallengeId, Hash32, IdentityFingerprint};
use conclave_proto::limits::OTP_CHECKS_MAX;

use super::{Model, NewChallenge, OtpCheckOutcome, OtpStartOutcome};
use crate::store::send_limit;
use crate::store::{Challenge, SendId, WaitingCode};

/// One open challenge.
#[derive(Debug, Clone)]
pub(super) struct Row {
    identifier_hash: [u8; 32],
    sealed_identifier: Vec<u8>,
    identity_fingerprint: IdentityFingerprint,
    code_mac: [u8; 32],
    invite: Option<Hash32>,
    tries: u32,
    pub(super) expires_ms: u64,
    outgoing: Option<Outgoing>,
}

/// A code that waits to be sent.
#[derive(Debug, Clone)]
struct Outgoing {
    send_id: SendId,
    handed_over: bool,
}

impl Outgoing {
    fn new(send_id: SendId) -> Self {
        Self {
            send_id,
            handed_over: false,
        }
    }
}

/// One invite.
#[derive(Debug, Clone)]
pub(super) struct Invite {
    pub(super) uses: u32,
    pub(super) expires_ms: u64,
}

impl Model {
    pub(super) fn otp_start(&mut self, new: NewChallenge) -> OtpStartOutcome {
        let mut sends_ms: Vec<u64> = (self.sends.iter())
            .filter(|(hash, _)| *hash == new.identifier_hash)
            .map(|(_, at_ms)| *at_ms)
            .collect();
        let retry_ms = send_limit::wait_ms(&sends_ms, new.per_hour, new.per_day, new.now_ms);
        if retry_ms > 0 {
            return OtpStartOutcome::RateLimited { retry_ms };
        }
        self.sends.push((new.identifier_hash, new.now_ms));
        sends_ms.push(new.now_ms);
        let resend_after_ms = send_limit::wait_ms(&sends_ms, new.per_hour, new.per_day, new.now_ms);
        let known = self.challenges.iter_mut().find(|(_, row)| {
            row.identifier_hash == new.identifier_hash
                && row.identity_fingerprint == new.identity_fingerprint
        });
        let known = known.map(|(id, row)| (*id, row));
        let expires_ms = new.now_ms.saturating_add(new.valid_ms);
        match known {
            Some((challenge_id, row))
                if row.expires_ms > new.now_ms && row.tries < OTP_CHECKS_MAX =>
            {
                row.expires_ms = expires_ms;
                row.sealed_identifier = new.sealed_identifier;
                row.invite = new.invite;
                if row.outgoing.as_ref().is_none_or(|out| out.handed_over) {
                    row.outgoing = Some(Outgoing::new(new.send_id));
                }
                return OtpStartOutcome::Send {
                    challenge_id,
                    resend: true,
                    resend_after_ms,
                };
            }
            Some((over, _)) => {
                self.challenges.remove(&over);
            }
            None => {}
        }
        let row = Row {
            identifier_hash: new.identifier_hash,
            sealed_identifier: new.sealed_identifier,
            identity_fingerprint: new.identity_fingerprint,
            code_mac: new.code_mac,
            invite: new.invite,
            tries: 0,
            expires_ms,
            outgoing: Some(Outgoing::new(new.send_id)),
        };
        self.challenges.insert(new.challenge_id, row);
        OtpStartOutcome::Send {
            challenge_id: new.challenge_id,
            resend: false,
            resend_after_ms,
        }
    }

    pub(super) fn otp_check(
        &mut self,
        challenge_id: ChallengeId,
        code_mac: &[u8; 32],
        now_ms: u64,
    ) -> OtpCheckOutcome {
        let Some(row) = self.challenges.get_mut(&challenge_id) else {
            return OtpCheckOutcome::Expired;
        };
        if row.expires_ms <= now_ms || row.expires_ms > send_limit::latest_end_ms(now_ms) {
            return OtpCheckOutcome::Expired;
        }
        if row.tries >= OTP_CHECKS_MAX {
            return OtpCheckOutcome::Exhausted;
        }
        // C-040: counted before comparing.
        row.tries += 1;
        if verify_slices_are_equal(&row.code_mac, code_mac).is_err() {
            return OtpCheckOutcome::Wrong {
                left: OTP_CHECKS_MAX - row.tries,
            };
        }
        OtpCheckOutcome::Right(Box::new(Challenge {
            identifier_hash: row.identifier_hash,
            sealed_identifier: row.sealed_identifier.clone(),
            identity_fingerprint: row.identity_fingerprint,
            invite: row.invite,
        }))
    }

    pub(super) fn otp_waiting(&self, limit: u32) -> Vec<WaitingCode> {
        let rows = self.challenges.iter();
        let mut waiting: Vec<_> = rows
            .filter_map(|(challenge_id, row)| {
                let out = row.outgoing.as_ref().filter(|out| !out.handed_over)?;
                Some(WaitingCode {
                    send_id: out.send_id,
                    challenge_id: *challenge_id,
                    sealed_identifier: row.sealed_identifier.clone(),
                    expires_ms: row.expires_ms,
                })
            })
            .collect();
        waiting.sort_by_key(|code| code.expires_ms);
        waiting.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        waiting
    }

    pub(super) fn otp_hand_over(&mut self, send_id: SendId, handed_over: bool) -> bool {
        let mut outgoing = self
            .challenges
            .values_mut()
            .filter_map(|row| row.outgoing.as_mut());
        outgoing
            .find(|out| out.send_id == send_id)
            // C-076: of two who are about to send it one does
            .filter(|out| !(handed_over && out.handed_over))
            .map(|out| out.handed_over = handed_over)
            .is_some()
    }

    pub(super) fn otp_sent(&mut self, send_id: SendId) {
        for row in self.challenges.values_mut() {
            row.outgoing.take_if(|out| out.send_id == send_id);
        }
    }

    pub(super) fn otp_interrupted(&mut self) -> u64 {
        let rows = self.challenges.values_mut();
        rows.filter_map(|row| row.outgoing.take_if(|out| out.handed_over))
            .count() as u64
    }

    pub(super) fn invite_valid(&self, token_hash: Hash32, now_ms: u64) -> bool {
        let invite = self.invites.get(&token_hash);
        invite.is_some_and(|invite| invite.uses > 0 && invite.expires_ms > now_ms)
    }
}
