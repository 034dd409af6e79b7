//! Files of messages between people, over networks that cut, on disks that fail, from senders and servers that lie.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use conclave_proto::env::OsEnv;
use image::{DynamicImage, ImageFormat, RgbImage};
use tempfile::TempDir;

use super::*;
use crate::cutting::Cutting;
use crate::engine::crash::{plan, recover, until_fault};
use crate::store::fault::Side;
use crate::support::{LONG, Person, World};
use crate::view::AttachmentState::{Failed, Loaded, Loading, Remote, Uploading};

/// Bytes that repeat nowhere.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..bytes).map(|_| next()).collect()
}

/// A file of somebody's disk.
fn write(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// Sends files to somebody.
async fn send(from: &Person, to: &Person, files: &[PathBuf]) -> MessageId {
    let more = SendMore::default();
    let sent = from.send_files(&to.address, "look", files, more).await;
    sent.unwrap().id
}

/// Loads a file and gives where it is then.
async fn load(person: &Person, id: MessageId, number: Option<u32>) -> Attachment {
    person.fetch_attachment(id, number).unwrap();
    let mut told = |_: &Attachment| {};
    let came = person.wait_for_attachment(id, number, LONG, &mut told);
    came.await.unwrap()
}

/// What is in the folder for files of a profile.
fn kept(person: &Person) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder(person.folder.path()));
    let entries = entries.into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// The whole blobs of the server.
