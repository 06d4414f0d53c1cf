//! Sends the lines of a log, and, to whoever follows, what comes after, until it goes.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::channel::{Channel, Sender};
use tokio::time::{sleep, timeout};

use super::answers::Body;
use super::log_lines::LogFile;
use crate::channel::Recent;
use crate::name::TaskName;

/// How often it looks for new lines: as fast as a person reads.
const LOOK: Duration = Duration::from_millis(200);

/// How long a follower may take to accept what there is; then it has gone to sleep, and is left.
const STALL: Duration = Duration::from_secs(30);

/// How much waits for a follower: portions of at most 64 KiB.
const PORTIONS: usize = 4;

/// Where lines come from.
#[derive(Debug)]
pub(super) enum Source {
    /// Log files of processes.
    Files(Vec<LogFile>),
    /// What this process says, of one task or of all.
    Recent { recent: Recent, task: Option<TaskName>, next: u64 },
}

impl Source {
    pub(super) fn files(paths: Vec<PathBuf>) -> Self {
        Self::Files(paths.into_iter().map(LogFile::new).collect())
    }

    fn last(&mut self, lines: usize) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Files(files) => {
                files.iter_mut().map(|file| file.last(lines)).collect::<Result<Vec<_>, _>>().map(|all| all.concat())
            }
            Self::Recent { recent, task, next } => {
                let (found, after) = recent.after(0, task.as_ref().map(TaskName::as_str));
                *next = after;
                Ok(found[found.len().saturating_sub(lines)..].concat().into_bytes())
            }
        }
    }

    fn more(&mut self) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Files(files) => {
                files.iter_mut().map(LogFile::more).collect::<Result<Vec<_>, _>>().map(|all| all.concat())
            }
            Self::Recent { recent, task, next } => {
                let (found, after) = recent.after(*next, task.as_ref().map(TaskName::as_str));
                *next = after;
                Ok(found.concat().into_bytes())
            }
        }
    }
}

/// The body with the last `lines` lines, and with all that follow if `follow`; `held` is let go at its end.
pub(super) fn body(mut source: Source, lines: usize, follow: bool, held: impl Send + 'static) -> std::io::Result<Body> {
    let first = source.last(lines)?;
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(PORTIONS);
    tokio::spawn(async move {
        let _held = held;
        if !send(&mut sender, first).await || !follow {
            return;
        }
        loop {
            // A file that fails ends the stream; what was there is told.
            let Ok(more) = source.more() else { return };
            if more.is_empty() {
                sleep(LOOK).await;
            }
            // Also when it is nothing: so it is noticed that nobody follows any more.
            if !send(&mut sender, more).await {
                return;
            }
        }
    });
    Ok(body.boxed())
}

/// False: nobody is there any more.
async fn send(sender: &mut Sender<Bytes>, bytes: Vec<u8>) -> bool {
    matches!(timeout(STALL, sender.send_data(Bytes::from(bytes))).await, Ok(Ok(())))
}
