//! How often: per network and per connection, in memory only, keyed so that no address is kept.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use conclave_proto::env::SharedEnv;
use conclave_proto::id::Day;
use conclave_proto::{ErrorCode, Refusal};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::config::LimitsSection;
use crate::keys::Pepper;

/// Networks remembered at once by one limiter; above it strangers share one allowance.
const NETWORKS_MAX: usize = 100_000;
/// Label of a network's keyed hash.
const NETWORK: &str = "conclave/1 network";
/// What networks share when too many are remembered.
const SHARED: NetworkKey = NetworkKey([0; 16]);

/// A network or host under a key that lives in memory for a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct NetworkKey([u8; 16]);

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Lookup,
    Claim,
    Create,
    Post,
    OtpStart,
    OtpCheck,
    Mailbox,
    FailedOpen,
    Signal,
    /// A blob that is begun; counted for the network alone.
    Upload,
    /// A connection's TLS; counted for the network alone.
    Handshake,
}

/// Limiters of one connection. Dropped with it.
#[derive(Debug)]
pub(crate) struct ConnectionLimits(PerAction<DefaultDirectRateLimiter>);

/// Limiters of all networks.
pub(crate) struct Limits {
    networks: PerAction<DefaultKeyedRateLimiter<NetworkKey>>,
    otp_in_all: Option<DefaultDirectRateLimiter>,
    config: LimitsSection,
    day_key: Mutex<(Day, Pepper)>,
    env: SharedEnv,
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Limits")
    }
}

#[derive(Debug)]
struct PerAction<T> {
    lookup: Option<T>,
    claim: Option<T>,
    create: Option<T>,
    post: Option<T>,
    otp_start: Option<T>,
    otp_check: Option<T>,
    mailbox: Option<T>,
    failed_open: Option<T>,
    signal: Option<T>,
    upload: Option<T>,
    handshake: Option<T>,
}

impl<T> PerAction<T> {
    fn of(&self, action: Action) -> Option<&T> {
        match action {
            Action::Lookup => self.lookup.as_ref(),
            Action::Claim => self.claim.as_ref(),
            Action::Create => self.create.as_ref(),
            Action::Post => self.post.as_ref(),
            Action::OtpStart => self.otp_start.as_ref(),
            Action::OtpCheck => self.otp_check.as_ref(),
            Action::Mailbox => self.mailbox.as_ref(),
            Action::FailedOpen => self.failed_open.as_ref(),
            Action::Signal => self.signal.as_ref(),
            Action::Upload => self.upload.as_ref(),
            Action::Handshake => self.handshake.as_ref(),
        }
    }

    fn all(&self) -> impl Iterator<Item = &T> {
        [
            &self.lookup,
            &self.claim,
            &self.create,
            &self.post,
            &self.otp_start,
            &self.otp_check,
            &self.mailbox,
            &self.failed_open,
            &self.signal,
            &self.upload,
            &self.handshake,
        ]
        .into_iter()
        .flatten()
    }
}

impl Limits {
    pub(crate) fn new(config: LimitsSection, env: SharedEnv) -> Self {
        let networks = PerAction {
            lookup: keyed(config.per_network_lookups),
            claim: keyed(config.per_network_claims),
            create: keyed(config.per_network_creates),
            post: keyed(config.per_network_posts),
            otp_start: keyed(config.per_network_otp_starts),
            otp_check: keyed(config.per_network_otp_checks),
            mailbox: keyed(config.per_network_mailboxes),
            failed_open: keyed(config.per_network_failed_opens),
            signal: None,
            upload: keyed(config.per_network_uploads),
            handshake: keyed(config.per_network_handshakes),
        };
        let day_key = Mutex::new(fresh_day_key(&env));
        Self {
            networks,
            otp_in_all: direct(config.otp_starts_in_all),
            config,
            day_key,
            env,
        }
    }

    /// Fresh limiters for one connection.
    pub(crate) fn connection(&self) -> ConnectionLimits {
        let config = &self.config;
        ConnectionLimits(PerAction {
            lookup: direct(config.per_connection_lookups),
            claim: direct(config.per_connection_claims),
            create: direct(config.per_connection_creates),
            post: direct(config.per_connection_posts),
            otp_start: direct(config.per_connection_otp_starts),
            otp_check: direct(config.per_connection_otp_checks),
            mailbox: direct(config.per_connection_mailboxes),
            failed_open: direct(config.per_connection_failed_opens),
            signal: direct(config.per_connection_signals),
            upload: None,
            handshake: None,
        })
    }

    /// The key of a peer's network, /24 or /56: never its address.
    pub(crate) fn network(&self, peer: SocketAddr) -> NetworkKey {
        self.key(match peer.ip().to_canonical() {
            IpAddr::V4(ip) => u128::from(ip.to_bits() >> 8),
            IpAddr::V6(ip) => (ip.to_bits() >> 72) | (1 << 100),
        })
    }

