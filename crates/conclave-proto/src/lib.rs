//! What Conclave's client and server say to each other, byte for byte.
//!
//! No async, no MLS, no I/O: this crate is the shared language. The server links it and nothing
//! that could open a message; the client links it below its keys. Frames are protobuf
//! (length-delimited, [`codec`]); everything that is *signed* is TLS presentation language
//! ([`account`], [`log`]), encoded deterministically and parsed strictly.
//!
//! - [`id`]: newtypes for every id and counter
//! - [`mod@env`]: the one door to time and chance
//! - [`limits`]: every bound, with its unit and reason
//! - [`error`]: the table of stable error codes
//! - [`codec`]: frames and strict parsing
//! - [`label`]: what a signature or hash is about, one distinct label per object
//! - [`address`]: `conclave://…` server addresses
//! - [`identifier`]: phone numbers and e-mail addresses, normalised
//! - [`name`]: names that people see
//! - [`hello`]: the first frames of a connection, and what proofs on it sign
//! - [`account`]: identity keys, device certificates, account states, registration
//! - [`key_package`]: publishing and claiming key packages
//! - [`inbox`]: a device's private queue
//! - [`log`]: conversations as the server sees them: entries, heads, bundles
//! - [`mailbox`]: where a new device meets its account
//! - [`blob`]: opaque bytes beside a log
//! - [`frame`]: requests, replies and pushes
//!
//! ```
//! use conclave_proto::{codec, frame::{Request, request}, log::ReadLog};
//!
//! let request = Request { id: 7, body: Some(request::Body::ReadLog(ReadLog { handle: 1, after: 0, limit: 100 })) };
//! let bytes = codec::encode_frame(&request)?;
//! let (parsed, used) = codec::decode_frame::<Request>(&bytes)?.expect("the whole frame is there");
//! assert_eq!(parsed, request);
//! assert_eq!(used, bytes.len());
//! # Ok::<(), codec::CodecError>(())
//! ```

pub mod account;
pub mod address;
pub mod blob;
pub mod codec;
pub mod env;
pub mod error;
pub mod frame;
pub mod group_link;
pub mod hello;
pub mod id;
pub mod identifier;
pub mod inbox;
pub mod key_package;
pub mod label;
pub mod limits;
pub mod log;
pub mod mailbox;
pub mod name;

pub use error::{ErrorCode, Refusal};

/// Version of everything this crate describes; both hellos carry it, anything else is refused (C-001).
pub const PROTOCOL_VERSION: u32 = 1;

/// ALPN name of the frame protocol on TLS.
pub const ALPN: &[u8] = b"conclave/1";

/// ALPN name under which the same port speaks HTTP: health and the WebSocket upgrade.
pub const ALPN_HTTP: &[u8] = b"http/1.1";

/// Path of the WebSocket upgrade; the bytes of its binary messages, joined, are the frames.
pub const WEBSOCKET_PATH: &str = "/v1/ws";
