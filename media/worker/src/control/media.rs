//! Plays and recordings: what is to be heard, and what is to be kept.

use std::sync::Arc;

use super::directory::{Recorded, RecordingEntry};
use super::{Control, WaitingPlay};
use crate::dtmf::is_digit;
use crate::playback::prompts::{self, Loaded};
use crate::playback::{tones, Programme, Prompt, Target};
use crate::protocol::{Failed, Name, Play, Record};
use crate::thread::tasks::{RecordTask, Task};

/// Files of one play.
const MAX_FILES: usize = 1000;

impl Control {
    pub(super) fn play(&mut self, play: &Play) -> Result<(), Failed> {
        let refuse = |code: &str, reason: String| Failed::new("play", &play.play, code, reason);
        let (target, thread) = self.target(play)?;
        if play.files.is_empty() == play.tone.is_empty() {
            return Err(refuse("file", "exactly one of files and tone is to be played".into()));
        }
        if play.files.len() > MAX_FILES {
            return Err(refuse(
                "limit",
                format!("{} files, {MAX_FILES} allowed", play.files.len()),
            ));
        }
        let name: Name = play.play.as_str().into();
        let tone = if play.tone.is_empty() {
            None
        } else {
            Some(
                self.tone(&play.tone, &play.tone_country)
                    .map_err(|reason| refuse("file", reason))?,
            )
        };
        self.inlets[thread].send(announce(&target, &name));
        // A tone without an end of its own is not counted: it lasts as long as it was given.
        let loops = if tones::is_continuous(&play.tone) {
            0
        } else {
            play.loops
        };
        if let Some(prompt) = tone {
            let programme = Ok(Programme::new(vec![prompt], loops, play.duration_ms));
            self.inlets[thread].send(begin(target, name, programme));
        } else {
            self.plays += 1;
            let waiting = WaitingPlay {
                number: self.plays,
                loops,
                duration_ms: play.duration_ms,
            };
            self.waiting_plays.insert((target.clone(), name.clone()), waiting);
            let job = prompts::Job {
                target,
                play: name,
                number: self.plays,
                files: play.files.clone(),
            };
            // The thread that reads lives as long as we do.
            let _ = self.loader.send(job);
        }
        Ok(())
    }

    pub(super) fn stop_play(&mut self, stream: &str, play: &str, mix: &str) -> Result<(), Failed> {
        if let Some(entry) = self.directory.mixes.get(mix) {
            let (mix, play) = (mix.into(), play.into());
            self.inlets[entry.thread].send(Task::StopPlayMix { mix, play });
        } else if let Some(entry) = self.directory.stream(stream) {
            let (stream, play) = (stream.into(), play.into());
            self.inlets[entry.thread].send(Task::StopPlay { stream, play });
        }
        Ok(())
    }

    /// Who is to hear a play, and the thread that makes it heard.
    fn target(&self, play: &Play) -> Result<(Target, usize), Failed> {
        let refuse = |code: &str, reason: &str| Failed::new("play", &play.play, code, reason);
        if play.stream.is_empty() == play.mix.is_empty() {
            return Err(refuse("file", "exactly one of stream and mix is to hear it"));
        }
        if play.mix.is_empty() {
            let thread = self.thread_of("play", &play.play, &play.stream)?;
            return Ok((Target::Stream(play.stream.as_str().into()), thread));
        }
        let entry = self.directory.mixes.get(play.mix.as_str());
        let thread = entry
            .ok_or_else(|| refuse("unknown_mix", "no mix of that name"))?
            .thread;
        Ok((Target::Mix(play.mix.as_str().into()), thread))
    }

    fn tone(&mut self, name: &str, country: &str) -> Result<Arc<Prompt>, String> {
        let tone = (name.to_owned(), country.to_owned());
        if let Some(prompt) = self.tones.get(&tone) {
            return Ok(prompt.clone());
        }
        let prompt = Arc::new(tones::prompt(name, country)?);
        self.tones.insert(tone, prompt.clone());
        Ok(prompt)
    }

    /// The files of a play were read.
    pub(super) fn begin_play(&mut self, loaded: Loaded) {
        let waiting = (loaded.target, loaded.play);
        // One of the same name may have come meanwhile, with other files.
        if self
            .waiting_plays
            .get(&waiting)
            .is_none_or(|play| play.number != loaded.number)
        {
            return;
        }
        let Some(WaitingPlay { loops, duration_ms, .. }) = self.waiting_plays.remove(&waiting) else {
            return;
        };
        let (target, play) = waiting;
        let thread = match &target {
            Target::Stream(stream) => self.directory.stream(stream).map(|entry| entry.thread),
            Target::Mix(mix) => self.directory.mixes.get(mix).map(|entry| entry.thread),
        };
        if let Some(thread) = thread {
            let programme = loaded.prompts.map(|parts| Programme::new(parts, loops, duration_ms));
            self.inlets[thread].send(begin(target, play, programme));
        }
    }

