//! An io_uring for the sockets of one thread: datagrams come in by themselves, sends wait for the next system call.
//!
//! A receive is armed once and goes on (multishot): the kernel puts each datagram into the next of a ring of buffers and
//! posts a completion. Sends are copied into an arena and queued; `enter` hands all of them to the kernel and waits for
//! completions in one system call. UDP copies a datagram within that call, so the arena is free afterwards.
//!
//! Nothing runs behind the thread's back: completions are posted only while it is in `enter` (DEFER_TASKRUN), so a
//! cancelled receive takes no datagram away from another ring that the socket moves to. Needs Linux 6.1.
//!
//! What the kernel has no room for is kept (`late`) and asked for again with the next turn: a receive that is never armed is
//! a socket that is deaf.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{BufRingEntry, Fd, Fixed, SubmitArgs, Timespec};
use io_uring::{cqueue, opcode, EnterFlags, IoUring};

use crate::log;

/// What a receive buffer holds; longer datagrams are cut off.
const BUFFER: usize = super::MAX_DATAGRAM;
/// How many there are, a power of two: some milliseconds of a busy thread's packets. More would only wear out its cache.
const BUFFERS: u16 = 512;
/// Operations that can wait for the next system call.
const QUEUE: u32 = 512;
/// How long a turn waits at most when the kernel has not taken all that was asked for.
const SOON_MS: i32 = 5;
/// Completions that can wait for us; beyond that the kernel keeps a list.
const COMPLETIONS: u32 = 4096;
/// Octets of queued sends.
const ARENA: usize = 128 << 10;
/// The one group of receive buffers.
const GROUP: u16 = 0;

/// The upper two bits of an operation's number say what it is, the others are the caller's.
const KIND: u64 = 3 << 62;
const RECEIVE: u64 = 0 << 62;
const POLL: u64 = 1 << 62;
const SEND: u64 = 2 << 62;
const NOTHING: u64 = 3 << 62;

/// What the kernel has to say. `mark`: what was given when the operation was armed, below 2^62.
#[derive(Debug)]
pub enum Completion {
    /// A polled descriptor has something to read. It is polled no more.
    Readable { mark: u64 },
    /// A datagram came in. `armed`: more may follow without being asked for.
    Datagram { mark: u64, filled: Filled, armed: bool },
    /// A receive or a poll has ended with this error number; 0: an empty datagram.
    Ended { mark: u64, error: i32 },
    /// A queued send was refused, for good.
    Unsent { fd: RawFd, octets: usize },
}

/// A receive buffer with a datagram, until it is given to `recycle`.
#[derive(Debug)]
pub struct Filled {
    index: u16,
    length: usize,
}

/// Pages of our own that the kernel shares.
#[derive(Debug)]
struct Pages {
    start: NonNull<u8>,
    size: usize,
}

// SAFETY: plain memory, reached only through its one owner.
unsafe impl Send for Pages {}

impl Pages {
    fn new(size: usize) -> io::Result<Self> {
        // SAFETY: an anonymous mapping at an address of the kernel's choice, checked below.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, size })
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this size, and nobody reads it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.size) };
    }
}

#[derive(Debug, Clone, Copy)]
struct Queued {
    fd: RawFd,
    start: usize,
    length: usize,
}

/// See the module.
pub struct Ring {
    ring: IoUring,
    /// The ring of descriptions of free buffers, and the buffers.
    free: Pages,
    buffers: Pages,
    tail: u16,
    /// Queued datagrams, one behind the other.
    arena: Box<[u8]>,
    arena_used: usize,
    queued: Vec<Queued>,
    /// Operations for which the queue had no room, in order, and how many there were.
    late: VecDeque<Entry>,
    late_count: u64,
    /// The number of the present filling of the arena: a late word about an earlier one is about other octets.
    batch: u32,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("queued", &self.queued.len())
            .field("late", &self.late.len())
            .finish_non_exhaustive()
    }
}

impl Ring {
    /// A ring that does nothing before `start`.
    pub fn new() -> io::Result<Self> {
        Self::with_queue(QUEUE)
    }

