//! Rate limits on the wire: what a refused request says.

use conclave_proto::ErrorCode;
use conclave_proto::account::Lookup;
use conclave_proto::frame::request::Body;
use conclave_proto::hello::Role;
use conclave_proto::log::{OpenLogs, OpenOne};
use conclave_server::config::{Config, ExemptLoopback};

use super::support::World;

fn strict() -> Config {
    let mut config = Config::default();
    config.limits.exempt_loopback = ExemptLoopback::Never;
    config.limits.per_connection_lookups = 2;
    config.limits.per_network_lookups = 3;
    config.limits.per_connection_failed_opens = 3;
    config
}

/// Beyond the limit a request gets `rate_limited` with a time, per connection and per network.
#[tokio::test]
async fn limits_answer_with_a_time() {
    let world = World::with(strict()).await;
    let lookup = Body::Lookup(Lookup {
        pass: world.pass().await,
        identifier: "+491700009999".to_owned(),
    });
    let mut seen = Vec::new();
    for _ in 0..2 {
        let mut client = world.connect(Role::Directory).await;
        for _ in 0..3 {
            let refusal = client.ask(lookup.clone()).await.unwrap_err();
            let is_limited = refusal.code() == ErrorCode::RateLimited;
            assert_eq!(is_limited, refusal.retry_after_ms > 0);
            seen.push(is_limited);
        }
    }
    assert_eq!(seen, [false, false, true, false, true, true]);
}

/// Failed opens are charged to the connection, which then opens nothing for a while.
#[tokio::test]
async fn failed_opens_are_charged_to_the_connection() {
    let world = World::with(strict()).await;
    let wrong = OpenOne {
        log_id: vec![1; 32],
        epoch: 1,
        proof: vec![2; 64],
    };
    let open = Body::OpenLogs(OpenLogs {
        logs: vec![wrong; 10],
    });
    let mut client = world.connect(Role::Logs).await;
    for _ in 0..2 {
        let refusal = client.ask(open.clone()).await.unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::RateLimited);
        assert!(refusal.retry_after_ms > 0);
    }
}

/// The machine itself is exempt while the server listens to nobody else.
#[tokio::test]
async fn loopback_is_exempt_by_default() {
    let mut config = strict();
    config.limits.exempt_loopback = ExemptLoopback::Auto;
    let world = World::with(config).await;
    let lookup = Body::Lookup(Lookup {
        pass: world.pass().await,
        identifier: "+491700009999".to_owned(),
    });
    let mut client = world.connect(Role::Directory).await;
    for _ in 0..10 {
        let nobody = client.ask(lookup.clone()).await.unwrap_err();
        assert_eq!(nobody.code(), ErrorCode::NotFound);
    }
}