fn blobs(world: &World) -> Vec<PathBuf> {
    fn below(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            if path.is_dir() {
                below(&path, found);
            } else if name.len() == 64 {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    below(world.folder.path(), &mut found);
    found
}

async fn is_here(person: &Person, id: MessageId) {
    person.wait_until(|| person.message(id).is_ok()).await;
}

/// A message goes out when both its files are on the server; the other side sees name, size and type, has nothing
/// before it asks, then the same bytes; an empty file is a file. Nothing stays with the sender.
#[tokio::test(flavor = "multi_thread")]
async fn c193_files_come_with_their_message_and_load_when_asked_for() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let disk = tempfile::tempdir().unwrap();
    let content = noise(300_000);
    let files = [
        write(&disk, "report.pdf", &content),
        write(&disk, "empty", b""),
    ];
    let id = send(&anna, &ben, &files).await;
    anna.settle(LONG).await.unwrap();
    let (state, reason) = anna.state(id);
    // Ben is online: his receipt may be quicker than this look.
    let is_out = matches!(state, MessageState::Accepted | MessageState::Delivered);
    assert!(is_out && reason.is_empty(), "{state:?} {reason}");
    assert_eq!(kept(&anna), Vec::<PathBuf>::new());
    ben.settle(LONG).await.unwrap();

    let listed = ben.attachments(ben.chat_with(&anna)).unwrap();
    let seen: Vec<_> = listed
        .iter()
        .map(|file| (file.number, file.name.as_str(), file.length, file.state))
        .collect();
    assert_eq!(
        seen,
        [(1, "report.pdf", 300_000, Remote), (2, "empty", 0, Remote)]
    );
    assert_eq!(listed[0].media_type, "application/pdf");
    assert_eq!(kept(&ben), Vec::<PathBuf>::new());
    let unnamed = ben.fetch_attachment(id, None).unwrap_err();
    assert!(unnamed.to_string().contains("/1"), "{unnamed}");

    let target = tempfile::tempdir().unwrap();
    for (number, whole) in [(1, content.as_slice()), (2, b"")] {
        assert_eq!(load(&ben, id, Some(number)).await.state, Loaded);
        let saved = ben.save_attachment(id, Some(number), target.path(), false);
        assert!(fs::read(saved.await.unwrap()).unwrap() == whole);
    }
    // what lies in the profile is sealed
    for path in kept(&ben) {
        let sealed = fs::read(path).unwrap();
        assert!(!sealed.windows(64).any(|part| part == &content[..64]));
    }
    let pruned = ben.prune_attachments().unwrap();
    assert_eq!(pruned.files, 2);
    assert_eq!(kept(&ben), Vec::<PathBuf>::new());
    assert_eq!(ben.attachment(id, Some(1)).unwrap().state, Remote);
}

/// Nothing is written over what is there unless that is said, a link at the target is not followed, and nothing
/// half written is left.
#[tokio::test(flavor = "multi_thread")]
async fn c194_saving_writes_all_or_nothing_and_over_nothing() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let disk = tempfile::tempdir().unwrap();
    let content = noise(100_000);
    let id = send(&anna, &ben, &[write(&disk, "note.txt", &content)]).await;
    anna.settle(LONG).await.unwrap();
    is_here(&ben, id).await;
    load(&ben, id, None).await;

    let target = tempfile::tempdir().unwrap();
    let taken = write(&target, "note.txt", b"mine");
    let refused = ben.save_attachment(id, None, &taken, false).await;
    assert!(
        matches!(refused, Err(ClientError::Exists(_))),
        "{refused:?}"
    );
    assert_eq!(fs::read(&taken).unwrap(), b"mine");
    // into a folder: beside what is there, under the next number
    for name in ["note (1).txt", "note (2).txt"] {
        let beside = target.path().join(name);
        let saved = ben.save_attachment(id, None, target.path(), false).await;
        assert_eq!(saved.unwrap(), beside);
        assert!(fs::read(&beside).unwrap() == content);
        assert_eq!(fs::read(&taken).unwrap(), b"mine");
    }
    for name in ["note (1).txt", "note (2).txt"] {
        fs::remove_file(target.path().join(name)).unwrap();
    }
    let aim = write(&target, "aim", b"aim");
    let link = target.path().join("link");
    std::os::unix::fs::symlink(&aim, &link).unwrap();
    let refused = ben.save_attachment(id, None, &link, false).await;
    assert!(
        matches!(refused, Err(ClientError::Exists(_))),
        "{refused:?}"
    );
    ben.save_attachment(id, None, &link, true).await.unwrap();
    assert!(fs::read(&link).unwrap() == content);
    assert_eq!(fs::read(&aim).unwrap(), b"aim");
    ben.save_attachment(id, None, target.path(), true)
        .await
        .unwrap();
    assert!(fs::read(&taken).unwrap() == content);
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 3);

    // what is no file is nobody's old copy
    let elsewhere = tempfile::tempdir().unwrap();
    let socket = elsewhere.path().join("socket");
    let _listening = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let refused = ben.save_attachment(id, None, &socket, true).await;
    assert!(
        matches!(refused, Err(ClientError::BadInput(_))),
        "{refused:?}"
    );
    assert!(fs::read(&socket).is_err(), "it still is none");

    // damaged on this disk: nothing of it is written, and it can be loaded again
    let sealed = &kept(&ben)[0];
    let mut bytes = fs::read(sealed).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(sealed, bytes).unwrap();
    let whole = target.path().join("whole");
    let damaged = ben.save_attachment(id, None, &whole, false).await;
    assert!(matches!(damaged, Err(ClientError::Store(_))), "{damaged:?}");
    assert!(!whole.exists());
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 3);
    load(&ben, id, None).await;
    ben.save_attachment(id, None, &whole, false).await.unwrap();
    assert!(fs::read(&whole).unwrap() == content);
}

