//! Methods about the account itself: how a profile comes to one, and its lock.

use conclave_client::view::Setup;
use conclave_client::{Client, ClientError, KeyKind, Unlock};
use conclave_proto::address::ServerAddress;
use conclave_proto::identifier::Identifier;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Caller, Method, Reach, RpcError, Scope, Short, TimeoutMs};
use crate::exit::Failure;
use crate::rows::{DoneRow, LinkRow, PassphraseRow, WhoamiRow};

/// How far this profile is on its way to an account. Works before there is one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StateParams {}

/// How far a profile is on its way to an account.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AccountState {
    /// `empty`, `code_sent`, `linking` or `open`.
    state: &'static str,
    /// Where the code went, or what the account is registered as.
    identifier: String,
    /// The server's `conclave://` address; empty when none was named yet.
    server: String,
    /// What to show while it is `linking`.
    link: Option<LinkRow>,
    /// The account when it is `open`.
    account: Option<WhoamiRow>,
    /// What opens the profile: `passphrase` or `key_file`. Only with a passphrase it can be locked.
    unlock: &'static str,
}

impl AccountState {
    fn of(client: &Client) -> Result<Self, ClientError> {
        let unlock = match client.own_key_kind() {
            KeyKind::Passphrase => "passphrase",
            KeyKind::KeyFile | KeyKind::Absent => "key_file",
        };
        let state = Self {
            state: "empty",
            identifier: String::new(),
            server: String::new(),
            link: None,
            account: None,
            unlock,
        };
        Ok(match client.setup()? {
            Setup::Empty => state,
            Setup::CodeSent { identifier, server } => Self {
                state: "code_sent",
                identifier,
                server,
                ..state
            },
            Setup::Linking { shown, server } => Self {
                state: "linking",
                server,
                link: Some(LinkRow::from(&shown)),
                ..state
            },
            Setup::Open(me) => Self {
                state: "open",
                identifier: me.identifier.clone(),
                server: me.server.clone(),
                account: Some(WhoamiRow::from(&me)),
                ..state
            },
        })
    }
}

impl Method for StateParams {
    const NAME: &'static str = "account.state";
    const SCOPE: Scope = Scope::Read;
    type Result = AccountState;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<AccountState, RpcError> {
        Ok(AccountState::of(client)?)
    }
}

/// Ask a server for a code, to make an account with it. Asked again for the same identifier it is the same account.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RegisterParams {
    /// The server's address, `conclave://…`.
    server: Short,
    /// `+E164` number or e-mail address.
    identifier: Short,
    /// Invite of the server's operator, when it wants one.
    #[serde(default)]
    invite: Short,
    /// The name that people you write to are shown; may be empty.
    #[serde(default)]
    name: Short,
    /// How long to wait for the server.
    #[serde(default)]
    timeout_ms: TimeoutMs,
}

/// A code was sent.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CodeSent {
    /// Where to.
    identifier: String,
    /// Valid for this long, in ms.
    valid_ms: u64,
    /// Another may be asked for after this time, in ms.
    resend_after_ms: u64,
}

impl Method for RegisterParams {
    const NAME: &'static str = "account.register";
    const SCOPE: Scope = Scope::Admin;
    /// Nothing that is there is changed by it, and it says itself what it is asked again for.
    const MUTATES: bool = false;
    type Result = CodeSent;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<CodeSent, RpcError> {
        let server = address(&self.server)?;
        let identifier: Identifier = parsed(self.identifier.0.parse())?;
        let invite = Some(self.invite.0.as_str()).filter(|invite| !invite.is_empty());
        let asked = client.register_start(&server, &identifier, invite, &self.name.0);
        let sent = self.timeout_ms.limit(asked).await?;
        Ok(CodeSent {
            identifier: identifier.to_string(),
            valid_ms: sent.valid_ms,
            resend_after_ms: sent.resend_after_ms,
        })
    }
}

/// Make the account with the code that came. Then this profile is online.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfirmParams {
    /// The code, as it came; case, spaces and dashes do not matter.
    code: Short,
    /// How long to wait for the server.
    #[serde(default)]
    timeout_ms: TimeoutMs,
}

impl Method for ConfirmParams {
    const NAME: &'static str = "account.confirm";
    const SCOPE: Scope = Scope::Admin;
    const MUTATES: bool = false;
    type Result = WhoamiRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<WhoamiRow, RpcError> {
        let confirming = client.register_confirm(&self.code.0);
        let me = self.timeout_ms.limit(confirming).await?;
        client.go_online();
        Ok(WhoamiRow::from(&me))
    }
}

