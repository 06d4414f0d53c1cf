//! The example that keeps a summary of dpkg's log: lines in, a file out, whatever happens to log and daemon.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use crate::daemon::Daemon;
use crate::world::World;

const EXAMPLE: &str = include_str!("../../conf/examples/packages.conf");
const SOON: Duration = Duration::from_secs(30);

/// A world with a log, and with a watch on its summary.
struct Summary {
    world: World,
    changes: Receiver<notify::Result<notify::Event>>,
    /// Ends the watch when it goes.
    _watcher: RecommendedWatcher,
}

impl Summary {
    fn new() -> Self {
        let world = World::new();
        let (tx, changes) = channel();
        let mut watcher = notify::recommended_watcher(tx).expect("the kernel has inotify");
        watcher.watch(world.path(), RecursiveMode::NonRecursive).expect("the world is there");
        Self { world, changes, _watcher: watcher }
    }

    fn daemon(&self) -> Daemon {
        self.world.daemon().config(&EXAMPLE.replace("/var/log/dpkg.log", "dpkg.log")).start()
    }

    fn append(&self, lines: &[&str]) {
        let log = self.world.path().join("dpkg.log");
        let mut log = OpenOptions::new().append(true).create(true).open(log).expect("the world is writable");
        for line in lines {
            writeln!(log, "2026-11-02 10:11:12 {line}").expect("the log takes a line");
        }
    }

    fn rotate(&self) {
        let log = self.world.path().join("dpkg.log");
        fs::rename(&log, log.with_extension("log.1")).expect("a log was written");
    }

    /// Waits until the summary says this; spaces are left out on both sides.
    #[track_caller]
    fn wait_for(&self, expected: &str) {
        let bare = |text: &str| text.split_whitespace().collect::<String>();
        let deadline = Instant::now() + SOON;
        loop {
            let found = fs::read_to_string(self.world.path().join("packages.json")).unwrap_or_default();
            if bare(&found) == bare(expected) {
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(self.changes.recv_timeout(left).is_ok(), "the summary is still {found}");
        }
    }
}

#[test]
fn installs_upgrades_and_removals_are_counted_for_each_package() {
    let summary = Summary::new();
    summary.append(&["startup archives unpack", "install bash:amd64 <none> 5.2", "status installed bash:amd64 5.2"]);
    let _daemon = summary.daemon();
    summary.wait_for(r#"{"bash": {"install": 1}}"#);
    summary.append(&["upgrade bash:amd64 5.2 5.3", "upgrade bash:amd64 5.3 5.4", "remove vim:amd64 9 <none>"]);
    summary.wait_for(r#"{"bash": {"install": 1, "upgrade": 2}, "vim": {"remove": 1}}"#);
}

#[test]
fn the_summary_goes_on_after_a_restart_and_a_rotation() {
    let summary = Summary::new();
    summary.append(&["install bash:amd64 <none> 5.2"]);
    let daemon = summary.daemon();
    summary.wait_for(r#"{"bash": {"install": 1}}"#);
    daemon.terminate();
    assert_eq!(daemon.exit_code(SOON), 0);

    summary.append(&["upgrade bash:amd64 5.2 5.3"]);
    summary.rotate();
    summary.append(&["remove bash:amd64 5.3 <none>"]);
    let _daemon = summary.daemon();
    summary.wait_for(r#"{"bash": {"install": 1, "remove": 1, "upgrade": 1}}"#);

    summary.rotate();
    summary.append(&["purge bash:amd64 5.3 <none>"]);
    summary.wait_for(r#"{"bash": {"install": 1, "purge": 1, "remove": 1, "upgrade": 1}}"#);
}
