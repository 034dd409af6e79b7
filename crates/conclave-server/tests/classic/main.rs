//! The classic gateway over TCP: what is documented works in both suites, and what is not is refused.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise; clippy knows only the functions marked as tests"
)]

mod support;

use std::sync::Arc;

use conclave_classic::keys::PrivateKey;
use conclave_classic::message::{Message, to_base64};
use conclave_classic::signed;
use conclave_classic::suite::Suite;
use serde_json::{Value, json};
use support::{Clock, Person, Talk, server_key, start, verify};

const ANNA: &str = "+491713920001";
const BEN: &str = "+491713920002";

fn texts(rows: &[(String, String)]) -> Vec<&str> {
    rows.iter().map(|(_, text)| text.as_str()).collect()
}

/// Every documented step in both suites: offline queue, order, acknowledgement, receipt, goodbye; and all of it
/// survives a restart.
#[tokio::test]
async fn both_suites_work_as_documented() {
    for suite in Suite::ALL {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::default());
        let server = start(folder.path(), &clock, 10).await;
        let mut anna = Person::register(&server, suite, ANNA).await;
        let mut ben = Person::register(&server, suite, BEN).await;
        ben.talk.ok(json!({ "action": "quit" })).await;
        assert_eq!(ben.talk.line().await, None, "quit ends the connection");
        let first = anna.send(&ben, "hello").await;
        let second = anna.send(&ben, "are you there?").await;
        server.stop().await.unwrap();

        let server = start(folder.path(), &clock, 10).await;
        anna.reconnect(&server).await;
        ben.reconnect(&server).await;
        let (messages, _) = ben.fetch(&anna).await;
        assert_eq!(texts(&messages), ["hello", "are you there?"]);
        assert_eq!([&messages[0].0, &messages[1].0], [&first, &second]);
        assert_eq!(
            ben.fetch(&anna).await.0,
            messages,
            "kept until acknowledged"
        );
        assert_eq!(anna.fetch(&ben).await.1, Vec::<String>::new());
        let ack = json!({ "action": "ack", "message_ids": [first] });
        ben.talk.ok(ack.clone()).await;
        ben.talk.ok(ack).await;
        assert_eq!(texts(&ben.fetch(&anna).await.0), ["are you there?"]);
        let receipts = anna.talk.ok(json!({ "action": "fetch" })).await["receipts"].clone();
        assert_eq!(receipts[0]["message_id"], json!(first));
        assert_eq!(receipts[0]["recipient_id"], json!(BEN));
        assert_eq!(
            receipts.as_array().unwrap().len(),
            1,
            "one, however often it was acknowledged"
        );
        anna.talk
            .ok(json!({ "action": "ack", "message_ids": [], "receipts": [first] }))
            .await;
        assert_eq!(anna.fetch(&ben).await.1, Vec::<String>::new());
        server.stop().await.unwrap();
    }
}

/// The server names keys under its own signature, and only to who is logged in.
#[tokio::test]
async fn keys_come_signed() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::default());
    let server = start(folder.path(), &clock, 10).await;
    let mut anna = Person::register(&server, Suite::Rsa, ANNA).await;
    let ben = Person::register(&server, Suite::Ec, BEN).await;
    let own = server_key(&mut anna.talk, Suite::Ec).await;
    let reply = anna.talk.ok(json!({ "action": "key", "phone": BEN })).await;
    assert_eq!(reply["suite"], "ec");
    assert_eq!(reply["public_key"], json!(ben.key.public().to_pem()));
    let text = signed::key(Suite::Ec, BEN, &ben.key.public().to_pem());
    let signature = reply["signature"].as_str().unwrap();
    let signature = conclave_classic::message::from_base64(signature).unwrap();
    own.verify(&text, &signature).unwrap();
    anna.talk
        .no(
            json!({ "action": "key", "phone": "+491713920099" }),
            "unknown_recipient",
        )
        .await;
    let mut stranger = Talk::with(&server).await;
    stranger
        .no(json!({ "action": "key", "phone": BEN }), "login_required")
        .await;
}

