//! A client of one log, on any node: reads to the head before it repeats anything, as the real client does.
//!
//! An answer that did not come means *unknown*: the client goes to another node, reads the log from where it
//! stands, and only when its bytes are not there it sends the same bytes again (C-051, C-061).

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use conclave_proto::ErrorCode;
use conclave_proto::codec::parse_exact;
use conclave_proto::error::Refusal;
use conclave_proto::frame::{Reply, Request, reply, request::Body};
use conclave_proto::hello::{ConnectionContext, Role};
use conclave_proto::id::{Epoch, Hash32, Seq};
use conclave_proto::label;
use conclave_proto::log::{
    AppendEntry, EntryKind, LogPage, OpenLogs, PutBundle, ReadLog, chain_next, chain_start,
};
use tokio::time::timeout;

use super::Service;
use super::book::{Book, Winners};
use super::check::{Acked, Stored};
use crate::wire::Connection;

/// No answer within this is unknown.
const PATIENCE: Duration = Duration::from_secs(4);
/// Before it tries the next node, or again after a refusal that says later.
const PAUSE: Duration = Duration::from_millis(100);
/// Entries of one page.
const PAGE: u32 = 100;

/// Why a step did not end well.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The node is away, or its answer did not come: another node, read, then perhaps again.
    Away,
    /// The server says no for now, for at least so long.
    Later(Duration),
    /// The epoch is over.
    Stale,
    /// What must not be.
    Wrong(anyhow::Error),
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Self::Wrong(error)
    }
}

/// Bytes on their way; nothing else leaves before they are settled.
#[derive(Debug)]
struct Pending {
    kind: EntryKind,
    epoch: u64,
    payload: Vec<u8>,
    hash: Hash32,
    is_sent: bool,
}

#[derive(Debug)]
struct Link {
    connection: Connection,
    context: ConnectionContext,
    handle: u32,
    epoch: u64,
    next_id: u64,
}

/// One reader or writer.
#[derive(Debug)]
pub(crate) struct Client {
    service: Arc<Service>,
    pub(crate) book: Arc<Book>,
    /// Which writer it is; none only reads.
    who: Option<u8>,
    node: usize,
    link: Option<Link>,
    pending: Option<Pending>,
    winners: Winners,
    number: u64,
    /// Where the newest entry stands that it was told is accepted.
    told: u64,
    /// Its own commit won: the way to the next epoch is the log.
    is_behind: bool,
    /// The last entry that it has read, and the chain there.
    seq: u64,
    chain: Hash32,
    /// Everything it has read, in order.
    pub(crate) log: Vec<Stored>,
}

impl Client {
    /// Whether it writes.
    pub(crate) fn is_writer(&self) -> bool {
        self.who.is_some()
    }

    /// Goes to the next node, though this one serves: kills would drive everybody to one.
    pub(crate) fn move_on(&mut self) {
        self.link = None;
        self.node += 1;
    }

    /// The last entry that it knows of.
    pub(crate) fn place(&self) -> u64 {
        self.told.max(self.seq)
    }

    /// Begins at this node, and goes on to the next when that one is away.
    pub(crate) fn new(
        service: &Arc<Service>,
        book: &Arc<Book>,
        who: Option<u8>,
        node: usize,
    ) -> Self {
        Self {
            chain: chain_start(service.id, book.id),
            service: Arc::clone(service),
            book: Arc::clone(book),
            who,
            node,
            link: None,
            pending: None,
            winners: vec![0],
            number: 0,
            told: 0,
            is_behind: false,
            seq: 0,
            log: Vec::new(),
        }
    }

    /// Creates the log, wherever that works.
    pub(crate) async fn create(&mut self) -> Result<(), Trouble> {
        loop {
            let done = self.try_create().await;
            if self.goes_on(done).await?.is_some() {
                return Ok(());
            }
        }
    }

    async fn try_create(&mut self) -> Result<(), Trouble> {
        let (mut connection, context) = self.greet().await?;
        let create = self.book.create(&context, &self.service.pass)?;
        match answer(&mut connection, 1, Body::CreateLog(create)).await? {
            reply::Body::Opened(_) => Ok(()),
            other => Err(odd(&other)),
        }
    }

    /// Reads to the head, however long that takes.
    pub(crate) async fn read(&mut self) -> Result<(), Trouble> {
        loop {
            let done = self.catch_up().await;
            if self.goes_on(done).await?.is_some() {
                return Ok(());
            }
        }
    }

    /// Writes one message until it is known to be accepted, or tries one commit: another's may win.
    pub(crate) async fn write(&mut self, kind: EntryKind) -> Result<(), Trouble> {
        loop {
            let done = self.try_write(kind).await;
            if self.goes_on(done).await?.is_some() {
                return Ok(());
            }
        }
    }

