//! One line per fact on standard error: `level=warning event=disk_error recording=RE1 reason="No space left"`.
//!
//! The event is a constant name, the facts follow as keys. Nothing here is called per packet.

use std::fmt::Display;
use std::io::Write;
use std::sync::atomic::{AtomicU8, Ordering};

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Debug,
    Info,
    Warning,
    Error,
}

static LOWEST: AtomicU8 = AtomicU8::new(Level::Info as u8);

impl Level {
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "debug" => Some(Self::Debug),
            "info" => Some(Self::Info),
            "warning" => Some(Self::Warning),
            "error" => Some(Self::Error),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Leave out lines below `level`.
pub fn set_lowest(level: Level) {
    LOWEST.store(level as u8, Ordering::Relaxed);
}

/// Write a line, if its level is wanted.
pub fn line(level: Level, event: &str, facts: &[(&str, &dyn Display)]) {
    if (level as u8) < LOWEST.load(Ordering::Relaxed) {
        return;
    }
    let mut text = format!("level={} event={event}", level.name());
    for (key, value) in facts {
        let value = value.to_string();
        if !value.is_empty() && value.chars().all(|c| c.is_ascii_graphic() && c != '"' && c != '=') {
            text += &format!(" {key}={value}");
        } else {
            text += &format!(" {key}={value:?}");
        }
    }
    text.push('\n');
    // With nobody reading there is nobody to tell.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

pub fn debug(event: &str, facts: &[(&str, &dyn Display)]) {
    line(Level::Debug, event, facts);
}
pub fn info(event: &str, facts: &[(&str, &dyn Display)]) {
    line(Level::Info, event, facts);
}
pub fn warning(event: &str, facts: &[(&str, &dyn Display)]) {
    line(Level::Warning, event, facts);
}
pub fn error(event: &str, facts: &[(&str, &dyn Display)]) {
    line(Level::Error, event, facts);
}
