//! Calls with an idempotency key: said again they are not done again.

use aws_lc_rs::digest;
use conclave_client::once::Earlier;
use conclave_client::{Client, ClientError};
use schemars::Schema;
use serde_json::{Map, Value, json};

use super::methods::Method;
use super::{Caller, RpcError};

/// The parameter of every method that changes something.
pub(super) const KEY: &str = "idempotency_key";
/// Bytes of a key.
const KEY_BYTES_MAX: usize = 128;

/// The key among the parameters of a call, taken out of them.
pub(super) fn take_key(params: &mut Value) -> Result<Option<String>, RpcError> {
    match params.as_object_mut().and_then(|params| params.remove(KEY)) {
        None => Ok(None),
        Some(Value::String(key)) if (1..=KEY_BYTES_MAX).contains(&key.len()) => Ok(Some(key)),
        Some(_) => Err(RpcError::bad_params(format!(
            "`{KEY}` is no string of 1 to {KEY_BYTES_MAX} bytes"
        ))),
    }
}

/// Adds the key to what a method takes.
pub(super) fn with_key(mut schema: Schema) -> Schema {
    let property = json!({
        "type": "string",
        "minLength": 1,
        "maxLength": KEY_BYTES_MAX,
        "description": "The same call under the same key is done once, for 7 days: said again it gets the answer of \
            the first time. A new key for each call; of another call it is refused.",
    });
    let object = schema.ensure_object();
    let properties = object.entry("properties").or_insert_with(|| json!({}));
    if let Some(properties) = properties.as_object_mut() {
        properties.insert(KEY.to_owned(), property);
    }
    schema
}

/// Calls `method` once for `key`.
pub(super) async fn call<M: Method>(
    client: &Client,
    caller: &Caller,
    key: &str,
    (request, method): (Vec<u8>, M),
) -> Result<Value, RpcError> {
    let work = async {
        caller.check_reach(method.reach(client)?)?;
        let result = method.call(client, caller).await?;
        super::methods::value(&result)
    };
    let again = |earlier| match earlier {
        Earlier::Made(id) => match M::AGAIN {
            Some(again) => super::methods::value(&again(client, id)?),
            None => Err(ClientError::CallBroken.into()),
        },
        Earlier::Answered(answer) => answered(&answer),
        Earlier::New | Earlier::Broken => Err(ClientError::CallBroken.into()),
    };
    let name = (caller.whose(), key);
    let keep = |answer: &Result<_, _>| M::AGAIN.is_none().then(|| kept(answer));
    Box::pin(client.once(name, &request, work, keep, again)).await
}

/// What says which call it is: method and parameters, whatever their order.
pub(super) fn hash(method: &str, params: &Value) -> Vec<u8> {
    let mut bytes = format!("{method}\n").into_bytes();
    write_sorted(params, &mut bytes);
    digest::digest(&digest::SHA256, &bytes).as_ref().to_vec()
}

fn write_sorted(value: &Value, bytes: &mut Vec<u8>) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            bytes.push(b'{');
            for (name, value) in fields {
                bytes.extend(json!(name).to_string().bytes());
                write_sorted(value, bytes);
            }
            bytes.push(b'}');
        }
        Value::Array(items) => {
            bytes.push(b'[');
            for item in items {
                write_sorted(item, bytes);
                bytes.push(b',');
            }
            bytes.push(b']');
        }
        plain => bytes.extend(plain.to_string().bytes()),
    }
}

/// The answer as it is kept. The newest message of a chat is left out: it may be deleted before it is told again.
fn kept(answer: &Result<Value, RpcError>) -> String {
    let answer = match answer {
        Ok(result) => json!({ "result": without_words(result.clone()) }),
        Err(error) => json!({ "error": error }),
    };
    answer.to_string()
}

fn without_words(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| {
                let value = match name.as_str() {
                    "last" => Value::Null,
                    _ => without_words(value),
                };
                (name, value)
            });
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_words).collect()),
        plain => plain,
    }
}

fn answered(answer: &str) -> Result<Value, RpcError> {
    let broken = |_| RpcError::from(ClientError::CallBroken);
    let mut answer: Value = serde_json::from_str(answer).map_err(broken)?;
    if let Some(result) = answer.get_mut("result").map(Value::take) {
        return Ok(result);
    }
    let error = answer.get_mut("error").map(Value::take);
    Err(serde_json::from_value(error.unwrap_or_default()).map_err(broken)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same call is the same in any order of its fields, and no other call is it.
    #[test]
    fn a_call_is_known_by_what_it_says() {
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let one = hash("m", &parse(r#"{"a":1,"b":{"c":[1,2],"d":"x"}}"#));
        let same = hash("m", &parse(r#"{"b":{"d":"x","c":[1,2]},"a":1}"#));
        assert_eq!(one, same);
        for (method, other) in [
            ("n", r#"{"a":1,"b":{"c":[1,2],"d":"x"}}"#),
            ("m", r#"{"a":1,"b":{"c":[2,1],"d":"x"}}"#),
            ("m", r#"{"a":1,"b":{"c":[12],"d":"x"}}"#),
            ("m", r#"{"a":"1","b":{"c":[1,2],"d":"x"}}"#),
            ("m", r#"{"a":1,"b":{"c":[1,2]},"d":"x"}"#),
        ] {
            assert_ne!(hash(method, &parse(other)), one, "{method} {other}");
        }
    }

    /// What is kept of an answer holds no message; an error comes back as it was.
    #[test]
    fn kept_answers_hold_no_message() {
        let group = json!({"name": "hike", "last": {"text": "secret"}});
        let text = kept(&Ok(group));
        assert!(!text.contains("secret"), "{text}");
        assert_eq!(
            answered(&text).unwrap(),
            json!({"name": "hike", "last": null})
        );
        let error = RpcError::from(ClientError::TimedOut);
        assert_eq!(answered(&kept(&Err(error.clone()))), Err(error));
    }
}