/// Upload and download are cut ten times each, and both people die in between: the bytes are the same.
#[tokio::test(flavor = "multi_thread")]
async fn c193_ten_cuts_each_way_change_nothing() {
    let world = World::new().await;
    let (mut anna, mut ben) = world.friends().await;
    let disk = tempfile::tempdir().unwrap();
    let content = noise(3_600_000);
    let (up, up_cuts) = Cutting::new(&world);
    let (down, down_cuts) = Cutting::new(&world);
    anna.restart(up.clone()).await;
    let id = send(&anna, &ben, &[write(&disk, "film.mp4", &content)]).await;
    anna.wait_until(|| up_cuts.load(Ordering::SeqCst) > 3).await;
    assert_eq!(anna.state(id).0, MessageState::Queued);
    anna.restart(up).await;
    anna.settle(LONG).await.unwrap();
    is_here(&ben, id).await;
    ben.restart(down.clone()).await;
    ben.fetch_attachment(id, None).unwrap();
    ben.wait_until(|| down_cuts.load(Ordering::SeqCst) > 3)
        .await;
    ben.restart(down).await;
    assert_eq!(load(&ben, id, None).await.state, Loaded);
    let copy = disk.path().join("copy");
    let saved = ben.save_attachment(id, None, &copy, false);
    assert!(fs::read(saved.await.unwrap()).unwrap() == content);
    let cuts = [up_cuts, down_cuts].map(|cuts| cuts.load(Ordering::SeqCst));
    assert!(cuts.iter().all(|cuts| *cuts >= 10), "{cuts:?}");
}

/// The sender, then the receiver, meets a failing disk or dies at every commit: one message, the same bytes, and
/// nothing left behind.
#[tokio::test(flavor = "multi_thread")]
async fn c193_death_at_every_commit_loses_and_doubles_nothing() {
    for side in [Side::Fails, Side::DiesBefore, Side::DiesAfter] {
        let world = World::new().await;
        let (mut anna, mut ben) = world.friends().await;
        let disk = tempfile::tempdir().unwrap();
        let content = noise(70_000);
        let file = write(&disk, "file", &content);
        for commits in 0.. {
            let at = format!("{side:?} at commit {commits}");
            let text = commits.to_string();
            let is_met = {
                let met = plan(&anna, commits, side);
                let more = SendMore::default();
                let files = std::slice::from_ref(&file);
                let sent = anna.send_files(&ben.address, &text, files, more).await;
                if sent.is_ok() {
                    until_fault(&met, async { _ = anna.settle(LONG).await }).await;
                }
                recover(&world, &mut anna, side).await
            };
            if !anna.texts(&ben).contains(&text) {
                let more = SendMore::default();
                let files = std::slice::from_ref(&file);
                anna.send_files(&ben.address, &text, files, more)
                    .await
                    .unwrap();
            }
            anna.settle(LONG).await.unwrap();
            ben.wait_until(|| ben.texts(&anna).contains(&text)).await;
            let history = ben.history(ben.chat_with(&anna), 1000).unwrap();
            let same: Vec<_> = history.iter().filter(|row| row.text == text).collect();
            assert_eq!(same.len(), 1, "{at}");
            let id = same[0].id;

            let met = plan(&ben, commits, side);
            until_fault(&met, async {
                if ben.fetch_attachment(id, None).is_ok() {
                    _ = ben.wait_for_attachment(id, None, LONG, &mut |_| {}).await;
                }
            })
            .await;
            let is_met = recover(&world, &mut ben, side).await || is_met;
            assert_eq!(load(&ben, id, None).await.state, Loaded, "{at}");
            let copy = disk.path().join("copy");
            ben.save_attachment(id, None, &copy, true).await.unwrap();
            assert!(fs::read(&copy).unwrap() == content, "{at}");
            ben.prune_attachments().unwrap();
            if !is_met {
                assert!(commits > 3, "it takes more commits than {commits}");
                break;
            }
        }
        anna.restart(world.transport()).await;
        assert_eq!(kept(&anna), Vec::<PathBuf>::new(), "{side:?}");
        assert_eq!(kept(&ben), Vec::<PathBuf>::new(), "{side:?}");
    }
}

