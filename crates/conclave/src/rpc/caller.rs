//! Who calls, and what they may: everything at the socket and on a pipe, what the token says over HTTP, everything but
//! files of the disk on the page.

use std::collections::BTreeSet;
use std::sync::Arc;

pub(crate) use conclave_client::TokenScope as Scope;
use conclave_client::{Client, Token};
use conclave_proto::id::ChatId;

use super::RpcError;
use crate::web::Desk;

/// What a call touches, so that a token for some chats reaches no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// One chat.
    Chat(ChatId),
    /// Two chats at once.
    Chats(ChatId, ChatId),
    /// Chats, of which the method shows those that the caller may see.
    Filtered,
    /// The program alone: nothing of the profile.
    Nothing,
    /// The profile as a whole, or somebody without a chat yet.
    Profile,
}

/// Who calls.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Whose consumers and keys are its own: a token's, or those of the user.
    owner: String,
    scopes: BTreeSet<Scope>,
    door: Door,
    /// The only chats it may reach; none: all of them.
    chats: Option<BTreeSet<ChatId>>,
}

/// How it came in.
#[derive(Debug, Clone)]
enum Door {
    /// By socket or pipe: this user, who may read and write files of this disk.
    Own,
    /// By HTTP, with a token.
    Token,
    /// On the page, in one of its sessions.
    Page(Arc<Desk>),
}

impl Caller {
    /// The user, at the socket or on a pipe.
    pub(crate) fn owner() -> Self {
        Self {
            owner: String::new(),
            scopes: Scope::ALL.into(),
            door: Door::Own,
            chats: None,
        }
    }

    /// The user, on the page.
    pub(crate) fn page(desk: Arc<Desk>) -> Self {
        Self {
            door: Door::Page(desk),
            ..Self::owner()
        }
    }

    /// What the page has at hand beside its calls; none: another door.
    pub(crate) fn desk(&self) -> Option<&Arc<Desk>> {
        match &self.door {
            Door::Page(desk) => Some(desk),
            Door::Own | Door::Token => None,
        }
    }

    /// Whoever shows a token.
    pub(crate) fn with(token: Token) -> Self {
        Self {
            owner: token.id,
            scopes: token.scopes,
            door: Door::Token,
            chats: Some(token.chats).filter(|chats| !chats.is_empty()),
        }
    }

    /// Whose consumers and idempotency keys it uses: the id of its token, or nothing for the user.
    pub(crate) fn whose(&self) -> &str {
        &self.owner
    }

    /// Refuses whose token or session ended since the call came in.
    pub(crate) fn check_still(&self, client: &Client) -> Result<(), RpcError> {
        let (is_good, why) = match &self.door {
            Door::Own => (true, ""),
            Door::Token => {
                let why = "the token was revoked or ended meanwhile";
                (client.is_token_good(&self.owner)?, why)
            }
            Door::Page(desk) => (desk.is_open(), "this page's session ended meanwhile"),
        };
        if is_good {
            Ok(())
        } else {
            Err(RpcError::forbidden(why))
        }
    }

    /// The only chats it may reach; none: all of them.
    pub(crate) fn chats(&self) -> Option<&BTreeSet<ChatId>> {
        self.chats.as_ref()
    }

    /// Whether it may see `chat`.
    pub(crate) fn may_see(&self, chat: ChatId) -> bool {
        self.chats
            .as_ref()
            .is_none_or(|chats| chats.contains(&chat))
    }

    /// Refuses callers over HTTP, whatever their token, and the page: a path would lead them to every file of this
    /// user.
    pub(crate) fn check_owner(&self) -> Result<(), RpcError> {
        let hint = match &self.door {
            Door::Own => return Ok(()),
            Door::Token => "no token opens this; use the socket, or `conclave rpc`",
            Door::Page(_) => "upload the file, or open its link; `conclave rpc` takes paths",
        };
        let mut error = RpcError::forbidden(
            "files of this disk are for programs at the profile's own socket or pipes",
        );
        hint.clone_into(&mut error.data.hint);
        Err(error)
    }

    /// Refuses callers with a token: this is for a person who sits there.
    pub(crate) fn check_person(&self) -> Result<(), RpcError> {
        if !matches!(self.door, Door::Token) {
            return Ok(());
        }
        Err(RpcError::forbidden(
            "no token may do this: it is for the person at the profile's own doors",
        ))
    }

    /// Refuses what the token is not for.
    pub(crate) fn check_scope(&self, scope: Scope) -> Result<(), RpcError> {
        if self.scopes.contains(&scope) {
            return Ok(());
        }
        let why = format!("this token has not the scope `{}`", scope.name());
        Err(RpcError::forbidden(why))
    }

    /// Refuses what lies outside the token's chats.
    pub(crate) fn check_reach(&self, reach: Reach) -> Result<(), RpcError> {
        let is_allowed = match reach {
            Reach::Chat(chat) => self.may_see(chat),
            Reach::Chats(one, other) => self.may_see(one) && self.may_see(other),
            Reach::Filtered | Reach::Nothing => true,
            Reach::Profile => self.chats.is_none(),
        };
        if is_allowed {
            return Ok(());
        }
        // The same words whether the chat is there or not.
        Err(RpcError::forbidden("this token is for other chats"))
    }
}