/// Keep this account's identifier, which somebody else is about to take over.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VetoParams {
    /// How long to wait for the server.
    #[serde(default)]
    timeout_ms: TimeoutMs,
}

impl Method for VetoParams {
    const NAME: &'static str = "account.veto";
    const SCOPE: Scope = Scope::Admin;
    const MUTATES: bool = false;
    type Result = DoneRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<DoneRow, RpcError> {
        let to = client.whoami()?.identifier;
        self.timeout_ms.limit(client.veto_hold()).await?;
        Ok(DoneRow { done: "kept", to })
    }
}

/// Begin to join an account that lives on another device: what to show there. A link that is good is shown again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkParams {
    /// The server's address, `conclave://…`, as the other device shows it.
    server: Short,
    /// What to call this device; may be empty.
    #[serde(default)]
    name: Short,
    /// How long to wait for the server.
    #[serde(default)]
    timeout_ms: TimeoutMs,
}

impl Method for LinkParams {
    const NAME: &'static str = "account.link";
    const SCOPE: Scope = Scope::Admin;
    const MUTATES: bool = false;
    type Result = LinkRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<LinkRow, RpcError> {
        let server = address(&self.server)?;
        let offering = client.link_start(&server, &self.name.0);
        let shown = self.timeout_ms.limit(offering).await?;
        Ok(LinkRow::from(&shown))
    }
}

/// Wait until the other device lets this one in. Asked again it goes on waiting; once it is in, it says so at once.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JoinParams {
    /// How long to wait.
    #[serde(default)]
    timeout_ms: TimeoutMs,
}

impl Method for JoinParams {
    const NAME: &'static str = "account.join";
    const SCOPE: Scope = Scope::Admin;
    const MUTATES: bool = false;
    type Result = WhoamiRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<WhoamiRow, RpcError> {
        if !client.is_registered() {
            let joined = self.timeout_ms.limit(client.link_finish()).await;
            // A call beside this one, or before it, may have been the one that got in.
            if let (Err(error), false) = (joined, client.is_registered()) {
                return Err(error.into());
            }
        }
        client.go_online();
        Ok(WhoamiRow::from(&client.whoami()?))
    }
}

/// Close the profile until its passphrase is given on the page again: keys leave the memory, sessions and connections
/// end. Where a page is open alone, and not without a passphrase.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LockParams {}

impl Method for LockParams {
    const NAME: &'static str = "account.lock";
    const SCOPE: Scope = Scope::Admin;
    const MUTATES: bool = false;
    type Result = DoneRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<DoneRow, RpcError> {
        client.ask_lock()?;
        Ok(DoneRow {
            done: "locked",
            to: String::new(),
        })
    }
}

/// Give the profile a passphrase, or another one. At the profile's own doors alone.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PassphraseParams {
    /// The one that opens it now; empty when a key file does.
    #[serde(default)]
    old: Short,
    /// The one that opens it from then on.
    new: Short,
}

impl Method for PassphraseParams {
    const NAME: &'static str = "account.passphrase";
    const SCOPE: Scope = Scope::Admin;
    const MUTATES: bool = false;
    type Result = PassphraseRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, caller: &Caller) -> Result<PassphraseRow, RpcError> {
        caller.check_person()?;
        let (old, new) = (Zeroizing::new(self.old.0), Zeroizing::new(self.new.0));
        let client = client.clone();
        // Making a key of a passphrase takes its time.
        let changing = tokio::task::spawn_blocking(move || {
            if client.own_key_kind() == KeyKind::Passphrase {
                client.check_unlock(&Unlock::Passphrase(old))?;
            }
            client.change_passphrase(Unlock::Passphrase(new))
        });
        let changed = changing
            .await
            .map_err(|_| ClientError::Broken("the passphrase could not be changed".into()))?;
        changed.map_err(Failure::from)?;
        Ok(PassphraseRow {
            unlock: "passphrase",
        })
    }
}

fn address(words: &Short) -> Result<ServerAddress, RpcError> {
    parsed(words.0.parse())
}

/// Words that should mean something, or what is wrong with them.
fn parsed<T, E: std::fmt::Display>(words: Result<T, E>) -> Result<T, RpcError> {
    words.map_err(|error| ClientError::BadInput(error.to_string()).into())
}
