//! A server whose clock is off by a year, ahead and behind: nothing lost, nobody locked out.

use conclave_proto::ErrorCode;
use conclave_proto::frame::request::Body;
use conclave_proto::hello::Role;
use conclave_proto::inbox::PostItem;
use conclave_proto::limits::{INBOX_ITEM_BYTES, OTP_VALID_MS};
use conclave_server::admin::{self, Request, Response};
use conclave_server::config::Config;

use super::strangers::items;
use super::support::{DAY_MS, Person, World};

const ANNA: &str = "+491700001111";
const YEAR_MS: u64 = 365 * DAY_MS;

/// A server that sweeps all the time and asks its operator beyond `jump_days`.
async fn world(jump_days: u32) -> World {
    let mut config = Config::default();
    config.retention.sweep_every_ms = 1;
    config.retention.clock_jump_days = jump_days;
    World::with(config).await
}

async fn ask(world: &World, request: Request) -> Response {
    admin::ask(world.folder.path(), request).await.unwrap()
}

/// Waits until a sweep has seen the clock's day.
async fn swept(world: &World) {
    let today = u32::try_from(world.now_ms() / DAY_MS).unwrap();
    while ask(world, Request::LastDay).await != Response::LastDay(today) {
        tokio::task::yield_now().await;
    }
}

async fn post(world: &World, (from, to): (&Person, &Person), number: u8) {
    let post = Body::PostItem(PostItem {
        pass: world.account(from).await.status().await.pass,
        device_id: to.device_id.to_vec(),
        capability: Vec::new(),
        item: vec![number; INBOX_ITEM_BYTES],
    });
    world.connect(Role::Post).await.ask(post).await.unwrap();
}

/// A clock that jumps a year ahead deletes nothing until the operator confirms the day; the same
/// server without the guard deletes at once.
#[tokio::test]
async fn c078_a_year_ahead_deletes_nothing() {
    let (guarded, open) = (world(5).await, world(0).await);
    let mut owners = Vec::new();
    for world in [&guarded, &open] {
        let anna = world.person().await;
        post(world, (&anna, &anna), 1).await;
        swept(world).await;
        world.pass_time(YEAR_MS);
        owners.push(world.account(&anna).await);
    }
    while items(&mut owners[1]).await > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(items(&mut owners[0]).await, 1);
    let Response::Confirmed(_) = ask(&guarded, Request::ConfirmClock).await else {
        panic!("the day is confirmed");
    };
    while items(&mut owners[0]).await > 0 {
        tokio::task::yield_now().await;
    }
}

/// What comes in while the clock is a year behind, or a year ahead, lives as long as everything else
/// once the clock is right again.
#[tokio::test]
async fn c078_what_comes_in_at_a_wrong_date_lives_on() {
    for ahead in [false, true] {
        let world = world(5).await;
        // before the clock jumps: a sweep may still be on its way then, and takes codes of the other time
        let (anna, bert) = (world.person().await, world.person().await);
        swept(&world).await;
        let right_ms = world.now_ms();
        world.set_time(if ahead {
            right_ms + YEAR_MS
        } else {
            right_ms - YEAR_MS
        });
        post(&world, (&bert, &anna), 1).await;
        world.set_time(right_ms);
        let mut owner = world.account(&anna).await;
        for _ in 0..7 {
            world.pass_time(4 * DAY_MS);
            swept(&world).await;
            assert_eq!(items(&mut owner).await, 1, "{ahead}");
        }
        for _ in 0..3 {
            world.pass_time(4 * DAY_MS);
            swept(&world).await;
        }
        assert_eq!(items(&mut owner).await, 0, "{ahead}");
    }
}

/// A clock that jumps a year ahead moves no identifier: its owner keeps the seven days to object.
#[tokio::test]
async fn c078_a_jump_ends_no_hold() {
    let world = world(5).await;
    let anna = Person::new(&world.server, ANNA);
    world.register(&anna).await.unwrap();
    let thief = Person::new(&world.server, ANNA);
    let held = world.register(&thief).await.unwrap_err();
    assert_eq!(held.code(), ErrorCode::IdentifierHeld);
    swept(&world).await;
    world.pass_time(YEAR_MS);
    let held = world.register(&thief).await.unwrap_err();
    assert_eq!(held.code(), ErrorCode::IdentifierHeld);
    assert!(world.account(&anna).await.status().await.hold_ms > DAY_MS);
}

/// After a year ahead people register at once: neither codes nor sends of that time count.
#[tokio::test]
async fn c078_nobody_is_locked_out_after_a_year_ahead() {
    let world = world(5).await;
    let anna = Person::new(&world.server, ANNA);
    swept(&world).await;
    world.pass_time(YEAR_MS);
    let (challenge, code) = world.code(&anna).await;
    for _ in 0..2 {
        world.code(&anna).await;
    }
    world.set_time(world.now_ms() - YEAR_MS);
    // a code of the other year would live for a year
    let mut client = world.connect(Role::Account).await;
    let over = client.register(&anna, challenge, &code).await.unwrap_err();
    assert_eq!(over.code(), ErrorCode::OtpExpired);
    world.register(&anna).await.unwrap();
}

/// A clock that goes back a little costs nobody the code in hand.
#[tokio::test]
async fn small_steps_back_cost_nothing() {
    let world = world(5).await;
    let anna = Person::new(&world.server, ANNA);
    let (challenge, code) = world.code(&anna).await;
    world.set_time(world.now_ms() - OTP_VALID_MS / 2);
    let mut client = world.connect(Role::Account).await;
    client.register(&anna, challenge, &code).await.unwrap();
}
