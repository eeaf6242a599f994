//! The pinned maps in the hands of one worker.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::layout;
use crate::sys;
use crate::sys::bpf::{self, Map};

/// How long flows outlive the worker that gave them, in nanoseconds.
const LEASE: u64 = 1_000_000_000;

/// See the module.
#[derive(Debug)]
pub struct Maps {
    pub flows: Map,
    pub ways: Map,
    lease: Map,
    /// Locked: the directory is one worker's at a time.
    _directory: File,
    flows_at: PathBuf,
    identity: (u64, u64),
}

impl Maps {
    /// Open what was pinned in `directory`, and begin with nothing in it. The error says what to do.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let advised = |error: io::Error, advice: &str| {
            io::Error::new(error.kind(), format!("{}: {error}; {advice}", directory.display()))
        };
        let prepare = "run `dialplane-media forward` as root, with --user for the account of this worker";
        let file = File::open(directory).map_err(|error| advised(error, prepare))?;
        sys::lock_exclusive(&file)
            .map_err(|_| io::Error::other(format!("{}: another worker forwards there", directory.display())))?;
        let open = |name: &str, kind| {
            let path = directory.join(layout::file(name));
            Map::open(&path, kind).map_err(|error| advised(error, prepare))
        };
        let flows_at = directory.join(layout::file("flows"));
        let maps = Self {
            flows: open("flows", layout::FLOWS)?,
            ways: open("ways", layout::WAYS)?,
            lease: open("lease", layout::LEASE)?,
            _directory: file,
            identity: identity(&flows_at)?,
            flows_at,
        };
        empty(&maps.flows, &mut [0; layout::KEY])?;
        empty(&maps.ways, &mut [0; layout::WAY])?;
        maps.renew()?;
        Ok(maps)
    }

    /// Whether they are still what is pinned.
    pub fn are_pinned(&self) -> bool {
        identity(&self.flows_at).is_ok_and(|identity| identity == self.identity)
    }

    /// Stand by the flows for another while.
    pub fn renew(&self) -> io::Result<()> {
        self.stand_until(bpf::monotonic_ns() + LEASE)
    }

    /// The flows end.
    pub fn release(&self) {
        // Should it fail: the lease ends by itself.
        let _ = self.stand_until(0);
    }

    fn stand_until(&self, until: u64) -> io::Result<()> {
        self.lease.update(&[0; 4], &until.to_ne_bytes(), false)
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

fn empty(map: &Map, key: &mut [u8]) -> io::Result<()> {
    while map.first_key(key).is_ok() {
        map.delete(key)?;
    }
    Ok(())
}
