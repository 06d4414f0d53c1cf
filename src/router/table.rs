//! The routing table, and the way of one message through it.

use std::collections::HashMap;

use super::compile;
use super::hops::{self, BadStaticForwards};
use super::index::{Candidates, Index};
use super::pattern::Match;
use super::special::Groups;
use super::transform::Transform;
use crate::config::{PathFault, ValuePath};
use crate::message::Message;
use crate::name::QueueName;
use crate::value::Value;

/// The routes of one config, compiled; it never changes.
#[derive(Debug, Default)]
pub struct RoutingTable {
    routes: Vec<Route>,
    index: Index,
    queues: Queues,
}

/// A queue that the table's routes name: its place in [`RoutingTable::queues`].
///
/// It means nothing to another table.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub struct QueueIndex(u32);

/// Where a copy goes.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub enum Target {
    /// To a queue that the table names.
    Known(QueueIndex),
    /// To a queue that only the message's `static_forwards` name.
    Named(QueueName),
}

/// One route.
#[derive(Debug)]
pub(super) struct Route {
    /// The tests that a hit in the index has not made.
    pub(super) test: Match,
    pub(super) transform: Option<Transform>,
    pub(super) forwards: Vec<QueueIndex>,
    pub(super) short_circuit: bool,
    /// What the index looks at, the transform may set. Told by [`RoutingTable::of`].
    pub(super) reindexes: bool,
}

impl QueueIndex {
    /// The index as a number, to look things up in tables of one's own.
    #[must_use]
    pub fn get(self) -> usize {
        self.0 as usize
    }
}

impl RoutingTable {
    /// Compiles the config's `Router` entry, without the keys of the framework; [`Value::Null`] has no routes.
    ///
    /// Fails with every fault at once; their paths begin below the entry (`routes[2].forwards[0].qname`).
    pub fn compile(config: &Value) -> Result<Self, Vec<PathFault>> {
        compile::table(config)
    }

    pub(super) fn of(mut routes: Vec<Route>, queues: Queues) -> Self {
        let index = Index::build(&mut routes.iter_mut().map(|route| &mut route.test).collect::<Vec<_>>());
        for route in &mut routes {
            let sets_indexed = |transform: &Transform| transform.fields().any(|field| index.looks_at(field));
            route.reindexes = route.transform.as_ref().is_some_and(sets_indexed);
        }
        Self { routes, index, queues }
    }

    /// Every queue that a forward names, once, in the order of first mention.
    #[must_use]
    pub fn queues(&self) -> &[QueueName] {
        &self.queues.names
    }

    /// The queue of that name, if a forward names it.
    #[must_use]
    pub fn queue(&self, name: &str) -> Option<QueueIndex> {
        self.queues.by_name.get(name).copied()
    }

    /// The name of a queue of this table.
    ///
    /// # Panics
    /// When `queue` is another table's.
    #[must_use]
    pub fn name(&self, queue: QueueIndex) -> &QueueName {
        &self.queues.names[queue.get()]
    }

    /// Where the config names this queue first.
    ///
    /// # Panics
    /// When `queue` is another table's.
    #[must_use]
    pub fn mention(&self, queue: QueueIndex) -> &ValuePath {
        &self.queues.mentions[queue.get()]
    }

    /// Whether some forward says that another program reads this queue (`outside: true`).
    ///
    /// # Panics
    /// When `queue` is another table's.
    #[must_use]
    pub fn is_outside(&self, queue: QueueIndex) -> bool {
        self.queues.outside[queue.get()]
    }

    /// Hands a copy of `message` to `deliver` for every target, in order, and returns how many there were.
    ///
    /// Every route that matches applies, unless the message brings `static_forwards` along: then its first hop
    /// alone. Copies share their fields until one is changed; the last one is moved. Fails when the message's
    /// `static_forwards` are malformed: nothing was delivered then.
    pub fn route(
        &self,
        message: Message,
        mut deliver: impl FnMut(Target, Message),
    ) -> Result<usize, BadStaticForwards> {
        let fields = message.view();
        if hops::has_hop(fields) {
            return hops::take(message, self, &mut deliver);
        }
        let mut candidates = Candidates::default();
        self.index.find(fields, 0, &mut candidates);
        let mut walk = Walk { message, waiting: None, copies: 0, deliver };
        while let Some(number) = candidates.next() {
            let route = &self.routes[number as usize];
            if !route.test.is_empty() && !route.test.holds(walk.message.view()) {
                continue;
            }
            if let Some(transform) = &route.transform {
                walk = walk.changed(&route.test, transform);
            }
            for queue in &route.forwards {
                walk.forward(*queue);
            }
            if route.short_circuit {
                break;
            }
            if route.reindexes {
                self.index.find(walk.message.view(), number + 1, &mut candidates);
            }
        }
        Ok(walk.finish())
    }
}

/// A message on its way through the routes.
struct Walk<D> {
    message: Message,
    /// The last target met: it gets the message itself if nothing follows, else a copy.
    waiting: Option<QueueIndex>,
    copies: usize,
    deliver: D,
}

impl<D: FnMut(Target, Message)> Walk<D> {
    fn forward(&mut self, queue: QueueIndex) {
        self.flush();
        self.waiting = Some(queue);
    }

    /// Delivers what waits for the message as it is now, ahead of what changes or follows.
    fn flush(&mut self) {
        if let Some(queue) = self.waiting.take() {
            self.copies += 1;
            (self.deliver)(Target::Known(queue), self.message.clone());
        }
    }

    fn changed(mut self, test: &Match, transform: &Transform) -> Self {
        self.flush();
        let groups = if transform.uses_groups() { test.groups(self.message.view()) } else { Groups::default() };
        Self { message: transform.changed(self.message, &groups), ..self }
    }

    fn finish(mut self) -> usize {
        if let Some(queue) = self.waiting {
            self.copies += 1;
            (self.deliver)(Target::Known(queue), self.message);
        }
        self.copies
    }
}

/// The queues that forwards name.
#[derive(Debug, Default)]
pub(super) struct Queues {
    names: Vec<QueueName>,
    mentions: Vec<ValuePath>,
    outside: Vec<bool>,
    by_name: HashMap<QueueName, QueueIndex>,
}

impl Queues {
    /// The index of `name`, which a forward at `at` mentions.
    pub(super) fn intern(&mut self, name: &QueueName, at: &ValuePath, outside: bool) -> QueueIndex {
        let known = self.by_name.get(name).copied();
        let queue = known.unwrap_or_else(|| {
            let next = u32::try_from(self.names.len()).expect("a config names fewer than 2^32 queues");
            self.names.push(name.clone());
            self.mentions.push(at.clone());
            self.outside.push(false);
            self.by_name.insert(name.clone(), QueueIndex(next));
            QueueIndex(next)
        });
        self.outside[queue.get()] |= outside;
        queue
    }
}