/// A listening client gets what waits and what arrives, messages and receipts, each once.
#[tokio::test]
async fn listeners_are_told() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::default());
    let server = start(folder.path(), &clock, 10).await;
    let mut anna = Person::register(&server, Suite::Ec, ANNA).await;
    let mut ben = Person::register(&server, Suite::Ec, BEN).await;
    let mut ids = vec![anna.send(&ben, "before").await];
    ben.talk.ok(json!({ "action": "listen" })).await;
    anna.talk.ok(json!({ "action": "listen" })).await;
    let event = ben.talk.line().await.unwrap();
    assert_eq!(
        (&event["event"], &event["message_id"]),
        (&json!("message"), &json!(ids[0]))
    );
    for number in 0..40 {
        ids.push(anna.send(&ben, &format!("text {number}")).await);
    }
    for id in &ids[1..] {
        let event = ben.talk.line().await.unwrap();
        assert_eq!(
            (&event["event"], &event["message_id"]),
            (&json!("message"), &json!(id))
        );
        assert_eq!(event["sender_id"], ANNA);
    }
    ben.talk
        .ok(json!({ "action": "ack", "message_ids": ids }))
        .await;
    for id in &ids {
        let event = anna.talk.line().await.unwrap();
        assert_eq!(
            (&event["event"], &event["message_id"]),
            (&json!("receipt"), &json!(id))
        );
    }
}

/// With suite `ec` the envelope may travel under the link key; what does not open there is refused without a
/// word about why.
#[tokio::test]
async fn sealed_envelopes() {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::default());
    let server = start(folder.path(), &clock, 10).await;
    let mut anna = Person::register(&server, Suite::Ec, ANNA).await;
    let mut ben = Person::register(&server, Suite::Ec, BEN).await;
    let own = server_key(&mut anna.talk, Suite::Ec).await;
    let link = anna.key.link(&own, &signed::link_info(ANNA)).unwrap();
    let seal = |plain: &[u8]| {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, link.as_ref()).unwrap());
        let mut sealed = plain.to_vec();
        let nonce = Nonce::assume_unique_for_key([7; 12]);
        key.seal_in_place_append_tag(nonce, Aad::empty(), &mut sealed)
            .unwrap();
        [vec![7; 12], sealed].concat()
    };
    let message = serde_json::to_vec(&anna.seal(&ben, "sealed")).unwrap();
    let good = seal(&message);
    let mut changed = good.clone();
    changed[20] ^= 1;
    for bad in [
        changed,
        seal(b"{}"),
        seal(b"not JSON"),
        Vec::new(),
        vec![0; 28],
    ] {
        let request = json!({ "action": "send", "sealed": to_base64(&bad) });
        anna.talk.no(request, "bad_sealed").await;
    }
    anna.talk
        .ok(json!({ "action": "send", "sealed": to_base64(&good) }))
        .await;
    assert_eq!(texts(&ben.fetch(&anna).await.0), ["sealed"]);
    let mut carl = Person::register(&server, Suite::Rsa, "+491713920003").await;
    let request = json!({ "action": "send", "sealed": to_base64(&good) });
    carl.talk.no(request, "bad_sealed").await;
}

/// Lines that are no requests get a code each, and the connection stays in step.
#[tokio::test]
async fn nonsense_keeps_the_connection() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::default());
    let server = start(folder.path(), &clock, 10).await;
    let mut talk = Talk::with(&server).await;
    let lines: [(&[u8], &str); 8] = [
        (b"\n", "malformed"),
        (b"{\n", "malformed"),
        (b"\xff\xfe\n", "malformed"),
        (b"[1,2]\n", "malformed"),
        (b"{\"action\":\"dance\"}\n", "bad_request"),
        (b"{\"action\":\"login\",\"phone\":17}\n", "bad_request"),
        (b"{\"action\":\"fetch\",\"max\":-1}\n", "bad_request"),
        (
            b"{\"action\":\"register\",\"suite\":\"rsa\",\"phone\":\"call me\"}\n",
            "bad_phone",
        ),
    ];
    for (line, code) in lines {
        talk.write(line).await;
        assert_eq!(talk.line().await.unwrap()["code"], code);
    }
    for request in [
        json!({ "action": "send" }),
        json!({ "action": "fetch" }),
        json!({ "action": "ack", "message_ids": [] }),
        json!({ "action": "listen" }),
        json!({ "action": "prove", "signature": "AAAA" }),
    ] {
        talk.no(request, "login_required").await;
    }
    talk.ok(json!({ "action": "hello" })).await;
    talk.write(&vec![b'x'; 256 * 1024 + 1]).await;
    assert_eq!(talk.line().await.unwrap()["code"], "too_long");
    assert_eq!(talk.line().await, None, "no longer in step");
}

