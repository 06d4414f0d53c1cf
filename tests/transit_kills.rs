//! Kill storm: senders and consumers die by SIGKILL at random moments, over and over.
//!
//! The other end is this test binary again, told by `MULTIMODULE_TRANSIT_END` what to do. What a killed sender had
//! been told is accepted (its count stands in a file of its own) must arrive, in order, without a gap; what a
//! consumer had finished is never taken again, and what it had not is.

#![expect(clippy::unwrap_used, reason = "a test: here a panic is the verdict")]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use multimodule::message::Stamp;
use multimodule::name::{LaneName, QueueName};
use multimodule::transit::{AppendError, Bell, Consumer, Incident, Outgoing, Reader, Sender, Taken, Transit};

const END: &str = "MULTIMODULE_TRANSIT_END";
/// Nothing here takes longer, unless it hangs.
const DEADLINE: Duration = Duration::from_secs(60);

fn queue() -> QueueName {
    QueueName::new("numbers").unwrap()
}

fn sender(transit: &Transit) -> Sender {
    let lane: LaneName = "process:counter".parse().unwrap();
    transit.sender(&queue(), &lane).unwrap()
}

fn consumer(transit: &Transit) -> Consumer {
    let bell = Bell::open(transit).unwrap();
    transit.consumer(&queue(), None, &Reader { bell, waker: None, description: "storm".to_owned() }).unwrap()
}

fn number(taken: &Taken) -> u64 {
    u64::from_le_bytes(taken.body[..8].try_into().unwrap())
}

/// A body of number `n`: its length changes, its bytes tell that they belong to it.
fn body(n: u64) -> Vec<u8> {
    let mut body = n.to_le_bytes().to_vec();
    body.resize(8 + usize::try_from(n * 7919 % 700).unwrap(), n.to_le_bytes()[0]);
    body
}

fn check(taken: &Taken, n: u64) {
    assert_eq!(number(taken), n, "no gap, nothing twice");
    assert_eq!(taken.body.as_ref(), body(n), "message {n} is whole");
}

