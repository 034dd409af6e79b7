//! What strace saw, in order; and the rule that no acknowledgement leaves before its message is synced.

use std::collections::HashMap;

/// One system call: `begin` and `end` are places in the order of everything that strace saw.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// Descriptor of its first argument; -1 when that is none.
    pub(crate) fd: i64,
    /// Arguments as text.
    pub(crate) text: String,
    /// What it gave back.
    pub(crate) result: i64,
    pub(crate) begin: usize,
    pub(crate) end: usize,
}

/// Every call that ended, by its end.
#[derive(Debug)]
pub(crate) struct Trace(pub(crate) Vec<Call>);

/// One message that a client was told is accepted.
#[derive(Debug, Clone)]
pub(crate) struct Acked {
    /// The client's port on its connection.
    pub(crate) port: u16,
    /// Text that only this message's payload holds.
    pub(crate) marker: String,
}

/// What the check counted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) messages: usize,
    /// Syncs of the write-ahead log from the first message's write to the last one's acknowledgement.
    pub(crate) syncs: usize,
}

impl Trace {
    /// Reads the file that `strace -f -y -o` wrote.
    pub(crate) fn parse(text: &str) -> Self {
        let mut unfinished: HashMap<&str, (usize, String)> = HashMap::new();
        let mut calls = Vec::new();
        for (place, line) in text.lines().enumerate() {
            let Some((pid, rest)) = line.split_once(' ') else {
                continue;
            };
            let rest = rest.trim_start();
            if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
                unfinished.insert(pid, (place, begun.to_owned()));
                continue;
            }
            let (begin, whole) = match rest.strip_prefix("<... ") {
                None => (place, rest.to_owned()),
                Some(resumed) => {
                    let (_, tail) = resumed.split_once(" resumed>").unwrap_or_default();
                    let (begin, begun) = unfinished.remove(pid).unwrap_or_default();
                    (begin, begun + tail)
                }
            };
            calls.extend(call(&whole, begin, place));
        }
        Self(calls)
    }

    fn of<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a Call> {
        self.0
            .iter()
            .filter(|call| names.contains(&call.name.as_str()))
    }

    /// Syncs of the write-ahead log that came to a good end.
    pub(crate) fn syncs(&self) -> Vec<&Call> {
        self.of(&["fdatasync", "fsync"])
            .filter(|call| call.result == 0 && call.text.contains("store.db-wal>"))
            .collect()
    }

    /// Writes to the write-ahead log.
    fn log_writes(&self) -> impl Iterator<Item = &Call> {
        self.of(&["pwrite64"])
            .filter(|call| call.text.contains("store.db-wal>"))
    }

    /// What the server sent to the client at `port`, each of exactly `bytes` bytes.
    fn sends(&self, port: u16, bytes: i64) -> Vec<&Call> {
        let accepted = format!("htons({port})");
        let accepted = self
            .of(&["accept4"])
            .find(|call| call.text.contains(&accepted));
        let fd = accepted.map_or(-2, |call| call.result);
        self.of(&["sendto", "sendmsg", "write", "writev"])
            .filter(|call| call.fd == fd && call.result == bytes)
            .collect()
    }

    /// For every acknowledged message: its bytes were written to the write-ahead log, after that write
    /// a sync of that file began and ended well, and only after that end its acknowledgement of
    /// `ack_bytes` (on the socket) began to leave. `acked` holds each connection's messages in order.
    pub(crate) fn no_ack_before_its_sync(
        &self,
        acked: &[Acked],
        ack_bytes: i64,
    ) -> Result<Counts, String> {
        let syncs = self.syncs();
        let written = self.first_writes(acked);
        let mut sends: HashMap<u16, std::vec::IntoIter<&Call>> = HashMap::new();
        let (mut from, mut to) = (usize::MAX, 0);
        for message in acked {
            let Acked { port, marker } = message;
            let sends = sends
                .entry(*port)
                .or_insert_with(|| self.sends(*port, ack_bytes).into_iter());
            let send = sends
                .next()
                .ok_or(format!("{marker}: no acknowledgement was seen"))?;
            let write = written
                .get(marker.as_str())
                .ok_or(format!("{marker} was acknowledged and never written"))?;
            let is_synced = |sync: &&&Call| sync.begin > write.end && sync.end < send.begin;
            syncs.iter().find(is_synced).ok_or(format!(
                "{marker} was written at {}, acknowledged at {}, and not synced in between",
                write.end, send.begin
            ))?;
            (from, to) = (from.min(write.end), to.max(send.begin));
        }
        if let Some((port, _)) = sends.iter().find(|(_, rest)| rest.len() > 0) {
            return Err(format!(
                "port {port} got more acknowledgements than it counted"
            ));
        }
        let counted = syncs.iter().filter(|sync| (from..to).contains(&sync.end));
        Ok(Counts {
            messages: acked.len(),
            syncs: counted.count(),
        })
    }

    /// Where each marker first stands in a write to the write-ahead log.
    fn first_writes<'a>(&'a self, acked: &'a [Acked]) -> HashMap<&'a str, &'a Call> {
        let wanted: HashMap<&str, &str> = acked
            .iter()
            .map(|message| (message.marker.as_str(), message.marker.as_str()))
            .collect();
        let mut found = HashMap::new();
        for call in self.log_writes() {
            for (place, _) in call.text.match_indices("@@") {
                let marker = call
                    .text
                    .get(place..place + MARKER_BYTES)
                    .unwrap_or_default();
                if let Some(marker) = wanted.get(marker) {
                    found.entry(*marker).or_insert(call);
                }
            }
        }
        found
    }
}