/// A registration takes five tries; a code that does not decrypt is a wrong code; nobody else's key gets in.
#[tokio::test]
async fn codes_are_guarded() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::default());
    let server = start(folder.path(), &clock, 10).await;
    let mut talk = Talk::with(&server).await;
    let own = server_key(&mut talk, Suite::Ec).await;
    let key = PrivateKey::generate(Suite::Ec).unwrap();
    let request = json!({ "action": "register", "suite": "ec", "phone": ANNA });
    let reply = talk.ok(request.clone()).await;
    let session = reply["session"].as_str().unwrap();
    let code = server.next_code().await.unwrap().code;
    let wrong = if code == "000000" { "111111" } else { "000000" };
    let right = verify(&own, &key, session, &code);

    let change = |field: &str, value: Value| {
        let mut request = right.clone();
        request[field] = value;
        request
    };
    let stranger = PrivateKey::generate(Suite::Ec).unwrap();
    let free = [
        (change("session", json!("00")), "unknown_session"),
        (change("public_key", json!("no key")), "bad_key"),
        (
            change("public_key", json!(stranger.public().to_pem())),
            "bad_signature",
        ),
        (change("signature", json!("AAAA")), "bad_signature"),
        (change("signature", json!("?")), "bad_base64"),
        (change("encrypted_otp", json!("?")), "bad_base64"),
    ];
    for (request, code) in free {
        talk.no(request, code).await;
    }
    let foreign = stranger.public().wrap("otp", code.as_bytes()).unwrap();
    talk.no(
        change("encrypted_otp", json!(to_base64(&foreign))),
        "wrong_code",
    )
    .await;
    talk.no(change("encrypted_otp", json!("")), "wrong_code")
        .await;
    for _ in 0..3 {
        talk.no(verify(&own, &key, session, wrong), "wrong_code")
            .await;
    }
    talk.no(right, "unknown_session").await;

    let reply = talk.ok(request).await;
    let session = reply["session"].as_str().unwrap();
    let code = server.next_code().await.unwrap().code;
    clock.advance_s(601);
    talk.no(verify(&own, &key, session, &code), "unknown_session")
        .await;
}

/// There is room for so many phones; the next is refused and may go on; a known phone may take a new key, and
/// its old connections are told.
#[tokio::test]
async fn accounts_are_bounded() {
    let (folder, clock): (_, Arc<Clock>) = (tempfile::tempdir().unwrap(), Arc::default());
    let server = start(folder.path(), &clock, 2).await;
    let mut anna = Person::register(&server, Suite::Ec, ANNA).await;
    Person::register(&server, Suite::Rsa, BEN).await;
    let request = json!({ "action": "register", "suite": "ec", "phone": "+491713920003" });
    anna.talk.no(request, "full").await;
    anna.talk.ok(json!({ "action": "fetch" })).await;
    let mut again = Person::register(&server, Suite::Ec, ANNA).await;
    anna.talk
        .no(json!({ "action": "fetch" }), "login_required")
        .await;
    again.talk.ok(json!({ "action": "fetch" })).await;
    let request = json!({ "action": "login", "phone": ANNA });
    let nonce = anna.talk.ok(request).await["nonce"].clone();
    let proof = anna
        .key
        .sign(&signed::login(ANNA, nonce.as_str().unwrap()))
        .unwrap();
    let request = json!({ "action": "prove", "signature": to_base64(&proof) });
    anna.talk.no(request, "bad_signature").await;
}

/// A message that was changed, redirected or is no message is refused with its code, and nothing of it arrives.
#[tokio::test]
async fn changed_messages_are_refused() {
    for suite in Suite::ALL {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::default());
        let server = start(folder.path(), &clock, 10).await;
        let mut anna = Person::register(&server, suite, ANNA).await;
        let mut ben = Person::register(&server, suite, BEN).await;
        let other = if suite == Suite::Rsa {
            Suite::Ec
        } else {
            Suite::Rsa
        };
        let cleo = Person::register(&server, other, "+491713920003").await;
        let good = anna.seal(&ben, "hello");
        let twin = anna.seal(&ben, "other");
        let own = |change: &dyn Fn(&mut Message)| {
            let mut message = good.clone();
            change(&mut message);
            json!({ "action": "send", "message": message })
        };
        let cases = [
            (
                own(&|m| m.encrypted_content.clone_from(&twin.encrypted_content)),
                "bad_signature",
            ),
            (
                own(&|m| m.encrypted_aes_key.clone_from(&twin.encrypted_aes_key)),
                "bad_signature",
            ),
            (
                own(&|m| m.signature.clone_from(&twin.signature)),
                "bad_signature",
            ),
            (own(&|m| m.timestamp += 1), "bad_signature"),
            (
                own(&|m| cleo.phone.clone_into(&mut m.recipient_id)),
                "bad_signature",
            ),
            (
                own(&|m| ben.phone.clone_into(&mut m.sender_id)),
                "wrong_sender",
            ),
            (own(&|m| m.encrypted_content = "?".to_owned()), "bad_base64"),
            (own(&|m| m.encrypted_aes_key = "?".to_owned()), "bad_base64"),
            (own(&|m| m.signature = "?".to_owned()), "bad_base64"),
            (
                own(&|m| m.encrypted_content = "A".repeat(255 * 1024)),
                "too_long",
            ),
            (
                json!({ "action": "send", "message": { "sender_id": ANNA } }),
                "bad_request",
            ),
        ];
        for (request, code) in cases {
            anna.talk.no(request, code).await;
        }
        assert_eq!(ben.fetch(&anna).await.0, []);
    }
}

