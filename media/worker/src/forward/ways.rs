//! By which interfaces the packets of flows leave. The program does not ask the routing table: whom the host does not
//! forward for, it would tell nothing. So user space asks, writes the answer beside the flows, and asks again when routes change.
//! Without an answer the program leaves the packets to user space.

use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;

use super::layout::WAY;
use crate::sys::bpf::Map;
use crate::sys::routes::Routes;

pub type Way = [u8; WAY];

/// The ways of all flows, and how many flows go by each.
#[derive(Debug)]
pub struct Ways {
    routes: Routes,
    used: HashMap<Way, Used>,
}

#[derive(Debug)]
struct Used {
    flows: u32,
    interface: Option<u32>,
}

impl Ways {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            routes: Routes::new()?,
            used: HashMap::new(),
        })
    }

    /// One more flow goes by `way`. False when no interface leads there.
    pub fn hold(&mut self, map: &Map, way: Way) -> io::Result<bool> {
        if let Some(used) = self.used.get_mut(&way) {
            used.flows += 1;
            return Ok(used.interface.is_some());
        }
        let interface = ask(&mut self.routes, way);
        write(map, way, interface)?;
        self.used.insert(way, Used { flows: 1, interface });
        Ok(interface.is_some())
    }

    /// One flow less goes by `way`.
    pub fn release(&mut self, map: &Map, way: Way) {
        let Some(used) = self.used.get_mut(&way) else {
            return;
        };
        used.flows -= 1;
        if used.flows == 0 {
            self.used.remove(&way);
            let _ = map.delete(&way);
        }
    }

    /// All by which flows go.
    pub fn used(&self) -> Vec<Way> {
        self.used.keys().copied().collect()
    }

    /// Routes have changed: so they are now, as `routes` has told, which is asked from here on.
    pub fn lead(&mut self, map: &Map, routes: Routes, answers: Vec<(Way, Option<u32>)>) {
        self.routes = routes;
        for (way, interface) in answers {
            let Some(used) = self.used.get_mut(&way) else {
                continue; // its last flow has ended meanwhile
            };
            if interface != used.interface && write(map, way, interface).is_ok() {
                used.interface = interface;
            }
        }
    }

    /// The maps are others now, and empty.
    pub fn clear(&mut self) {
        self.used.clear();
    }
}

/// The interface by which the routes say that `way` leads.
pub fn ask(routes: &mut Routes, way: Way) -> Option<u32> {
    let [a, b, c, d, e, f, g, h] = way;
    routes.way(Ipv4Addr::new(a, b, c, d), Ipv4Addr::new(e, f, g, h))
}

/// 0 = none: the program takes it for that, too.
fn write(map: &Map, way: Way, interface: Option<u32>) -> io::Result<()> {
    map.update(&way, &interface.unwrap_or(0).to_ne_bytes(), false)
}
