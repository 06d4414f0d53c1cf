//! Directories in which the kernel refuses what a program wants: full ones and ones that cannot be written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::world::World;

/// A small file system of its own, in memory; unmounted when it goes. Only root can have one.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// A disk of `bytes` below the world's directory; nothing where the kernel does not let us mount.
    pub(crate) fn mount(world: &World, name: &str, bytes: u32) -> Option<Self> {
        let path = world.path().join(name);
        fs::create_dir_all(&path).expect("the world is writable");
        let size = format!("size={bytes},mode=0700");
        let mounted = run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "spec"]).arg(&path));
        if !mounted {
            println!("no small disk: mounting needs root");
        }
        mounted.then_some(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes all the room that is left; what it returns gives the room back.
    pub(crate) fn fill(&self) -> Filler {
        let filler = self.path.join("filler");
        // Ends with "no space left", which is what it is for.
        let written = fs::write(&filler, vec![0; 16 << 20]);
        assert!(written.is_err(), "the disk is small");
        Filler(filler)
    }

    /// Makes it read-only.
    pub(crate) fn protect(&self) {
        assert!(run(Command::new("mount").args(["-o", "remount,ro"]).arg(&self.path)));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a daemon that is just being killed may still hold a file.
        assert!(run(Command::new("umount").arg("-l").arg(&self.path)) || std::thread::panicking());
    }
}

/// What fills a disk.
#[derive(Debug)]
pub(crate) struct Filler(PathBuf);

impl Filler {
    /// There is room again.
    pub(crate) fn remove(self) {
        fs::remove_file(self.0).expect("the filler is there");
    }
}

fn run(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}
