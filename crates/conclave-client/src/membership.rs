//! Own commits: what is wanted of the members, a self-update that is due, and the bundle that carries both.
//!
//! The intent and the bundle are on disk before anything is sent; a bundle that was ever sent is sent again
//! unchanged until the log says who won (C-061). `receive` merges the winner, whoever it was.

use conclave_core::conversation;
use conclave_proto::ErrorCode;
use conclave_proto::hello::Role;
use conclave_proto::id::{AccountId, ChatId, DeviceId, LogId};
use conclave_proto::key_package::ClaimedKeyPackages;
use conclave_proto::limits::{
    COMMIT_SPACING_MS, RETRY_AFTER_MAX_MS, SELF_UPDATE_MS, SELF_UPDATE_SENDS,
};
use conclave_proto::log::PutBundle;
use prost::Message as _;

use crate::engine::Step;
use crate::error::ClientError;
use crate::intent::{self, Built};
use crate::net::Net;
use crate::own_sync;
use crate::shared::{Shared, broken, is_local};
use crate::states;
use crate::store::{ConversationRow, IntentKind};
use crate::transport::{TransportError, calls};

/// Longest wait before a wish that came up by itself is carried out, in ms: one member is enough.
const BY_ITSELF_MS: u64 = 3_000;
/// Value of the wish to add somebody who showed the group's link.
pub(crate) const BY_LINK: &[u8] = b"link";
/// Nobody: what a wish is about that is about the group.
const NOBODY: AccountId = AccountId::new([0; 16]);

/// What somebody wants of a conversation.
#[derive(Debug, Clone)]
pub(crate) enum Intent {
    /// These people shall be in, with all their devices.
    AddPeople {
        /// Whose accepted states are known here.
        accounts: Vec<AccountId>,
    },
    /// Somebody who showed the group's link shall be in, with all their devices.
    LetIn {
        /// Whose accepted state is known here.
        account: AccountId,
    },
    /// One device of somebody inside shall be in.
    AddDevice {
        /// Whose.
        account: AccountId,
        /// Which.
        device: DeviceId,
    },
    /// Somebody shall be out, with all their devices.
    RemovePerson {
        /// Who.
        account: AccountId,
    },
    /// One device shall be out.
    RemoveDevice {
        /// Whose.
        account: AccountId,
        /// Which.
        device: DeviceId,
    },
    /// The group shall have this name.
    Rename {
        /// At most 128 bytes.
        name: String,
    },
    /// Somebody shall have this role.
    SetRole {
        /// Who.
        account: AccountId,
        /// Which.
        role: conversation::Role,
    },
    /// One device of somebody inside that lost its place shall be put in anew.
    Readd {
        /// Whose.
        account: AccountId,
        /// Which.
        device: DeviceId,
    },
    /// The group's link shall have this secret, or none.
    SetLink {
        /// The secret.
        secret: Option<[u8; 32]>,
    },
}

/// Writes down what somebody wants; the driver makes it so.
pub(crate) fn want(step: &Step<'_>, chat_id: ChatId, intent: Intent) -> Result<(), ClientError> {
    want_at(step, chat_id, intent, step.now_ms)
}

/// The same for what follows from somebody else's doing: every member sees it, so each waits a while at random.
pub(crate) fn want_soon(
    step: &Step<'_>,
    chat_id: ChatId,
    intent: Intent,
) -> Result<(), ClientError> {
    let due_ms = step
        .now_ms
        .saturating_add(intent::random_below(step, BY_ITSELF_MS));
    want_at(step, chat_id, intent, due_ms)
}

fn want_at(
    step: &Step<'_>,
    chat_id: ChatId,
    intent: Intent,
    due_ms: u64,
) -> Result<(), ClientError> {
    let put = |kind, about, value: &[u8]| step.tx.put_intent(chat_id, kind, about, value, due_ms);
    let done = match intent {
        Intent::AddPeople { accounts } => {
            for account in accounts {
                put(IntentKind::AddPerson, (account, None), &[])?;
            }
            Ok(())
        }
        Intent::LetIn { account } => put(IntentKind::AddPerson, (account, None), BY_LINK),
        Intent::AddDevice { account, device } => {
            put(IntentKind::AddDevice, (account, Some(device)), &[])
        }
        Intent::RemovePerson { account } => put(IntentKind::RemovePerson, (account, None), &[]),
        Intent::RemoveDevice { account, device } => {
            put(IntentKind::RemoveDevice, (account, Some(device)), &[])
        }
        Intent::Readd { account, device } => put(IntentKind::Readd, (account, Some(device)), &[]),
        Intent::Rename { name } => put(IntentKind::Rename, (NOBODY, None), name.as_bytes()),
        Intent::SetRole { account, role } => put(
            IntentKind::SetRole,
            (account, None),
            &intent::role_value(role),
        ),
        Intent::SetLink { secret } => {
            let secret = secret.as_ref().map_or(&[][..], |secret| secret);
            put(IntentKind::SetLink, (NOBODY, None), secret)
        }
    };
    Ok(done?)
}

