//! Somebody with an account and a program of their own: what they ask and send harms nobody.

use conclave_core::access::AccessKey;
use conclave_core::capability::Capability;
use conclave_core::conversation::{ConversationContext, ConversationKind};
use conclave_core::identity::IdentitySecret;
use conclave_core::inbox_item::Notice;
use conclave_core::intro::{Greeting, Intro, IntroFor};
use conclave_core::sealed_blob;
use conclave_core::secret::Secret;
use conclave_hostile::protobuf::wrong_fields;
use conclave_hostile::welcome::{self, Plan};
use conclave_proto::account::DeviceCert;
use conclave_proto::blob::NewBlob;
use conclave_proto::frame::Request;
use conclave_proto::hello::{ConnectionContext, Purpose, Role, account_fields};
use conclave_proto::id::{Day, Epoch, LogId};
use conclave_proto::log::{CreateLog, chain_start};

use super::*;
use crate::engine::Step;
use crate::transport::{Connection, TransportError, calls};

/// The role whose connection may ask this.
fn role_of(body: &Body) -> Role {
    match body {
        Body::Lookup(_) | Body::FetchStates(_) | Body::ClaimKeyPackages(_) => Role::Directory,
        Body::PostItem(_) => Role::Post,
        Body::FetchBlob(_) => Role::Blobs,
        Body::CreateLog(_)
        | Body::OpenLogs(_)
        | Body::AppendEntry(_)
        | Body::PutBundle(_)
        | Body::ReadLog(_)
        | Body::SubscribeLog(_)
        | Body::CloseHandle(_)
        | Body::SendSignal(_) => Role::Logs,
        _ => Role::Account,
    }
}

/// Every request that an honest device makes, asked by somebody else with each field wrong in turn: the server answers each, mostly with
/// a refusal that says why, and serves everybody as before.
#[tokio::test(flavor = "multi_thread")]
async fn requests_with_a_wrong_field_harm_nobody() {
    let world = World::new().await;
    let (mut anna, ben) = (world.person("anna").await, world.person("ben").await);
    let eve = world.person("eve").await;
    let tamper = Tamper::new(&world, |_, _| Fate::Pass);
    anna.restart(Arc::new(Road(tamper.clone()))).await;
    anna.say(&ben, "hello").await;
    anna.settle(LONG).await.unwrap();
    ben.accept(&anna).await;
    world.settle(&[&ben, &anna]).await;
    let (mut kinds, mut refused) = (Vec::new(), 0);
    for body in tamper.calls() {
        let kind = std::mem::discriminant(&body);
        if kinds.contains(&kind) {
            continue;
        }
        kinds.push(kind);
        let road = match role_of(&body) {
            Role::Account => authenticated(&world, &eve).await,
            role => world.transport().connect(role).await.unwrap(),
        };
        let whole = Request {
            id: 1,
            body: Some(body),
        }
        .encode_to_vec();
        for bytes in wrong_fields(&whole) {
            // what is no request at all is refused by the frame reader before it is anything
            let Some(body) = Request::decode(bytes.as_slice())
                .ok()
                .and_then(|it| it.body)
            else {
                continue;
            };
            let answer = road.call(body).await;
            let lost =
                matches!(&answer, Err(error) if !matches!(error, TransportError::Refused(_)));
            assert!(!lost, "no answer: {answer:?}");
            refused += usize::from(answer.is_err());
        }
        calls::ping(road.as_ref()).await.unwrap();
    }
    assert!(kinds.len() >= 12, "{} kinds of request", kinds.len());
    assert!(refused > 100, "{refused} refusals");
    ben.say(&anna, "still here").await;
    world.settle(&[&ben, &anna]).await;
    anna.say(&ben, "so am I").await;
    world.settle(&[&anna, &ben]).await;
    for texts in [anna.texts(&ben), ben.texts(&anna)] {
        assert_eq!(texts, ["hello", "still here", "so am I"]);
    }
}

