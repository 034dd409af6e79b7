//! A device's private queue: others post, its owner reads and acknowledges.

use conclave_proto::frame::reply;
use conclave_proto::id::DeviceId;
use conclave_proto::inbox::{AckInbox, InboxItem, InboxPage, PostItem, ReadInbox};
use conclave_proto::limits::{INBOX_ITEM_BYTES, INBOX_ITEMS_MAX, INBOX_PAGE_ITEMS};
use conclave_proto::{ErrorCode, Refusal};

use super::{Answer, DONE, bad, edge, too_large};
use crate::limit::Action;
use crate::server::App;
use crate::session::Session;
use crate::store::{NewItem, PostOutcome};

/// Puts one sealed item into a device's inbox.
pub(super) async fn post(app: &App, session: &Session, request: PostItem) -> Answer {
    session.check_pass(&request.pass)?;
    session.count(Action::Post)?;
    let device_id = edge::field(DeviceId::parse(&request.device_id), "device id")?;
    let capability_hash = edge::capability_hash(&request.capability)?;
    // C-038: every item has one size, so none stands out.
    if request.item.len() != INBOX_ITEM_BYTES {
        let text = format!("an inbox item has exactly {INBOX_ITEM_BYTES} bytes");
        return Err(bad(&text));
    }
    let outcome = app.store.post_item(NewItem {
        device_id,
        capability_hash,
        item: request.item,
        now_ms: app.steady_ms(),
    });
    match outcome.await? {
        PostOutcome::Posted => {
            app.hub.inbox(device_id);
            Ok(DONE)
        }
        PostOutcome::SameAgain => Ok(DONE),
        // C-037: strangers share a few slots.
        PostOutcome::Full => {
            let text = "the inbox takes no more items now, try again later";
            Err(Refusal::new(ErrorCode::InboxFull, text))
        }
        PostOutcome::NoSuchDevice => Err(Refusal::new(
            ErrorCode::NotFound,
            "no account lists this device",
        )),
    }
}

/// A page of this device's items.
pub(super) async fn read(app: &App, session: &Session, request: &ReadInbox) -> Answer {
    let (_, device_id) = session.device().await?;
    let _one_at_a_time = session.large_reply.lock().await;
    let read = app
        .store
        .read_inbox(device_id, request.after, INBOX_PAGE_ITEMS);
    let read = read.await?;
    let items = read.items.into_iter().map(|stored| InboxItem {
        number: stored.number,
        item: stored.item,
    });
    Ok(reply::Body::InboxPage(InboxPage {
        items: items.collect(),
        more: read.more,
    }))
}

/// Deletes items of this device.
pub(super) async fn ack(app: &App, session: &Session, request: AckInbox) -> Answer {
    let (_, device_id) = session.device().await?;
    let most = usize::try_from(INBOX_ITEMS_MAX).unwrap_or(usize::MAX);
    if request.numbers.len() > most {
        return Err(too_large(format!("at most {INBOX_ITEMS_MAX} numbers")));
    }
    app.store.ack_inbox(device_id, request.numbers).await?;
    Ok(DONE)
}

/// From now on this connection hears of new items.
pub(super) async fn subscribe(app: &App, session: &Session) -> Answer {
    let (_, device_id) = session.device().await?;
    session.listens_to_inbox(device_id);
    app.hub.subscribe_inbox(device_id, &session.pushes);
    Ok(DONE)
}
