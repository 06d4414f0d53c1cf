//! Secrets: a task gets them, and nobody else sees them, also when it says them by mistake.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use multimodule::process::ProcessIdentity;
use multimodule::sdk::{Context, Deserialize, Message, Result, Task, View};

use crate::daemon::{Daemon, DaemonBuilder};
use crate::processes::kill;
use crate::world::{SOON, World};

const IN_FILE: &str = "the word of the file";
const IN_ENVIRONMENT: &str = "the word of \"env\"";
const IN_CREDENTIAL: &str = "the word of systemd, which is long";

/// A task that cannot keep a secret. Stateful: it counts how often it has told one.
#[derive(Default)]
pub(crate) struct Teller;

/// What it is told.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    file: String,
    env: String,
    nested: Vec<Nested>,
}

#[derive(Deserialize)]
struct Nested {
    credential: String,
}

impl Task for Teller {
    type Config = Config;
    type State = i64;

    async fn start(&mut self, ctx: &mut Context<Self>) -> Result {
        let Config { file, env, nested } = &ctx.config;
        let credential = nested.first().map_or("", |nested| nested.credential.as_str());
        ctx.log(format!("Teller: they have {}, {} and {} bytes", file.len(), env.len(), credential.len()));
        ctx.log(format!("Teller: they are <{file}>, <{env}>, {env:?} and <{credential}>"));
        Ok(())
    }

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        ctx.state += 1;
        match message.get("do").and_then(View::as_text) {
            Some("fail") => Err(format!("refused: <{}>", ctx.config.file).into()),
            Some("panic") => panic!("it was <{}>", ctx.config.file),
            Some("print") => {
                let filling = message.get("filling").and_then(View::as_i64).unwrap_or(0);
                println!("Teller: prints <{}>{}", ctx.config.file, ".".repeat(usize::try_from(filling).unwrap_or(0)));
                let (begin, end) = ctx.config.file.split_at(7);
                print!("Teller: in two pieces <{begin}");
                io::stdout().flush()?;
                println!("{end}>");
                Ok(())
            }
            Some("leave") => {
                // It keeps what the host prints into open, bears no mark, and does not obey.
                let child = Command::new("/bin/sh").args(["-c", "trap '' TERM; sleep 600; :"]).env_clear().spawn()?;
                ctx.log(format!("Teller: leaves {}.", child.id()));
                Ok(())
            }
            Some("abort") => {
                println!("Teller: its last words are <{}>", ctx.config.file);
                std::process::abort();
            }
            _ => {
                ctx.alert(format!("told <{}>", ctx.config.file));
                Ok(())
            }
        }
    }
}

impl World {
    /// Writes the secrets of the file and of the credential; the file's path.
    fn write_secrets(&self, mode: u32) -> PathBuf {
        let (file, credentials) = (self.path().join("home/secret"), self.path().join("home/credentials"));
        fs::create_dir(&credentials).expect("an empty home");
        fs::write(credentials.join("spec"), IN_CREDENTIAL).expect("a new file");
        fs::write(&file, format!("{IN_FILE}\n")).expect("a new file");
        fs::set_permissions(&file, Permissions::from_mode(mode)).expect("our own file");
        file
    }

    fn teller(&self, others: &str) -> DaemonBuilder<'_> {
        let file = self.path().join("home/secret");
        let config = format!(
            "{{ Teller => {{ file => 'secret://file{}', env => 'secret://env/SPEC_SECRET', {others}
               nested => [ {{ credential => 'secret://credential/spec' }} ] }}, Echo => {{}} }}",
            file.display()
        );
        let daemon = self.own_daemon(&config).env("SPEC_SECRET", IN_ENVIRONMENT);
        daemon.env("CREDENTIALS_DIRECTORY", self.path().join("home/credentials"))
    }

    /// The process through which the host of `task` prints.
    fn redactor_of(&self, task: &str) -> Option<nix::unistd::Pid> {
        let host = self.process(task).host.pid;
        let threads = fs::read_dir(format!("/proc/{host}/task")).ok()?.flatten();
        let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
        let all = children.collect::<Vec<_>>().join(" ");
        let mut pids = all.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok());
        let is_redactor = |pid: &i32| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|words| words.starts_with(b"multimodule redactor"))
        };
        pids.find(is_redactor).map(nix::unistd::Pid::from_raw)
    }

    /// Nothing that was written, and no command line, holds a secret.
    #[track_caller]
    fn keeps_its_secrets(&self, daemon: &Daemon) {
        for directory in [self.state(), self.transit(), self.path().join("conf")] {
            for file in files(&directory) {
                match fs::read(&file) {
                    Ok(bytes) => holds_none(&file.display().to_string(), &bytes),
                    // What is written beside is renamed any moment.
                    Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "our own file"),
                }
            }
        }
        let said: Vec<_> = daemon.lines().into_iter().map(|line| line.text).collect();
        holds_none("the daemon's output", said.join("\n").as_bytes());
        let hosts = self.record("Teller").into_iter().flat_map(|record| [record.host.pid, record.keeper.pid]);
        for pid in hosts.chain([daemon.pid()]) {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            holds_none("a command line", &words);
        }
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    let (directories, others): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let regular = others.into_iter().filter(|path| path.is_file());
    regular.chain(directories.iter().flat_map(|directory| files(directory))).collect()
}