    async fn try_write(&mut self, kind: EntryKind) -> Result<(), Trouble> {
        let (told, was_pending) = (self.told, self.pending.is_some());
        if self.link.is_none() || was_pending || self.is_behind {
            // Unknown or refused: the log says.
            self.catch_up().await?;
        }
        let is_void = was_pending && self.pending.is_none();
        if self.told > told || (is_void && kind == EntryKind::Commit) {
            return Ok(());
        }
        if self.pending.is_none() {
            self.pending = Some(self.next(kind)?);
        }
        let body = self.request()?;
        match self.ask(body).await {
            Ok(reply::Body::Appended(appended)) => self.accepted(appended.seq),
            Ok(reply::Body::Opened(opened)) => {
                let head = opened.head.context("a bundle without a head")?;
                self.is_behind = true;
                self.accepted(head.seq)
            }
            Ok(other) => Err(odd(&other)),
            Err(Trouble::Later(_)) if kind == EntryKind::Commit => {
                // C-028: not its turn, and nothing was changed.
                self.pending = None;
                Ok(())
            }
            Err(trouble) => Err(trouble),
        }
    }

    fn next(&mut self, kind: EntryKind) -> anyhow::Result<Pending> {
        let who = self.who.context("a reader does not write")?;
        let (epoch, winner) = self.epoch()?;
        self.number += 1;
        let payload = if kind == EntryKind::Commit {
            let place = (self.seq, self.chain);
            self.book
                .commit(self.service.id, (epoch, winner), who, place)?
        } else {
            let mut text = format!("message {} of {who} in {epoch} ", self.number);
            text.extend(std::iter::repeat_n(
                '.',
                256_usize.saturating_sub(text.len()),
            ));
            text.into_bytes()
        };
        Ok(Pending {
            kind,
            epoch,
            hash: label::sha256(&payload),
            payload,
            is_sent: false,
        })
    }

    fn request(&mut self) -> anyhow::Result<Body> {
        let handle = self.link.as_ref().context("no connection")?.handle;
        let pending = self.pending.as_mut().context("nothing to send")?;
        if pending.is_sent {
            self.book.record().resent.insert(pending.hash);
        }
        pending.is_sent = true;
        let payload = pending.payload.clone();
        Ok(match pending.kind {
            EntryKind::Commit => Body::PutBundle(PutBundle {
                handle,
                commit_entry: payload,
                blobs: Vec::new(),
            }),
            _ => Body::AppendEntry(AppendEntry { handle, payload }),
        })
    }

    /// What is pending stands at `seq`.
    fn accepted(&mut self, seq: u64) -> Result<(), Trouble> {
        let pending = self.pending.take().context("an answer to nothing")?;
        let who = usize::from(self.who.context("a reader does not write")?);
        let acked = Acked {
            seq,
            epoch: pending.epoch,
            kind: pending.kind,
            hash: pending.hash,
        };
        self.told = seq;
        let mut record = self.book.record();
        record
            .acked
            .get_mut(who)
            .context("no such writer")?
            .push(acked);
        Ok(())
    }

    /// Reads pages until the head, over as many epochs as that takes.
    async fn catch_up(&mut self) -> Result<(), Trouble> {
        if self.link.is_none() {
            let (connection, context) = self.greet().await?;
            self.link = Some(Link {
                connection,
                context,
                handle: 0,
                epoch: 0,
                next_id: 1,
            });
        }
        let known = self.place();
        loop {
            self.open_epoch().await?;
            let epoch = self.epoch()?.0;
            let page = self.page().await?;
            let head = page.head.as_ref().and_then(|head| head.parse());
            let head = head.context("a page without a head")?;
            for entry in page.entries {
                self.take(&entry)?;
            }
            if head.seq.0 < known {
                let seq = head.seq.0;
                return Err(wrong(format!(
                    "a node ends at {seq}, and {known} was known"
                )));
            }
            if self.seq == head.seq.0 && self.chain != head.hash {
                let seq = self.seq;
                // Kept for the check, which names it.
                self.book
                    .record()
                    .shown
                    .entry(seq)
                    .or_default()
                    .insert(head.hash);
                return Err(wrong(format!("the chain forks at {seq}")));
            }
            self.book
                .record()
                .shown
                .entry(head.seq.0)
                .or_default()
                .insert(head.hash);
            if self.epoch()?.0 == epoch && self.seq >= head.seq.0 {
                self.is_behind = false;
                return Ok(());
            }
        }
    }

    async fn page(&mut self) -> Result<LogPage, Trouble> {
        let handle = self.link.as_ref().context("no connection")?.handle;
        let read = ReadLog {
            handle,
            after: self.seq,
            limit: PAGE,
        };
        match self.ask(Body::ReadLog(read)).await? {
            reply::Body::LogPage(page) => Ok(page),
            other => Err(odd(&other)),
        }
    }

