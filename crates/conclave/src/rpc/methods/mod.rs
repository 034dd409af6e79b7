//! Every method, in one table. A new one is a type with its parameters, and a line in [`METHODS`].

mod about;
mod account;
mod attachments;
mod chats;
mod devices;
mod events;
mod groups;
mod messages;
mod people;
mod profile;
mod qr;
mod search;
mod settings;
mod talk;
mod webhooks;

use std::pin::Pin;
use std::time::Duration;

use conclave_client::view::FOREVER_MS;
use conclave_client::{Client, ClientError};
use conclave_proto::id::MessageId;
use conclave_proto::limits::TEXT_BYTES_MAX;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{Caller, Reach, RpcError, Scope, once};

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

    /// Whether it changes something, so that it takes an idempotency key.
    const MUTATES: bool = !matches!(Self::SCOPE, Scope::Read);

    /// What a call comes to now that made or changed a message, by its id; for methods that answer with the message.
    /// Of the others the answer is kept.
    const AGAIN: Option<Again<Self::Result>> = None;

    /// What it touches; asked before it is called.
    fn reach(&self, client: &Client) -> Result<Reach, RpcError>;

    /// Does it. `caller` filters what [`Reach::Filtered`] methods show.
    fn call(
        self,
        client: &Client,
        caller: &Caller,
    ) -> impl Future<Output = Result<Self::Result, RpcError>> + Send;
}

/// Makes an answer anew, of the message that a call made or changed.
pub(crate) type Again<R> = fn(&Client, MessageId) -> Result<R, RpcError>;

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
        params: |schemas| {
            let params = M::json_schema(schemas);
            if M::MUTATES {
                once::with_key(params)
            } else {
                params
            }
        },
        result: |schemas| schemas.subschema_for::<M::Result>(),
    }
}

async fn call<M: Method>(
    client: Client,
    caller: Caller,
    mut params: Value,
) -> Result<Value, RpcError> {
    let key = if M::MUTATES {
        once::take_key(&mut params)?
    } else {
        None
    };
    let request = key.is_some().then(|| once::hash(M::NAME, &params));
    let method: M =
        serde_json::from_value(params).map_err(|error| RpcError::bad_params(error.to_string()))?;
    if let Some((key, request)) = key.zip(request) {
        return once::call(&client, &caller, &key, (request, method)).await;
    }
    caller.check_reach(method.reach(&client)?)?;
    value(&method.call(&client, &caller).await?)
}

/// A result as JSON.
pub(super) fn value(result: &impl Serialize) -> Result<Value, RpcError> {
    serde_json::to_value(result).map_err(|error| std::io::Error::from(error).into())
}

