//! The keys and values of the maps, octet by octet as `bpf/forward.bpf.c` declares them. Addresses, ports and SSRCs lie as in
//! a packet, other numbers as the processor has them.

use std::net::SocketAddrV4;

use super::{Counters, Flow, Rule};
use crate::clock::SECOND;
use crate::sys::bpf::Kind;

/// Changes whenever a structure does, so that a worker does not take what another version has pinned.
const VERSION: u64 = 1;

pub const KEY: usize = 12;
pub const FLOW: usize = 136;
pub const WAY: usize = 8;
const STATE: usize = 64;

pub const FLOWS: Kind = Kind {
    kind: Kind::HASH,
    key: KEY,
    value: FLOW,
    entries: 65_536,
    flags: Kind::NO_PREALLOC,
};
pub const WAYS: Kind = Kind {
    kind: Kind::HASH,
    key: WAY,
    value: 4,
    entries: 65_536,
    flags: Kind::NO_PREALLOC,
};
pub const LEASE: Kind = Kind {
    kind: Kind::ARRAY,
    key: 4,
    value: 8,
    entries: 1,
    flags: 0,
};

/// The maps by the names that the program calls them and that they are pinned under.
pub const MAPS: [(&str, Kind); 3] = [("flows", FLOWS), ("ways", WAYS), ("lease", LEASE)];

impl Flow {
    pub(super) fn key(&self) -> [u8; KEY] {
        pair(self.peer, self.local)
    }
}

fn pair(source: SocketAddrV4, destination: SocketAddrV4) -> [u8; KEY] {
    let mut key = [0; KEY];
    key[..4].copy_from_slice(&source.ip().octets());
    key[4..8].copy_from_slice(&destination.ip().octets());
    key[8..10].copy_from_slice(&source.port().to_be_bytes());
    key[10..].copy_from_slice(&destination.port().to_be_bytes());
    key
}

/// The value of a new flow.
pub fn value(rule: &Rule) -> [u8; FLOW] {
    // One cycle up, so that a packet from before the first one is not below zero.
    let floor = 0x1_0000 | u32::from(rule.highest_sequence);
    let share = SECOND.checked_div(u64::from(rule.packets_per_second)).unwrap_or(SECOND);
    let mut octets = Vec::with_capacity(FLOW);
    octets.extend(pair(rule.out_local, rule.out_peer));
    octets.extend(rule.flow().key());
    octets.extend(rule.ssrc_in.to_be_bytes());
    octets.extend(rule.ssrc_out.to_be_bytes());
    octets.extend(rule.timestamp_offset.to_ne_bytes());
    octets.extend(rule.clock_rate_hz.to_ne_bytes());
    octets.extend(rule.sequence_offset.to_ne_bytes());
    octets.extend(rule.max_octets.to_ne_bytes());
    octets.extend([rule.payload_type_in, rule.payload_type_out, rule.dscp << 2, 0]);
    octets.extend(floor.to_ne_bytes());
    octets.extend([0; 4]);
    octets.extend(share.to_ne_bytes());
    debug_assert_eq!(octets.len(), STATE);
    octets.extend((u64::from(floor) << 32 | u64::from(rule.timestamp)).to_ne_bytes());
    // Packets, octets, flooded, passed up, the last arrival, the limit, the transit of the last.
    octets.extend([0; 6 * 8 + 4]);
    octets.extend(rule.jitter.to_ne_bytes());
    let mut value = [0; FLOW];
    value[..octets.len()].copy_from_slice(&octets);
    value
}

/// What the program has noted. `last_at` is by the kernel's clock.
pub fn counters(value: &[u8; FLOW]) -> Counters {
    let long = |index: usize| word(value, STATE + 8 * index);
    let newest = long(0);
    let floor = short(value, 48);
    let highest = (newest >> 32) as u32;
    Counters {
        packets: long(1),
        octets: long(2),
        flooded: long(3),
        passed_up: long(4),
        highest_sequence: highest as u16,
        cycles: (highest >> 16).wrapping_sub(floor >> 16),
        timestamp: newest as u32,
        last_at: long(5),
        jitter: short(value, STATE + 7 * 8 + 4),
    }
}

fn short(value: &[u8; FLOW], at: usize) -> u32 {
    let mut octets = [0; 4];
    octets.copy_from_slice(&value[at..at + 4]);
    u32::from_ne_bytes(octets)
}

fn word(value: &[u8; FLOW], at: usize) -> u64 {
    let mut octets = [0; 8];
    octets.copy_from_slice(&value[at..at + 8]);
    u64::from_ne_bytes(octets)
}

/// The addresses that a flow's packets come and leave with, as keys of `ways`: the way back to who sends them, and the way out.
pub fn ways(value: &[u8; FLOW]) -> [[u8; WAY]; 2] {
    let mut ways = [[0; WAY]; 2];
    ways[0][..4].copy_from_slice(&value[16..20]);
    ways[0][4..].copy_from_slice(&value[12..16]);
    ways[1].copy_from_slice(&value[..8]);
    ways
}

/// The name of a pinned map.
pub fn file(name: &str) -> String {
    format!("{name}-{VERSION}")
}
