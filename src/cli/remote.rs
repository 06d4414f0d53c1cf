//! Runs a command: calls the daemon, prints what it says, ends with its code.

use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::CommandFactory;
use hyper::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::commands::{Called, Command, FailsafeCommand, PlaceWord, StateCommand};
use super::exit::{Exit, Failure};
use super::options::Options;
use super::shown;
use crate::control::client::{Client, ClientError, ProblemKind, Target};
use crate::daemon::{Done, EventsReport, FailsafeReport, Outcome, ReloadReport, StateReport, Status, TaskStatus};
use crate::name::TaskName;
use crate::transit::default_root;

const PROGRAM: &str = "multimodule";

/// How long the end of everything is waited for: twice what the daemon gives its processes.
const END: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);

/// The most that is read as a state: what the daemon takes.
const STATE_BYTES: u64 = 1 << 20;

/// The daemon's default for `-s`: said before a command it means what it means behind it.
const USUAL_STATE_DIR: &str = "state";

/// Runs a command; `state_dir` and `transit_dir` stood before it.
pub(super) fn run(command: Command, state_dir: &Path, transit_dir: Option<PathBuf>) -> Exit {
    let before = Called {
        state_dir: Some(state_dir.to_owned()).filter(|dir| dir != Path::new(USUAL_STATE_DIR)),
        transit_dir,
        json: false,
    };
    match obey(command, before) {
        Ok(()) => Exit::Ok,
        Err(failure) => failure.report(PROGRAM),
    }
}

/// A daemon, and how its answers are printed.
struct Call {
    client: Client,
    json: bool,
}

fn obey(command: Command, before: Called) -> Result<(), Failure> {
    let call = |called: Called| Call::new(called, before.clone());
    match command {
        Command::Status { task: None, called } => call(called)?.print::<Status>(get("status"), shown::status),
        Command::Status { task: Some(task), called } => {
            call(called)?.print::<TaskStatus>(get("tasks").name(&task), shown::task)
        }
        Command::Log { follow, lines, task, called } => call(called)?.log(task.as_ref(), lines, follow),
        Command::Start { task, called } => call(called)?.change(Method::POST, of(&task).word("start")),
        Command::Restart { task, called } => call(called)?.change(Method::POST, of(&task).word("restart")),
        Command::Stop { task: Some(task), called, .. } => call(called)?.change(Method::POST, of(&task).word("stop")),
        Command::Stop { task: None, called, .. } => call(called)?.stop_all(),
        Command::Migrate { task, place, called } => {
            let to = if place == PlaceWord::Internal { "internal" } else { "external" };
            call(called)?.change(Method::POST, of(&task).word("migrate").with("to", to))
        }
        Command::Reload { dry_run, called } => call(called)?.reload(dry_run),
        Command::Failsafe { action: None, called } => {
            call(called)?.print::<Vec<FailsafeReport>>(get("failsafe"), |reports| shown::failsafes(reports))
        }
        Command::Failsafe { action: Some(FailsafeCommand::Clear { name, called }), .. } => {
            call(called)?.change(Method::DELETE, get("failsafe").name(&name))
        }
        Command::Events { task, after, called } => {
            let target = get("events").with("after", after);
            let target = task.iter().fold(target, |target, task| target.with("task", task));
            call(called)?.print::<EventsReport>(target, shown::events)
        }
        Command::State(StateCommand::Show { task, called }) => {
            call(called)?.print::<StateReport>(of(&task).word("state"), |report| report.state.clone() + "\n")
        }
        Command::State(StateCommand::Set { task, state, called }) => {
            let state = if state == "-" { read_state()? } else { state };
            call(called)?.tell(Method::PUT, of(&task).word("state"), state)
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Options::command(), PROGRAM, &mut script);
            say(&script)
        }
        Command::Man { command } => say(&manual(&command)?),
    }
}

