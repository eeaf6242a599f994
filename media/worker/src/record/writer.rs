//! The thread that writes recordings: a slow disk delays it and nothing else.
//!
//! Samples are written at their own offset, the header after them, several times a second: whatever kills the process, the
//! file is a valid WAV of what was written. When the disk cannot keep up, samples are dropped before they get here; the
//! hole they leave reads as silence, and what follows still lies in its place.
//!
//! This thread alone says `RecordingStarted` and `RecordingEnded`, so the latter comes exactly once.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::audio::wav;
use crate::log;
use crate::outbox::{Outbox, Up};
use crate::protocol::{Event, Name};

/// What the media threads ask for.
#[derive(Debug)]
pub enum Job {
    /// Make the file.
    Open {
        recording: Name,
        path: String,
        channels: u8,
    },
    /// The first sample is being heard.
    Begin { recording: Name },
    /// Samples, little-endian and interleaved, `offset` octets after the first.
    Write {
        recording: Name,
        offset: u64,
        octets: Vec<u8>,
    },
    /// The recording is `length` octets long and over; `lost` of them were refused at the desk.
    Finish {
        recording: Name,
        length: u64,
        lost: u64,
        reason: &'static str,
        detail: String,
    },
    /// All is written that will be.
    Stop,
}

/// The way to the writer, with the count of what waits for the disk.
#[derive(Debug, Clone)]
pub struct Desk {
    jobs: Sender<Job>,
    waiting: Arc<AtomicUsize>,
    limit: usize,
}

impl Desk {
    pub fn send(&self, job: Job) {
        // The writer ends after the last media thread.
        let _ = self.jobs.send(job);
    }

    /// Hand samples over. False when too much waits already: they are dropped.
    pub fn write(&self, recording: &Name, offset: u64, octets: Vec<u8>) -> bool {
        let size = octets.len();
        if self.waiting.fetch_add(size, Ordering::Relaxed) + size > self.limit {
            self.waiting.fetch_sub(size, Ordering::Relaxed);
            return false;
        }
        let recording = recording.clone();
        self.send(Job::Write {
            recording,
            offset,
            octets,
        });
        true
    }
}

/// Start the thread; `limit`: octets that may wait for the disk.
pub fn start(limit: usize, outbox: Outbox) -> io::Result<(Desk, JoinHandle<()>)> {
    let (sender, jobs) = mpsc::channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let desk = Desk {
        jobs: sender,
        waiting: waiting.clone(),
        limit,
    };
    let writer = Writer {
        open: HashMap::new(),
        waiting,
        outbox,
    };
    let thread = std::thread::Builder::new()
        .name("writer".into())
        .spawn(move || writer.run(&jobs))?;
    Ok((desk, thread))
}

/// A file that is being written.
#[derive(Debug)]
struct Open {
    file: File,
    path: String,
    channels: u8,
    /// Octets of samples that the header may speak of.
    length: u64,
}

impl Open {
    fn create(path: &str, channels: u8) -> io::Result<Self> {
        // Nothing is ever overwritten: a recording's name is its own.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(path)?;
        let mut open = Self {
            file,
            path: path.to_owned(),
            channels,
            length: 0,
        };
        open.put_header()?;
        Ok(open)
    }

    fn write(&mut self, offset: u64, octets: &[u8]) -> io::Result<()> {
        self.file.write_all_at(octets, wav::HEADER as u64 + offset)?;
        self.length = self.length.max(offset + octets.len() as u64);
        self.put_header()
    }

    /// Bring the header up to date. It comes after the samples, so it never promises what is not there.
    fn put_header(&mut self) -> io::Result<()> {
        self.file
            .write_all_at(&wav::header(u16::from(self.channels), self.length), 0)
    }

    fn finish(&mut self, length: u64) -> io::Result<()> {
        // Longer than what was written if the last samples were dropped.
        self.file.set_len(wav::HEADER as u64 + length)?;
        self.length = length;
        self.put_header()
    }

    fn milliseconds(&self, octets: u64) -> u64 {
        let frames = octets / (2 * u64::from(self.channels));
        frames * 1000 / u64::from(wav::RATE_HZ)
    }

    fn ended(&self, recording: &Name, reason: &str, detail: String, lost: u64) -> Event {
        Event::RecordingEnded {
            recording: recording.to_string(),
            path: self.path.clone(),
            duration_ms: self.milliseconds(self.length),
            size_bytes: wav::HEADER as u64 + self.length,
            reason: reason.to_owned(),
            detail,
            lost_ms: self.milliseconds(lost),
        }
    }
}

struct Writer {
    open: HashMap<Name, Open>,
    waiting: Arc<AtomicUsize>,
    outbox: Outbox,
}

impl Writer {
    fn run(mut self, jobs: &Receiver<Job>) {
        for job in jobs {
            match job {
                Job::Open {
                    recording,
                    path,
                    channels,
                } => self.create(recording, path, channels),
                Job::Begin { recording } => {
                    if self.open.contains_key(&recording) {
                        self.outbox.tell(Event::RecordingStarted {
                            recording: recording.to_string(),
                        });
                    }
                }
                Job::Write {
                    recording,
                    offset,
                    octets,
                } => {
                    self.waiting.fetch_sub(octets.len(), Ordering::Relaxed);
                    let written = self.open.get_mut(&recording).map(|open| open.write(offset, &octets));
                    if let Some(Err(error)) = written {
                        self.fail(&recording, &error);
                    }
                }
                Job::Finish {
                    recording,
                    length,
                    lost,
                    reason,
                    detail,
                } => self.finish(&recording, [length, lost], reason, detail),
                Job::Stop => break,
            }
        }
        self.outbox.send(Up::Stopped);
    }

