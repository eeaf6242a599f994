//! The `bpf` system call: maps that were pinned, and, for root, making and attaching what is pinned.
//!
//! Keys and values are octets of the length that the map was made with: `Map` knows both and refuses others, because the
//! kernel would read and write beyond a shorter buffer.

use std::ffi::CString;
use std::io;
use std::mem::{size_of, size_of_val};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{check, owned};

const MAP_CREATE: libc::c_int = 0;
const MAP_LOOKUP: libc::c_int = 1;
const MAP_UPDATE: libc::c_int = 2;
const MAP_DELETE: libc::c_int = 3;
const MAP_NEXT_KEY: libc::c_int = 4;
const PROG_LOAD: libc::c_int = 5;
const OBJ_PIN: libc::c_int = 6;
const OBJ_GET: libc::c_int = 7;
#[cfg(test)]
const PROG_TEST_RUN: libc::c_int = 10;
const OBJ_INFO: libc::c_int = 15;
const MAP_LOOKUP_AND_DELETE: libc::c_int = 21;
const LINK_CREATE: libc::c_int = 28;
const LINK_DETACH: libc::c_int = 34;

const PROG_TYPE_SCHED_CLS: u32 = 3;
const TCX_INGRESS: u32 = 46;
/// Of names in the kernel, with the 0 at the end.
const NAME: usize = 16;

/// What a map holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// As `enum bpf_map_type`.
    pub kind: u32,
    pub key: usize,
    pub value: usize,
    pub entries: u32,
    /// As `map_flags`.
    pub flags: u32,
}

impl Kind {
    pub const HASH: u32 = 1;
    pub const ARRAY: u32 = 2;
    pub const NO_PREALLOC: u32 = 1;
}

/// A map of the kernel.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    kind: Kind,
}

fn bpf<T>(command: libc::c_int, attributes: &mut T) -> io::Result<libc::c_int> {
    // SAFETY: all structures used here are repr(C), without padding, and hold addresses of live buffers at most (see each);
    // the kernel takes shorter attributes than its own for zeros behind them.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    check(result as libc::c_int)
}

fn named(name: &str) -> [u8; NAME] {
    let mut octets = [0; NAME];
    for (to, from) in octets[..NAME - 1].iter_mut().zip(name.bytes()) {
        *to = from;
    }
    octets
}

fn address<T: ?Sized>(value: &T) -> u64 {
    (&raw const *value).cast::<u8>() as u64
}

fn address_mut<T: ?Sized>(value: &mut T) -> u64 {
    (&raw mut *value).cast::<u8>() as u64
}

#[repr(C)]
#[derive(Default)]
struct Entry {
    map: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

impl Map {
    pub fn create(name: &str, kind: Kind) -> io::Result<Self> {
        #[repr(C)]
        struct Create {
            kind: u32,
            key: u32,
            value: u32,
            entries: u32,
            flags: u32,
            inner: u32,
            node: u32,
            name: [u8; NAME],
        }
        let mut create = Create {
            kind: kind.kind,
            key: kind.key as u32,
            value: kind.value as u32,
            entries: kind.entries,
            flags: kind.flags,
            inner: 0,
            node: 0,
            name: named(name),
        };
        let fd = owned(bpf(MAP_CREATE, &mut create)?)?;
        Ok(Self { fd, kind })
    }

