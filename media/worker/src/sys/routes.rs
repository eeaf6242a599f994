//! What the kernel's tables say: by which interface a packet leaves (rtnetlink). Wants no rights.

use std::collections::HashMap;
use std::io;
use std::mem::{size_of, zeroed};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use super::{check, owned};

const HEADER: usize = 16;
const ROUTE: usize = 12;
const ATTRIBUTE: usize = 4;
/// Types of devices whose frames begin with an Ethernet header.
const ETHERNET: u16 = libc::ARPHRD_ETHER;
const LOOPBACK: u16 = libc::ARPHRD_LOOPBACK;

/// A socket to ask with, and what it was told of the interfaces. One that is kept while they change tells of those before.
#[derive(Debug)]
pub struct Routes {
    socket: OwnedFd,
    /// Whether an interface has Ethernet frames. The kernel answers that only when nobody else changes the network.
    ethernet: HashMap<u32, bool>,
}

/// Tells that routes, addresses, rules or interfaces have changed.
#[derive(Debug)]
pub struct Changes(OwnedFd);

fn netlink(groups: u32) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers.
    let fd = owned(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) })?;
    // SAFETY: all-zero is a valid sockaddr_nl; its size is given.
    unsafe {
        let mut address: libc::sockaddr_nl = zeroed();
        address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
        address.nl_groups = groups;
        let length = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
        check(libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length))?;
    }
    Ok(fd)
}

impl Routes {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            socket: netlink(0)?,
            ethernet: HashMap::new(),
        })
    }

    /// The interface by which a packet between two addresses leaves this host, if that is one with Ethernet frames.
    pub fn way(&mut self, source: Ipv4Addr, destination: Ipv4Addr) -> Option<u32> {
        let mut body = vec![libc::AF_INET as u8, 32, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for (kind, address) in [(libc::RTA_DST, destination), (libc::RTA_SRC, source)] {
            body.extend(8_u16.to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(address.octets());
        }
        let answer = self.ask(libc::RTM_GETROUTE, &body, libc::RTM_NEWROUTE).ok()?;
        let kind = *answer.get(7)?;
        if kind != libc::RTN_UNICAST && kind != libc::RTN_LOCAL {
            return None;
        }
        let interface = attribute(answer.get(ROUTE..)?, libc::RTA_OIF)?;
        let interface = u32::from_ne_bytes(interface.try_into().ok()?);
        self.is_ethernet(interface).then_some(interface)
    }

    /// Whether frames of an interface begin with an Ethernet header.
    pub fn is_ethernet(&mut self, interface: u32) -> bool {
        if let Some(&known) = self.ethernet.get(&interface) {
            return known;
        }
        let mut body = vec![0; 16];
        body[4..8].copy_from_slice(&interface.to_ne_bytes());
        let Ok(answer) = self.ask(libc::RTM_GETLINK, &body, libc::RTM_NEWLINK) else {
            return false;
        };
        let kind = answer
            .get(2..4)
            .map(|octets| u16::from_ne_bytes([octets[0], octets[1]]));
        let found = kind == Some(ETHERNET) || kind == Some(LOOPBACK);
        self.ethernet.insert(interface, found);
        found
    }

    /// One question, one answer: its body.
    fn ask(&mut self, question: u16, body: &[u8], answer: u16) -> io::Result<Vec<u8>> {
        let mut message = Vec::with_capacity(HEADER + body.len());
        message.extend(((HEADER + body.len()) as u32).to_ne_bytes());
        message.extend(question.to_ne_bytes());
        message.extend((libc::NLM_F_REQUEST as u16).to_ne_bytes());
        message.extend([0; 8]);
        message.extend(body);
        // SAFETY: pointer and length describe `message`.
        let sent = unsafe { libc::send(self.socket.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) };
        check(sent as libc::c_int)?;
        let mut reply = vec![0; 16384];
        // SAFETY: pointer and length describe `reply`. The kernel answers within the call above.
        let length = unsafe {
            libc::recv(
                self.socket.as_raw_fd(),
                reply.as_mut_ptr().cast(),
                reply.len(),
                libc::MSG_DONTWAIT,
            )
        };
        reply.truncate(check(length as libc::c_int)? as usize);
        let kind = reply.get(4..6).map(|octets| u16::from_ne_bytes([octets[0], octets[1]]));
        if kind != Some(answer) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(reply.split_off(HEADER))
    }
}

/// The value of an attribute.
fn attribute(mut rest: &[u8], wanted: u16) -> Option<&[u8]> {
    while let Some(&[a, b, c, d]) = rest.get(..ATTRIBUTE) {
        let (length, kind) = (usize::from(u16::from_ne_bytes([a, b])), u16::from_ne_bytes([c, d]));
        let value = rest.get(ATTRIBUTE..length)?;
        if kind == wanted {
            return Some(value);
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

impl Changes {
    pub fn new() -> io::Result<Self> {
        let groups = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV4_ROUTE | libc::RTMGRP_IPV4_RULE;
        netlink(groups as u32).map(Self)
    }

    /// Wait so long at most. Whether something has changed.
    pub fn wait(&mut self, timeout_ms: i32) -> bool {
        let mut poll = libc::pollfd {
            fd: self.0.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one pollfd.
        if unsafe { libc::poll(&raw mut poll, 1, timeout_ms) } <= 0 {
            return false;
        }
        let mut waste = [0_u8; 8192];
        // SAFETY: pointer and length describe `waste`. An overrun of the queue (-1) is a change too, and clears itself.
        while unsafe {
            libc::recv(
                self.0.as_raw_fd(),
                waste.as_mut_ptr().cast(),
                waste.len(),
                libc::MSG_DONTWAIT,
            )
        } > 0
        {}
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_this_host_itself_leaves_by_its_loopback() {
        let mut routes = Routes::new().expect("a socket");
        let lo = super::super::bpf::mounts::interface("lo").expect("an interface");
        let (one, other) = (Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 2));
        assert_eq!(routes.way(one, other), Some(lo));
        // A source that is not ours, and a network that nobody is in.
        assert_eq!(routes.way(Ipv4Addr::new(192, 0, 2, 1), other), None);
        assert_eq!(routes.way(one, Ipv4Addr::new(240, 0, 0, 1)), None);
    }

    #[test]
    fn attributes_end_where_they_say() {
        let list = [5, 0, 1, 0, 9, 0, 0, 0, 8, 0, 4, 0, 1, 2, 3, 4];
        assert_eq!(attribute(&list, 4), Some(&[1, 2, 3, 4][..]));
        assert_eq!(attribute(&list, 1), Some(&[9][..]));
        assert_eq!(attribute(&list[..14], 4), None);
        assert_eq!(attribute(&[0, 0, 9, 0, 0, 0, 0, 0], 4), None);
    }
}
