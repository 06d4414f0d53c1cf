//! The disk of the state directory is full.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::world::{SOON, World};

/// A small disk of its own in a world, until dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Why not, where this user may not mount one.
    fn mount(world: &World) -> Result<Self, String> {
        let place = world.path().join("disk");
        fs::create_dir(&place).map_err(|error| error.to_string())?;
        let words = ["-t", "tmpfs", "-o", "size=4m,mode=0700", "multimodule-spec"];
        let mounted = Command::new("mount").args(words).arg(&place).output().map_err(|error| error.to_string())?;
        if mounted.status.success() { Ok(Self(place)) } else { Err(format!("{mounted:?}")) }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, for hosts may still have files open there.
        let outcome = Command::new("umount").arg("-l").arg(&self.0).status();
        println!("unmounted: {outcome:?}");
    }
}

#[test]
fn a_daemon_says_once_that_the_disk_of_its_external_tasks_is_full_and_when_there_is_room_again() {
    let world = World::new();
    let disk = match SmallDisk::mount(&world) {
        Ok(disk) => disk,
        Err(reason) => {
            println!("no disk can be mounted here ({reason}): nothing is checked");
            return;
        }
    };
    let daemon = world.own_daemon("{ Counter => {} }").own_state("disk").start();
    daemon.wait_for("Counter: started", SOON);
    let ballast = disk.0.join("ballast");
    // It takes what there is, and then fails.
    fs::write(&ballast, vec![0; 8 << 20]).expect_err("the disk is smaller than that");
    let full = daemon.wait_for(" is full (", SOON);
    fs::remove_file(&ballast).expect("it was written");
    daemon.wait_for_after(full, "has room again", SOON);
    assert_eq!(daemon.lines().iter().filter(|line| line.text.contains(" is full (")).count(), 1);
    world.send("{from => 'a', n => 1}", "Counter");
    daemon.wait_for("Counter: has heard 1.", SOON);
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
}
