//! The least that a relay in user space can do, as the measure for the worker: one thread, connected sockets, nothing of
//! the packet looked at. With epoll, one receive and one send per packet; or on the worker's own ring.
//!
//!     bare_relay CALLS ADDRESS FIRST_PORT epoll|uring
//!
//! Call i joins FIRST_PORT + 4*i with FIRST_PORT + 4*i + 2; each side connects to the first source that it hears.

use std::error::Error;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use dialplane_media::net::{Arrival, Io, Net};
use dialplane_media::sys::{raise_descriptor_limit, Epoll, Ready};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, calls, address, first, way] = &arguments[..] else {
        return Err("bare_relay CALLS ADDRESS FIRST_PORT epoll|uring".into());
    };
    let (calls, first): (usize, u16) = (calls.parse()?, first.parse()?);
    raise_descriptor_limit();
    let mut sockets = Vec::new();
    for index in 0..2 * calls {
        let socket = bind(SocketAddr::new(address.parse()?, first + 2 * index as u16))?;
        socket.set_nonblocking(true)?;
        sockets.push(socket);
    }
    match way.as_str() {
        "epoll" => with_epoll(&sockets),
        "uring" => with_uring(&sockets),
        other => Err(format!("no way {other:?}").into()),
    }
}

/// A ring gives its sockets back a moment after the process before us has ended.
fn bind(address: SocketAddr) -> std::io::Result<UdpSocket> {
    for _ in 0..100 {
        match UdpSocket::bind(address) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => std::thread::sleep(Duration::from_millis(20)),
            other => return other,
        }
    }
    UdpSocket::bind(address)
}

fn with_epoll(sockets: &[UdpSocket]) -> Result<(), Box<dyn Error>> {
    let epoll = Epoll::new()?;
    for (index, socket) in sockets.iter().enumerate() {
        epoll.add(socket, index as u64)?;
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

fn with_uring(sockets: &[UdpSocket]) -> Result<(), Box<dyn Error>> {
    let mut net = Net::new(Io::Uring)?;
    net.start()?;
    for (index, socket) in sockets.iter().enumerate() {
        net.watch(socket, index as u64)?;
    }
    println!("ready");
    let mut connected = vec![false; sockets.len()];
    let mut packet = [0; 2048];
    loop {
        net.wait(-1);
        while let Some(arrival) = net.take() {
            let Arrival::Waiting { token } = arrival else {
                continue;
            };
            let index = token as usize;
            if !connected[index] {
                if let Ok((_, from)) = sockets[index].recv_from(&mut packet) {
                    sockets[index].connect(from)?;
                    connected[index] = true;
                    net.forget(&sockets[index]);
                    net.watch_datagrams(&sockets[index], token)?;
                }
            } else if let Some(length) = net.receive(&sockets[index], &mut packet) {
                if connected[index ^ 1] {
                    net.send(&sockets[index ^ 1], &packet[..length]);
                }
            }
        }
    }
}
