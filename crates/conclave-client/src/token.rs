//! Tokens for programs that use this profile over HTTP: made, listed, taken back, checked. Only a hash of each is kept.

use std::collections::BTreeSet;

use conclave_proto::id::ChatId;
use conclave_proto::label::sha256;
use zeroize::Zeroizing;

use crate::client::Client;
use crate::error::ClientError;

/// Random bytes of a token: nobody guesses one.
const TOKEN_BYTES: usize = 32;
/// What a token begins with, so that people and scanners know one when they see it.
const TOKEN_BEGIN: &str = "conclave-token-";
/// Tokens of a profile.
const TOKENS_MAX: usize = 100;
/// Bytes of a token's name.
const NAME_BYTES_MAX: usize = 64;
/// Chats that a token may be limited to.
const CHATS_MAX: usize = 100;

/// What a token's holder may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenScope {
    /// Look.
    Read,
    /// Write messages and mark them read.
    Send,
    /// Decide about people, groups, devices and keys.
    Admin,
}

impl TokenScope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Read, Self::Send, Self::Admin];

    /// The stable name: `read`, `send`, `admin`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Send => "send",
            Self::Admin => "admin",
        }
    }

    /// The scope with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

/// A token as lists show it; what opens the door is not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// How `token revoke` names it: `t_` and 16 hex digits.
    pub id: String,
    /// What the user calls it; may be empty.
    pub name: String,
    /// What it allows.
    pub scopes: BTreeSet<TokenScope>,
    /// The only chats that it reaches; empty: all.
    pub chats: BTreeSet<ChatId>,
    /// When it was made, ms since 1970-01-01 UTC.
    pub created_ms: u64,
    /// When it ends, ms since 1970-01-01 UTC.
    pub expires_ms: u64,
}

impl Client {
    /// Makes a token that is good for `valid_ms`: the words to show once, and what is kept. `TooLarge` when there
    /// are too many, or the name or the list of chats is too long.
    pub fn create_token(
        &self,
        name: &str,
        scopes: &BTreeSet<TokenScope>,
        chats: &BTreeSet<ChatId>,
        valid_ms: u64,
    ) -> Result<(Zeroizing<String>, Token), ClientError> {
        if name.len() > NAME_BYTES_MAX || chats.len() > CHATS_MAX {
            return Err(ClientError::TooLarge(format!(
                "a token's name has at most {NAME_BYTES_MAX} bytes, and it names at most {CHATS_MAX} chats"
            )));
        }
        if scopes.is_empty() {
            return Err(ClientError::BadInput("a token needs a scope".into()));
        }
        let env = &self.shared().env;
        let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
        env.fill(bytes.as_mut_slice());
        let digits = Zeroizing::new(hex::encode(bytes.as_slice()));
        let words = Zeroizing::new(format!("{TOKEN_BEGIN}{}", digits.as_str()));
        let hash = *sha256(words.as_bytes()).as_bytes();
        let created_ms = env.now_ms();
        let token = Token {
            id: id_of(&hash),
            name: name.to_owned(),
            scopes: scopes.clone(),
            chats: chats.clone(),
            created_ms,
            expires_ms: created_ms.saturating_add(valid_ms),
        };
        self.engine().step(|step| {
            if step.tx.tokens()?.len() >= TOKENS_MAX {
                return Err(ClientError::TooLarge(format!(
                    "there are {TOKENS_MAX} tokens already; revoke one first"
                )));
            }
            Ok(step.tx.put_token(&hash, &token)?)
        })?;
        Ok((words, token))
    }

    /// All tokens, oldest first, ended ones too.
    pub fn tokens(&self) -> Result<Vec<Token>, ClientError> {
        let mut tokens = self.engine().look(|tx, _| Ok(tx.tokens()?))?;
        tokens.sort_by_key(|token| token.created_ms);
        Ok(tokens)
    }

    /// Whether the token `id` is there and has not ended.
    pub fn is_token_good(&self, id: &str) -> Result<bool, ClientError> {
        let now_ms = self.shared().env.now_ms();
        let tokens = self.tokens()?;
        Ok(tokens
            .iter()
            .any(|token| token.id == id && now_ms < token.expires_ms))
    }

    /// Takes the token `id` back: from now on it opens nothing.
    pub fn revoke_token(&self, id: &str) -> Result<(), ClientError> {
        self.engine().step(|step| {
            if step.tx.delete_token(id)? {
                step.tx.delete_owner(id)?;
                return Ok(());
            }
            let text = format!("there is no token {id}; `conclave token list` shows them");
            Err(ClientError::NotFound(text))
        })
    }

    /// What `words` allow now; none for what never was a token, was taken back, or has ended. Looked up by its hash:
    /// how long that takes says nothing about a token that is nearly right.
    pub fn check_token(&self, words: &str) -> Result<Option<Token>, ClientError> {
        let hash = *sha256(words.as_bytes()).as_bytes();
        let token = self.engine().look(|tx, _| Ok(tx.token(&hash)?))?;
        let now_ms = self.shared().env.now_ms();
        Ok(token.filter(|token| now_ms < token.expires_ms))
    }
}

/// A token's public name, from its hash.
pub(crate) fn id_of(hash: &[u8; 32]) -> String {
    let (begin, _) = hash.split_at(8);
    format!("t_{}", hex::encode(begin))
}