/// What a stranger's program posts for the device of `cert`: a log with its blobs, and an item that points there.
/// Everything holds but the tree, which has 1,024 leaves.
fn giant(
    step: &Step<'_>,
    package: Vec<u8>,
    cert: &DeviceCert,
    context: &ConnectionContext,
) -> (CreateLog, Vec<u8>) {
    let own = &step.own.account;
    let log_id = LogId::new([4; 32]);
    let about =
        ConversationContext::new(ConversationKind::Direct, own.device.server_id, log_id, None);
    let plan = Plan::honest(step.outside(), &about);
    let founded = welcome::found(step.outside(), plan, &[package], |it| it);
    let leaf = welcome::leaves(&founded.tree).remove(0);
    let mut nodes = [Some(leaf.as_slice()), None].repeat(1024);
    nodes.pop();
    let blob = |bytes: &[u8]| sealed_blob::seal(bytes, step.env).unwrap();
    let (welcome, tree) = (blob(&founded.welcome), blob(&welcome::tree(&nodes)));
    let to = IntroFor {
        account_id: cert.content.account_id,
        device_id: cert.content.device_id,
        log_id,
        day: Day::of_ms(step.now_ms),
    };
    let greeting = Greeting {
        name: "eve".into(),
        identifier: own.identifier.parse().unwrap(),
        capability: Capability::parse(&own.capability).unwrap(),
        first: None,
    };
    let blobs = [&welcome, &tree].map(|(pointer, bytes)| NewBlob {
        blob_id: pointer.blob_id.to_vec(),
        bytes: bytes.clone(),
    });
    let key = AccessKey::from_seed(Secret::take(&mut [8; 32]));
    let mut create = CreateLog {
        log_id: log_id.to_vec(),
        access_key: key.public().to_vec(),
        blobs: blobs.to_vec(),
        retention_days: 30,
        ..CreateLog::default()
    };
    create.proof = key.prove_create(context, &create);
    let pointer = WelcomePointer {
        log_id,
        welcome: welcome.0,
        tree: tree.0,
        epoch: Epoch(1),
        start_seq: Seq(0),
        start_hash: chain_start(own.device.server_id, log_id),
        kind: ConversationKind::Direct,
        name_bytes: vec![].into(),
        successor_of: None,
        intro: Intro::sign(&own.device, &own.state, &own.cert, &to, &greeting).unwrap(),
    };
    let item = inbox_item::seal(&InboxItem::Welcome(pointer), cert).unwrap();
    (create, item)
}

/// An invitation whose tree holds 1,024 leaves: accepted by the person, refused by the device, told, and both can
/// start anew.
#[tokio::test(flavor = "multi_thread")]
async fn c079_a_giant_welcome_is_given_up_and_told() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let eve = world.person("eve").await;
    eve.settle(LONG).await.unwrap();
    let account = authenticated(&world, &eve).await;
    let pass = calls::fetch_status(account.as_ref()).await.unwrap().pass;
    let cert = ben.engine().own().unwrap().account.cert.clone();
    let directory = world.transport().connect(Role::Directory).await.unwrap();
    let whom = cert.content.account_id;
    let claimed = calls::claim_key_packages(directory.as_ref(), &pass, whom, &[]).await;
    let package = claimed.unwrap().packages.remove(0).key_package;
    let logs = world.transport().connect(Role::Logs).await.unwrap();
    let made = eve
        .engine()
        .step(|step| Ok(giant(step, package, &cert, logs.context())));
    let (mut create, item) = made.unwrap();
    create.pass.clone_from(&pass);
    calls::create_log(logs.as_ref(), create).await.unwrap();
    let post = world.transport().connect(Role::Post).await.unwrap();
    let device = cert.content.device_id;
    let posted = calls::post_item(post.as_ref(), &pass, device, &[], item).await;
    posted.unwrap();
    ben.accept(&eve).await;
    ben.settle(LONG).await.unwrap();
    assert!(ben.is_warned("over the limit"), "{:?}", ben.status());
    ben.say(&anna, "all is well").await;
    world.settle(&[&ben, &anna]).await;
    assert_eq!(anna.texts(&ben).last().unwrap(), "all is well");
    ben.say(&eve, "what was that?").await;
    ben.settle(LONG).await.unwrap();
    eve.accept(&ben).await;
    world.settle(&[&eve, &ben]).await;
    assert_eq!(eve.texts(&ben), ["what was that?"]);
}

