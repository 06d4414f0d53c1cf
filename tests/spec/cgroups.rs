//! External tasks in control groups: in a tree of plain files, and in the kernel's own where this machine lets us.
//!
//! ```text
//! world/cgroup/unit/      a cgroup as if delegated to the daemon, by plain files
//! CGROUP2/multimodule-*/  a real one, where a tree is mounted that we may change
//! ```

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use multimodule::process::{HostRecord, ProcessIdentity};
use multimodule::usage::CgroupTree;

use crate::caps::{LIMITS, limit, may_raise};
use crate::daemon::{Daemon, DaemonBuilder};
use crate::processes::{kill, lives};
use crate::world::{SOON, World};

/// Names the root of the tree and where the daemon is in it, with a colon between; without, there is no tree.
const TREE: &str = "MULTIMODULE_SPEC_CGROUPS";

/// What this program takes for its tree when it is a daemon.
pub(crate) fn tree() -> CgroupTree {
    let named = std::env::var(TREE).unwrap_or_default();
    let (root, own) = named.split_once(':').unwrap_or_default();
    let own = if own.is_empty() { String::new() } else { format!("4:memory:/x\n0::{own}\n") };
    CgroupTree { root: root.into(), own }
}

impl DaemonBuilder<'_> {
    fn in_cgroup(self, root: &Path, own: &str) -> Self {
        self.env(TREE, format!("{}:{own}", root.display()))
    }
}

/// The name of a task's cgroup in this world.
fn cgroup_name(world: &World, task: &str) -> String {
    let state = fs::canonicalize(world.path()).expect("the world is there").join("state");
    format!("task.{task}@{:08x}", crc32c::crc32c(state.as_os_str().as_encoded_bytes()))
}

/// A cgroup by plain files. The kernel makes the files of a cgroup with it; here those of `task` are made before.
struct PlainTree {
    root: PathBuf,
    task: PathBuf,
}

impl PlainTree {
    fn new(world: &World, task: &str) -> Self {
        let root = world.path().join("cgroup");
        let tree = Self { task: root.join("unit").join(cgroup_name(world, task)), root };
        fs::create_dir_all(&tree.task).expect("the world is writable");
        for (file, text) in [("cgroup.controllers", "cpu memory pids\n"), ("cgroup.procs", "")] {
            fs::write(tree.root.join("unit").join(file), text).expect("it is writable");
        }
        fs::write(tree.root.join("unit/cgroup.subtree_control"), "").expect("it is writable");
        for file in ["cgroup.procs", "cgroup.kill"] {
            fs::write(tree.task.join(file), "").expect("it is writable");
        }
        tree
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.root.join("unit").join(path)).unwrap_or_default()
    }

    fn of_task(&self, file: &str) -> String {
        fs::read_to_string(self.task.join(file)).unwrap_or_default()
    }
}

fn config(limits: &str) -> String {
    format!("{{ Counter => {{ limits => {{ {limits} }} }} }}")
}

/// The counter's processes, once its program has begun.
fn begun(world: &World, daemon: &Daemon) -> HostRecord {
    daemon.wait_for("Counter: started", SOON);
    world.process("Counter")
}