/// Every method.
pub(crate) const METHODS: &[Entry] = &[
    entry::<account::StateParams>(),
    entry::<account::RegisterParams>(),
    entry::<account::ConfirmParams>(),
    entry::<account::VetoParams>(),
    entry::<account::LinkParams>(),
    entry::<account::JoinParams>(),
    entry::<account::LockParams>(),
    entry::<account::PassphraseParams>(),
    entry::<attachments::ListParams>(),
    entry::<attachments::SendParams>(),
    entry::<attachments::LinkParams>(),
    entry::<attachments::GetParams>(),
    entry::<attachments::SaveParams>(),
    entry::<attachments::CancelParams>(),
    entry::<attachments::PruneParams>(),
    entry::<chats::ListParams>(),
    entry::<people::ContactsParams>(),
    entry::<people::RenameParams>(),
    entry::<people::BlockParams>(),
    entry::<people::UnblockParams>(),
    entry::<devices::DevicesParams>(),
    entry::<devices::HistoryParams>(),
    entry::<devices::LookParams>(),
    entry::<devices::ApproveParams>(),
    entry::<devices::RenameParams>(),
    entry::<devices::RotateParams>(),
    entry::<devices::RemoveParams>(),
    entry::<events::AckParams>(),
    entry::<events::ConsumersParams>(),
    entry::<events::ForgetParams>(),
    entry::<events::ListParams>(),
    entry::<events::SubscribeParams>(),
    entry::<groups::ListParams>(),
    entry::<groups::ShowParams>(),
    entry::<groups::CreateParams>(),
    entry::<groups::AddParams>(),
    entry::<groups::RemoveParams>(),
    entry::<groups::RenameParams>(),
    entry::<groups::RoleParams>(),
    entry::<groups::LeaveParams>(),
    entry::<groups::ResumeParams>(),
    entry::<groups::JoinParams>(),
    entry::<groups::LinkParams>(),
    entry::<groups::LinkCreateParams>(),
    entry::<groups::LinkRevokeParams>(),
    entry::<messages::SendParams>(),
    entry::<messages::AroundParams>(),
    entry::<messages::HistoryParams>(),
    entry::<search::SearchParams>(),
    entry::<messages::ReadParams>(),
    entry::<messages::UnreadParams>(),
    entry::<messages::InfoParams>(),
    entry::<talk::ReactParams>(),
    entry::<talk::EditParams>(),
    entry::<talk::DeleteParams>(),
    entry::<talk::ForwardParams>(),
    entry::<talk::PinParams>(),
    entry::<talk::PinsParams>(),
    entry::<talk::TimerParams>(),
    entry::<talk::SetTimerParams>(),
    entry::<settings::MuteParams>(),
    entry::<settings::ArchiveParams>(),
    entry::<settings::PinParams>(),
    entry::<settings::DraftParams>(),
    entry::<settings::SendDraftParams>(),
    entry::<settings::MarkUnreadParams>(),
    entry::<settings::ClearParams>(),
    entry::<qr::DrawParams>(),
    entry::<qr::ReadParams>(),
    entry::<chats::RequestsParams>(),
    entry::<chats::AcceptParams>(),
    entry::<chats::DeclineParams>(),
    entry::<people::SafetyParams>(),
    entry::<people::VerifyParams>(),
    entry::<qr::VerifyParams>(),
    entry::<people::AcceptParams>(),
    entry::<about::StatusParams>(),
    entry::<about::VersionParams>(),
    entry::<webhooks::AddParams>(),
    entry::<webhooks::DropParams>(),
    entry::<webhooks::ListParams>(),
    entry::<webhooks::RemoveParams>(),
    entry::<webhooks::RetryParams>(),
    entry::<webhooks::TestParams>(),
    entry::<about::WhoamiParams>(),
    entry::<about::DoctorParams>(),
    entry::<about::SettingsParams>(),
    entry::<about::SetParams>(),
    entry::<about::RotateParams>(),
    entry::<profile::ShowParams>(),
    entry::<profile::SetParams>(),
    entry::<profile::TypingParams>(),
];

/// The method called `name`.
pub(crate) fn find(name: &str) -> Option<&'static Entry> {
    METHODS.iter().find(|entry| entry.name == name)
}

