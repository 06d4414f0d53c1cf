//! Programs that take too much of the machine, each in its own way. Hosts become them by their names.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::process::Command;
use std::thread;
use std::time::Duration;

/// A bomb stops itself at so many processes, should nobody else.
const BOMB: usize = 500;
/// Long for a test; a hog that nobody stops ends then.
const WHILE: Duration = Duration::from_secs(60);

/// All of them.
pub(crate) const HOGS: [&str; 8] = ["Spinner", "Memory", "Leaker", "Threads", "Bomb", "Writer", "Reader", "Spiky"];
/// How many threads spin: what one task gets of a machine that others use as well is little.
const SPINNERS: usize = 8;
/// For how long the spiky one takes too much, and takes nothing then.
const SPIKE: Duration = Duration::from_millis(1500);

/// Becomes the hog of that name, if it is one.
pub(crate) fn hog(process: &str) {
    let take: fn() = match process {
        "Spinner" => spin,
        "Memory" => fill_memory,
        "Leaker" => leak,
        "Threads" => thread_bomb,
        "Bomb" => fork_bomb,
        "Writer" => write,
        "Reader" => read,
        "Spiky" => spike,
        _ => return,
    };
    println!("{process}: takes what it can");
    take();
    stay();
    std::process::exit(0);
}

/// Does nothing more.
fn stay() {
    let begin = std::time::Instant::now();
    while begin.elapsed() < WHILE {
        thread::park_timeout(WHILE);
    }
}

fn spin() {
    let spin = || {
        let begin = std::time::Instant::now();
        while begin.elapsed() < WHILE {
            std::hint::spin_loop();
        }
    };
    thread::scope(|scope| (0..SPINNERS).for_each(|_| drop(scope.spawn(spin))));
}

fn fill_memory() {
    let memory: Vec<Vec<u8>> = (0..300).map(|_| vec![1; 1 << 20]).collect();
    stay();
    drop(memory);
}

fn leak() {
    let files: Vec<_> = (0..300).map(|_| File::open("/dev/null").expect("there is room for this")).collect();
    stay();
    drop(files);
}

/// Leaks again and again, and never for long.
fn spike() {
    let begin = std::time::Instant::now();
    while begin.elapsed() < WHILE {
        let files: Vec<_> = (0..300).map(|_| File::open("/dev/null").expect("there is room for this")).collect();
        thread::park_timeout(SPIKE);
        drop(files);
        thread::park_timeout(SPIKE);
    }
}

fn thread_bomb() {
    for _ in 0..300 {
        thread::spawn(stay);
    }
}

fn fork_bomb() {
    let children: Vec<_> = (0..BOMB).map_while(|_| Command::new("sleep").arg("60").spawn().ok()).collect();
    stay();
    drop(children);
}

/// Writes what a disk takes, to a directory that is one.
fn write() {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("hog{}", std::process::id()));
    let block = vec![7; 1 << 20];
    let begin = std::time::Instant::now();
    while begin.elapsed() < WHILE {
        let mut file = File::create(&path).expect("the target directory is there");
        for _ in 0..64 {
            file.write_all(&block).expect("there is room for 64 MiB");
        }
        file.sync_data().expect("the disk takes it");
        fs::remove_file(&path).expect("it is there");
    }
}

/// Reads from the disk what no cache holds: what was read is given back.
fn read() {
    let program = std::env::current_exe().expect("this program has a path");
    let begin = std::time::Instant::now();
    while begin.elapsed() < WHILE {
        let mut file = File::open(&program).expect("this program can be read");
        // Not supported by every file system; then nothing is read from the disk, and the spec says so.
        let _forgotten = nix::fcntl::posix_fadvise(&file, 0, 0, nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).expect("this program can be read");
    }
}
