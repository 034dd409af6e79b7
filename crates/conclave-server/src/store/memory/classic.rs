//! The classic gateway's rows of the model.

use std::collections::BTreeMap;

use conclave_classic::gateway::{Account, Places, Pushed, Registered, Waiting};
use conclave_classic::wire::{Delivery, Receipt};
use conclave_proto::id::Day;
use conclave_proto::limits::{CLASSIC_QUEUE_MAX, CLASSIC_SEEN_DAYS};

/// Accounts and queues of the classic protocols.
#[derive(Debug, Clone, Default)]
pub(super) struct Classic {
    pub(super) accounts: BTreeMap<String, Account>,
    messages: Vec<(u64, Delivery)>,
    /// With the phone of whom each is for.
    receipts: Vec<(u64, String, Receipt)>,
    pub(super) seen: BTreeMap<String, Day>,
    last_place: u64,
}

impl Classic {
    pub(super) fn put_account(
        &mut self,
        phone: String,
        account: Account,
        accounts_max: u64,
    ) -> Registered {
        let is_full = self.accounts.len() as u64 >= accounts_max;
        if is_full && !self.accounts.contains_key(&phone) {
            return Registered::Full;
        }
        self.accounts.insert(phone, account);
        Registered::Yes
    }

    pub(super) fn push(&mut self, delivery: Delivery, now_ms: u64) -> Pushed {
        if self.seen.contains_key(&delivery.message_id) {
            return Pushed::Replay;
        }
        let recipient = &delivery.message.recipient_id;
        let waiting = self.messages.iter();
        let waiting = waiting.filter(|(_, other)| other.message.recipient_id == *recipient);
        if waiting.count() as u64 >= CLASSIC_QUEUE_MAX {
            return Pushed::Full;
        }
        self.seen
            .insert(delivery.message_id.clone(), Day::of_ms(now_ms));
        let place = self.next_place();
        self.messages.push((place, delivery));
        Pushed::Stored
    }

    pub(super) fn waiting(&self, phone: &str, after: Places, most: u32) -> Waiting {
        let messages = self.messages.iter().filter(|(place, delivery)| {
            *place > after.message && delivery.message.recipient_id == phone
        });
        let receipts = self.receipts.iter();
        let receipts =
            receipts.filter(|(place, sender, _)| *place > after.receipt && sender == phone);
        Waiting {
            messages: messages.take(most as usize).cloned().collect(),
            receipts: receipts
                .take(most as usize)
                .map(|(place, _, receipt)| (*place, receipt.clone()))
                .collect(),
        }
    }

    pub(super) fn ack(
        &mut self,
        phone: &str,
        message_ids: &[String],
        receipt_ids: &[String],
        now_ms: u64,
    ) -> Vec<String> {
        let mut senders = Vec::new();
        for message_id in message_ids {
            let at = self.messages.iter().position(|(_, delivery)| {
                delivery.message_id == *message_id && delivery.message.recipient_id == phone
            });
            let Some(at) = at else { continue };
            let (_, delivery) = self.messages.remove(at);
            let receipt = Receipt {
                message_id: message_id.clone(),
                recipient_id: phone.to_owned(),
                delivered_at: now_ms / 1_000,
            };
            let place = self.next_place();
            let sender = delivery.message.sender_id;
            self.receipts.push((place, sender.clone(), receipt));
            senders.push(sender);
        }
        self.receipts.retain(|(_, sender, receipt)| {
            sender != phone || !receipt_ids.contains(&receipt.message_id)
        });
        senders.sort_unstable();
        senders.dedup();
        senders
    }

    pub(super) fn sweep(&mut self, today: u32) {
        self.seen
            .retain(|_, day| today <= day.0.saturating_add(CLASSIC_SEEN_DAYS));
    }

    fn next_place(&mut self) -> u64 {
        self.last_place += 1;
        self.last_place
    }
}
