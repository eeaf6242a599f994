//! What goes between the control thread and the media threads.
//!
//! Down: tasks, in order, through a channel and a wake-up of the thread's loop. Up: events, the same way. Both run at
//! call rate. Names are shared strings, so that an event costs no copy of them where it is made.

use std::sync::mpsc::{self, Sender};
use std::sync::Arc;

use crate::play::Prompt;
use crate::protocol::Event;
use crate::session::Session;
use crate::stream::Stream;
use crate::sys::Waker;

/// A stream's, bridge's, play's or recording's name.
pub type Name = Arc<str>;

/// What the control thread asks of a media thread. The control thread has checked that what a task names exists.
#[derive(Debug)]
pub enum Task {
    /// Take over this stream, its sockets included.
    Attach(Box<Stream>),
    /// Give a stream up, because it is to be bridged with one of another thread.
    Detach {
        stream: Name,
        reply: mpsc::SyncSender<Option<Box<Stream>>>,
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
    Stats {
        stream: Name,
    },
    Close {
        stream: Name,
    },
    /// End everything and return.
    Stop,
}

/// What comes back.
#[derive(Debug)]
pub enum Up {
    Event(Event),
    /// The files of a play were read, or the first that cannot be played is named.
    Loaded {
        stream: Name,
        play: Name,
        prompts: Result<Vec<Arc<Prompt>>, String>,
    },
    /// A media thread has ended after `Stop`.
    Stopped,
}

/// The way up, with its wake-up.
#[derive(Debug, Clone)]
pub struct Outbox {
    up: Sender<Up>,
    waker: Arc<Waker>,
}

impl Outbox {
    pub fn new(up: Sender<Up>, waker: Arc<Waker>) -> Self {
        Self { up, waker }
    }

    pub fn tell(&self, event: Event) {
        self.send(Up::Event(event));
    }

    pub fn send(&self, up: Up) {
        // The control thread ends last; a failure means that nobody is left to be told.
        if self.up.send(up).is_ok() {
            self.waker.wake();
        }
    }
}

/// The way down to one media thread.
#[derive(Debug, Clone)]
pub struct Inlet {
    tasks: Sender<Task>,
    waker: Arc<Waker>,
}

impl Inlet {
    pub fn new(tasks: Sender<Task>, waker: Arc<Waker>) -> Self {
        Self { tasks, waker }
    }

    pub fn send(&self, task: Task) {
        if self.tasks.send(task).is_ok() {
            self.waker.wake();
        }
    }
}
