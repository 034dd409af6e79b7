//! Vectors of where things are: addresses, ids, a log's chain and head, a bundle's head, a connection's proof.

use conclave_core::access::AccessKey;
use conclave_core::identity::DeviceSecret;
use conclave_core::secret::Secret;
use conclave_hostile::people::SERVER;
use conclave_proto::address::ServerAddress;
use conclave_proto::hello::{ConnectionContext, Purpose, open_fields};
use conclave_proto::id::{
    AccountId, BlobId, DeviceId, Epoch, Hash32, Incarnation, LogId, MessageId, Seq, ServerId,
};
use conclave_proto::log::{
    BUNDLE_VERSION, BlobRef, BundleHead, EntryKind, Head, chain_next, chain_start,
    head_signing_input,
};
use conclave_proto::{codec, label};
use serde_json::{Value, json};

use crate::settle;

const LOG: LogId = LogId::new([0x10; 32]);

fn access(byte: u8) -> AccessKey {
    AccessKey::from_seed(Secret::parse(&[byte; 32]).unwrap())
}

/// Ed25519 by a key of this seed, as a device or the server's leaf signs.
fn signer(byte: u8) -> DeviceSecret {
    let seed = || Secret::parse(&[byte; 32]).unwrap();
    DeviceSecret::from_seeds(seed(), seed())
}

/// Addresses and what they say; text that is none.
#[test]
fn address() {
    let good = [
        ("chat.example.org", 5000),
        ("127.0.0.1", 443),
        ("2001:db8::1", 5000),
    ]
    .map(|(host, port)| {
        let address = ServerAddress {
            server_id: SERVER,
            host: host.to_owned(),
            port,
        };
        let text = address.to_string();
        assert_eq!(text.parse(), Ok(address));
        json!({ "server_id": SERVER.to_string(), "host": host, "port": port, "text": text })
    });
    let refused = [
        "conclave://chat.example.org:5000",
        "https://chat.example.org",
        "conclave://AAAA@chat.example.org:5000",
        "conclave://Xl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl4@:5000",
        "conclave://Xl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl4@host:0",
    ];
    for text in refused {
        assert!(text.parse::<ServerAddress>().is_err(), "{text}");
    }
    settle("address", &json!({ "addresses": good, "refused": refused }));
}

/// Ids as text; text that is none.
#[test]
fn ids() {
    let good = [
        ("log", LogId::new([0xab; 32]).to_string()),
        ("account", AccountId::new([1; 16]).to_string()),
        ("device", DeviceId::new([2; 16]).to_string()),
        ("message", MessageId::new([3; 16]).to_string()),
        ("blob", BlobId::new([4; 32]).to_string()),
        ("server", ServerId::new([5; 32]).to_string()),
    ];
    let refused = ["a_0101", "l_01", "A_01010101010101010101010101010101"];
    for text in refused {
        assert!(text.parse::<AccountId>().is_err() && text.parse::<LogId>().is_err());
    }
    let good = good.map(|(kind, text)| json!({ "kind": kind, "text": text }));
    settle("ids", &json!({ "ids": good, "refused": refused }));
}

/// Three entries, their chain, and the head that the server signs after them.
#[test]
fn chain() {
    let mut hash = chain_start(SERVER, LOG);
    let start = hash;
    let entries = [
        (1_u64, EntryKind::Message, b"first".as_slice()),
        (1, EntryKind::Commit, b"second"),
        (2, EntryKind::Message, b""),
    ];
    let mut seq = 0;
    let shown: Vec<Value> = entries
        .into_iter()
        .map(|(epoch, kind, payload)| {
            seq += 1;
            let payload_hash = label::sha256(payload);
            hash = chain_next(hash, Seq(seq), Epoch(epoch), kind, payload_hash);
            json!({
                "seq": seq,
                "epoch": epoch,
                "kind": if kind == EntryKind::Commit { "commit" } else { "message" },
                "payload": hex::encode(payload),
                "hash": hash.to_string(),
            })
        })
        .collect();
    let head = Head {
        epoch: Epoch(2),
        seq: Seq(3),
        hash,
        incarnation: Incarnation(4),
    };
    let server = signer(3);
    let made = json!({
        "server_id": SERVER.to_string(),
        "log_id": LOG.to_string(),
        "start": start.to_string(),
        "entries": shown,
        "head": {
            "epoch": 2,
            "seq": 3,
            "incarnation": 4,
            "encoded": hex::encode(codec::encode(&head)),
            "server_key": hex::encode(server.leaf_key()),
            "signature": hex::encode(server.sign_input(&head_signing_input(SERVER, LOG, &head))),
        },
    });
    settle("chain", &made);
}

/// A bundle's head, signed by the key of the old epoch, of the new one, and by the committer's leaf.
#[test]
fn bundle_head() {
    let (old, new, committer) = (access(1), access(2), signer(3));
    let head = BundleHead {
        version: BUNDLE_VERSION,
        server_id: SERVER,
        log_id: LOG,
        base_epoch: Epoch(5),
        base_seq: Seq(41),
        base_hash: Hash32::new([7; 32]),
        commit_hash: label::sha256(b"commit"),
        next_access_key: new.public(),
        blobs: vec![BlobRef {
            blob_id: BlobId::new([8; 32]),
            hash: label::sha256(b"blob"),
        }],
        retention_days: 30,
    };
    let made = json!({
        "version": head.version,
        "server_id": SERVER.to_string(),
        "log_id": LOG.to_string(),
        "base_epoch": 5,
        "base_seq": 41,
        "base_hash": head.base_hash.to_string(),
        "commit": hex::encode(b"commit"),
        "next_access_key": hex::encode(new.public()),
        "blobs": [{ "blob_id": BlobId::new([8; 32]).to_string(), "bytes": hex::encode(b"blob") }],
        "retention_days": 30,
        "encoded": hex::encode(codec::encode(&head)),
        "access_key": hex::encode(old.public()),
        "old_signature": hex::encode(old.sign_old(&head)),
        "new_signature": hex::encode(new.sign_new(&head)),
        "leaf_key": hex::encode(committer.leaf_key()),
        "binding_signature": hex::encode(committer.sign_input(&head.binding_input())),
    });
    settle("bundle_head", &made);
}

/// The proof that opens a log at an epoch on one connection.
#[test]
fn connection_proof() {
    let key = access(1);
    let context = ConnectionContext {
        server_id: SERVER,
        client_nonce: [1; 32],
        server_nonce: [2; 32],
        binding: vec![3; 32],
    };
    let (epoch, fields) = (Epoch(5), open_fields(LOG, Epoch(5)));
    let made = json!({
        "server_id": SERVER.to_string(),
        "client_nonce": hex::encode(context.client_nonce),
        "server_nonce": hex::encode(context.server_nonce),
        "binding": hex::encode(&context.binding),
        "purpose": "open-log",
        "log_id": LOG.to_string(),
        "epoch": epoch.0,
        "fields": hex::encode(fields.as_slice()),
        "input": hex::encode(context.proof_input(Purpose::OpenLog, &fields)),
        "access_key": hex::encode(key.public()),
        "proof": hex::encode(key.prove_open(&context, LOG, epoch)),
    });
    settle("connection_proof", &made);
}
