//! Forwarding in the kernel: packets of a bridge that only change their header need not come up to this process.
//!
//! A program at the network interfaces (`bpf/forward.bpf.c`) looks up each UDP packet by its four addresses and ports. Where
//! it finds a *flow*, one direction of a bridge, and nothing about the packet is unusual, it writes the header that the
//! other side shall see and sends the packet on; everything else reaches the sockets as ever. The program was loaded by
//! root (`dialplane-media forward`), the worker has no rights: it only fills two maps that were pinned in a directory.
//!
//! Who does what: `Forwarder::start` gives an object that lives as long as the worker, and a thread of its own that opens the
//! maps, tries again each second when they are not there, and renews the *lease* ten times a second: without it the
//! program forwards nothing, so the flows of a dead worker stop within a second. Each media thread holds the object
//! (`Option<Arc<Forwarder>>`; None when `--forward` was not given) and gives, reads and takes flows of its own streams, with
//! a system call each. Before the maps are open, and when they are gone, `give` fails and nothing is forwarded: that is no
//! error of a call, user space relays it.
//!
//! Counters of a flow are those since it was given. `take` ends a flow and gives its last counters; a packet that another
//! processor has in hand in that very moment may still be sent and not be counted.

pub mod command;
#[cfg(test)]
mod double;
mod keeper;
mod layout;
#[cfg(test)]
mod live;
mod maps;
mod program;
#[cfg(test)]
mod tests;
mod ways;

use std::io;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use crate::clock::{Clock, Nanos};
use crate::sys::bpf;
use crate::sys::routes::{Changes, Routes};
use maps::Maps;
use ways::Ways;

/// What the kernel is to do with the packets of one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Packets from `peer` to `local` become packets from `out_local` to `out_peer`.
    pub peer: SocketAddrV4,
    pub local: SocketAddrV4,
    pub out_local: SocketAddrV4,
    pub out_peer: SocketAddrV4,
    /// Only this SSRC and this payload type are forwarded.
    pub ssrc_in: u32,
    pub payload_type_in: u8,
    pub ssrc_out: u32,
    pub payload_type_out: u8,
    /// What is added to the numbers of a packet, as `Sending` chose it.
    pub sequence_offset: u16,
    pub timestamp_offset: u32,
    /// Of the incoming payload type.
    pub clock_rate_hz: u32,
    /// The highest sequence number in, so far, and the timestamp of that packet. What is not newer than it stays with user
    /// space, and so does whatever leaps.
    pub highest_sequence: u16,
    pub timestamp: u32,
    /// The interarrival jitter so far, in units of the clock times 16 (RFC 3550 A.8).
    pub jitter: u32,
    /// The limit of `--max-packets-per-second`. A flow without a limit is refused.
    pub packets_per_second: u32,
    /// Longer payloads stay with user space.
    pub max_octets: u16,
    /// Of the packets that are sent.
    pub dscp: u8,
}

/// Names a flow: the addresses and ports that its packets come with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flow {
    peer: SocketAddrV4,
    local: SocketAddrV4,
}

/// What a flow has carried since it was given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets that were sent on, and the octets of their payloads.
    pub packets: u64,
    pub octets: u64,
    /// Dropped, because they were beyond the limit.
    pub flooded: u64,
    /// Left to user space although they were of this flow.
    pub passed_up: u64,
    /// The highest sequence number in, how often it has wrapped since the flow was given, and that packet's timestamp in.
    pub highest_sequence: u16,
    pub cycles: u32,
    pub timestamp: u32,
    /// When the last packet came, by the worker's clock. 0 = none came.
    pub last_at: Nanos,
    /// The interarrival jitter, in units of the clock times 16.
    pub jitter: u32,
}

/// See the module. Shared by all media threads.
#[derive(Debug)]
pub struct Forwarder {
    directory: PathBuf,
    /// CLOCK_MONOTONIC less the worker's clock.
    clock_ahead: Nanos,
    maps: RwLock<Option<Maps>>,
    /// Locked after `maps`.
    ways: Mutex<Ways>,
    #[cfg(test)]
    double: Option<double::Double>,
}

impl Forwarder {
    /// Begin to look for the maps in `directory`, in a thread of its own, and go on to look after them.
    pub fn start(directory: &Path, clock: Clock) -> io::Result<Arc<Self>> {
        let changes = Changes::new()?;
        let forwarder = Arc::new(Self::new(directory, clock)?);
        let weak = Arc::downgrade(&forwarder);
        std::thread::Builder::new()
            .name("forward".to_owned())
            .spawn(move || keeper::run(&weak, changes))?;
        Ok(forwarder)
    }

