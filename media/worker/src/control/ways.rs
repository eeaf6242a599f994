//! Bridges and mixes: who is to hear whom. All streams of one are on one thread.

use std::sync::Arc;
use std::time::Duration;

use super::directory::BridgeEntry;
use super::Control;
use crate::log;
use crate::protocol::Failed;
use crate::thread::tasks::{HandOver, Task};

/// How long a media thread may take to give up a stream.
const HAND_OVER: Duration = Duration::from_secs(2);

impl Control {
    pub(super) fn bridge(&mut self, bridge: &str, first: &str, second: &str) -> Result<(), Failed> {
        let refuse = |code: &str, reason: &str| Failed::new("bridge", bridge, code, reason);
        let thread = self.thread_of("bridge", bridge, first)?;
        self.thread_of("bridge", bridge, second)?;
        if first == second {
            return Err(refuse("busy", "a stream cannot be bridged with itself"));
        }
        if let Some(entry) = self.directory.bridges.get(bridge) {
            if (&*entry.first, &*entry.second) == (first, second) {
                return Ok(());
            }
        }
        let elsewhere = |stream: &str| {
            let entry = self.directory.stream(stream);
            entry
                .and_then(|entry| entry.bridge.as_deref())
                .is_some_and(|other| other != bridge)
        };
        if elsewhere(first) || elsewhere(second) {
            return Err(refuse("busy", "one of the streams is in another bridge"));
        }
        let mixed = |stream: &str| self.directory.stream(stream).is_some_and(|entry| entry.mix.is_some());
        if mixed(first) || mixed(second) {
            return Err(refuse("busy", "one of the streams is in a mix"));
        }
        if let Some(before) = self.directory.remove_bridge(bridge) {
            let bridge = bridge.into();
            self.inlets[before.thread].send(Task::Unbridge { bridge });
        }
        self.bring(second, thread)
            .map_err(|reason| refuse("internal", reason))?;
        let entry = BridgeEntry {
            first: first.into(),
            second: second.into(),
            thread,
        };
        self.inlets[thread].send(Task::Bridge {
            bridge: bridge.into(),
            first: entry.first.clone(),
            second: entry.second.clone(),
        });
        self.directory.add_bridge(bridge.into(), entry);
        Ok(())
    }

    pub(super) fn unbridge(&mut self, bridge: &str) -> Result<(), Failed> {
        if let Some(entry) = self.directory.remove_bridge(bridge) {
            let bridge = bridge.into();
            self.inlets[entry.thread].send(Task::Unbridge { bridge });
        }
        Ok(())
    }

    pub(super) fn join(&mut self, mix: &str, stream: &str, beep: bool) -> Result<(), Failed> {
        let refuse = |code: &str, reason: String| Failed::new("join", mix, code, reason);
        let here = self.thread_of("join", mix, stream)?;
        let entry = &self.directory.streams[stream];
        if entry.bridge.is_some() {
            return Err(refuse("busy", "the stream is in a bridge".into()));
        }
        let known = entry.mix.as_deref().map(|other| other == mix);
        if known == Some(false) {
            return Err(refuse("busy", "the stream is in another mix".into()));
        }
        let place = self.directory.mixes.get(mix);
        let thread = place.map_or(here, |place| place.thread);
        if known.is_none() {
            let most = self.args.mix_members;
            if place.is_some_and(|place| place.members >= most) {
                return Err(refuse("limit", format!("the mix has {most} members already")));
            }
            self.bring(stream, thread)
                .map_err(|reason| refuse("internal", reason.into()))?;
            self.directory.add_member(mix.into(), stream, thread);
        }
        self.inlets[thread].send(Task::Join {
            mix: mix.into(),
            stream: stream.into(),
            beep,
        });
        Ok(())
    }

    pub(super) fn leave(&mut self, mix: &str, stream: &str, beep: bool) -> Result<(), Failed> {
        let thread = self.directory.mixes.get(mix).map(|entry| entry.thread);
        if let Some(thread) = thread.filter(|_| self.directory.leave(mix, stream)) {
            self.inlets[thread].send(Task::Leave {
                mix: mix.into(),
                stream: stream.into(),
                beep,
            });
        }
        Ok(())
    }

    /// Have a stream on that thread: all of a bridge or mix lives on one. Rare, since the streams of a call are opened together.
    fn bring(&mut self, stream: &str, thread: usize) -> Result<(), &'static str> {
        let from = self.directory.stream(stream).map_or(thread, |entry| entry.thread);
        if from == thread {
            return Ok(());
        }
        let over = Arc::new(HandOver::new());
        self.inlets[from].send(Task::Detach {
            stream: stream.into(),
            over: over.clone(),
        });
        match over.take(HAND_OVER) {
            Some(Some(moved)) => {
                self.inlets[thread].send(Task::Attach(moved));
                self.directory.move_stream(stream, thread);
                Ok(())
            }
            Some(None) => Err("the stream cannot leave its thread"),
            // That thread keeps the stream, or takes it back.
            None => {
                log::error("hand_over_failed", &[("stream", &stream)]);
                Err("a media thread does not answer")
            }
        }
    }
}
