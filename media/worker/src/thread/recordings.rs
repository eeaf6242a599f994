//! Recordings on the streams and bridges of this thread: which packets go where, and when samples go to the disk.

use super::MediaThread;
use crate::audio::wav;
use crate::clock::Nanos;
use crate::codec::audio::Coding;
use crate::log;
use crate::playback::Programme;
use crate::protocol::{Event, Name};
use crate::record::writer::{Desk, Job};
use crate::record::{Heard, Mode, TimeLine, CHUNK};
use crate::rtp::{Stamp, HEADER};
use crate::slab::{Handle, Named, Slab};
use crate::stream::{Stream, Tap};
use crate::thread::tasks::RecordTask;

/// The name of the tone before a recording, which is a play like any other. No command can name it.
pub(super) const BEEP: &str = "";

/// What is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Bridge(Handle),
    Stream(Handle),
}

/// A recording that goes on, or that waits for its beep to be over.
#[derive(Debug)]
pub struct Recording {
    pub name: Name,
    subject: Subject,
    line: TimeLine,
    waits: bool,
    /// The length at which it ends by itself, in samples.
    limit: i64,
    finish_digits: Box<str>,
    octets_per_sample: u64,
    /// Finished samples that are not handed over yet.
    pending: Vec<u8>,
    /// Octets handed to the writer, dropped ones included.
    handed: u64,
    hand_over_at: Nanos,
    dropping: bool,
    /// Octets that the disk had no time for.
    lost: u64,
}

/// The recordings of a thread.
#[derive(Debug)]
pub(super) struct Recordings {
    pub all: Named<Recording>,
    /// Those that wait for the end of their beep.
    pub beeping: Vec<Handle>,
    pub desk: Desk,
}

impl Recordings {
    pub fn new(desk: Desk) -> Self {
        Self {
            all: Named::default(),
            beeping: Vec::new(),
            desk,
        }
    }
}

/// Put a packet into the recordings that these taps lead to.
pub(super) fn tap(recordings: &mut Slab<Recording>, taps: &[Tap], heard: Heard, now: Nanos) {
    for tap in taps {
        if let Some(recording) = recordings.get_mut(tap.recording) {
            recording.line.put(tap.track, heard, now);
        }
    }
}

impl MediaThread {
    pub(super) fn record(&mut self, task: RecordTask) {
        if self.recordings.all.handle(&task.recording).is_some() {
            return;
        }
        let subject = match (&task.bridge, &task.stream) {
            (Some(bridge), _) => self.bridges.handle(bridge).map(Subject::Bridge),
            (None, Some(stream)) => self.streams.handle(stream).map(Subject::Stream),
            (None, None) => None,
        };
        let Some(subject) = subject else {
            // The control thread looked, so this is a bug; the end is told all the same.
            log::error("recording_of_nothing", &[("recording", &task.recording)]);
            return self.turn.outbox.tell(Event::RecordingEnded {
                recording: task.recording.to_string(),
                path: task.path,
                duration_ms: 0,
                size_bytes: 0,
                reason: "ended".to_owned(),
                detail: String::new(),
                lost_ms: 0,
            });
        };
        let octets_per_sample = 2 * u64::from(task.channels);
        let longest = (wav::MAX_DATA / octets_per_sample) as i64;
        let limit = (task
            .max_ms
            .saturating_mul(u64::from(wav::RATE_HZ / 1000))
            .min(longest as u64)) as i64;
        self.recordings.desk.send(Job::Open {
            recording: task.recording.clone(),
            path: task.path,
            channels: task.channels,
        });
        let recording = Recording {
            name: task.recording.clone(),
            subject,
            line: TimeLine::new(task.channels == 2, task.silence_ms),
            waits: task.beep.is_some(),
            limit,
            finish_digits: task.finish_digits.into(),
            octets_per_sample,
            pending: Vec::new(),
            handed: 0,
            hand_over_at: 0,
            dropping: false,
            lost: 0,
        };
        let handle = self.recordings.all.insert(task.recording, Box::new(recording));
        match (task.beep, &task.stream) {
            (Some(beep), Some(stream)) => {
                self.recordings.beeping.push(handle);
                self.play(stream, BEEP.into());
                self.begin_play(stream, BEEP, Ok(Programme::new(vec![beep], 1, 0)));
            }
            _ => self.begin_recording(handle),
        }
    }

    fn begin_recording(&mut self, handle: Handle) {
        let Some(recording) = self.recordings.all.get_mut(handle) else {
            return;
        };
        recording.waits = false;
        recording.line.begin(self.turn.now);
        recording.hand_over_at = self.turn.now + CHUNK;
        let (name, subject) = (recording.name.clone(), recording.subject);
        self.recordings.desk.send(Job::Begin { recording: name });
        self.add_taps(handle, subject);
    }