fn start(end: &str, root: &Path, test: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(END, end).env("MULTIMODULE_TRANSIT", root);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Which end this process is to be, if it was started as one.
fn end() -> Option<(String, Transit)> {
    let end = std::env::var(END).ok()?;
    let root = std::env::var("MULTIMODULE_TRANSIT").unwrap();
    Some((end, Transit::open(Path::new(&root)).unwrap()))
}

/// A number below `below`, different each time.
fn any(below: u64) -> u64 {
    getrandom::u64().unwrap() % below
}

/// Appends numbers on from what the lane has, until it is killed; each accepted count goes to stdout.
fn send_until_killed(transit: &Transit) {
    let sender = sender(transit);
    let mut out = std::io::stdout().lock();
    loop {
        let (_, n) = sender.written();
        match sender.append(&Outgoing { stamp: Stamp::now(), tag: None, body: &body(n) }) {
            Ok(()) => {}
            Err(AppendError::Full { .. }) => {
                std::thread::yield_now();
                continue;
            }
            Err(error) => panic!("{error}"),
        }
        if n % 64 == 0 {
            writeln!(out, "accepted {n}").unwrap();
        }
    }
}

/// The last "word N" line of a child's output, after it ended.
fn last_told(child: &mut Child, word: &str) -> Option<u64> {
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    // The kill may cut the last line: only whole ones count.
    let whole = &text[..text.rfind('\n').map_or(0, |at| at + 1)];
    whole.lines().filter_map(|line| line.strip_prefix(word)?.trim().parse().ok()).next_back()
}

/// Waits until the child has said something, then a random moment longer, which it spends at work.
fn let_it_work(child: &mut Child, word: &str, most_messages: u64) {
    let mut lines = BufReader::with_capacity(64, child.stdout.as_mut().unwrap());
    let (mut line, mut left) = (String::new(), any(most_messages));
    let begin = Instant::now();
    while begin.elapsed() < DEADLINE {
        line.clear();
        if lines.read_line(&mut line).unwrap() == 0 {
            panic!("the child ended by itself");
        }
        if line.starts_with(word) {
            if left == 0 {
                return;
            }
            left -= 1;
        }
    }
    panic!("the child did not get to work");
}

#[test]
fn a_sender_killed_at_any_moment_leaves_no_gap_and_nothing_torn() {
    if let Some((_, transit)) = end() {
        return send_until_killed(&transit);
    }
    let root = tempfile::tempdir().unwrap();
    let transit = Transit::open(root.path()).unwrap();
    let mut consumer = consumer(&transit);
    let (mut next, mut batch, kills) = (0, Vec::new(), 60);
    for _ in 0..kills {
        let mut child = start("send", root.path(), "a_sender_killed_at_any_moment_leaves_no_gap_and_nothing_torn");
        let_it_work(&mut child, "accepted ", 8);
        // Taking while it writes, so that segments are recycled under way.
        for _ in 0..any(40) {
            take(&mut consumer, &mut batch, &mut next);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let told = last_told(&mut child, "accepted ").unwrap_or(0);
        while take(&mut consumer, &mut batch, &mut next) > 0 {}
        assert!(next > told, "{told} was accepted, {next} arrived");
        assert_eq!(consumer.incidents(), Vec::<Incident>::new());
    }
    println!("sender killed {kills} times: {next} messages, no gap, none twice, none torn");
}

fn take(consumer: &mut Consumer, batch: &mut Vec<Taken>, next: &mut u64) -> usize {
    let taken = consumer.take(batch).unwrap();
    for taken in batch.drain(..) {
        check(&taken, *next);
        *next += 1;
        consumer.finish(taken.lane, taken.end, taken.count);
    }
    taken
}

/// Takes and finishes until it is killed, and says what it took and what it is about to finish.
fn consume_until_killed(transit: &Transit) {
    let mut consumer = consumer(transit);
    let (mut batch, mut out) = (Vec::new(), std::io::stdout().lock());
    loop {
        if consumer.take(&mut batch).unwrap() == 0 {
            consumer.wait(Duration::from_secs(1)).unwrap();
        }
        for taken in batch.drain(..) {
            writeln!(out, "took {}", number(&taken)).unwrap();
            assert_eq!(taken.body.as_ref(), body(number(&taken)));
            consumer.finish(taken.lane, taken.end, taken.count);
        }
        assert_eq!(consumer.incidents(), Vec::<Incident>::new());
    }
}

#[test]
fn a_consumer_killed_at_any_moment_loses_nothing_and_repeats_only_what_it_had_not_finished() {
    let test = "a_consumer_killed_at_any_moment_loses_nothing_and_repeats_only_what_it_had_not_finished";
    if let Some((_, transit)) = end() {
        return consume_until_killed(&transit);
    }
    let root = tempfile::tempdir().unwrap();
    let transit = Transit::open(root.path()).unwrap();
    let sender = sender(&transit);
    let (mut next, mut repeated, kills) = (0, 0, 60);
    for _ in 0..kills {
        let mut child = start("consume", root.path(), test);
        for _ in 0..2000 {
            let (_, n) = sender.written();
            sender.append(&Outgoing { stamp: Stamp::now(), tag: None, body: &body(n) }).unwrap();
        }
        let (seen, mut text) = (any(1500) + 1, String::new());
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut numbers = Vec::new();
        let begin = Instant::now();
        while numbers.len() < usize::try_from(seen).unwrap() {
            assert!(begin.elapsed() < DEADLINE, "the consumer is stuck after {}", numbers.len());
            text.clear();
            assert!(lines.read_line(&mut text).unwrap() > 0, "the consumer ended by itself");
            numbers.extend(text.strip_prefix("took ").and_then(|n| n.trim().parse::<u64>().ok()));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        text.clear();
        lines.read_to_string(&mut text).unwrap();
        let whole = &text[..text.rfind('\n').map_or(0, |at| at + 1)];
        numbers.extend(whole.lines().filter_map(|line| line.strip_prefix("took ")?.parse::<u64>().ok()));
        // One that was said but not finished, or finished and its line cut, may come again or be missing here.
        assert!(numbers[0] + 1 >= next && numbers[0] <= next + 1, "{next} is due, {} came", numbers[0]);
        repeated += next.saturating_sub(numbers[0]);
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "in order and without a gap");
        next = numbers.last().unwrap() + 1;
    }
    println!("consumer killed {kills} times: {next} messages, {repeated} taken twice, none lost");
}

#[test]
fn a_ping_pong_of_two_processes_needs_no_late_wake_up() {
    const ROUNDS: u64 = 20_000;
    let ends = |transit: &Transit, from: &str, to: &str| {
        let bell = Bell::open(transit).unwrap();
        let reader = Reader { bell: bell.clone(), waker: None, description: "ping-pong".to_owned() };
        let consumer = transit.consumer(&QueueName::new(from).unwrap(), None, &reader).unwrap();
        let lane: LaneName = "process:ping".parse().unwrap();
        (consumer, transit.sender(&QueueName::new(to).unwrap(), &lane).unwrap(), bell)
    };
    let receive = |consumer: &mut Consumer| {
        let (begin, mut batch) = (Instant::now(), Vec::new());
        while consumer.take(&mut batch).unwrap() == 0 {
            consumer.wait(Duration::from_secs(1)).unwrap();
            assert!(begin.elapsed() < DEADLINE, "no answer");
        }
        let last = batch.last().unwrap();
        consumer.finish(last.lane, last.end, last.count);
        batch
    };
    if let Some((_, transit)) = end() {
        let (mut consumer, sender, bell) = ends(&transit, "ping", "pong");
        println!("\nready");
        let mut answered = 0;
        while answered < ROUNDS {
            for taken in receive(&mut consumer) {
                sender.append(&Outgoing { stamp: taken.stamp, tag: None, body: &taken.body }).unwrap();
                answered += 1;
            }
        }
        assert_eq!(bell.late_wakeups(), 0);
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let transit = Transit::open(root.path()).unwrap();
    let (mut consumer, sender, bell) = ends(&transit, "pong", "ping");
    let mut child = start("echo", root.path(), "a_ping_pong_of_two_processes_needs_no_late_wake_up");
    for n in 0..ROUNDS {
        sender.append(&Outgoing { stamp: Stamp::now(), tag: None, body: &n.to_le_bytes() }).unwrap();
        let answer = receive(&mut consumer);
        assert_eq!((answer.len(), number(&answer[0])), (1, n));
    }
    assert!(child.wait().unwrap().success(), "the other end saw a late wake-up");
    assert_eq!(bell.late_wakeups(), 0);
}

#[test]
fn the_kernel_gives_a_dead_processs_rights_back_and_a_living_ones_not() {
    if let Some((_, transit)) = end() {
        let (_sender, _consumer) = (sender(&transit), consumer(&transit));
        println!("\nready");
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let transit = Transit::open(root.path()).unwrap();
    let mut child = start("hold", root.path(), "the_kernel_gives_a_dead_processs_rights_back_and_a_living_ones_not");
    let_it_work(&mut child, "ready", 1);
    let lane: LaneName = "process:counter".parse().unwrap();
    let bell = Bell::open(&transit).unwrap();
    let reader = Reader { bell, waker: None, description: "second".to_owned() };
    assert!(transit.sender(&queue(), &lane).unwrap_err().to_string().contains("written by another process"));
    let refused = transit.consumer(&queue(), None, &reader).unwrap_err();
    assert_eq!(refused.to_string(), "queue numbers is consumed by storm");
    let consumer_of = |transit: &Transit| transit.status(&queue()).unwrap().unwrap().consumer;
    assert_eq!(consumer_of(&transit).as_deref(), Some("storm"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(consumer_of(&transit), None);
    assert!(transit.sender(&queue(), &lane).is_ok());
    assert!(transit.consumer(&queue(), None, &reader).is_ok());
}

#[test]
fn a_disk_without_room_is_an_error_and_the_queue_goes_on() {
    let test = "a_disk_without_room_is_an_error_and_the_queue_goes_on";
    if let Some((_, transit)) = end() {
        multimodule::process::ignore_file_size_signal().unwrap();
        let sender = sender(&transit);
        nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_FSIZE, 100_000, 100_000).unwrap();
        let append = |body: &[u8]| sender.append(&Outgoing { stamp: Stamp::now(), tag: None, body });
        for n in 0..3000 {
            append(&body(n)).unwrap();
            if n % 500 == 0 {
                let refused = append(&[1; 200_000]).unwrap_err().to_string();
                assert!(refused.contains("too large") && refused.contains("lane.1"), "{refused}");
            }
        }
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let mut child = start("fill", root.path(), test);
    assert!(child.wait().unwrap().success());
    let transit = Transit::open(root.path()).unwrap();
    let (mut consumer, mut batch, mut next) = (consumer(&transit), Vec::new(), 0);
    while take(&mut consumer, &mut batch, &mut next) > 0 {}
    assert_eq!((next, consumer.incidents()), (3000, Vec::new()));
}
