//! The back end on epoll: one system call per wait, per datagram received and per datagram sent.

use std::io;
use std::os::fd::AsFd;

use super::Arrival;
use crate::sys::{Epoll, Ready};

/// Sockets that one wait may report.
const MAX_READY: usize = 1024;

/// See the module.
#[derive(Debug)]
pub struct Polled {
    epoll: Epoll,
    ready: Box<[Ready]>,
    /// The part of `ready` that is still to be handled.
    next: usize,
    end: usize,
}

impl Polled {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: Epoll::new()?,
            ready: vec![Ready::EMPTY; MAX_READY].into(),
            next: 0,
            end: 0,
        })
    }

    pub fn watch(&mut self, fd: &impl AsFd, token: u64) -> io::Result<()> {
        self.epoll.add(fd, token)
    }

    pub fn forget(&mut self, fd: &impl AsFd) {
        // It may never have been watched, when that failed; then there is nothing to take back.
        let _ = self.epoll.remove(fd);
    }

    pub fn wait(&mut self, timeout_ms: i32) {
        self.next = 0;
        self.end = self.epoll.wait(&mut self.ready, timeout_ms).len();
    }

    pub fn upcoming(&self, ahead: usize) -> Option<u64> {
        let rest = &self.ready[self.next..self.end];
        rest.get(ahead - 1).map(Ready::token)
    }

    pub fn take(&mut self) -> Option<Arrival> {
        let token = self.ready[self.next..self.end].first()?.token();
        self.next += 1;
        Some(Arrival::Waiting { token })
    }
}
