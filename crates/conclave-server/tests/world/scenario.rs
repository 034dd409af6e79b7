//! One of everything that writes, in a fixed order; and whether what is left afterwards is right.

use std::path::Path;

use conclave_proto::blob::NewBlob;
use conclave_proto::codec;
use conclave_proto::env::OsEnv;
use conclave_proto::frame::{Reply, reply, request::Body};
use conclave_proto::hello::Role;
use conclave_proto::id::{BlobId, ChallengeId};
use conclave_proto::inbox::{PostItem, ReadInbox};
use conclave_proto::limits::INBOX_ITEM_BYTES;
use conclave_proto::log::{AppendEntry, EntryKind, PutBundle};

use crate::log_support::{Log, open, read};
use crate::program::{Ended, Program, run};
use crate::support::{Client, Person};

/// Messages that are appended at once, so that they share a batch.
const APPENDS: u32 = 3;

/// What was done, and how far it was acknowledged.
#[expect(
    clippy::struct_excessive_bools,
    reason = "one for each thing that is done"
)]
pub(crate) struct Scenario {
    person: Person,
    log: Log,
    blobs: [NewBlob; 2],
    registered: bool,
    created: bool,
    /// How many of the messages.
    appended: usize,
    bundled: bool,
    posted: bool,
}

impl Scenario {
    pub(crate) fn new(program: &Program) -> Self {
        let blob = |byte: u8| NewBlob {
            blob_id: BlobId::random(&OsEnv).to_vec(),
            bytes: vec![byte; 9_000],
        };
        Self {
            person: Person::new(program.place, "+491700000001"),
            log: Log::new(),
            blobs: [blob(1), blob(2)],
            registered: false,
            created: false,
            appended: 0,
            bundled: false,
            posted: false,
        }
    }

    /// Does one after the other until the server is gone or refuses.
    pub(crate) async fn play(&mut self, program: &mut Program) -> Option<()> {
        let mut client = program.try_connect(Role::Account).await?;
        let identifier = &self.person.identifier;
        let start = conclave_proto::account::OtpStart {
            identifier: identifier.clone(),
            identity_fingerprint: self.person.key().fingerprint().to_vec(),
            invite: String::new(),
        };
        let reply::Body::OtpStarted(started) = ask(&mut client, Body::OtpStart(start)).await?
        else {
            return None;
        };
        let code = program.next_code()?;
        let challenge = ChallengeId::parse(&started.challenge_id).unwrap();
        let register = client.registration(&self.person, challenge, &code);
        ask(&mut client, Body::Register(register)).await?;
        self.registered = true;

        let pass = program.pass();
        let mut client = program.try_connect(Role::Logs).await?;
        let create = self.log.create(&client, &pass, vec![self.blobs[0].clone()]);
        ask(&mut client, Body::CreateLog(create)).await?;
        self.created = true;
        self.append(&mut client).await?;
        let commit = self.log.commit(&client, 1, b"commit", &self.blobs[1..]);
        let bundle = PutBundle {
            handle: 1,
            commit_entry: codec::encode(&commit),
            blobs: self.blobs[1..].to_vec(),
        };
        ask(&mut client, Body::PutBundle(bundle)).await?;
        self.bundled = true;

        let mut client = program.try_connect(Role::Post).await?;
        let post = PostItem {
            pass,
            device_id: self.person.device_id.to_vec(),
            capability: vec![],
            item: vec![7; INBOX_ITEM_BYTES],
        };
        ask(&mut client, Body::PostItem(post)).await?;
        self.posted = true;
        Some(())
    }

    async fn append(&mut self, client: &mut Client) -> Option<()> {
        for number in 0..APPENDS {
            let payload = payload(number);
            let request = AppendEntry { handle: 1, payload };
            client.try_send(Body::AppendEntry(request)).await?;
        }
        for _ in 0..APPENDS {
            match client.frame::<Reply>().await?.body {
                Some(reply::Body::Appended(_)) => self.appended += 1,
                _ => return None,
            }
        }
        Some(())
    }

    /// Starts a healthy server: it opens, its database is whole, what was acknowledged is there, and
    /// what was not is there wholly or not at all.
    pub(crate) async fn holds(&self, folder: &Path, context: &str) {
        self.holds_in(Program::start(folder), &["check"], context)
            .await;
    }