/// Taken back before it goes up, while it does and while it comes down: the message has failed or the file is where
/// it was, and nothing is left on this disk.
#[tokio::test(flavor = "multi_thread")]
async fn c193_cancelled_at_any_point_leaves_nothing() {
    let world = World::new().await;
    let (mut anna, mut ben) = world.friends().await;
    let disk = tempfile::tempdir().unwrap();
    let file = write(&disk, "file", &noise(1_000_000));
    // before anything goes up
    anna.die().await;
    anna.wake_up();
    let chat = anna.chat_with(&ben).to_string();
    let more = SendMore::default();
    let sent = anna
        .send_files(&chat, "no", std::slice::from_ref(&file), more)
        .await;
    let first = sent.unwrap().id;
    assert_eq!(anna.attachment(first, None).unwrap().state, Uploading);
    assert_eq!(kept(&anna).len(), 1);
    anna.cancel_attachment(first, None).unwrap();
    assert_eq!(anna.state(first).0, MessageState::Failed);
    assert_eq!(kept(&anna), Vec::<PathBuf>::new());
    assert!(matches!(
        anna.cancel_attachment(first, None),
        Err(ClientError::NotFound(_))
    ));
    // on its way up
    let (up, up_cuts) = Cutting::new(&world);
    anna.go_online_over(up);
    let second = send(&anna, &ben, std::slice::from_ref(&file)).await;
    anna.wait_until(|| up_cuts.load(Ordering::SeqCst) > 1).await;
    anna.cancel_attachment(second, None).unwrap();
    assert_eq!(anna.state(second).0, MessageState::Failed);
    assert_eq!(kept(&anna), Vec::<PathBuf>::new());
    anna.settle(LONG).await.unwrap();
    // on its way down
    let third = send(&anna, &ben, &[file]).await;
    anna.settle(LONG).await.unwrap();
    is_here(&ben, third).await;
    let (down, down_cuts) = Cutting::new(&world);
    ben.restart(down).await;
    assert_eq!(ben.fetch_attachment(third, None).unwrap().state, Loading);
    ben.wait_until(|| down_cuts.load(Ordering::SeqCst) > 1)
        .await;
    ben.cancel_attachment(third, None).unwrap();
    assert_eq!(ben.attachment(third, None).unwrap().state, Remote);
    assert_eq!(kept(&ben), Vec::<PathBuf>::new());
    assert_eq!(load(&ben, third, None).await.state, Loaded);
    let texts = ben.texts(&anna);
    assert_eq!(texts, ["hello", "look"]);
}

/// A file that is longer or shorter than its sender says, one that was cut or whose pieces were exchanged on the
/// server, and one that expired there: an error that says so, and nothing of it stays.
#[tokio::test(flavor = "multi_thread")]
async fn c191_lies_about_a_file_end_in_an_error() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let disk = tempfile::tempdir().unwrap();
    let file = write(&disk, "file", &noise(400_000));
    let id = send(&anna, &ben, &[file]).await;
    anna.settle(LONG).await.unwrap();
    is_here(&ben, id).await;

    // the same blob under another length, told twice alike
    let info = anna.message(id).unwrap().message.attachments[0].clone();
    for length in [10, 399_000, 40_000_000] {
        let mut lie = info.clone();
        let at = lie.pointer.len() - 8;
        lie.pointer[at..].copy_from_slice(&u64::to_be_bytes(length));
        lie.length = length;
        let more = SendMore {
            attachments: vec![lie],
            ..SendMore::default()
        };
        let lied = anna.send_with(&ben.address, "lie", more).await.unwrap().id;
        is_here(&ben, lied).await;
        let failed = load(&ben, lied, None).await;
        assert_eq!(failed.state, Failed, "{length}");
        // 399,000 pads to the same blob: its last piece shows it
        let says = failed.reason.contains("not as long") || failed.reason.contains("not open");
        assert!(says, "{length}: {}", failed.reason);
        assert_eq!(kept(&ben), Vec::<PathBuf>::new());
    }

    let blob = blobs(&world).remove(0);
    let whole = fs::read(&blob).unwrap();
    let mut swapped = whole.clone();
    let (first, rest) = swapped.split_at_mut(65_536);
    first.swap_with_slice(&mut rest[..65_536]);
    for (bytes, says) in [
        (swapped.as_slice(), "does not open"),
        (&whole[..whole.len() - 1], "not as long"),
        (&whole[..65_536], "not as long"),
    ] {
        fs::write(&blob, bytes).unwrap();
        let failed = load(&ben, id, None).await;
        assert_eq!(failed.state, Failed);
        assert!(failed.reason.contains(says), "{}", failed.reason);
        assert_eq!(kept(&ben), Vec::<PathBuf>::new());
    }
    fs::remove_file(&blob).unwrap();
    let failed = load(&ben, id, None).await;
    assert!(
        failed.reason.contains("does not have the file"),
        "{}",
        failed.reason
    );
    // asked for again once all is well
    fs::write(&blob, whole).unwrap();
    assert_eq!(load(&ben, id, None).await.state, Loaded);
}

