//! A keeper's life: see the drawing in `mod.rs`. Here is what is done; what to do is decided in `restart`.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::super::order::Answer;
use super::super::{
    Argument, EndRecord, GRACE, HostRecord, How, Intent, Nonce, ProcessRef, RecordError, end_below, read_record,
    write_record,
};
use super::begin::{AnswerPipe, Place, print_into_log};
use super::launch::fork_host;
use super::past::{Past, reason, unix_ms};
use super::waiting::{KeeperEvent, Reaped, Signals, reap};
use crate::restart::Decision;

/// How long a keeper rests that cannot wait: the kernel is out of memory, and to spin makes nothing better.
const TROUBLE: Duration = Duration::from_secs(1);

/// A keeper.
#[derive(Debug)]
pub(super) struct Life {
    place: Place,
    signals: Signals,
    past: Past,
    intent: Intent,
    environment: Vec<Argument>,
    starts: u64,
}

/// One start, and what is known of it until its end.
#[derive(Debug)]
struct Start {
    host: Option<ProcessRef>,
    failure: Option<String>,
    unix_ms: i64,
}

impl Life {
    pub(super) fn new(place: Place, signals: Signals, past: Past, intent: Intent, environment: Vec<Argument>) -> Self {
        Self { place, signals, past, intent, environment, starts: 0 }
    }

    /// Keeps the host until there is nothing more to keep. The answer is given after the first start was tried.
    pub(super) fn run(mut self, answer: AnswerPipe) {
        let mut start = self.start();
        failpoint!("keeper.host_begun");
        answer.send(&Answer::Keeping(self.place.own.reference()));
        failpoint!("keeper.answered");
        loop {
            let end = self.attend(&start);
            self.end_rest();
            let Some(pause) = self.settle(&end) else { return };
            if self.rest(pause) {
                return self.stay_ended(end);
            }
            if std::fs::symlink_metadata(self.place.files.failsafe()).is_ok() {
                return self.say("it is not started again: a failsafe stands there");
            }
            self.read_intent();
            failpoint!("keeper.rested");
            start = self.start();
        }
    }

    fn start(&mut self) -> Start {
        self.starts += 1;
        let mut start = Start { host: None, failure: None, unix_ms: unix_ms() };
        if let Err(error) = self.try_start(&mut start) {
            start.failure = Some(error);
        }
        start
    }

    /// Starts the host, or says why it does not run. A child that does not pass the gate ends by itself.
    fn try_start(&self, start: &mut Start) -> Result<(), String> {
        let text = |error: io::Error| error.to_string();
        if let Err(error) = print_into_log(&self.place.files) {
            self.say(&format!("{error}; what it prints goes where it went before"));
        }
        let nonce = Nonce::fresh().map_err(text)?;
        let waiting = fork_host(&self.place.program, &self.intent, &self.environment, &nonce).map_err(text)?;
        start.host = Some(waiting.process);
        failpoint!("keeper.host_forked");
        let record = self.record(waiting.process, nonce, start.unix_ms);
        write_record(&self.place.files.process(), &record).map_err(|error| error.to_string())?;
        failpoint!("keeper.host_recorded");
        waiting.open_gate().map_or(Ok(()), Err)
    }

    fn record(&self, host: ProcessRef, nonce: Nonce, started_unix_ms: i64) -> HostRecord {
        HostRecord {
            boot: self.place.own.boot.clone(),
            pid_namespace: self.place.pid_namespace,
            keeper: self.place.own.reference(),
            host,
            nonce,
            started_unix_ms,
            starts: self.starts,
            program: self.intent.program.clone(),
        }
    }

    /// Waits for the host's end and writes it down. When somebody asks, it is ended.
    fn attend(&self, start: &Start) -> EndRecord {
        let mut asked = false;
        let reaped = start.host.map(|host| {
            loop {
                if let Some(reaped) = reap_until(host.pid) {
                    break reaped;
                }
                if let KeeperEvent::Asked = self.wait(None) {
                    asked = true;
                    failpoint!("keeper.asked");
                    self.end_rest_keeping_zombies();
                }
            }
        });
        failpoint!("keeper.host_reaped");
        let end = self.end_record(start, reaped, asked);
        self.write_end(&end);
        failpoint!("keeper.end_written");
        end
    }