    /// The same of a server that keeps everything in a database that others may use, too.
    pub(crate) async fn holds_shared(&self, folder: &Path, url: &str, context: &str) {
        let program = Program::start_shared(folder, url);
        self.holds_in(program, &["--database", url, "check"], context)
            .await;
    }

    async fn holds_in(&self, program: Program, check: &[&str], context: &str) {
        let folder = program.folder().to_path_buf();
        let is_registered = self.account_holds(&program, context).await;
        let (is_created, appended, is_bundled) = self.log_holds(&program, context).await;
        let blobs = [(is_created, 0), (is_bundled, 1)];
        for (is_there, number) in blobs {
            let mut client = program.connect(Role::Blobs).await;
            let fetch = conclave_proto::blob::FetchBlob {
                pass: program.pass(),
                blob_id: self.blobs[number].blob_id.clone(),
            };
            let found = match client.ask(Body::FetchBlob(fetch)).await {
                Ok(reply::Body::BlobBytes(blob)) => {
                    assert_eq!(blob.bytes, self.blobs[number].bytes, "{context}");
                    true
                }
                _ => false,
            };
            assert_eq!(found, is_there, "{context}: blob {number}");
        }
        let kept = [
            (self.registered, is_registered),
            (self.created, is_created),
            (self.bundled, is_bundled),
        ];
        for (acked, there) in kept {
            assert!(there || !acked, "{context}: acknowledged and lost {kept:?}");
        }
        assert!(appended >= self.appended, "{context}: a message is lost");
        assert_eq!(program.stop("-TERM").code, Some(0), "{context}");
        let check = run(&folder, check);
        assert_eq!(check.code, Some(0), "{context}: {}", check.stdout);
    }

    async fn account_holds(&self, program: &Program, context: &str) -> bool {
        let mut client = program.connect(Role::Account).await;
        if client.authenticate(&self.person).await.is_err() {
            assert!(!self.posted, "{context}");
            return false;
        }
        assert!(!client.status().await.pass.is_empty());
        let inbox = client.ask(Body::ReadInbox(ReadInbox { after: 0 })).await;
        let Ok(reply::Body::InboxPage(page)) = inbox else {
            panic!("{context}: {inbox:?}")
        };
        let items: Vec<_> = page.items.iter().map(|item| item.item.clone()).collect();
        let whole = vec![7; INBOX_ITEM_BYTES];
        assert!(
            items == [whole] || (items.is_empty() && !self.posted),
            "{context}"
        );
        true
    }

    /// Whether the log is there, how many messages it has, and whether the commit is in it.
    async fn log_holds(&self, program: &Program, context: &str) -> (bool, usize, bool) {
        let mut client = program.connect(Role::Logs).await;
        let handle = open(&mut client, &self.log, 1).await.handle;
        if handle == 0 {
            return (false, 0, false);
        }
        let entries = read(&mut client, handle, 0).await.entries;
        let mut messages = 0;
        for (place, entry) in (1_u64..).zip(&entries) {
            assert_eq!(entry.seq, place, "{context}");
            if entry.kind() == EntryKind::Message {
                assert_eq!(entry.payload, payload(messages), "{context}");
                messages += 1;
            }
        }
        let is_bundled = entries.len() > messages as usize;
        let next = open(&mut client, &self.log, 2).await.handle;
        assert_eq!(
            next != 0,
            is_bundled,
            "{context}: the next epoch without its commit"
        );
        (true, messages as usize, is_bundled)
    }
}

fn payload(number: u32) -> Vec<u8> {
    vec![u8::try_from(number).unwrap() + 1; 3_000]
}

/// The answer, when the server gives one that is no refusal.
async fn ask(client: &mut Client, body: Body) -> Option<reply::Body> {
    client.try_send(body).await?;
    loop {
        let reply: Reply = client.frame().await?;
        match reply.body? {
            reply::Body::Refused(_) => return None,
            body if reply.id != 0 => return Some(body),
            _ => {}
        }
    }
}

/// A program that ended because its disk failed: says so, says what to do, and exits with 12.
pub(crate) fn ended_for_the_disk(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.code, Some(12), "{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "`{word}`: {}", ended.stderr);
    }
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}
