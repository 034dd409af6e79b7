//! Tokens of programs, by the hash of their words.

use conclave_proto::id::ChatId;
use rusqlite::params;
use tls_codec::{Deserialize as _, Serialize as _, TlsDeserialize, TlsSerialize, TlsSize};

use super::{StoreError, Tx};
use crate::token::{Token, TokenScope, id_of};

/// What the keys of tokens begin with; the hash follows in hex.
const KEY_BEGIN: &str = "token.";

/// A token as it is kept.
#[derive(TlsSerialize, TlsDeserialize, TlsSize)]
struct Kept {
    /// 1.
    version: u8,
    name: Vec<u8>,
    /// A bit per scope, in the order of `TokenScope::ALL`.
    scopes: u8,
    chats: Vec<[u8; 16]>,
    created_ms: u64,
    expires_ms: u64,
}

impl Tx<'_> {
    /// Keeps a token under the hash of its words.
    pub(crate) fn put_token(&self, hash: &[u8; 32], token: &Token) -> Result<(), StoreError> {
        let bits = (0u8..).zip(TokenScope::ALL);
        let kept = Kept {
            version: 1,
            name: token.name.clone().into_bytes(),
            scopes: bits
                .filter(|(_, scope)| token.scopes.contains(scope))
                .fold(0, |bits, (bit, _)| bits | 1 << bit),
            chats: token.chats.iter().map(|chat| *chat.as_bytes()).collect(),
            created_ms: token.created_ms,
            expires_ms: token.expires_ms,
        };
        let bytes = kept.tls_serialize_detached();
        let bytes = bytes.map_err(|error| StoreError(error.to_string()))?;
        self.set_meta(&key(hash), &bytes)
    }

    /// The token with this hash.
    pub(crate) fn token(&self, hash: &[u8; 32]) -> Result<Option<Token>, StoreError> {
        let value = self.meta(&key(hash))?;
        value.map(|value| parse(hash, &value)).transpose()
    }

    /// All tokens.
    pub(crate) fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        let mut query = self
            .0
            .prepare_cached("SELECT key, value FROM meta WHERE key GLOB 'token.*'")?;
        let rows = query.query_map([], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?))
        })?;
        rows.map(|row| {
            let (key, value) = row?;
            let mut hash = [0; 32];
            let digits = key.strip_prefix(KEY_BEGIN).unwrap_or_default();
            hex::decode_to_slice(digits, &mut hash).map_err(|_| damaged())?;
            parse(&hash, &value)
        })
        .collect()
    }

    /// Forgets the token called `id`; whether there was one.
    pub(crate) fn delete_token(&self, id: &str) -> Result<bool, StoreError> {
        let Some(digits) = id.strip_prefix("t_").filter(|digits| digits.len() == 16) else {
            return Ok(false);
        };
        let key = format!("{KEY_BEGIN}{digits}");
        let deleted = self.0.execute(
            "DELETE FROM meta WHERE substr(key, 1, length(?1)) = ?1",
            params![key],
        )?;
        Ok(deleted > 0)
    }
}

fn key(hash: &[u8; 32]) -> String {
    format!("{KEY_BEGIN}{}", hex::encode(hash))
}

fn parse(hash: &[u8; 32], bytes: &[u8]) -> Result<Token, StoreError> {
    let kept = Kept::tls_deserialize_exact(bytes).map_err(|_| damaged())?;
    if kept.version != 1 {
        return Err(damaged());
    }
    let bits = (0u8..).zip(TokenScope::ALL);
    Ok(Token {
        id: id_of(hash),
        name: String::from_utf8(kept.name).map_err(|_| damaged())?,
        scopes: bits
            .filter(|(bit, _)| kept.scopes & 1 << bit != 0)
            .map(|(_, scope)| scope)
            .collect(),
        chats: kept.chats.into_iter().map(ChatId::new).collect(),
        created_ms: kept.created_ms,
        expires_ms: kept.expires_ms,
    })
}

fn damaged() -> StoreError {
    StoreError("a token's row is damaged".into())
}