const MARKER_BYTES: usize = 15;

/// The marker of one connection's message, as it stands in its payload.
pub(crate) fn marker(port: u16, number: usize) -> String {
    format!("@@m{port:05}n{number:04}@@")
}

fn call(text: &str, begin: usize, end: usize) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    let digits: String = arguments.chars().take_while(char::is_ascii_digit).collect();
    let result: String = result
        .chars()
        .take_while(|c| c.is_ascii_digit() || *c == '-')
        .collect();
    Some(Call {
        name: name.to_owned(),
        fd: digits.parse().unwrap_or(-1),
        text: arguments.to_owned(),
        result: result.parse().ok()?,
        begin,
        end,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCEPTED: &str = "1 accept4(9<socket:[1]>, {sin_port=htons(40000)}, [16], 0) = 12";
    const WRITTEN: &str =
        "2 pwrite64(7</d/store.db-wal>, \"..@@m40000n0000@@..\", 4096, 32) = 4096";
    const SYNCED: &str = "2 fdatasync(7</d/store.db-wal>) = 0";
    const SENT: &str = "1 sendto(12<socket:[2]>, \"..\", 45, 0, NULL, 0) = 45";

    fn check(lines: &[&str]) -> Result<Counts, String> {
        let acked = Acked {
            port: 40_000,
            marker: marker(40_000, 0),
        };
        Trace::parse(&lines.join("\n")).no_ack_before_its_sync(&[acked], 45)
    }

    /// Write, sync, acknowledgement, in this order, is the only order that passes.
    #[test]
    fn only_the_right_order_passes() {
        let counts = check(&[ACCEPTED, WRITTEN, SYNCED, SENT]).unwrap();
        assert_eq!(
            counts,
            Counts {
                messages: 1,
                syncs: 1
            }
        );
        for wrong in [
            [ACCEPTED, WRITTEN, SENT, SYNCED],
            [ACCEPTED, SYNCED, WRITTEN, SENT],
            [ACCEPTED, SYNCED, SENT, WRITTEN],
            [ACCEPTED, WRITTEN, SYNCED, SYNCED],
            [WRITTEN, SYNCED, SENT, SENT],
        ] {
            check(&wrong).unwrap_err();
        }
        check(&[ACCEPTED, WRITTEN, SYNCED, SENT, SENT]).unwrap_err();
    }

    /// A sync counts from its begin to its end: one that began before the write, one that has not ended
    /// when the acknowledgement leaves, one of another file and one that failed do not.
    #[test]
    fn a_sync_covers_what_was_written_before_it_began() {
        let (begun, ended) = (
            "2 fdatasync(7</d/store.db-wal> <unfinished ...>",
            "2 <... fdatasync resumed>) = 0",
        );
        let other_thread = WRITTEN.replacen('2', "3", 1);
        check(&[ACCEPTED, &other_thread, begun, ended, SENT]).unwrap();
        check(&[ACCEPTED, begun, &other_thread, ended, SENT]).unwrap_err();
        check(&[ACCEPTED, &other_thread, begun, SENT, ended]).unwrap_err();
        for no_sync in [
            "2 fdatasync(6</d/store.db>) = 0",
            "2 fdatasync(7</d/store.db-wal>) = -1 EIO (Input/output error) (INJECTED)",
        ] {
            check(&[ACCEPTED, WRITTEN, no_sync, SENT]).unwrap_err();
        }
    }
}
