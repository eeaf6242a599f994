//! Looks after the maps: opens them, stands by the flows, follows the routes, and begins again when they are others.

use std::sync::{PoisonError, Weak};

use super::{Forwarder, Maps};
use crate::log;
use crate::sys::bpf::monotonic_ns;
use crate::sys::routes::Changes;

/// How often the lease is renewed: it stays whole when a few times are missed.
const RENEWAL_MS: i32 = 100;
/// How often missing maps are looked for, and open ones compared with what is pinned.
const LOOK: u64 = 1_000_000_000;
/// Routes are asked for again now and then, should a change not have been told.
const FORGET: u64 = 30_000_000_000;
/// Where they change all the time they are not asked for more often than this.
const REST: u64 = 250_000_000;

/// Run until the forwarder is gone.
pub fn run(forwarder: &Weak<Forwarder>, mut changes: Changes) {
    let mut keeper = Keeper::default();
    let mut changed = false;
    while let Some(forwarder) = forwarder.upgrade() {
        keeper.turn(&forwarder, monotonic_ns(), changed);
        drop(forwarder);
        changed = changes.wait(RENEWAL_MS);
        if changed {
            // A table of routes that is being filled is one change, not thousands.
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Keeper {
    looked_at: u64,
    refreshed_at: u64,
    /// Routes have, since they were asked for.
    changed: bool,
    /// What was told last of why they are not open.
    told: String,
}

impl Keeper {
    /// `changed`: routes have.
    pub fn turn(&mut self, forwarder: &Forwarder, now: u64, changed: bool) {
        let look = self.looked_at == 0 || now.saturating_sub(self.looked_at) >= LOOK;
        if look {
            self.looked_at = now;
        }
        let trouble = match &*forwarder.maps() {
            None => None,
            Some(maps) if look && !maps.are_pinned() => Some("removed or replaced".to_owned()),
            Some(maps) => {
                self.changed |= changed;
                let passed = now.saturating_sub(self.refreshed_at);
                let mut kept = maps.renew();
                if kept.is_ok() && (passed >= FORGET || self.changed && passed >= REST) {
                    (self.refreshed_at, self.changed) = (now, false);
                    kept = forwarder.follow_routes(maps);
                }
                kept.err().map(|error| error.to_string())
            }
        };
        if let Some(reason) = trouble {
            log::warning("forwarding_ended", &[("reason", &reason)]);
            self.put(forwarder, None);
        }
        if look && !forwarder.is_open() {
            self.open(forwarder);
        }
    }

    fn open(&mut self, forwarder: &Forwarder) {
        match Maps::open(&forwarder.directory) {
            Ok(maps) => {
                self.put(forwarder, Some(maps));
                self.told.clear();
                log::info("forwarding", &[("directory", &forwarder.directory.display())]);
            }
            Err(error) => {
                let reason = error.to_string();
                if reason != self.told {
                    log::warning("forwarding_unavailable", &[("reason", &reason)]);
                    self.told = reason;
                }
            }
        }
    }

    fn put(&mut self, forwarder: &Forwarder, maps: Option<Maps>) {
        let mut guard = forwarder.maps.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = guard.as_ref() {
            before.release();
        }
        forwarder.ways().clear();
        *guard = maps;
    }
}
