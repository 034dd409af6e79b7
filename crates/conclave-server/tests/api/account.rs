//! What a device does for its account, and what a pass is needed for.

use conclave_proto::ErrorCode;
use conclave_proto::account::{
    AccountStateContent, DeviceCertContent, DeviceEntry, FLAG_DISCOVERABLE, FetchStates,
    FetchStatus, Lookup, PutState,
};
use conclave_proto::frame::{reply, request::Body};
use conclave_proto::hello::{Role, pass_hash};
use conclave_proto::inbox::PostItem;
use conclave_proto::key_package::{ClaimKeyPackages, ClaimedKeyPackages, PutKeyPackages};
use conclave_proto::limits::KEY_PACKAGE_BYTES_MAX;
use conclave_proto::log::CreateLog;

use super::support::{Client, DAY_MS, Person, World};

/// Only the device itself acts for its account, by a proof of this connection, once.
#[tokio::test]
async fn c007_only_the_device_acts_for_its_account() {
    let world = World::new().await;
    let (anna, ben) = (world.person().await, world.person().await);
    let mut client = world.connect(Role::Account).await;
    let refusal = client.ask(Body::FetchStatus(FetchStatus {})).await;
    assert_eq!(refusal.unwrap_err().code(), ErrorCode::Unauthorized);
    let thief = Person {
        account_id: anna.account_id,
        ..Person::new(&world.server, &anna.identifier)
    };
    let refusal = client.authenticate(&thief).await.unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::Unauthorized);
    client.authenticate(&anna).await.unwrap();
    let refusal = client.authenticate(&ben).await.unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::BadRequest);
}

/// The pass is one per day for everybody, its hash is in every hello, and yesterday's is over.
#[tokio::test]
async fn c041_the_pass_is_needed_and_the_same_for_all() {
    let world = World::new().await;
    let pass = world.pass().await;
    assert_eq!(world.pass().await, pass);
    let lookup = |pass: &[u8]| {
        Body::Lookup(Lookup {
            pass: pass.to_vec(),
            identifier: "+491700009999".to_owned(),
        })
    };
    let mut client = world.connect(Role::Directory).await;
    assert_eq!(client.hello.pass_hash, pass_hash(&pass).to_vec());
    let nobody = client.ask(lookup(&pass)).await.unwrap_err();
    assert_eq!(nobody.code(), ErrorCode::NotFound);
    world.pass_time(2 * DAY_MS);
    let mut later = world.connect(Role::Directory).await;
    assert_ne!(later.hello.pass_hash, client.hello.pass_hash);
    for client in [&mut client, &mut later] {
        let over = client.ask(lookup(&pass)).await.unwrap_err();
        assert_eq!(over.code(), ErrorCode::PassInvalid);
    }
}

/// Without a pass nothing is looked up, claimed, created, posted or fetched.
#[tokio::test]
async fn c041_nothing_open_works_without_a_pass() {
    let world = World::new().await;
    let requests = [
        (Role::Directory, Body::Lookup(Lookup::default())),
        (Role::Directory, Body::FetchStates(FetchStates::default())),
        (
            Role::Directory,
            Body::ClaimKeyPackages(ClaimKeyPackages::default()),
        ),
        (Role::Post, Body::PostItem(PostItem::default())),
        (Role::Logs, Body::CreateLog(CreateLog::default())),
        (
            Role::Blobs,
            Body::FetchBlob(conclave_proto::blob::FetchBlob::default()),
        ),
    ];
    for (role, request) in requests {
        let mut client = world.connect(role).await;
        let refusal = client.ask(request).await.unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::PassInvalid, "{role:?}");
    }
}

/// A lookup gives state and certificates; who is not discoverable looks like nobody.
#[tokio::test]
async fn lookups_give_the_newest_state() {
    let world = World::new().await;
    let (anna, pass) = (world.person().await, world.pass().await);
    let lookup = Body::Lookup(Lookup {
        pass,
        identifier: anna.identifier.clone(),
    });
    let mut directory = world.connect(Role::Directory).await;
    let found = directory.ask(lookup.clone()).await.unwrap();
    let reply::Body::AccountStates(found) = found else {
        panic!("{found:?}")
    };
    let first = anna.state(1, conclave_proto::id::Hash32::new([0; 32]));
    assert_eq!(found.states, [first.to_bytes()]);
    assert_eq!(found.certs, [anna.cert.to_bytes()]);
    let hidden = anna.state_of(2, first.hash(), first.content.devices.clone(), 0);
    let put = PutState {
        state: hidden.to_bytes(),
        certs: vec![anna.cert.to_bytes()],
    };
    let mut account = world.account(&anna).await;
    account.ask(Body::PutState(put)).await.unwrap();
    let refusal = directory.ask(lookup).await.unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::NotFound);
}

