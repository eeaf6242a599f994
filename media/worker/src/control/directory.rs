//! What lives in this worker, by name, and on which thread: all that commands are checked against.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::clock::Nanos;
use crate::protocol::{Event, ListedStream, Name, Record};

/// A stream, from its opening until its thread has said `Closed`.
#[derive(Debug)]
pub struct StreamEntry {
    pub call: String,
    pub thread: usize,
    pub local: IpAddr,
    pub port: u16,
    /// The kernel forwards what its peer says.
    pub forwarded: bool,
    /// The answer to its opening, for the second time it is asked for.
    pub opened: Event,
    /// How long it may live without a controller.
    pub expires: Option<Nanos>,
    /// When it ends if nobody is there then to see to it.
    pub deadline: Option<Nanos>,
    pub bridge: Option<Name>,
    pub mix: Option<Name>,
    pub closing: bool,
}

/// A mix, which is where its members are.
#[derive(Debug, Clone)]
pub struct MixEntry {
    pub thread: usize,
    pub members: usize,
}

/// A bridge.
#[derive(Debug, Clone)]
pub struct BridgeEntry {
    pub first: Name,
    pub second: Name,
    pub thread: usize,
}

/// What a recording is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    Stream(Name),
    /// A bridge on this thread.
    Bridge(usize),
}

/// A recording, until the writer has told its end.
#[derive(Debug)]
pub struct RecordingEntry {
    pub of: Recorded,
    /// The command, to know a repetition by.
    pub asked: Record,
    /// It was stopped, or what it records is gone: only its end is to come.
    pub ending: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Directory {
    pub streams: HashMap<Name, StreamEntry>,
    pub bridges: HashMap<Name, BridgeEntry>,
    pub mixes: HashMap<Name, MixEntry>,
    pub recordings: HashMap<Name, RecordingEntry>,
    /// Streams on each thread.
    loads: Vec<usize>,
    /// Where the streams of a call are, and how many.
    calls: HashMap<String, (usize, usize)>,
}

impl Directory {
    pub fn new(threads: usize) -> Self {
        Self {
            streams: HashMap::new(),
            bridges: HashMap::new(),
            mixes: HashMap::new(),
            recordings: HashMap::new(),
            loads: vec![0; threads.max(1)],
            calls: HashMap::new(),
        }
    }

    /// The thread for a new stream: where its call already is, so that the two can be bridged as they are; else the one
    /// with the fewest streams.
    pub fn thread_for(&self, call: &str) -> usize {
        if let Some((thread, _)) = self.calls.get(call) {
            return *thread;
        }
        let lightest = self.loads.iter().enumerate().min_by_key(|(_, load)| **load);
        lightest.map_or(0, |(thread, _)| thread)
    }

    pub fn add_stream(&mut self, name: Name, entry: StreamEntry) {
        self.loads[entry.thread] += 1;
        if !entry.call.is_empty() {
            self.calls.entry(entry.call.clone()).or_insert((entry.thread, 0)).1 += 1;
        }
        self.streams.insert(name, entry);
    }

    /// Forget a stream, its bridge and its place in a mix.
    pub fn remove_stream(&mut self, name: &str) -> Option<StreamEntry> {
        let entry = self.streams.remove(name)?;
        self.loads[entry.thread] -= 1;
        if let Some(call) = self.calls.get_mut(&entry.call) {
            call.1 -= 1;
            if call.1 == 0 {
                self.calls.remove(&entry.call);
            }
        }
        if let Some(bridge) = &entry.bridge {
            self.remove_bridge(bridge);
        }
        if let Some(mix) = &entry.mix {
            self.remove_member(mix);
        }
        self.end_recordings_of_stream(name);
        Some(entry)
    }

    /// Note that the recordings of a stream, which is being closed, come to their end.
    pub fn end_recordings_of_stream(&mut self, name: &str) {
        for entry in self.recordings.values_mut() {
            entry.ending |= entry.asked.stream == name;
        }
    }

    /// Note that a stream takes part in a mix, which is on this thread if it is a new one.
    pub fn add_member(&mut self, mix: Name, stream: &str, thread: usize) {
        if let Some(entry) = self.streams.get_mut(stream) {
            entry.mix = Some(mix.clone());
            let place = self.mixes.entry(mix).or_insert(MixEntry { thread, members: 0 });
            place.members += 1;
        }
    }

    fn remove_member(&mut self, mix: &str) {
        if let Some(entry) = self.mixes.get_mut(mix) {
            entry.members -= 1;
            if entry.members == 0 {
                self.mixes.remove(mix);
            }
        }
    }

    /// Note that a stream left its mix. False when it was not in that one.
    pub fn leave(&mut self, mix: &str, stream: &str) -> bool {
        let entry = self.streams.get_mut(stream);
        let Some(entry) = entry.filter(|entry| entry.mix.as_deref() == Some(mix)) else {
            return false;
        };
        entry.mix = None;
        self.remove_member(mix);
        true
    }

    /// A stream that is not being closed.
    pub fn stream(&self, name: &str) -> Option<&StreamEntry> {
        self.streams.get(name).filter(|entry| !entry.closing)
    }

