//! Calls that may come again: a caller that does not know whether its call was done says it again under the same key.
//!
//! - the key is written in the first transaction of the call, with what that does: there is no moment at which one is
//!   on disk without the other
//! - of a call that made or changed a message its id is kept, and the answer is made anew when it is asked for again:
//!   what was deleted meanwhile is not told
//! - of any other call the answer is kept, in a transaction after it; a call that ended between the two is known to
//!   have begun, and to have no answer
//! - a call that wrote nothing leaves nothing: said again it is done

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use conclave_proto::id::MessageId;

use crate::client::Client;
use crate::engine::Step;
use crate::error::ClientError;
use crate::store::{CallRow, StoreError};

/// How long calls are known, in ms: 7 days.
const KNOWN_MS: u64 = 7 * 86_400_000;

tokio::task_local! {
    /// The call that this task works on.
    static CALL: Call;
}

/// A call with a key, while it is worked on.
struct Call {
    owner: String,
    key: String,
    request: Vec<u8>,
    is_written: Cell<bool>,
}

/// What is known of a call before it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Earlier {
    /// Nothing: it is to be done.
    New,
    /// It made or changed this message.
    Made(MessageId),
    /// Its answer.
    Answered(String),
    /// It began, and the program ended before there was an answer.
    Broken,
}

/// Keys of calls that are worked on now.
#[derive(Debug, Default)]
pub(crate) struct Running(Mutex<BTreeSet<(String, String)>>);

/// A call that is worked on; dropped, it is no more.
struct Guard<'a> {
    running: &'a Running,
    name: (String, String),
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.running.lock().remove(&self.name);
    }
}

impl Running {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<(String, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, owner: &str, key: &str) -> Result<Guard<'_>, ClientError> {
        let name = (owner.to_owned(), key.to_owned());
        if !self.lock().insert(name.clone()) {
            return Err(ClientError::CallRunning);
        }
        Ok(Guard {
            running: self,
            name,
        })
    }
}

impl Client {
    /// Does `work` once for the call `key` of `owner`, whose method and parameters have the hash `request`: what is
    /// known of it is given to `again` instead. `keep` says which answer is kept of a call that wrote something; none
    /// when `again` makes it of the message that the call made.
    pub async fn once<T, E: From<ClientError>>(
        &self,
        (owner, key): (&str, &str),
        request: &[u8],
        work: impl Future<Output = Result<T, E>>,
        keep: impl FnOnce(&Result<T, E>) -> Option<String>,
        again: impl FnOnce(Earlier) -> Result<T, E>,
    ) -> Result<T, E> {
        // Held until the answer is kept: the same call beside this one waits.
        let guard = self.shared().calls.begin(owner, key)?;
        match self.earlier(owner, key, request)? {
            Earlier::New => {}
            earlier => return again(earlier),
        }
        let call = Call {
            owner: owner.to_owned(),
            key: key.to_owned(),
            request: request.to_owned(),
            is_written: Cell::new(false),
        };
        let work = async {
            let done = work.await;
            (done, CALL.with(|call| call.is_written.get()))
        };
        let (done, is_written) = CALL.scope(call, work).await;
        let answer = if is_written || done.is_ok() {
            keep(&done)
        } else {
            None
        };
        if let Some(answer) = answer {
            self.keep_answer((owner, key), request, answer)?;
        }
        drop(guard);
        done
    }

    /// What is known of a call. [`ClientError::KeyReused`] when its key was another call's.
    fn earlier(&self, owner: &str, key: &str, request: &[u8]) -> Result<Earlier, ClientError> {
        let known_ms = self.shared().env.now_ms().saturating_sub(KNOWN_MS);
        let known = self.engine().step_aside(|step| {
            step.tx.prune_calls(known_ms)?;
            Ok(step.tx.call(owner, key)?)
        })?;
        Ok(match known {
            None => Earlier::New,
            Some(call) if call.request != request => return Err(ClientError::KeyReused),
            Some(CallRow {
                answer: Some(answer),
                ..
            }) => Earlier::Answered(answer),
            Some(CallRow { made, .. }) => made.map_or(Earlier::Broken, Earlier::Made),
        })
    }

    /// Keeps the answer of a call.
    fn keep_answer(
        &self,
        (owner, key): (&str, &str),
        request: &[u8],
        answer: String,
    ) -> Result<(), ClientError> {
        self.engine().step_aside(|step| {
            let call = CallRow {
                request: request.to_owned(),
                made: None,
                answer: Some(answer),
            };
            Ok(step.tx.put_call((owner, key), step.now_ms, &call)?)
        })
    }
}

/// Writes down, in its transaction, that the step is of the call that this task works on. `true` when there is one.
pub(crate) fn write(step: &Step<'_>) -> Result<bool, StoreError> {
    let written = CALL.try_with(|call| {
        if call.is_written.get() && step.made.is_none() {
            return Ok(true);
        }
        let row = CallRow {
            request: call.request.clone(),
            made: step.made,
            answer: None,
        };
        step.tx
            .put_call((&call.owner, &call.key), step.now_ms, &row)?;
        Ok(true)
    });
    // No call: somebody at a command line, or the driver.
    written.unwrap_or(Ok(false))
}

/// The transaction of a step of a call is on disk.
pub(crate) fn committed() {
    let noted = CALL.try_with(|call| call.is_written.set(true));
    // No call: nothing to note.
    let _ = noted;
}