/// An account connection of somebody's own program.
async fn authenticated(world: &World, person: &Person) -> Arc<dyn Connection> {
    let road = world.transport().connect(Role::Account).await.unwrap();
    let (account, device, proof) = {
        let engine = person.engine();
        let own = &engine.own().unwrap().account.device;
        let fields = account_fields(own.account_id, own.device_id);
        let input = road.context().proof_input(Purpose::Account, &fields);
        (own.account_id, own.device_id, own.secret.sign_input(&input))
    };
    let done = calls::authenticate(road.as_ref(), account, device, proof).await;
    done.unwrap();
    road
}

/// A notice about a new key, under `own`'s, for the device of `cert`.
fn notice(step: &Step<'_>, own: &crate::store::OwnAccount, cert: &DeviceCert) -> Vec<u8> {
    let log_id = LogId::random(step.env);
    let to = (cert.content.account_id, cert.content.device_id);
    let item = InboxItem::Notice(Notice {
        log_id,
        code: 2,
        text_bytes: vec![].into(),
        intro: crate::invite::intro_by(own, step.now_ms, to, log_id, None).unwrap(),
    });
    inbox_item::seal(&item, cert).unwrap()
}

/// A stranger's notice leaves nothing and costs no lookup. One that claims a contact's account under a key that
/// the server does not show costs one lookup, and the contact stands.
#[tokio::test(flavor = "multi_thread")]
async fn c137_a_notice_that_is_not_true_costs_one_lookup() {
    let world = World::new().await;
    let (anna, mut ben) = world.friends().await;
    let eve = world.person("eve").await;
    eve.settle(LONG).await.unwrap();
    let tamper = Tamper::new(&world, |_, _| Fate::Pass);
    ben.restart(Arc::new(Road(tamper.clone()))).await;
    let cert = ben.engine().own().unwrap().account.cert.clone();
    let account = authenticated(&world, &eve).await;
    let pass = calls::fetch_status(account.as_ref()).await.unwrap().pass;
    let post = world.transport().connect(Role::Post).await.unwrap();
    let lookups = || {
        let calls = tamper.calls().into_iter();
        calls.filter(|call| matches!(call, Body::Lookup(_))).count()
    };
    let own = eve
        .engine()
        .step(|step| Ok(notice(step, &step.own.account, &cert)));
    let forged = anna.engine().step(|step| {
        let mut own = step.tx.own_account()?.unwrap();
        let key = IdentitySecret::generate(step.env);
        own.cert = key.recertify(&own.cert, own.state.content.generation + 1);
        own.state = key.reset_state(&own.state, &[own.cert.clone()], step.now_ms);
        Ok(notice(step, &own, &cert))
    });
    for (item, expected) in [(own.unwrap(), 0), (forged.unwrap(), 1)] {
        let device = cert.content.device_id;
        let posted = calls::post_item(post.as_ref(), &pass, device, &[], item).await;
        posted.unwrap();
        ben.settle(LONG).await.unwrap();
        assert_eq!(lookups(), expected);
        assert_eq!(ben.contacts().unwrap().len(), 1, "anna alone");
    }
    ben.say(&anna, "all is well").await;
    world.settle(&[&ben, &anna]).await;
    assert_eq!(anna.texts(&ben).last().unwrap(), "all is well");
    assert_eq!(lookups(), 1);
}