    /// Streams whose time is over, nobody having been there for `alone`.
    pub fn overdue(&self, alone: Nanos, now: Nanos) -> Vec<Name> {
        let over = |entry: &StreamEntry| {
            let expired = entry.expires.is_some_and(|after| alone >= after);
            !entry.closing && (expired || entry.deadline.is_some_and(|at| now >= at))
        };
        let all = self.streams.iter().filter(|(_, entry)| over(entry));
        all.map(|(name, _)| name.clone()).collect()
    }

    /// The controller is gone. Deadlines that passed while it was there were its own affair.
    pub fn drop_passed_deadlines(&mut self, now: Nanos) {
        for entry in self.streams.values_mut() {
            entry.deadline = entry.deadline.filter(|at| *at > now);
        }
    }

    /// Note that a stream now is on another thread.
    pub fn move_stream(&mut self, name: &str, thread: usize) {
        if let Some(entry) = self.streams.get_mut(name) {
            self.loads[entry.thread] -= 1;
            self.loads[thread] += 1;
            entry.thread = thread;
        }
    }

    pub fn add_bridge(&mut self, name: Name, entry: BridgeEntry) {
        for stream in [&entry.first, &entry.second] {
            if let Some(stream) = self.streams.get_mut(stream) {
                stream.bridge = Some(name.clone());
            }
        }
        self.bridges.insert(name, entry);
    }

    pub fn remove_bridge(&mut self, name: &str) -> Option<BridgeEntry> {
        let entry = self.bridges.remove(name)?;
        for recording in self.recordings.values_mut() {
            recording.ending |= recording.asked.bridge == name;
        }
        for stream in [&entry.first, &entry.second] {
            if let Some(stream) = self.streams.get_mut(stream) {
                stream.bridge = None;
            }
        }
        Some(entry)
    }

    /// The thread on which a recording goes on.
    pub fn recording_thread(&self, recording: &str) -> Option<usize> {
        match &self.recordings.get(recording)?.of {
            Recorded::Bridge(thread) => Some(*thread),
            Recorded::Stream(stream) => self.streams.get(stream).map(|entry| entry.thread),
        }
    }

    /// The answer to `List`, in an order that does not change by itself.
    pub fn listing(&self) -> Event {
        let mut streams: Vec<ListedStream> = self
            .streams
            .iter()
            .map(|(name, entry)| ListedStream {
                stream: name.to_string(),
                call: entry.call.clone(),
                port: entry.port,
                forwarded: entry.forwarded,
            })
            .collect();
        streams.sort_by(|one, other| one.stream.cmp(&other.stream));
        Event::Listing {
            streams,
            bridges: sorted(self.bridges.keys()),
            recordings: sorted(self.recordings.keys()),
            mixes: sorted(self.mixes.keys()),
        }
    }
}

fn sorted<'a>(names: impl Iterator<Item = &'a Name>) -> Vec<String> {
    let mut names: Vec<String> = names.map(|name| name.to_string()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(call: &str, thread: usize) -> StreamEntry {
        StreamEntry {
            call: call.into(),
            thread,
            local: IpAddr::from([127, 0, 0, 1]),
            forwarded: false,
            port: 4000,
            opened: Event::RecordingStarted { recording: "r".into() },
            expires: None,
            deadline: None,
            bridge: None,
            mix: None,
            closing: false,
        }
    }

    #[test]
    fn the_streams_of_a_call_share_a_thread_and_calls_are_spread() {
        let mut directory = Directory::new(2);
        for (name, call) in [("a1", "a"), ("b1", "b"), ("a2", "a"), ("x", "")] {
            let thread = directory.thread_for(call);
            directory.add_stream(name.into(), entry(call, thread));
        }
        let threads: Vec<usize> = ["a1", "a2", "b1", "x"]
            .map(|name| directory.streams[name].thread)
            .into();
        assert_eq!(threads, [0, 0, 1, 1]);
        for name in ["a1", "a2"] {
            directory.remove_stream(name);
        }
        assert_eq!(directory.thread_for("a"), 0);
        assert!(!directory.calls.contains_key("a"));
    }

    #[test]
    fn a_deadline_holds_only_for_those_who_are_alone_then() {
        let mut directory = Directory::new(1);
        for (name, deadline) in [("early", 10), ("late", 20)] {
            let mut entry = entry("", 0);
            entry.deadline = Some(deadline);
            directory.add_stream(name.into(), entry);
        }
        directory.drop_passed_deadlines(15);
        assert!(directory.overdue(0, 19).is_empty());
        assert_eq!(directory.overdue(0, 20), ["late".into()]);
    }

    #[test]
    fn a_bridge_ends_with_either_of_its_streams() {
        let mut directory = Directory::new(1);
        for name in ["a", "b"] {
            directory.add_stream(name.into(), entry("", 0));
        }
        let bridge = BridgeEntry {
            first: "a".into(),
            second: "b".into(),
            thread: 0,
        };
        directory.add_bridge("x".into(), bridge);
        assert_eq!(directory.streams["b"].bridge.as_deref(), Some("x"));
        directory.remove_stream("a");
        assert!(directory.bridges.is_empty());
        assert_eq!(directory.streams["b"].bridge, None);
    }
}
