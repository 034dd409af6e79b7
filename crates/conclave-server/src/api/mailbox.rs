//! Where a new device, which has no account yet, meets one of its account's.

use conclave_proto::frame::reply;
use conclave_proto::id::Hash32;
use conclave_proto::limits::{MAILBOX_OFFER_BYTES_MAX, MAILBOX_SLOT_BYTES_MAX};
use conclave_proto::mailbox::{CloseMailbox, OpenMailbox, PutSlot, ReadSlot, SlotBytes};
use conclave_proto::{ErrorCode, Refusal};

use super::{Answer, DONE, bad, edge, too_large};
use crate::limit::Action;
use crate::mailbox::wait;
use crate::server::App;
use crate::session::Session;
use crate::store::MailboxGone;

/// Opens the mailbox of an offer.
pub(super) async fn open(app: &App, session: &Session, request: OpenMailbox) -> Answer {
    session.count(Action::Mailbox)?;
    check_length(&request.offer, MAILBOX_OFFER_BYTES_MAX)?;
    let opened = app.store.open_mailbox(request.offer, app.env.now_ms());
    opened.await??;
    Ok(DONE)
}

/// Writes one slot, once.
pub(super) async fn put(app: &App, request: PutSlot) -> Answer {
    let id = id(&request.mailbox_id)?;
    check_length(&request.bytes, MAILBOX_SLOT_BYTES_MAX)?;
    let now_ms = app.env.now_ms();
    let put = app.store.put_slot(id, request.slot, request.bytes, now_ms);
    put.await??;
    app.slots.moved();
    Ok(DONE)
}

/// Reads one slot; may wait for it.
pub(super) async fn read(app: &App, request: &ReadSlot) -> Answer {
    let id = id(&request.mailbox_id)?;
    let bytes = if request.wait {
        wait(app, id, request.slot).await??
    } else {
        let read = app.store.read_slot(id, request.slot, app.env.now_ms());
        read.await??
    };
    Ok(reply::Body::SlotBytes(SlotBytes { bytes }))
}

/// Ends a mailbox.
pub(super) async fn close(app: &App, request: &CloseMailbox) -> Answer {
    let id = id(&request.mailbox_id)?;
    app.store.close_mailbox(id, app.env.now_ms()).await??;
    app.slots.moved();
    Ok(DONE)
}

fn id(bytes: &[u8]) -> Result<Hash32, Refusal> {
    edge::field(Hash32::parse(bytes), "mailbox id")
}

fn check_length(bytes: &[u8], max: usize) -> Result<(), Refusal> {
    if bytes.is_empty() {
        return Err(bad("a slot of a mailbox is not empty"));
    }
    if bytes.len() > max {
        return Err(too_large(format!(
            "this slot of a mailbox has at most {max} bytes"
        )));
    }
    Ok(())
}

impl From<MailboxGone> for Refusal {
    fn from(gone: MailboxGone) -> Self {
        match gone {
            // C-120: one answer, so that nobody learns which codes there were
            MailboxGone::Over => Self::new(
                ErrorCode::NotFound,
                "this link is unknown, used or over; begin again on the new device",
            ),
            MailboxGone::Full => Self::new(
                ErrorCode::Busy,
                "too many devices are being linked at once, try again in a few minutes",
            )
            .retry_after_ms(60_000),
        }
    }
}
