//! Renewals, one process after another: the next is begun when the one before runs.
//!
//! Invariant: at most one process is away for a renewal; after one that failed, no other is ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::renewal::Outcome;
use super::watcher::Request;
use crate::name::TaskName;

/// How many orders wait for the one before: a person gives them.
const ORDERS: usize = 16;
/// How long the renewal of one process may take: its end with all force, and a slow start.
const RENEWED: Duration = Duration::from_secs(30);
/// How long the end of the daemon waits for the renewal under way: an end by force takes 4 s, a start well below one.
const LEAVE: Duration = Duration::from_secs(10);

/// The processes of one order, by name.
pub(super) type Order = Vec<(TaskName, mpsc::Sender<Request>)>;

/// What renews, in a task of its own.
pub(super) struct Rolling {
    orders: Option<mpsc::Sender<Order>>,
    leaving: Arc<AtomicBool>,
    task: Option<JoinHandle<()>>,
}

impl Rolling {
    pub(super) fn start() -> Self {
        let (orders, rx) = mpsc::channel(ORDERS);
        let leaving = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(run(rx, leaving.clone()));
        Self { orders: Some(orders), leaving, task: Some(task) }
    }

    /// Takes an order; false: too many wait.
    pub(super) fn order(&self, order: Order) -> bool {
        self.orders.as_ref().is_some_and(|orders| orders.try_send(order).is_ok())
    }

    /// Begins no further renewal, and waits for the one under way: what it has ended is to run again.
    pub(super) async fn leave(&mut self) {
        self.leaving.store(true, Ordering::Relaxed);
        self.orders = None;
        if let Some(task) = self.task.take()
            && tokio::time::timeout(LEAVE, task).await.is_err()
        {
            tracing::error!("a renewal is left unfinished; the next daemon starts what is missing");
        }
    }
}

async fn run(mut orders: mpsc::Receiver<Order>, leaving: Arc<AtomicBool>) {
    while let Some(order) = orders.recv().await {
        roll(order, &leaving).await;
    }
}

async fn roll(order: Order, leaving: &AtomicBool) {
    let mut renewed = 0;
    let mut left = order.into_iter();
    while let Some((process, watcher)) = left.next() {
        let outcome = if leaving.load(Ordering::Relaxed) { None } else { renew(&process, &watcher).await };
        match outcome {
            Some(Outcome::Renewed) => renewed += 1,
            Some(Outcome::NothingToDo) => {}
            Some(Outcome::Failed) | None => {
                let rest: Vec<_> = left.map(|(process, _)| process.to_string()).collect();
                let rest = if rest.is_empty() { "none".to_owned() } else { rest.join(", ") };
                tracing::error!("renewing stops at {process}; left as they are: {rest}");
                return;
            }
        }
    }
    match renewed {
        0 => tracing::info!("nothing is renewed: nothing was to be"),
        _ => tracing::info!("{renewed} external processes are renewed"),
    }
}

/// None: it is not known what came of it.
async fn renew(process: &TaskName, watcher: &mpsc::Sender<Request>) -> Option<Outcome> {
    let (done, renewed) = oneshot::channel();
    if watcher.send(Request::Renew { done }).await.is_err() {
        // Nobody wants that process any more, and it is gone.
        return Some(Outcome::NothingToDo);
    }
    match tokio::time::timeout(RENEWED, renewed).await {
        Ok(outcome) => outcome.ok(),
        Err(_) => {
            let task = process.as_str();
            tracing::error!(task, "{process}: nothing answers {} s after its renewal has begun", RENEWED.as_secs());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Watchers that answer with these outcomes; which of them were asked.
    async fn check(outcomes: &[Outcome], expected: &[usize]) {
        let (asked, mut was_asked) = mpsc::channel(outcomes.len() + 1);
        let order = outcomes.iter().enumerate().map(|(number, outcome)| {
            let (tx, mut rx) = mpsc::channel(1);
            let (asked, outcome) = (asked.clone(), *outcome);
            tokio::spawn(async move {
                while let Some(Request::Renew { done }) = rx.recv().await {
                    asked.send(number).await.unwrap();
                    done.send(outcome).unwrap();
                }
            });
            (TaskName::new(format!("T{number}")).unwrap(), tx)
        });
        let order: Order = order.collect();
        drop(asked);
        roll(order, &AtomicBool::new(false)).await;
        let mut all = Vec::new();
        while let Some(number) = was_asked.recv().await {
            all.push(number);
        }
        assert_eq!(all, expected, "{outcomes:?}");
    }

    #[tokio::test]
    async fn one_is_renewed_after_the_other_until_one_fails() {
        use Outcome::{Failed, NothingToDo, Renewed};
        check(&[Renewed, NothingToDo, Renewed], &[0, 1, 2]).await;
        check(&[Renewed, Failed, Renewed], &[0, 1]).await;
        check(&[], &[]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_does_not_come_back_stops_the_others() {
        let (silent, mut silent_asked) = mpsc::channel(1);
        let (other, mut other_asked) = mpsc::channel(1);
        let names = ["A", "B"].map(|name| TaskName::new(name).unwrap());
        let order: Order = names.into_iter().zip([silent, other]).collect();
        roll(order, &AtomicBool::new(false)).await;
        assert!(matches!(silent_asked.recv().await, Some(Request::Renew { .. })));
        assert!(other_asked.recv().await.is_none());
    }
}
