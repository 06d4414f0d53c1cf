//! Runs a task's code so that its panic ends the activation and nothing else, and says whose turn it is.

use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use super::watch::Turn;

thread_local! {
    /// What the panic hook saw of the panic that is being caught on this thread.
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
    static GUARDED: RefCell<bool> = const { RefCell::new(false) };
}

/// Installs the hook that keeps a guarded panic's place for its report, instead of printing it in the middle of
/// other lines. Panics elsewhere are printed as before.
pub fn install_panic_hook() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !GUARDED.with_borrow(|guarded| *guarded) {
            return print(info);
        }
        let place = info.location().map_or(String::new(), |at| format!(" at {}:{}", at.file(), at.line()));
        LAST_PANIC.set(Some(format!("{}{place}", text_of(info.payload()))));
    }));
}

fn text_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without text".to_owned())
}

/// Polls `future` with panics caught; `Err` has the panic's text and place.
pub(super) async fn guarded<F: Future>(turn: &Turn, future: F) -> Result<F::Output, String> {
    Guarded { turn, future: pin!(future) }.await
}

struct Guarded<'a, F> {
    turn: &'a Turn,
    future: Pin<&'a mut F>,
}

impl<F: Future> Future for Guarded<'_, F> {
    type Output = Result<F::Output, String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let turn = self.turn.begin();
        GUARDED.set(true);
        // The task's value may be broken after a panic: whoever gets the `Err` makes a new one.
        let polled = catch_unwind(AssertUnwindSafe(|| self.future.as_mut().poll(cx)));
        GUARDED.set(false);
        drop(turn);
        match polled {
            Ok(poll) => poll.map(Ok),
            Err(payload) => Poll::Ready(Err(LAST_PANIC.take().unwrap_or_else(|| text_of(payload.as_ref())))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::watch::Watch;

    #[tokio::test]
    async fn a_panic_ends_the_call_and_is_told() {
        let watch = Watch::new();
        let turn = watch.register(crate::name::TaskName::new("t").unwrap());
        let text = guarded(&turn, async { panic!("number {}", 7) }).await.unwrap_err();
        assert!(text.starts_with("number 7"), "{text}");
        assert_eq!(guarded(&turn, async { 3 }).await, Ok(3));
    }
}