    /// Begin what has waited for a beep that is over, or that something else has replaced.
    pub(super) fn look_at_beeps(&mut self) {
        if self.recordings.beeping.is_empty() {
            return;
        }
        let mut waiting = std::mem::take(&mut self.recordings.beeping);
        waiting.retain(|&handle| {
            let beeps = self
                .recordings
                .all
                .get(handle)
                .is_some_and(|recording| self.beeps_for(recording));
            if !beeps {
                self.begin_recording(handle);
            }
            beeps
        });
        self.recordings.beeping = waiting;
    }

    /// Whether the stream of a recording plays the beep.
    fn beeps_for(&self, recording: &Recording) -> bool {
        let Subject::Stream(stream) = recording.subject else {
            return false;
        };
        self.streams.get(stream).is_some_and(beeps)
    }

    fn add_taps(&mut self, recording: Handle, subject: Subject) {
        let tap = |track| Tap { recording, track };
        match subject {
            Subject::Bridge(bridge) => {
                let sides = self.bridges.get(bridge).map(|bridge| [bridge.first, bridge.second]);
                for (track, side) in sides.into_iter().flatten().enumerate() {
                    if let Some(stream) = self.streams.get_mut(side) {
                        stream.inbound.taps.push(tap(track));
                    }
                }
            }
            Subject::Stream(stream) => {
                if let Some(stream) = self.streams.get_mut(stream) {
                    stream.inbound.taps.push(tap(0));
                    stream.outbound.taps.push(tap(1));
                }
            }
        }
    }

    /// Record what a stream's peer was just sent: `length` octets behind the header in `outgoing`.
    pub(super) fn tap_out(&mut self, handle: Handle, stamp: Stamp, coding: Coding, length: usize) {
        let Some(stream) = self
            .streams
            .get(handle)
            .filter(|stream| !stream.outbound.taps.is_empty())
        else {
            return;
        };
        let heard = Heard {
            ssrc: stamp.ssrc,
            timestamp: stamp.timestamp,
            coding,
            payload: &self.wire.packet[HEADER..HEADER + length],
        };
        tap(&mut self.recordings.all, &stream.outbound.taps, heard, self.turn.now);
    }

    pub(super) fn pause_recording(&mut self, name: &str, keep_time: bool) {
        let mode = if keep_time { Mode::Silent } else { Mode::LeftOut };
        self.set_mode(name, mode);
    }

    pub(super) fn resume_recording(&mut self, name: &str) {
        self.set_mode(name, Mode::Kept);
    }

    fn set_mode(&mut self, name: &str, mode: Mode) {
        let handle = self.recordings.all.handle(name);
        if let Some(recording) = handle.and_then(|handle| self.recordings.all.get_mut(handle)) {
            recording.line.set_mode(mode, self.turn.now);
        }
    }

    /// The peer of a stream has pressed a digit, which may be one that ends a recording.
    pub(super) fn pressed(&mut self, stream: Handle, digit: char) {
        let ended = |(number, recording): (Handle, &mut Recording)| {
            let by_this = recording.subject == Subject::Stream(stream) && recording.finish_digits.contains(digit);
            by_this.then_some(number)
        };
        let ended: Vec<Handle> = self.recordings.all.iter_mut().filter_map(ended).collect();
        for number in ended {
            self.end_recording(number, "key", digit.to_string());
        }
    }

    pub(super) fn stop_recording(&mut self, name: &str, reason: &'static str) {
        if let Some(handle) = self.recordings.all.handle(name) {
            self.end_recording(handle, reason, String::new());
        }
    }

    /// End whatever records this bridge or stream.
    pub(super) fn end_recordings_of(&mut self, subject: Subject) {
        if self.recordings.all.is_empty() {
            return;
        }
        let of_it = |(handle, recording): (Handle, &mut Recording)| (recording.subject == subject).then_some(handle);
        let handles: Vec<Handle> = self.recordings.all.iter_mut().filter_map(of_it).collect();
        for handle in handles {
            self.end_recording(handle, "ended", String::new());
        }
    }