    fn create(&mut self, recording: Name, path: String, channels: u8) {
        match Open::create(&path, channels) {
            Ok(open) => {
                self.open.insert(recording, open);
            }
            Err(error) => {
                log::warning("recording_failed", &[("recording", &recording), ("reason", &error)]);
                self.outbox.tell(Event::RecordingEnded {
                    recording: recording.to_string(),
                    path,
                    duration_ms: 0,
                    size_bytes: 0,
                    reason: "disk".into(),
                    detail: error.to_string(),
                    lost_ms: 0,
                });
            }
        }
    }

    /// The disk refuses: what was written stays, the call goes on. The media thread learns of it by the event.
    fn fail(&mut self, recording: &Name, error: &io::Error) {
        let Some(mut open) = self.open.remove(recording) else {
            return;
        };
        log::warning("recording_failed", &[("recording", recording), ("reason", error)]);
        // A part of the last samples may be there; the header does not count it. It lies within what was written
        // already, so there is room for it even on a full disk.
        let _ = open.put_header();
        self.outbox.tell(open.ended(recording, "disk", error.to_string(), 0));
    }

    fn finish(&mut self, recording: &Name, [length, lost]: [u64; 2], reason: &str, detail: String) {
        let finished = self.open.get_mut(recording).map(|open| open.finish(length));
        match finished {
            Some(Ok(())) => {
                if let Some(open) = self.open.remove(recording) {
                    self.outbox.tell(open.ended(recording, reason, detail, lost));
                }
            }
            Some(Err(error)) => self.fail(recording, &error),
            // It failed before, and that was told.
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Waker;

    struct Bench {
        desk: Desk,
        up: Receiver<Up>,
        thread: JoinHandle<()>,
        folder: std::path::PathBuf,
    }

    fn bench(name: &str, limit: usize) -> Bench {
        let folder = std::env::temp_dir().join(format!("dialplane-writer-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        let (sender, up) = mpsc::channel();
        let outbox = Outbox::new(sender, Arc::new(Waker::new().expect("a waker")));
        let (desk, thread) = start(limit, outbox).expect("a thread");
        Bench {
            desk,
            up,
            thread,
            folder,
        }
    }

    impl Bench {
        fn open(&self, name: &str) -> String {
            let path = self.folder.join(name).to_str().expect("a name").to_owned();
            self.desk.send(Job::Open {
                recording: name.into(),
                path: path.clone(),
                channels: 1,
            });
            self.desk.send(Job::Begin { recording: name.into() });
            path
        }

        fn finish(&self, name: &str, length: u64) {
            self.desk.send(Job::Finish {
                recording: name.into(),
                length,
                lost: 0,
                reason: "stopped",
                detail: String::new(),
            });
        }

        /// Stop and give what was told: name, reason, milliseconds.
        fn told(self) -> Vec<(String, String, u64)> {
            self.desk.send(Job::Stop);
            self.thread.join().expect("ended");
            let told = self.up.try_iter().filter_map(|up| match up {
                Up::Event(Event::RecordingStarted { recording }) => Some((recording, "started".into(), 0)),
                Up::Event(Event::RecordingEnded {
                    recording,
                    reason,
                    duration_ms,
                    ..
                }) => Some((recording, reason, duration_ms)),
                _ => None,
            });
            let told = told.collect();
            let _ = std::fs::remove_dir_all(&self.folder);
            told
        }
    }

    #[test]
    fn a_hole_is_silence_and_the_length_is_what_was_said() {
        let bench = bench("hole", 1 << 20);
        let path = bench.open("r");
        assert!(bench.desk.write(&"r".into(), 16, vec![1; 16]));
        bench.finish("r", 16_000);
        bench.desk.send(Job::Open {
            recording: "again".into(),
            path: path.clone(),
            channels: 1,
        });
        let kept = loop {
            match std::fs::read(&path) {
                // The header comes last.
                Ok(octets) if wav::samples(&octets).is_ok_and(|samples| samples.len() == 8000) => break octets,
                _ => std::thread::yield_now(),
            }
        };
        let told = bench.told();
        let samples = wav::samples(&kept).expect("a WAV");
        assert_eq!((samples.len(), samples[0], samples[8], samples[16]), (8000, 0, 257, 0));
        let line = |name: &str, what: &str, ms| (name.to_owned(), what.to_owned(), ms);
        assert_eq!(
            told,
            [
                line("r", "started", 0),
                line("r", "stopped", 1000),
                line("again", "disk", 0)
            ]
        );
    }

    #[test]
    fn what_the_disk_cannot_take_in_time_is_refused_at_the_desk() {
        let bench = bench("limit", 100);
        assert!(!bench.desk.write(&"r".into(), 0, vec![0; 101]));
        assert!(bench.desk.write(&"r".into(), 0, vec![0; 100]));
        bench.told();
    }

    #[test]
    fn a_full_disk_ends_the_recording_once() {
        let bench = bench("full", 1 << 20);
        bench.desk.send(Job::Open {
            recording: "r".into(),
            path: "/nowhere/at/all.wav".into(),
            channels: 2,
        });
        bench.desk.write(&"r".into(), 0, vec![0; 8]);
        bench.finish("r", 8);
        assert_eq!(bench.told(), [("r".to_owned(), "disk".to_owned(), 0)]);
    }
}
