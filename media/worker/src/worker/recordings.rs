//! Recordings on the streams and bridges of this thread: which packets go where, and when samples go to the disk.

use super::{turn, Worker};
use crate::clock::Nanos;
use crate::log;
use crate::protocol::Event;
use crate::record::{TimeLine, CHUNK};
use crate::slab::Key;
use crate::stream::Tap;
use crate::tasks::{Name, RecordTask};
use crate::wav;
use crate::writer::Job;

/// What is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Bridge(Key),
    Stream(Key),
}

/// A recording that goes on.
#[derive(Debug)]
pub struct Recording {
    pub name: Name,
    subject: Subject,
    line: TimeLine,
    /// The length at which it ends by itself, in samples.
    limit: i64,
    octets_per_sample: u64,
    /// Octets handed to the writer, dropped ones included.
    handed: u64,
    hand_over_at: Nanos,
    dropping: bool,
}

impl Worker {
    pub(super) fn record(&mut self, task: RecordTask) {
        if self.recording_keys.contains_key(&task.recording) {
            return;
        }
        let subject = match (&task.bridge, &task.stream) {
            (Some(bridge), _) => self.bridge_keys.get(bridge).copied().map(Subject::Bridge),
            (None, Some(stream)) => self.stream_keys.get(stream).copied().map(Subject::Stream),
            (None, None) => None,
        };
        let Some(subject) = subject else {
            // The control thread looked, so this is a bug; the end is told all the same.
            log::error("recording_of_nothing", &[("recording", &task.recording)]);
            return self.outbox.tell(Event::RecordingEnded {
                recording: task.recording.to_string(),
                path: task.path,
                duration_ms: 0,
                size_bytes: 0,
                reason: "ended".to_owned(),
                detail: String::new(),
            });
        };
        let octets_per_sample = 2 * u64::from(task.channels);
        let longest = (wav::MAX_DATA / octets_per_sample) as i64;
        let limit = (task
            .max_ms
            .saturating_mul(u64::from(wav::RATE_HZ / 1000))
            .min(longest as u64)) as i64;
        self.desk.send(Job::Open {
            recording: task.recording.clone(),
            path: task.path,
            channels: task.channels,
        });
        let recording = Recording {
            name: task.recording.clone(),
            subject,
            line: TimeLine::new(self.now, task.channels == 2),
            limit,
            octets_per_sample,
            handed: 0,
            hand_over_at: self.now + CHUNK,
            dropping: false,
        };
        let key = self.recordings.insert(Box::new(recording));
        self.recording_keys.insert(task.recording, key);
        self.add_taps(key, subject);
    }

    fn add_taps(&mut self, recording: Key, subject: Subject) {
        let tap = |track| Tap { recording, track };
        match subject {
            Subject::Bridge(bridge) => {
                let sides = self.bridges.get(bridge).map(|bridge| [bridge.first, bridge.second]);
                for (track, side) in sides.into_iter().flatten().enumerate() {
                    if let Some(stream) = self.streams.get_mut(side) {
                        stream.taps_in.push(tap(track));
                    }
                }
            }
            Subject::Stream(stream) => {
                if let Some(stream) = self.streams.get_mut(stream) {
                    stream.taps_in.push(tap(0));
                    stream.taps_out.push(tap(1));
                }
            }
        }
    }

    pub(super) fn stop_recording(&mut self, name: &str, reason: &'static str) {
        if let Some(&key) = self.recording_keys.get(name) {
            self.end_recording(key, reason);
        }
    }

    /// End whatever records this bridge or stream.
    pub(super) fn end_recordings_of(&mut self, subject: Subject) {
        if self.recordings.is_empty() {
            return;
        }
        let of_it = |(key, recording): (Key, &mut Recording)| (recording.subject == subject).then_some(key);
        let keys: Vec<Key> = self.recordings.iter_mut().filter_map(of_it).collect();
        for key in keys {
            self.end_recording(key, "ended");
        }
    }

    fn end_recording(&mut self, key: Key, reason: &'static str) {
        let Some(mut recording) = self.take_recording(key) else {
            return;
        };
        let end = recording.line.length(self.now).min(recording.limit);
        let mut octets = Vec::new();
        recording.line.finish(end, &mut octets);
        if !octets.is_empty() {
            self.desk.write(&recording.name, recording.handed, octets);
        }
        self.desk.send(Job::Finish {
            recording: recording.name.clone(),
            length: end as u64 * recording.octets_per_sample,
            reason,
        });
    }

    /// Forget a recording that the disk has refused.
    pub(super) fn lose_recording(&mut self, name: &str) {
        if let Some(&key) = self.recording_keys.get(name) {
            self.take_recording(key);
        }
    }

    fn take_recording(&mut self, key: Key) -> Option<Box<Recording>> {
        let recording = self.recordings.remove(key)?;
        self.recording_keys.remove(&recording.name);
        let mut forget = |stream: Key| {
            if let Some(stream) = self.streams.get_mut(stream) {
                stream.taps_in.retain(|tap| tap.recording != key);
                stream.taps_out.retain(|tap| tap.recording != key);
            }
        };
        match recording.subject {
            Subject::Bridge(bridge) => {
                if let Some(bridge) = self.bridges.get(bridge) {
                    forget(bridge.first);
                    forget(bridge.second);
                }
            }
            Subject::Stream(stream) => forget(stream),
        }
        Some(recording)
    }

    /// Hand finished samples to the writer, and end what has reached its length.
    pub(super) fn look_after_recordings(&mut self) {
        if self.recordings.is_empty() {
            return;
        }
        let turn = turn!(self);
        let mut full = Vec::new();
        for (key, recording) in self.recordings.iter_mut() {
            if recording.line.length(turn.now) >= recording.limit {
                full.push(key);
            } else if turn.now >= recording.hand_over_at {
                recording.hand_over_at = turn.now + CHUNK;
                recording.hand_over(&self.desk, turn.now);
            }
        }
        for key in full {
            self.end_recording(key, "max");
        }
    }

    /// Take the recordings of a stream along when it leaves for another thread.
    pub(super) fn detach_recordings(&mut self, stream: Key) -> Vec<Recording> {
        let of_it =
            |(key, recording): (Key, &mut Recording)| (recording.subject == Subject::Stream(stream)).then_some(key);
        let keys: Vec<Key> = self.recordings.iter_mut().filter_map(of_it).collect();
        keys.into_iter()
            .filter_map(|key| self.take_recording(key))
            .map(|recording| *recording)
            .collect()
    }

    pub(super) fn attach_recordings(&mut self, stream: Key, recordings: Vec<Recording>) {
        for mut recording in recordings {
            recording.subject = Subject::Stream(stream);
            let name = recording.name.clone();
            let key = self.recordings.insert(Box::new(recording));
            self.recording_keys.insert(name, key);
            self.add_taps(key, Subject::Stream(stream));
        }
    }
}

impl Recording {
    pub(super) fn line(&mut self) -> &mut TimeLine {
        &mut self.line
    }

    fn hand_over(&mut self, desk: &crate::writer::Desk, now: Nanos) {
        let mut octets = Vec::with_capacity(2 * 2 * 8 * 400);
        self.line.take(now, &mut octets);
        if octets.is_empty() {
            return;
        }
        let size = octets.len() as u64;
        let taken = desk.write(&self.name, self.handed, octets);
        if !taken && !self.dropping {
            log::warning(
                "recording_gap",
                &[("recording", &self.name), ("at_octet", &self.handed)],
            );
        }
        self.dropping = !taken;
        self.handed += size;
    }
}
