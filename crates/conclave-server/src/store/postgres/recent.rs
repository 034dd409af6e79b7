//! What logs said lately, so that a message that comes twice stands once (C-212).
//!
//! A client that got no answer says its message again, perhaps through another server, while the first
//! copy is still on its way. Whoever holds a log's head therefore compares a message with the last ones
//! there. The committer remembers them as long as its connection lives: where the head is as it left it,
//! nobody else wrote and the database is asked nothing; else it reads the hashes of what came between.

use std::collections::{BTreeMap, HashMap, VecDeque};

use conclave_proto::id::{Epoch, Hash32, LogId, Seq};
use conclave_proto::log::EntryKind;

use super::session::{Result, Session, bytes, int, number, params};

/// So many messages at a log's end are compared.
const LOOKED: usize = 64;
/// Logs remembered, about 4 KiB each; beyond it all are forgotten.
const KEPT: usize = 4_096;

/// The epoch a message was said in, and the SHA-256 of its payload.
pub(super) type Words = (Epoch, Hash32);

/// The last messages of logs that one connection wrote to. Ends with the connection: the next one may
/// see another history.
#[derive(Debug, Default)]
pub(super) struct Recent {
    by_log: HashMap<LogId, Said>,
}

/// The last messages of a log.
#[derive(Debug, Default)]
struct Said {
    /// Whatever stands up to here is known.
    head: Seq,
    /// Oldest first.
    last: VecDeque<(Words, Seq)>,
}

impl Recent {
    /// Learns what logs say up to their heads, which the transaction holds. `tried`: the first place of each log
    /// where an earlier commit may have put something; everything from there on is read.
    pub(super) async fn follow(
        &mut self,
        session: &Session,
        heads: impl Iterator<Item = (LogId, Seq)>,
        tried: &BTreeMap<LogId, Seq>,
    ) -> Result<()> {
        if self.by_log.len() > KEPT {
            self.by_log.clear();
        }
        let (mut ids, mut afters) = (Vec::new(), Vec::new());
        for (log_id, head) in heads {
            let said = self.by_log.entry(log_id).or_default();
            let spare = said.last.len().saturating_sub(LOOKED);
            said.last.drain(..spare);
            let tried = tried
                .get(&log_id)
                .map_or(u64::MAX, |seq| seq.0.saturating_sub(1));
            let after = head.0.saturating_sub(LOOKED as u64).min(tried);
            let after = after.max(said.head.0);
            said.head = head;
            if after < head.0 {
                ids.push(log_id);
                afters.push(int(after));
            }
        }
        if ids.is_empty() {
            return Ok(());
        }
        let ids: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes().as_slice()).collect();
        let kind = i32::from(EntryKind::Message);
        // joined as the heads are: each log is looked up in its own partition alone
        let read = "SELECT entry.log_id, entry.seq, entry.epoch,
               coalesce(expired_hash, sha256(payload))
             FROM unnest($1::bytea[], $2::int8[]) AS asked (log_id, after)
             JOIN entry ON entry.log_id = asked.log_id AND entry.seq > asked.after
             WHERE kind = $3 ORDER BY entry.seq";
        for row in session.rows(read, params![ids, afters, kind]).await? {
            let words = (Epoch(number(&row, 2)?), Hash32::new(bytes(&row, 3)?));
            let said = self.by_log.entry(LogId::new(bytes(&row, 0)?));
            let seq = Seq(number(&row, 1)?);
            said.or_default().last.push_back((words, seq));
        }
        Ok(())
    }

    /// Where a log says this already.
    pub(super) fn place(&self, log_id: LogId, words: Words) -> Option<Seq> {
        let mut newest_first = self.by_log.get(&log_id)?.last.iter().rev();
        // this runs for each message while heads are held: most differ in the first word
        let first = first_word(words);
        let is_same = |said: Words| first_word(said) == first && said == words;
        let (_, seq) = newest_first.find(|(said, _)| is_same(*said))?;
        Some(*seq)
    }

    /// The log says this from now on.
    pub(super) fn note(&mut self, log_id: LogId, words: Words, seq: Seq) {
        let said = self.by_log.entry(log_id).or_default();
        said.last.push_back((words, seq));
        said.head = seq;
    }
}

fn first_word((_, hash): Words) -> u64 {
    let bytes = hash.as_bytes().first_chunk().copied();
    u64::from_ne_bytes(bytes.unwrap_or_default())
}
