//! What serves all tasks of a process in the background: the doorman and the watchman.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::office::Office;
use super::waits::Circles;
use super::watch::{Looks, Watch};
use crate::transit::{AsyncBell, Bell};

/// The longest sleep of the doorman: a ring that was lost (none should be) is made up for after it.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// How often the watchman looks.
const WATCH_EVERY: Duration = Duration::from_millis(250);

/// Answers the doorbell of this process, and keeps the transit tidy.
pub(super) struct Doorman;

impl Doorman {
    pub(super) fn start(bell: Arc<Bell>, office: Arc<Office>) -> JoinHandle<()> {
        tokio::spawn(async move {
            if let Err(error) = answer(&bell, &office).await {
                tracing::error!("the doorbell cannot be heard, queues are looked at once a second: {error}");
                loop {
                    tokio::time::sleep(LONGEST_SLEEP).await;
                    bell.look_again();
                    office.tidy();
                }
            }
        })
    }
}

async fn answer(bell: &Arc<Bell>, office: &Office) -> std::io::Result<()> {
    let mut listening = AsyncBell::new(bell.clone())?;
    let (mut tidied, mut circles) = (Instant::now(), Circles::default());
    loop {
        match tokio::time::timeout(LONGEST_SLEEP, listening.rung()).await {
            Ok(answered) => drop(answered?),
            Err(_) => bell.look_again(),
        }
        if tidied.elapsed() >= LONGEST_SLEEP {
            tidied = Instant::now();
            // Also while rings for other queues keep coming.
            bell.wake_waiting();
            office.tidy();
            if let Err(error) = listening.mend() {
                tracing::error!("the doorbell was removed and could not be made anew: {error}");
            }
            for line in circles.news(&office.waits.list(), SystemTime::now()) {
                tracing::error!("{line}");
            }
        }
    }
}

/// Looks for tasks that block their thread. A thread of its own: the runtime's may all be blocked.
///
/// It also wakes the others: a thread of the runtime that is blocked may be the one that waited for sockets and timers,
/// and those that sleep do not know that this is nobody's turn now.
pub(super) struct Watchman(Arc<AtomicBool>);

impl Watchman {
    pub(super) fn start(watch: Watch) -> Self {
        let alive = Arc::new(AtomicBool::new(true));
        let watched = Arc::downgrade(&alive);
        let runtime = Handle::current();
        let spawned =
            std::thread::Builder::new().name("watchman".into()).spawn(move || look(&watch, &watched, &runtime));
        if let Err(error) = spawned {
            tracing::error!("tasks that block their thread will not be reported: {error}");
        }
        Self(alive)
    }
}

impl Drop for Watchman {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

fn look(watch: &Watch, alive: &Weak<AtomicBool>, runtime: &Handle) {
    let mut looks = Looks::default();
    while alive.upgrade().is_some_and(|alive| alive.load(Ordering::Relaxed)) {
        std::thread::sleep(WATCH_EVERY);
        let blocked = looks.look(watch, Instant::now());
        if looks.is_blocked() {
            // Work from outside wakes a thread that sleeps; it goes on to wait for sockets and timers.
            drop(runtime.spawn(async {}));
        }
        for blocked in blocked {
            let task = blocked.task.as_str();
            tracing::error!(
                task,
                "{task} has blocked its thread for {:.1} s; what takes long belongs into an await, or set \
                 `blocking: true` for a thread of its own",
                blocked.blocked.as_secs_f64()
            );
        }
    }
}
