//! Looking people up and claiming their key packages, without saying who asks.

use conclave_proto::account::{
    AccountState, AccountStates, FLAG_DISCOVERABLE, FetchStates, Lookup,
};
use conclave_proto::frame::reply;
use conclave_proto::id::{AccountId, DeviceId};
use conclave_proto::key_package::{ClaimKeyPackages, ClaimedKeyPackage, ClaimedKeyPackages};
use conclave_proto::{ErrorCode, Refusal};

use super::{Answer, bad, edge};
use crate::limit::Action;
use crate::server::App;
use crate::session::Session;
use crate::store::Published;

/// The newest state of whoever holds an identifier. Not registered and not discoverable get one answer.
pub(super) async fn lookup(app: &App, session: &Session, request: &Lookup) -> Answer {
    session.check_pass(&request.pass)?;
    session.count(Action::Lookup)?;
    let identifier = edge::identifier(&request.identifier)?;
    let found = app
        .store
        .account_by_identifier(identifier.as_str().to_owned());
    let found = found.await?.filter(is_discoverable);
    found.map(published).ok_or_else(nobody)
}

fn is_discoverable(published: &Published) -> bool {
    let newest = published.states.last();
    newest
        .and_then(|bytes| AccountState::parse(bytes).ok())
        .is_some_and(|state| state.content.flags & FLAG_DISCOVERABLE != 0)
}

fn nobody() -> Refusal {
    Refusal::new(ErrorCode::NotFound, "nobody is registered there")
}

/// An account's states from one seq on.
pub(super) async fn states(app: &App, session: &Session, request: &FetchStates) -> Answer {
    session.check_pass(&request.pass)?;
    session.count(Action::Lookup)?;
    let account_id = edge::field(AccountId::parse(&request.account_id), "account id")?;
    if request.from_seq == 0 {
        return Err(bad("states begin at seq 1"));
    }
    let found = app.store.states(account_id, request.from_seq).await?;
    found.map(published).ok_or_else(nobody)
}

fn published(found: Published) -> reply::Body {
    reply::Body::AccountStates(AccountStates {
        states: found.states,
        certs: found.certs,
        former_certs: found.former_certs,
    })
}

/// One key package for each device of an account, or for one of them.
pub(super) async fn claim(app: &App, session: &Session, request: &ClaimKeyPackages) -> Answer {
    session.check_pass(&request.pass)?;
    session.count(Action::Claim)?;
    let account_id = edge::field(AccountId::parse(&request.account_id), "account id")?;
    let capability = edge::capability_hash(&request.capability)?;
    let device_id = match request.device_id.as_slice() {
        [] => None,
        bytes => Some(edge::field(DeviceId::parse(bytes), "device id")?),
    };
    // C-033: the store hands each one-time package out once, and none to strangers.
    let claimed = app.store.claim(account_id, capability, device_id).await?;
    let packages = claimed.ok_or_else(nobody)?.into_iter();
    let packages = packages.map(|package| ClaimedKeyPackage {
        device_id: package.device_id.to_vec(),
        key_package: package.key_package,
        last_resort: package.last_resort,
    });
    Ok(reply::Body::ClaimedKeyPackages(ClaimedKeyPackages {
        packages: packages.collect(),
    }))
}
