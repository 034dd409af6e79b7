//! Codes wait here for the sender, so that no answer takes as long as sending does (C-045).

use std::sync::Arc;

use conclave_proto::{ErrorCode, Refusal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{CodeMessage, Sender};

/// Codes that wait at once.
const WAITING_MAX: usize = 256;

/// The queue's inlet.
#[derive(Debug, Clone)]
pub(crate) struct CodeQueue(mpsc::Sender<CodeMessage>);

impl CodeQueue {
    /// Starts the task that sends; it ends when every inlet is gone and the queue is empty.
    pub(crate) fn start(sender: Arc<dyn Sender>) -> (Self, JoinHandle<()>) {
        let (inlet, mut outlet) = mpsc::channel(WAITING_MAX);
        let task = tokio::spawn(async move {
            while let Some(message) = outlet.recv().await {
                // C-043: the error names neither code nor identifier.
                if let Err(error) = sender.send(message).await {
                    tracing::warn!("{error}");
                }
            }
        });
        (Self(inlet), task)
    }

    /// Puts a code in, or says that the server is busy.
    pub(crate) fn push(&self, message: CodeMessage) -> Result<(), Refusal> {
        self.0.try_send(message).map_err(|_| {
            let text = "too many codes are waiting to be sent, try again later";
            Refusal::new(ErrorCode::Busy, text).retry_after_ms(5_000)
        })
    }
}
