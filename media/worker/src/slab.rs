//! Things under small numbers that are not given out again under the same handle, and such that have names too.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};

use crate::protocol::Name;

/// A place in a slab, and the how-manieth tenant of it: a handle of something that is gone finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle {
    pub index: u32,
    pub generation: u32,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<Box<T>>,
}

/// Values stay where they are in memory; finding one is two loads.
#[derive(Debug)]
pub struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slab<T> {
    pub fn insert(&mut self, value: Box<T>) -> Handle {
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.value = Some(value);
            return Handle {
                index,
                generation: slot.generation,
            };
        }
        let index = self.slots.len() as u32;
        self.slots.push(Slot {
            generation: 0,
            value: Some(value),
        });
        Handle { index, generation: 0 }
    }

    pub fn remove(&mut self, handle: Handle) -> Option<Box<T>> {
        let slot = self
            .slots
            .get_mut(handle.index as usize)
            .filter(|slot| slot.generation == handle.generation)?;
        let value = slot.value.take()?;
        // 30 bits, so that a handle fits into an epoll token beside a few flags.
        slot.generation = (slot.generation + 1) & 0x3FFF_FFFF;
        self.free.push(handle.index);
        Some(value)
    }

    /// Take a value out for a while; its place is kept for `put_back`.
    pub fn take(&mut self, handle: Handle) -> Option<Box<T>> {
        let slot = self.slots.get_mut(handle.index as usize)?;
        if slot.generation == handle.generation {
            slot.value.take()
        } else {
            None
        }
    }

    pub fn put_back(&mut self, handle: Handle, value: Box<T>) {
        if let Some(slot) = self.slots.get_mut(handle.index as usize) {
            slot.value = Some(value);
        }
    }

    pub fn get(&self, handle: Handle) -> Option<&T> {
        let slot = self.slots.get(handle.index as usize)?;
        if slot.generation == handle.generation {
            slot.value.as_deref()
        } else {
            None
        }
    }

    /// A value will be looked at soon: have it brought near.
    pub fn prefetch(&self, handle: Handle) {
        if let Some(value) = self.get(handle) {
            crate::sys::prefetch(value);
        }
    }

    pub fn get_mut(&mut self, handle: Handle) -> Option<&mut T> {
        let slot = self.slots.get_mut(handle.index as usize)?;
        if slot.generation == handle.generation {
            slot.value.as_deref_mut()
        } else {
            None
        }
    }

    /// Two different values at once.
    pub fn pair(&mut self, first: Handle, second: Handle) -> (Option<&mut T>, Option<&mut T>) {
        let (low, high) = (
            first.index.min(second.index) as usize,
            first.index.max(second.index) as usize,
        );
        if low == high || high >= self.slots.len() {
            return (self.get_mut(first), None);
        }
        let (before, after) = self.slots.split_at_mut(high);
        let (slot_low, slot_high) = (&mut before[low], &mut after[0]);
        let (slot_first, slot_second) = if first.index < second.index {
            (slot_low, slot_high)
        } else {
            (slot_high, slot_low)
        };
        let alive = (
            slot_first.generation == first.generation,
            slot_second.generation == second.generation,
        );
        (
            slot_first.value.as_deref_mut().filter(|_| alive.0),
            slot_second.value.as_deref_mut().filter(|_| alive.1),
        )
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Handle, &mut T)> {
        self.slots.iter_mut().enumerate().filter_map(|(index, slot)| {
            let generation = slot.generation;
            let handle = Handle {
                index: index as u32,
                generation,
            };
            slot.value.as_deref_mut().map(|value| (handle, value))
        })
    }

    pub fn is_empty(&self) -> bool {
        self.free.len() == self.slots.len()
    }
}

/// A slab whose values are known to the controller by name.
#[derive(Debug)]
pub struct Named<T> {
    slab: Slab<T>,
    handles: HashMap<Name, Handle>,
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self {
            slab: Slab::default(),
            handles: HashMap::new(),
        }
    }
}

impl<T> Named<T> {
    pub fn insert(&mut self, name: Name, value: Box<T>) -> Handle {
        let handle = self.slab.insert(value);
        self.handles.insert(name, handle);
        handle
    }

    pub fn handle(&self, name: &str) -> Option<Handle> {
        self.handles.get(name).copied()
    }

    pub fn named(&self, name: &str) -> Option<&T> {
        self.slab.get(self.handle(name)?)
    }

    pub fn named_mut(&mut self, name: &str) -> Option<&mut T> {
        self.slab.get_mut(self.handle(name)?)
    }

    /// Take the name away. What has it stays under its handle, until it is removed.
    pub fn forget(&mut self, name: &str) -> Option<Handle> {
        self.handles.remove(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.handles.keys()
    }
}

impl<T> Deref for Named<T> {
    type Target = Slab<T>;

    fn deref(&self) -> &Slab<T> {
        &self.slab
    }
}

impl<T> DerefMut for Named<T> {
    fn deref_mut(&mut self) -> &mut Slab<T> {
        &mut self.slab
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_something_removed_finds_nothing() {
        let mut slab = Slab::default();
        let first = slab.insert(Box::new(1));
        assert_eq!(slab.remove(first), Some(Box::new(1)));
        let second = slab.insert(Box::new(2));
        assert_eq!(second.index, first.index);
        assert_eq!((slab.get(first), slab.get(second)), (None, Some(&2)));
        assert_eq!(slab.remove(first), None);
        assert!(!slab.is_empty());
    }

    #[test]
    fn pairs_are_two_different_values_in_the_order_asked_for() {
        let mut slab = Slab::default();
        let (a, b) = (slab.insert(Box::new('a')), slab.insert(Box::new('b')));
        assert_eq!(slab.pair(a, b), (Some(&mut 'a'), Some(&mut 'b')));
        assert_eq!(slab.pair(b, a), (Some(&mut 'b'), Some(&mut 'a')));
        assert_eq!(slab.pair(a, a), (Some(&mut 'a'), None));
        slab.remove(a);
        assert_eq!(slab.pair(a, b), (None, Some(&mut 'b')));
    }
}
