//! The protocol under loom: every interleaving of a sender and a consumer, and every stale value the memory model
//! lets a load return.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};

use super::protocol::{
    AWAKE, Mark, Memory, Word, announce, await_finished, collect, fall_asleep, is_awaited, is_still, observe, publish,
    renew, wake_up,
};

impl Word for AtomicU64 {
    fn load(&self, order: Ordering) -> u64 {
        Self::load(self, order)
    }
    fn store(&self, value: u64, order: Ordering) {
        Self::store(self, value, order);
    }
    fn swap(&self, value: u64, order: Ordering) -> u64 {
        Self::swap(self, value, order)
    }
    fn fetch_or(&self, value: u64, order: Ordering) -> u64 {
        Self::fetch_or(self, value, order)
    }
    fn exchange(&self, old: u64, new: u64, order: Ordering) -> bool {
        self.compare_exchange(old, new, order, Ordering::Relaxed).is_ok()
    }
}

/// Loom's memory, with the fences in place.
struct Fenced;

impl Memory for Fenced {
    type Word = AtomicU64;
    fn fence(order: Ordering) {
        loom::sync::atomic::fence(order);
    }
}

/// The same without the fences: what the tests must find to be broken.
struct Unfenced;

impl Memory for Unfenced {
    type Word = AtomicU64;
    fn fence(_: Ordering) {}
}

/// A lane of two places that are used in turn, as segments are.
struct Lane {
    places: [UnsafeCell<u64>; 2],
    written: AtomicU64,
    written_count: AtomicU64,
    finished: AtomicU64,
    finished_count: AtomicU64,
    bits: [AtomicU64; 1],
    sleeping: AtomicU64,
    rung: AtomicU64,
}

impl Lane {
    fn new() -> Arc<Self> {
        let word = || AtomicU64::new(0);
        Arc::new(Self {
            places: [UnsafeCell::new(0), UnsafeCell::new(0)],
            written: word(),
            written_count: word(),
            finished: word(),
            finished_count: word(),
            bits: [word()],
            sleeping: AtomicU64::new(AWAKE),
            rung: word(),
        })
    }

    /// Message `n` (from 1 on) says `n`; false when its place is not finished yet.
    fn send<M: Memory<Word = AtomicU64>>(&self, n: u64) -> bool {
        if n > 2 && observe::<M>(&self.finished, &self.finished_count).position < n - 2 {
            return false;
        }
        // Loom reports it if the consumer could still be reading here.
        self.place(n).with_mut(|place| unsafe_write(place, n));
        publish::<M>(&self.written, &self.written_count, Mark { position: n, count: n });
        if announce::<M>(&self.bits[0], 1, &self.sleeping) {
            self.rung.store(1, Ordering::Release);
        }
        true
    }

    fn place(&self, n: u64) -> &UnsafeCell<u64> {
        &self.places[usize::try_from(n % 2).unwrap()]
    }

    /// Takes what is published beyond `read`; each message is what was sent.
    fn read<M: Memory<Word = AtomicU64>>(&self, read: &mut u64) {
        let mark = observe::<M>(&self.written, &self.written_count);
        assert!(mark.count >= mark.position, "a count is never older than its position");
        while *read < mark.position {
            *read += 1;
            let said = self.place(*read).with(unsafe_read);
            assert_eq!(said, *read, "what is read is what was written");
            publish::<M>(&self.finished, &self.finished_count, Mark { position: *read, count: *read });
        }
    }

    /// A consumer's life until it falls asleep, or until it has read everything.
    fn consume<M: Memory<Word = AtomicU64>>(&self, read: &mut u64, last: u64) -> bool {
        while *read < last {
            if collect::<M>(&self.bits[0], 0) != 0 {
                self.read::<M>(read);
            } else if fall_asleep::<M>(&self.bits, &self.sleeping) {
                return true;
            } else {
                wake_up::<M>(&self.sleeping);
            }
        }
        false
    }
}

#[expect(unsafe_code, reason = "loom's cells are read through raw pointers; loom itself checks that nobody writes")]
fn unsafe_read(place: *const u64) -> u64 {
    // SAFETY: loom ends the model when this access races with another.
    unsafe { *place }
}

