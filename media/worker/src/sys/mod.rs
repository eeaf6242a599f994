//! Everything that calls the kernel past the standard library, and, with its submodules, the only `unsafe` of the
//! crate.
//!
//! The argument, once for all blocks: every call gets pointers to live Rust values of the type and length that the call
//! expects, borrowed for its duration; every descriptor returned is checked for -1 and wrapped in an `OwnedFd` at once,
//! so that it is closed exactly once. What a block needs beyond this stands beside it.
#![allow(unsafe_code)]

pub mod bpf;
pub mod ring;
pub mod routes;

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// A datagram of this length is not looked at, since it may have been cut. L16 at 48 kHz with two channels comes as 3840
/// octets in 20 ms.
pub const MAX_DATAGRAM: usize = 4096;

/// How many descriptors a process has where nobody says otherwise.
const USUAL_LIMIT: u64 = 1024;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn owned(result: libc::c_int) -> io::Result<OwnedFd> {
    let fd = check(result)?;
    // SAFETY: the kernel has just given us this descriptor, nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn set_option(fd: &impl AsRawFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: pointer and length describe `value`, an int, as all options used here do.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    })
    .map(drop)
}

/// The kernel's form of a socket address.
enum RawAddress {
    V4(libc::sockaddr_in),
    V6(libc::sockaddr_in6),
}

impl RawAddress {
    fn new(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(v4) => {
                // SAFETY: all-zero is a valid sockaddr_in.
                let mut raw: libc::sockaddr_in = unsafe { zeroed() };
                raw.sin_family = libc::AF_INET as libc::sa_family_t;
                raw.sin_port = v4.port().to_be();
                raw.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
                Self::V4(raw)
            }
            SocketAddr::V6(v6) => {
                // SAFETY: all-zero is a valid sockaddr_in6.
                let mut raw: libc::sockaddr_in6 = unsafe { zeroed() };
                raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                raw.sin6_port = v6.port().to_be();
                raw.sin6_addr.s6_addr = v6.ip().octets();
                raw.sin6_scope_id = v6.scope_id();
                Self::V6(raw)
            }
        }
    }

    fn as_ptr(&self) -> (*const libc::sockaddr, libc::socklen_t) {
        match self {
            Self::V4(raw) => (
                (&raw const *raw).cast(),
                size_of::<libc::sockaddr_in>() as libc::socklen_t,
            ),
            Self::V6(raw) => (
                (&raw const *raw).cast(),
                size_of::<libc::sockaddr_in6>() as libc::socklen_t,
            ),
        }
    }
}

