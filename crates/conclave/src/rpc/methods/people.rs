//! Methods about people: contacts and safety numbers.

use conclave_client::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Caller, Method, Reach, RpcError, Scope, Short};
use crate::commands::safety::something_to_accept;
use crate::rows::{ContactRow, DoneRow, SafetyRow};

/// All contacts and how far each is trusted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ContactsParams {}

impl Method for ContactsParams {
    const NAME: &'static str = "contacts.list";
    const SCOPE: Scope = Scope::Read;
    type Result = Contacts;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<Contacts, RpcError> {
        let contacts = client.contacts()?;
        let contacts = contacts.iter().map(ContactRow::from).collect();
        Ok(Contacts { contacts })
    }
}

/// Contacts.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Contacts {
    /// All of them.
    contacts: Vec<ContactRow>,
}

/// Give somebody a name of your own; only you see it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RenameParams {
    /// `+E164` number, e-mail address, chat id or account id.
    who: Short,
    /// The name; empty: the one they gave themselves.
    name: Short,
}

impl Method for RenameParams {
    const NAME: &'static str = "contacts.rename";
    const SCOPE: Scope = Scope::Admin;
    type Result = DoneRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<DoneRow, RpcError> {
        client.rename_contact(&self.who.0, &self.name.0)?;
        Ok(done("renamed", self.who))
    }
}

/// Take nothing more from somebody; they are not told.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BlockParams {
    /// `+E164` number, e-mail address, chat id or account id.
    who: Short,
}

impl Method for BlockParams {
    const NAME: &'static str = "contacts.block";
    const SCOPE: Scope = Scope::Admin;
    type Result = DoneRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<DoneRow, RpcError> {
        client.set_blocked(&self.who.0, true)?;
        Ok(done("blocked", self.who))
    }
}

/// Take messages from somebody again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UnblockParams {
    /// `+E164` number, e-mail address, chat id or account id.
    who: Short,
}

impl Method for UnblockParams {
    const NAME: &'static str = "contacts.unblock";
    const SCOPE: Scope = Scope::Admin;
    type Result = DoneRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<DoneRow, RpcError> {
        client.set_blocked(&self.who.0, false)?;
        Ok(done("unblocked", self.who))
    }
}

/// The safety number with somebody.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SafetyParams {
    /// `+E164` number, e-mail address, chat id or account id.
    who: Short,
}

impl Method for SafetyParams {
    const NAME: &'static str = "safety.show";
    const SCOPE: Scope = Scope::Read;
    type Result = SafetyRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<SafetyRow, RpcError> {
        Ok(SafetyRow::from(&client.safety(&self.who.0)?))
    }
}

/// Mark somebody as verified by the number that they read out.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VerifyParams {
    /// `+E164` number, e-mail address, chat id or account id.
    who: Short,
    /// 60 digits; spaces do not matter.
    number: Short,
}

impl Method for VerifyParams {
    const NAME: &'static str = "safety.verify";
    const SCOPE: Scope = Scope::Admin;
    type Result = SafetyRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<SafetyRow, RpcError> {
        Ok(SafetyRow::from(
            &client.verify(&self.who.0, &self.number.0)?,
        ))
    }
}

/// Accept somebody's changed identity key: sending goes on, the verified mark is cleared.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AcceptParams {
    /// `+E164` number, e-mail address, chat id or account id.
    who: Short,
}

impl Method for AcceptParams {
    const NAME: &'static str = "safety.accept";
    const SCOPE: Scope = Scope::Admin;
    type Result = SafetyRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<SafetyRow, RpcError> {
        something_to_accept(client, &self.who.0)?;
        Ok(SafetyRow::from(&client.accept_identity(&self.who.0)?))
    }
}

fn done(done: &'static str, who: Short) -> DoneRow {
    DoneRow { done, to: who.0 }
}