#[expect(unsafe_code, reason = "as above")]
fn unsafe_write(place: *mut u64, value: u64) {
    // SAFETY: loom ends the model when this access races with another.
    unsafe { *place = value };
}

/// Two messages are sent while the consumer reads and falls asleep. If it slept at the end with a message unread,
/// somebody must have rung.
fn nobody_oversleeps<M: Memory<Word = AtomicU64> + 'static>() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(4);
    model.check(|| {
        let lane = Lane::new();
        let sending = lane.clone();
        let sender = loom::thread::spawn(move || {
            assert!(sending.send::<M>(1));
            assert!(sending.send::<M>(2));
        });
        let mut read = 0;
        let asleep = lane.consume::<M>(&mut read, 2);
        sender.join().unwrap();
        if asleep && read < 2 {
            assert_eq!(lane.rung.load(Ordering::Acquire), 1, "asleep with a message unread, and nobody rang");
        }
    });
}

#[test]
fn no_wake_up_is_lost_in_any_interleaving() {
    nobody_oversleeps::<Fenced>();
}

#[test]
fn without_the_fences_a_wake_up_is_lost_and_the_model_finds_it() {
    let found = std::panic::catch_unwind(nobody_oversleeps::<Unfenced>);
    assert!(found.is_err(), "the model cannot tell fences from none");
}

#[test]
fn a_place_is_used_again_only_after_it_was_read() {
    loom::model(|| {
        let lane = Lane::new();
        let sending = lane.clone();
        let sender = loom::thread::spawn(move || (1..=3).take_while(|n| sending.send::<Fenced>(*n)).count() as u64);
        let mut read = 0;
        lane.read::<Fenced>(&mut read);
        lane.read::<Fenced>(&mut read);
        let sent = sender.join().unwrap();
        lane.read::<Fenced>(&mut read);
        assert_eq!(read, sent);
    });
}

/// A reader looks at a place while it is used anew: if it believes what it saw, that was the old.
fn nobody_believes_a_place_used_anew<M: Memory<Word = AtomicU64> + 'static>() {
    loom::model(|| {
        let (usage, place) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicU64::new(1)));
        let (its_usage, its_place) = (usage.clone(), place.clone());
        let writer = loom::thread::spawn(move || {
            renew::<M>(&its_usage, 2);
            its_place.store(2, Ordering::Relaxed);
        });
        let seen = place.load(Ordering::Relaxed);
        if is_still::<M>(&usage, 1) {
            assert_eq!(seen, 1, "the new was taken for the old");
        }
        writer.join().unwrap();
    });
}

#[test]
fn what_is_read_from_a_place_used_anew_is_not_believed() {
    nobody_believes_a_place_used_anew::<Fenced>();
    assert!(std::panic::catch_unwind(nobody_believes_a_place_used_anew::<Unfenced>).is_err());
}

/// A writer waits until two messages are finished while the consumer finishes them: if it waits at the end, somebody
/// must have rung, once, and whoever rang has seen for whom.
fn no_writer_oversleeps<M: Memory<Word = AtomicU64> + 'static>() {
    loom::model(|| {
        let word = || Arc::new(AtomicU64::new(0));
        let (awaited, bell, position, count) = (word(), word(), word(), word());
        let theirs = (awaited.clone(), bell.clone(), position.clone(), count.clone());
        let consumer = loom::thread::spawn(move || {
            let (awaited, bell, position, count) = theirs;
            let mut rung = 0;
            for n in 1..=2 {
                publish::<M>(&position, &count, Mark { position: n, count: n });
                if is_awaited::<M>(&awaited, n) {
                    assert_eq!((n, bell.load(Ordering::Relaxed)), (2, 7), "rung too early, or for somebody else");
                    rung += 1;
                }
            }
            rung
        });
        bell.store(7, Ordering::Relaxed);
        let waits = await_finished::<M>(&awaited, 2, &count);
        let rung = consumer.join().unwrap();
        assert!(rung <= 1 && (rung == 1 || !waits), "the writer waits, and nobody rang");
    });
}

#[test]
fn no_writer_that_waits_is_forgotten_and_without_the_fences_the_model_finds_that_it_is() {
    no_writer_oversleeps::<Fenced>();
    assert!(std::panic::catch_unwind(no_writer_oversleeps::<Unfenced>).is_err());
}
