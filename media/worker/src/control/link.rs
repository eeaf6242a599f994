//! One connection on the control socket: frames in, frames out, never blocking.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use crate::protocol::{FrameReader, Oversize};

/// What may wait for a controller that does not read. One that is so far behind has lost its way; it is dropped, connects
/// again and asks for a listing.
const MAX_WAITING: usize = 8 << 20;

/// See the module.
#[derive(Debug)]
pub struct Link {
    pub socket: UnixStream,
    reader: FrameReader,
    waiting: Vec<u8>,
    /// Whether the loop is asked to say when there is room to write.
    pub awaits_room: bool,
}

impl Link {
    pub fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            reader: FrameReader::default(),
            waiting: Vec::new(),
            awaits_room: false,
        })
    }

    /// Read what there is, at most 64 KiB. False when the other side has closed.
    pub fn fill(&mut self) -> io::Result<bool> {
        let mut octets = [0; 1 << 16];
        match self.socket.read(&mut octets) {
            Ok(0) => Ok(false),
            Ok(length) => {
                self.reader.push(&octets[..length]);
                Ok(true)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The next whole frame.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, Oversize> {
        Ok(self.reader.next_frame()?.map(<[u8]>::to_vec))
    }

    /// Queue a frame and send what can be sent. An error means that the connection is of no use any more.
    pub fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        if self.waiting.len() + frame.len() > MAX_WAITING {
            return Err(io::Error::new(ErrorKind::StorageFull, "the controller does not read"));
        }
        self.waiting.extend_from_slice(frame);
        if self.awaits_room {
            return Ok(());
        }
        self.flush()
    }

    /// Send what waits, as far as there is room.
    pub fn flush(&mut self) -> io::Result<()> {
        let mut sent = 0;
        let result = loop {
            if sent == self.waiting.len() {
                break Ok(());
            }
            match self.socket.write(&self.waiting[sent..]) {
                Ok(0) => break Err(ErrorKind::WriteZero.into()),
                Ok(length) => sent += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.waiting.drain(..sent);
        result
    }

    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_that_does_not_read_is_given_up() {
        let (ours, _theirs) = UnixStream::pair().expect("a pair");
        let mut link = Link::new(ours).expect("a link");
        let frame = vec![0; 1 << 20];
        let sent = (0..20).take_while(|_| link.send(&frame).is_ok()).count();
        assert!((8..10).contains(&sent), "{sent}");
        assert!(link.has_waiting());
    }
}