    /// One entry further; settles what is pending when that is it, or when its epoch is over.
    fn take(&mut self, entry: &conclave_proto::log::Entry) -> Result<(), Trouble> {
        let kind = entry.kind();
        let hash = entry.payload_hash().context("an entry without a hash")?;
        let expected = self.seq + 1;
        if entry.seq != expected {
            let seq = entry.seq;
            return Err(wrong(format!("{seq} came where {expected} stands")));
        }
        self.chain = chain_next(self.chain, Seq(entry.seq), Epoch(entry.epoch), kind, hash);
        self.seq = entry.seq;
        self.log.push(Stored {
            seq: entry.seq,
            epoch: entry.epoch,
            kind,
            hash,
            chain: self.chain,
        });
        if self
            .pending
            .as_ref()
            .is_some_and(|pending| pending.hash == hash)
        {
            self.accepted(entry.seq)?;
        }
        if kind == EntryKind::Commit {
            let commit = parse_exact(&entry.payload).context("a commit that does not parse")?;
            self.winners.push(self.book.winner_of(&commit)?);
            // Refused for good: what comes next is sealed anew in the new epoch.
            self.pending = None;
        }
        Ok(())
    }

    fn epoch(&self) -> anyhow::Result<(u64, u8)> {
        let winner = *self.winners.last().context("no epoch")?;
        Ok((u64::try_from(self.winners.len())?, winner))
    }

    async fn open_epoch(&mut self) -> Result<(), Trouble> {
        let (epoch, winner) = self.epoch()?;
        let link = self.link.as_ref().context("no connection")?;
        if link.epoch == epoch {
            return Ok(());
        }
        let one = self.book.open(&link.context, epoch, winner)?;
        let logs = vec![one];
        let handle = match self.ask(Body::OpenLogs(OpenLogs { logs })).await? {
            reply::Body::OpenedLogs(opened) => opened.logs.first().map_or(0, |one| one.handle),
            other => return Err(odd(&other)),
        };
        if handle == 0 {
            return Err(wrong(format!("epoch {epoch} of a log is unknown")));
        }
        let link = self.link.as_mut().context("no connection")?;
        (link.handle, link.epoch) = (handle, epoch);
        Ok(())
    }

    async fn greet(&self) -> Result<(Connection, ConnectionContext), Trouble> {
        let nodes = &self.service.nodes;
        let place = nodes.get(self.node % nodes.len()).context("no nodes")?;
        let greeting = async {
            let mut connection = place.connect().await?;
            let context = connection.greet(self.service.id, Role::Logs).await?;
            anyhow::Ok((connection, context))
        };
        match timeout(PATIENCE, greeting).await {
            Ok(Ok(greeted)) => Ok(greeted),
            _ => Err(Trouble::Away),
        }
    }

    async fn ask(&mut self, body: Body) -> Result<reply::Body, Trouble> {
        let link = self.link.as_mut().ok_or(Trouble::Away)?;
        link.next_id += 1;
        answer(&mut link.connection, link.next_id, body).await
    }

    /// Some when it is done; after trouble that passes none, when it has passed.
    async fn goes_on(&mut self, done: Result<(), Trouble>) -> Result<Option<()>, Trouble> {
        match done {
            Ok(()) => return Ok(Some(())),
            Err(Trouble::Stale) => self.is_behind = true,
            Err(Trouble::Later(wait)) => tokio::time::sleep(wait).await,
            Err(Trouble::Away) => {
                self.link = None;
                self.node += 1;
                tokio::time::sleep(PAUSE).await;
            }
            Err(wrong) => return Err(wrong),
        }
        self.service.may_go_on()?;
        Ok(None)
    }
}

/// The whole log as this node serves it, read anew.
pub(crate) async fn whole(
    service: &Arc<Service>,
    book: &Arc<Book>,
    node: usize,
) -> anyhow::Result<Vec<Stored>> {
    let mut client = Client::new(service, book, None, node);
    match client.read().await {
        Ok(()) => {}
        Err(Trouble::Wrong(error)) => return Err(error),
        Err(trouble) => bail!("a log could not be read: {trouble:?}"),
    }
    ensure!(client.node == node, "node {node} does not serve");
    Ok(client.log)
}

async fn answer(connection: &mut Connection, id: u64, body: Body) -> Result<reply::Body, Trouble> {
    let request = Request {
        id,
        body: Some(body),
    };
    let reply = match timeout(PATIENCE, connection.ask::<Reply>(&request)).await {
        Ok(Ok(reply)) if reply.id == id => reply,
        // Too late, gone, or a refusal of the whole connection.
        _ => return Err(Trouble::Away),
    };
    match reply.body {
        Some(reply::Body::Refused(refusal)) => Err(refused(&refusal)),
        Some(body) => Ok(body),
        None => Err(wrong("an empty answer".to_owned())),
    }
}

fn refused(refusal: &Refusal) -> Trouble {
    match refusal.code() {
        ErrorCode::StaleEpoch => Trouble::Stale,
        ErrorCode::Busy | ErrorCode::RateLimited => {
            Trouble::Later(Duration::from_millis(refusal.retry_after_ms).clamp(PAUSE, PATIENCE))
        }
        ErrorCode::Internal | ErrorCode::ShuttingDown => Trouble::Away,
        _ => wrong(format!("refused: {}", refusal.message)),
    }
}

fn odd(body: &reply::Body) -> Trouble {
    wrong(format!("an answer of the wrong kind: {body:?}"))
}

fn wrong(text: String) -> Trouble {
    Trouble::Wrong(anyhow::Error::msg(text))
}
