//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use crate::forward::command::{self, Preparation};
use crate::log::Level;
use crate::net::Io;
use crate::options::Options;

/// How the worker is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Args {
    pub socket: PathBuf,
    pub port_min: u16,
    pub port_max: u16,
    pub threads: usize,
    /// How media threads wait for their sockets. None = the best that the kernel allows.
    pub io: Option<Io>,
    /// Leave when there was neither controller nor stream for so long. None = stay.
    pub idle_exit: Option<Duration>,
    /// DSCP of RTP packets; 46 is expedited forwarding (RFC 3246).
    pub dscp: u8,
    pub prompt_cache_mib: usize,
    pub record_buffer_mib: usize,
    /// The most members of one mix.
    pub mix_members: usize,
    /// Of one stream's peer; what comes beyond is dropped. 0 = no limit.
    pub max_packets_per_second: u32,
    /// Where the maps of forwarding in the kernel are pinned. None = user space relays all.
    pub forward: Option<PathBuf>,
    pub log_level: Level,
}

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    Run(Box<Args>),
    Prepare(Preparation),
    Version,
    Help,
}

pub const HELP: &str = "\
dialplane-media: relays, plays and records RTP for a controller on a Unix socket

  --socket PATH            where the controller connects (required; created with mode 0600)
  --port-min N             lowest RTP port (16384)
  --port-max N             highest RTP or RTCP port (32767)
  --threads N              media threads (one per processor)
  --io WAY                 uring, epoll, or auto: uring where the kernel allows it (auto)
  --idle-exit SECONDS      leave after so long without controller and streams (0 = stay)
  --dscp N                 DSCP of what is sent (46)
  --prompt-cache-mib N     memory for prompts that nobody hears at the moment (64)
  --record-buffer-mib N    what may wait for a slow disk before recordings get gaps (32)
  --mix-members N          members that one conference may have, up to 100 (40)
  --max-packets-per-second N
                           packets of one peer, beyond which they are dropped (1000, 0 = no limit)
  --forward DIR            have plain bridges forwarded in the kernel, as `dialplane-media forward` prepared it there
  --log-level LEVEL        debug, info, warning or error (info)
  --version

dialplane-media forward --interface IF [--interface IF…] [--pin DIR] [--user NAME]
dialplane-media forward --remove [--pin DIR]: as root, prepare or end forwarding in the kernel (Linux 6.6)

  --interface IF           where RTP comes in; once for each
  --pin DIR                what a worker is given as --forward (/run/dialplane-forward); a bpf file system is mounted there,
                           unless it lies in one
  --user NAME              the account of the worker, by name or number (root)
";

/// Read the arguments that follow the program's name. The error is a sentence for the user.
pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Wish, String> {
    let mut rest = arguments.into_iter().peekable();
    if rest.next_if(|argument| argument == "forward").is_some() {
        let help = rest
            .peek()
            .is_some_and(|argument| argument == "--help" || argument == "-h");
        return if help {
            Ok(Wish::Help)
        } else {
            command::parse(rest).map(Wish::Prepare)
        };
    }
    let mut args = Args::default();
    let mut options = Options::new(rest);
    while let Some(name) = options.next_name() {
        match name.as_str() {
            "--version" => return Ok(Wish::Version),
            "--help" | "-h" => return Ok(Wish::Help),
            name => args.set(name, || options.value())?,
        }
    }
    if args.socket.as_os_str().is_empty() {
        return Err("--socket is required".into());
    }
    if args.port_max <= args.port_min {
        return Err("--port-max must be above --port-min".into());
    }
    Ok(Wish::Run(Box::new(args)))
}

impl Default for Args {
    fn default() -> Self {
        Self {
            socket: PathBuf::new(),
            port_min: 16384,
            port_max: 32767,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            io: None,
            idle_exit: None,
            dscp: 46,
            prompt_cache_mib: 64,
            record_buffer_mib: 32,
            mix_members: 40,
            max_packets_per_second: 1000,
            forward: None,
            log_level: Level::Info,
        }
    }
}

