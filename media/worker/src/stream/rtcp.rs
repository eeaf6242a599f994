//! The RTCP of one stream: what comes, what goes, and where to.

use std::io;
use std::net::SocketAddr;

use super::{Stream, Turn};
use crate::rtp;
use crate::rtp::latch::Latch;
use crate::rtp::rtcp::{self, Block, Compound, MAX_BUILT};
use crate::session::Session;
use crate::srtp::MAX_TRAILER;

impl Stream {
    /// Take in an RTCP packet that came from `from`.
    pub fn hear_rtcp(&mut self, datagram: &mut [u8], from: SocketAddr, turn: &Turn) {
        let Some(session) = self.session.as_ref() else {
            return;
        };
        let known = session.remote_rtcp == Some(from) || self.reports.from == Some(from);
        // A NAT gives RTCP a port of its own: the first one from the peer's address is taken, and the newest one as long as
        // the latch is open, for the NAT may have given it another since.
        let learns = |latch: &Latch| {
            let open = self.reports.from.is_none() || !latch.is_settled(turn.now);
            open && latch.peer().ip() == from.ip()
        };
        let plausible = self.inbound.latch.as_ref().is_some_and(learns);
        if !known && !plausible {
            return self.note_stranger(from, &turn.outbox);
        }
        let rate_hz = session.clock_rate_hz();
        let pauses = session.pauses;
        if !self.allow(!known, turn) || rtp::is_stun(datagram) {
            return;
        }
        let Some(length) = self.unprotect_rtcp(datagram, turn.now) else {
            return;
        };
        let datagram = &datagram[..length];
        let gauge = &mut self.gauge;
        let tell = |block: &Block| {
            if let Some(gauge) = gauge.as_mut() {
                gauge.reported(block, rate_hz);
            }
        };
        if self
            .reports
            .hear(datagram, self.outbound.sending.ssrc, turn.now, &turn.clock, tell)
        {
            self.read_measurements(datagram);
            self.reports.from = Some(from);
            // Who may pause and still reports is no dead peer.
            if pauses {
                self.inbound.end_silence(turn.now);
            }
            if let Some(speaking) = self.outbound.speaking.as_mut() {
                speaking.expect_loss(self.reports.remote_loss_percent);
            }
        } else {
            self.counts.malformed += 1;
        }
    }

    /// Send a report to the peer; the last one says goodbye.
    pub fn report(&mut self, goodbye: bool, turn: &Turn) {
        let Some(session) = self.session.as_ref() else {
            return;
        };
        let rate_hz = session.clock_rate_hz();
        let Some(facts) = self.reports.facts(
            &self.outbound.sending,
            &mut self.inbound.reception,
            rate_hz,
            turn.now,
            &turn.clock,
        ) else {
            return;
        };
        let mut octets = [0; MAX_BUILT + MAX_TRAILER];
        let compound = Compound {
            ssrc: self.outbound.sending.ssrc,
            sender: facts.sender,
            report: facts.report,
            name: &turn.cname,
            goodbye,
        };
        let Some(room) = octets.first_chunk_mut() else {
            return;
        };
        let length = rtcp::build(&compound, room);
        if let Some(length) = self.protect_rtcp(&mut octets, length) {
            // What cannot be sent now is said again in the next report.
            let _ = self.send_report(&octets[..length]);
        }
    }

    fn send_report(&self, report: &[u8]) -> io::Result<usize> {
        let Some(session) = self.session.as_ref() else {
            return Ok(0);
        };
        if session.rtcp_mux {
            match (&self.sockets.peer, self.remote()) {
                (Some(peer), _) => peer.send(report),
                (None, Some(remote)) => self.sockets.any.send_to(report, remote),
                (None, None) => Ok(0),
            }
        } else {
            match self.rtcp_remote(session) {
                Some(remote) => self.sockets.rtcp.send_to(report, remote),
                None => Ok(0),
            }
        }
    }

    /// Where reports go: where the peer's came from; else as signalled, unless the latch says that the peer is elsewhere.
    fn rtcp_remote(&self, session: &Session) -> Option<SocketAddr> {
        let remote = self.remote()?;
        self.reports.from.or_else(|| {
            if session.remote == Some(remote) {
                session.remote_rtcp
            } else {
                remote
                    .port()
                    .checked_add(1)
                    .map(|port| SocketAddr::new(remote.ip(), port))
            }
        })
    }
}
