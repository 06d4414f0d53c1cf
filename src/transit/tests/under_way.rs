//! Inputs on which processes end.

use super::*;

/// A consumer whose process ends while it handles message `n`, the first being 0.
fn ends_on(fixture: &Fixture, n: usize) -> Vec<bool> {
    let mut consumer = fixture.consumer();
    let taken = drain(&mut consumer);
    consumer.under_way(taken[n].lane).unwrap().begin(taken[n].end);
    taken.iter().map(|taken| taken.is_poison()).collect()
}

#[test]
fn an_input_on_which_three_processes_ended_is_poison_until_it_is_finished_and_no_other_is() {
    let fixture = Fixture::new();
    append_numbers(&fixture.sender(), 0..4);
    for _ in 0..3 {
        assert_eq!(ends_on(&fixture, 1), [false; 4]);
    }
    assert_eq!(ends_on(&fixture, 2), [false, true, false, false]);
    // Whoever took it out, and was killed before that was kept, takes it out again.
    let mut consumer = fixture.consumer();
    let taken = drain(&mut consumer);
    assert_eq!(taken.iter().map(|taken| taken.is_poison()).collect::<Vec<_>>(), [false, true, false, false]);
    finish_all(&mut consumer, &taken[..2]);
    drop(consumer);
    for _ in 0..3 {
        assert_eq!(ends_on(&fixture, 1), [false, false]);
    }
    assert_eq!(ends_on(&fixture, 0), [false, true]);
}

#[test]
fn an_input_whose_handler_returned_is_not_counted_and_neither_is_one_that_is_finished() {
    let fixture = Fixture::new();
    append_numbers(&fixture.sender(), 0..2);
    for _ in 0..5 {
        let mut consumer = fixture.consumer();
        let taken = drain(&mut consumer);
        let under_way = consumer.under_way(taken[0].lane).unwrap();
        under_way.begin(taken[0].end);
        under_way.done();
    }
    assert_eq!(ends_on(&fixture, 0), [false; 2]);
    let mut consumer = fixture.consumer();
    let taken = drain(&mut consumer);
    consumer.under_way(taken[0].lane).unwrap().begin(taken[0].end);
    finish_all(&mut consumer, &taken[..1]);
    drop(consumer);
    assert_eq!(ends_on(&fixture, 0), [false]);
}

#[test]
fn an_input_that_is_handled_when_the_end_of_its_process_was_asked_for_is_not_counted() {
    let fixture = Fixture::new();
    append_numbers(&fixture.sender(), 0..2);
    let ends_when_asked = || {
        let transit = Transit::open(fixture.directory.path()).unwrap();
        let mut consumer = fixture.consumer_of(&transit).unwrap();
        let taken = drain(&mut consumer);
        let under_way = consumer.under_way(taken[0].lane).unwrap();
        under_way.begin(taken[0].end);
        transit.spare_inputs();
        // What comes after it is not noted either.
        under_way.begin(taken[1].end);
        taken.iter().map(|taken| taken.ended).collect::<Vec<_>>()
    };
    for _ in 0..5 {
        assert_eq!(ends_when_asked(), [0, 0]);
    }
    // Who only sends to a queue, and ends, says nothing of what its consumer handles.
    let mut consumer = fixture.consumer();
    let taken = drain(&mut consumer);
    consumer.under_way(taken[0].lane).unwrap().begin(taken[0].end);
    let sending = Transit::open(fixture.directory.path()).unwrap();
    let _sender = sending.sender(&fixture.queue, &lane("process:sending")).unwrap();
    sending.spare_inputs();
    drop(consumer);
    assert_eq!(drain(&mut fixture.consumer())[0].ended, 1);
}

#[test]
fn a_consequence_on_which_three_processes_ended_is_poison_and_others_are_not() {
    let fixture = Fixture::new();
    let ends_on = |keys: &[u64]| {
        let consumer = fixture.consumer();
        let consequences = consumer.consequences();
        keys.iter().for_each(|key| std::mem::forget(consequences.begin(*key)));
        [5, 6, 7].map(|key| consequences.is_poison(key))
    };
    assert_eq!(ends_on(&[5, 6]), [false; 3]);
    assert_eq!(ends_on(&[6, 7]), [false; 3]);
    assert_eq!(ends_on(&[6]), [false; 3]);
    // One that is handled to its end, one that is given back and one whose process was asked to end do not count.
    drop(fixture.consumer().consequences().begin(7));
    assert_eq!(ends_on(&[7]), [false, true, false]);
    let consumer = fixture.consumer();
    let consequences = consumer.consequences();
    std::mem::forget(consequences.begin(7));
    consequences.release();
    drop(consumer);
    let transit = Transit::open(fixture.directory.path()).unwrap();
    let consumer = fixture.consumer_of(&transit).unwrap();
    std::mem::forget(consumer.consequences().begin(7));
    transit.spare_inputs();
    drop(consumer);
    // More suspects than places: what is poison stays.
    (100..120).for_each(|key| _ = ends_on(&[key]));
    assert_eq!(ends_on(&[]), [false, true, false]);
}