    fn with_queue(queue: u32) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_r_disabled()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS)
            .build(queue)?;
        let params = ring.params();
        if !(params.is_feature_ext_arg() && params.is_feature_nodrop() && params.is_feature_skip_cqe_on_success()) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let free = Pages::new(usize::from(BUFFERS) * size_of::<BufRingEntry>())?;
        let buffers = Pages::new(usize::from(BUFFERS) * BUFFER)?;
        // SAFETY: page-aligned, of this many entries, and unregistered by `drop` before the pages go.
        unsafe {
            ring.submitter()
                .register_buf_ring_with_flags(free.start.as_ptr() as u64, BUFFERS, GROUP, 0)?;
        }
        let mut ring = Self {
            ring,
            free,
            buffers,
            tail: 0,
            arena: vec![0; ARENA].into(),
            arena_used: 0,
            queued: Vec::with_capacity(QUEUE as usize),
            late: VecDeque::new(),
            late_count: 0,
            batch: 0,
        };
        for index in 0..BUFFERS {
            ring.recycle(Filled { index, length: 0 });
        }
        Ok(ring)
    }

    /// Bind the ring to the thread that calls this.
    pub fn start(&mut self) -> io::Result<()> {
        self.ring.submitter().register_enable_rings()?;
        // It spares a look-up in each call, and is not worth failing for.
        let _ = self.ring.submitter().register_ring_fd();
        // As many places as descriptors may be open; without them sockets are looked up as usual.
        let _ = self
            .ring
            .submitter()
            .register_files_sparse(super::descriptor_limit().min(1 << 16) as u32);
        Ok(())
    }

    /// Let the kernel keep a socket at hand, under the number of its descriptor, so that it is not looked up for each
    /// datagram. It has to be put away before the descriptor is closed.
    pub fn keep(&mut self, fd: RawFd) -> io::Result<()> {
        self.ring.submitter().register_files_update(fd as u32, &[fd]).map(drop)
    }

    /// Undo `keep`.
    pub fn put_away(&mut self, fd: RawFd) {
        // It was put there, so it can be taken away.
        let _ = self.ring.submitter().register_files_update(fd as u32, &[-1]);
    }

    /// Receive datagrams of a connected socket from now on. `kept`: see `keep`.
    pub fn receive(&mut self, fd: RawFd, kept: bool, mark: u64) {
        let entry = if kept {
            opcode::RecvMulti::new(Fixed(fd as u32), GROUP).build()
        } else {
            opcode::RecvMulti::new(Fd(fd), GROUP).build()
        };
        self.push(entry.user_data(RECEIVE | mark));
    }

    /// Say once when a descriptor has something to read.
    pub fn poll(&mut self, fd: RawFd, mark: u64) {
        let entry = opcode::PollAdd::new(Fd(fd), libc::POLLIN as u32).build();
        self.push(entry.user_data(POLL | mark));
    }

    /// End what was armed under `mark`.
    pub fn cancel(&mut self, mark: u64) {
        for kind in [RECEIVE, POLL] {
            let entry = opcode::AsyncCancel::new(kind | mark).build();
            self.push(entry.user_data(NOTHING).flags(Flags::SKIP_SUCCESS));
        }
    }

    /// Whether `send` can take another datagram of that length now; otherwise `enter` comes first.
    pub fn has_room(&mut self, length: usize) -> bool {
        let room = self.arena_used + length <= ARENA && self.queued.len() < QUEUE as usize;
        room && self.late.is_empty() && !self.ring.submission().is_full()
    }

    /// Queue a datagram, for which there is room. The socket must stay open until the next `enter`.
    pub fn send(&mut self, fd: RawFd, kept: bool, datagram: &[u8]) {
        let (start, length) = (self.arena_used, datagram.len());
        self.arena[start..start + length].copy_from_slice(datagram);
        self.arena_used += length;
        let number = u64::from(self.batch) << 16 | self.queued.len() as u64;
        self.queued.push(Queued { fd, start, length });
        let (octets, count) = (self.arena[start..].as_ptr(), length as u32);
        let entry = if kept {
            opcode::Send::new(Fixed(fd as u32), octets, count)
                .flags(libc::MSG_DONTWAIT)
                .build()
        } else {
            opcode::Send::new(Fd(fd), octets, count)
                .flags(libc::MSG_DONTWAIT)
                .build()
        };
        self.push(entry.user_data(SEND | number).flags(Flags::SKIP_SUCCESS));
    }

    fn push(&mut self, entry: Entry) {
        if self.late.is_empty() && self.queue(&entry) {
            return;
        }
        // Full: make room. When the kernel does not take what is there, it has no memory left for us at the moment.
        self.late.push_back(entry);
        self.hand_over();
        if !self.late.is_empty() {
            self.late_count += 1;
            if self.late_count.is_power_of_two() {
                log::warning("ring_full", &[("late", &self.late_count)]);
            }
        }
    }

    /// Put an operation into the queue, if there is room.
    fn queue(&mut self, entry: &Entry) -> bool {
        // SAFETY: the only memory that an entry names is in `arena`, which lives as long as the ring and is not written
        // to again before the kernel has taken the entry (`reap`). Receive buffers are the kernel's until it gives them.
        unsafe { self.ring.submission().push(entry) }.is_ok()
    }

    /// Give the kernel what waits, as much as it takes now, until all that is left is in the queue.
    fn hand_over(&mut self) {
        loop {
            while let Some(entry) = self.late.pop_front() {
                if !self.queue(&entry) {
                    self.late.push_front(entry);
                    break;
                }
            }
            if self.late.is_empty() || !matches!(self.submit(0, 0), Ok(1..)) {
                return;
            }
        }
    }

    /// Hand over what is queued and wait until something completes, or `timeout_ms` is over (-1 = for ever).
    pub fn enter(&mut self, timeout_ms: i32, completions: &mut VecDeque<Completion>) {
        let mut timeout_ms = timeout_ms;
        if !self.late.is_empty() {
            self.hand_over();
            if !self.late.is_empty() && timeout_ms != 0 {
                timeout_ms = SOON_MS;
            }
        }
        let want = usize::from(timeout_ms != 0);
        // Interrupted, out of time, or completions are in the way: there is nothing to do but to look at them. What was not
        // taken stays in the queue; the kernel does not wait then.
        let _ = self.submit(want, timeout_ms);
        self.reap(completions);
    }

    fn submit(&mut self, want: usize, timeout_ms: i32) -> io::Result<usize> {
        let count = self.ring.submission().len() as u32;
        let submitter = self.ring.submitter();
        let flags = EnterFlags::GETEVENTS;
        // SAFETY: the number of entries is the queue's own, and the arguments fit the flags.
        unsafe {
            if timeout_ms > 0 {
                let span = Timespec::new()
                    .sec(timeout_ms as u64 / 1000)
                    .nsec(timeout_ms as u32 % 1000 * 1_000_000);
                let arguments = SubmitArgs::new().timespec(&span);
                let flags = flags | EnterFlags::EXT_ARG;
                submitter.enter(count, want as u32, flags.bits(), Some(&arguments))
            } else {
                submitter.enter::<libc::sigset_t>(count, want as u32, flags.bits(), None)
            }
        }
    }

    fn reap(&mut self, completions: &mut VecDeque<Completion>) {
        for entry in self.ring.completion() {
            let (number, result, flags) = (entry.user_data(), entry.result(), entry.flags());
            let mark = number & !KIND;
            let completion = match number & KIND {
                RECEIVE => match cqueue::buffer_select(flags) {
                    Some(index) => Completion::Datagram {
                        mark,
                        filled: Filled {
                            index,
                            length: (result.max(0) as usize).min(BUFFER),
                        },
                        armed: cqueue::more(flags),
                    },
                    None => Completion::Ended { mark, error: -result },
                },
                POLL if result < 0 => Completion::Ended { mark, error: -result },
                POLL => Completion::Readable { mark },
                SEND if mark >> 16 == u64::from(self.batch) => {
                    let Some(&Queued { fd, start, length }) = self.queued.get((mark & 0xFFFF) as usize) else {
                        continue;
                    };
                    let datagram = &self.arena[start..start + length];
                    // An answer "port unreachable" to an earlier packet is told with the next, which is then not sent.
                    if result == -libc::ECONNREFUSED && send_now(fd, datagram) {
                        continue;
                    }
                    Completion::Unsent { fd, octets: length }
                }
                _ => continue,
            };
            completions.push_back(completion);
        }
        if self.ring.submission().is_empty() && self.late.is_empty() {
            self.queued.clear();
            self.arena_used = 0;
            self.batch = self.batch.wrapping_add(1);
        }
    }

    /// What a completion brought.
    pub fn datagram(&self, filled: &Filled) -> &[u8] {
        let start = usize::from(filled.index % BUFFERS) * BUFFER;
        // SAFETY: inside the pages; the kernel writes to a buffer no more once it has given it to us, until `recycle`,
        // which the borrow of `filled` keeps away.
        unsafe { std::slice::from_raw_parts(self.buffers.start.as_ptr().add(start), filled.length) }
    }

    /// Let the kernel have a buffer again.
    pub fn recycle(&mut self, filled: Filled) {
        let index = filled.index % BUFFERS;
        let base: *mut BufRingEntry = self.free.start.as_ptr().cast();
        // SAFETY: inside the pages, which hold `BUFFERS` entries; entries behind the tail are ours to write. The tail
        // lies in the first entry, as the kernel lays it out, and is published after the entry.
        unsafe {
            let entry = &mut *base.add(usize::from(self.tail % BUFFERS));
            entry.set_addr(self.buffers.start.as_ptr().add(usize::from(index) * BUFFER) as u64);
            entry.set_len(BUFFER as u32);
            entry.set_bid(index);
            self.tail = self.tail.wrapping_add(1);
            (*BufRingEntry::tail(base).cast::<AtomicU16>()).store(self.tail, Ordering::Release);
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // Afterwards no receive finds a buffer, whenever the kernel gets round to ending it: the pages can go.
        let _ = self.ring.submitter().unregister_buf_ring(GROUP);
    }
}

