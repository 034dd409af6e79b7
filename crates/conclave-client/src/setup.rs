//! What front ends ask before and beside everything else: is there an account, is the server there, what has changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use conclave_proto::id::MessageId;
use tokio::sync::{broadcast, watch};

use crate::client::{Client, KeyKind};
use crate::engine::show;
use crate::error::ClientError;
use crate::link;
use crate::register;
use crate::shared::Standing;
use crate::store::Deleted;
use crate::view::{Connection, Message, Setup, Touched};

/// Tells when the connection may be another: after each round of the network driver.
#[derive(Debug)]
pub struct ConnectionChanges(watch::Receiver<Standing>);

impl ConnectionChanges {
    /// Waits for the next one; never comes back once the profile is closed.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Client {
    /// How far this profile is on its way to an account.
    pub fn setup(&self) -> Result<Setup, ClientError> {
        let now_ms = self.shared().env.now_ms();
        let mut engine = self.engine();
        if let Some(own) = &engine.own {
            return Ok(Setup::Open(register::whoami(&own.account)));
        }
        let (link, pending) = engine.store.read(|tx| {
            let both = (tx.pending_link()?, tx.pending_registration()?);
            Ok::<_, ClientError>(both)
        })?;
        if let Some(link) = link.filter(|link| link::is_in_time(link, now_ms)) {
            return Ok(Setup::Linking {
                shown: link::shown(&link, now_ms),
                server: link.server.to_string(),
            });
        }
        Ok(pending.map_or(Setup::Empty, |pending| Setup::CodeSent {
            identifier: pending.account.identifier,
            server: pending.account.server.to_string(),
        }))
    }

    /// How this device stands with its server now.
    pub fn connection(&self) -> Result<Connection, ClientError> {
        let standing = self.shared().standing();
        let (is_removed, queued) = self.engine().look(|tx, _| {
            let queued = tx.outbox_waiting()? + tx.receipts_waiting()? + tx.posts_waiting()?;
            Ok((tx.is_removed()?, queued))
        })?;
        let trouble = standing.trouble.as_ref().map(ClientError::from);
        Ok(Connection {
            is_online: standing.is_online(),
            is_removed,
            queued,
            trouble: trouble.map(|error| error.to_string()).unwrap_or_default(),
        })
    }

    /// When it may stand otherwise.
    pub fn connection_changes(&self) -> ConnectionChanges {
        ConnectionChanges(self.shared().standing.subscribe())
    }

    /// What is touched from now on, by whichever command or device; each is told after its commit. A slow listener
    /// loses some and is told that it did.
    pub fn touched(&self) -> broadcast::Receiver<Arc<BTreeSet<Touched>>> {
        self.engine().touched.subscribe()
    }

    /// How this profile keeps its store key.
    pub fn own_key_kind(&self) -> KeyKind {
        Self::key_kind(self.dir())
    }

    /// Wants the profile closed until its passphrase is given again. `NotAllowed` when no passphrase keeps anybody out,
    /// or nobody here could open it again.
    pub fn ask_lock(&self) -> Result<(), ClientError> {
        if self.own_key_kind() != KeyKind::Passphrase {
            return Err(ClientError::NotAllowed(
                "a key file opens this profile, so a lock would keep nobody out; give it a passphrase first".into(),
            ));
        }
        if self.shared().lock.receiver_count() == 0 {
            return Err(ClientError::NotAllowed(
                "nothing here could unlock the profile again; open the page with `conclave web`, or end the daemon \
                 with `conclave daemon stop`"
                    .into(),
            ));
        }
        self.shared().lock.send_replace(true);
        Ok(())
    }

    /// Comes back when somebody wants the profile locked, from this call on. Whoever holds it can open the profile again.
    pub fn lock_asked(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut asked = self.shared().lock.subscribe();
        async move {
            if asked.wait_for(|is_asked| *is_asked).await.is_err() {
                // It is closed: nobody can want it any more.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Messages as they are now, by their ids; none in the place of those that are not shown any more.
    pub fn messages(
        &self,
        ids: &[MessageId],
    ) -> Result<Vec<(MessageId, Option<Message>)>, ClientError> {
        self.engine().look(|tx, own| {
            let shown = |id: &MessageId| {
                let row = tx.find_message(*id)?;
                let row = row.filter(|row| row.deleted != Deleted::ForMe);
                let message = row.map(|row| show(tx, own, &row)).transpose()?;
                Ok((*id, message))
            };
            ids.iter().map(shown).collect()
        })
    }
}