/// A name that leads out of the folder is shown and written as a plain one inside.
#[tokio::test(flavor = "multi_thread")]
async fn c192_path_in_a_name_stays_inside_the_folder() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let disk = tempfile::tempdir().unwrap();
    let id = send(&anna, &ben, &[write(&disk, "file", b"content")]).await;
    anna.settle(LONG).await.unwrap();
    let mut info = anna.message(id).unwrap().message.attachments[0].clone();
    info.name = "../../.config/\u{202e}evil.sh".into();
    let more = SendMore {
        attachments: vec![info],
        ..SendMore::default()
    };
    let lied = anna.send_with(&ben.address, "", more).await.unwrap().id;
    is_here(&ben, lied).await;
    assert_eq!(
        ben.message(lied).unwrap().message.attachments[0].name,
        "evil.sh"
    );
    load(&ben, lied, None).await;
    let target = tempfile::tempdir().unwrap();
    let inside = target.path().join("one/two");
    fs::create_dir_all(&inside).unwrap();
    let saved = ben
        .save_attachment(lied, None, &inside, false)
        .await
        .unwrap();
    assert_eq!(saved, inside.join("evil.sh"));
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 1);
}

/// Over this profile's limit nothing is sent or loaded; over the server's the message fails and says the limit.
#[tokio::test(flavor = "multi_thread")]
async fn c191_limits_are_told_before_bytes_move() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let disk = tempfile::tempdir().unwrap();
    let huge = disk.path().join("huge");
    fs::File::create(&huge)
        .unwrap()
        .set_len(101 * 1024 * 1024)
        .unwrap();
    let more = SendMore::default();
    let files = std::slice::from_ref(&huge);
    let refused = anna.send_files(&ben.address, "", files, more.clone()).await;
    assert!(
        matches!(refused, Err(ClientError::TooLarge(_))),
        "{refused:?}"
    );
    assert_eq!(kept(&anna), Vec::<PathBuf>::new());
    anna.set_attachment_bytes_max(200 * 1024 * 1024).unwrap();
    let id = send(&anna, &ben, files).await;
    anna.settle(LONG).await.unwrap();
    let (state, reason) = anna.state(id);
    assert_eq!(state, MessageState::Failed);
    assert!(reason.contains("104857600"), "{reason}");
    assert_eq!(kept(&anna), Vec::<PathBuf>::new());

    let small = send(&anna, &ben, &[write(&disk, "small", &noise(1000))]).await;
    is_here(&ben, small).await;
    ben.set_attachment_bytes_max(999).unwrap();
    let refused = ben.fetch_attachment(small, None);
    assert!(
        matches!(refused, Err(ClientError::TooLarge(_))),
        "{refused:?}"
    );
    let folder = [disk.path().to_path_buf()];
    let folder = anna
        .send_files(&ben.address, "", &folder, more.clone())
        .await;
    assert!(matches!(folder, Err(ClientError::BadInput(_))));
    let many = vec![disk.path().join("small"); 11];
    let many = anna.send_files(&ben.address, "", &many, more).await;
    assert!(matches!(many, Err(ClientError::TooLarge(_))));
}

