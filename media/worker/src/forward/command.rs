//! `dialplane-media forward`: what root does once, so that a worker without rights can forward in the kernel.
//!
//! It loads the program, attaches it to interfaces, and pins both the links, which keep it there, and the maps, which it
//! gives to the worker's account. Then it leaves. Run again, it does all anew; a worker that is running goes over to the
//! new maps by itself. Until the worker fills the maps the program changes nothing.

use std::fs;
use std::io;
use std::os::unix::fs::{chown, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{layout, program};
use crate::options::Options;
use crate::sys::bpf::{self, mounts, Map};
use crate::sys::routes::Routes;

/// Where it is pinned unless told otherwise.
pub const DIRECTORY: &str = "/run/dialplane-forward";
/// The bpf file system that most machines have mounted. It is neither closed to others nor taken away.
const EVERYBODYS: &str = "/sys/fs/bpf";

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preparation {
    pub interfaces: Vec<String>,
    pub directory: PathBuf,
    pub user: Option<String>,
    pub remove: bool,
}

/// Read the arguments that follow `forward`. The error is a sentence for the user.
pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Preparation, String> {
    let mut wish = Preparation {
        interfaces: Vec::new(),
        directory: DIRECTORY.into(),
        user: None,
        remove: false,
    };
    let mut options = Options::new(arguments.into_iter());
    while let Some(name) = options.next_name() {
        let mut value = || match options.value()? {
            empty if empty.is_empty() => Err(format!("{name} wants a value")),
            value => Ok(value),
        };
        match name.as_str() {
            "--interface" => {
                let interface = value()?;
                if !wish.interfaces.contains(&interface) {
                    wish.interfaces.push(interface);
                }
            }
            "--pin" => wish.directory = value()?.into(),
            "--user" => wish.user = Some(value()?),
            "--remove" => wish.remove = true,
            other => return Err(format!("unknown argument {other:?}")),
        }
    }
    if wish.interfaces.is_empty() != wish.remove {
        return Err("one of --interface and --remove is wanted".into());
    }
    if wish.directory == Path::new(EVERYBODYS) {
        return Err(format!("--pin {EVERYBODYS} is everybody's: name a directory in it"));
    }
    Ok(wish)
}

/// Do it. The error is a sentence for the user.
pub fn run(wish: &Preparation) -> Result<(), String> {
    if wish.remove {
        return remove(&wish.directory, true);
    }
    let owner = match &wish.user {
        Some(name) => Some(account(name).map_err(|error| format!("--user {name}: {error}"))?),
        None => None,
    };
    let interfaces = wish.interfaces.iter().map(|name| {
        let number = mounts::interface(name).map_err(|error| format!("--interface {name}: {error}"))?;
        Ok((name, number))
    });
    let interfaces: Vec<(&String, u32)> = interfaces.collect::<Result<_, String>>()?;
    let mut routes = Routes::new().map_err(|error| format!("asking for interfaces: {error}"))?;
    for (name, number) in &interfaces {
        // The program finds its way in frames that begin with an Ethernet header.
        if !routes.is_ethernet(*number) {
            return Err(format!("--interface {name}: not an Ethernet"));
        }
    }
    let said = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    // All that the kernel may refuse comes first: what is there stays until there is something to replace it.
    let mut maps = Vec::new();
    for (name, kind) in layout::MAPS {
        let map = Map::create(&format!("dp_{name}"), kind);
        maps.push((name, map.map_err(|error| format!("map {name}: {error}"))?));
    }
    let named: Vec<(&str, &Map)> = maps.iter().map(|(name, map)| (*name, map)).collect();
    let program = program::load(&named).map_err(said("the kernel does not take the program"))?;
    let mut links = Vec::new();
    for (name, number) in interfaces {
        let attached = bpf::attach(&program, number);
        let link = attached.map_err(|error| format!("{name}: {error} (attaching wants Linux 6.6 or newer)"))?;
        links.push((link_file(name), link));
    }
    make_place(&wish.directory).map_err(|error| format!("{}: {error}", wish.directory.display()))?;
    remove(&wish.directory, false)?;
    close_to_others(&wish.directory, owner).map_err(said("the directory"))?;
    for (name, map) in &maps {
        pin(map, &wish.directory.join(layout::file(name)), owner).map_err(said("pinning"))?;
    }
    for (name, link) in links {
        bpf::pin(&link, &wish.directory.join(name)).map_err(said("pinning"))?;
    }
    Ok(())
}

fn account(name: &str) -> io::Result<(u32, u32)> {
    match name.parse() {
        Ok(number) => Ok((number, number)),
        Err(_) => mounts::account(name),
    }
}

/// A directory in a bpf file system.
fn make_place(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    if !mounts::is_bpf(directory)? {
        if fs::read_dir(directory)?.next().is_some() {
            return Err(io::Error::other(
                "what is in it would be hidden: choose an empty or a new directory",
            ));
        }
        mounts::mount(directory)?;
    }
    Ok(())
}

/// Only the worker may look into it: who can open the directory can also lock it, as if another worker were there.
fn close_to_others(directory: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    chown(directory, Some(0), Some(owner.map_or(0, |(_, group)| group)))?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o750))
}

