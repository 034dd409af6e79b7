//! How many connections each host has at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limit::NetworkKey;

/// The places of all hosts that have a connection.
#[derive(Debug)]
pub(crate) struct Places {
    per_host_max: u32,
    taken: Mutex<HashMap<NetworkKey, u32>>,
}

/// One connection's place; free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    host: NetworkKey,
}

impl Places {
    /// Places for `per_host_max` connections of each host; 0 = any number.
    pub(crate) fn new(per_host_max: u32) -> Arc<Self> {
        Arc::new(Self {
            per_host_max,
            taken: Mutex::default(),
        })
    }

    /// A place, or `None` when the host has all of its own.
    pub(crate) fn take(self: &Arc<Self>, host: NetworkKey) -> Option<Place> {
        let mut taken = self.taken();
        let count = taken.entry(host).or_default();
        // C-073: counted before TLS costs anything
        if self.per_host_max > 0 && *count >= self.per_host_max {
            return None;
        }
        *count += 1;
        let places = Arc::clone(self);
        Some(Place { places, host })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<NetworkKey, u32>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        if let Some(count) = taken.get_mut(&self.host) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.host);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use conclave_proto::env::OsEnv;

    use super::*;
    use crate::config::LimitsSection;
    use crate::limit::Limits;

    /// An IPv4 address and an IPv6 /64 have their own places, a neighbour has others, and a place
    /// that is given back can be taken again.
    #[test]
    fn c073_each_host_has_its_places() {
        let limits = Limits::new(LimitsSection::default(), OsEnv::shared());
        let places = Places::new(2);
        let take = |peer: &str| {
            let peer: SocketAddr = peer.parse().unwrap();
            places.take(limits.host(peer))
        };
        for (mine, same, neighbour) in [
            ("10.0.0.1:1", "[::ffff:10.0.0.1]:2", "10.0.0.2:1"),
            (
                "[2001:db8::1]:1",
                "[2001:db8::9:9]:2",
                "[2001:db8:0:1::1]:1",
            ),
        ] {
            let first = take(mine).unwrap();
            let _second = take(same).unwrap();
            assert!(take(mine).is_none() && take(same).is_none());
            let _other = take(neighbour).unwrap();
            drop(first);
            assert!(take(mine).is_some());
        }
        assert!(places.taken().is_empty());
    }
}
