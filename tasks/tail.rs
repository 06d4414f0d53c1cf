//! `Tail`: emits the lines that are written to files, from where it stopped the last time.
//!
//! | config | is | default |
//! |---|---|---|
//! | `file`, `files` | the files to follow, up to 64; relative ones are below the daemon's directory | none |
//! | `from` | `start` or `end`: where to begin in a file that is there at the very first look | `start` |
//! | `intervals: {Tail: s}` | seconds between looks | 1 |
//!
//! Each whole line becomes a message `{file, line, line_number}`; an unfinished last line waits for its end.
//! `line_number` counts from 1 in this file, and is missing after `from: end`. `truncated: true` stands in a message
//! whose line was longer than 64 KiB and was cut, `lossy: true` where bytes that are no UTF-8 were replaced.
//!
//! A file may be renamed and made again (its rest is read first, wherever it is beside the new one), truncated, or
//! removed; one that is missing is reported once and waited for. Limits: what `copytruncate` or a compression took
//! away between two looks is not read, nor are files that came and went in between.
//!
//! Invariant: a place in the state moves over exactly what the same activation emits.
//! Invariant: one activation emits at most 4,096 lines and reads at most 256 KiB; a backlog is worked off at a
//! hundred such activations a second, each time beginning with another file.

use std::collections::{BTreeMap, BTreeSet};

use multimodule::sdk::{Context, Deserialize, Duration, Map, Message, Result, Serialize, Task, fields};

mod follower;
mod lines;
#[cfg(test)]
mod tests;

use follower::{Begin, Budget, Follower, Look, News, Place};
use lines::Line;

/// The timer that looks at the files.
const LOOK: &str = "Tail";
/// The timer that works off a backlog.
const BACKLOG: &str = "Tail backlog";

const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Lets other tasks run between two pieces of a backlog, and still reads 25 MiB a second.
const BACKLOG_INTERVAL: Duration = Duration::from_millis(10);

/// How much one activation reads and emits: some milliseconds of work, and some MiB of messages at most.
const BUDGET: Budget = Budget { bytes: 256 * 1024, lines: 4096 };

/// How many files one task follows: each look costs each of them three system calls and a descriptor.
const MAX_FILES: usize = 64;

/// Follows files.
#[derive(Default)]
pub struct Tail {
    followers: Vec<Follower>,
    /// The follower that is asked first in the next activation.
    first: usize,
    has_backlog: bool,
}

/// What the config says: at least one file.
#[derive(Default, Deserialize)]
#[serde(try_from = "Written")]
pub struct Config {
    files: BTreeSet<String>,
    from: Begin,
}

/// The config as it is written.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Written {
    /// A file to follow.
    file: String,
    /// More files to follow.
    files: Vec<String>,
    /// Where to begin in a file that is there at the first look.
    from: Begin,
}

/// What survives: how far each file was read.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    files: BTreeMap<String, Place>,
}

impl Task for Tail {
    type Config = Config;
    type State = State;

    const SINGLE: bool = true;

    async fn start(&mut self, ctx: &mut Context<Self>) -> Result {
        // Of a file that is not followed any more nothing is kept, so that the state stays as small as the config.
        ctx.state.files.retain(|file, _| ctx.config.files.contains(file));
        self.follow(ctx.config.files.clone());
        ctx.every(LOOK, LOOK_INTERVAL);
        Ok(())
    }

    async fn tick(&mut self, _timer: &str, ctx: &mut Context<Self>) -> Result {
        let has_backlog = self.look_at_all(ctx);
        match (self.has_backlog, has_backlog) {
            (false, true) => ctx.every(BACKLOG, BACKLOG_INTERVAL),
            (true, false) => ctx.cancel(BACKLOG),
            (true, true) | (false, false) => {}
        }
        self.has_backlog = has_backlog;
        Ok(())
    }

    async fn message(&mut self, _message: Message, _ctx: &mut Context<Self>) -> Result {
        Err("Tail takes no messages: what it reads stands in its config".into())
    }
}

impl Tail {
    /// Follows `files`: those it follows already go on undisturbed.
    fn follow(&mut self, mut files: BTreeSet<String>) {
        self.followers.retain(|follower| files.remove(follower.file()));
        self.followers.extend(files.into_iter().map(Follower::new));
    }

    /// Looks at the files until the budget is spent; returns whether there is more to read at once. Nothing here
    /// fails the activation, for the places in the state have moved.
    fn look_at_all(&mut self, ctx: &mut Context<Self>) -> bool {
        let mut budget = BUDGET;
        let count = self.followers.len();
        for at in 0..count {
            let follower = &mut self.followers[(self.first + at) % count];
            let mut place = ctx.state.files.remove(follower.file());
            let look = follower.look(&mut place, ctx.config.from, budget);
            ctx.state.files.extend(place.map(|place| (follower.file().to_owned(), place)));
            budget.bytes = budget.bytes.saturating_sub(look.bytes);
            budget.lines = budget.lines.saturating_sub(look.lines.len());
            let has_more = look.more || budget.bytes == 0 || budget.lines == 0;
            report(follower.file(), look, ctx);
            if has_more {
                // Whoever had the whole budget lets the next one go first; whoever had the rest of it begins.
                self.first = (self.first + at.max(1)) % count;
                return true;
            }
        }
        false
    }
}

impl TryFrom<Written> for Config {
    type Error = String;

    fn try_from(written: Written) -> std::result::Result<Self, String> {
        let one = Some(written.file).filter(|file| !file.is_empty());
        let files: BTreeSet<String> = written.files.into_iter().chain(one).collect();
        match files.len() {
            0 => Err("there is nothing to follow: give a file, or files".to_owned()),
            count if count > MAX_FILES => Err(format!("{MAX_FILES} files can be followed at most, not {count}")),
            _ => Ok(Self { files, from: written.from }),
        }
    }
}

fn report(file: &str, look: Look, ctx: &mut Context<Tail>) {
    for news in look.news {
        let text = format!("{file} {news}");
        match news {
            News::Fault(_) | News::Lost { .. } => ctx.error(text),
            News::Back | News::Rotated | News::Restarted { .. } => ctx.log(text),
        }
    }
    for line in look.lines {
        ctx.emit(message(file, line));
    }
}

fn message(file: &str, line: Line) -> Map {
    let mut message = fields! { file: file, line: line.text };
    if let Some(number) = line.number {
        message.insert("line_number", number);
    }
    for (name, is_so) in [("truncated", line.truncated), ("lossy", line.lossy)] {
        if is_so {
            message.insert(name, true);
        }
    }
    message
}
