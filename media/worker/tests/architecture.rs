//! How the modules lie to each other: `src/lib.rs` names them in their order, and each uses those above it only; no files use each
//! other in a circle; no function is longer than a page.

// Helpers of tests may expect, as tests may.
#![allow(clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The longest function, in lines, unless a comment above it that begins so gives the reason.
const PAGE: usize = 60;
const REASON: &str = "// Of one piece: ";

/// Used by the tests of all modules, and using them.
const FOR_TESTS: &str = "testing";

/// A file of `src/`: its path as a module (`rtp::sending::press`), and its text.
struct Source {
    module: Vec<String>,
    file: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources() -> Vec<Source> {
    let (root, mut folders, mut sources) = (root(), vec![root()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let inside = path.strip_prefix(&root).expect("below the root").with_extension("");
                let mut module: Vec<String> = inside.iter().map(|part| part.to_string_lossy().into()).collect();
                module.pop_if(|last| ["mod", "lib", "main"].contains(&last.as_str()));
                sources.push(Source {
                    module,
                    file: path.strip_prefix(&root).expect("below the root").display().to_string(),
                    text: fs::read_to_string(&path).expect("text"),
                });
            }
        }
    }
    sources.sort_by(|one, other| one.module.cmp(&other.module));
    sources
}

/// All paths of a text that begin with `crate` or `super`, with what stands in braces written out.
fn paths(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for line in ["crate::", "super::"] {
        for (at, _) in text.match_indices(line) {
            let before = text[..at].chars().next_back();
            if before.is_none_or(|octet| !octet.is_alphanumeric() && octet != '_' && octet != ':') {
                read(&text[at..], &mut Vec::new(), &mut found);
            }
        }
    }
    found
}

/// Read one path, which goes on behind `begun`; gives what follows it.
fn read<'a>(text: &'a str, begun: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> &'a str {
    let depth = begun.len();
    let mut text = text;
    loop {
        let name = text
            .find(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != '*')
            .unwrap_or(text.len());
        begun.push(text[..name].to_owned());
        text = &text[name..];
        let Some(rest) = text.strip_prefix("::") else {
            break;
        };
        text = rest;
        if let Some(rest) = text.strip_prefix('{') {
            text = rest.trim_start();
            while text.starts_with(|letter: char| letter.is_alphanumeric() || "_*".contains(letter)) {
                text = read(text, begun, found).trim_start();
                text = text.trim_start_matches(|letter: char| letter == ',' || letter.is_whitespace());
            }
            begun.truncate(depth);
            return text.strip_prefix('}').unwrap_or(text);
        }
    }
    found.push(begun.clone());
    begun.truncate(depth);
    text
}

/// The module that a path leads to, seen from another.
fn absolute(from: &[String], path: &[String]) -> Vec<String> {
    let ups = path.iter().take_while(|name| *name == "super").count();
    let base = if ups == 0 {
        &[]
    } else {
        &from[..from.len().saturating_sub(ups)]
    };
    let rest = &path[ups.max(1)..];
    base.iter().chain(rest).cloned().collect()
}

/// The names of the modules in `lib.rs`, in their order.
fn order() -> Vec<String> {
    let text = fs::read_to_string(root().join("lib.rs")).expect("the root of the crate");
    let named = text
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'));
    named.map(str::to_owned).collect()
}

