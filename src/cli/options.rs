//! The command line of `multimodule`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;

use super::commands::Command;
use super::version;
use crate::channel::{DEFAULT_HANDLING, Handling, LogFormat};
use crate::config::MAIN;
use crate::name::{QueueName, TaskName};

/// The queue that controls the daemon, where `-q` names no other.
const CONTROL_QUEUE: &str = "MultiModule_control";

const EXAMPLES: &str = "\
Examples:
  multimodule -c test.conf -p mytasks::
      Runs the tutorial: Example1 counts, Example2 prints what it hears. Ctrl-C ends it;
      started again, it goes on with the next number.

  strans '{new_ct => 999}' Example1
      In another terminal: sends Example1 a message. rtrans reads a queue, qtrans lists them.

  multimodule -c conf/test.conf
      The config is JSON, RON or the original's Perl form. Saving the file applies it:
        { Example1 => { outstr => 'howdy' },
          Router   => { routes => [ { match    => { source => 'Example1' },
                                      forwards => [ { qname => 'Example2' } ] } ] } }

  multimodule -o log:./my.log,error:2,alert:Alerts -d 1
      Log lines go to a file, alerts become messages on the queue Alerts; debugging is on.

  multimodule status
      What runs where, and what waits. Also: log, start, stop, restart, migrate, reload, failsafe,
      events, state; each has --help and --json.

Exit codes: 0 orderly end, 64 usage, 65 data, 69 somebody else has it, 74 files, 75 try again,
78 config, 130 second Ctrl-C.";

/// A task daemon: many small tasks, one dependable system.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(subcommand_value_name = "COMMAND", disable_help_subcommand = true)]
#[command(name = "multimodule", version, long_version = version::long(), after_help = EXAMPLES, max_term_width = 100)]
pub struct Options {
    /// The queue that controls the daemon: config changes, cleanly_exit, debugging
    #[arg(short = 'q', long, value_name = "QUEUE", default_value = CONTROL_QUEUE)]
    pub control_queue: QueueName,

    /// Where tasks are looked for, in this order, after the built-in ones
    #[arg(short, long, value_name = "A::,B::", value_delimiter = ',', value_parser = prefix)]
    pub prefixes: Vec<String>,

    /// The config file, as given or else in conf/; saving it applies it. Without, the config comes by message
    #[arg(short, long, value_name = "NAME")]
    pub config: Option<PathBuf>,

    /// Where state is kept
    #[arg(short, long, value_name = "DIR", default_value = "state")]
    pub state_dir: PathBuf,

    /// How much is said: 0 info, 1 debug, 2 and more trace. MULTIMODULE_LOG or RUST_LOG refines it
    #[arg(short, long, value_name = "LEVEL", default_value_t = 0)]
    pub debug: u32,

    /// Run as the process of this name: a task's, or one that tasks share. The daemon does that, users do not
    #[arg(short, long, value_name = "NAME", value_parser = module)]
    pub module: Option<TaskName>,

    /// Where lines go, as channel:handling,...: 1 stdout, 2 stderr, router, a path with a /, or a queue
    #[arg(short, long, value_name = "CHANNELS", default_value = DEFAULT_HANDLING)]
    pub out_of_band: Handling,

    /// How channels write their lines: text, or json, an object in each line
    #[arg(long, value_name = "FORMAT", default_value = LogFormat::default().name(), value_parser = log_format)]
    pub log_format: LogFormat,

    /// The transit directory [default: $MULTIMODULE_TRANSIT; else /var/lib/multimodule/transit for root, and
    /// ~/.local/state/multimodule/transit for others]
    #[arg(short = 'T', long, value_name = "DIR")]
    pub transit_dir: Option<PathBuf>,

    /// What to ask of a daemon that runs; without, this is a daemon
    #[command(subcommand)]
    pub command: Option<Command>,
}

