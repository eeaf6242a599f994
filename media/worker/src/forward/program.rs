//! The program for the kernel: read from the object that is built into this one, tied to maps, loaded.
//!
//! The object is what `bpf/build` makes of `bpf/forward.bpf.c`. Of its format (ELF) only what such an object has is read: one
//! section of code, and places in it that want a map by its name.

use std::io;
use std::os::fd::OwnedFd;

use crate::sys::bpf::{self, Map};

const OBJECT: &[u8] = include_bytes!("../../bpf/forward.bpf.o");
/// Where the code lies, and what wants a map in it.
const CODE: &str = "tc";
const RELOCATIONS: &str = ".reltc";
const SYMBOLS: &str = ".symtab";
const STRINGS: &str = ".strtab";
/// Octets of an instruction; the number of a map goes into a pair of them whose source register says so.
const INSTRUCTION: usize = 8;
const LOAD_64: u8 = 0x18;
const SOURCE_IS_MAP: u8 = 0x10;

/// Load it with these maps.
pub fn load(maps: &[(&str, &Map)]) -> io::Result<OwnedFd> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "the program in this binary is not whole");
    if cfg!(target_endian = "big") {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "the program is for little-endian processors",
        ));
    }
    let code = tied(OBJECT, |name| {
        let (_, map) = maps.iter().find(|(known, _)| *known == name)?;
        Some(map.number())
    });
    bpf::load("dialplane", &code.ok_or_else(malformed)?, "Dual MIT/GPL")
}

/// The code with the numbers of its maps. None when the object is not as expected.
fn tied(object: &[u8], number: impl Fn(&str) -> Option<i32>) -> Option<Vec<u8>> {
    let mut code = section(object, CODE)?.to_vec();
    let symbols = section(object, SYMBOLS)?;
    for relocation in section(object, RELOCATIONS)?.chunks_exact(16) {
        let at = long(relocation, 0)? as usize;
        let symbol = symbols.get((long(relocation, 8)? >> 32) as usize * 24..)?;
        let map = number(string(object, int(symbol, 0)? as usize)?)?;
        let instruction = code.get_mut(at..at + 2 * INSTRUCTION)?;
        if instruction[0] != LOAD_64 {
            return None;
        }
        instruction[1] = (instruction[1] & 0x0F) | SOURCE_IS_MAP;
        instruction[4..8].copy_from_slice(&map.to_le_bytes());
    }
    (code.len() % INSTRUCTION == 0).then_some(code)
}

fn string(object: &[u8], at: usize) -> Option<&str> {
    text(section(object, STRINGS)?, at)
}

fn text(strings: &[u8], at: usize) -> Option<&str> {
    let rest = strings.get(at..)?;
    std::str::from_utf8(&rest[..rest.iter().position(|&octet| octet == 0)?]).ok()
}

/// A section by its name. The names are in the section that the header tells.
fn section<'a>(object: &'a [u8], wanted: &str) -> Option<&'a [u8]> {
    const ENTRY: usize = 64;
    let table = long(object, 40)? as usize;
    let (count, names) = (usize::from(half(object, 60)?), usize::from(half(object, 62)?));
    let header = |index: usize| object.get(table.checked_add(ENTRY * index)?..);
    let body = |index: usize| {
        let header = header(index)?;
        let (start, length) = (long(header, 24)? as usize, long(header, 32)? as usize);
        object.get(start..start.checked_add(length)?)
    };
    let strings = body(names)?;
    let index = (0..count).find(|&index| {
        let name = header(index).and_then(|header| int(header, 0));
        name.and_then(|name| text(strings, name as usize)) == Some(wanted)
    })?;
    body(index)
}

fn half(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*octets.get(at..)?.first_chunk()?))
}

fn int(octets: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*octets.get(at..)?.first_chunk()?))
}

fn long(octets: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*octets.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::super::layout;
    use super::*;

    #[test]
    fn every_map_that_the_code_asks_for_is_one_that_is_made() {
        let known = |name: &str| layout::MAPS.iter().position(|(known, _)| *known == name);
        let code = tied(OBJECT, |name| known(name).map(|index| 0x0077_0000 + index as i32)).expect("whole");
        for index in 0..layout::MAPS.len() {
            let number = (0x0077_0000 + index as i32).to_le_bytes();
            assert!(code
                .chunks_exact(INSTRUCTION)
                .any(|one| one[4..] == number && one[1] & 0xF0 == SOURCE_IS_MAP));
        }
        assert_eq!(tied(OBJECT, |_| None), None);
    }

    #[test]
    fn an_object_that_is_cut_off_is_none() {
        // The table of sections is what it ends with.
        for length in (0..OBJECT.len() - 64).step_by(7) {
            assert_eq!(tied(&OBJECT[..length], |_| Some(1)), None, "{length}");
        }
    }
}