    fn end_record(&self, start: &Start, reaped: Option<Reaped>, asked: bool) -> EndRecord {
        let nothing = Reaped { pid: 0, how: How::Exited(0), user_cpu_ms: 0, system_cpu_ms: 0, max_rss_kib: 0 };
        let Reaped { how, user_cpu_ms, system_cpu_ms, max_rss_kib, .. } = reaped.unwrap_or(nothing);
        EndRecord {
            boot: self.place.own.boot.clone(),
            host: start.host,
            how: start.failure.clone().map_or(how, How::NotStarted),
            asked,
            started_unix_ms: start.unix_ms,
            ended_unix_ms: unix_ms(),
            user_cpu_ms,
            system_cpu_ms,
            max_rss_kib,
        }
    }

    fn write_end(&self, end: &EndRecord) {
        self.tell(write_record(&self.place.files.end(), end));
    }

    /// Ends what the host has left below us, and takes the ends.
    fn end_rest(&self) {
        self.end_rest_keeping_zombies();
        while reap().is_some() {}
    }

    fn end_rest_keeping_zombies(&self) {
        match end_below(&self.place.own, GRACE) {
            Ok(ended) if ended.left.is_empty() => {}
            Ok(ended) => {
                let pids: Vec<String> = ended.left.iter().map(|process| process.pid.to_string()).collect();
                self.say(&format!("processes that do not end by KILL: {}", pids.join(" ")));
            }
            Err(error) => self.say(&format!("cannot end what is below it: {error}")),
        }
    }

    /// Decides what follows an end: the pause before the next start, or none where this is over.
    fn settle(&mut self, end: &EndRecord) -> Option<Duration> {
        self.read_intent();
        let decision = self.past.decide(&self.intent.restart, end);
        if let Decision::GiveUp { ends, within } = decision {
            self.give_up(ends, within);
        }
        self.tell(self.past.write(&self.place.files));
        failpoint!("keeper.end_counted");
        match decision {
            Decision::StartAt(pause) => {
                self.say(&format!("{}; it is started again in {} ms", end.how, pause.as_millis()));
                Some(pause)
            }
            // Who asked for it knows.
            Decision::Stay if end.asked => None,
            Decision::Stay => {
                self.say(&format!("{}; it stays ended", end.how));
                None
            }
            Decision::GiveUp { .. } => None,
        }
    }

    /// Parks it.
    fn give_up(&mut self, ends: u32, within: Duration) {
        let reason = reason(ends, within);
        self.say(&format!("{reason}; it is parked"));
        if let Err(error) = self.past.park(&self.place.files, &self.intent.name, reason) {
            self.say(&error.to_string());
        }
    }

    /// Waits for the next start; true when somebody asks for the end meanwhile.
    fn rest(&self, pause: Duration) -> bool {
        let deadline = Instant::now() + pause;
        loop {
            match self.wait(Some(deadline)) {
                KeeperEvent::Asked => return true,
                KeeperEvent::TimedOut => return false,
                KeeperEvent::Child => while reap().is_some() {},
            }
        }
    }

    /// The end that was not asked for becomes one that is: it was asked to stay.
    fn stay_ended(&self, end: EndRecord) {
        self.write_end(&EndRecord { asked: true, ..end });
        self.say("asked not to start it again");
    }

    /// What the daemon wants now; what cannot be read changes nothing.
    fn read_intent(&mut self) {
        match read_record::<Intent>(&self.place.files.intent()) {
            Ok(Some(intent)) => self.intent = intent,
            Ok(None) => self.say("its intent is gone; it is kept as before"),
            Err(error) => self.say(&format!("{error}; it is kept as before")),
        }
    }

    fn wait(&self, deadline: Option<Instant>) -> KeeperEvent {
        self.signals.wait(deadline).unwrap_or_else(|error| {
            self.say(&format!("cannot wait for signals: {error}"));
            std::thread::sleep(TROUBLE);
            KeeperEvent::Child
        })
    }

    fn tell(&self, written: Result<(), RecordError>) {
        if let Err(error) = written {
            self.say(&error.to_string());
        }
    }

    /// One line in the log, in one piece.
    fn say(&self, what: &str) {
        let line = format!("multimodule keeper {}: {what}\n", self.intent.name);
        // A log that takes nothing is the only place to say so.
        drop(io::stderr().write_all(line.as_bytes()));
    }
}

/// Takes the ends of children up to that of `pid`; none when that has not ended.
fn reap_until(pid: u32) -> Option<Reaped> {
    std::iter::from_fn(reap).find(|reaped| reaped.pid == pid)
}