fn prefix(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("a prefix is empty; write as in -p mytasks::,others::".to_owned());
    }
    Ok(text.to_owned())
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    LogFormat::by_name(text).ok_or_else(|| "text and json are what there is".to_owned())
}

/// Which names there are is known once the config is.
fn module(name: &str) -> Result<TaskName, String> {
    if name == MAIN {
        return Err("main is the daemon itself and no task; start it without -m".to_owned());
    }
    TaskName::new(name).map_err(|error| error.to_string())
}

impl Options {
    /// The words with which a host of this daemon is started, without `-m NAME`: directories stand whole, since a
    /// host may be started again from wherever its keeper is.
    pub(super) fn words_of_a_host(&self) -> Vec<OsString> {
        let whole = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone()).into_os_string();
        let mut words: Vec<OsString> = vec!["-s".into(), whole(&self.state_dir)];
        if let Some(transit) = &self.transit_dir {
            words.extend(["-T".into(), whole(transit)]);
        }
        if !self.prefixes.is_empty() {
            words.extend(["-p".into(), self.prefixes.join(",").into()]);
        }
        let level = self.debug.to_string();
        words.extend(["-o".into(), self.out_of_band.to_string().into(), "-d".into(), level.into()]);
        if self.log_format != LogFormat::default() {
            words.extend(["--log-format".into(), self.log_format.name().into()]);
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn read(words: &[&str]) -> Result<Options, clap::Error> {
        Options::try_parse_from([&["multimodule"], words].concat())
    }

    #[test]
    fn the_command_line_is_sound() {
        Options::command().debug_assert();
    }

    #[test]
    fn every_option_has_the_documented_default() {
        let options = read(&[]).unwrap();
        assert_eq!(options.control_queue.as_str(), "MultiModule_control");
        assert_eq!((options.prefixes.len(), options.config, options.debug), (0, None, 0));
        assert_eq!((options.state_dir, options.transit_dir), (PathBuf::from("state"), None));
        assert_eq!((options.out_of_band, options.log_format), (Handling::default(), LogFormat::Text));
    }

    #[test]
    fn short_and_long_forms_mean_the_same() {
        let short =
            ["-q", "Q", "-p", "A::,B::", "-p", "C::", "-c", "x", "-s", "s", "-d", "2", "-o", "log:2", "-T", "t"];
        let long = [
            "--control-queue=Q",
            "--prefixes=A::,B::,C::",
            "--config=x",
            "--state-dir=s",
            "--debug=2",
            "--out-of-band=log:2",
            "--transit-dir=t",
        ];
        let options = read(&short).unwrap();
        assert_eq!(options.prefixes, ["A::", "B::", "C::"]);
        assert_eq!(options, read(&long).unwrap());
    }

    #[test]
    fn what_cannot_be_right_is_refused_with_the_reason() {
        for (words, reason) in [
            (["-m", "main"], "main is the daemon itself"),
            (["-m", "a/b"], "which no name may hold"),
            (["-o", "log"], "without its handling"),
            (["-q", "../x"], "which no name may hold"),
            (["-p", "A::,,B::"], "a prefix is empty"),
            (["-d", "much"], "invalid digit"),
            (["--log-format", "xml"], "text and json"),
        ] {
            let refusal = read(&words).unwrap_err().to_string();
            assert!(refusal.contains(reason), "{words:?}: {refusal}");
        }
    }

    #[test]
    fn the_examples_of_the_help_are_command_lines() {
        let lines: Vec<_> = EXAMPLES.lines().filter_map(|line| line.strip_prefix("  multimodule ")).collect();
        assert_eq!(lines.len(), 4);
        for line in lines {
            read(&line.split(' ').collect::<Vec<_>>()).unwrap();
        }
    }

    #[test]
    fn the_version_tells_features_and_formats() {
        let text = read(&["--version"]).unwrap_err().to_string();
        let expected = format!("multimodule {}\noptional features: none\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(text, expected + "transit format: 1\nstate format: 1\n");
    }
}
