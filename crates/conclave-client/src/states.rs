//! States of accounts that leaves are judged by, fetched when they are not at hand.

use conclave_core::credential::{Accounts as _, Wanted, former_devices};
use conclave_proto::account::{AccountState, DeviceCert};
use conclave_proto::hello::Role;
use conclave_proto::id::AccountId;
use conclave_proto::limits::DEVICES_MAX;

use crate::contact::{
    LIMITED_RECHECK_MS, Source, accept_states, is_about_contact, is_rate_limited,
};
use crate::error::ClientError;
use crate::net::Net;
use crate::own;
use crate::shared::{Shared, broken, tell};
use crate::transport::{TransportError, calls};

/// Fetches and judges the newest states of accounts that leaves were made under (C-017). A lie leaves things as
/// they are. Whether the server could be asked now.
pub(crate) async fn fetch_missing(
    shared: &Shared,
    net: &mut Net,
    accounts: &[AccountId],
) -> Result<bool, TransportError> {
    let (directory, _) = net.connection(Role::Directory).await?;
    for account in accounts {
        let pinned = shared.engine().look(|tx, own| {
            if *account == own.account.device.account_id {
                return Ok(own.account.state.content.seq);
            }
            Ok(tx.contact(*account)?.map_or(1, |row| row.pin.seq))
        });
        let from_seq = pinned.map_err(|error| broken(shared, &error))?;
        let states = calls::fetch_states(directory.as_ref(), net.pass()?, *account, from_seq);
        let states = match states.await {
            Ok(states) => states,
            Err(error) if is_rate_limited(&error) => {
                net.due_at(shared.env.now_ms().saturating_add(LIMITED_RECHECK_MS));
                return Ok(false);
            }
            Err(error) if is_about_contact(&error) => continue,
            Err(error) => return Err(error),
        };
        if shared
            .engine()
            .own()
            .is_ok_and(|own| own.account.device.account_id == *account)
        {
            let followed = own::follow(shared, &states);
            followed.map_err(|error| broken(shared, &error))?;
            net.progress = true;
            continue;
        }
        let judged = shared
            .engine()
            .step(|step| accept_states(step, Source::Fetched, &states));
        match judged {
            Ok(_) => net.progress = true,
            Err(ClientError::WrongServer(text)) => tell(shared, &text),
            Err(error) => return Err(broken(shared, &error)),
        }
    }
    Ok(true)
}

/// Fetches what entries of logs and welcomes are judged by (C-017, C-180). Whether the server could be asked now.
pub(crate) async fn fetch_wanted(
    shared: &Shared,
    net: &mut Net,
    wanted: &[Wanted],
) -> Result<bool, TransportError> {
    for one in wanted {
        let is_asked = match one {
            Wanted::Newest(account) => fetch_missing(shared, net, &[*account]).await?,
            Wanted::Since(account, seq) => fetch_former(shared, net, *account, *seq).await?,
        };
        if !is_asked {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Remembers which devices an account listed in its state `seq` and lists no more, as far as the server shows it.
async fn fetch_former(
    shared: &Shared,
    net: &mut Net,
    account: AccountId,
    seq: u64,
) -> Result<bool, TransportError> {
    let (directory, _) = net.connection(Role::Directory).await?;
    let states = calls::fetch_states(directory.as_ref(), net.pass()?, account, seq);
    let shown = match states.await {
        Ok(shown) => shown,
        Err(error) if is_rate_limited(&error) => {
            net.due_at(shared.env.now_ms().saturating_add(LIMITED_RECHECK_MS));
            return Ok(false);
        }
        Err(error) if is_about_contact(&error) => return Ok(true),
        Err(error) => return Err(error),
    };
    let kept = shared.engine().step(|step| {
        let states = shown.states.iter().map(|state| AccountState::parse(state));
        let certs = shown.former_certs.iter().take(DEVICES_MAX);
        let certs = certs.map(|cert| DeviceCert::parse(cert));
        let (states, certs): (Result<Vec<_>, _>, Result<Vec<_>, _>) =
            (states.collect(), certs.collect());
        let known = step.tx.known_accounts(&step.own.known).known(account);
        if let (Ok(states), Ok(certs), Some(known)) = (states, certs, known) {
            // C-181
            for former in former_devices(&known, &states, &certs) {
                step.tx.put_former_device(&former)?;
            }
        }
        Ok(())
    });
    kept.map_err(|error| broken(shared, &error))?;
    net.progress = true;
    Ok(true)
}
