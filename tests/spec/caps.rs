//! Hard caps of tasks: whom a task can be, what this machine does not enforce, and what changes while a task runs.

use std::fs;

use crate::daemon::Daemon;
use crate::world::{SOON, World};

/// Limits that one task alone reaches in 3 s.
pub(crate) const LIMITS: &str = "MultiModule => {
    windows => { one_minute => '3s', five_minutes => '6s' },
    thresholds => { 'local.handles.fh.count' => { fast => 1 } },
},";

/// The soft and the hard limit of a process, as the kernel lists them.
pub(crate) fn limit(pid: u32, name: &str) -> String {
    let list = fs::read_to_string(format!("/proc/{pid}/limits")).expect("the process lives");
    let line = list.lines().find(|line| line.starts_with(name)).expect("a limit of that name");
    line[name.len()..].split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// The niceness of each thread of a process.
fn niceness(pid: u32) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives").flatten();
    let stats = threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
    let nice = |stat: String| stat.rsplit_once(')').and_then(|(_, rest)| rest.split(' ').nth(17).map(str::to_owned));
    stats.filter_map(nice).collect()
}

/// Whether a limit that holds can be made less strict here (`CAP_SYS_RESOURCE`): not even root always may.
pub(crate) fn may_raise() -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("this process has one");
    let rights = status.lines().find_map(|line| line.strip_prefix("CapEff:\t")).expect("it lists them");
    u64::from_str_radix(rights, 16).expect("a number") & (1 << 24) != 0
}

fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}

fn config(limits: &str) -> String {
    format!("{{ Counter => {{ limits => {{ {limits} }} }} }}")
}

fn times(daemon: &Daemon, text: &str) -> usize {
    daemon.lines().iter().filter(|line| line.text.contains(text)).count()
}

#[test]
fn a_user_whom_a_task_cannot_be_ends_the_start_with_its_line_and_is_refused_by_a_reload() {
    let world = World::new();
    let wrong = "{
  Example1 => {
    limits => {
      user => 'none-of-that-name' } },
  Example2 => { is_external => 1, limits => { group => 'no-group-either' } },
}";
    let daemon = world.daemon().config(wrong).prefix("mytasks::").start();
    assert_eq!(daemon.exit_code(SOON), 78, "{daemon:?}");
    daemon.wait_for("test.conf:4:7: Example1.limits.user: there is no user none-of-that-name", SOON);
    daemon.wait_for("Example2.limits.group: there is no group no-group-either", SOON);
    let own = nix::unistd::Uid::effective();
    let daemon = world.own_daemon(&config(&format!("user => {own}"))).start();
    daemon.wait_for("Counter: started", SOON);
    world.write_config(&config(if is_root() { "user => 'none-of-that-name'" } else { "user => 'root'" }));
    daemon.wait_for("the changed config is refused", SOON);
    daemon.wait_for(if is_root() { "there is no user" } else { "only root can run a task as another user" }, SOON);
    world.send("{from => 'a', n => 1}", "Counter");
    daemon.wait_for("Counter: has heard 1.", SOON);
}

/// Has the task start a program that runs on.
fn child_of_counter(world: &World, daemon: &Daemon) -> u32 {
    world.send("{child => 'exec sleep 600'}", "Counter");
    let line = daemon.wait_for("has child ", SOON);
    let text = daemon.lines()[line].text.clone();
    let pid = text.split("has child ").nth(1).expect("its pid follows");
    let pid = pid.trim_end_matches('.').parse().expect("a number");
    // Whoever starts a program goes on a moment before the kernel has given it its rights.
    let name = format!("/proc/{pid}/comm");
    world.wait_for("its program", || fs::read_to_string(&name).ok().filter(|name| name.trim_end() == "sleep"));
    pid
}

/// A field of what the kernel says of a process's rights.
fn rights(pid: u32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a field of that name");
    line.split_whitespace().next().expect("a value").trim_start_matches('0').to_owned()
}

