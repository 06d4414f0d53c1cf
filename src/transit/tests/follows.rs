//! Lanes that follow each other.

use super::super::follows::Follows;
use super::super::*;
use super::*;

/// A queue with two lanes: `one` is read first, where nothing says otherwise.
struct Two {
    fixture: Fixture,
    one: Sender,
    other: Sender,
}

impl Two {
    fn new() -> Self {
        let fixture = Fixture::new();
        let [one, other] = ["task:one", "process:other"].map(|name| fixture.lane(name));
        Self { fixture, one, other }
    }

    /// Has the lane of `one` follow all that the other one holds.
    fn follow(&self) {
        assert!(self.one.follow(self.other.lane_id(), self.other.written().0));
    }

    fn taken(&self) -> Vec<String> {
        bodies(&drain(&mut self.fixture.consumer()))
    }
}

impl Fixture {
    fn lane(&self, name: &str) -> Sender {
        self.transit.sender(&self.queue, &lane(name)).unwrap()
    }
}

fn send(sender: &Sender, bodies: &[&str]) {
    for body in bodies {
        sender.append(&out(body.as_bytes())).unwrap();
    }
}

#[test]
fn what_is_appended_after_an_order_is_taken_after_what_the_other_lane_held() {
    let two = Two::new();
    send(&two.one, &["before"]);
    send(&two.other, &["a", "b", "c"]);
    two.follow();
    send(&two.one, &["d", "e"]);
    send(&two.other, &["f"]);
    assert_eq!(two.taken(), ["before", "a", "b", "c", "f", "d", "e"]);
}

#[test]
fn an_order_holds_for_whoever_consumes_next_from_what_is_finished() {
    let two = Two::new();
    send(&two.other, &["a", "b"]);
    two.follow();
    send(&two.one, &["c"]);
    for _ in 0..2 {
        assert_eq!(two.taken(), ["a", "b", "c"]);
    }
}

#[test]
fn while_an_order_counts_a_later_one_begins_where_that_does() {
    let two = Two::new();
    send(&two.other, &["a"]);
    two.follow();
    send(&two.one, &["c"]);
    send(&two.other, &["b"]);
    two.follow();
    send(&two.one, &["d"]);
    assert_eq!(two.taken(), ["a", "b", "c", "d"]);
}

#[test]
fn an_order_to_follow_a_third_lane_waits_until_the_first_is_finished() {
    let two = Two::new();
    let third = two.fixture.lane("process:third");
    send(&two.other, &["a"]);
    send(&third, &["b"]);
    two.follow();
    let (id, written) = (third.lane_id(), third.written().0);
    assert!(!two.one.follow(id, written));
    let mut consumer = two.fixture.consumer();
    let taken = drain(&mut consumer);
    finish_all(&mut consumer, &taken);
    assert!(two.one.follow(id, written));
}

#[test]
fn an_order_that_names_no_lane_or_more_than_a_lane_holds_holds_nothing_up() {
    let two = Two::new();
    send(&two.other, &["a"]);
    assert!(two.one.follow(LaneId(4711), 1 << 40));
    send(&two.one, &["b"]);
    assert!(two.one.follow(two.other.lane_id(), 1 << 40));
    send(&two.one, &["c"]);
    assert_eq!(two.taken().len(), 3);
}

#[test]
fn lanes_that_a_damaged_index_has_follow_each_other_are_read_all_the_same() {
    let two = Two::new();
    send(&two.one, &["a"]);
    send(&two.other, &["b"]);
    let queue = two.fixture.transit.inner().find(&two.fixture.queue).unwrap().unwrap();
    for (at, lane) in [(0, two.other.lane_id()), (1, two.one.lane_id())] {
        queue.index.slot(at).set_follows(Follows { from: 0, lane, to: 1 << 20 });
    }
    assert_eq!(two.taken().len(), 2);
}
