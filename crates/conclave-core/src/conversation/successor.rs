//! A conversation that continues another: what binds it to the old one, and when two people accept it.

use core::fmt;

use conclave_proto::codec;
use conclave_proto::id::{AccountId, Epoch, IdentityFingerprint, LogId};
use openmls::schedule::{ExternalPsk, PreSharedKeyId, Psk};
use openmls_traits::OpenMlsProvider;
use openmls_traits::storage::StorageProvider;
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};
use zeroize::Zeroizing;

use super::context::{AccountRole, Role};
use super::join::Joined;
use super::{Conversation, Member, PEOPLE};
use crate::mls_store::{MlsRows, RowsError};
use crate::provider::{MlsFailure, Provider, SUITE};
use crate::secret::Secret;

/// The first epoch of a conversation.
const FIRST: Epoch = Epoch(1);
const PREVIOUS: &str = "previous-reboot";
const PSK_LABEL: &[u8] = b"conclave/1 reboot";

/// A secret of one epoch of an old conversation, which its successor mixes into its keys.
///
/// Every member of that epoch can derive it. Kept in the encrypted store for the current and the previous
/// epoch, until the conversation is deleted; wiped on drop.
pub struct RebootPsk {
    /// The old conversation.
    pub log_id: LogId,
    /// The epoch it was exported from.
    pub epoch: Epoch,
    /// `export_secret("conclave/1 reboot")`.
    pub secret: Secret<32>,
}

impl fmt::Debug for RebootPsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RebootPsk")
    }
}

/// What a new conversation continues.
#[derive(Debug)]
pub struct Predecessor {
    /// The old conversation.
    pub log_id: LogId,
    /// A secret of its last good epoch; `None` when it is lost (a new device) or never was shared
    /// (two conversations begun at once).
    pub psk: Option<RebootPsk>,
}

/// Why a successor is not accepted silently (C-059, C-097). Between two people the person decides: it is shown
/// as a new request. In a group it is void: another member makes a better one, or this device does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SuccessorError {
    /// It does not say that it continues this conversation.
    #[error("the new conversation does not continue this one")]
    OtherPredecessor,
    /// Its people are not exactly the two of this chat.
    #[error("the new conversation has other people in it")]
    OtherPeople,
    /// Its secrets are not bound to the old conversation's last good epoch (C-097).
    #[error("the new group is not bound to the old one")]
    Unbound,
    /// Somebody is in it who broke the old group, or made it (C-097).
    #[error("the new group has somebody in it who broke the old one")]
    Offender,
    /// Name, link or roles are not what follows from the old group (C-097).
    #[error("the new group gives itself another name or other roles")]
    OtherContext,
    /// A device in it is under another identity key than the pinned one, or the inviter is not the contact.
    #[error("the new conversation is not by the identity known here")]
    OtherIdentity,
}

/// Who this chat is with, as pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinnedPeer {
    /// The other person's account.
    pub account_id: AccountId,
    /// Fingerprint of its pinned identity key.
    pub identity_fingerprint: IdentityFingerprint,
}

/// May `successor` replace the conversation at `predecessor` without asking? `own` is our account.
pub fn check_successor(
    successor: &Conversation,
    inviter: &Member,
    predecessor: LogId,
    own: AccountId,
    peer: PinnedPeer,
) -> Result<(), SuccessorError> {
    if successor.context.successor_of != Some(predecessor) {
        return Err(SuccessorError::OtherPredecessor);
    }
    let people = successor.people();
    let exactly_us =
        people.len() == PEOPLE && people.contains(&own) && people.contains(&peer.account_id);
    if !exactly_us {
        return Err(SuccessorError::OtherPeople);
    }
    // C-059: only from the pinned identity, and every device of it
    let pinned = successor
        .members()
        .iter()
        .filter(|member| member.account_id == peer.account_id)
        .all(|member| member.identity_fingerprint == peer.identity_fingerprint);
    if pinned && inviter.account_id == peer.account_id {
        Ok(())
    } else {
        Err(SuccessorError::OtherIdentity)
    }
}

/// Why an old group cannot go on, as its members know it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cause<'a> {
    /// Who broke it, when the broken commit names them.
    pub left_out: &'a [AccountId],
    /// Whether the server was put back from a backup (C-160), so that members may stand at different epochs.
    pub is_restored: bool,
}

/// May `joined` replace the group `old` without asking? `old` is stuck here, read to its head, in its last good
/// epoch, or its server was put back.
///
/// Everything about a successor follows from the old group and who is still in it, so that whoever makes one
/// gains nothing by it (C-097).
pub fn check_group_successor(
    joined: &Joined,
    old: &Conversation,
    cause: Cause<'_>,
) -> Result<(), SuccessorError> {
    let (before, after) = (&old.context, &joined.conversation.context);
    if after.successor_of != Some(before.log_id) {
        return Err(SuccessorError::OtherPredecessor);
    }
    let rank = before.role(joined.inviter.account_id);
    let is_first = joined.conversation.epoch() == FIRST;
    // C-097: by a member of the last good epoch; or later, by somebody who may add anybody anyway
    let bound = joined.bound_epoch == Some(old.epoch()) && is_first;
    let added = !is_first && rank >= Role::Admin;
    // C-160: who may add anybody leads all, whatever of the old log the server still had for each of them
    let led = cause.is_restored && rank >= Role::Admin;
    if !bound && !added && !led {
        return Err(SuccessorError::Unbound);
    }
    let people = joined.conversation.people();
    let roster = old.people();
    if !led && !people.iter().all(|account| roster.contains(account)) {
        return Err(SuccessorError::OtherPeople);
    }
    if people
        .iter()
        .any(|account| cause.left_out.contains(account))
    {
        return Err(SuccessorError::Offender);
    }
    let same_roles = after.roles == successor_roles(old, &people);
    let same = after.name_bytes == before.name_bytes && after.link.is_none() && same_roles;
    // what an owner or admin of both changed since is theirs to change; roles are an owner's
    let may_differ = added || led && (same_roles || rank == Role::Owner);
    if after.kind == before.kind && (same || may_differ) {
        Ok(())
    } else {
        Err(SuccessorError::OtherContext)
    }
}