#[track_caller]
fn holds_none(what: &str, bytes: &[u8]) {
    for secret in [IN_FILE, IN_ENVIRONMENT, &IN_ENVIRONMENT.replace('"', "\\\""), IN_CREDENTIAL] {
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{what} holds {secret:?}: {}", String::from_utf8_lossy(bytes));
    }
}

fn gets_its_secrets_and_tells_none(others: &str) {
    let world = World::new();
    world.write_secrets(0o600);
    let daemon = world.teller(others).start();
    let lengths = [IN_FILE, IN_ENVIRONMENT, IN_CREDENTIAL].map(str::len);
    daemon.wait_for(&format!("Teller: they have {}, {} and {} bytes", lengths[0], lengths[1], lengths[2]), SOON);
    daemon.wait_for("Teller: they are <***>, <***>, \"***\" and <***>", SOON);
    for (order, said) in [("fail", "refused: <***>"), ("panic", "panicked: it was <***>"), ("tell", "told <***>")] {
        world.send(&format!("{{do => '{order}'}}"), "Teller");
        daemon.wait_for(said, SOON);
    }
    let letters = world.take("dead", 2, SOON);
    assert!(letters.iter().all(|letter| format!("{letter:?}").contains("<***>")), "{letters:?}");
    world.keeps_its_secrets(&daemon);
    let running = fs::read_to_string(world.state().join("running.conf")).expect("the running config");
    assert!(running.contains("secret://env/SPEC_SECRET"), "{running}");
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
    world.keeps_its_secrets(&daemon);
    // One of the three was undone by its panic.
    assert_eq!(world.saved_state("Teller"), "2");
}

#[test]
fn an_external_task_gets_its_secrets_and_no_line_letter_file_or_command_line_shows_them() {
    gets_its_secrets_and_tells_none("");
}

#[test]
fn a_task_of_the_daemon_gets_its_secrets_and_no_line_letter_or_file_shows_them() {
    gets_its_secrets_and_tells_none("is_external => 0,");
}

#[test]
fn a_secret_that_others_may_read_holds_up_its_task_alone_until_somebody_does_as_told() {
    let world = World::new();
    let file = world.write_secrets(0o644);
    let daemon = world.teller("").start();
    let reference = format!("secret://file{0}: others may use {0} (mode 0644): chmod 600 {0}", file.display());
    daemon.wait_for(&format!("Teller: waits for a secret: file: {reference}"), SOON);
    world.send("{do => 'tell'}", "Teller");
    world.send("{text => 'a word'}", "Echo");
    daemon.wait_for("Echo: a word.", SOON);
    assert_eq!(world.queue("Teller").map(|queue| queue.messages), Some(1));
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    daemon.wait_for("told <***>", SOON);
    world.keeps_its_secrets(&daemon);
}

#[test]
fn what_an_external_task_prints_past_its_channels_is_written_and_shown_with_stars() {
    prints_stars("");
}

#[test]
fn so_is_what_a_task_of_another_user_prints() {
    if nix::unistd::Uid::effective().is_root() {
        prints_stars("limits => { user => 'nobody' },");
    } else {
        println!("only root can run a task as another user: nothing is checked");
    }
}

fn prints_stars(others: &str) {
    let world = World::new();
    world.write_secrets(0o600);
    let daemon = world.teller(others).start();
    daemon.wait_for("Teller: they are", SOON);
    let follower = world.program(env!("CARGO_BIN_EXE_multimodule")).arg("log").arg("-f").arg("Teller").start();
    world.send("{do => 'print'}", "Teller");
    for shown in [&daemon, &follower] {
        shown.wait_for("Teller: prints <***>", SOON);
        shown.wait_for("Teller: in two pieces <***>", SOON);
    }
    world.keeps_its_secrets(&daemon);
    // Its log is renamed, as it grows or for logrotate.
    let log = world.state().join("log/Teller.log");
    fs::rename(&log, log.with_extension("old")).expect("our own file");
    daemon.hang_up();
    world.wait_for("its new log", || log.exists().then_some(()));
    world.send("{do => 'print'}", "Teller");
    world.wait_for("what it prints in its new log", || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains("pieces <***>")).then_some(())
    });
    world.keeps_its_secrets(&daemon);
}

#[test]
fn the_last_words_of_a_task_that_is_parked_are_there_and_hold_no_secret() {
    let world = World::new();
    world.write_secrets(0o600);
    let daemon = world.teller("restart => { max => 1, within => '60s', backoff => '1ms' },").start();
    daemon.wait_for("Teller: they are", SOON);
    world.send("{do => 'abort'}", "Teller");
    daemon.wait_for("parked: its process", SOON);
    let failsafe = fs::read_to_string(world.state().join("Teller.failsafe")).expect("it is parked");
    assert!(failsafe.contains("its last words are <***>"), "{failsafe}");
    world.keeps_its_secrets(&daemon);
}

