//! The files in the ordinary course of things, and after restores and power cuts.

use super::super::encoding::MAX_HEADER_BYTES;
use super::super::{AsideReason, Recovered, StoreError, TaskStore};
use super::sample::{contents, file, record, recover, taken, task, written};
use crate::name::TaskName;

#[test]
fn a_task_without_files_is_fresh_and_looking_makes_none() {
    let dir = tempfile::tempdir().unwrap();
    let (_, recovered) = recover(dir.path());
    assert_eq!(recovered.unwrap(), Recovered::Fresh);
    assert!(contents(dir.path()).is_empty());
}

#[test]
fn the_newest_record_comes_back() {
    for last in 1..6 {
        let dir = tempfile::tempdir().unwrap();
        drop(written(dir.path(), last));
        let (mut store, taken) = taken(dir.path());
        assert_eq!(taken.record, record(last));
        assert!(taken.aside.is_empty() && !taken.rolled_back());
        store.write(&record(last + 1)).unwrap();
    }
}

#[test]
fn the_state_can_be_read_with_cat() {
    let dir = tempfile::tempdir().unwrap();
    drop(written(dir.path(), 3));
    let text = String::from_utf8_lossy(&std::fs::read(file(dir.path(), ".1")).unwrap()).into_owned();
    assert_eq!(text.lines().nth(1), Some("(ct: 3)"));
}

#[test]
fn files_are_for_their_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    drop(written(dir.path(), 2));
    for suffix in ["", ".0", ".1"] {
        let mode = file(dir.path(), suffix).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn a_slot_is_cut_when_its_record_has_become_much_smaller() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = written(dir.path(), 1);
    let mut large = record(2);
    large.state = "x".repeat(1 << 20);
    store.write(&large).unwrap();
    store.write(&record(3)).unwrap();
    store.write(&record(4)).unwrap();
    assert!(file(dir.path(), ".0").metadata().unwrap().len() < 1024 + MAX_HEADER_BYTES as u64);
    assert_eq!(taken(dir.path()).1.record, record(4));
}

#[test]
#[should_panic(expected = "written in order")]
fn a_record_out_of_order_is_our_bug() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = written(dir.path(), 3);
    drop(store.write(&record(5)));
}

#[test]
fn a_slot_that_is_removed_under_way_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = written(dir.path(), 4);
    std::fs::remove_file(file(dir.path(), ".0")).unwrap();
    std::fs::remove_file(file(dir.path(), ".1")).unwrap();
    store.write(&record(5)).unwrap();
    assert_eq!(taken(dir.path()).1.record, record(5));
}

#[test]
fn after_a_power_cut_that_loses_the_slots_the_checkpoint_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = written(dir.path(), 6);
    store.checkpoint(&record(6)).unwrap();
    store.write(&record(7)).unwrap();
    drop(store);
    // Lengths without data: what some file systems leave.
    for suffix in [".0", ".1"] {
        let path = file(dir.path(), suffix);
        let length = path.metadata().unwrap().len() as usize;
        std::fs::write(&path, vec![0; length]).unwrap();
    }
    let (mut store, taken_then) = taken(dir.path());
    assert_eq!(taken_then.record, record(6));
    assert_eq!(taken_then.aside.len(), 2);
    assert!(taken_then.rolled_back(), "what was in the slots may have been newer");
    store.write(&record(7)).unwrap();
    assert_eq!(taken(dir.path()).1.record, record(7));
}

#[test]
fn a_state_file_from_last_week_does_not_win_over_newer_slots() {
    let dir = tempfile::tempdir().unwrap();
    let backup = {
        let mut store = written(dir.path(), 3);
        store.checkpoint(&record(3)).unwrap();
        let backup = std::fs::read(file(dir.path(), "")).unwrap();
        (4..=9).for_each(|n| store.write(&record(n)).unwrap());
        backup
    };
    std::fs::write(file(dir.path(), ""), &backup).unwrap();
    let (_, taken_then) = taken(dir.path());
    assert_eq!((taken_then.record, taken_then.aside.len()), (record(9), 0));
    // With the slots removed, as the README says, it does.
    std::fs::remove_file(file(dir.path(), ".0")).unwrap();
    std::fs::remove_file(file(dir.path(), ".1")).unwrap();
    let (mut store, taken_then) = taken(dir.path());
    assert_eq!((taken_then.record, taken_then.aside.len()), (record(3), 0));
    store.write(&record(4)).unwrap();
}

