//! Events, keys of calls, and the books of webhooks: through crashes, bounded, nothing lost over a dead target.

use conclave_proto::env::Env as _;

use super::*;
use crate::error::ClientError;
use crate::once::Earlier;
use crate::store::EventRow;
use crate::store::fault::Side;

/// An event about a chat, without a story.
fn put(client: &Client, chat: Option<conclave_proto::id::ChatId>) -> u64 {
    let put = client.engine().step(|step| {
        Ok(step.tx.put_event(&EventRow {
            at_ms: step.now_ms,
            kind: "warning".to_owned(),
            chat_id: chat,
            ..EventRow::default()
        })?)
    });
    put.unwrap()
}

/// Says something under a key; `true` when an earlier call had done it.
async fn say(from: &Person, to: &Person, key: &str) -> Result<bool, ClientError> {
    let send = async { from.send(&to.address, key).await.map(|_| false) };
    let again = |earlier| match earlier {
        Earlier::Made(_) => Ok(true),
        other => panic!("{other:?}"),
    };
    from.once(("", key), key.as_bytes(), send, |_| None, again)
        .await
}

/// The process dies before or after each commit of a call: said again under its key, it is done exactly once.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_never_parts_a_call_from_its_key() {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    // Offline: the commits are those of the call.
    anna.die().await;
    anna.wake_up();
    let mut done_before = Vec::new();
    for side in [Side::Fails, Side::DiesBefore, Side::DiesAfter] {
        for commits in 0..3 {
            let key = format!("{side:?} {commits}");
            anna.engine().store.fault.plan(commits, side);
            let first = say(&anna, &ben, &key).await;
            if anna.engine().store.fault.end() {
                assert!(first.is_err(), "{key}");
                anna.die().await;
                anna.wake_up();
            }
            done_before.push(say(&anna, &ben, &key).await.unwrap());
            let said = anna.texts(&ben).into_iter().filter(|text| *text == key);
            assert_eq!(said.count(), 1, "{key}");
            let other = anna.once(
                ("", &key),
                b"other",
                async { Ok::<_, ClientError>(()) },
                |_| None,
                |_| Ok(()),
            );
            assert!(matches!(other.await, Err(ClientError::KeyReused)));
        }
    }
    assert!(done_before.contains(&true) && done_before.contains(&false));
}

/// Events are bounded by age from their beginning on; a cursor from before says how to go on, and numbers never come
/// again.
#[tokio::test(flavor = "multi_thread")]
async fn old_events_go_and_old_cursors_are_told() {
    let world = World::new().await;
    let (anna, _ben) = world.friends().await;
    let old = anna.consume("", "old", None).unwrap();
    for _ in 0..10 {
        put(&anna, None);
    }
    world.clock.pass(31 * DAY_MS);
    let young = put(&anna, None);
    let since_ms = world.clock.now_ms() - 30 * DAY_MS;
    let prune = anna
        .engine()
        .step(|step| Ok(step.tx.prune_events(100, since_ms)?));
    prune.unwrap();
    assert_eq!(anna.event_range().unwrap(), (young - 1, young));
    let told = anna.events_after(old, 10, None).unwrap_err();
    assert!(
        matches!(told, ClientError::CursorTooOld { before_first } if before_first == young - 1)
    );
    assert!(matches!(
        anna.consume("", "old", None),
        Err(ClientError::CursorTooOld { .. })
    ));
    assert_eq!(anna.consume("", "old", Some(0)).unwrap(), young - 1);
    assert_eq!(
        anna.events_after(young - 1, 10, None).unwrap().told.len(),
        1
    );
    let prune = anna
        .engine()
        .step(|step| Ok(step.tx.prune_events(0, u64::MAX)?));
    prune.unwrap();
    assert_eq!(anna.event_range().unwrap(), (young, young));
    assert_eq!(put(&anna, None), young + 1);
    let prune = anna.engine().step(|step| Ok(step.tx.prune_events(1, 0)?));
    prune.unwrap();
    assert_eq!(anna.event_range().unwrap(), (young, young + 1));
}

/// A target that answers errors for a day: each event waits for the one before it in its chat alone, is given up after
/// a day, stands on the list, and comes again when it is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_target_loses_nothing() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let chat = anna.chat_with(&ben);
    let kinds = ["warning".to_owned()];
    let hook = anna
        .add_webhook("https://example.org/", &kinds, &[1; 32])
        .unwrap();
    let (first, second, beside) = (
        put(&anna, Some(chat)),
        put(&anna, Some(chat)),
        put(&anna, None),
    );
    let due = || -> Vec<u64> {
        let (due, _) = anna.webhooks_due().unwrap();
        due.iter().map(|due| due.cursor).collect()
    };
    assert_eq!(due(), [first, beside]);
    anna.webhook_done(&hook.id, beside).unwrap();
    for _ in 0..40 {
        anna.webhook_failed(&hook.id, first, "the answer was 500")
            .unwrap();
        let (due, wait) = anna.webhooks_due().unwrap();
        if due.iter().any(|due| due.cursor == second) {
            break;
        }
        assert!(due.is_empty(), "nothing overtakes within its chat");
        world.clock.pass(wait.unwrap());
    }
    let dead = anna.dead_webhooks().unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(
        (dead[0].cursor, dead[0].reason.as_str()),
        (first, "the answer was 500")
    );
    assert_eq!(due(), [second]);
    anna.webhook_done(&hook.id, second).unwrap();
    assert_eq!(anna.retry_dead(&hook.id, Some(first)).unwrap(), 1);
    assert_eq!(due(), [first]);
    assert!(matches!(
        anna.drop_dead(&hook.id, Some(first)),
        Err(ClientError::NotFound(_))
    ));
    anna.webhook_done(&hook.id, first).unwrap();
    assert_eq!(due(), [0; 0]);
}