/// A non-blocking UDP socket bound to `address`. With `reuse` it may share the port with a socket that allows it too.
fn udp(address: SocketAddr, reuse: bool, dscp: u8) -> io::Result<UdpSocket> {
    let family = if address.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    // SAFETY: no pointers.
    let fd = owned(unsafe { libc::socket(family, libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0) })?;
    if reuse {
        set_option(&fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    }
    if address.is_ipv6() {
        set_option(&fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
    }
    let class = libc::c_int::from(dscp) << 2;
    // Marking is a wish: a container without the right to it still carries calls.
    let _ = match address {
        SocketAddr::V4(_) => set_option(&fd, libc::IPPROTO_IP, libc::IP_TOS, class),
        SocketAddr::V6(_) => set_option(&fd, libc::IPPROTO_IPV6, libc::IPV6_TCLASS, class),
    };
    let raw = RawAddress::new(address);
    let (pointer, length) = raw.as_ptr();
    // SAFETY: `raw` outlives the call.
    check(unsafe { libc::bind(fd.as_raw_fd(), pointer, length) })?;
    Ok(UdpSocket::from(fd))
}

/// Bind a port that nobody else has, and keep it that way.
pub fn udp_exclusive(address: SocketAddr, dscp: u8) -> io::Result<UdpSocket> {
    udp(address, false, dscp)
}

/// A second socket on the port of `first`, which is to be connected at once.
///
/// The kernel gives a connected one all that comes from its peer; everything else still reaches `first`. Until it is
/// connected, whatever comes may come to either. The port is open to others only while this runs: sharing is allowed on
/// both sockets, then forbidden again.
pub fn udp_beside(first: &UdpSocket, dscp: u8) -> io::Result<UdpSocket> {
    let local = first.local_addr()?;
    set_option(first, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    let second = udp(local, true, dscp);
    set_option(first, libc::SOL_SOCKET, libc::SO_REUSEADDR, 0)?;
    let second = second?;
    set_option(&second, libc::SOL_SOCKET, libc::SO_REUSEADDR, 0)?;
    Ok(second)
}

/// Level-triggered readiness of many descriptors.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

/// What `Epoll::wait` fills; `token` is what was given to `add`.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Ready(libc::epoll_event);

impl Ready {
    pub const EMPTY: Ready = Ready(libc::epoll_event { events: 0, u64: 0 });

    pub fn token(&self) -> u64 {
        self.0.u64
    }
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ready({})", self.token())
    }
}

impl Epoll {
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers.
        owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }).map(Self)
    }

    /// Watch `fd` for input until it is removed or closed.
    pub fn add(&self, fd: &impl AsFd, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, libc::EPOLLIN as u32, token)
    }

    /// Watch `fd` for input, and for room to write if `writable`.
    pub fn change(&self, fd: &impl AsFd, token: u64, writable: bool) -> io::Result<()> {
        let output = if writable { libc::EPOLLOUT as u32 } else { 0 };
        self.control(libc::EPOLL_CTL_MOD, fd, libc::EPOLLIN as u32 | output, token)
    }

    pub fn remove(&self, fd: &impl AsFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, 0)
    }

    fn control(&self, operation: libc::c_int, fd: &impl AsFd, events: u32, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: token };
        // SAFETY: `event` lives through the call.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), operation, fd.as_fd().as_raw_fd(), &raw mut event) })
            .map(drop)
    }

    /// Wait until something is ready or `timeout_ms` is over (-1 = for ever); the filled part of `ready` is returned.
    pub fn wait<'a>(&self, ready: &'a mut [Ready], timeout_ms: i32) -> &'a [Ready] {
        let room = ready.len().min(libc::c_int::MAX as usize) as libc::c_int;
        // SAFETY: `Ready` is a transparent epoll_event and `room` does not exceed the slice. An interrupted wait gives
        // nothing, which the caller's loop repeats.
        let count = unsafe { libc::epoll_wait(self.0.as_raw_fd(), ready.as_mut_ptr().cast(), room, timeout_ms) };
        &ready[..count.max(0) as usize]
    }
}

/// Wakes an epoll loop from another thread.
#[derive(Debug)]
pub struct Waker(OwnedFd);

impl Waker {
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers.
        owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }).map(Self)
    }

    pub fn wake(&self) {
        let one = 1_u64;
        // SAFETY: eight octets of `one`. It fails only when the counter is full, and then the loop wakes anyway.
        unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), 8) };
    }

    /// Take back all calls of `wake` so far.
    pub fn reset(&self) {
        let mut count = 0_u64;
        // SAFETY: eight octets of `count`. Nothing to read is no error here.
        unsafe { libc::read(self.0.as_raw_fd(), (&raw mut count).cast(), 8) };
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// SIGTERM, SIGINT and SIGHUP as a readable descriptor.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Block the signals in this thread and those it starts later, and read them here. SIGXFSZ is ignored: a file over
    /// its limit is a failed write of one recording, not the end of the process.
    pub fn new() -> io::Result<Self> {
        // SAFETY: the set is initialised by sigemptyset before its use; SIG_IGN is a valid disposition.
        unsafe {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            let mut set: libc::sigset_t = zeroed();
            libc::sigemptyset(&raw mut set);
            for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
                libc::sigaddset(&raw mut set, signal);
            }
            check(libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()))?;
            owned(libc::signalfd(
                -1,
                &raw const set,
                libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
            ))
            .map(Self)
        }
    }

    /// Whether a signal has come.
    pub fn taken(&self) -> bool {
        // SAFETY: all-zero is a valid signalfd_siginfo, and its own size is given.
        unsafe {
            let mut info: libc::signalfd_siginfo = zeroed();
            let size = size_of::<libc::signalfd_siginfo>();
            libc::read(self.0.as_raw_fd(), (&raw mut info).cast(), size) == size as isize
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Let this process have as many descriptors as it may. Returns that number.
pub fn raise_descriptor_limit() -> u64 {
    let Some(mut limit) = descriptor_limits() else {
        return USUAL_LIMIT;
    };
    let before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is a valid rlimit.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } == 0 {
        limit.rlim_cur
    } else {
        before
    }
}

/// How many descriptors this process may have.
pub fn descriptor_limit() -> u64 {
    descriptor_limits().map_or(USUAL_LIMIT, |limit| limit.rlim_cur)
}

fn descriptor_limits() -> Option<libc::rlimit> {
    // SAFETY: all-zero is a valid rlimit.
    let mut limit: libc::rlimit = unsafe { zeroed() };
    // SAFETY: `limit` lives through the call.
    (unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0).then_some(limit)
}

/// Set the file mode mask; returns the old one. To be called while there is one thread.
pub fn set_umask(mask: u32) -> u32 {
    // SAFETY: no pointers; cannot fail.
    unsafe { libc::umask(mask as libc::mode_t) as u32 }
}

/// Take an exclusive lock on an open file without waiting; it holds until the file is closed.
pub fn lock_exclusive(file: &std::fs::File) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }).map(drop)
}