/// Step 6 of a round: what is wanted becomes commits, one for each conversation that was read to its head.
pub(crate) async fn pursue(shared: &Shared, net: &mut Net) -> Result<(), TransportError> {
    let chats = shared.engine().look(|tx, _| Ok(tx.chats_with_intents()?));
    for chat_id in chats.map_err(|error| broken(shared, &error))? {
        match pursue_chat(shared, net, chat_id).await {
            Err(error) if is_local(&error) => net.set_aside(None, shared.env.now_ms()),
            done => done?,
        }
    }
    Ok(())
}

async fn pursue_chat(
    shared: &Shared,
    net: &mut Net,
    chat_id: ChatId,
) -> Result<(), TransportError> {
    let plan = shared.engine().step(|step| intent::plan(step, chat_id));
    let plan = plan.map_err(|error| broken(shared, &error))?;
    if let Some(due_ms) = plan.due_ms {
        net.due_at(due_ms);
    }
    let Some(log_id) = plan.log_id else {
        return Ok(());
    };
    // C-060: not read to its head in this round; C-028: commits of it are spaced.
    let after_ms = net.commit_after_ms.get(&log_id).copied().unwrap_or(0);
    if net.moved.contains(&log_id) || after_ms > shared.env.now_ms() {
        net.due_at(after_ms.max(shared.env.now_ms()));
        return Ok(());
    }
    for about in plan.claims {
        claim(shared, net, log_id, about).await?;
    }
    let mut tried = Vec::new();
    loop {
        let built = shared
            .engine()
            .step(|step| intent::build(step, chat_id, &net.claimed));
        match built.map_err(|error| broken(shared, &error))? {
            Built::Nothing => return Ok(()),
            Built::Done => {
                net.progress = true;
                return Ok(());
            }
            Built::Missing(accounts) => {
                let new: Vec<_> = accounts
                    .into_iter()
                    .filter(|account| !tried.contains(account))
                    .collect();
                if new.is_empty() || !states::fetch_missing(shared, net, &new).await? {
                    net.set_aside(None, shared.env.now_ms());
                    return Ok(());
                }
                tried.extend(new);
            }
        }
    }
}

/// Claims what is not at hand yet, of a person or of one device.
async fn claim(
    shared: &Shared,
    net: &mut Net,
    log_id: LogId,
    (account, device): (AccountId, Option<DeviceId>),
) -> Result<(), TransportError> {
    let key = (log_id, account, device);
    if net.claimed.contains_key(&key) {
        return Ok(());
    }
    let capability = shared.engine().look(|tx, own| {
        if account == own.account.device.account_id {
            return Ok(own.account.capability.to_vec());
        }
        Ok(tx
            .contact(account)?
            .map(|row| row.capability)
            .unwrap_or_default())
    });
    let capability = capability.map_err(|error| broken(shared, &error))?;
    let (directory, _) = net.connection(Role::Directory).await?;
    let (directory, pass) = (directory.as_ref(), net.pass()?);
    let claimed = match device {
        Some(device) => {
            calls::claim_key_package(directory, pass, account, &capability, device).await
        }
        None => calls::claim_key_packages(directory, pass, account, &capability).await,
    };
    let claimed = match claimed {
        Err(TransportError::Refused(refusal)) if refusal.code() == ErrorCode::NotFound => {
            ClaimedKeyPackages::default()
        }
        claimed => claimed?,
    };
    let is_own = shared
        .engine()
        .own()
        .is_ok_and(|own| own.account.device.account_id == account);
    if let (true, true, Some(device)) = (is_own, claimed.packages.is_empty(), device) {
        let again = shared
            .engine()
            .step(|step| own_sync::not_there_yet(step, device));
        net.due_at(again.map_err(|error| broken(shared, &error))?);
        return Ok(());
    }
    net.claimed.insert(key, claimed);
    Ok(())
}