fn pin(map: &Map, path: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    map.pin(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    match owner {
        Some((user, group)) => chown(path, Some(user), Some(group)),
        None => Ok(()),
    }
}

const LINK: &str = "link-";
/// What the root of a bpf file system has from the start.
const KERNELS_OWN: [&str; 2] = ["maps.debug", "progs.debug"];

/// Of names in the file system a dot is not allowed, but VLANs have one.
fn link_file(interface: &str) -> String {
    format!("{LINK}{}", interface.replace('.', "-"))
}

/// Take away what was pinned, which detaches the program. `whole`: and the place.
fn remove(directory: &Path, whole: bool) -> Result<(), String> {
    let said = |error: io::Error| format!("{}: {error}", directory.display());
    match mounts::is_bpf(directory) {
        Ok(true) => {}
        Ok(false) | Err(_) if !directory.exists() => return Ok(()),
        Ok(false) => return Err(format!("{}: nothing was prepared there", directory.display())),
        Err(error) => return Err(said(error)),
    }
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(directory).map_err(said)? {
        let name = entry.map_err(said)?.file_name().to_string_lossy().into_owned();
        if name.starts_with(LINK) || layout::MAPS.iter().any(|(map, _)| name.starts_with(&format!("{map}-"))) {
            names.push(name);
        } else if !KERNELS_OWN.contains(&name.as_str()) {
            return Err(format!(
                "{}: {name} is not ours: choose another directory",
                directory.display()
            ));
        }
    }
    // The links first: a program without its maps' names would go on with whatever is in them.
    names.sort_by_key(|name| !name.starts_with(LINK));
    for name in names {
        let path = directory.join(&name);
        if name.starts_with(LINK) {
            let _ = bpf::detach(&path); // its interface may be gone
        }
        fs::remove_file(path).map_err(said)?;
    }
    if whole {
        let parent = directory.parent().unwrap_or(directory);
        if !mounts::is_bpf(parent).map_err(said)? {
            mounts::unmount(directory).map_err(said)?;
        }
        fs::remove_dir(directory).map_err(said)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(line: &str) -> Result<Preparation, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn interfaces_are_named_once_each_and_more_than_one_may_be() {
        let wish = given("--interface lo --interface=eth0 --interface lo --user nobody --pin /p").expect("read");
        assert_eq!(wish.interfaces, ["lo", "eth0"]);
        assert_eq!((wish.user.as_deref(), wish.directory), (Some("nobody"), "/p".into()));
        assert!(!wish.remove);
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_name() {
        let cases = [
            ("", "--interface"),
            ("--interface", "--interface"),
            ("--interface lo --remove", "--remove"),
            ("--interface= --pin /p", "--interface"),
            ("--interface lo --colour red", "--colour"),
            ("--interface lo --pin /sys/fs/bpf", "--pin"),
            ("--remove --pin /sys/fs/bpf/", "--pin"),
        ];
        for (line, named) in cases {
            let error = given(line).expect_err(line);
            assert!(error.contains(named), "{line}: {error}");
        }
        assert!(given("--remove").is_ok_and(|wish| wish.directory == Path::new(DIRECTORY)));
    }
}