    fn end_recording(&mut self, handle: Handle, reason: &'static str, detail: String) {
        let Some(mut recording) = self.take_recording(handle) else {
            return;
        };
        self.stop_beep(&recording);
        let mut end = recording.line.duration(self.turn.now).min(recording.limit);
        if reason == "silence" {
            end = recording.line.fell_silent().map_or(end, |silent| end.min(silent));
        }
        recording.line.finish(self.turn.now, end, &mut recording.pending);
        let length = end as u64 * recording.octets_per_sample;
        recording
            .pending
            .truncate(length.saturating_sub(recording.handed) as usize);
        recording.hand_over(&self.recordings.desk);
        self.recordings.desk.send(Job::Finish {
            recording: recording.name.clone(),
            length,
            lost: recording.lost,
            reason,
            detail,
        });
    }

    /// Forget a recording that the disk has refused.
    pub(super) fn lose_recording(&mut self, name: &str) {
        if let Some(recording) = self
            .recordings
            .all
            .handle(name)
            .and_then(|handle| self.take_recording(handle))
        {
            self.stop_beep(&recording);
        }
    }

    /// A recording has ended: if it never began and no other waits for the same beep, nobody wants that.
    fn stop_beep(&mut self, recording: &Recording) {
        let Subject::Stream(stream) = recording.subject else {
            return;
        };
        let wanted = |handle: &Handle| {
            self.recordings
                .all
                .get(*handle)
                .is_some_and(|other| other.subject == recording.subject)
        };
        if !recording.waits || self.recordings.beeping.iter().any(wanted) {
            return;
        }
        if let Some(name) = self.streams.get(stream).map(|stream| stream.name.clone()) {
            self.stop_play(&name, BEEP);
        }
    }

    fn take_recording(&mut self, handle: Handle) -> Option<Box<Recording>> {
        let recording = self.recordings.all.remove(handle)?;
        self.recordings.all.forget(&recording.name);
        self.recordings.beeping.retain(|waiting| *waiting != handle);
        let mut forget = |stream: Handle| {
            if let Some(stream) = self.streams.get_mut(stream) {
                stream.inbound.taps.retain(|tap| tap.recording != handle);
                stream.outbound.taps.retain(|tap| tap.recording != handle);
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

    /// Hand finished samples to the writer, and end what has reached its length or has fallen silent.
    pub(super) fn look_after_recordings(&mut self) {
        if self.recordings.all.is_empty() {
            return;
        }
        self.look_at_beeps();
        let turn = &self.turn;
        let mut over = Vec::new();
        for (handle, recording) in self.recordings.all.iter_mut() {
            if recording.waits {
                continue;
            }
            let due = turn.now >= recording.hand_over_at;
            if due || recording.line.listens() {
                recording.line.take(turn.now, &mut recording.pending);
            }
            if recording.line.fell_silent().is_some() {
                over.push((handle, "silence"));
            } else if recording.line.duration(turn.now) >= recording.limit {
                over.push((handle, "max"));
            } else if due {
                recording.hand_over_at = turn.now + CHUNK;
                recording.hand_over(&self.recordings.desk);
            }
        }
        for (handle, reason) in over {
            self.end_recording(handle, reason, String::new());
        }
    }

    /// Take the recordings of a stream along when it leaves for another thread.
    pub(super) fn detach_recordings(&mut self, stream: Handle) -> Vec<Recording> {
        let of_it = |(handle, recording): (Handle, &mut Recording)| {
            (recording.subject == Subject::Stream(stream)).then_some(handle)
        };
        let handles: Vec<Handle> = self.recordings.all.iter_mut().filter_map(of_it).collect();
        handles
            .into_iter()
            .filter_map(|handle| self.take_recording(handle))
            .map(|recording| *recording)
            .collect()
    }

    pub(super) fn attach_recordings(&mut self, stream: Handle, recordings: Vec<Recording>) {
        for mut recording in recordings {
            recording.subject = Subject::Stream(stream);
            let (name, waits) = (recording.name.clone(), recording.waits);
            let handle = self.recordings.all.insert(name, Box::new(recording));
            if waits {
                self.recordings.beeping.push(handle);
            } else {
                self.add_taps(handle, Subject::Stream(stream));
            }
        }
    }
}

/// Whether a stream plays the tone before a recording.
fn beeps(stream: &Stream) -> bool {
    stream.outbound.play.as_ref().is_some_and(|play| &*play.name == BEEP)
}

impl Recording {
    fn hand_over(&mut self, desk: &Desk) {
        if self.pending.is_empty() {
            return;
        }
        let size = self.pending.len() as u64;
        let taken = desk.write(&self.name, self.handed, std::mem::take(&mut self.pending));
        if !taken && !self.dropping {
            log::warning(
                "recording_gap",
                &[("recording", &self.name), ("at_octet", &self.handed)],
            );
        }
        if !taken {
            self.lost += size;
        }
        self.dropping = !taken;
        self.handed += size;
    }
}