#[test]
fn a_task_of_another_user_passes_by_the_permissions_of_files_and_its_programs_have_no_rights() {
    if !is_root() {
        println!("only root can run a task as another user: nothing is checked");
        return;
    }
    let world = World::new();
    let entry = |user: &str| format!("{{ Counter => {{ limits => {{ {user} }} }}, Other => {{}} }}");
    let daemon = world.own_daemon(&entry("user => 'nobody'")).start();
    daemon.wait_for("Counter: started", SOON);
    let record = world.process("Counter");
    let child = child_of_counter(&world, &daemon);
    let sets = |pid| ["Uid:", "CapEff:", "CapPrm:"].map(|field| rights(pid, field));
    // CAP_DAC_OVERRIDE is the second of them.
    assert_eq!(sets(record.host.pid), ["65534", "2", "2"]);
    assert_eq!(sets(child), ["65534", "", ""]);
    assert_eq!(["CapInh:", "CapAmb:"].map(|field| rights(child, field)), ["", ""]);
    world.send("{from => 'a', n => 1}", "Counter");
    daemon.wait_for("Counter: has heard 1.", SOON);
    // What it has started is ended with it, also by the mark alone; and root goes on from its state.
    world.write_config(&entry(""));
    daemon.wait_for("Counter: its changed limits hold now, these only from its next start: user", SOON);
    assert_eq!(world.ask(&["restart", "Counter"]).code, 0);
    world.wait_ended(&[record.host_identity()]);
    world
        .wait_for("the end of its child", || (!std::path::Path::new(&format!("/proc/{child}")).exists()).then_some(()));
    world.send("{from => 'a', n => 2}", "Counter");
    daemon.wait_for("Counter: has heard 2.", SOON);
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
}

#[test]
fn what_this_machine_does_not_enforce_is_told_once_at_start_and_only_where_a_limit_asks_for_it() {
    let world = World::new();
    let asks = |more: &str| {
        let limits = "limits => { memory => '512MiB', processes => 4000 }";
        format!("{{ Counter => {{ {limits} }}, Other => {{ {limits} }}, {more} }}")
    };
    let daemon = world.own_daemon(&asks("")).start();
    let machine = "a limit is not enforced here: no cgroup v2: memory and processes are bounded for each process";
    daemon.wait_for(machine, SOON);
    world.process("Counter");
    world.write_config(&asks("Echo => {}"));
    daemon.wait_for("Echo: started", SOON);
    assert_eq!(times(&daemon, machine), 1, "{daemon:?}");
    // The kernel exempts root from that one.
    let of_root = "a limit is not enforced here: the kernel bounds the number of processes of every user but root";
    assert_eq!(times(&daemon, of_root), if is_root() { 2 } else { 0 }, "one for each process: {daemon:?}");
    assert_eq!(times(&daemon, &format!("Counter: {of_root}")), usize::from(is_root()));
    drop(daemon);
    world.end_externals();

    let world = World::new();
    let daemon = world.own_daemon(&config("files => 256, cpu_time => '1h'")).start();
    daemon.wait_for("Counter: started", SOON);
    assert_eq!(times(&daemon, "is not enforced here"), 0, "{daemon:?}");
}

#[test]
fn changed_limits_hold_at_once_for_a_task_that_runs_and_for_what_it_has_started() {
    let world = World::new();
    let daemon = world.own_daemon(&config("files => 256, nice => 5")).start();
    daemon.wait_for("Counter: started", SOON);
    let record = world.process("Counter");
    let child = child_of_counter(&world, &daemon);

    world.write_config(&config("files => 200, nice => 7, cpu_time => '1h', file_size => '1GiB'"));
    let changed = daemon.wait_for("Counter: its changed limits hold now", SOON);
    for pid in [record.host.pid, child] {
        assert_eq!(limit(pid, "Max open files"), "200 200");
        assert_eq!(limit(pid, "Max cpu time"), "3600 3601");
        assert_eq!(limit(pid, "Max file size"), "1073741824 1073741824");
        let nice = niceness(pid);
        assert!(!nice.is_empty() && nice.iter().all(|nice| nice == "7"), "{nice:?}");
    }

    // What is less strict takes rights, and what a program has given up it does not get back.
    world.write_config(&config("files => 300, nice => 7, no_new_privs => 1"));
    let changed = daemon.wait_for_after(
        changed + 1,
        "Counter: its changed limits hold now, these only from its next start: ",
        SOON,
    );
    let line = daemon.lines()[changed].text.clone();
    assert!(line.contains("no_new_privs"), "{line}");
    if may_raise() {
        assert_eq!(limit(record.host.pid, "Max open files"), "300 300");
        let name = "Max cpu time";
        assert_eq!(limit(record.host.pid, name), limit(record.keeper.pid, name), "a limit that is gone");
    } else {
        assert!(line.contains("files (") && line.contains("cpu_time ("), "{line}");
    }

    daemon.terminate();
    assert_eq!(daemon.exit_code(SOON), 0);
    let daemon = world.own_daemon(&config("files => 150, nice => 7, no_new_privs => 1")).start();
    daemon.wait_for("Counter: its changed limits hold now", SOON);
    assert_eq!(limit(record.host.pid, "Max open files"), "150 150", "changed while no daemon ran");
    assert_eq!(world.process("Counter"), record, "it was not started again");
}
