//! Real trees of shells.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Instant;

use super::{Change, Duration, Handles, KEPT_PROCESSES, Meter, MeterError, ProcessRef, Root, Usage};
use crate::process::start_ticks;
use crate::usage::{counts_writes, parse};

/// What should come at once comes by then: generous, since machines are loaded.
const SOON: Duration = Duration::from_secs(60);

/// A shell that says a line, waits for one, and goes on: `step` in its script. What it has started ends with it.
struct Tree {
    shell: Child,
    input: Option<ChildStdin>,
    output: BufReader<std::process::ChildStdout>,
}

impl Tree {
    fn new(script: &str) -> Self {
        let script = format!("step() {{ echo $1; read line; }}; {script}");
        let mut command = Command::new("/bin/sh");
        let mut shell = command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (shell.stdin.take(), BufReader::new(shell.stdout.take().unwrap()));
        Self { shell, input, output }
    }

    /// The next line that it says.
    fn said(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn go_on(&mut self) {
        self.input.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    fn root(&self) -> ProcessRef {
        reference(self.shell.id())
    }

    fn meter(&self, kind: Root) -> Meter {
        Meter::open(self.root(), kind, &Handles::new(100)).unwrap()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // What waits for a line gets the end of its input.
        drop(self.input.take());
        self.shell.wait().unwrap();
    }
}

fn reference(pid: u32) -> ProcessRef {
    ProcessRef { pid, start_ticks: start_ticks(pid).unwrap().unwrap() }
}

/// Samples until a usage is as is waited for.
fn sample_until(meter: &mut Meter, is_so: impl Fn(&Usage) -> bool) -> Usage {
    let deadline = Instant::now() + SOON;
    loop {
        let usage = meter.sample().unwrap();
        if is_so(&usage) {
            return usage;
        }
        assert!(Instant::now() < deadline, "{usage:?}");
    }
}

/// A shell with a child that has a child.
const THREE: &str = "exec 3<&0; sh -c 'sh -c \"exec 4</dev/null; echo ready; cat\" <&3; :' <&3 & wait";

#[test]
fn all_of_a_tree_is_added_up_and_a_keeper_is_not() {
    let mut tree = Tree::new(THREE);
    assert_eq!(tree.said(), "ready");
    let whole = sample_until(&mut tree.meter(Root::Counted), |usage| usage.processes >= 4);
    assert_eq!((whole.processes, whole.threads, whole.cut), (4, 4, false), "three shells and a cat");
    assert!(whole.resident_bytes > 4 * 4096, "{whole:?}");
    assert!(whole.files >= Some(4 * 3) && whole.files <= Some(4 * 8), "{whole:?}");
    let below = tree.meter(Root::Keeper).sample().unwrap();
    assert_eq!((below.processes, below.threads), (3, 3));
    assert!(below.resident_bytes < whole.resident_bytes && below.files < whole.files, "{below:?} {whole:?}");
}

#[test]
fn threads_and_their_children_are_counted() {
    let (tx, rx) = std::sync::mpsc::channel();
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let own = reference(std::process::id());
    let mut meter = Meter::open(own, Root::Counted, &Handles::new(0)).unwrap();
    let before = meter.sample().unwrap();
    let thread = std::thread::spawn(move || {
        let mut child = Command::new("/bin/cat").stdin(Stdio::piped()).spawn().unwrap();
        tx.send(child.id()).unwrap();
        assert!(wait.recv().is_err(), "the sender goes");
        drop(child.stdin.take());
        child.wait().unwrap();
    });
    let child = rx.recv().unwrap();
    let after = meter.sample().unwrap();
    assert!(after.threads >= 2 && after.processes >= 1 && after.cpu >= before.cpu);
    assert!(meter.members.contains_key(&child), "a child of a thread that is not the first is found");
    drop(done);
    thread.join().unwrap();
    meter.sample().unwrap();
    assert!(!meter.members.contains_key(&child));
}

#[test]
fn processor_time_of_ended_children_counts_once_and_never_falls() {
    let burn = "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done";
    let mut tree = Tree::new(&format!("for n in 1 2 3; do sh -c '{burn}' & wait; done; step done; step end"));
    let mut meter = tree.meter(Root::Counted);
    let mut last = Duration::ZERO;
    let said = std::thread::scope(|scope| {
        let waiter = scope.spawn(|| tree.said());
        while !waiter.is_finished() {
            let cpu = meter.sample().unwrap().cpu;
            assert!(cpu >= last, "{cpu:?} after {last:?}");
            last = cpu;
        }
        waiter.join().unwrap()
    });
    // What was owed at last is settled by one more sample.
    meter.sample().unwrap();
    let counted = meter.sample().unwrap().cpu;
    let stat = std::fs::read(format!("/proc/{}/stat", tree.shell.id())).unwrap();
    let stat = parse::stat(&stat).unwrap();
    let true_ticks = stat.own_ticks + stat.children_ticks;
    let ticks = u64::try_from(counted.as_millis()).unwrap() / 10;
    assert!(true_ticks > 5, "the children did something: {true_ticks}");
    assert!(ticks.abs_diff(true_ticks) <= 6, "counted {ticks}, true {true_ticks}: a tick may be cut off per child");
    assert_eq!(said, "done");
    tree.go_on();
}

#[test]
fn what_ended_processes_have_written_stays_counted() {
    let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    if !counts_writes(dir.path()) {
        return eprintln!("skipped: this file system does not count what is written");
    }
    let write = format!("head -c 4194304 /dev/zero > {}/$n", dir.path().display());
    let mut tree = Tree::new(&format!("step begin; for n in 1 2; do {write}; step $n; done"));
    let mut meter = tree.meter(Root::Keeper);
    tree.said();
    assert_eq!(meter.sample().unwrap().written_bytes, None, "there is nobody below it");
    for written in [4 << 20, 8 << 20] {
        tree.go_on();
        tree.said();
        meter.sample().unwrap();
        let total = meter.written.book(Change::default());
        assert!(total >= written && total < written + (1 << 20), "{total} for {written}");
    }
    tree.go_on();
}

#[test]
fn who_was_seen_stays_counted_when_its_parent_ends() {
    let mut tree =
        Tree::new("exec 3<&0; sh -c 'sh -c \"echo ready; cat >/dev/null\" <&3 & read line' <&3; step orphan");
    tree.said();
    let mut meter = tree.meter(Root::Counted);
    let before = sample_until(&mut meter, |usage| usage.processes >= 4);
    tree.go_on();
    // Either the cat or the middle shell took the line; where it was the cat, the shell takes the next.
    let after = loop {
        let usage = meter.sample().unwrap();
        if usage.processes < before.processes {
            break usage;
        }
        tree.go_on();
    };
    assert!(after.processes >= 2 && after.cpu >= before.cpu, "{before:?} {after:?}");
}

#[test]
fn another_process_with_the_pid_is_not_counted_and_an_end_is_known() {
    let mut tree = Tree::new("step ready");
    tree.said();
    let root = tree.root();
    let stranger = ProcessRef { start_ticks: root.start_ticks + 1, ..root };
    let handles = Handles::new(100);
    assert!(matches!(Meter::open(stranger, Root::Counted, &handles), Err(MeterError::Gone(_))));
    let mut meter = Meter::open(root, Root::Counted, &handles).unwrap();
    meter.include(ProcessRef { start_ticks: 1, pid: std::process::id() });
    assert_eq!(meter.sample().unwrap().processes, 1, "included was a process that is no more");
    assert!(handles.held() > 0);
    drop(tree);
    assert!(matches!(meter.sample(), Err(MeterError::Gone(pid)) if pid == root.pid));
    drop(meter);
    assert_eq!(handles.held(), 0);
}

#[test]
fn what_is_left_out_is_not_counted_nor_what_is_below_it() {
    let mut tree = Tree::new(THREE);
    tree.said();
    let mut meter = tree.meter(Root::Counted);
    sample_until(&mut meter, |usage| usage.processes == 4);
    let below = meter.members.values().find(|seen| seen.last.is_some_and(|last| last.stat.parent == tree.shell.id()));
    let child = reference(below.unwrap().member.pid);
    let mut meter = tree.meter(Root::Counted);
    meter.leave_out(child);
    assert_eq!(meter.sample().unwrap().processes, 1);
}

#[test]
fn more_processes_than_are_looked_at_are_counted_all_the_same() {
    let mut tree =
        Tree::new("exec 3<&0; for n in 1 2 3 4 5 6 7 8 9 a b c d e f g h i j; do cat <&3 & done; echo ready; wait");
    tree.said();
    let mut meter = tree.meter(Root::Counted);
    meter.max_processes = 4;
    let usage = sample_until(&mut meter, |usage| usage.processes == 20);
    assert!(usage.cut && usage.threads == 4, "{usage:?}");
    assert_eq!(meter.members.len(), 4);
    let handles = Handles::new(1000);
    let mut meter = Meter::open(tree.root(), Root::Counted, &handles).unwrap();
    assert_eq!(sample_until(&mut meter, |usage| usage.processes == 20).threads, 20);
    assert_eq!(handles.held(), KEPT_PROCESSES * 5, "a directory, three files and one thread's list for each");
}
