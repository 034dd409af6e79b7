//! Where a new device, which has no account yet, meets one of its account's.

use conclave_proto::frame::reply;
use conclave_proto::id::Hash32;
use conclave_proto::limits::{MAILBOX_OFFER_BYTES_MAX, MAILBOX_SLOT_BYTES_MAX};
use conclave_proto::mailbox::{CloseMailbox, OpenMailbox, PutSlot, ReadSlot, SlotBytes};
use conclave_proto::{ErrorCode, Refusal};

use super::{Answer, DONE, bad, edge, too_large};
use crate::limit::Action;
use crate::mailbox::Gone;
use crate::server::App;
use crate::session::Session;

/// Opens the mailbox of an offer.
pub(super) fn open(app: &App, session: &Session, request: OpenMailbox) -> Answer {
    session.count(Action::Mailbox)?;
    check_length(&request.offer, MAILBOX_OFFER_BYTES_MAX)?;
    app.mailboxes.open(request.offer, app.env.now_ms())?;
    Ok(DONE)
}

/// Writes one slot, once.
pub(super) fn put(app: &App, request: PutSlot) -> Answer {
    let id = id(&request.mailbox_id)?;
    check_length(&request.bytes, MAILBOX_SLOT_BYTES_MAX)?;
    app.mailboxes
        .put(id, request.slot, request.bytes, app.env.now_ms())?;
    Ok(DONE)
}

/// Reads one slot; may wait for it.
pub(super) async fn read(app: &App, request: &ReadSlot) -> Answer {
    let id = id(&request.mailbox_id)?;
    let now_ms = || app.env.now_ms();
    let read = app.mailboxes.read(id, request.slot, request.wait, now_ms);
    let bytes = read.await?;
    Ok(reply::Body::SlotBytes(SlotBytes { bytes }))
}

/// Ends a mailbox.
pub(super) fn close(app: &App, request: &CloseMailbox) -> Answer {
    app.mailboxes
        .close(id(&request.mailbox_id)?, app.env.now_ms())?;
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

impl From<Gone> for Refusal {
    fn from(gone: Gone) -> Self {
        match gone {
            // C-120: one answer, so that nobody learns which codes there were
            Gone::Over => Self::new(
                ErrorCode::NotFound,
                "this link is unknown, used or over; begin again on the new device",
            ),
            Gone::Full => Self::new(
                ErrorCode::Busy,
                "too many devices are being linked at once, try again in a few minutes",
            )
            .retry_after_ms(60_000),
        }
    }
}
