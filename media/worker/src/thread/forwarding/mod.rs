//! When a direction of a bridge goes down to the kernel, and when it comes back. What may go, and what it did there, is for
//! `stream/forwarding.rs` to say.
//!
//! A direction goes down at housekeeping, when for a while there was nothing but plain audio. It comes back before any task
//! touches one of the two streams, when a packet comes up of which the kernel makes nothing, when the ways are planned anew
//! and when the bridge ends. Before anything is told of a stream, its counts are brought up to date.

#[cfg(test)]
mod call;
#[cfg(test)]
mod latching;
#[cfg(test)]
mod sameness;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::MediaThread;
use crate::forward::Forwarder;
use crate::log;
use crate::outbox::Up;
use crate::slab::Handle;
use crate::stream::forwarding::Back;
use crate::thread::tasks::Task;

/// So many are offered to the kernel in one turn: each takes a few system calls, and others wait for their packets.
const AT_ONCE: usize = 64;

impl MediaThread {
    /// A task is going to be carried out.
    pub(super) fn prepare_for(&mut self, task: &Task) {
        if self.forwarder.is_none() {
            return;
        }
        let of_bridge = |name: &str| Some(self.bridges.named(name)?.first);
        let of_stream = |name: &str| self.streams.handle(name);
        let touched = match task {
            Task::Stats { stream } => return self.account(of_stream(stream)),
            Task::Connect { stream, .. }
            | Task::Play { stream, .. }
            | Task::BeginPlay { stream, .. }
            | Task::StopPlay { stream, .. }
            | Task::Mute { stream, .. }
            | Task::Join { stream, .. }
            | Task::Leave { stream, .. }
            | Task::SendDigits { stream, .. }
            | Task::Detach { stream, .. }
            | Task::Close { stream } => [of_stream(stream), None],
            Task::Bridge { first, second, .. } => [of_stream(first), of_stream(second)],
            Task::Unbridge { bridge } => [of_bridge(bridge), None],
            Task::Record(record) => [
                record.stream.as_deref().and_then(of_stream),
                record.bridge.as_deref().and_then(of_bridge),
            ],
            // Streams that are recorded, or mixed, are not forwarded; those of `Stop` are closed one by one.
            Task::PauseRecord { .. }
            | Task::ResumeRecord { .. }
            | Task::StopRecord { .. }
            | Task::LoseRecording { .. }
            | Task::PlayMix { .. }
            | Task::BeginPlayMix { .. }
            | Task::StopPlayMix { .. }
            | Task::Attach(_)
            | Task::Stop => [None, None],
        };
        for handle in touched.into_iter().flatten() {
            self.bring_back(handle);
        }
    }

    /// Take both directions of a stream's bridge back: something is going to change.
    pub(super) fn bring_back(&mut self, handle: Handle) {
        if self.forwarder.is_some() {
            self.take_direction_back(handle, Back::Change);
            if let Some(mate) = self.streams.get(handle).and_then(|stream| stream.route.mate) {
                self.take_direction_back(mate, Back::Change);
            }
        }
    }

    /// Take back what the peer of a stream says.
    pub(super) fn take_direction_back(&mut self, handle: Handle, why: Back) {
        let Some(mate) = self.streams.get(handle).and_then(|stream| stream.route.mate) else {
            return;
        };
        if let (Some(from), Some(to)) = self.streams.pair(handle, mate) {
            if from.take_back(to, why, self.turn.now) {
                self.told_direction(handle, false);
            }
        }
    }

    fn told_direction(&self, handle: Handle, forwarded: bool) {
        if let Some(stream) = self.streams.get(handle) {
            log::debug("forwarded", &[("stream", &stream.name), ("in_kernel", &forwarded)]);
            self.turn.outbox.send(Up::Forwarded {
                stream: stream.name.clone(),
                forwarded,
            });
        }
    }

    /// Bring the counts of a stream up to date: what its peer says, and what it hears.
    fn account(&mut self, handle: Option<Handle>) {
        let Some(handle) = handle else {
            return;
        };
        let Some(mate) = self.streams.get(handle).and_then(|stream| stream.route.mate) else {
            return;
        };
        for (from, to) in [(handle, mate), (mate, handle)] {
            if let (Some(one), Some(other)) = self.streams.pair(from, to) {
                if !one.account(other, self.turn.now) {
                    self.told_direction(from, false);
                }
            }
        }
    }

    /// At housekeeping, before the streams tell anything: bring counts up to date, and hand down what may go.
    pub(super) fn look_after_directions(&mut self) {
        let Some(forwarder) = self.forwarder.clone() else {
            return;
        };
        let now = self.turn.now;
        let (mut due, mut plain) = (Vec::new(), Vec::new()); // take memory only when a second ends, or something may go
        let open = forwarder.is_open();
        for (handle, stream) in self
            .streams
            .iter_mut()
            .filter(|(_, stream)| stream.route.mate.is_some())
        {
            if stream.needs_account(now) {
                due.push(handle);
            }
            if open && stream.inbound.forwarding.may_go(now) {
                plain.push(handle);
            }
        }
        for handle in due {
            self.current = Some(handle);
            self.account(Some(handle));
        }
        let mut offered = 0;
        for handle in plain {
            self.current = Some(handle);
            offered += usize::from(self.hand_down(handle, &forwarder));
            if offered >= AT_ONCE {
                break;
            }
        }
    }

    /// Leave what the peer of a stream says to the kernel, if that may be. True when the kernel was asked.
    fn hand_down(&mut self, handle: Handle, forwarder: &Arc<Forwarder>) -> bool {
        let Some(mate) = self.streams.get(handle).and_then(|stream| stream.route.mate) else {
            return false;
        };
        let (Some(from), Some(to)) = self.streams.pair(handle, mate) else {
            return false;
        };
        let rule = from.rule(handle, to, self.turn.limit, self.turn.now);
        let asked = rule.is_ok();
        let given = rule
            .map_err(str::to_owned)
            .and_then(|rule| match forwarder.give(&rule) {
                Ok(flow) => Ok((rule, flow)),
                Err(error) => Err(error.to_string()),
            });
        match given {
            Ok((rule, flow)) => {
                from.inbound.forwarding.go(forwarder, flow, &rule, self.turn.now);
                self.told_direction(handle, true);
            }
            Err(reason) => {
                if from.inbound.forwarding.refuse(&reason, self.turn.now) {
                    log::debug("not_forwarded", &[("stream", &from.name), ("reason", &reason)]);
                }
            }
        }
        asked
    }
}
