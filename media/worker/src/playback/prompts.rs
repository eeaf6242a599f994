//! Reading prompts, on a thread of its own: a slow disk delays the prompt and nothing else.
//!
//! A file that is unchanged (same inode, size and time) is read once, however many hear it. Prompts that nobody hears at
//! the moment stay until they take more than their share of memory; the one not asked for longest goes first.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::sync::mpsc::{self, Sender};
use std::sync::Arc;
use std::thread::JoinHandle;

use super::{Prompt, Target};
use crate::audio::wav;
use crate::protocol::Name;

/// Four hours of speech; what is longer is a mistake.
const MAX_FILE: u64 = 256 << 20;

/// A play whose files are wanted.
#[derive(Debug)]
pub struct Job {
    pub target: Target,
    pub play: Name,
    /// Tells it from an earlier one of the same name.
    pub number: u64,
    pub files: Vec<String>,
}

/// What has come of a job.
#[derive(Debug)]
pub struct Loaded {
    pub target: Target,
    pub play: Name,
    pub number: u64,
    /// Or the first file that cannot be played is named.
    pub prompts: Result<Vec<Arc<Prompt>>, String>,
}

#[derive(Debug)]
struct Kept {
    stamp: (u64, u64, i64, i64),
    prompt: Arc<Prompt>,
    asked: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Library {
    kept: HashMap<String, Kept>,
    idle_limit: usize,
    asked: u64,
}

impl Library {
    /// `idle_limit`: octets for prompts that nobody hears.
    pub fn new(idle_limit: usize) -> Self {
        Self {
            kept: HashMap::new(),
            idle_limit,
            asked: 0,
        }
    }

    /// The prompt in a file. The error names the file and what is wrong with it.
    pub fn get(&mut self, path: &str) -> Result<Arc<Prompt>, String> {
        self.asked += 1;
        let said = |error: std::io::Error| format!("{path}: {error}");
        // Not to wait for whatever is no file.
        let mut file = File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
            .map_err(said)?;
        let about = file.metadata().map_err(said)?;
        if !about.is_file() {
            return Err(format!("{path}: no file"));
        }
        if about.len() > MAX_FILE {
            return Err(format!("{path}: {} octets, {MAX_FILE} allowed", about.len()));
        }
        let stamp = (about.ino(), about.len(), about.mtime(), about.mtime_nsec());
        if let Some(kept) = self.kept.get_mut(path).filter(|kept| kept.stamp == stamp) {
            kept.asked = self.asked;
            return Ok(kept.prompt.clone());
        }
        let mut octets = Vec::with_capacity(about.len() as usize);
        file.read_to_end(&mut octets).map_err(said)?;
        let samples = wav::samples(&octets).map_err(|reason| format!("{path}: {reason}"))?;
        let prompt = Arc::new(Prompt::new(samples));
        let kept = Kept {
            stamp,
            prompt: prompt.clone(),
            asked: self.asked,
        };
        self.kept.insert(path.to_owned(), kept);
        self.tidy();
        Ok(prompt)
    }

    /// Drop idle prompts beyond the limit.
    fn tidy(&mut self) {
        let mut idle: Vec<(u64, usize, String)> = self
            .kept
            .iter()
            .filter(|(_, kept)| Arc::strong_count(&kept.prompt) == 1)
            .map(|(path, kept)| (kept.asked, kept.prompt.size(), path.clone()))
            .collect();
        idle.sort_unstable_by(|one, other| other.cmp(one));
        let mut total = 0;
        for (_, size, path) in idle {
            total += size;
            if total > self.idle_limit {
                self.kept.remove(&path);
            }
        }
    }
}

/// Start the thread, which gives what it has read to `deliver`. It ends when the last sender of jobs is gone.
pub fn start(
    idle_limit: usize,
    deliver: impl Fn(Loaded) + Send + 'static,
) -> std::io::Result<(Sender<Job>, JoinHandle<()>)> {
    let (sender, jobs) = mpsc::channel::<Job>();
    let thread = std::thread::Builder::new().name("prompts".into()).spawn(move || {
        let mut library = Library::new(idle_limit);
        for job in jobs {
            let prompts = job.files.iter().map(|path| library.get(path)).collect();
            deliver(Loaded {
                target: job.target,
                play: job.play,
                number: job.number,
                prompts,
            });
        }
    })?;
    Ok((sender, thread))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("dialplane-prompts-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    fn write(path: &std::path::Path, count: usize) {
        let data = vec![1; count * 2];
        std::fs::write(path, [&wav::header(1, data.len() as u64)[..], &data].concat()).expect("written");
    }

    #[test]
    fn an_unchanged_file_is_read_once_and_a_changed_one_again() {
        let folder = folder("once");
        let path = folder.join("a.wav");
        let name = path.to_str().expect("a name");
        write(&path, 100);
        let mut library = Library::new(1 << 20);
        let first = library.get(name).expect("read");
        assert!(Arc::ptr_eq(&first, &library.get(name).expect("kept")));
        write(&path, 200);
        assert_eq!(library.get(name).expect("read again").samples.len(), 200);
        std::fs::remove_dir_all(folder).expect("ours");
    }

    #[test]
    fn idle_prompts_go_when_they_take_too_much_and_those_that_are_heard_stay() {
        let folder = folder("idle");
        let mut library = Library::new(1000);
        let mut heard = None;
        for number in 0..5 {
            let path = folder.join(format!("{number}.wav"));
            write(&path, 100);
            let prompt = library.get(path.to_str().expect("a name")).expect("read");
            if number == 0 {
                heard = Some(prompt);
            }
        }
        drop(library.get(folder.join("4.wav").to_str().expect("a name")));
        library.tidy();
        let mut kept: Vec<&str> = library.kept.keys().filter_map(|path| path.rsplit('/').next()).collect();
        kept.sort_unstable();
        assert_eq!(kept, ["0.wav", "3.wav", "4.wav"]);
        drop(heard);
        std::fs::remove_dir_all(folder).expect("ours");
    }

    #[test]
    fn what_is_no_prompt_is_named() {
        let mut library = Library::new(0);
        for path in ["/no/such/file", "/dev/zero", "/tmp", "/proc/self/status"] {
            assert!(library.get(path).expect_err(path).starts_with(path));
        }
    }
}
