//! The corpora: what was written by hand lies in `corpus/<target>/<what it is>`; what libFuzzer has found lies in one file for
//! each target, `found/<target>.hex`: an input on each line, in hexadecimal digits, sorted, none twice.
//!
//! `cargo run --example corpus` takes the latter apart for libFuzzer, and puts them together again.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The longest input.
pub const LONGEST: usize = 2048;
/// How files begin that were taken out of `found/`.
const FOUND: &str = "found_";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// Where libFuzzer looks for the inputs of a target.
pub fn inputs(target: &str) -> PathBuf {
    folder().join("corpus").join(target)
}

fn packed(target: &str) -> PathBuf {
    folder().join("found").join(target).with_extension("hex")
}

/// Whether a file has no name of its own: it comes out of `found/`, or is one of libFuzzer's, which are named by their SHA-1.
fn is_found(name: &str) -> bool {
    let digest = name.len() == 40 && name.bytes().all(|octet| octet.is_ascii_hexdigit());
    digest || name.starts_with(FOUND)
}

/// The files of a target's folder, with a name or without, in the order of their names.
fn files(target: &str, found: bool) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(inputs(target))? {
        let entry = entry?;
        if is_found(&entry.file_name().to_string_lossy()) == found {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// What was written by hand.
pub fn named(target: &str) -> io::Result<Vec<Vec<u8>>> {
    files(target, false)?.iter().map(fs::read).collect()
}

/// What libFuzzer has found; nothing where there is no file.
pub fn found(target: &str) -> io::Result<Vec<Vec<u8>>> {
    let path = packed(target);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(&path)?;
    let bad = |index: usize| {
        io::Error::other(format!(
            "{}:{}: no pairs of hexadecimal digits",
            path.display(),
            index + 1
        ))
    };
    let lines = text.lines().enumerate();
    lines
        .map(|(index, line)| octets(line).ok_or_else(|| bad(index)))
        .collect()
}

fn octets(line: &str) -> Option<Vec<u8>> {
    let pairs = line.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [_, _] => u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok(),
            _ => None,
        })
        .collect()
}

/// The text of a file of `found/`.
pub fn text(inputs: &[Vec<u8>]) -> String {
    let usable = |input: &&Vec<u8>| !input.is_empty() && input.len() <= LONGEST;
    let sorted: BTreeSet<&Vec<u8>> = inputs.iter().filter(usable).collect();
    let mut text = String::new();
    for input in sorted {
        text.extend(input.iter().map(|octet| format!("{octet:02x}")));
        text.push('\n');
    }
    text
}

/// Lay what was found beside what was written by hand; how many files there are then that have no name.
#[allow(dead_code)] // the tests only read
pub fn unpack(target: &str) -> io::Result<usize> {
    for (index, input) in found(target)?.iter().enumerate() {
        fs::write(inputs(target).join(format!("{FOUND}{index:04}")), input)?;
    }
    Ok(files(target, true)?.len())
}

/// Put all files without a name, and no others, into the one of `found/`, and take them away; how many inputs it has then.
#[allow(dead_code)]
pub fn pack(target: &str) -> io::Result<usize> {
    let files = files(target, true)?;
    let inputs: Vec<Vec<u8>> = files.iter().map(fs::read).collect::<io::Result<_>>()?;
    let text = text(&inputs);
    fs::create_dir_all(folder().join("found"))?;
    match text.is_empty() {
        true if packed(target).exists() => fs::remove_file(packed(target))?,
        true => {}
        false => fs::write(packed(target), &text)?,
    }
    files.iter().try_for_each(fs::remove_file)?;
    Ok(text.lines().count())
}
