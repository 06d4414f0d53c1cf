//! How long an actor has its thread.
//!
//! Two looks at the clock for each poll, some 50 ns: a poll handles up to some hundred messages under load. Idle actors
//! are not polled.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::handle::Counters;
use super::registry::Running;
use super::work::Ended;

/// An actor whose time is counted.
pub(super) struct Timed {
    actor: Running,
    counters: Arc<Counters>,
}

impl Timed {
    pub(super) fn new(actor: Running, counters: Arc<Counters>) -> Self {
        Self { actor, counters }
    }
}

impl Future for Timed {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let begin = Instant::now();
        let polled = self.actor.as_mut().poll(cx);
        let busy_ns = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Counters::add(&self.counters.busy_ns, busy_ns);
        polled
    }
}
