//! The configs that come with the program: each is read and checked as the daemon does, and `multimodule.conf` tells
//! the truth about the defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use multimodule::channel::{ChannelSettings, DEFAULT_HANDLING, FILE_BYTES};
use multimodule::config::{
    Config, Document, Framework, FrameworkKey, Fsync, LimitSettings, OUT_OF_BAND, Overflow, PathFault, ROUTER,
    RestartSettings, RestartWhen, ValuePath, bytes,
};
use multimodule::limits::{Metric, Thresholds};
use multimodule::name::TaskName;
use multimodule::router::RoutingTable;
use multimodule::task::{Candidate, Nature, Placement, place};
use multimodule::tasks;
use multimodule::transit::{self, Settings};
use multimodule::value::{Map, Value};

/// What the configs' own first lines tell to type.
const PREFIXES: [&str; 1] = ["mytasks::"];

const REFERENCE: &str = "conf/multimodule.conf";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for directory in ["conf", "conf/examples"] {
        let Ok(entries) = fs::read_dir(root().join(directory)) else { continue };
        let paths = entries.map(|entry| entry.expect("a readable directory").path());
        files.extend(paths.filter(|path| path.is_file()));
    }
    files.sort();
    files
}

fn document(path: &Path) -> Document {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Document::parse_bytes(&path.display().to_string(), &bytes).unwrap_or_else(|faults| panic!("{faults}"))
}

/// All that is wrong with a config, its tasks' own settings included.
fn faults(root: &Map) -> Vec<PathFault> {
    let config = match Config::read(root) {
        Ok(config) => config,
        Err(faults) => return faults,
    };
    let (registry, prefixes) = (tasks::registry().expect("the tasks agree"), PREFIXES.map(str::to_owned));
    let mut faults = Vec::new();
    let mut candidates = BTreeMap::new();
    for (name, entry) in &config.tasks {
        match registry.resolve(name, &prefixes) {
            Some(kind) => {
                let nature = Nature { stateful: kind.stateful, single: kind.single };
                candidates.insert(name.clone(), Candidate { framework: &entry.framework, nature });
                let found = kind.check_config(&entry.own).err().unwrap_or_default();
                faults.extend(found.into_iter().map(|fault| entry.fault_of(name, fault)));
            }
            None => faults.push(fault(name.as_str(), "there is no code for this task")),
        }
    }
    faults.extend(Placement::of(&candidates).err().unwrap_or_default());
    let base = ValuePath::default().key(ROUTER);
    let found = RoutingTable::compile(&config.router).err().unwrap_or_default();
    faults.extend(found.into_iter().map(|fault| PathFault { path: fault.path.below(&base), ..fault }));
    let base = ValuePath::default().key(OUT_OF_BAND);
    let found = ChannelSettings::compile(&config.out_of_band).err().unwrap_or_default();
    faults.extend(found.into_iter().map(|fault| PathFault { path: fault.path.below(&base), ..fault }));
    faults
}

fn fault(key: &str, reason: &str) -> PathFault {
    PathFault { path: ValuePath::default().key(key), reason: reason.to_owned(), advice: None }
}

/// What the reference says to the framework about its first task.
fn shown() -> Framework {
    let config = document(&root().join(REFERENCE)).config().unwrap_or_else(|faults| panic!("{faults}"));
    config.tasks[&TaskName::new("Example1").expect("a name")].framework.clone()
}

#[test]
fn every_config_that_comes_with_the_program_is_right() {
    let files = files();
    assert!(files.iter().any(|path| path.ends_with(REFERENCE)), "{files:?}");
    for path in files {
        let document = document(&path);
        let faults = faults(document.root());
        assert!(faults.is_empty(), "{}", document.faults(faults));
    }
}

#[test]
fn the_reference_config_names_every_key_of_the_framework() {
    let text = fs::read_to_string(root().join(REFERENCE)).unwrap();
    let words: BTreeSet<&str> = text.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    for key in FrameworkKey::ALL {
        assert!(words.contains(key.name()), "{REFERENCE} does not tell of {:?}", key.name());
    }
}

