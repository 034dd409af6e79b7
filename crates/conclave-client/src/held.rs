//! Pointers back into a log that this device is still in as far as it has read: kept until it has read on (C-182).
//!
//! Who was away while they were taken out of a group and let in again finds the way in before they read that they
//! were out. Thrown away, they would stand in the group for good without knowing it.

use conclave_core::inbox_item::WelcomePointer;
use conclave_proto::codec;
use conclave_proto::id::AccountId;

use crate::engine::Step;
use crate::error::ClientError;
use crate::store::{HeldRow, Stage};

/// Pointers of one sender into one log that are kept.
const HELD_MAX: u32 = 8;

/// What a pointer to a log that is known here waits for.
#[derive(Debug, PartialEq, Eq)]
enum Held {
    /// For entries of the log that are not read yet, or for an earlier way in to be taken.
    Waits,
    /// Nothing any more: it leads back in.
    Leads,
    /// It leads nowhere.
    Void,
}

fn judge(step: &Step<'_>, row: &HeldRow) -> Result<Held, ClientError> {
    if let Some(here) = step.tx.conversation(row.log_id)? {
        // C-110: an epoch that this device was in
        if row.epoch <= here.epoch.0 {
            return Ok(Held::Void);
        }
        if here.stage != Stage::Broken {
            return Ok(Held::Waits);
        }
    }
    let Some(invited) = step.tx.invitation(row.log_id)? else {
        return Ok(Held::Leads);
    };
    Ok(
        match codec::parse_exact::<WelcomePointer>(&invited.pointer) {
            Ok(earlier) if earlier.epoch.0 < row.epoch => Held::Waits,
            _ => Held::Void,
        },
    )
}

/// Keeps a pointer by `sender` that cannot be followed now and may be later; `item` is the sealed item it came in.
pub(crate) fn hold(
    step: &Step<'_>,
    pointer: &WelcomePointer,
    sender: AccountId,
    item: &[u8],
) -> Result<(), ClientError> {
    let row = HeldRow {
        log_id: pointer.log_id,
        account_id: sender,
        epoch: pointer.epoch.0,
        item: item.to_vec(),
    };
    if judge(step, &row)? != Held::Waits || !may_invite(step, &row)? {
        return Ok(());
    }
    Ok(step.tx.put_held(&row, HELD_MAX)?)
}

/// Whether it comes from somebody who can be meant to let this device in: of everybody else nothing is kept.
fn may_invite(step: &Step<'_>, row: &HeldRow) -> Result<bool, ClientError> {
    let sender = row.account_id;
    let invited = step.tx.invitation(row.log_id)?;
    let is_known = sender == step.own.account.device.account_id
        || invited.is_some_and(|invited| invited.account_id == sender)
        || step.tx.contact(sender)?.is_some_and(|it| it.accepted);
    if is_known || step.tx.conversation(row.log_id)?.is_none() {
        return Ok(is_known);
    }
    Ok(step.group(row.log_id)?.people().contains(&sender))
}

/// Sealed items that can be followed now, of each log the one to the earliest epoch: what was said while this device was
/// in, it reads. What leads nowhere is forgotten.
pub(crate) fn due(step: &Step<'_>) -> Result<Vec<Vec<u8>>, ClientError> {
    let mut due: Vec<HeldRow> = Vec::new();
    for row in step.tx.held()? {
        let is_later = due.last().is_some_and(|first| first.log_id == row.log_id);
        let held = judge(step, &row)?;
        if held == Held::Waits || held == Held::Leads && is_later {
            continue;
        }
        step.tx.delete_held(&row)?;
        if held == Held::Leads {
            due.push(row);
        }
    }
    Ok(due.into_iter().map(|row| row.item).collect())
}