#[test]
fn a_task_in_a_delegated_tree_is_bounded_as_a_whole_until_it_is_gone() {
    let world = World::new();
    let tree = PlainTree::new(&world, "Counter");
    let limits = config("memory => '512MiB', processes => 64");
    let daemon = world.own_daemon(&limits).in_cgroup(&tree.root, "/unit").start();
    let record = begun(&world, &daemon);
    assert_eq!(tree.text("daemon/cgroup.procs"), daemon.pid().to_string());
    assert_eq!(tree.text("cgroup.subtree_control"), "+memory +pids");
    let bounds = || ["memory.max", "pids.max"].map(|file| tree.of_task(file));
    assert_eq!(bounds(), ["536870912", "64"]);
    assert_eq!(tree.of_task("cgroup.procs"), "0", "whoever writes this enters");
    assert_eq!(limit(record.host.pid, "Max data size"), "536870912 536870912", "each process for itself, too");
    let (name, keeper) = ("Max processes", record.keeper.pid);
    assert_eq!(limit(record.host.pid, name), limit(keeper, name), "those of other tasks do not count");
    assert!(!daemon.lines().iter().any(|line| line.text.contains("not enforced")), "{daemon:?}");

    world.write_config(&config("processes => 100"));
    daemon.wait_for("Counter: its changed limits hold now", SOON);
    assert_eq!(bounds(), ["max", "100"]);
    let expected = if may_raise() { limit(keeper, "Max data size") } else { "536870912 536870912".to_owned() };
    assert_eq!(limit(record.host.pid, "Max data size"), expected);

    daemon.terminate();
    assert_eq!(daemon.exit_code(SOON), 0);
    fs::write(tree.task.join("pids.max"), "").unwrap();
    let daemon = world.own_daemon(&config("processes => 100")).in_cgroup(&tree.root, "/unit/daemon").start();
    daemon.wait_for("Counter: adopted", SOON);
    assert_eq!(tree.text("daemon/cgroup.procs"), daemon.pid().to_string());
    world.wait_for("its bounds", || (bounds() == ["max", "100"]).then_some(()));
    assert_eq!(tree.of_task("cgroup.procs"), "0");
    assert_eq!(world.process("Counter"), record, "what lives in a cgroup is left there");

    // The kernel's files go with their directory.
    fs::read_dir(&tree.task).unwrap().for_each(|file| fs::remove_file(file.unwrap().path()).unwrap());
    world.write_config("{ Echo => {} }");
    world.wait_for("the end of the task's cgroup", || (!tree.task.exists()).then_some(()));
    assert!(!lives(&record.host_identity()));
}

#[test]
fn a_task_that_breaks_a_limit_is_killed_with_its_cgroup() {
    let world = World::new();
    let tree = PlainTree::new(&world, "Leaker");
    let config = format!("{{ {LIMITS} Leaker => {{}} }}");
    let daemon = world.own_daemon(&config).in_cgroup(&tree.root, "/unit").start();
    daemon.wait_for("Leaker: failsafe: ", 2 * SOON);
    world.wait_for("the word to kill all in it", || (tree.of_task("cgroup.kill") == "1").then_some(()));
}

#[test]
fn a_cgroup_that_cannot_be_made_is_told_once_and_the_task_runs_by_its_other_limits() {
    let world = World::new();
    let tree = PlainTree::new(&world, "Counter");
    fs::remove_dir_all(&tree.task).unwrap();
    fs::write(&tree.task, "in the way").unwrap();
    let daemon = world.own_daemon(&config("memory => '512MiB'")).in_cgroup(&tree.root, "/unit").start();
    daemon.wait_for("Counter: it has no cgroup, so its limits hold for each process alone", SOON);
    let record = begun(&world, &daemon);
    assert_eq!(limit(record.host.pid, "Max data size"), "536870912 536870912");
    kill(&record.keeper_identity());
    kill(&record.host_identity());
    world.wait_for("another start", || world.record("Counter").filter(|now| now.host != record.host));
    let told = daemon.lines().iter().filter(|line| line.text.contains("it has no cgroup")).count();
    assert_eq!(told, 1, "{daemon:?}");
}

#[test]
fn a_task_whose_cgroup_somebody_removed_starts_and_says_that_it_is_outside() {
    let world = World::new();
    let tree = PlainTree::new(&world, "Counter");
    // Without the file that the kernel would have made there is nothing to enter by.
    fs::remove_file(tree.task.join("cgroup.procs")).unwrap();
    let daemon = world.own_daemon(&config("processes => 4000")).in_cgroup(&tree.root, "/unit").start();
    let record = begun(&world, &daemon);
    let said = "multimodule keeper Counter: cannot enter the cgroup of ";
    world.wait_for("a word in its log", || world.log("Counter").contains(said).then_some(()));
    assert_eq!(limit(record.host.pid, "Max processes"), "4000 4000", "the kernel's other bound holds then");
}

#[test]
fn a_tree_with_others_in_it_is_left_alone_and_that_is_told_once_where_a_limit_asks_for_it() {
    let world = World::new();
    let tree = PlainTree::new(&world, "Counter");
    fs::write(tree.root.join("unit/cgroup.procs"), "1\n").unwrap();
    let daemon = world.own_daemon(&config("memory => '512MiB'")).in_cgroup(&tree.root, "/unit").start();
    daemon.wait_for("a limit is not enforced here: the cgroup ", SOON);
    world.process("Counter");
    assert!(!tree.root.join("unit/daemon").exists() && tree.of_task("memory.max").is_empty());
}

