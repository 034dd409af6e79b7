//! Disk and network of a person's device: one engine that owns the state, one driver that owns the network.
//!
//! Front ends hold a [`Client`]. A command changes the encrypted store in one transaction and wakes the
//! driver; the driver carries bytes between server and engine and never holds a transaction open.
//! Whatever moment the process dies, the next start goes on from what is on disk.
//!
//! - [`client`]: the handle every front end uses
//! - [`view`]: the rows front ends are shown
//! - [`event`]: what happens, as they hear it
//! - [`error`]: why the answer is no
//! - [`disk`], [`inspect`]: crashes around transactions, and what devices agree on: for tests and the simulator
//! - `engine`: sole owner of state; one step is one transaction
//! - `driver`: the network loop: connects, calls, hands bytes to the engine
//! - `shared`, `net`: what front ends and the driver share; the driver's connections and handles
//! - `register`, `device`: the account connection: registration, pass, key packages, capability
//! - `setup`: whether there is an account, whether the server is there, what has changed
//! - `link`, `own`: the account's devices: letting one in, following each other, removing one
//! - `contact`: lookups and pins
//! - `people`: chats and contacts, as front ends ask for them
//! - `keys`: identity keys that change
//! - `trust`: comparing safety numbers, and who may be written to
//! - `token`: what programs show to use this profile
//! - `invite`, `request`, `join`: first contact, from both ends, and joining; `answer`: an answer holds on all devices
//! - `send`, `outbox`: a message's way out
//! - `sync`, `receive`, `content`: a log's way in
//! - `group`, `group_link`: groups, as front ends ask for them
//! - `intent`, `membership`, `members`: what is wanted of members, commits, and what follows from them
//! - `note`: what happened in a chat beside messages
//! - `recover`: conversations that cannot go on
//! - `archive`: history for a new device
//! - `attachment`: files of messages
//! - `blob`: files up and down, going on after cuts
//! - [`transport`]: connections, real and in memory
//! - `store`: the encrypted database
//!
//! ```no_run
//! use conclave_client::{Client, Unlock};
//! use conclave_proto::env::OsEnv;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::open("profile".as_ref(), Unlock::KeyFile, OsEnv::shared())?;
//! client.go_online();
//! let message = client.send("anna@example.org", "hello").await?;
//! client.settle(std::time::Duration::from_secs(30)).await?;
//! println!("{}", client.message(message.id)?.message.state.name());
//! # Ok(())
//! # }
//! ```

pub mod client;
pub mod disk;
pub mod error;
pub mod event;
pub mod inspect;
pub mod journal;
pub mod once;
pub mod transport;
pub mod view;
pub mod webhook;

mod answer;
mod archive;
mod attachment;
mod blob;
mod contact;
mod content;
mod device;
mod device_key;
mod driver;
mod engine;
mod group;
mod group_link;
mod held;
mod history;
mod intent;
mod invite;
mod join;
mod keys;
mod link;
mod members;
mod membership;
mod net;
mod note;
mod outbox;
mod own;
mod own_sync;
mod people;
mod picture;
mod pieces;
mod read;
mod receive;
mod recover;
mod register;
mod rejoin;
mod request;
mod restored;
mod search;
mod send;
mod settings;
mod setup;
mod shared;
mod states;
mod store;
mod successor;
mod sync;
mod talk;
mod token;
mod trust;

pub use attachment::{AttachmentReader, safe_name};
pub use client::{Client, KeyKind, Unlock};
pub use error::{ClientError, OpenError};
pub use event::Event;
pub use history::Around;
pub use setup::ConnectionChanges;
pub use token::{Token, TokenScope};

#[cfg(test)]
mod cutting;

// The tests inside this crate use the same server, people and transport as those outside.
#[cfg(test)]
extern crate self as conclave_client;
#[cfg(test)]
#[allow(dead_code, reason = "the tests outside use the rest")]
#[path = "../tests/support/mod.rs"]
mod support;