fn send_now(fd: RawFd, datagram: &[u8]) -> bool {
    // SAFETY: pointer and length are those of the slice.
    let sent = unsafe { libc::send(fd, datagram.as_ptr().cast(), datagram.len(), libc::MSG_DONTWAIT) };
    sent >= 0
}

/// Whether the kernel lets us, and can do all that is used here. The error is its reason.
pub fn probe() -> io::Result<()> {
    let mut ring = Ring::new()?;
    ring.start()?;
    let (ours, theirs) = UnixDatagram::pair()?;
    ring.receive(ours.as_raw_fd(), false, 1);
    let mut completions = VecDeque::new();
    for word in [b"first", b"again"] {
        ring.send(theirs.as_raw_fd(), false, word);
        for _ in 0..4 {
            if completions.is_empty() {
                ring.enter(250, &mut completions);
            }
        }
        match completions.pop_front() {
            Some(Completion::Datagram {
                mark: 1,
                filled,
                armed: true,
            }) if ring.datagram(&filled) == word => ring.recycle(filled),
            Some(Completion::Ended { error, .. }) => return Err(io::Error::from_raw_os_error(error)),
            _ => return Err(io::ErrorKind::Unsupported.into()),
        }
    }
    Ok(())
}

/// The number of an open descriptor.
pub fn number(fd: &impl AsFd) -> RawFd {
    fd.as_fd().as_raw_fd()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_has_no_room_for_is_asked_for_again() {
        if probe().is_err() {
            return; // no io_uring here
        }
        let mut ring = Ring::with_queue(4).expect("a ring");
        let pairs: Vec<_> = (0..10).map(|_| UnixDatagram::pair().expect("a pair")).collect();
        // A ring that has not started is refused everything, and its queue holds four.
        for (mark, (ours, _)) in (0..).zip(&pairs) {
            ring.receive(ours.as_raw_fd(), false, mark);
        }
        assert_eq!((ring.late.len(), ring.late_count), (6, 6));
        assert!(!ring.has_room(1), "nothing overtakes what is late");
        let mut completions = VecDeque::new();
        ring.enter(-1, &mut completions);
        assert_eq!((ring.late.len(), completions.len()), (6, 0));
        ring.start().expect("started");
        for (_, theirs) in &pairs {
            theirs.send(b"hello").expect("sent");
        }
        for _ in 0..10 {
            ring.enter(100, &mut completions);
        }
        let mut heard: Vec<u64> = completions
            .iter()
            .filter_map(|completion| match completion {
                Completion::Datagram { mark, .. } => Some(*mark),
                _ => None,
            })
            .collect();
        heard.sort_unstable();
        assert_eq!(heard, (0..10).collect::<Vec<u64>>());
        assert!(ring.late.is_empty() && ring.has_room(1));
    }
}
