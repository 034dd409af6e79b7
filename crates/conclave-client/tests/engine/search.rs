//! Looking for words: what is found, what is gone from the index, and what nobody can make of it.

use conclave_client::ClientError;
use conclave_client::view::{Found, Message, Search};
use conclave_proto::id::MessageId;
use rusqlite::Connection;

use crate::support::{Person, World};

fn search(words: &str) -> Search {
    Search {
        words: words.to_owned(),
        limit: 50,
        ..Search::default()
    }
}

fn texts(found: &[Found]) -> Vec<&str> {
    found.iter().map(|one| one.message.text.as_str()).collect()
}

fn found(person: &Person, words: &str) -> Vec<String> {
    let found = person.search(&search(words)).unwrap();
    found.into_iter().map(|one| one.message.text).collect()
}

/// Words are found by their beginning, without regard to case and accents, with the places where they stand; in a
/// chat, by somebody, since a time, page by page.
#[tokio::test(start_paused = true)]
async fn words_are_found_by_their_beginning() {
    let world = World::paused();
    let (anna, ben) = world.friends().await;
    anna.say(&ben, "Grüße aus Zürich").await;
    ben.say(&anna, "zurich is far, zurich is near").await;
    world.settle(&[&anna, &ben]).await;
    assert_eq!(found(&anna, "zür").len(), 2);
    let one = anna.search(&search("ZURICH nea")).unwrap();
    assert_eq!(texts(&one), ["zurich is far, zurich is near"]);
    assert_eq!(one[0].ranges, [(0, 6), (15, 6), (25, 4)]);
    let both = anna.search(&search("GRUSSE zur")).unwrap();
    assert_eq!(both.len(), 0, "\u{df} is no ss");
    let umlaut = anna.search(&search("gru zur")).unwrap();
    assert_eq!(umlaut[0].ranges, [(0, 7), (12, 7)]);
    let by_ben = Search {
        from: Some(ben.address.clone()),
        ..search("zur")
    };
    assert_eq!(anna.search(&by_ben).unwrap().len(), 1);
    let own = Search {
        from: Some(anna.address.clone()),
        chat: Some(ben.address.clone()),
        ..search("zur")
    };
    assert_eq!(texts(&anna.search(&own).unwrap()), ["Grüße aus Zürich"]);
    let later = Search {
        since_ms: u64::MAX,
        ..search("zur")
    };
    assert_eq!(anna.search(&later).unwrap().len(), 0);
    let page = |before: Option<MessageId>| {
        let page = Search {
            before,
            limit: 1,
            ..search("zur")
        };
        anna.search(&page).unwrap()
    };
    let first = page(None);
    let second = page(Some(first[0].message.id));
    assert_ne!(first[0].message.id, second[0].message.id);
    assert!(page(Some(second[0].message.id)).is_empty());
}

/// C-204: no text that anybody types is an error of the index, whatever it holds; too much of it is refused.
#[tokio::test(start_paused = true)]
async fn c204_hostile_queries_are_words() {
    let world = World::paused();
    let (anna, ben) = world.friends().await;
    let said = "a\"b OR (c) NEAR/2 d* ^e body:f - g+h {i} 'j'; DROP TABLE message";
    anna.say(&ben, said).await;
    world.settle(&[&anna, &ben]).await;
    let hostile = [
        said,
        "OR",
        "AND NOT",
        "NEAR(",
        "a\"",
        "\"a",
        "body:f",
        "message_words:x",
        "a*b*",
        "^",
        "a AND",
        "- g",
        "{i}",
        "'",
        "a\0b",
        "\0",
        "\u{e000}a",
        "a\u{301}",
        "\u{202e}a",
        "x'00'",
        "%",
        "_",
        "\\",
        "a\nb",
        "\u{1f44d}",
    ];
    for words in hostile {
        match anna.search(&search(words)) {
            Ok(_) | Err(ClientError::BadInput(_)) => {}
            Err(other) => panic!("{words:?}: {other}"),
        }
    }
    assert_eq!(found(&anna, said).len(), 1, "it finds itself");
    for long in ["\"".repeat(65_536), "x".repeat(65_536), "x ".repeat(500)] {
        let refused = anna.search(&search(&long));
        assert!(matches!(refused, Err(ClientError::TooLarge(_))));
    }
}

/// The database of a profile, opened with its key.
fn database(person: &Person) -> Connection {
    let key = std::fs::read(person.folder.path().join("store.key")).unwrap();
    let raw = Connection::open(person.folder.path().join("store.db")).unwrap();
    let pragma = format!("PRAGMA key = \"x'{}'\"", hex::encode(key));
    raw.execute_batch(&pragma).unwrap();
    raw
}