    /// The key of what one customer of a network has, a whole IPv4 address or a /64.
    pub(crate) fn host(&self, peer: SocketAddr) -> NetworkKey {
        self.key(match peer.ip().to_canonical() {
            IpAddr::V4(ip) => u128::from(ip.to_bits()) | (1 << 101),
            IpAddr::V6(ip) => (ip.to_bits() >> 64) | (1 << 102),
        })
    }

    fn key(&self, network: u128) -> NetworkKey {
        let mut day_key = self.day_key.lock().unwrap_or_else(PoisonError::into_inner);
        if day_key.0 != Day::of_ms(self.env.now_ms()) {
            *day_key = fresh_day_key(&self.env);
        }
        let mac = day_key.1.mac(NETWORK, &network.to_be_bytes());
        NetworkKey(mac.first_chunk().copied().unwrap_or_default())
    }

    /// Counts one `action`, or refuses it with the time to wait.
    pub(crate) fn count(
        &self,
        action: Action,
        network: NetworkKey,
        connection: &ConnectionLimits,
    ) -> Result<(), Refusal> {
        if let Some(limiter) = connection.0.of(action) {
            limiter.check().map_err(|no| refused(&no))?;
        }
        self.count_network(action, network)?;
        if action == Action::OtpStart
            && let Some(limiter) = &self.otp_in_all
        {
            limiter.check().map_err(|no| refused(&no))?;
        }
        Ok(())
    }

    /// Counts one `action` of a network alone.
    pub(crate) fn count_network(&self, action: Action, network: NetworkKey) -> Result<(), Refusal> {
        if let Some(limiter) = self.networks.of(action) {
            let full = limiter.len() >= NETWORKS_MAX;
            let key = if full { &SHARED } else { &network };
            limiter.check_key(key).map_err(|no| refused(&no))?;
        }
        Ok(())
    }

    /// Forgets networks that have their whole allowance back.
    pub(crate) fn tidy(&self) {
        for limiter in self.networks.all() {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

fn refused(no: &governor::NotUntil<governor::clock::QuantaInstant>) -> Refusal {
    let wait = no.wait_time_from(DefaultClock::default().now());
    let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    Refusal::new(
        ErrorCode::RateLimited,
        "too often from this connection or network, try again later",
    )
    .retry_after_ms(ms.max(1))
}

fn quota(per_hour: u32) -> Option<Quota> {
    NonZeroU32::new(per_hour).map(Quota::per_hour)
}

fn keyed(per_hour: u32) -> Option<DefaultKeyedRateLimiter<NetworkKey>> {
    quota(per_hour).map(RateLimiter::keyed)
}

fn direct(per_hour: u32) -> Option<DefaultDirectRateLimiter> {
    quota(per_hour).map(RateLimiter::direct)
}

fn fresh_day_key(env: &SharedEnv) -> (Day, Pepper) {
    let mut key = [0; 32];
    env.fill(&mut key);
    (Day::of_ms(env.now_ms()), Pepper::new(&key))
}

#[cfg(test)]
mod tests {
    use conclave_proto::env::OsEnv;

    use super::*;

    fn limits(per_connection: u32, per_network: u32) -> Limits {
        let config = LimitsSection {
            per_connection_lookups: per_connection,
            per_network_lookups: per_network,
            ..LimitsSection::default()
        };
        Limits::new(config, OsEnv::shared())
    }

    /// A connection that asks too often is told when to try again.
    #[test]
    fn a_connection_has_its_allowance() {
        let limits = limits(2, 0);
        let network = limits.network(([10, 0, 0, 1], 1).into());
        let connection = limits.connection();
        for _ in 0..2 {
            limits.count(Action::Lookup, network, &connection).unwrap();
        }
        let refused = limits
            .count(Action::Lookup, network, &connection)
            .unwrap_err();
        assert_eq!(refused.code(), ErrorCode::RateLimited);
        assert!(refused.retry_after_ms > 0);
        limits.count(Action::Claim, network, &connection).unwrap();
    }

    /// New connections from one network share an allowance; another network has its own.
    #[test]
    fn a_network_has_its_allowance() {
        let limits = limits(0, 1);
        let near = limits.network(([10, 0, 0, 1], 1).into());
        let same = limits.network(([10, 0, 0, 250], 9).into());
        let far = limits.network(([10, 0, 1, 1], 1).into());
        assert_eq!(near, same);
        assert_ne!(near, far);
        let count = |network| limits.count(Action::Lookup, network, &limits.connection());
        assert!(count(near).is_ok());
        assert!(count(same).is_err());
        assert!(count(far).is_ok());
    }

    /// IPv6 networks are /56; an IPv4 address in IPv6 clothes is the IPv4 address.
    #[test]
    fn ipv6_networks_are_56_bits() {
        let limits = limits(0, 1);
        let key = |text: &str| limits.network(text.parse().unwrap());
        assert_eq!(
            key("[2001:db8:1:2200::1]:1"),
            key("[2001:db8:1:22ff:9::9]:2")
        );
        assert_ne!(key("[2001:db8:1:2200::1]:1"), key("[2001:db8:1:2300::1]:1"));
        assert_eq!(key("[::ffff:10.0.0.1]:1"), key("10.0.0.9:1"));
    }
}