impl Args {
    /// Take one option; `value` gives what was written behind it.
    fn set(&mut self, name: &str, mut value: impl FnMut() -> Result<String, String>) -> Result<(), String> {
        match name {
            "--socket" => self.socket = value()?.into(),
            "--port-min" => self.port_min = number(name, &value()?, 1024, 65534)? as u16,
            "--port-max" => self.port_max = number(name, &value()?, 1025, 65535)? as u16,
            "--threads" => self.threads = number(name, &value()?, 1, 256)? as usize,
            "--io" => {
                self.io = match value()?.as_str() {
                    "auto" => None,
                    "uring" => Some(Io::Uring),
                    "epoll" => Some(Io::Epoll),
                    other => return Err(format!("--io wants auto, uring or epoll, not {other:?}")),
                }
            }
            "--idle-exit" => {
                let seconds = number(name, &value()?, 0, 1 << 32)?;
                self.idle_exit = (seconds > 0).then(|| Duration::from_secs(seconds));
            }
            "--dscp" => self.dscp = number(name, &value()?, 0, 63)? as u8,
            "--prompt-cache-mib" => self.prompt_cache_mib = number(name, &value()?, 0, 1 << 20)? as usize,
            "--record-buffer-mib" => self.record_buffer_mib = number(name, &value()?, 1, 1 << 20)? as usize,
            "--mix-members" => self.mix_members = number(name, &value()?, 2, 100)? as usize,
            "--max-packets-per-second" => {
                self.max_packets_per_second = number(name, &value()?, 0, 1_000_000)? as u32;
            }
            "--forward" => {
                let directory = value()?;
                self.forward = (!directory.is_empty()).then(|| directory.into());
            }
            "--log-level" => {
                let level = value()?;
                self.log_level = Level::from_name(&level).ok_or_else(|| format!("no log level {level:?}"))?;
            }
            other => return Err(format!("unknown argument {other:?}")),
        }
        Ok(())
    }
}

fn number(name: &str, text: &str, low: u64, high: u64) -> Result<u64, String> {
    let value: Option<u64> = text.parse().ok();
    value
        .filter(|value| (low..=high).contains(value))
        .ok_or_else(|| format!("{name} wants a number from {low} to {high}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(line: &str) -> Result<Wish, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn both_spellings_of_a_value_are_read() {
        let Ok(Wish::Run(args)) = given("--socket /s --port-min=10000 --port-max 10099 --threads 2 --idle-exit 3")
        else {
            panic!("refused");
        };
        assert_eq!((args.port_min, args.port_max, args.threads), (10000, 10099, 2));
        assert_eq!(args.idle_exit, Some(Duration::from_secs(3)));
    }

    #[test]
    fn forwarding_is_off_unless_a_directory_is_named() {
        let forward = |line: &str| match given(line) {
            Ok(Wish::Run(args)) => args.forward,
            other => panic!("{other:?}"),
        };
        assert_eq!(forward("--socket /s"), None);
        assert_eq!(forward("--socket /s --forward="), None);
        assert_eq!(forward("--socket /s --forward /run/f"), Some("/run/f".into()));
    }

    #[test]
    fn the_way_to_wait_is_the_kernels_choice_unless_one_is_named() {
        let io = |line: &str| match given(line) {
            Ok(Wish::Run(args)) => args.io,
            other => panic!("{other:?}"),
        };
        assert_eq!(io("--socket /s"), None);
        assert_eq!(io("--socket /s --io auto"), None);
        assert_eq!(io("--socket /s --io=epoll"), Some(Io::Epoll));
        assert_eq!(io("--socket /s --io uring"), Some(Io::Uring));
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_name() {
        let cases = [
            ("", "--socket"),
            ("--socket", "--socket"),
            ("--socket /s --port-min x", "--port-min"),
            ("--socket /s --port-min 20000 --port-max 20000", "--port-max"),
            ("--socket /s --dscp 64", "--dscp"),
            ("--socket /s --max-packets-per-second -1", "--max-packets-per-second"),
            ("--socket /s --colour red", "--colour"),
            ("--socket /s --io select", "--io"),
            ("--socket /s --log-level loud", "loud"),
        ];
        for (line, named) in cases {
            let error = given(line).expect_err(line);
            assert!(error.contains(named), "{line}: {error}");
        }
    }

    #[test]
    fn version_and_help_need_no_socket() {
        assert_eq!(
            (given("--version"), given("--help")),
            (Ok(Wish::Version), Ok(Wish::Help))
        );
    }
}
