//! What the control thread asks of the media threads: tasks, in order, through a channel and a wake-up of the thread's loop.
//! They run at call rate. `outbox` is the way back.

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Recording;
use crate::playback::{Programme, Prompt};
use crate::protocol::Name;
use crate::session::Session;
use crate::stream::Stream;
use crate::sys::Waker;

/// What the control thread asks of a media thread. The control thread has checked that what a task names exists.
#[derive(Debug)]
pub enum Task {
    /// Take over this stream, its sockets included.
    Attach(Box<Parcel>),
    /// Give a stream up, because it is to be bridged with one of another thread.
    Detach {
        stream: Name,
        /// None in it: the stream cannot leave.
        over: Arc<HandOver<Option<Box<Parcel>>>>,
    },
    Connect {
        stream: Name,
        session: Box<Session>,
    },
    Bridge {
        bridge: Name,
        first: Name,
        second: Name,
    },
    Unbridge {
        bridge: Name,
    },
    /// A play is to come; what plays now ends.
    Play {
        stream: Name,
        play: Name,
    },
    /// What the play is to be, or why it cannot be.
    BeginPlay {
        stream: Name,
        play: Name,
        programme: Result<Programme, String>,
    },
    StopPlay {
        stream: Name,
        play: Name,
    },
    Mute {
        stream: Name,
        muted: bool,
        deaf: bool,
    },
    /// Take part in a mix, which begins with its first member.
    Join {
        mix: Name,
        stream: Name,
        beep: bool,
    },
    Leave {
        mix: Name,
        stream: Name,
        beep: bool,
    },
    /// As the tasks for the play of a stream.
    PlayMix {
        mix: Name,
        play: Name,
    },
    BeginPlayMix {
        mix: Name,
        play: Name,
        programme: Result<Programme, String>,
    },
    StopPlayMix {
        mix: Name,
        play: Name,
    },
    Record(RecordTask),
    PauseRecord {
        recording: Name,
        keep_time: bool,
    },
    ResumeRecord {
        recording: Name,
    },
    StopRecord {
        recording: Name,
    },
    /// The disk has refused this recording, and that was told.
    LoseRecording {
        recording: Name,
    },
    SendDigits {
        stream: Name,
        digits: String,
        tone_ms: u32,
        gap_ms: u32,
    },
    Stats {
        stream: Name,
    },
    Close {
        stream: Name,
    },
    /// End everything and return.
    Stop,
}

/// A stream on its way from thread to thread, with the recordings of it.
#[derive(Debug)]
pub struct Parcel {
    pub stream: Box<Stream>,
    pub recordings: Vec<Recording>,
}

/// Where a thread leaves what another has asked for, and who asks has little patience. What is left there is taken, or the
/// giver has it back: with a channel it could arrive in the moment between the last look and the end of the channel.
#[derive(Debug)]
pub struct HandOver<T> {
    state: Mutex<Asked<T>>,
    given: Condvar,
}

#[derive(Debug)]
enum Asked<T> {
    Waits,
    Given(T),
    GoneAway,
}

impl<T> HandOver<T> {
    pub fn new() -> Self {
        Self {
            state: Mutex::new(Asked::Waits),
            given: Condvar::new(),
        }
    }

    /// Leave it there. Err: nobody waits any more.
    pub fn give(&self, thing: T) -> Result<(), T> {
        let mut state = self.lock();
        if matches!(*state, Asked::GoneAway) {
            return Err(thing);
        }
        *state = Asked::Given(thing);
        self.given.notify_one();
        Ok(())
    }

    /// Wait for it, but no longer than that; to be called once.
    pub fn take(&self, patience: Duration) -> Option<T> {
        let waits = |state: &mut Asked<T>| matches!(state, Asked::Waits);
        let (mut state, _) = self
            .given
            .wait_timeout_while(self.lock(), patience, waits)
            .unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *state, Asked::GoneAway) {
            Asked::Given(thing) => Some(thing),
            Asked::Waits | Asked::GoneAway => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Asked<T>> {
        // Nothing can give way while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A recording that is to begin; exactly one of bridge and stream is named.
#[derive(Debug)]
pub struct RecordTask {
    pub recording: Name,
    pub path: String,
    pub bridge: Option<Name>,
    pub stream: Option<Name>,
    /// 1 or 2.
    pub channels: u8,
    pub max_ms: u64,
    /// Of a stream only: what its peer hears first, how long it may be silent (0 = for ever), which digits end it.
    pub beep: Option<Arc<Prompt>>,
    pub silence_ms: u64,
    pub finish_digits: String,
}

/// The way down to one media thread.
#[derive(Debug, Clone)]
pub struct Inlet {
    tasks: Sender<Task>,
    waker: Arc<Waker>,
}

/// Its end at that thread, whose loop watches the waker.
#[derive(Debug)]
pub(super) struct Inbox {
    pub tasks: Receiver<Task>,
    pub waker: Arc<Waker>,
}

pub(super) fn channel() -> io::Result<(Inlet, Inbox)> {
    let (sender, tasks) = mpsc::channel();
    let waker = Arc::new(Waker::new()?);
    let inlet = Inlet {
        tasks: sender,
        waker: waker.clone(),
    };
    Ok((inlet, Inbox { tasks, waker }))
}

impl Inlet {
    pub fn send(&self, task: Task) {
        if self.tasks.send(task).is_ok() {
            self.waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_over_is_taken_or_given_back_and_never_lost() {
        let (mut taken, mut back) = (0, 0);
        // Patience and the giver's pace lie close together, so that both ends come about.
        for round in 0..4000_u32 {
            let over = Arc::new(HandOver::new());
            let giver = {
                let over = over.clone();
                std::thread::spawn(move || {
                    (0..round % 100).for_each(|_| std::hint::spin_loop());
                    over.give(round)
                })
            };
            let got = over.take(Duration::from_micros(u64::from(round % 300)));
            match (got, giver.join().expect("ended")) {
                (Some(it), Ok(())) if it == round => taken += 1,
                (None, Err(it)) if it == round => back += 1,
                other => panic!("{round}: {other:?}"),
            }
        }
        assert!(taken > 0 && back > 0, "{taken} taken, {back} given back");
    }
}
