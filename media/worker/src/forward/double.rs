//! Stands for the kernel in tests: keeps flows in memory and lets the test say what they carried.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Counters, Flow, Forwarder, Rule};
use crate::clock::Clock;

#[derive(Debug, Default)]
pub struct Double {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    flows: HashMap<Flow, (Rule, Counters)>,
}

impl Double {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_open(&self) -> bool {
        !self.state().closed
    }

    pub fn give(&self, rule: &Rule) -> io::Result<Flow> {
        let mut state = self.state();
        if state.closed {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let flow = rule.flow();
        if state.flows.contains_key(&flow) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let counters = Counters {
            highest_sequence: rule.highest_sequence,
            timestamp: rule.timestamp,
            jitter: rule.jitter,
            ..Counters::default()
        };
        state.flows.insert(flow, (rule.clone(), counters));
        Ok(flow)
    }

    pub fn read(&self, flow: Flow) -> Option<Counters> {
        self.state().flows.get(&flow).map(|(_, counters)| *counters)
    }

    pub fn take(&self, flow: Flow) -> Option<Counters> {
        self.state().flows.remove(&flow).map(|(_, counters)| counters)
    }
}

impl Forwarder {
    /// One that is open and keeps its flows in memory.
    pub fn double() -> Arc<Self> {
        let mut twin = Self::new(Path::new(""), Clock::new()).expect("a socket");
        twin.double = Some(Double::default());
        Arc::new(twin)
    }

    fn twin(&self) -> MutexGuard<'_, State> {
        self.double.as_ref().expect("a double").state()
    }

    /// What was given and not taken.
    pub fn rules(&self) -> Vec<Rule> {
        self.twin().flows.values().map(|(rule, _)| rule.clone()).collect()
    }

    /// Let a flow have carried something.
    pub fn carry(&self, flow: Flow, change: impl FnOnce(&mut Counters)) {
        change(&mut self.twin().flows.get_mut(&flow).expect("a flow").1);
    }

    /// The maps are gone, or there again: then without flows.
    pub fn set_open(&self, open: bool) {
        let mut state = self.twin();
        state.closed = !open;
        state.flows.clear();
    }
}

fn rule() -> Rule {
    Rule {
        peer: "192.0.2.1:4000".parse().expect("an address"),
        local: "192.0.2.9:16384".parse().expect("an address"),
        out_local: "192.0.2.9:16386".parse().expect("an address"),
        out_peer: "192.0.2.2:5000".parse().expect("an address"),
        ssrc_in: 1,
        payload_type_in: 0,
        ssrc_out: 2,
        payload_type_out: 0,
        sequence_offset: 3,
        timestamp_offset: 4,
        clock_rate_hz: 8000,
        highest_sequence: 100,
        timestamp: 16_000,
        jitter: 0,
        packets_per_second: 1000,
        max_octets: 240,
        dscp: 46,
    }
}

#[test]
fn a_flow_is_given_once_and_taken_once() {
    let forwarder = Forwarder::double();
    let flow = forwarder.give(&rule()).expect("given");
    assert!(forwarder.give(&rule()).is_err());
    forwarder.carry(flow, |counters| counters.packets = 7);
    assert_eq!(forwarder.take(flow).map(|counters| counters.packets), Some(7));
    assert_eq!((forwarder.take(flow), forwarder.read(flow)), (None, None));
}

#[test]
fn what_could_go_in_a_circle_or_is_no_audio_is_refused() {
    let forwarder = Forwarder::double();
    let without_limit = Rule {
        packets_per_second: 0,
        ..rule()
    };
    let control = Rule {
        payload_type_in: 72,
        ..rule()
    };
    for refused in [without_limit, control] {
        assert!(forwarder.give(&refused).is_err(), "{refused:?}");
    }
    assert!(forwarder.rules().is_empty());
}