/// What was edited, deleted, cleared or is over is not found any more, and no word of it is left in the index.
#[tokio::test(start_paused = true)]
async fn c205_what_is_gone_leaves_the_index() {
    let world = World::paused();
    let (mut anna, ben) = world.friends().await;
    let edited = anna.say(&ben, "apricot").await;
    let deleted = anna.say(&ben, "blueberry").await;
    let hidden = ben.say(&anna, "cherry").await;
    world.settle(&[&anna, &ben]).await;
    let chat = anna.chat_with(&ben);
    anna.set_timer(chat, 60).unwrap();
    anna.say(&ben, "damson").await;
    world.settle(&[&anna, &ben]).await;
    for word in ["apricot", "blueberry", "cherry", "damson"] {
        assert_eq!(found(&anna, word), [word]);
    }
    anna.edit(edited, "elderberry", Vec::new()).unwrap();
    anna.delete_for_everyone(deleted).unwrap();
    anna.delete_for_me(hidden).unwrap();
    world.clock.pass(61_000);
    world.settle(&[&anna, &ben]).await;
    for word in ["apricot", "blueberry", "cherry", "damson"] {
        assert_eq!(found(&anna, word).len(), 0, "{word}");
    }
    assert_eq!(found(&anna, "elder"), ["elderberry"]);
    assert_eq!(found(&ben, "elder"), ["elderberry"]);
    anna.clear(chat).unwrap();
    assert_eq!(found(&anna, "elder").len(), 0);
    anna.die().await;
    let raw = database(&anna);
    raw.execute_batch("CREATE VIRTUAL TABLE temp.words USING fts5vocab(main, message_words, row)")
        .unwrap();
    let mut statement = raw.prepare("SELECT term FROM temp.words").unwrap();
    let terms = statement
        .query_map([], |row| row.get::<_, String>(0))
        .unwrap();
    let left: Vec<String> = terms.map(Result::unwrap).collect();
    assert!(left.is_empty(), "{left:?}");
    let whole = "INSERT INTO message_words (message_words) VALUES ('integrity-check')";
    raw.execute_batch(whole).unwrap();
}

/// What strangers ask with is not found before they are accepted.
#[tokio::test(start_paused = true)]
async fn c204_requests_are_not_searched() {
    let world = World::paused();
    let (anna, ben) = (world.person("anna").await, world.person("ben").await);
    anna.say(&ben, "buy my watches").await;
    let asked = || !ben.requests().unwrap().is_empty();
    ben.wait_until(asked).await;
    assert_eq!(found(&ben, "watches").len(), 0);
    ben.accept(&anna).await;
    world.settle(&[&ben, &anna]).await;
    assert_eq!(found(&ben, "watches").len(), 1);
}

/// Pages go on to both ends from any message, over the ones that still wait for their place in the log.
#[tokio::test]
async fn pages_go_on_to_both_ends() {
    let world = World::paused();
    let (mut anna, ben) = world.friends().await;
    for number in 0..10 {
        anna.say(&ben, &number.to_string()).await;
    }
    world.settle(&[&anna, &ben]).await;
    anna.die().await;
    anna.wake_up();
    for number in 10..13 {
        anna.say(&ben, &number.to_string()).await;
    }
    let chat = anna.chat_with(&ben);
    let ids = |page: Vec<Message>| page.into_iter().map(|one| one.id).collect::<Vec<_>>();
    let all = ids(anna.history(chat, 100).unwrap());
    assert_eq!(anna.history(chat, 100).unwrap().last().unwrap().text, "12");
    for (place, id) in all.iter().enumerate() {
        let after = ids(anna.history_after(chat, *id, 4).unwrap());
        let end = (place + 5).min(all.len());
        assert_eq!(after, all[place + 1..end], "after {place}");
        let around = anna.history_around(chat, *id, 4).unwrap();
        assert_eq!(around.has_older, place > 4, "around {place}");
        assert_eq!(around.has_newer, end < all.len(), "around {place}");
        assert_eq!(
            ids(around.messages),
            all[place.saturating_sub(4)..end],
            "around {place}"
        );
    }
    let elsewhere = anna.history_around(chat, MessageId::new([7; 16]), 4);
    assert!(
        matches!(elsewhere, Err(ClientError::NotFound(_))),
        "{elsewhere:?}"
    );
}

/// Pages of a chat follow on each other without a gap, and an export holds each message once, in order, with when it
/// goes; what is over is in neither.
#[tokio::test(start_paused = true)]
async fn pages_and_exports_hold_every_message_once() {
    let world = World::paused();
    let (anna, ben) = world.friends().await;
    for number in 0..10 {
        anna.say(&ben, &number.to_string()).await;
    }
    world.settle(&[&anna, &ben]).await;
    let chat = anna.chat_with(&ben);
    anna.set_timer(chat, 60).unwrap();
    anna.say(&ben, "short").await;
    world.settle(&[&anna, &ben]).await;
    let all: Vec<_> = anna
        .history(chat, 100)
        .unwrap()
        .into_iter()
        .map(|one| one.id)
        .collect();
    let mut paged = Vec::new();
    let mut page = anna.history(chat, 5).unwrap();
    while let Some(first) = page.first().map(|one| one.id) {
        paged.splice(0..0, page.iter().map(|one| one.id));
        page = anna.history_before(chat, first, 5).unwrap();
    }
    assert_eq!(paged, all);
    let export = || {
        let mut rows = Vec::new();
        anna.each_message(chat, |one| {
            rows.push((one.id, one.expires_ms));
            Ok::<_, ClientError>(())
        })
        .unwrap();
        rows
    };
    let rows = export();
    assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), all);
    assert!(rows.last().unwrap().1.is_some());
    world.clock.pass(61_000);
    assert_eq!(export().len(), all.len() - 1);
}