    fn new(directory: &Path, clock: Clock) -> io::Result<Self> {
        Ok(Self {
            directory: directory.to_owned(),
            clock_ahead: bpf::monotonic_ns().wrapping_sub(clock.now()),
            maps: RwLock::new(None),
            ways: Mutex::new(Ways::new()?),
            #[cfg(test)]
            double: None,
        })
    }

    fn maps(&self) -> RwLockReadGuard<'_, Option<Maps>> {
        self.maps.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn ways(&self) -> MutexGuard<'_, Ways> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Routes have changed: ask anew by which interfaces flows leave. Media threads wait for none of the answers, which take
    /// as long as whoever changes the network holds its lock.
    fn follow_routes(&self, maps: &Maps) -> io::Result<()> {
        let mut routes = Routes::new()?;
        let used = self.ways().used();
        let answers = used.into_iter().map(|way| (way, ways::ask(&mut routes, way))).collect();
        self.ways().lead(&maps.ways, routes, answers);
        Ok(())
    }

    /// Whether flows can be given at the moment.
    pub fn is_open(&self) -> bool {
        #[cfg(test)]
        if let Some(double) = &self.double {
            return double.is_open();
        }
        self.maps().is_some()
    }

    /// Have packets forwarded from now on. The error is for a debug line: user space goes on.
    pub fn give(&self, rule: &Rule) -> io::Result<Flow> {
        if let Some(reason) = rule.refusal() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        #[cfg(test)]
        if let Some(double) = &self.double {
            return double.give(rule);
        }
        let guard = self.maps();
        let Some(maps) = &*guard else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let (flow, value) = (rule.flow(), layout::value(rule));
        let mut ways = self.ways();
        let mut held = Vec::with_capacity(2);
        let mut result = Ok(());
        for way in layout::ways(&value) {
            match ways.hold(&maps.ways, way) {
                Ok(led) => {
                    held.push(way);
                    if !led {
                        result = Err(io::Error::new(
                            io::ErrorKind::HostUnreachable,
                            "no interface leads there",
                        ));
                    }
                }
                Err(error) => result = Err(error),
            }
        }
        let result = result.and_then(|()| maps.flows.update(&flow.key(), &value, true));
        if let Err(error) = result {
            for way in held {
                ways.release(&maps.ways, way);
            }
            return Err(error);
        }
        Ok(flow)
    }

    /// The counters of a flow; None when there is no such flow (any more): then nothing of it is forwarded.
    pub fn read(&self, flow: Flow) -> Option<Counters> {
        #[cfg(test)]
        if let Some(double) = &self.double {
            return double.read(flow);
        }
        let guard = self.maps();
        let mut value = [0; layout::FLOW];
        guard.as_ref()?.flows.lookup(&flow.key(), &mut value).ok()?;
        Some(self.counters(&value))
    }

    /// End a flow. Gives its last counters, None when there was no such flow.
    pub fn take(&self, flow: Flow) -> Option<Counters> {
        #[cfg(test)]
        if let Some(double) = &self.double {
            return double.take(flow);
        }
        let guard = self.maps();
        let maps = guard.as_ref()?;
        let mut value = [0; layout::FLOW];
        maps.flows.take(&flow.key(), &mut value).ok()?;
        let mut ways = self.ways();
        for way in layout::ways(&value) {
            ways.release(&maps.ways, way);
        }
        Some(self.counters(&value))
    }

    fn counters(&self, value: &[u8; layout::FLOW]) -> Counters {
        let mut counters = layout::counters(value);
        if counters.last_at != 0 {
            counters.last_at = counters.last_at.wrapping_sub(self.clock_ahead);
        }
        counters
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        if let Some(maps) = self.maps().as_ref() {
            maps.release();
        }
    }
}

impl Rule {
    /// The name that its flow will have.
    pub fn flow(&self) -> Flow {
        Flow {
            peer: self.peer,
            local: self.local,
        }
    }

    /// Why it cannot be given, if so: what no call needs, and what could carry packets in a circle without end.
    fn refusal(&self) -> Option<&'static str> {
        let audio = |payload_type: u8| payload_type < 128 && !(64..96).contains(&payload_type);
        if !audio(self.payload_type_in) || !audio(self.payload_type_out) {
            return Some("no payload type of RTP");
        }
        if self.packets_per_second == 0 {
            return Some("no limit of packets");
        }
        let addresses = [self.peer, self.local, self.out_local, self.out_peer];
        if addresses.iter().any(|one| one.ip().is_unspecified() || one.port() == 0) {
            return Some("an address that is none");
        }
        if self.clock_rate_hz == 0 || self.max_octets == 0 || self.dscp > 63 {
            return Some("a number out of its range");
        }
        None
    }
}