/// A message that is misdated, for nobody, or for somebody of the other suite is refused with its code.
#[tokio::test]
async fn misdirected_messages_are_refused() {
    for suite in Suite::ALL {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::default());
        let server = start(folder.path(), &clock, 10).await;
        let mut anna = Person::register(&server, suite, ANNA).await;
        let mut ben = Person::register(&server, suite, BEN).await;
        let other = if suite == Suite::Rsa {
            Suite::Ec
        } else {
            Suite::Rsa
        };
        let cleo = Person::register(&server, other, "+491713920003").await;
        let now_s = anna.seal(&ben, "now").timestamp;
        let misdated = Message::seal(
            (ANNA, &anna.key),
            (BEN, ben.key.public()),
            "late",
            now_s - 601 - 60,
        );
        let request = json!({ "action": "send", "message": misdated.unwrap() });
        anna.talk.no(request, "bad_timestamp").await;
        let nobody = Message::seal(
            (ANNA, &anna.key),
            ("+491713920099", ben.key.public()),
            "hello?",
            now_s,
        );
        let request = json!({ "action": "send", "message": nobody.unwrap() });
        anna.talk.no(request, "unknown_recipient").await;
        let crossed = Message::seal(
            (ANNA, &anna.key),
            (cleo.phone.as_str(), ben.key.public()),
            "hello?",
            now_s,
        );
        let request = json!({ "action": "send", "message": crossed.unwrap() });
        anna.talk.no(request, "suite_mismatch").await;
        assert_eq!(ben.fetch(&anna).await.0, []);
    }
}

/// A message is accepted once, however late it comes again, and whether or not it was fetched.
#[tokio::test]
async fn repeated_messages_are_refused() {
    for suite in Suite::ALL {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::default());
        let server = start(folder.path(), &clock, 10).await;
        let mut anna = Person::register(&server, suite, ANNA).await;
        let mut ben = Person::register(&server, suite, BEN).await;
        let good = anna.seal(&ben, "hello");
        let request = json!({ "action": "send", "message": good });
        anna.talk.ok(request.clone()).await;
        anna.talk.no(request.clone(), "replay").await;
        clock.advance_s(3_600);
        anna.talk.no(request.clone(), "replay").await;
        let (messages, _) = ben.fetch(&anna).await;
        assert_eq!(texts(&messages), ["hello"]);
        ben.talk
            .ok(json!({ "action": "ack", "message_ids": [messages[0].0] }))
            .await;
        anna.talk.no(request.clone(), "replay").await;
        ben.talk.no(request, "wrong_sender").await;
        assert_eq!(
            ben.fetch(&anna).await.0,
            [],
            "acknowledged is gone, and does not come again"
        );
    }
}

/// Nobody reads or acknowledges for somebody else.
#[tokio::test]
async fn queues_are_private() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::default());
    let server = start(folder.path(), &clock, 10).await;
    let mut anna = Person::register(&server, Suite::Ec, ANNA).await;
    let mut ben = Person::register(&server, Suite::Ec, BEN).await;
    let mut cleo = Person::register(&server, Suite::Ec, "+491713920003").await;
    let id = anna.send(&ben, "for ben alone").await;
    for person in [&mut cleo, &mut anna] {
        person
            .talk
            .ok(json!({ "action": "ack", "message_ids": [id], "receipts": [id] }))
            .await;
    }
    assert_eq!(cleo.fetch(&anna).await, (vec![], vec![]));
    assert_eq!(texts(&ben.fetch(&anna).await.0), ["for ben alone"]);
    ben.talk
        .ok(json!({ "action": "ack", "message_ids": [id] }))
        .await;
    cleo.talk
        .ok(json!({ "action": "ack", "message_ids": [], "receipts": [id] }))
        .await;
    assert_eq!(anna.fetch(&ben).await.1, [id]);
}