/// Only the state right after the newest one is taken; the same again is no conflict.
#[tokio::test]
async fn c015_states_form_one_chain() {
    let world = World::new().await;
    let anna = world.person().await;
    let mut client = world.account(&anna).await;
    let first = anna.state(1, conclave_proto::id::Hash32::new([0; 32]));
    let devices = first.content.devices.clone();
    let put = |seq, prev, flags| {
        Body::PutState(PutState {
            state: anna.state_of(seq, prev, devices.clone(), flags).to_bytes(),
            certs: vec![anna.cert.to_bytes()],
        })
    };
    let second = put(2, first.hash(), FLAG_DISCOVERABLE);
    for wrong in [
        put(3, first.hash(), 0),
        put(2, conclave_proto::id::Hash32::new([9; 32]), 0),
    ] {
        let refusal = client.ask(wrong).await.unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::Conflict);
    }
    client.ask(second.clone()).await.unwrap();
    client.ask(second).await.unwrap();
    let fork = client.ask(put(2, first.hash(), 0)).await.unwrap_err();
    assert_eq!(fork.code(), ErrorCode::Conflict);
    assert_eq!(client.status().await.state_seq, 2);
}

/// Anna's second state, under the key of `fresh`, after `change`; with her old key's signature when she `gives` it.
fn rekeyed(
    anna: &Person,
    fresh: &Person,
    gives: bool,
    change: impl FnOnce(&mut AccountStateContent),
) -> Body {
    let first = anna.state(1, conclave_proto::id::Hash32::new([0; 32]));
    let mut content = AccountStateContent {
        seq: 2,
        prev_hash: first.hash(),
        identity: fresh.key(),
        former: first.former_after(),
        ..first.content.clone()
    };
    change(&mut content);
    let cert = anna.cert_by(fresh, content.generation);
    for entry in &mut content.devices {
        entry.cert_hash = cert.hash();
    }
    Body::PutState(PutState {
        state: fresh.sign_state(content, gives.then_some(anna)).to_bytes(),
        certs: vec![cert.to_bytes()],
    })
}

/// A new identity key is taken with the old one's signature, and for all devices, or not at all.
#[tokio::test]
async fn c136_a_rotation_is_signed_by_both_keys() {
    let world = World::new().await;
    let (anna, fresh, eve) = (
        world.person().await,
        Person::new(&world.server, "+4915550001"),
        Person::new(&world.server, "+4915550002"),
    );
    let mut client = world.account(&anna).await;
    let good = rekeyed(&anna, &fresh, true, |_| {});
    let Body::PutState(mut other_cert) = good.clone() else {
        panic!("it is a state")
    };
    other_cert.certs = vec![anna.cert.to_bytes()];
    for (wrong, code) in [
        (rekeyed(&anna, &fresh, false, |_| {}), ErrorCode::Conflict),
        (
            rekeyed(&anna, &fresh, true, |content| content.former.clear()),
            ErrorCode::BadRequest,
        ),
        (
            rekeyed(&anna, &fresh, true, |content| {
                content.former = vec![eve.key().fingerprint()];
            }),
            ErrorCode::Conflict,
        ),
        (Body::PutState(other_cert), ErrorCode::BadRequest),
    ] {
        assert_eq!(client.ask(wrong).await.unwrap_err().code(), code);
    }
    client.ask(good.clone()).await.unwrap();
    client.ask(good).await.unwrap();
    assert_eq!(client.status().await.state_seq, 2);
    // the device goes on under the new key, and the old one signs for nothing any more
    let late = client.ask(rekeyed(&anna, &eve, true, |_| {})).await;
    assert_eq!(late.unwrap_err().code(), ErrorCode::Conflict);
    world.account(&anna).await;
}