    pub(super) fn record(&mut self, record: &Record) -> Result<(), Failed> {
        let refuse = |code: &str, reason: &str| Failed::new("record", &record.recording, code, reason);
        check(record)?;
        if let Some(entry) = self.directory.recordings.get(record.recording.as_str()) {
            if entry.asked == *record && !entry.ending {
                return Ok(());
            }
            // Not taken for a repetition: whoever asks wants another recording, and would never hear of it.
            let reason =
                "recording: one of that name has not ended yet; wait for its RecordingEnded, or take another name";
            return Err(refuse("busy", reason));
        }
        let beep = if record.beep {
            Some(self.tone("beep", "us").map_err(|reason| refuse("file", &reason))?)
        } else {
            None
        };
        let (of, thread) = if record.stream.is_empty() {
            let bridge = self.directory.bridges.get(record.bridge.as_str());
            let thread = bridge
                .ok_or_else(|| refuse("unknown_bridge", "no bridge of that name"))?
                .thread;
            (Recorded::Bridge(thread), thread)
        } else {
            let thread = self.thread_of("record", &record.recording, &record.stream)?;
            (Recorded::Stream(record.stream.as_str().into()), thread)
        };
        let named = |name: &str| (!name.is_empty()).then(|| name.into());
        let entry = RecordingEntry {
            of,
            asked: record.clone(),
            ending: false,
        };
        self.directory
            .recordings
            .insert(record.recording.as_str().into(), entry);
        self.inlets[thread].send(Task::Record(RecordTask {
            recording: record.recording.as_str().into(),
            path: record.path.clone(),
            bridge: named(&record.bridge),
            stream: named(&record.stream),
            channels: record.channels,
            max_ms: record.max_ms,
            beep,
            silence_ms: record.silence_ms,
            finish_digits: record.finish_keys.clone(),
        }));
        Ok(())
    }

    pub(super) fn pause_recording(&self, recording: &str, keep_time: bool) -> Result<(), Failed> {
        let task = |recording| Task::PauseRecord { recording, keep_time };
        self.send_to_recording("pause_record", recording, task)
    }

    pub(super) fn resume_recording(&self, recording: &str) -> Result<(), Failed> {
        let task = |recording| Task::ResumeRecord { recording };
        self.send_to_recording("resume_record", recording, task)
    }

    /// Unlike the others, this may come for a recording that is over.
    pub(super) fn stop_recording(&mut self, recording: &str) -> Result<(), Failed> {
        if let Some(thread) = self.directory.recording_thread(recording) {
            if let Some(entry) = self.directory.recordings.get_mut(recording) {
                entry.ending = true;
            }
            let recording = recording.into();
            self.inlets[thread].send(Task::StopRecord { recording });
        }
        Ok(())
    }

    /// Send a task to where a recording goes on.
    fn send_to_recording(&self, op: &str, recording: &str, task: impl FnOnce(Name) -> Task) -> Result<(), Failed> {
        let thread = self
            .directory
            .recording_thread(recording)
            .ok_or_else(|| Failed::new(op, recording, "unknown_recording", "no recording of that name"))?;
        self.inlets[thread].send(task(recording.into()));
        Ok(())
    }
}

/// Whether a command makes sense by itself.
fn check(record: &Record) -> Result<(), Failed> {
    let refuse = |code: &str, reason: &str| Failed::new("record", &record.recording, code, reason);
    if record.bridge.is_empty() == record.stream.is_empty() {
        return Err(refuse("file", "exactly one of bridge and stream is to be recorded"));
    }
    if !(1..=2).contains(&record.channels) {
        return Err(refuse("file", "a recording has one channel or two"));
    }
    let of_stream_only = record.beep || record.silence_ms > 0 || !record.finish_keys.is_empty();
    if record.stream.is_empty() && of_stream_only {
        return Err(refuse("file", "beep, silence_ms and finish_keys are for streams"));
    }
    if record.finish_keys.chars().any(|digit| !is_digit(digit)) {
        return Err(refuse("file", "finish_keys are of 0-9*#A-D"));
    }
    Ok(())
}

/// A play is to come.
fn announce(target: &Target, play: &Name) -> Task {
    let play = play.clone();
    match target.clone() {
        Target::Stream(stream) => Task::Play { stream, play },
        Target::Mix(mix) => Task::PlayMix { mix, play },
    }
}

fn begin(target: Target, play: Name, programme: Result<Programme, String>) -> Task {
    match target {
        Target::Stream(stream) => Task::BeginPlay {
            stream,
            play,
            programme,
        },
        Target::Mix(mix) => Task::BeginPlayMix { mix, play, programme },
    }
}