/// The roles in a successor of `old` with these people: as before. When no owner is among them, the first admin,
/// else the first member, in order of leaves, is (C-093).
pub fn successor_roles(old: &Conversation, people: &[AccountId]) -> Vec<AccountRole> {
    let mut context = old.context.clone();
    context.keep_roles_of(people);
    let mut heirs: Vec<_> = old
        .members()
        .iter()
        .map(|member| member.account_id)
        .collect();
    heirs.retain(|account| people.contains(account));
    context.settle_owner(heirs);
    context.roles
}

/// How many others make a successor of `old` before this device does: those at lower leaves, without those left
/// out. Of a restored one, owners and admins come first: whoever stands at another epoch can join theirs (C-160).
pub fn successor_rank(old: &Conversation, cause: Cause<'_>) -> usize {
    let own = old.own_leaf();
    let members = old.members();
    let place = |member: &Member| {
        let leads = cause.is_restored && old.context.role(member.account_id) >= Role::Admin;
        (!leads, member.leaf)
    };
    let Some(ours) = members.iter().find(|member| member.leaf == own).map(place) else {
        return members.len();
    };
    let before_us =
        |member: &&Member| place(member) < ours && !cause.left_out.contains(&member.account_id);
    members.iter().filter(before_us).count()
}

/// The epoch that a Welcome's PSK was exported from; `None` when it is not one of ours.
pub(super) fn epoch_of(id: &PreSharedKeyId) -> Option<Epoch> {
    let Psk::External(external) = id.psk() else {
        return None;
    };
    let epoch = external.psk_id().last_chunk()?;
    Some(Epoch(u64::from_be_bytes(*epoch)))
}

/// The id under which both sides know a PSK: label ‖ log id ‖ epoch.
fn psk_of(log_id: LogId, epoch: Epoch) -> Psk {
    let id = [PSK_LABEL, log_id.as_bytes(), &epoch.0.to_be_bytes()].concat();
    Psk::External(ExternalPsk::new(id))
}

/// Lends `psk` to MLS for one create or join.
pub(super) fn lend(provider: &Provider<'_>, psk: &RebootPsk) -> Result<PreSharedKeyId, MlsFailure> {
    let id = PreSharedKeyId::new(SUITE, provider.rand(), psk_of(psk.log_id, psk.epoch));
    let id = provider.must("name a shared key", id)?;
    let stored = id.store(provider, psk.secret.expose());
    provider.must("lend a shared key", stored)?;
    Ok(id)
}

/// Takes a lent PSK back.
pub(super) fn take_back(provider: &Provider<'_>, psk: &RebootPsk) -> Result<(), MlsFailure> {
    let deleted = provider
        .storage()
        .delete_psk(&psk_of(psk.log_id, psk.epoch));
    provider.must("take a shared key back", deleted)
}

/// Whether a Welcome's PSK is one of ours.
pub(super) fn is_reboot(id: &PreSharedKeyId, predecessor: LogId) -> bool {
    match id.psk() {
        Psk::External(external) => external
            .psk_id()
            .starts_with(&[PSK_LABEL, predecessor.as_bytes()].concat()),
        Psk::Resumption(_) => false,
    }
}

#[derive(TlsSize, TlsSerialize, TlsDeserializeBytes)]
struct PreviousRow {
    epoch: Epoch,
    secret: [u8; 32],
}

/// Keeps the PSK of the epoch that just ended.
pub(super) fn store_previous(rows: &dyn MlsRows, psk: &RebootPsk) -> Result<(), RowsError> {
    let row = PreviousRow {
        epoch: psk.epoch,
        secret: *psk.secret.expose(),
    };
    let key = psk.log_id.as_bytes();
    rows.put(
        Some(key),
        PREVIOUS,
        key,
        &Zeroizing::new(codec::encode(&row)),
    )
}

pub(super) fn load_previous(
    rows: &dyn MlsRows,
    log_id: LogId,
) -> Result<Option<RebootPsk>, RowsError> {
    let Some(bytes) = rows.load(PREVIOUS, log_id.as_bytes())?.map(Zeroizing::new) else {
        return Ok(None);
    };
    let mut row: PreviousRow = codec::parse_exact(&bytes).map_err(RowsError::new)?;
    Ok(Some(RebootPsk {
        log_id,
        epoch: row.epoch,
        secret: Secret::take(&mut row.secret),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mls_store::MemoryRows;

    /// The stored form of the previous epoch's secret is pinned: changing it needs a migration.
    #[test]
    fn stored_previous_encoding() {
        let rows = MemoryRows::default();
        let log_id = LogId::new([1; 32]);
        let psk = RebootPsk {
            log_id,
            epoch: Epoch(5),
            secret: Secret::take(&mut [2; 32]),
        };
        store_previous(&rows, &psk).unwrap();
        let stored = rows.load(PREVIOUS, log_id.as_bytes()).unwrap().unwrap();
        let expected = format!("0000000000000005{}", "02".repeat(32));
        assert_eq!(hex::encode(stored), expected);
        let loaded = load_previous(&rows, log_id).unwrap().unwrap();
        assert_eq!(loaded.epoch, Epoch(5));
        assert_eq!(loaded.secret.expose(), &[2; 32]);
    }
}
