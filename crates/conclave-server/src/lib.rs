//! Conclave's server: opaque, ordered logs, a directory and private queues; it links no MLS.
//!
//! [`Server::open`] takes a data folder and a bound listener, [`Server::run`] serves until told to
//! stop: the program and every test run exactly this. [`ServerHandle`] does both in the background.
//!
//! - [`config`]: settings and where they come from
//! - [`files`]: how many may be open
//! - [`folder`]: the data folder, private and crash-safe
//! - [`keys`] and [`tls`]: root, leaf, pepper, TLS 1.3
//! - `server`, `door`, `connection`, `session`, `http`: from the socket to one request
//! - `api`: one file per family of requests; `limit`: how often; `places`: how many at once; `wake`: pushes
//! - `blobs`: encrypted files over HTTP
//! - `classic`: the classic gateway over this server's store
//! - [`clock`]: notices a clock that jumps
//! - [`otp`]: one-time codes and who sends them
//! - [`in_process`]: the server without sockets, for the simulator
//! - [`log`]: the rules of a log, pure
//! - [`store`]: the store in domain verbs; [`database`]: which one
//! - [`admin`]: what the running server does for its operator
//! - [`readers`]: what reads a stranger's bytes, alone
//! - [`hint`], `follow`, `nats`: several processes over one store
//! - [`health`]: asks a running server how it is
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use conclave_server::{ServerHandle, config::Config};
//!
//! let folder = tempfile::tempdir()?;
//! let server = ServerHandle::start(folder.path(), Config::default()).await?;
//! assert!(server.server_address().to_string().starts_with("conclave://"));
//! server.stop().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

pub mod admin;
mod api;
mod blobs;
mod classic;
pub mod clock;
pub mod config;
mod connection;
pub mod database;
mod door;
pub mod files;
pub mod folder;
mod follow;
mod handle;
pub mod health;
pub mod hint;
mod http;
pub mod in_process;
pub mod keys;
mod limit;
pub mod log;
mod mailbox;
mod nats;
pub mod otp;
mod places;
pub mod readers;
mod server;
mod session;
pub mod store;
pub mod tls;
mod turns;
mod wake;

pub use blobs::PlaceError;
pub use classic::server_key as classic_server_key;
pub use handle::{ChannelSender, ServerHandle};
pub use nats::{NatsError, NatsHints};
pub use server::{ServeError, ServeOptions, Server, address_of};