#[test]
fn each_module_uses_those_above_it_and_none_below() {
    let order = order();
    let place = |name: &str| order.iter().position(|known| known == name);
    let (mut wrong, mut seen) = (BTreeSet::new(), 0);
    for source in sources() {
        let Some(own) = source.module.first().filter(|name| *name != FOR_TESTS) else {
            continue;
        };
        let here = place(own).unwrap_or_else(|| panic!("{own} is not named in lib.rs"));
        for path in paths(&source.text) {
            let used = absolute(&source.module, &path);
            match used.first().and_then(|name| place(name)) {
                Some(there) if there > here && order[there] != FOR_TESTS => {
                    wrong.insert(format!("{} uses {}", source.file, used.join("::")));
                }
                Some(_) => seen += 1,
                None => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen > 300, "{seen} uses were read: are they written another way now?");
}

/// Which files each file uses. Those above it in the same branch are left out: a module may use what its parent has, and a
/// parent what its child has, since neither is understood without the other.
fn uses(sources: &[Source]) -> BTreeMap<String, BTreeSet<String>> {
    let known: BTreeSet<Vec<String>> = sources.iter().map(|source| source.module.clone()).collect();
    let mut uses = BTreeMap::new();
    for source in sources
        .iter()
        .filter(|source| source.module.last().is_some_and(|last| !last.ends_with("tests")))
    {
        let mut used = BTreeSet::new();
        for path in paths(&source.text) {
            let mut module = absolute(&source.module, &path);
            while !module.is_empty() && !known.contains(&module) {
                module.pop();
            }
            let related = source.module.starts_with(&module) || module.starts_with(&source.module);
            if !related && module[0] != FOR_TESTS {
                used.insert(module.join("::"));
            }
        }
        uses.insert(source.module.join("::"), used);
    }
    uses.remove(FOR_TESTS);
    uses
}

/// A circle that goes through `file`, if there is one.
fn circle(
    uses: &BTreeMap<String, BTreeSet<String>>,
    way: &mut Vec<String>,
    done: &mut BTreeSet<String>,
) -> Option<String> {
    let here = way.last()?.clone();
    for next in uses.get(&here).into_iter().flatten() {
        if let Some(at) = way.iter().position(|known| known == next) {
            return Some(format!("{} -> {next}", way[at..].join(" -> ")));
        }
        if !done.contains(next) {
            way.push(next.clone());
            if let Some(circle) = circle(uses, way, done) {
                return Some(circle);
            }
            way.pop();
        }
    }
    done.insert(here);
    None
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let uses = uses(&sources());
    let mut done = BTreeSet::new();
    for file in uses.keys() {
        if let Some(circle) = circle(&uses, &mut vec![file.clone()], &mut done) {
            panic!("{circle}");
        }
    }
    assert!(
        uses.values().map(BTreeSet::len).sum::<usize>() > 200,
        "hardly any uses were read"
    );
}

#[test]
fn no_function_is_longer_than_a_page_without_a_reason() {
    let mut long = Vec::new();
    for source in sources() {
        let lines: Vec<&str> = source.text.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let code = line.trim_start();
            let words: Vec<&str> = code.split_whitespace().take_while(|word| *word != "fn").collect();
            let qualifiers = ["pub", "pub(super)", "pub(crate)", "const", "unsafe", "extern", "\"C\""];
            if !code.contains("fn ") || !words.iter().all(|word| qualifiers.contains(word)) {
                continue;
            }
            let close = format!("{}}}", &line[..line.len() - code.len()]);
            let length = lines[start..]
                .iter()
                .position(|line| *line == close)
                .map_or(0, |end| end + 1);
            let above = lines[..start].iter().rev().map(|line| line.trim_start());
            let reason = above
                .take_while(|line| line.starts_with("//") || line.starts_with("#["))
                .any(|line| line.starts_with(REASON));
            if length > PAGE && !reason {
                long.push(format!("{}:{}: {length} lines", source.file, start + 1));
            }
        }
    }
    assert!(
        long.is_empty(),
        "longer than {PAGE} lines, and no \"{REASON}\" above: {long:#?}"
    );
}

#[test]
fn paths_are_read_however_they_are_written() {
    let text = "use crate::{a::{b, c::D}, e};\nuse super::f::{self, g::*};\nlet x = crate::h::i(super::super::j);";
    let written: Vec<String> = paths(text).iter().map(|path| path.join("::")).collect();
    let wanted = [
        "crate::a::b",
        "crate::a::c::D",
        "crate::e",
        "crate::h::i",
        "super::f::self",
        "super::f::g::*",
        "super::super::j",
    ];
    assert_eq!(written, wanted);
    let from = ["a", "b", "c"].map(str::to_owned);
    assert_eq!(absolute(&from, &["super", "super", "d"].map(str::to_owned)), ["a", "d"]);
    assert_eq!(absolute(&from, &["crate", "d"].map(str::to_owned)), ["d"]);
}
