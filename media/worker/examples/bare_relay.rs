//! The least that a relay in user space can do, as the measure for the worker: one thread, one epoll set, one receive and
//! one send per packet, connected sockets, nothing of the packet looked at.
//!
//!     bare_relay CALLS ADDRESS FIRST_PORT
//!
//! Call i joins FIRST_PORT + 4*i with FIRST_PORT + 4*i + 2; each side connects to the first source that it hears.

use std::net::{SocketAddr, UdpSocket};

use dialplane_media::sys::{raise_descriptor_limit, Epoll, Ready};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, calls, address, first] = &arguments[..] else {
        return Err("bare_relay CALLS ADDRESS FIRST_PORT".into());
    };
    let (calls, first): (usize, u16) = (calls.parse()?, first.parse()?);
    raise_descriptor_limit();
    let epoll = Epoll::new()?;
    let mut sockets = Vec::new();
    for index in 0..2 * calls {
        let at = SocketAddr::new(address.parse()?, first + 2 * index as u16);
        let socket = UdpSocket::bind(at)?;
        socket.set_nonblocking(true)?;
        epoll.add(&socket, index as u64)?;
        sockets.push(socket);
    }
    println!("ready");
    let mut connected = vec![false; sockets.len()];
    let mut ready = [Ready::EMPTY; 1024];
    let mut packet = [0; 2048];
    loop {
        for one in epoll.wait(&mut ready, -1) {
            let index = one.token() as usize;
            if !connected[index] {
                if let Ok((_, from)) = sockets[index].recv_from(&mut packet) {
                    sockets[index].connect(from)?;
                    connected[index] = true;
                }
            } else if let Ok(length) = sockets[index].recv(&mut packet) {
                if connected[index ^ 1] {
                    // What cannot be sent is lost, as on any network.
                    let _ = sockets[index ^ 1].send(&packet[..length]);
                }
            }
        }
    }
}
