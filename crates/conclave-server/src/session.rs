//! What one connection has proved and opened: its role, device and handles.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use conclave_proto::hello::{ConnectionContext, Role};
use conclave_proto::id::{AccountId, Day, DeviceId, Epoch, LogId};
use conclave_proto::limits::HANDLES_MAX;
use conclave_proto::{ErrorCode, Refusal};

use crate::limit::{Action, ConnectionLimits, NetworkKey};
use crate::server::App;
use crate::wake::Pushes;

/// One connection after its hello. Subscriptions end when it is dropped.
#[derive(Debug)]
pub(crate) struct Session {
    /// What proofs on this connection sign.
    pub(crate) context: ConnectionContext,
    /// Fixed by the hello (C-006).
    pub(crate) role: Role,
    /// Pushes on their way to the client.
    pub(crate) pushes: Arc<Pushes>,
    /// One reply of up to a megabyte at a time.
    pub(crate) large_reply: tokio::sync::Mutex<()>,
    app: Arc<App>,
    pass_day: Day,
    limits: Option<(NetworkKey, ConnectionLimits)>,
    state: Mutex<State>,
}

/// A right to one epoch of one log, on this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handle {
    pub(crate) log_id: LogId,
    pub(crate) epoch: Epoch,
}

/// A handle, its number on this connection, and whether it gets pushes.
#[derive(Debug)]
struct Numbered {
    number: u32,
    is_subscribed: bool,
    handle: Handle,
}

#[derive(Debug, Default)]
struct State {
    device: Option<(AccountId, DeviceId)>,
    inbox: Option<DeviceId>,
    /// In the order of their numbers: new ones come last, and most connections only wait, so that their
    /// memory counts more than a search.
    handles: Vec<Numbered>,
    last_handle: u32,
    opens_after_ms: u64,
}

impl Session {
    /// A connection whose hello showed the pass of `pass_day`; `network` is `None` when it is exempt
    /// from limits.
    pub(crate) fn new(
        app: Arc<App>,
        context: ConnectionContext,
        role: Role,
        pass_day: Day,
        network: Option<NetworkKey>,
    ) -> Self {
        let limits = network.map(|network| (network, app.limits.connection()));
        Self {
            context,
            role,
            pushes: Arc::default(),
            large_reply: tokio::sync::Mutex::default(),
            app,
            pass_day,
            limits,
            state: Mutex::default(),
        }
    }

    /// Counts one `action` of this connection, or refuses it.
    pub(crate) fn count(&self, action: Action) -> Result<(), Refusal> {
        match &self.limits {
            Some((network, connection)) => self.app.limits.count(action, *network, connection),
            None => Ok(()),
        }
    }

    /// Checks a member pass: today's, or the one that this connection's hello showed a day ago.
    pub(crate) fn check_pass(&self, pass: &[u8]) -> Result<(), Refusal> {
        if self.app.takes_pass(pass, self.pass_day) {
            return Ok(());
        }
        Err(Refusal::new(
            ErrorCode::PassInvalid,
            "the member pass is missing or not today's, fetch it again",
        ))
    }

    /// This connection acts for the device from now on; it can be said once.
    pub(crate) fn authenticated(&self, account: AccountId, device: DeviceId) {
        self.state().device.get_or_insert((account, device));
    }

    /// The device that this connection acts for, while its account lists it.
    pub(crate) async fn device(&self) -> Result<(AccountId, DeviceId), Refusal> {
        let device = self.state().device;
        if let Some((account_id, device_id)) = device
            && let Some(_listed) = self.app.store.device_key(account_id, device_id).await?
        {
            return Ok((account_id, device_id));
        }
        Err(Refusal::new(
            ErrorCode::Unauthorized,
            "authenticate as a device of the account first",
        ))
    }

    /// Whether a device was already named on this connection.
    pub(crate) fn is_authenticated(&self) -> bool {
        self.state().device.is_some()
    }

    /// Remembers whose inbox this connection listens to.
    pub(crate) fn listens_to_inbox(&self, device: DeviceId) {
        self.state().inbox = Some(device);
    }

    /// Refuses when `more` handles would be too many (C-011), else makes room for just them.
    pub(crate) fn has_room(&self, more: usize) -> Result<(), Refusal> {
        let mut state = self.state();
        if state.handles.len().saturating_add(more) > HANDLES_MAX {
            let text = format!("at most {HANDLES_MAX} handles, close some first");
            return Err(Refusal::new(ErrorCode::TooLarge, text));
        }
        if more > 1 {
            state.handles.reserve_exact(more);
        }
        Ok(())
    }

    /// A new handle; numbers are never used twice on a connection.
    pub(crate) fn open(&self, log_id: LogId, epoch: Epoch) -> u32 {
        let mut state = self.state();
        state.last_handle = state.last_handle.saturating_add(1);
        let number = state.last_handle;
        state.handles.push(Numbered {
            number,
            is_subscribed: false,
            handle: Handle { log_id, epoch },
        });
        number
    }

    /// The handle with this number.
    pub(crate) fn handle(&self, number: u32) -> Result<Handle, Refusal> {
        let mut state = self.state();
        let found = state.find(number).map(|(_, numbered)| numbered.handle);
        found
            .ok_or_else(|| Refusal::new(ErrorCode::BadRequest, "no such handle on this connection"))
    }

    /// Subscribes a handle to pushes.
    pub(crate) fn subscribe(&self, number: u32) -> Result<(), Refusal> {
        let handle = self.handle(number)?;
        if let Some((_, numbered)) = self.state().find(number) {
            numbered.is_subscribed = true;
        }
        let hub = &self.app.hub;
        hub.subscribe_log(handle.log_id, handle.epoch, number, &self.pushes);
        Ok(())
    }

    /// Forgets a handle and its subscription.
    pub(crate) fn close(&self, number: u32) {
        let mut state = self.state();
        let found = state.find(number).map(|(index, _)| index);
        let closed = found.map(|index| state.handles.remove(index));
        drop(state);
        if let Some(Numbered { handle, .. }) = closed {
            let hub = &self.app.hub;
            hub.unsubscribe_log(handle.log_id, number, &self.pushes);
        }
    }

    /// Counts a failed open; beyond the limit the connection opens nothing for a while. The log
    /// itself is never charged.
    pub(crate) fn failed_open(&self) {
        if let Err(refusal) = self.count(Action::FailedOpen) {
            let until_ms = self.app.env.now_ms().saturating_add(refusal.retry_after_ms);
            self.state().opens_after_ms = until_ms;
        }
    }

    /// Refuses opens while too many have failed.
    pub(crate) fn may_open(&self) -> Result<(), Refusal> {
        let wait_ms = self
            .state()
            .opens_after_ms
            .saturating_sub(self.app.env.now_ms());
        if wait_ms == 0 {
            return Ok(());
        }
        let text = "too many failed opens, try again later";
        Err(Refusal::new(ErrorCode::RateLimited, text).retry_after_ms(wait_ms))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let state = std::mem::take(&mut *self.state());
        let subscribed = state.handles.iter().filter(|handle| handle.is_subscribed);
        let logs = subscribed.map(|numbered| numbered.handle.log_id);
        self.app.hub.forget(&self.pushes, state.inbox, logs);
    }
}

impl State {
    fn find(&mut self, number: u32) -> Option<(usize, &mut Numbered)> {
        let by_number = |numbered: &Numbered| numbered.number;
        let index = self.handles.binary_search_by_key(&number, by_number).ok()?;
        Some((index, self.handles.get_mut(index)?))
    }
}