/// A cgroup of the kernel's own; it goes with this.
struct RealTree(PathBuf);

impl RealTree {
    /// One below the root of the first tree that is mounted, if we may make it.
    fn make() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let fields = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let mount = mounts.lines().map(fields).find(|fields| fields.get(2).is_some_and(|kind| kind == "cgroup2"))?;
        let path = Path::new(&mount[1]).join(format!("multimodule-spec-{}", std::process::id()));
        fs::create_dir(&path).ok().map(|()| Self(path))
    }

    fn root(&self) -> &Path {
        self.0.parent().expect("it lies below the root")
    }

    fn own(&self) -> String {
        format!("/{}", self.0.file_name().expect("it has a name").to_string_lossy())
    }

    fn text(&self, path: impl AsRef<Path>) -> String {
        fs::read_to_string(self.0.join(path)).unwrap_or_default()
    }

    fn remove(&self) -> bool {
        let below = fs::read_dir(&self.0).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir());
        below.for_each(|entry| drop(fs::remove_dir(entry.path())));
        fs::remove_dir(&self.0).is_ok()
    }
}

impl Drop for RealTree {
    fn drop(&mut self) {
        drop(fs::write(self.0.join("cgroup.kill"), "1"));
        // What was killed leaves in its own time.
        for _ in 0..200 {
            if self.remove() {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        eprintln!("{} is left", self.0.display());
    }
}

/// Says something past the test runner.
fn say(text: &str) {
    writeln!(std::io::stderr(), "cgroups: {text}").expect("standard error is open");
}

/// The cgroup of a process, as the kernel tells.
fn cgroup_of(pid: u32) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default().to_owned()
}

#[test]
fn in_the_kernels_own_tree_a_task_that_forks_itself_away_ends_with_its_cgroup() {
    let Some(tree) = RealTree::make() else {
        return say("this machine has no tree of cgroup v2 that we may change; only plain files were tried");
    };
    let world = World::new();
    let limits = config("memory => '512MiB', processes => 100");
    let daemon: Daemon = world.own_daemon(&limits).in_cgroup(tree.root(), &tree.own()).start();
    let record = begun(&world, &daemon);
    let (name, ours) = (cgroup_name(&world, "Counter"), format!("{}/daemon", tree.own()));
    assert_eq!(cgroup_of(record.host.pid), format!("{}/{name}", tree.own()));
    assert_eq!([daemon.pid(), record.keeper.pid].map(cgroup_of), [ours.clone(), ours]);
    let controllers = tree.text("cgroup.controllers");
    for (controller, file, bound) in [("memory", "memory.max", "536870912"), ("pids", "pids.max", "100")] {
        if controllers.split_whitespace().any(|one| one == controller) {
            assert_eq!(tree.text(Path::new(&name).join(file)).trim(), bound);
        }
    }
    // Without its mark, its session and its keeper nothing but the cgroup knows whose it is.
    let script = "env -i setsid sh -c 'echo $$ >away.new; mv away.new away; exec sleep 600' & exit";
    world.send(&format!("{{child => \"{script}\"}}"), "Counter");
    let away = world.wait_for("a process that is away", || fs::read_to_string(world.path().join("away")).ok());
    let away = ProcessIdentity::of(away.trim().parse().unwrap()).unwrap().expect("it has just begun");
    // A task that runs containers makes cgroups in its own.
    let within = tree.0.join(&name).join("container/within");
    fs::create_dir_all(&within).expect("the task may make some");
    fs::write(within.join("cgroup.procs"), away.pid.to_string()).expect("a task may move what it has started");
    kill(&record.keeper_identity());
    world.write_config("{ Echo => {} }");
    world.wait_ended(&[record.host_identity(), away]);
    world.wait_for("the end of the task's cgroup", || (!tree.0.join(&name).exists()).then_some(()));
    daemon.terminate();
    assert_eq!(daemon.exit_code(SOON), 0);
    say(&format!("the kernel's own tree was used, with the controllers: {}", controllers.trim()));
}
