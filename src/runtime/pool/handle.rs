//! What a node holds of a pool.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::super::office::Office;
use super::dispatcher::Dispatcher;
use crate::config::Balance;
use crate::name::TaskName;
use crate::transit::{Bell, Settings};

/// What a config says about a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Terms {
    /// How many workers it has; none: the task is no pool any more.
    pub(in super::super) workers: u32,
    /// Which of them gets a message.
    pub(in super::super) balance: Balance,
    /// What the pool's queue is told about its bound.
    pub(in super::super) settings: Settings,
}

/// What a dispatcher is told beside its terms. It may be told too much, too late, or nothing: it looks by itself.
#[derive(Default)]
pub(super) struct Hearsay {
    /// Rung when there is something to look at.
    pub(super) rung: Arc<Notify>,
    /// Workers that are said to have begun or ended: as many as there are, at most.
    workers: Mutex<BTreeSet<u32>>,
}

impl Hearsay {
    fn of_worker(&self, number: u32) {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
        self.rung.notify_one();
    }

    /// The workers that were told of since the last call.
    pub(super) fn take(&self) -> BTreeSet<u32> {
        std::mem::take(&mut *self.workers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A pool whose queue is dealt out in this process.
pub(in super::super) struct PoolHandle {
    /// None: it is to end.
    terms: watch::Sender<Option<Terms>>,
    hearsay: Arc<Hearsay>,
    is_dissolved: bool,
    join: JoinHandle<()>,
}

impl PoolHandle {
    /// Begins to deal out the queue of `pool`, or to put back into it what the workers of a former pool have left. Must be called within a tokio runtime.
    pub(in super::super) fn start(
        office: &Arc<Office>,
        bell: &Arc<Bell>,
        description: &str,
        pool: &TaskName,
        terms: Terms,
    ) -> Self {
        let (sender, receiver) = watch::channel(Some(terms.clone()));
        let is_dissolved = terms.workers == 0;
        let (office, bell, hearsay) = (office.clone(), bell.clone(), Arc::new(Hearsay::default()));
        let dispatcher = Dispatcher::new(office, bell, description.to_owned(), pool.clone(), terms, hearsay.clone());
        let join = if is_dissolved {
            tokio::spawn(dispatcher.dissolve(receiver))
        } else {
            tokio::spawn(dispatcher.run(receiver))
        };
        Self { terms: sender, hearsay, is_dissolved, join }
    }

    /// Whether the task is no pool any more.
    pub(in super::super) fn is_dissolved(&self) -> bool {
        self.is_dissolved
    }

    /// A worker is said to have begun or ended.
    pub(in super::super) fn look_at(&self, number: u32) {
        self.hearsay.of_worker(number);
    }

    /// Goes on by other terms.
    pub(in super::super) fn configure(&self, terms: Terms) {
        self.terms.send_if_modified(|now| {
            let changed = now.as_ref() != Some(&terms);
            *now = Some(terms);
            changed
        });
    }

    /// Ends it: all it dealt is finished, and the queue is given back. It never waits for room, so this takes a moment.
    pub(in super::super) async fn stop(self) {
        self.terms.send_replace(None);
        if self.join.await.is_err() {
            tracing::error!("the dispatcher of a pool has ended by a panic");
        }
    }
}
