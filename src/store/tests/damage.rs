//! Damaged and refused files.

use super::super::encoding::Encoder;
use super::super::{AsideReason, Record, Recovered, StoreError, TaskStore};
use super::sample::{contents, file, record, recover, taken, task, written};

#[test]
fn a_slot_cut_at_any_length_gives_way_to_the_older_record() {
    let dir = tempfile::tempdir().unwrap();
    drop(written(dir.path(), 6));
    let files = contents(dir.path());
    let newest = std::fs::read(file(dir.path(), ".0")).unwrap();
    let header = newest.iter().position(|byte| *byte == b'\n').unwrap();
    for length in 0..newest.len() {
        std::fs::write(file(dir.path(), ".0"), &newest[..length]).unwrap();
        let (mut store, taken) = taken(dir.path());
        assert_eq!(taken.record, record(5), "cut at {length}");
        let [aside] = &taken.aside[..] else { panic!("cut at {length}: {:?}", taken.aside) };
        let torn = length == 0 || length > header;
        assert_eq!(matches!(aside.reason, AsideReason::Torn(_)), torn, "cut at {length}: {aside}");
        assert_eq!(aside.moved_to.is_none(), torn, "cut at {length}: {aside}");
        assert_eq!(taken.rolled_back(), !torn, "cut at {length}: {aside}");
        store.write(&record(6)).unwrap();
        assert_eq!(std::fs::read(file(dir.path(), ".0")).unwrap(), newest);
    }
    let kept = contents(dir.path()).len() - files.len();
    assert_eq!(kept, 5, "so many files are kept aside at most");
}

#[test]
fn a_write_broken_off_at_any_byte_leaves_the_record_before() {
    for (old_size, new_size) in [(10, 400), (400, 10), (50, 50)] {
        let sized = |n, size| Record { state: format!("{n}").repeat(size), ..record(n) };
        let dir = tempfile::tempdir().unwrap();
        let mut store = written(dir.path(), 3);
        store.write(&sized(4, old_size)).unwrap();
        store.write(&record(5)).unwrap();
        let old = std::fs::read(file(dir.path(), ".0")).unwrap();
        let new = Encoder::default().encode(&sized(6, new_size)).unwrap().to_vec();
        let header = new.iter().position(|byte| *byte == b'\n').unwrap();
        // The header is within the first page, which a kill leaves old or new.
        for written in header + 1..new.len() {
            let torn = [&new[..written], old.get(written..).unwrap_or(b"")].concat();
            std::fs::write(file(dir.path(), ".0"), torn).unwrap();
            let (_, taken) = taken(dir.path());
            let whole = taken.record == sized(6, new_size);
            assert!(whole || taken.record == record(5), "broken off at {written}");
            assert_eq!(taken.aside.is_empty(), whole, "broken off at {written}");
            assert!(!taken.rolled_back() && taken.aside.iter().all(|aside| aside.moved_to.is_none()));
        }
    }
}

#[test]
fn an_older_slot_that_is_damaged_is_said_and_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    drop(written(dir.path(), 6));
    let older = file(dir.path(), ".1");
    let mut bytes = std::fs::read(&older).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&older, &bytes).unwrap();
    let (_, taken) = taken(dir.path());
    assert_eq!(taken.record, record(6));
    let [aside] = &taken.aside[..] else { panic!("{:?}", taken.aside) };
    assert!(matches!(aside.reason, AsideReason::Damaged(_)) && aside.n == Some(5), "{aside}");
    assert_eq!(std::fs::read(aside.moved_to.as_ref().unwrap()).unwrap(), bytes);
    assert!(!taken.rolled_back());
}

#[test]
fn a_task_none_of_whose_records_is_good_is_not_started_and_nothing_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    drop(written(dir.path(), 6));
    for (suffix, bytes) in [("", "damage"), (".0", ""), (".1", "(ct: 12)\n")] {
        std::fs::write(file(dir.path(), suffix), bytes).unwrap();
    }
    let before = contents(dir.path());
    for _ in 0..2 {
        let (_, recovered) = recover(dir.path());
        let error = recovered.unwrap_err();
        let text = error.to_string();
        let StoreError::NoneGood { files, .. } = error else { panic!("{text}") };
        assert_eq!(files.len(), 3);
        for part in ["task Task is not started", "Task.state.1: its first line", "to start at zero, remove"] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(contents(dir.path()), before);
    }
}

#[test]
fn an_empty_slot_alone_is_no_fresh_start() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(file(dir.path(), ".1"), "").unwrap();
    assert!(matches!(recover(dir.path()).1, Err(StoreError::NoneGood { .. })));
}

#[test]
fn a_record_of_a_newer_program_stops_the_start_and_nothing_is_touched() {
    for suffix in ["", ".0", ".1"] {
        let dir = tempfile::tempdir().unwrap();
        drop(written(dir.path(), 6));
        std::fs::write(file(dir.path(), suffix), "multimodule state 2 n=9\n").unwrap();
        let before = contents(dir.path());
        let text = recover(dir.path()).1.unwrap_err().to_string();
        assert!(text.contains("format 2") && text.contains("run the newer program"), "{text}");
        assert_eq!(contents(dir.path()), before);
    }
}

/// Recovers with a check that takes no count above `limit`.
fn recover_up_to(dir: &std::path::Path, limit: u64) -> (TaskStore, Result<Recovered, StoreError>) {
    let mut store = TaskStore::open(dir, &task()).unwrap();
    let recovered = store.recover(&mut |record| if record.n > limit { Err("ct is odd".to_owned()) } else { Ok(()) });
    (store, recovered)
}

#[test]
fn a_record_that_the_task_refuses_is_kept_aside_and_the_older_one_taken() {
    let dir = tempfile::tempdir().unwrap();
    drop(written(dir.path(), 6));
    let (mut store, recovered) = recover_up_to(dir.path(), 5);
    let Recovered::Taken(taken_then) = recovered.unwrap() else { panic!("it is not fresh") };
    assert_eq!(taken_then.record, record(5));
    assert!(taken_then.rolled_back());
    let text = taken_then.aside[0].to_string();
    assert!(text.contains("the task refuses it: ct is odd; it is kept as "), "{text}");
    store.write(&record(6)).unwrap();
    assert_eq!(taken(dir.path()).1.record, record(6));
}

#[test]
fn when_both_slots_are_refused_the_checkpoint_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    drop(written(dir.path(), 6));
    let (mut store, recovered) = recover_up_to(dir.path(), 1);
    let Recovered::Taken(taken_then) = recovered.unwrap() else { panic!("it is not fresh") };
    assert_eq!((taken_then.record, taken_then.aside.len()), (record(1), 2));
    store.write(&record(2)).unwrap();
    assert_eq!(taken(dir.path()).1.record, record(2));
}

#[test]
fn a_task_that_refuses_all_keeps_its_files_for_the_code_that_takes_them() {
    let dir = tempfile::tempdir().unwrap();
    drop(written(dir.path(), 6));
    let before = contents(dir.path());
    let text = recover_up_to(dir.path(), 0).1.unwrap_err().to_string();
    assert!(text.contains("the task refuses it: ct is odd"), "{text}");
    assert_eq!(contents(dir.path()), before);
    assert_eq!(taken(dir.path()).1.record, record(6));
}