/// The manual page of the program, or of a command of it.
fn manual(command: &[String]) -> Result<Vec<u8>, Failure> {
    let mut of = Options::command();
    of.build();
    for word in command {
        let found = of.find_subcommand(word).cloned();
        of = found.ok_or_else(|| Failure::new(Exit::Usage, format!("there is no command {}", command.join(" "))))?;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(of).render(&mut page).map_err(|error| Failure::new(Exit::IoError, error))?;
    Ok(page)
}

fn get(words: &str) -> Target {
    Target::new(words)
}

fn of(task: &TaskName) -> Target {
    Target::new("tasks").name(task)
}

impl Call {
    fn new(called: Called, before: Called) -> Result<Self, Failure> {
        let transit_dir = match called.transit_dir.or(before.transit_dir) {
            Some(dir) => dir,
            None => default_root()?,
        };
        let state_dir = called.state_dir.or(before.state_dir);
        Ok(Self { client: Client::find(state_dir.as_deref(), &transit_dir)?, json: called.json })
    }

    /// Asks and prints the answer.
    fn print<T: DeserializeOwned + Serialize>(
        &self,
        target: Target,
        text: impl Fn(&T) -> String,
    ) -> Result<(), Failure> {
        self.show(&self.client.ask(Method::GET, target, String::new())?, text)
    }

    fn show<T: Serialize>(&self, answer: &T, text: impl Fn(&T) -> String) -> Result<(), Failure> {
        if !self.json {
            return say(text(answer).as_bytes());
        }
        let json = serde_json::to_string_pretty(answer).map_err(|error| Failure::new(Exit::Data, error))?;
        say((json + "\n").as_bytes())
    }

    fn change(&self, method: Method, target: Target) -> Result<(), Failure> {
        self.tell(method, target, String::new())
    }

    fn tell(&self, method: Method, target: Target, body: String) -> Result<(), Failure> {
        let done: Done = self.client.ask(method, target, body)?;
        self.show(&done, |done| done.text.clone() + "\n")
    }

    fn reload(&self, dry_run: bool) -> Result<(), Failure> {
        let target = Target::new("reload").with("dry_run", dry_run);
        let report: ReloadReport = self.client.ask(Method::POST, target, String::new())?;
        self.show(&report, |ReloadReport { outcome, plan }| match outcome {
            Outcome::Applied => format!("applied: {plan}\n"),
            Outcome::Planned => format!("would be applied: {plan}\n"),
        })
    }

    fn log(&self, task: Option<&TaskName>, lines: u64, follow: bool) -> Result<(), Failure> {
        let target = task.map_or_else(|| get("log"), |task| of(task).word("log"));
        let target = target.with("lines", lines).with("follow", follow);
        let mut outcome = Ok(());
        let json = self.json;
        self.client.stream(target, |bytes| {
            outcome = if json { say_as_json(bytes) } else { write(bytes) };
            outcome.is_ok()
        })?;
        told(outcome)
    }

    /// Ends everything, and waits for it.
    fn stop_all(&self) -> Result<(), Failure> {
        let _done: Done = self.client.ask(Method::POST, Target::new("stop"), String::new())?;
        let begin = Instant::now();
        while self.client.runs() {
            if begin.elapsed() > END {
                let text = format!("all tasks and the daemon are ending, and have not ended in {} s", END.as_secs());
                return Err(Failure::new(Exit::TempFail, text));
            }
            std::thread::sleep(LOOK);
        }
        self.show(&Done { text: "all tasks and the daemon have ended".to_owned() }, |done| done.text.clone() + "\n")
    }
}

/// Lines as JSON: one string each.
fn say_as_json(bytes: &[u8]) -> io::Result<()> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().map(|line| serde_json::to_string(line).map(|line| line + "\n"));
    write(lines.collect::<Result<String, _>>()?.as_bytes())
}

fn read_state() -> Result<String, Failure> {
    let mut state = String::new();
    let read = io::stdin().take(STATE_BYTES + 1).read_to_string(&mut state);
    read.map_err(|error| Failure::new(Exit::IoError, format!("cannot read standard input: {error}")))?;
    Ok(state)
}

fn say(bytes: &[u8]) -> Result<(), Failure> {
    told(write(bytes))
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// Whoever closed the pipe has seen enough.
fn told(outcome: io::Result<()>) -> Result<(), Failure> {
    match outcome {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::IoError, format!("cannot write to standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::Away { .. } | ClientError::Nowhere { .. } | ClientError::Several { .. } => Exit::Unavailable,
            ClientError::Unreachable { .. } | ClientError::Silent { .. } => Exit::TempFail,
            ClientError::Io { .. } => Exit::IoError,
            ClientError::Answer(_) => Exit::Data,
            ClientError::Problem(problem) => match problem.kind {
                ProblemKind::Malformed | ProblemKind::NotFound | ProblemKind::Method => Exit::Usage,
                ProblemKind::TooLarge => Exit::Data,
                ProblemKind::Forbidden | ProblemKind::Conflict => Exit::Unavailable,
                ProblemKind::Invalid => Exit::Config,
                ProblemKind::Failed => Exit::IoError,
                ProblemKind::TooSlow | ProblemKind::Busy | ProblemKind::RolledBack => Exit::TempFail,
            },
        };
        Self::new(exit, error)
    }
}