#[test]
fn what_keeps_secrets_out_of_a_log_is_replaced_when_it_is_killed() {
    let world = World::new();
    world.write_secrets(0o600);
    let daemon = world.teller("").start();
    daemon.wait_for("Teller: they are", SOON);
    for _ in 0..3 {
        let killed = world.wait_for("its redactor", || world.redactor_of("Teller"));
        let begun = daemon.lines().len();
        nix::sys::signal::kill(killed, nix::sys::signal::Signal::SIGKILL).expect("it lives");
        world.send("{do => 'print'}", "Teller");
        daemon.wait_for_after(begun, "Teller: prints <***>", SOON);
        daemon.wait_for_after(begun, "Teller: in two pieces <***>", SOON);
    }
    world.keeps_its_secrets(&daemon);
}

#[test]
fn what_a_task_leaves_behind_ends_with_its_redactor_and_holds_up_neither_restart_nor_end() {
    let world = World::new();
    world.write_secrets(0o600);
    let daemon = world.teller("restart => { backoff => '1ms' },").start();
    let identity = |pid: u32| ProcessIdentity::of(pid).expect("/proc tells").expect("it lives");
    let mut begun = 0;
    for is_restart in [true, false] {
        begun = daemon.wait_for_after(begun, "Teller: they are", SOON) + 1;
        let record = world.process("Teller");
        let redactor = world.wait_for("its redactor", || world.redactor_of("Teller"));
        world.send("{do => 'leave'}", "Teller");
        let line = daemon.wait_for_after(begun, "Teller: leaves ", SOON);
        let left =
            daemon.lines()[line].text.rsplit_once("leaves ").expect("it says so").1.trim_end_matches('.').parse();
        let all = [left.expect("a pid"), redactor.as_raw().unsigned_abs()].map(identity);
        if is_restart {
            kill(&record.host_identity());
        } else {
            world.write_config("{ Echo => {} }");
        }
        world.wait_ended(&all);
    }
    world.wait_for("the end of its record", || world.record("Teller").is_none().then_some(()));
}

#[test]
fn where_no_redactor_can_be_had_a_task_prints_on_and_its_secret_is_not_in_its_log() {
    let world = World::new();
    world.write_secrets(0o600);
    let daemon = world.teller("").start();
    daemon.wait_for("Teller: they are", SOON);
    let killed = world.wait_for("its redactor", || world.redactor_of("Teller"));
    // It could not open its log.
    let (log, kept) = (world.state().join("log/Teller.log"), world.state().join("log/Teller.kept"));
    fs::rename(&log, &kept).expect("its log");
    fs::create_dir(&log).expect("a free name");
    nix::sys::signal::kill(killed, nix::sys::signal::Signal::SIGKILL).expect("it lives");
    let text = || fs::read_to_string(&kept).expect("its log so far");
    let wait_for = |what: &str| world.wait_for(what, || text().contains(what).then_some(()));
    wait_for("multimodule: its host redacts this log itself, for it can start nothing that does: Is a directory");
    // More than a pipe holds.
    for _ in 0..4 {
        world.send("{do => 'print', filling => 30000}", "Teller");
    }
    world.send("{do => 'tell'}", "Teller");
    wait_for("told <***>");
    assert_eq!(text().matches("Teller: prints <***>....").count(), 4);
    fs::remove_dir(&log).expect("nobody has put something there");
    world.wait_for("another redactor", || world.redactor_of("Teller"));
    world.send("{do => 'print'}", "Teller");
    world.wait_for("its new log", || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains("pieces <***>")).then_some(())
    });
    world.keeps_its_secrets(&daemon);
}

#[test]
fn a_changed_config_whose_secret_cannot_be_read_is_told_and_what_ran_goes_on() {
    let world = World::new();
    world.write_secrets(0o600);
    let daemon = world.teller("").start();
    daemon.wait_for("Teller: they are", SOON);
    world.write_config("{ Teller => { file => 'secret://env/NO_SUCH_SECRET' }, Echo => {} }");
    daemon.wait_for("what ran goes on: file: secret://env/NO_SUCH_SECRET: the environment has no NO_SUCH_SECRET", SOON);
    world.send("{do => 'tell'}", "Teller");
    daemon.wait_for("told <***>", SOON);
}

#[test]
fn a_reference_that_is_none_is_a_fault_of_the_config() {
    let world = World::new();
    let daemon = world.daemon().config("{ Example1 => { outstr => 'secret://fiel/x' } }").prefix("mytasks::").start();
    assert_eq!(daemon.exit_code(SOON), 78);
    daemon.wait_for("did you mean \"file\"?", SOON);
}
