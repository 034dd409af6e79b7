//! A server that answers and cannot do more for a while, as while its database fails over.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use conclave_client::ClientError;
use conclave_client::view::MessageState;
use conclave_proto::frame::reply;
use conclave_proto::{ErrorCode, Refusal};

use crate::support::tamper::{Fate, Road, Tamper};
use crate::support::{LONG, World};

/// What such a server says, as the real one does.
fn refusal(code: ErrorCode) -> reply::Body {
    reply::Body::Refused(Refusal::new(code, "try again in a moment").retry_after_ms(250))
}

/// Whether it passes or not, each of its first `count` answers is a refusal.
fn refusing(world: &World, code: ErrorCode, count: usize) -> Arc<Tamper> {
    let met = AtomicUsize::new(0);
    Tamper::new(world, move |_, _| {
        if met.fetch_add(1, Ordering::SeqCst) < count {
            Fate::Answer(refusal(code))
        } else {
            Fate::Pass
        }
    })
}

/// Who waits for a server that is busy from the first call on waits it out: texts to people known and unknown go
/// out, once each.
#[tokio::test(start_paused = true)]
async fn busy_server_is_waited_out() {
    for code in [
        ErrorCode::Busy,
        ErrorCode::Internal,
        ErrorCode::ShuttingDown,
    ] {
        let world = World::paused();
        let (mut anna, ben) = world.friends().await;
        let carl = world.person("carl").await;
        let tamper = refusing(&world, code, 5);
        anna.restart(Arc::new(Road(tamper.clone()))).await;
        let to_carl = anna.within(LONG, anna.send(&carl.address, "are you there?"));
        let to_carl = to_carl.await.unwrap().id;
        let to_ben = anna.say(&ben, "after all").await;
        anna.settle(LONG).await.unwrap();
        assert_eq!(anna.state(to_carl).0, MessageState::Accepted, "{code:?}");
        assert!(anna.state(to_ben).0 >= MessageState::Accepted, "{code:?}");
        world.settle(&[&ben, &anna]).await;
        assert_eq!(ben.texts(&anna), ["hello", "after all"]);
    }
}

/// A wait for a server that stays busy ends in its time with what the server said; what was queued stays queued and
/// goes out later. The server is asked less and less often meanwhile.
#[tokio::test(start_paused = true)]
async fn server_that_stays_busy_is_named_and_loses_nothing() {
    let world = World::paused();
    let (mut anna, ben) = world.friends().await;
    let carl = world.person("carl").await;
    let tamper = refusing(&world, ErrorCode::Busy, usize::MAX);
    anna.restart(Arc::new(Road(tamper.clone()))).await;
    let patience = Duration::from_secs(30);
    let id = anna.say(&ben, "later").await;
    let is_busy = |error: &ClientError| matches!(error, ClientError::Refused(refusal) if refusal.code() == ErrorCode::Busy);
    let settled = anna.settle(patience).await.unwrap_err();
    assert!(is_busy(&settled), "{settled:?}");
    let asked = tamper.calls().len();
    assert!((5..=25).contains(&asked), "{asked} calls in 30 s");
    let unknown = anna.within(patience, anna.send(&carl.address, "hello"));
    let unknown = unknown.await.unwrap_err();
    assert!(is_busy(&unknown), "{unknown:?}");
    assert_eq!(anna.state(id).0, MessageState::Queued);
    anna.restart(world.transport()).await;
    world.settle(&[&anna, &ben]).await;
    assert_eq!(ben.texts(&anna), ["hello", "later"]);
}

/// Too many questions are no trouble that passes soon: who asks too often is told at once.
#[tokio::test(start_paused = true)]
async fn rate_limit_is_told_at_once() {
    let world = World::paused();
    let (mut anna, ben) = world.friends().await;
    let tamper = refusing(&world, ErrorCode::RateLimited, 1);
    anna.restart(Arc::new(Road(tamper))).await;
    anna.say(&ben, "again").await;
    let settled = anna.settle(LONG).await.unwrap_err();
    assert!(
        matches!(&settled, ClientError::Refused(refusal) if refusal.code() == ErrorCode::RateLimited),
        "{settled:?}"
    );
}
