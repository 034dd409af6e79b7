//! Every method, in one table. A new one is a type with its parameters, and a line in [`METHODS`].

mod about;

use std::pin::Pin;

use conclave_client::Client;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Caller, Reach, RpcError, Scope};

/// One method: its parameters are the type itself, its result what a command would print.
///
/// Parameters say `deny_unknown_fields`; the first paragraph of the type's doc is what the schema says about it.
pub(crate) trait Method: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// Its name, a noun and a verb: `messages.send`.
    const NAME: &'static str;
    /// What a token needs for it.
    const SCOPE: Scope;
    /// What comes back.
    type Result: Serialize + JsonSchema;

    /// What it touches; asked before it is called.
    fn reach(&self, client: &Client) -> Result<Reach, RpcError>;

    /// Does it. `caller` filters what [`Reach::Filtered`] methods show.
    fn call(
        self,
        client: &Client,
        caller: &Caller,
    ) -> impl Future<Output = Result<Self::Result, RpcError>> + Send;
}

type Answer = Pin<Box<dyn Future<Output = Result<Value, RpcError>> + Send>>;

/// A method as the table holds it.
pub(crate) struct Entry {
    /// Its name.
    pub(crate) name: &'static str,
    /// What a token needs for it.
    pub(crate) scope: Scope,
    /// Parses the parameters, checks what they reach, and does it.
    pub(crate) call: fn(Client, Caller, Value) -> Answer,
    /// The shape of its parameters.
    pub(crate) params: fn(&mut SchemaGenerator) -> Schema,
    /// The shape of its result.
    pub(crate) result: fn(&mut SchemaGenerator) -> Schema,
}

const fn entry<M: Method>() -> Entry {
    Entry {
        name: M::NAME,
        scope: M::SCOPE,
        call: |client, caller, params| Box::pin(call::<M>(client, caller, params)),
        params: |schemas| M::json_schema(schemas),
        result: |schemas| schemas.subschema_for::<M::Result>(),
    }
}

async fn call<M: Method>(client: Client, caller: Caller, params: Value) -> Result<Value, RpcError> {
    let method: M =
        serde_json::from_value(params).map_err(|error| RpcError::bad_params(error.to_string()))?;
    caller.check_reach(method.reach(&client)?)?;
    let result = method.call(&client, &caller).await?;
    serde_json::to_value(result).map_err(|error| std::io::Error::from(error).into())
}

/// Every method, by name.
pub(crate) const METHODS: &[Entry] = &[
    entry::<about::StatusParams>(),
    entry::<about::VersionParams>(),
    entry::<about::WhoamiParams>(),
];

/// The method called `name`.
pub(crate) fn find(name: &str) -> Option<&'static Entry> {
    METHODS.iter().find(|entry| entry.name == name)
}
