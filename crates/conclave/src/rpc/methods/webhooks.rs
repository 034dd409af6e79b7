//! Methods about webhooks.

use conclave_client::Client;
use conclave_proto::env::OsEnv;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Caller, Cursor, Method, Reach, RpcError, Scope, Short, given};
use crate::exit::Failure;
use crate::rows::DoneRow;
use crate::rows::webhook::{CountRow, DeadRow, PostedRow, WebhookRow};
use crate::webhook::{Target, test};

/// Post events to an address from now on, signed; while a daemon runs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddParams {
    /// `https://…`, or `http://` to this machine alone.
    url: Short,
    /// Kinds of events: `message`, `changed`, `timer`, `state`, `request`, `identity_changed`, `note`, `gap`,
    /// `history`, `warning`; none: all of them.
    #[serde(default)]
    events: Vec<Short>,
    /// What posts are signed with, 16 to 1024 bytes; the other side checks them with it.
    secret: Short,
}

impl Method for AddParams {
    const NAME: &'static str = "webhooks.add";
    const SCOPE: Scope = Scope::Admin;
    type Result = WebhookRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<WebhookRow, RpcError> {
        Target::parse(&self.url.0)
            .map_err(|why| Failure::new(crate::exit::USAGE, "BAD_INPUT", why))?;
        let kinds: Vec<String> = self.events.into_iter().map(|kind| kind.0).collect();
        let added = client.add_webhook(&self.url.0, &kinds, self.secret.0.as_bytes())?;
        Ok(WebhookRow::from(&added))
    }
}

/// Webhooks, oldest first, without their secrets.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {}

impl Method for ListParams {
    const NAME: &'static str = "webhooks.list";
    const SCOPE: Scope = Scope::Admin;
    const MUTATES: bool = false;
    type Result = Webhooks;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<Webhooks, RpcError> {
        let webhooks = client.webhooks()?.iter().map(WebhookRow::from).collect();
        let dead = client.dead_webhooks()?.iter().map(DeadRow::from).collect();
        Ok(Webhooks { webhooks, dead })
    }
}

/// Webhooks.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Webhooks {
    /// Oldest first.
    webhooks: Vec<WebhookRow>,
    /// Events that were given up.
    dead: Vec<DeadRow>,
}

/// End a webhook; what is on its way to it is forgotten.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoveParams {
    /// Its id.
    id: Short,
}

impl Method for RemoveParams {
    const NAME: &'static str = "webhooks.remove";
    const SCOPE: Scope = Scope::Admin;
    type Result = DoneRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<DoneRow, RpcError> {
        client.remove_webhook(&self.id.0)?;
        Ok(DoneRow {
            done: "removed",
            to: self.id.0,
        })
    }
}

/// Post a test to a webhook now; the answer says how it went.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TestParams {
    /// Its id.
    id: Short,
}

impl Method for TestParams {
    const NAME: &'static str = "webhooks.test";
    const SCOPE: Scope = Scope::Admin;
    const MUTATES: bool = false;
    type Result = PostedRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<PostedRow, RpcError> {
        let posted = test(client, &self.id.0, OsEnv::shared().now_ms()).await?;
        Ok(PostedRow {
            webhook: self.id.0,
            ok: posted.is_ok(),
            reason: posted.err().unwrap_or_default(),
        })
    }
}

/// Try events that were given up again from the beginning: one, or all of a webhook.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RetryParams {
    /// The webhook's id.
    id: Short,
    /// The event's cursor; without it all.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Cursor")]
    cursor: Option<Cursor>,
}

impl Method for RetryParams {
    const NAME: &'static str = "webhooks.retry";
    const SCOPE: Scope = Scope::Admin;
    type Result = CountRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<CountRow, RpcError> {
        let count = client.retry_dead(&self.id.0, self.cursor.map(|cursor| cursor.0))?;
        Ok(CountRow {
            webhook: self.id.0,
            count,
        })
    }
}

/// Forget events that were given up: one, or all of a webhook.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DropParams {
    /// The webhook's id.
    id: Short,
    /// The event's cursor; without it all.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Cursor")]
    cursor: Option<Cursor>,
}

impl Method for DropParams {
    const NAME: &'static str = "webhooks.drop";
    const SCOPE: Scope = Scope::Admin;
    type Result = CountRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<CountRow, RpcError> {
        let count = client.drop_dead(&self.id.0, self.cursor.map(|cursor| cursor.0))?;
        Ok(CountRow {
            webhook: self.id.0,
            count,
        })
    }
}