/// A lost key is replaced by a device of the account that stays in it, one generation on, and nobody else.
#[tokio::test]
async fn c137_a_new_generation_comes_from_a_listed_device() {
    let world = World::new().await;
    let (anna, ben, fresh) = (
        world.person().await,
        world.person().await,
        Person::new(&world.server, "+4915550001"),
    );
    let lost = |generation: u32| {
        rekeyed(&anna, &fresh, false, |content| {
            content.generation = generation;
            content.former.clear();
        })
    };
    let mut other = world.account(&ben).await;
    let refused = other.ask(lost(2)).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::BadRequest);
    let mut client = world.account(&anna).await;
    for generation in [0, 1, 3, u32::MAX] {
        let refused = client.ask(lost(generation)).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::Conflict);
    }
    let same_key = rekeyed(&anna, &anna, false, |content| {
        content.generation = 2;
        content.former.clear();
    });
    let refused = client.ask(same_key).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Conflict);
    let refused = client
        .ask(lost_to_another_device(&anna, &fresh, &world))
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::BadRequest);
    client.ask(lost(2)).await.unwrap();
    assert_eq!(client.status().await.state_seq, 2);
}

/// A reset that leaves out Anna's device and lists another one.
fn lost_to_another_device(anna: &Person, fresh: &Person, world: &World) -> Body {
    let spare = Person::new(&world.server, "+4915550003");
    let content = DeviceCertContent {
        identity_fingerprint: fresh.key().fingerprint(),
        account_id: anna.account_id,
        generation: 2,
        ..spare.cert.content.clone()
    };
    let cert = fresh.certify(&spare.device, content);
    let first = anna.state(1, conclave_proto::id::Hash32::new([0; 32]));
    let content = AccountStateContent {
        generation: 2,
        seq: 2,
        prev_hash: first.hash(),
        identity: fresh.key(),
        devices: vec![DeviceEntry {
            device_id: spare.device_id,
            cert_hash: cert.hash(),
        }],
        ..first.content.clone()
    };
    Body::PutState(PutState {
        state: fresh.sign_state(content, None).to_bytes(),
        certs: vec![cert.to_bytes()],
    })
}

async fn claim(
    client: &mut Client,
    pass: &[u8],
    anna: &Person,
    capability: &[u8],
) -> ClaimedKeyPackages {
    let request = ClaimKeyPackages {
        pass: pass.to_vec(),
        account_id: anna.account_id.to_vec(),
        capability: capability.to_vec(),
        device_id: Vec::new(),
    };
    match client.ask(Body::ClaimKeyPackages(request)).await {
        Ok(reply::Body::ClaimedKeyPackages(claimed)) => claimed,
        other => panic!("{other:?}"),
    }
}

/// Contacts get each one-time package once, then the last resort; strangers the last resort alone.
#[tokio::test]
async fn c033_one_time_packages_are_for_contacts_once() {
    let world = World::new().await;
    let (anna, pass) = (world.person().await, world.pass().await);
    let mut account = world.account(&anna).await;
    let put = PutKeyPackages {
        one_time: vec![b"one".to_vec(), b"two".to_vec()],
        last_resort: b"last".to_vec(),
    };
    account.ask(Body::PutKeyPackages(put)).await.unwrap();
    assert_eq!(account.status().await.pool_left, 2);
    let mut client = world.connect(Role::Directory).await;
    let mut got = Vec::new();
    for capability in [&[][..], &[9; 32], &anna.capability, &anna.capability] {
        let claimed = claim(&mut client, &pass, &anna, capability).await;
        assert_eq!(claimed.packages.len(), 1);
        got.push(claimed.packages[0].key_package.clone());
    }
    assert_eq!(got[..2], [b"last", b"last"]);
    got[2..].sort();
    assert_eq!(got[2..], [b"one", b"two"]);
    let claimed = claim(&mut client, &pass, &anna, &anna.capability).await;
    assert!(claimed.packages[0].last_resort);
    assert_eq!(account.status().await.pool_left, 0);
}

/// A key package over its limit, or too many, are refused and change nothing.
#[tokio::test]
async fn large_key_packages_are_refused() {
    let world = World::new().await;
    let anna = world.person().await;
    let mut client = world.account(&anna).await;
    let long = vec![1; KEY_PACKAGE_BYTES_MAX + 1];
    for put in [
        PutKeyPackages {
            one_time: vec![long.clone()],
            last_resort: vec![],
        },
        PutKeyPackages {
            one_time: vec![],
            last_resort: long,
        },
        PutKeyPackages {
            one_time: vec![vec![1]; 21],
            last_resort: vec![],
        },
    ] {
        let refusal = client.ask(Body::PutKeyPackages(put)).await.unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::TooLarge);
    }
    let status = client.status().await;
    assert!(status.pool_left == 0 && !status.has_last_resort);
}
