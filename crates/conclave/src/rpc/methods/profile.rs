//! Methods about what people show of themselves: name, picture, and that they are writing.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use conclave_client::Client;
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Caller, Method, Reach, RpcError, Scope, Short, bounded, reach_chat};
use crate::rows::{DoneRow, ProfileRow};

/// Characters of a picture that is given: a request has at most 1 MiB.
const PICTURE_CHARACTERS_MAX: usize = 1_000_000;

/// The name and picture that somebody shows of themselves.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ShowParams {
    /// `+E164` number, e-mail address or chat id; empty: this account.
    #[serde(default)]
    who: Short,
}

/// A name and a picture.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Profile {
    #[serde(flatten)]
    profile: ProfileRow,
    /// A JPEG, in base64; comes from the other side, so read it with a decoder that expects the worst.
    picture: Option<String>,
}

impl Profile {
    fn of(client: &Client, who: Option<&str>) -> Result<Self, RpcError> {
        let profile = client.profile(who)?;
        Ok(Self {
            profile: ProfileRow::from(&profile),
            picture: profile.picture.map(|jpeg| BASE64_STANDARD.encode(jpeg)),
        })
    }
}

impl Method for ShowParams {
    const NAME: &'static str = "profile.show";
    const SCOPE: Scope = Scope::Read;
    type Result = Profile;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        if self.who.0.is_empty() {
            return Ok(Reach::Filtered);
        }
        reach_chat(client, &self.who)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<Profile, RpcError> {
        let who = Some(self.who.0.as_str()).filter(|who| !who.is_empty());
        Profile::of(client, who)
    }
}

/// A picture's file as it is given.
#[derive(Debug)]
pub(super) struct Picture(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for Picture {
    fn deserialize<D: Deserializer<'de>>(words: D) -> Result<Self, D::Error> {
        let words = bounded(words, PICTURE_CHARACTERS_MAX)?;
        let bytes = BASE64_STANDARD.decode(words).map_err(D::Error::custom)?;
        let is_picture = bytes.starts_with(b"\xff\xd8\xff") || bytes.starts_with(b"\x89PNG");
        if !bytes.is_empty() && !is_picture {
            return Err(D::Error::custom(
                "a picture is a JPEG or PNG file in base64",
            ));
        }
        Ok(Self(bytes))
    }
}

/// Change what contacts see of this account, and tell them. What is left out stays as it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetParams {
    /// At most 128 bytes; may be empty.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Short")]
    name: Option<Short>,
    /// A JPEG or PNG file in base64; it is made small, and what else it holds (place, camera) is left out. Empty takes
    /// the picture away.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Encoded")]
    picture: Option<Picture>,
}

/// How the schema shows a picture.
#[derive(JsonSchema)]
#[schemars(rename = "Picture")]
#[expect(dead_code, reason = "its shape alone is asked for")]
pub(super) struct Encoded(#[schemars(length(max = PICTURE_CHARACTERS_MAX))] String);

/// A value that is there is one: no `null`.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

impl Method for SetParams {
    const NAME: &'static str = "profile.set";
    const SCOPE: Scope = Scope::Admin;
    type Result = Profile;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<Profile, RpcError> {
        let name = self.name.as_ref().map(|name| name.0.as_str());
        let picture = self.picture.as_ref().map(|picture| picture.0.as_slice());
        if name.is_some() || picture.is_some() {
            client.set_profile(name, picture)?;
        }
        Profile::of(client, None)
    }
}

/// Tell a chat once that you are writing. Accepted people alone see it, for six seconds, and with the setting `typing`
/// off nobody.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TypingParams {
    /// `+E164` number, e-mail address, name of a group, or chat id.
    chat: Short,
}

impl Method for TypingParams {
    const NAME: &'static str = "chats.typing";
    const SCOPE: Scope = Scope::Send;
    type Result = DoneRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.chat)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<DoneRow, RpcError> {
        client.typing(client.find_chat(&self.chat.0)?)?;
        Ok(DoneRow {
            done: "typing",
            to: self.chat.0,
        })
    }
}