#[test]
fn the_reference_config_shows_the_defaults_of_the_framework() {
    let (shown, usual) = (shown(), Framework::default());
    assert_eq!(shown.commit_every, usual.commit_every);
    assert_eq!((shown.delivery, shown.blocking), (usual.delivery, usual.blocking));
}

#[test]
fn the_reference_config_shows_where_a_task_with_state_runs_by_default() {
    let (name, nature) = (TaskName::new("Example1").expect("a name"), Nature { stateful: true, single: false });
    let (shown, usual) = (place(&name, &shown(), nature), place(&name, &Framework::default(), nature));
    assert!(shown.is_ok());
    assert_eq!(shown, usual);
}

#[test]
fn the_reference_config_shows_every_setting_of_a_restart() {
    let expected = RestartSettings {
        when: Some(RestartWhen::Always),
        max: Some(3),
        within: Some(Duration::from_secs(60)),
        backoff: Some(Duration::from_millis(100)),
        max_backoff: Some(Duration::from_secs(30)),
    };
    assert_eq!(shown().restart, expected);
}

#[test]
fn the_reference_config_shows_the_defaults_of_a_channel() {
    let config = document(&root().join(REFERENCE)).config().unwrap_or_else(|faults| panic!("{faults}"));
    let alert = config.out_of_band.as_map().and_then(|channels| channels.get("alert"));
    let alert = alert.and_then(Value::as_map).expect("the reference shows a channel");
    let handling = alert.get("handling").and_then(Value::as_text).unwrap_or_default();
    assert!(DEFAULT_HANDLING.contains(&format!("alert:{handling}")), "{handling}");
    assert_eq!(bytes(alert.get("max_bytes").expect("it shows the size").view()), Ok(FILE_BYTES));
}

#[test]
fn the_reference_config_shows_the_defaults_of_a_queue() {
    let (shown, usual) = (shown().queue, Settings::default());
    assert_eq!(shown.max_bytes, Some(usual.max_bytes));
    assert_eq!(shown.max_messages, Some(usual.max_messages));
    assert_eq!(shown.block_timeout, Some(usual.block_timeout));
    assert_eq!((shown.overflow, usual.overflow), (Some(Overflow::Block), transit::Overflow::Block));
    assert_eq!((shown.fsync, usual.fsync), (Some(Fsync::Never), transit::Fsync::Never));
}

#[test]
fn the_reference_config_shows_the_defaults_of_every_metric() {
    let config = document(&root().join(REFERENCE)).config().unwrap_or_else(|faults| panic!("{faults}"));
    let cpus = NonZeroUsize::new(2).expect("two processors");
    assert_eq!(Thresholds::new(cpus, &config.monitoring), Thresholds::defaults(cpus));
    let text = fs::read_to_string(root().join(REFERENCE)).unwrap();
    for metric in Metric::ALL {
        assert!(text.contains(&format!("{:?}: (", metric.name())), "{REFERENCE} does not tell of {metric}");
    }
}

#[test]
fn the_reference_config_shows_every_limit_and_limits_nothing() {
    let nothing = LimitSettings { no_new_privs: Some(false), ..Framework::default().limits };
    assert_eq!(shown().limits, nothing);
    // With the slashes before its lines taken away it says all of them.
    let text = fs::read_to_string(root().join(REFERENCE)).unwrap();
    let (_, from) = text.split_once("        limits: (").expect("the limits");
    let (section, _) = from.split_once("        ),").expect("their end");
    let lines = section.lines().map(|line| line.trim().trim_start_matches("// "));
    let said: Vec<_> = lines.filter(|line| line.ends_with(',') && line.contains(": ")).collect();
    let config = format!("(T: (limits: ({})))", said.concat());
    let config = Document::parse("limits.conf", &config).and_then(|document| document.config());
    let config = config.unwrap_or_else(|faults| panic!("{faults}"));
    let limits = config.tasks[&TaskName::new("T").expect("a name")].framework.limits.clone();
    let LimitSettings { memory, cpu_time, files, processes, file_size, nice, user, group, no_new_privs } = limits;
    let said = [memory.is_some(), cpu_time.is_some(), files.is_some(), processes.is_some(), file_size.is_some()];
    assert_eq!(
        (said, nice, user.is_some(), group.is_some(), no_new_privs),
        ([true; 5], Some(10), true, true, Some(false))
    );
}