/// C-057: due before the next own send after 7 days or 500 own messages, or soon after joining.
pub(crate) fn is_update_due(row: &ConversationRow, now_ms: u64) -> bool {
    row.update_due
        // A date in the future is that of a clock that was wrong.
        || now_ms.abs_diff(row.updated_ms) >= SELF_UPDATE_MS
        || row.own_sends >= u64::from(SELF_UPDATE_SENDS)
}

/// Makes the commit and keeps its bundle, in the step's transaction.
pub(crate) fn prepare_update(
    step: &mut Step<'_>,
    row: &mut ConversationRow,
) -> Result<(), ClientError> {
    let mut group = step.group(row.log_id)?;
    row.update_due = true;
    intent::commit(step, row.clone(), &mut group, &[])
}

/// Sends the pending bundle. Who won is learned by reading; a refusal for spacing only sets the next time.
pub(crate) async fn send_bundle(
    shared: &Shared,
    net: &mut Net,
    log_id: LogId,
) -> Result<(), TransportError> {
    let bundle = shared
        .engine()
        .look(|tx, _| Ok(tx.conversation(log_id)?.and_then(bundle_of)));
    let Some(bundle) = bundle.map_err(|error| broken(shared, &error))? else {
        return Ok(());
    };
    let (logs, is_new) = net.connection(Role::Logs).await?;
    let handle = net.handles.get(&log_id).copied();
    let (Some((epoch, handle)), false) = (handle, is_new) else {
        return Ok(());
    };
    let sent = calls::put_bundle(logs.as_ref(), PutBundle { handle, ..bundle }).await;
    // Unless they certainly lost, the packages in it are used up.
    if !matches!(&sent, Err(TransportError::Refused(_))) {
        net.claimed.retain(|(log, ..), _| *log != log_id);
    }
    match sent {
        Ok(opened) => {
            // Not merged before it is read in its place; then this handle is ready.
            net.next_handles
                .insert(log_id, (epoch.next(), opened.handle));
            net.moved.insert(log_id);
            Ok(())
        }
        Err(TransportError::Refused(refusal)) => match refusal.code() {
            ErrorCode::StaleEpoch | ErrorCode::UnknownLog | ErrorCode::BadRequest => {
                net.drop_handles(log_id);
                Ok(())
            }
            ErrorCode::RateLimited | ErrorCode::Busy => {
                // C-083
                let wait_ms = refusal
                    .retry_after_ms
                    .clamp(COMMIT_SPACING_MS, RETRY_AFTER_MAX_MS);
                let after_ms = shared.env.now_ms().saturating_add(wait_ms);
                net.commit_after_ms.insert(log_id, after_ms);
                net.due_at(after_ms);
                Ok(())
            }
            _ => Err(TransportError::Refused(refusal)),
        },
        Err(error) => Err(error),
    }
}

/// What is posted, but for the handle.
fn bundle_of(row: ConversationRow) -> Option<PutBundle> {
    let commit_entry = row.pending_bundle?;
    let blobs = row.pending_blobs.unwrap_or_default();
    let bundle = PutBundle::decode(blobs.as_slice()).unwrap_or_default();
    Some(PutBundle {
        commit_entry,
        ..bundle
    })
}

#[cfg(test)]
mod tests {
    use conclave_proto::id::{ChatId, Epoch, Hash32, Incarnation, Seq};
    use conclave_proto::log::Head;

    use super::*;
    use crate::store::Stage;

    /// An update is due after seven days, after 500 sends, or when asked for; a moment earlier it is not.
    #[test]
    fn c057_update_is_due_after_seven_days_or_500_sends() {
        let now_ms = 1_000 * SELF_UPDATE_MS;
        let head = Head {
            epoch: Epoch(1),
            seq: Seq(0),
            hash: Hash32::new([0; 32]),
            incarnation: Incarnation(1),
        };
        let (log_id, chat_id) = (LogId::new([1; 32]), ChatId::new([2; 16]));
        let mut row = ConversationRow::new(log_id, chat_id, 1, Stage::Live, head, now_ms);
        assert!(!is_update_due(&row, now_ms + SELF_UPDATE_MS - 1));
        assert!(is_update_due(&row, now_ms + SELF_UPDATE_MS));
        row.own_sends = u64::from(SELF_UPDATE_SENDS) - 1;
        assert!(!is_update_due(&row, now_ms));
        row.own_sends += 1;
        assert!(is_update_due(&row, now_ms));
        row.own_sends = 0;
        row.update_due = true;
        assert!(is_update_due(&row, now_ms));
    }
}