/// What a stranger sends loads nothing, whatever this user set; from friends small files come by themselves when
/// that is wanted.
#[tokio::test(flavor = "multi_thread")]
async fn c190_strangers_load_nothing_and_friends_what_was_allowed() {
    let world = World::new().await;
    let (anna, ben) = (world.person("anna").await, world.person("ben").await);
    ben.set_attachment_auto_bytes(1000).unwrap();
    let disk = tempfile::tempdir().unwrap();
    let small = write(&disk, "small", &noise(1000));
    let first = send(&anna, &ben, std::slice::from_ref(&small)).await;
    anna.settle(LONG).await.unwrap();
    ben.wait_until(|| !ben.requests().unwrap().is_empty()).await;
    ben.settle(LONG).await.unwrap();
    assert!(ben.fetch_attachment(first, None).is_err());
    assert_eq!(kept(&ben), Vec::<PathBuf>::new());
    ben.accept(&anna).await;
    world.settle(&[&ben, &anna]).await;
    assert_eq!(ben.attachment(first, None).unwrap().state, Remote);
    assert_eq!(load(&ben, first, None).await.state, Loaded);
    ben.prune_attachments().unwrap();

    let large = send(&anna, &ben, &[write(&disk, "large", &noise(1001))]).await;
    let small = send(&anna, &ben, &[small]).await;
    is_here(&ben, small).await;
    let came = ben
        .wait_for_attachment(small, None, LONG, &mut |_| {})
        .await;
    assert_eq!(came.unwrap().state, Loaded);
    assert_eq!(ben.attachment(large, None).unwrap().state, Remote);
    ben.set_blocked(&anna.address, true).unwrap();
    assert!(matches!(
        ben.fetch_attachment(large, None),
        Err(ClientError::NotAllowed(_))
    ));
}

/// A message that disappears or is deleted takes its file along, loaded or on its way; one that another message has
/// too stays for that.
#[tokio::test(flavor = "multi_thread")]
async fn c196_gone_messages_take_their_files_along() {
    let world = World::new().await;
    let (anna, mut ben) = world.friends().await;
    let disk = tempfile::tempdir().unwrap();
    let file = write(&disk, "file", &noise(1000));
    let chat = anna.chat_with(&ben);
    anna.set_timer(chat, 3600).unwrap();
    let first = send(&anna, &ben, std::slice::from_ref(&file)).await;
    is_here(&ben, first).await;
    load(&ben, first, None).await;
    assert_eq!(kept(&ben).len(), 1);
    ben.mark_read(ben.chat_with(&anna)).unwrap();
    world.clock.pass(3_601_000);
    assert!(ben.message(first).is_err());
    assert_eq!(kept(&ben), Vec::<PathBuf>::new());

    anna.set_timer(chat, 0).unwrap();
    let second = send(&anna, &ben, &[file]).await;
    anna.settle(LONG).await.unwrap();
    let again = anna.forward(second, &ben.address).await.unwrap().id;
    is_here(&ben, again).await;
    load(&ben, second, None).await;
    load(&ben, again, None).await;
    assert_eq!(kept(&ben).len(), 1);
    ben.delete_for_me(second).unwrap();
    assert_eq!(kept(&ben).len(), 1);
    anna.delete_for_everyone(again).unwrap();
    ben.wait_until(|| kept(&ben).is_empty()).await;
    // what a death left behind goes at the next start
    let left = folder(ben.folder.path()).join("new-0000000000000000");
    fs::write(&left, b"half").unwrap();
    ben.restart(world.transport()).await;
    assert!(!left.exists());
}

fn png(folder: &TempDir, width: u32, height: u32) -> PathBuf {
    let noise = |x: u32, y: u32| {
        let n = x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503) ^ (x * y);
        let [r, g, b, _] = n.to_le_bytes();
        image::Rgb([r, g, b])
    };
    let path = folder.path().join(format!("{width}.png"));
    let picture = DynamicImage::from(RgbImage::from_fn(width, height, noise));
    picture.save_with_format(&path, ImageFormat::Png).unwrap();
    path
}

