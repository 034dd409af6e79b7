//! The unanswered requests of one connection, run side by side inside its task.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::api::Answer;

/// Unanswered requests of one connection; a further one is refused (C-011).
pub(super) const UNANSWERED_MAX: usize = 64;

/// Room for so many is kept while nothing runs.
const KEPT: usize = 4;

type Running = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Requests that run. Each is polled in the order of arrival, so that what they hand to the store
/// arrives there in that order.
#[derive(Default)]
pub(super) struct InFlight(Vec<Request>);

struct Request {
    id: u64,
    bytes: usize,
    running: Running,
}

impl InFlight {
    /// Whether one more would be too many.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= UNANSWERED_MAX
    }

    /// Whether nothing runs.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a request with this id runs.
    pub(super) fn contains(&self, id: u64) -> bool {
        self.0.iter().any(|request| request.id == id)
    }

    /// Bytes of the frames whose requests run.
    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|request| request.bytes).sum()
    }

    /// Adds a request that came in a frame of `bytes`.
    pub(super) fn push(&mut self, id: u64, bytes: usize, running: Running) {
        self.0.push(Request { id, bytes, running });
    }

    /// The next answer, whoever is first; waits for ever while nothing runs.
    pub(super) async fn next(&mut self) -> (u64, Answer) {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<(u64, Answer)> {
        let mut done = None;
        for (index, request) in self.0.iter_mut().enumerate() {
            if let Poll::Ready(answer) = request.running.as_mut().poll(context) {
                done = Some((index, answer));
                break;
            }
        }
        let Some((index, answer)) = done else {
            return Poll::Pending;
        };
        let id = self.0.remove(index).id;
        if self.0.is_empty() && self.0.capacity() > KEPT {
            self.0 = Vec::new();
        }
        Poll::Ready((id, answer))
    }
}

#[cfg(test)]
mod tests {
    use conclave_proto::frame::{Done, reply};

    use super::*;

    /// Requests that wait fill the bound; answers come out as they are ready and make room.
    #[tokio::test]
    async fn c011_unanswered_requests_are_bounded() {
        let mut in_flight = InFlight::default();
        for id in 1..64 {
            in_flight.push(id, 10, Box::pin(std::future::pending()));
        }
        assert!(!in_flight.is_full());
        let done = async { Ok(reply::Body::Done(Done {})) };
        in_flight.push(64, 10, Box::pin(done));
        assert!(in_flight.is_full() && in_flight.contains(64));
        assert_eq!(in_flight.bytes(), 640);
        assert_eq!(in_flight.next().await.0, 64);
        assert!(!in_flight.is_full() && !in_flight.contains(64));
    }

    /// A connection that asked much at once and then falls silent gives the room back.
    #[tokio::test]
    async fn idle_connections_keep_no_room() {
        let mut in_flight = InFlight::default();
        for id in 1..=64 {
            let done = async { Ok(reply::Body::Done(Done {})) };
            in_flight.push(id, 10, Box::pin(done));
        }
        for id in 1..=64 {
            assert_eq!(in_flight.next().await.0, id);
        }
        assert!(in_flight.0.capacity() <= KEPT);
    }
}