#[test]
fn a_state_file_of_another_history_is_kept_aside_and_said() {
    let dir = tempfile::tempdir().unwrap();
    drop(written(dir.path(), 9));
    let other = tempfile::tempdir().unwrap();
    let (mut store, _) = recover(other.path());
    let mut foreign = record(1);
    foreign.epoch = 5;
    store.write(&foreign).unwrap();
    let bytes = std::fs::read(file(other.path(), "")).unwrap();
    std::fs::write(file(dir.path(), ""), &bytes).unwrap();
    let (mut store, taken_then) = taken(dir.path());
    assert_eq!(taken_then.record, record(9));
    let [aside] = &taken_then.aside[..] else { panic!("{:?}", taken_then.aside) };
    assert_eq!(aside.reason, AsideReason::OtherEpoch { epoch: 5 });
    assert_eq!(std::fs::read(aside.moved_to.as_ref().unwrap()).unwrap(), bytes);
    assert!(!taken_then.rolled_back());
    store.write(&record(10)).unwrap();
}

#[test]
fn a_new_epoch_goes_on_from_the_old_one_without_a_word() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = written(dir.path(), 7);
    store.checkpoint(&record(7)).unwrap();
    let mut eighth = record(8);
    eighth.epoch = 5;
    // Killed between the slot and the checkpoint that follows it.
    let old_checkpoint = std::fs::read(file(dir.path(), "")).unwrap();
    store.write(&eighth).unwrap();
    std::fs::write(file(dir.path(), ""), old_checkpoint).unwrap();
    let (_, taken_then) = taken(dir.path());
    assert_eq!((taken_then.record, taken_then.aside.len()), (eighth, 0));
}

#[test]
fn a_record_that_a_person_put_into_a_slot_is_not_torn_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    drop(written(dir.path(), 7));
    std::fs::rename(file(dir.path(), ".1"), file(dir.path(), ".0")).unwrap();
    let (mut store, taken_then) = taken(dir.path());
    assert_eq!(taken_then.record, record(7));
    store.write(&record(8)).unwrap();
    // The slot is lost, and yet nothing is.
    std::fs::write(file(dir.path(), ".0"), "").unwrap();
    assert_eq!(taken(dir.path()).1.record, record(8));
}

#[test]
fn a_name_that_leaves_no_room_for_its_files_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let name = TaskName::new("x".repeat(255)).unwrap();
    let error = TaskStore::open(dir.path(), &name).unwrap_err();
    let StoreError::NameTooLong { limit, .. } = error else { panic!("{error}") };
    let name = TaskName::new("x".repeat(limit)).unwrap();
    let mut store = TaskStore::open(dir.path(), &name).unwrap();
    store.recover(&mut |_| Ok(())).unwrap();
    store.write(&record(1)).unwrap();
    std::fs::write(dir.path().join(format!("{name}.state.0")), "damage").unwrap();
    let mut store = TaskStore::open(dir.path(), &name).unwrap();
    let Recovered::Taken(taken) = store.recover(&mut |_| Ok(())).unwrap() else { panic!("it is not fresh") };
    assert_eq!(taken.aside.len(), 1);
}

#[test]
fn what_is_no_file_is_an_error_and_no_hang() {
    let dir = tempfile::tempdir().unwrap();
    nix::unistd::mkfifo(&file(dir.path(), ".0"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut store = TaskStore::open(dir.path(), &task()).unwrap();
    let text = store.recover(&mut |_| Ok(())).unwrap_err().to_string();
    assert!(text.contains("Task.state.0") && text.contains("move it away"), "{text}");
}
