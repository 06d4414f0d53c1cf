//! What a node holds of a pool.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::super::office::Office;
use super::dispatcher::Dispatcher;
use crate::config::Balance;
use crate::name::TaskName;
use crate::transit::{Bell, Settings};

/// What a config says about a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Terms {
    /// How many workers it has.
    pub(in super::super) workers: u32,
    /// Which of them gets a message.
    pub(in super::super) balance: Balance,
    /// What the pool's queue is told about its bound.
    pub(in super::super) settings: Settings,
}

/// A pool whose queue is dealt out in this process.
pub(in super::super) struct PoolHandle {
    /// None: it is to end.
    terms: watch::Sender<Option<Terms>>,
    join: JoinHandle<()>,
}

impl PoolHandle {
    /// Begins to deal out the queue of `pool`. Must be called within a tokio runtime.
    pub(in super::super) fn start(
        office: &Arc<Office>,
        bell: &Arc<Bell>,
        description: &str,
        pool: &TaskName,
        terms: Terms,
    ) -> Self {
        let (sender, receiver) = watch::channel(Some(terms.clone()));
        let dispatcher = Dispatcher::new(office.clone(), bell.clone(), description.to_owned(), pool.clone(), terms);
        Self { terms: sender, join: tokio::spawn(dispatcher.run(receiver)) }
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
