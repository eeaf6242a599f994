//! The listening socket: one living process per path, and for our user only.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::sys;

/// A bound socket; dropping it removes the path.
#[derive(Debug)]
pub struct ControlSocket {
    pub listener: UnixListener,
    path: PathBuf,
    /// Held for as long as we live, so that two that start at once do not both find the path free.
    _lock: File,
}

impl ControlSocket {
    /// Listen at `path`, mode 0600. A socket left behind by a process that is gone is replaced; one that is served is not.
    pub fn bind(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|error| format!("{}: {error}", Path::new(&lock_path).display()))?;
        sys::lock_exclusive(&lock).map_err(|_| format!("{shown}: another worker serves this socket"))?;
        match UnixStream::connect(path) {
            Ok(_) => return Err(format!("{shown}: another program serves this socket")),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).map_err(|error| format!("{shown}: {error}"))?;
            }
            Err(error) => return Err(format!("{shown}: {error}")),
        }
        let mask = sys::set_umask(0o177);
        let listener = UnixListener::bind(path);
        sys::set_umask(mask);
        let listener = listener.map_err(|error| format!("{shown}: {error}"))?;
        listener
            .set_nonblocking(true)
            .map_err(|error| format!("{shown}: {error}"))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            _lock: lock,
        })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Someone may have tidied up before us.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_served_socket_is_left_alone_and_a_stale_one_replaced() {
        let folder = std::env::temp_dir().join(format!("dialplane-socket-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("socket");
        let first = ControlSocket::bind(&path).expect("free");
        assert_eq!(path.metadata().expect("there").permissions().mode() & 0o777, 0o600);
        assert!(ControlSocket::bind(&path)
            .expect_err("served")
            .contains("another worker"));
        drop(first);
        assert!(!path.exists());
        let stale = UnixListener::bind(&path).expect("bind");
        assert!(ControlSocket::bind(&path)
            .expect_err("served")
            .contains("another program"));
        drop(stale);
        assert!(path.exists());
        drop(ControlSocket::bind(&path).expect("stale"));
        std::fs::remove_dir_all(&folder).expect("ours");
    }
}