    /// The map that was pinned at `path`. It must be of this kind.
    pub fn open(path: &Path, kind: Kind) -> io::Result<Self> {
        let fd = open_pinned(path)?;
        #[repr(C)]
        #[derive(Default)]
        struct Info {
            kind: u32,
            id: u32,
            key: u32,
            value: u32,
            entries: u32,
            flags: u32,
        }
        let mut info = Info::default();
        #[repr(C)]
        struct Ask {
            fd: u32,
            length: u32,
            info: u64,
        }
        let mut ask = Ask {
            fd: fd.as_raw_fd() as u32,
            length: size_of::<Info>() as u32,
            info: address_mut(&mut info),
        };
        // The kernel writes no more than `length` octets to `info`. Of anything else than a map it tells other facts, which
        // will hardly agree, and the use of it as a map fails.
        bpf(OBJ_INFO, &mut ask)?;
        let found = Kind {
            kind: info.kind,
            key: info.key as usize,
            value: info.value as usize,
            entries: info.entries,
            flags: info.flags & Kind::NO_PREALLOC,
        };
        if found != kind {
            let reason = format!("{} was made by another version of this program", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        Ok(Self { fd, kind })
    }

    pub fn pin(&self, path: &Path) -> io::Result<()> {
        pin(&self.fd, path)
    }

    fn entry(&self, key: &[u8], value: u64, flags: u64) -> io::Result<Entry> {
        if key.len() != self.kind.key {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Entry {
            map: self.fd.as_raw_fd() as u32,
            pad: 0,
            key: address(key),
            value,
            flags,
        })
    }

    /// Read a value; `NotFound` when there is none.
    pub fn lookup(&self, key: &[u8], value: &mut [u8]) -> io::Result<()> {
        self.fetch(MAP_LOOKUP, key, value)
    }

    /// Read a value and delete it.
    pub fn take(&self, key: &[u8], value: &mut [u8]) -> io::Result<()> {
        self.fetch(MAP_LOOKUP_AND_DELETE, key, value)
    }

    fn fetch(&self, command: libc::c_int, key: &[u8], value: &mut [u8]) -> io::Result<()> {
        if value.len() != self.kind.value {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut entry = self.entry(key, address_mut(value), 0)?;
        bpf(command, &mut entry).map(drop)
    }

    /// Write a value. `new`: only if there is none.
    pub fn update(&self, key: &[u8], value: &[u8], new: bool) -> io::Result<()> {
        if value.len() != self.kind.value {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut entry = self.entry(key, address(value), u64::from(new))?;
        bpf(MAP_UPDATE, &mut entry).map(drop)
    }

    pub fn delete(&self, key: &[u8]) -> io::Result<()> {
        let mut entry = self.entry(key, 0, 0)?;
        bpf(MAP_DELETE, &mut entry).map(drop)
    }

    /// Any key; `NotFound` when there is none.
    pub fn first_key(&self, key: &mut [u8]) -> io::Result<()> {
        if key.len() != self.kind.key {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut entry = Entry {
            map: self.fd.as_raw_fd() as u32,
            value: address_mut(key),
            ..Entry::default()
        };
        bpf(MAP_NEXT_KEY, &mut entry).map(drop)
    }

    pub fn number(&self) -> i32 {
        self.fd.as_raw_fd()
    }
}

#[repr(C)]
struct Pinned {
    path: u64,
    fd: u32,
    flags: u32,
}

fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

/// Keep what `fd` is of, a map or a link, under a name in a bpf file system.
pub fn pin(fd: &impl AsRawFd, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    let mut pinned = Pinned {
        path: path.as_ptr() as u64,
        fd: fd.as_raw_fd() as u32,
        flags: 0,
    };
    bpf(OBJ_PIN, &mut pinned).map(drop)
}

fn open_pinned(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let mut pinned = Pinned {
        path: path.as_ptr() as u64,
        fd: 0,
        flags: 0,
    };
    owned(bpf(OBJ_GET, &mut pinned)?)
}

/// Load a program for packets at an interface. `code`: whole instructions. The error carries what the verifier says.
pub fn load(name: &str, code: &[u8], license: &str) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Load {
        kind: u32,
        instructions: u32,
        code: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log: u64,
        kernel_version: u32,
        flags: u32,
        name: [u8; NAME],
    }
    let license = CString::new(license)?;
    let mut text = vec![0_u8; 1 << 20];
    let mut attempt = |level: u32| {
        let mut load = Load {
            kind: PROG_TYPE_SCHED_CLS,
            instructions: (code.len() / 8) as u32,
            code: address(code),
            license: license.as_ptr() as u64,
            log_level: level,
            log_size: if level == 0 { 0 } else { text.len() as u32 },
            log: if level == 0 { 0 } else { address_mut(&mut text[..]) },
            kernel_version: 0,
            flags: 0,
            name: named(name),
        };
        bpf(PROG_LOAD, &mut load)
    };
    // The log is asked for only after a refusal: where it does not fit, loading would fail for that.
    match attempt(0) {
        Ok(fd) => owned(fd),
        Err(error) => {
            let _ = attempt(1);
            let end = text.iter().position(|&octet| octet == 0).unwrap_or(0);
            let said = String::from_utf8_lossy(&text[..end]);
            let last: Vec<&str> = said.lines().rev().take(4).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            Err(io::Error::new(error.kind(), format!("{error}; {}", last.join(" / "))))
        }
    }
}

/// Have a program see what comes in at an interface, until the link is closed and not pinned. Wants Linux 6.6.
pub fn attach(program: &OwnedFd, interface: u32) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Link {
        program: u32,
        interface: u32,
        kind: u32,
        flags: u32,
        relative: u32,
        pad: u32,
        revision: u64,
    }
    let mut link = Link {
        program: program.as_raw_fd() as u32,
        interface,
        kind: TCX_INGRESS,
        flags: 0,
        relative: 0,
        pad: 0,
        revision: 0,
    };
    owned(bpf(LINK_CREATE, &mut link)?)
}

/// End what the link that was pinned at `path` attached. Unpinned only, it goes on for as long as the kernel takes to clear up.
pub fn detach(path: &Path) -> io::Result<()> {
    let link = open_pinned(path)?;
    let mut number = link.as_raw_fd() as u32;
    bpf(LINK_DETACH, &mut number).map(drop)
}

/// Run a program on a frame that came in at interface `interface`: what it gives, and what it made of the frame.
#[cfg(test)]
pub fn run(program: &OwnedFd, frame: &[u8], context: &[u8]) -> io::Result<(i32, Vec<u8>)> {
    #[repr(C)]
    struct Run {
        program: u32,
        result: u32,
        size_in: u32,
        size_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
        context_in_size: u32,
        context_out_size: u32,
        context_in: u64,
        context_out: u64,
    }
    let mut out = vec![0; frame.len() + 256];
    let mut run = Run {
        program: program.as_raw_fd() as u32,
        result: 0,
        size_in: frame.len() as u32,
        size_out: out.len() as u32,
        data_in: address(frame),
        data_out: address_mut(&mut out[..]),
        repeat: 1,
        duration: 0,
        context_in_size: context.len() as u32,
        context_out_size: 0,
        context_in: if context.is_empty() { 0 } else { address(context) },
        context_out: 0,
    };
    bpf(PROG_TEST_RUN, &mut run)?;
    out.truncate(run.size_out as usize);
    Ok((run.result as i32, out))
}

/// What else preparing wants.
pub mod mounts {
    use super::*;

    const BPF_FS_MAGIC: i64 = 0xCAFE_4A11;

    /// Whether `directory` lies in a bpf file system.
    pub fn is_bpf(directory: &Path) -> io::Result<bool> {
        let path = c_path(directory)?;
        // SAFETY: all-zero is a valid statfs, filled by the call.
        let found = unsafe {
            let mut found: libc::statfs = std::mem::zeroed();
            check(libc::statfs(path.as_ptr(), &raw mut found))?;
            found
        };
        Ok(found.f_type as i64 == BPF_FS_MAGIC)
    }

    /// Mount a bpf file system of its own, readable by root until told otherwise.
    pub fn mount(directory: &Path) -> io::Result<()> {
        let path = c_path(directory)?;
        let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        // SAFETY: strings that end with 0.
        check(unsafe {
            libc::mount(
                c"bpf".as_ptr(),
                path.as_ptr(),
                c"bpf".as_ptr(),
                flags,
                c"mode=0750".as_ptr().cast(),
            )
        })
        .map(drop)
    }

    pub fn unmount(directory: &Path) -> io::Result<()> {
        let path = c_path(directory)?;
        // SAFETY: a string that ends with 0.
        check(unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) }).map(drop)
    }

    /// The number of an interface.
    pub fn interface(name: &str) -> io::Result<u32> {
        let name = CString::new(name)?;
        // SAFETY: a string that ends with 0.
        match unsafe { libc::if_nametoindex(name.as_ptr()) } {
            0 => Err(io::Error::last_os_error()),
            number => Ok(number),
        }
    }

    /// User and group of an account.
    pub fn account(name: &str) -> io::Result<(u32, u32)> {
        let name = CString::new(name)?;
        let mut text = [0 as libc::c_char; 4096];
        // SAFETY: all-zero is a valid passwd; the strings that it may point to lie in `text`, and are not looked at.
        unsafe {
            let mut entry: libc::passwd = std::mem::zeroed();
            let mut found = std::ptr::null_mut();
            let result = libc::getpwnam_r(
                name.as_ptr(),
                &raw mut entry,
                text.as_mut_ptr(),
                size_of_val(&text),
                &raw mut found,
            );
            match (result, found.is_null()) {
                (0, false) => Ok((entry.pw_uid, entry.pw_gid)),
                (0, true) => Err(io::Error::new(io::ErrorKind::NotFound, "no such account")),
                (error, _) => Err(io::Error::from_raw_os_error(error)),
            }
        }
    }
}

/// Take this thread away from the machine's network, and from its mounts if asked, into its own. Gives the thread's number.
#[cfg(test)]
pub fn leave(mounts: bool) -> io::Result<libc::pid_t> {
    let root = c"/".as_ptr();
    // SAFETY: strings that end with 0. Mounts made from here on are not seen elsewhere.
    unsafe {
        check(libc::unshare(libc::CLONE_NEWNET))?;
        if mounts {
            check(libc::unshare(libc::CLONE_NEWNS))?;
            let flags = libc::MS_REC | libc::MS_PRIVATE;
            check(libc::mount(
                std::ptr::null(),
                root,
                std::ptr::null(),
                flags,
                std::ptr::null(),
            ))?;
        }
        Ok(libc::gettid())
    }
}

/// Hears all UDP of this network, with the headers.
#[cfg(test)]
pub fn listen_raw() -> io::Result<std::net::UdpSocket> {
    // SAFETY: no pointers.
    owned(unsafe { libc::socket(libc::AF_INET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::IPPROTO_UDP) })
        .map(Into::into)
}

/// CLOCK_MONOTONIC, by which the program goes.
pub fn monotonic_ns() -> u64 {
    // SAFETY: all-zero is a valid timespec, filled by the call, which cannot fail for this clock.
    unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time);
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }
}
