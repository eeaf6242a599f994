//! The last RTP port that was given out, kept beside the socket over the life of this process.
//!
//! When server and worker die together, phones are not told and go on sending to the ports that they know. A worker that is
//! started then begins behind them, so they rest as long as the range lasts.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::log;

pub struct LastPort {
    /// None: it could not be kept, which costs no call.
    file: Option<File>,
    /// Of the run before.
    pub before: Option<u16>,
}

impl LastPort {
    /// The file beside `socket`, made when there is none.
    pub fn open(socket: &Path) -> Self {
        let mut path = socket.as_os_str().to_owned();
        path.push(".ports");
        let path = PathBuf::from(path);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .inspect_err(|error| log::warning("last_port", &[("path", &path.display()), ("error", error)]))
            .ok();
        let mut port = [0; 2];
        let before = file
            .as_ref()
            .and_then(|file| file.read_exact_at(&mut port, 0).ok())
            .map(|()| u16::from_be_bytes(port));
        Self { file, before }
    }

    /// This port was given out.
    pub fn keep(&mut self, port: u16) {
        if let Some(file) = &self.file {
            if file.write_all_at(&port.to_be_bytes(), 0).is_err() {
                self.file = None; // a full disk: the next run begins anywhere
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_known_to_the_next_run() {
        let socket = std::env::temp_dir().join(format!("last-port-{}", std::process::id()));
        let path = socket.with_extension("ports");
        let mut first = LastPort::open(&socket);
        assert_eq!(first.before, None);
        first.keep(4000);
        first.keep(4002);
        assert_eq!(LastPort::open(&socket).before, Some(4002));
        std::fs::write(&path, [1]).expect("a file");
        assert_eq!(LastPort::open(&socket).before, None, "a file cut short says nothing");
        std::fs::remove_file(&path).expect("a file");
    }

    #[test]
    fn where_no_file_can_be_nothing_is_kept_and_nothing_fails() {
        let mut last = LastPort::open(Path::new("/proc/nothing/here"));
        last.keep(4000);
        assert_eq!(last.before, None);
    }
}