/// A name, an identifier, an id: short words.
#[derive(Debug, Default, JsonSchema)]
struct Short(#[schemars(length(max = SHORT_BYTES_MAX))] String);

/// What a message says.
#[derive(Debug, JsonSchema)]
struct Text(#[schemars(length(max = TEXT_BYTES_MAX))] String);

/// How long to wait, in ms.
#[derive(Debug, Clone, Copy, JsonSchema)]
#[schemars(extend("default" = 30_000))]
struct TimeoutMs(#[schemars(range(max = TIMEOUT_MS_MAX))] u64);

/// How long to wait for something that may never come, in ms.
#[derive(Debug, Clone, Copy, Default, JsonSchema)]
#[schemars(extend("default" = 0))]
struct WaitMs(#[schemars(range(max = TIMEOUT_MS_MAX))] u64);

/// A time, ms since 1970-01-01 UTC.
#[derive(Debug, Default, Clone, Copy, Serialize, JsonSchema)]
struct TimeMs(#[schemars(range(max = FOREVER_MS))] u64);

/// How many rows.
#[derive(Debug, Clone, Copy, JsonSchema)]
#[schemars(extend("default" = 50))]
struct Limit(#[schemars(range(min = 1, max = LIMIT_MAX))] u16);

/// Bytes of a name, an identifier, an id or a link.
const SHORT_BYTES_MAX: usize = 1024;
/// Ten minutes, in ms: who waits longer asks again.
const TIMEOUT_MS_MAX: u64 = 600_000;
/// Rows of one answer.
const LIMIT_MAX: u16 = 1_000;

impl Default for TimeoutMs {
    fn default() -> Self {
        Self(30_000)
    }
}

impl TimeoutMs {
    /// The outcome of `work`, or that it took too long.
    async fn limit<T>(
        self,
        work: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        let done = tokio::time::timeout(Duration::from_millis(self.0), work).await;
        done.unwrap_or(Err(ClientError::TimedOut))
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

impl<'de> Deserialize<'de> for Short {
    fn deserialize<D: Deserializer<'de>>(words: D) -> Result<Self, D::Error> {
        bounded(words, SHORT_BYTES_MAX).map(Self)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(words: D) -> Result<Self, D::Error> {
        bounded(words, TEXT_BYTES_MAX).map(Self)
    }
}

fn bounded<'de, D: Deserializer<'de>>(words: D, bytes_max: usize) -> Result<String, D::Error> {
    let words = String::deserialize(words)?;
    if words.len() > bytes_max {
        let why = format!("{} bytes are over the limit of {bytes_max}", words.len());
        return Err(D::Error::custom(why));
    }
    Ok(words)
}

impl<'de> Deserialize<'de> for TimeoutMs {
    fn deserialize<D: Deserializer<'de>>(number: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(number)?;
        if number > TIMEOUT_MS_MAX {
            return Err(D::Error::custom(format!(
                "{number} is over the limit of {TIMEOUT_MS_MAX}"
            )));
        }
        Ok(Self(number))
    }
}

/// An event's number, or that of the last one before.
#[derive(Debug, Clone, Copy, Default, JsonSchema)]
#[schemars(extend("default" = 0))]
struct Cursor(#[schemars(range(max = CURSOR_MAX))] u64);

/// The largest number that the store gives.
const CURSOR_MAX: u64 = i64::MAX.unsigned_abs();

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(number: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(number)?;
        if number > CURSOR_MAX {
            let why = format!("{number} is over the limit of {CURSOR_MAX}");
            return Err(D::Error::custom(why));
        }
        Ok(Self(number))
    }
}

impl<'de> Deserialize<'de> for TimeMs {
    fn deserialize<D: Deserializer<'de>>(number: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(number)?;
        if number > FOREVER_MS {
            return Err(D::Error::custom(format!(
                "{number} is over the limit of {FOREVER_MS}"
            )));
        }
        Ok(Self(number))
    }
}

/// A cursor that is there.
fn given<'de, D: Deserializer<'de>>(number: D) -> Result<Option<Cursor>, D::Error> {
    Cursor::deserialize(number).map(Some)
}

impl<'de> Deserialize<'de> for WaitMs {
    fn deserialize<D: Deserializer<'de>>(number: D) -> Result<Self, D::Error> {
        TimeoutMs::deserialize(number).map(|wait| Self(wait.0))
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(number: D) -> Result<Self, D::Error> {
        let number = u16::deserialize(number)?;
        if number == 0 || number > LIMIT_MAX {
            return Err(D::Error::custom(format!(
                "{number} is not within 1 and {LIMIT_MAX}"
            )));
        }
        Ok(Self(number))
    }
}

/// The chat that `words` mean. Whatever means none, or several, lies outside a token for some chats: the reason would
/// tell of people and groups that it is not for. Whoever may see all hears the reason from the call.
fn reach_chat(client: &Client, words: &Short) -> Result<Reach, RpcError> {
    match client.find_chat(&words.0) {
        Ok(chat) => Ok(Reach::Chat(chat)),
        Err(error @ (ClientError::Store(_) | ClientError::Broken(_))) => Err(error.into()),
        Err(_) => Ok(Reach::Profile),
    }
}
