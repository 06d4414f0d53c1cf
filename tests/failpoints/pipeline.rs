//! The pipeline of one run: its daemon, which is started again whenever it is gone, and its two ends.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use multimodule::fields;
use multimodule::message::{Message, Stamp};
use multimodule::name::LaneName;
use multimodule::process::{HostFiles, HostRecord, read_record};
use multimodule::transit::Outgoing;
use multimodule::value::Value;
use nix::sys::signal::Signal;

use crate::daemon::{Daemon, LOOK};
use crate::flow::{Came, Flow};
use crate::place::{Place, queue_name, task_name};
use crate::points::Cause;
use crate::run::Run;
use crate::tasks::{BESIDE, COUNTERS, Counted, OUT, WORKER, config};
use crate::victims;

/// How long a process may take to come to a step: an idle lane gives its files back after 10 s.
const COMES: Duration = Duration::from_secs(25);
/// After this long without a kill its cause is there again: not every process that ends is the right one.
const AGAIN: Duration = Duration::from_secs(1);
/// The same for renewals, which go through all processes.
const RENEWED_AGAIN: Duration = Duration::from_secs(8);
/// How long it may take until everything goes on.
const GOES_ON: Duration = Duration::from_secs(30);
/// So many numbers more must come through after a kill.
const MORE: i64 = 60;
/// How long an orderly end may take: each host has 2 s.
const END: Duration = Duration::from_secs(20);
/// Where an index holds its boot id: see `src/transit/index.rs`.
const BOOT_ID: u64 = 16;
/// The directory of what is armed.
const ARMED: &str = "failpoints";
/// The queue that a daemon reads once it runs.
const CONTROL: &str = "MultiModule_control";

/// A running pipeline.
pub(crate) struct Pipeline {
    pub(crate) run: Run,
    /// Where the counters are now.
    external: bool,
    /// Whether the other config holds, which makes no difference.
    other: bool,
    place: Place,
    daemon: Option<Daemon>,
    flow: Option<Flow>,
    pub(crate) came: Came,
}

impl Pipeline {
    /// One that is not started yet.
    pub(crate) fn new(run: Run) -> Self {
        let mut place = Place::new("failpoints");
        let armed = place.path().join(ARMED);
        fs::create_dir(&armed).unwrap();
        place.add_to_environment("MULTIMODULE_FAILPOINTS", armed);
        let pipeline =
            Self { run, external: run.external, other: false, place, daemon: None, flow: None, came: Came::default() };
        pipeline.write_config();
        pipeline
    }

    fn write_config(&self) {
        self.place.write_config(&config(self.run.delivery(), self.external, self.other));
    }

    /// The process that comes to `point` for the `hits`th time is killed.
    pub(crate) fn arm(&self, point: &str, hits: u32) {
        for hit in (1..=hits).rev() {
            File::create(self.armed(point, hit)).unwrap();
        }
    }

    fn armed(&self, point: &str, hit: u32) -> PathBuf {
        self.place.path().join(ARMED).join(format!("{point}.{hit}"))
    }

    /// Does what makes a process come to `point`, until one was killed there.
    pub(crate) fn come_to(&mut self, point: &str, cause: Cause) -> Result<(), String> {
        self.prepare(cause)?;
        let starts = self.daemon().starts;
        self.wait_for(point, cause, Instant::now())?;
        if cause == Cause::Reload && self.daemon().starts == starts && self.daemon().wait(AGAIN).is_none() {
            return Err("another process than the daemon has come to it".to_owned());
        }
        Ok(())
    }

    /// The same for whoever comes after a killed process; where that was not the right one, it does its part later.
    pub(crate) fn come_after(&mut self, point: &str, cause: Cause) -> Result<(), String> {
        self.wait_for(point, cause, Instant::now() + AGAIN)
    }

    fn wait_for(&mut self, point: &str, cause: Cause, mut again: Instant) -> Result<(), String> {
        let (armed, end) = (self.armed(point, 1), Instant::now() + COMES);
        while armed.exists() {
            if Instant::now() > end {
                return Err(format!("no process has come to it; {}", self.came));
            }
            if Instant::now() >= again {
                self.cause(cause)?;
                again = Instant::now() + if cause == Cause::Renew { RENEWED_AGAIN } else { AGAIN };
            }
            self.turn(if cause == Cause::Idle { self.came.sent } else { i64::MAX })?;
        }
        Ok(())
    }

    fn prepare(&mut self, cause: Cause) -> Result<(), String> {
        match cause {
            // The ends are opened afterwards: who comes to the step must be one of the processes.
            Cause::FirstStart | Cause::Reboot if self.daemon.is_some() => {
                self.end()?;
                self.forget_boot();
            }
            Cause::FirstStart | Cause::Reboot => {}
            _ => self.open(),
        }
        self.start();
        Ok(())
    }

    fn start(&mut self) {
        self.daemon.get_or_insert_with(|| Daemon::start(&self.place));
    }

    fn open(&mut self) {
        self.flow.get_or_insert_with(|| Flow::open(&self.place.transit()));
    }

    fn cause(&mut self, cause: Cause) -> Result<(), String> {
        match cause {
            Cause::Flow | Cause::Idle | Cause::Reboot | Cause::FirstStart | Cause::FirstNumbers => {}
            Cause::HostEnds => {
                victims::kill(&self.process(COUNTERS[0])?.host_identity());
            }
            Cause::ProcessEnds => self.end_process(COUNTERS[0])?,
            Cause::WorkerEnds => self.end_process(WORKER)?,
            Cause::DaemonEnds => self.daemon().kill(),
            Cause::Move => {
                self.external = !self.external;
                self.write_config();
            }
            Cause::Reload => {
                self.other = !self.other;
                self.write_config();
            }
            Cause::Renew => self.renew(),
        }
        Ok(())
    }

    fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("it was started")
    }

    fn end_process(&mut self, name: &str) -> Result<(), String> {
        let record = self.process(name)?;
        victims::kill(&record.keeper_identity());
        victims::kill(&record.host_identity());
        Ok(())
    }

    /// A daemon of another program comes, and is asked to renew what runs.
    fn renew(&mut self) {
        self.daemon().kill();
        self.place.change_program();
        let orders = Value::List(vec![fields! { type: "renew" }.into()]);
        let message = Message::new(fields! { ".multimodule": fields! { control: orders } });
        let control = self.place.transit().sender(&queue_name(CONTROL), &LaneName::Process(task_name("test"))).unwrap();
        control.append(&Outgoing { stamp: Stamp::now(), tag: None, body: message.encoded().unwrap() }).unwrap();
    }

    /// An external process, once keeper and host live.
    fn process(&mut self, name: &str) -> Result<HostRecord, String> {
        let end = Instant::now() + GOES_ON;
        let file = HostFiles::new(&self.place.state(), &task_name(name)).process();
        loop {
            if let Some(record) = read_record::<HostRecord>(&file).ok().flatten() {
                let keeper_lives = victims::lives(&record.keeper_identity());
                if keeper_lives && victims::lives(&record.host_identity()) {
                    return Ok(record);
                }
                // A host that has lost its keeper goes on; it gets one with its next start.
                if !keeper_lives {
                    victims::kill(&record.host_identity());
                }
            }
            if Instant::now() > end {
                return Err(format!("no host with its keeper; {}", self.came));
            }
            self.turn(i64::MAX)?;
        }
    }

    /// Numbers up to `last` go in, what came out is counted, and the daemon is started again if it is gone.
    fn turn(&mut self, last: i64) -> Result<(), String> {
        if let Some(daemon) = &mut self.daemon
            && let Some(status) = daemon.start_if_gone(&self.place)
            && status.code().is_some()
        {
            return Err(format!("the daemon ended by itself with {status}"));
        }
        let Some(flow) = &mut self.flow else {
            std::thread::sleep(LOOK);
            return Ok(());
        };
        flow.send(&mut self.came, last);
        flow.take(&mut self.came);
        let out = &self.came.out;
        if out.skipped > 0 || (self.run.exactly_once && out.repeated > 0) {
            return Err(format!("lost, doubled or out of order: {}", self.came));
        }
        Ok(())
    }

    /// After a kill: the counters are where they belong, some more numbers go in, and all come out.
    pub(crate) fn go_on(&mut self) -> Result<(), String> {
        self.open();
        if self.external != self.run.external {
            self.external = self.run.external;
            self.write_config();
        }
        let (end, last) = (Instant::now() + GOES_ON, self.came.sent + MORE);
        while self.came.sent < last || !self.came.is_quiet() || !self.daemon_is_ready() {
            if Instant::now() > end {
                return Err(format!("it does not go on: {}", self.came));
            }
            self.turn(last)?;
        }
        Ok(())
    }

    fn daemon_is_ready(&mut self) -> bool {
        let status = self.place.transit().status(&queue_name(CONTROL)).unwrap();
        self.daemon().identity().is_some() && status.is_some_and(|status| status.consumer.is_some())
    }

    /// Ends everything in order.
    fn end(&mut self) -> Result<(), String> {
        self.flow = None;
        let Some(mut daemon) = self.daemon.take() else { return Ok(()) };
        daemon.signal(Signal::SIGINT);
        match daemon.wait(END) {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(format!("the daemon's orderly end was {status}")),
            None => Err(format!("the daemon did not end within {END:?} after SIGINT")),
        }
    }

    /// All queues were last used in another boot.
    fn forget_boot(&self) {
        for queue in self.place.transit().queues().unwrap() {
            let index = self.place.transit_dir().join(queue.as_str()).join("index");
            let index = File::options().write(true).open(index).unwrap();
            index.write_all_at(&[7; 16], BOOT_ID).unwrap();
        }
    }

    /// Ends it, and looks at what is left.
    pub(crate) fn finish(mut self) -> Vec<String> {
        let mut faults: Vec<String> = self.end().err().into_iter().collect();
        let left = victims::all_of(self.place.path());
        faults.extend(left.iter().map(|(identity, words)| format!("an orphan: pid {}, {words}", identity.pid)));
        faults.extend(self.states());
        let queues = [COUNTERS[0], COUNTERS[1], "T", "Side", "Pool", WORKER, "Pool.2", OUT, "dead"];
        for queue in queues.into_iter().chain(BESIDE) {
            let status = self.place.transit().status(&queue_name(queue)).unwrap();
            let messages = status.map_or(0, |status| status.messages);
            if messages > 0 {
                faults.push(format!("queue {queue} still holds {messages} messages"));
            }
        }
        if !faults.is_empty() {
            self.keep();
        }
        faults
    }

    /// The first counter is handed each number once, whatever its own delivery; the second one, by that of the first.
    fn states(&self) -> Vec<String> {
        let expected = Counted::each_up_to(self.came.sent);
        let mut faults = Vec::new();
        for counter in COUNTERS {
            match self.place.saved::<Counted>(counter) {
                Ok(counted) if counted == expected => {}
                Ok(counted) if counter == COUNTERS[1] && !self.run.exactly_once && counted.count > expected.count => {}
                Ok(counted) => faults.push(format!("{counter} has counted {counted:?}, expected {expected:?}")),
                Err(fault) => faults.push(fault),
            }
        }
        faults
    }

    /// The directory stays, for whoever looks at what went wrong.
    pub(crate) fn keep(&mut self) {
        self.place.keep();
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.flow = None;
        self.daemon = None;
        victims::clean_up(self.place.path());
    }
}