/// A picture gets a small preview and its sides; a bomb, and a text that says to be a picture, go without. What comes
/// in is shown when it is what a preview must be.
#[test]
fn c195_previews_are_small_and_bombs_are_left_closed() {
    let disk = tempfile::tempdir().unwrap();
    let made = preview::make(&png(&disk, 900, 500)).unwrap();
    assert_eq!((made.width, made.height), (900, 500));
    assert!(!made.jpeg.is_empty() && is_well(&made.jpeg));
    // 60,000 pixels a side, in a few bytes
    let mut bomb = fs::read(png(&disk, 8, 8)).unwrap();
    bomb[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    for (name, bytes) in [
        ("bomb.png", bomb.as_slice()),
        ("text.png", b"no picture"),
        ("cut.png", &fs::read(png(&disk, 64, 64)).unwrap()[..200]),
        ("empty.jpg", b""),
    ] {
        assert!(
            preview::make(&write(&disk, name, bytes)).is_none(),
            "{name}"
        );
    }
    assert!(is_well(b""));
    assert!(!is_well(b"no picture"));
    assert!(!is_well(&bomb));
    let mut large = Vec::new();
    let side = DynamicImage::from(RgbImage::new(321, 8));
    let mut at = std::io::Cursor::new(&mut large);
    side.write_to(&mut at, ImageFormat::Jpeg).unwrap();
    assert!(!is_well(&large));
}

/// A preview that is none is not handed to whoever shows messages.
#[tokio::test(flavor = "multi_thread")]
async fn c195_hostile_preview_is_not_shown() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let sealer = conclave_core::attachment::Sealer::new(&OsEnv);
    let pointer = sealer.finish::<()>(&mut |_| Ok(())).unwrap();
    let info = AttachmentInfo {
        pointer: pointer.to_bytes().to_vec(),
        name: "x.jpg".into(),
        media_type: "image/jpeg".into(),
        length: 0,
        preview: b"<script>".to_vec(),
        width: 1,
        height: 1,
    };
    let more = SendMore {
        attachments: vec![info],
        ..SendMore::default()
    };
    let id = anna.send_with(&ben.address, "", more).await.unwrap().id;
    is_here(&ben, id).await;
    let shown = ben.message(id).unwrap().message.attachments.remove(0);
    assert_eq!(shown.preview, b"");
}

/// A loaded file is read from any place on, across pieces and up to its end; one that was changed on the disk is not
/// passed on.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_read_from_any_place() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let folder = TempDir::new().unwrap();
    let bytes = noise(200_000);
    let id = send(&anna, &ben, &[write(&folder, "a.bin", &bytes)]).await;
    anna.settle(LONG).await.unwrap();
    is_here(&ben, id).await;
    let early = ben.read_attachment(id, None, 0);
    assert!(matches!(early, Err(ClientError::NotFound(_))), "{early:?}");
    load(&ben, id, None).await;
    for from in [0, 1, 65_519, 65_520, 65_521, 131_040, 199_999, 200_000] {
        let mut reader = ben.read_attachment(id, Some(1), from as u64).unwrap();
        let mut read = Vec::new();
        while let Some(piece) = reader.next_piece().unwrap() {
            read.extend_from_slice(&piece);
        }
        assert!(read == bytes[from..], "from {from}");
    }
    let sealed = kept(&ben).pop().unwrap();
    let mut changed = fs::read(&sealed).unwrap();
    changed[70_000] ^= 1;
    fs::write(&sealed, changed).unwrap();
    let mut reader = ben.read_attachment(id, None, 0).unwrap();
    assert!(reader.next_piece().is_ok());
    assert!(matches!(reader.next_piece(), Err(ClientError::Store(_))));
}
