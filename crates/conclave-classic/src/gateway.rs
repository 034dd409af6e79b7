//! The server's side: a TCP port that speaks JSON lines, over rows that somebody else keeps.
//!
//! 1. `lines.rs` cuts the stream into lines, within limits of length and time.
//! 2. `session.rs` answers one line after the other for one connection.
//! 3. `registration.rs` turns a phone, a code and a key into an account.
//! 4. `mailbox.rs` takes messages in and hands them out.
//! 5. `backend.rs` says what is asked of the server: codes and durable rows.

mod backend;
mod lines;
mod mailbox;
mod registration;
mod session;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::keys::PrivateKey;
use crate::suite::Suite;

pub use backend::{
    Account, Backend, BackendFuture, CodeCheck, CodeTicket, Places, Pushed, Registered, Waiting,
};
use registration::Registrations;

/// Connections at once; further ones are closed unanswered.
const CONNECTIONS_MAX: usize = 256;

/// The server's fixed key pairs, one for each suite. The private halves stay in its data folder.
#[derive(Debug)]
pub struct ServerKeys {
    /// RSA-2048.
    pub rsa: PrivateKey,
    /// P-256.
    pub ec: PrivateKey,
}

impl ServerKeys {
    /// The key of a suite.
    pub const fn of(&self, suite: Suite) -> &PrivateKey {
        match suite {
            Suite::Rsa => &self.rsa,
            Suite::Ec => &self.ec,
        }
    }
}

/// What all connections share.
#[derive(Debug)]
pub struct Gateway {
    backend: Arc<dyn Backend>,
    keys: ServerKeys,
    registrations: Registrations,
    listeners: Listeners,
}

impl Gateway {
    /// A gateway over `backend`.
    pub fn new(backend: Arc<dyn Backend>, keys: ServerKeys) -> Self {
        Self {
            backend,
            keys,
            registrations: Registrations::default(),
            listeners: Listeners::default(),
        }
    }

    /// Serves `listener` until `stop` turns true; then every connection is closed after the request that it is
    /// answering.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        let mut stopping = stop.clone();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(accepted) if connections.len() < CONNECTIONS_MAX => {
                        let (gateway, stop) = (Arc::clone(&self), stop.clone());
                        connections.spawn(session::run(gateway, accepted, stop));
                    }
                    // one too many is closed unanswered
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!("cannot accept a classic connection: {}", error.kind());
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = connections.join_next() => {
                    if ended.is_err_and(|error| error.is_panic()) {
                        tracing::error!("a classic connection's task broke");
                    }
                }
                () = stopped(&mut stopping) => break,
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }
}

/// Completes when the server stops, or is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // an error says that the sender is gone, which is a stop as well
    let _ = stop.wait_for(|is_stopping| *is_stopping).await;
}

/// Pause after a failed accept: the machine is out of files or memory.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// Who is waiting for something new, by phone.
#[derive(Debug, Default)]
struct Listeners(Mutex<HashMap<String, Vec<Arc<Notify>>>>);

impl Listeners {
    fn add(&self, phone: &str, wake: Arc<Notify>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(phone.to_owned()).or_default().push(wake);
    }

    fn remove(&self, phone: &str, wake: &Arc<Notify>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wakes) = all.get_mut(phone) {
            wakes.retain(|other| !Arc::ptr_eq(other, wake));
            if wakes.is_empty() {
                all.remove(phone);
            }
        }
    }

    fn wake(&self, phone: &str) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for wake in all.get(phone).into_iter().flatten() {
            wake.notify_one();
        }
    }
}