/// Random octets that cannot be guessed, for SSRCs and first sequence numbers (RFC 3550 5.1, 8.1).
pub fn entropy<const N: usize>() -> [u8; N] {
    let mut octets = [0; N];
    let mut filled = 0;
    while filled < N {
        // SAFETY: pointer and length describe the rest of `octets`.
        let got = unsafe { libc::getrandom(octets[filled..].as_mut_ptr().cast(), N - filled, 0) };
        if got <= 0 {
            // Only an interrupted call can fail here (the pool is ready once the machine is up).
            continue;
        }
        filled += got as usize;
    }
    octets
}

/// Ask the processor to bring a value into its cache, because it will be looked at soon.
pub fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_mm_prefetch, _MM_HINT_T0};
        const LINE: usize = 64;
        let start: *const i8 = (&raw const *value).cast();
        for offset in (0..size_of::<T>()).step_by(LINE) {
            // SAFETY: inside of `value`. A prefetch reads nothing, as far as the program can tell.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.add(offset)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

/// The unspecified address of the family of `address`, with port 0.
pub fn unspecified_like(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> UdpSocket {
        let socket = UdpSocket::bind((address, 0)).expect("loopback");
        socket.set_nonblocking(false).expect("blocking");
        socket
    }

    #[test]
    fn a_companion_hears_the_peer_and_the_first_socket_everyone_else() {
        let first = udp_exclusive("127.0.0.1:0".parse().expect("address"), 46).expect("bind");
        let at = first.local_addr().expect("bound");
        let (friend, stranger) = (peer("127.0.0.2"), peer("127.0.0.3"));
        let companion = udp_beside(&first, 46).expect("companion");
        companion
            .connect(friend.local_addr().expect("bound"))
            .expect("connected");
        friend.send_to(b"friend", at).expect("send");
        stranger.send_to(b"stranger", at).expect("send");
        let mut buffer = [0; 16];
        assert_eq!(
            companion
                .recv(&mut buffer)
                .map(|n| buffer[..n].to_vec())
                .expect("friend"),
            b"friend"
        );
        assert_eq!(
            first.recv(&mut buffer).map(|n| buffer[..n].to_vec()).expect("stranger"),
            b"stranger"
        );
        assert!(companion.recv(&mut buffer).is_err());
    }

    #[test]
    fn a_port_with_a_companion_stays_closed_to_others() {
        let first = udp_exclusive("127.0.0.1:0".parse().expect("address"), 0).expect("bind");
        let friend = peer("127.0.0.2");
        let companion = udp_beside(&first, 0).expect("companion");
        companion
            .connect(friend.local_addr().expect("bound"))
            .expect("connected");
        let at = first.local_addr().expect("bound");
        assert!(udp(at, true, 0).is_err());
        assert!(udp(at, false, 0).is_err());
    }
}
