//! What the person has read: here, on all their devices, and, by receipts, told to whoever wrote it.

use conclave_core::content::ChatSetting;
use conclave_proto::id::{ChatId, LogId, Seq};

use crate::client::Client;
use crate::engine::Step;
use crate::error::ClientError;
use crate::outbox::may_confirm;
use crate::people::no_chat;
use crate::settings;
use crate::store::{ConversationRow, Stage, Thing};

impl Client {
    /// Marks everything in a chat read and queues the receipt. Returns how many were unread.
    pub fn mark_read(&self, chat: ChatId) -> Result<u64, ClientError> {
        let count = self.engine().step(|step| {
            step.tx
                .chat(chat)?
                .ok_or_else(|| no_chat(&chat.to_string()))?;
            let (count, positions) = step.tx.mark_read(chat)?;
            for (log_id, seq) in positions {
                read_here(step, chat, log_id, seq)?;
            }
            if step.tx.settings(chat)?.marked_unread {
                settings::set(step, chat, &ChatSetting::MarkedUnread(false))?;
            }
            Ok(count)
        })?;
        self.wake();
        Ok(count)
    }
}

fn read_here(step: &Step<'_>, chat: ChatId, log_id: LogId, seq: u64) -> Result<(), ClientError> {
    let is_news = step.tx.raise_read(log_id, seq)?;
    let conversation = step.tx.conversation(log_id)?;
    let mut is_told = false;
    if let Some(mut row) = conversation {
        row.want_read = row.want_read.max(seq);
        step.tx.put_conversation(&row)?;
        let last = Seq(row.want_delivered.max(row.want_read));
        is_told = row.stage == Stage::Live
            && may_confirm(step, chat)?
            && step.tx.chain(log_id, last)?.is_some();
    }
    // C-203: own devices are told where no receipt will say it
    if is_news && !is_told {
        step.tx.share(Thing::Read(log_id))?;
    }
    Ok(())
}

/// C-203: another own device has read so far, also of what is not here yet.
pub(crate) fn read_elsewhere(step: &Step<'_>, log_id: LogId, seq: u64) -> Result<(), ClientError> {
    step.tx.raise_read(log_id, seq)?;
    step.tx.mark_read_to(log_id, seq)?;
    let Some(row) = step.tx.conversation(log_id)? else {
        return Ok(());
    };
    let seq = seq.min(row.cursor_seq.0);
    Ok(step.tx.put_conversation(&ConversationRow {
        want_read: row.want_read.max(seq),
        told_read: row.told_read.max(seq),
        ..row
    })?)
}
