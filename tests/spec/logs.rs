//! What external tasks print: shown once, in order, also over a rotation.

use std::fs;
use std::path::Path;

use crate::world::{SOON, World};

impl World {
    /// Waits until a host has this file as its standard output: it is made a moment before.
    pub(crate) fn wait_for_a_host_that_prints_to(&self, name: &str, log: &Path) {
        let stdout = format!("/proc/{}/fd/1", self.process(name).host.pid);
        self.wait_for("its host at the new log", || (fs::read_link(&stdout).ok()? == log).then_some(()));
    }
}

#[test]
fn a_log_that_has_grown_is_rotated_and_every_line_is_shown_once_and_in_order() {
    const LINES: usize = 15_000;
    let world = World::new();
    let daemon = world.own_daemon("{ Counter => { queue => { block_timeout => 60 } } }").start();
    daemon.wait_for("Counter: started", SOON);
    let log = world.state().join("log/Counter.log");
    // Each line has a little over 1,000 bytes: 15 MB in all, in parts, so that a rotation falls among them.
    for part in 0..15 {
        world.send(&format!("{{from => 'a', n => {part}, print => {}}}", LINES / 15), "Counter");
    }
    daemon.wait_for("Counter: has heard 15.", 3 * SOON);
    let old = log.with_extension("log.1");
    world.wait_for("a rotated log", || fs::metadata(&old).ok());
    assert!(fs::metadata(&old).unwrap().len() >= 10 << 20);
    world.wait_for_a_host_that_prints_to("Counter", &log);
    // It writes to the new one, and that is shown too.
    world.send("{from => 'a', n => 15}", "Counter");
    daemon.wait_for("Counter: has heard 16.", SOON);
    world.wait_for("its line in the new log", || world.log("Counter").contains("has heard 16.").then_some(()));
    assert!(fs::metadata(&log).unwrap().len() < 10 << 20);
    let stdout = daemon.stdout();
    let shown = stdout.lines().filter_map(|line| line.strip_prefix("line ")?.split(' ').next()?.parse::<usize>().ok());
    assert!(shown.eq((0..LINES).map(|line| line % (LINES / 15))), "every line once and in order");
    for n in 1..=16 {
        assert_eq!(stdout.matches(&format!("Counter: has heard {n}.\n")).count(), 1);
    }
}
