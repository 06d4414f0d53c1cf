//! Cases for each rule, and any pair of placements.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::btree_map;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::config::{Balance, Config, Framework, LimitSettings, PathFault, RestartSettings, Workers};
use crate::fields;
use crate::name::TaskName;
use crate::value::Map;

const STATELESS: Nature = Nature { stateful: false, single: false };
const STATEFUL: Nature = Nature { stateful: true, single: false };
const SINGLE: Nature = Nature { stateful: false, single: true };

fn name(text: &str) -> TaskName {
    TaskName::new(text).unwrap()
}

fn names(texts: &[&str]) -> BTreeSet<TaskName> {
    texts.iter().map(|text| name(text)).collect()
}

fn process(text: &str) -> Place {
    Place::Process(name(text))
}

fn told(faults: &[PathFault]) -> Vec<String> {
    faults.iter().map(|fault| format!("{}: {}", fault.path, fault.reason)).collect()
}

/// The place of the task `T` whose entry is `entry`, or the beginnings of its faults.
fn check(entry: Map, nature: Nature, expected: Result<Place, &[&str]>) {
    let config = Config::read(&fields! { T: entry.clone() }).unwrap();
    match (place(&name("T"), &config.tasks["T"].framework, nature), expected) {
        (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{entry:?}"),
        (Err(faults), Err(expected)) => {
            let told = told(&faults);
            assert_eq!(told.len(), expected.len(), "{entry:?}: {told:?}");
            told.iter().zip(expected).for_each(|(told, expected)| assert!(told.starts_with(expected), "{told}"));
        }
        (found, expected) => panic!("{entry:?}: {found:?} instead of {expected:?}"),
    }
}

#[test]
fn a_task_with_state_has_its_own_process_and_one_without_is_in_the_daemon() {
    check(Map::new(), STATEFUL, Ok(process("T")));
    check(Map::new(), STATELESS, Ok(Place::Daemon));
    check(Map::new(), SINGLE, Ok(Place::Daemon));
}

#[test]
fn what_an_entry_says_of_its_place_holds() {
    for nature in [STATEFUL, STATELESS, SINGLE] {
        check(fields! { is_external: true }, nature, Ok(process("T")));
        check(fields! { is_external: false }, nature, Ok(Place::Daemon));
        check(fields! { process: "p" }, nature, Ok(process("p")));
        check(fields! { process: "p", is_external: true }, nature, Ok(process("p")));
    }
    check(fields! { workers: 3 }, STATELESS, Ok(Place::Pool { workers: Workers::Count(3) }));
    let cpus = fields! { workers: "cpus", is_external: true, balance: "sticky(user)" };
    check(cpus, STATELESS, Ok(Place::Pool { workers: Workers::Cpus }));
}

#[test]
fn what_contradicts_itself_is_told_all_at_once() {
    check(fields! { is_external: false, process: "p" }, STATEFUL, Err(&["process: a task with is_external: false"]));
    check(fields! { is_external: false, workers: 2 }, STATELESS, Err(&["workers: a task with is_external: false"]));
    check(fields! { process: "p", workers: 2 }, STATELESS, Err(&["workers: each worker is a process"]));
    check(fields! { workers: 2 }, STATEFUL, Err(&["workers: a task with state"]));
    check(fields! { workers: 2 }, SINGLE, Err(&["workers: this task holds something"]));
    check(fields! { balance: "least" }, STATELESS, Err(&["balance: there are no workers"]));
    let all = fields! { balance: "least", is_external: false, process: "p", workers: 1 };
    let parts = ["process: ", "workers: a task with is", "workers: each", "workers: a task with state"];
    check(all, STATEFUL, Err(&parts));
}

#[test]
fn a_process_is_not_called_main_and_its_name_leaves_room_for_those_of_its_files() {
    let faults = |task: &str, framework: &Framework, nature| {
        let found = place(&name(task), framework, nature).err().unwrap_or_default();
        found.into_iter().map(|fault| (fault.path.to_string(), fault.advice.unwrap())).collect::<Vec<_>>()
    };
    let (usual, long) = (Framework::default(), "x".repeat(MAX_PROCESS_NAME_BYTES + 1));
    let at_entry = vec![(String::new(), "write is_external: false, or another name with `process`".to_owned())];
    assert_eq!(faults("main", &usual, STATEFUL), at_entry);
    assert_eq!(faults(&long, &usual, STATEFUL), at_entry);
    assert_eq!(faults(&long[1..], &usual, STATEFUL), []);
    assert_eq!(faults("main", &usual, STATELESS), []);
    assert_eq!(faults(&long, &usual, STATELESS), []);
    let there = Framework { process: Some(name(&long)), ..Framework::default() };
    assert_eq!(faults("T", &there, STATEFUL), [("process".to_owned(), "choose a shorter name".to_owned())]);
    let pool = Framework { workers: Some(Workers::Cpus), ..Framework::default() };
    assert_eq!(faults(&long[1..], &pool, STATELESS).len(), 1);
    assert_eq!(faults(&long[6..], &pool, STATELESS), []);
    assert!(worker_name(&name(&long[6..]), crate::config::MAX_WORKERS).is_ok());
}

#[test]
fn a_workers_name_leads_back_to_its_pool_and_no_other_name_does() {
    for (pool, worker) in [("resize", 1), ("a.b", 1024)] {
        assert_eq!(pool_of(&worker_name(&name(pool), worker).unwrap()), Some((name(pool), worker)));
    }
    for text in ["resize", "resize.0", "resize.01", "resize.+1", "resize.1025", "resize.x", "resize."] {
        assert_eq!(pool_of(&name(text)), None, "{text}");
    }
}

/// The placement of a config's tasks. A name that begins with `x` is that of a task with state, one with `s` that of
/// a task of which there may be only one.
fn placement(root: &Map) -> Result<Placement, Vec<PathFault>> {
    let config = Config::read(root).unwrap();
    let nature = |name: &TaskName| match name.as_str().as_bytes()[0] {
        b'x' => STATEFUL,
        b's' => SINGLE,
        _ => STATELESS,
    };
    let candidate = |(name, entry)| (TaskName::clone(name), (nature(name), entry));
    let tasks: BTreeMap<TaskName, (Nature, &crate::config::Entry)> = config.tasks.iter().map(candidate).collect();
    let tasks = tasks
        .iter()
        .map(|(name, (nature, entry))| (name.clone(), Candidate { framework: &entry.framework, nature: *nature }));
    Placement::of(&tasks.collect())
}

#[test]
fn tasks_of_one_process_are_together_and_others_apart() {
    let never = fields! { process: "ingest", restart: "never" };
    let root = fields! { a: Map::new(), xb: Map::new(), xc: fields! { process: "ingest" }, d: never, xe: fields! { process: "xb" },
    f: fields! { workers: 2 }, sg: Map::new() };
    let placement = placement(&root).unwrap();
    let found: Vec<_> = placement.processes.iter().map(|(name, process)| (name.as_str(), &process.tasks)).collect();
    assert_eq!(found, [("ingest", &names(&["d", "xc"])), ("xb", &names(&["xb", "xe"]))]);
    assert_eq!(placement.processes["ingest"].restart.when, Some(crate::config::RestartWhen::Never));
    assert_eq!(placement.processes["xb"].restart, RestartSettings::default());
    for (process, tasks) in [("ingest", &["d", "xc"][..]), ("f.2", &["f"]), ("xb.2", &[]), ("f", &[]), ("a", &[])] {
        assert_eq!(placement.tasks_of(&name(process)), names(tasks), "{process}");
    }
}

#[test]
fn only_a_task_without_state_that_the_daemon_holds_and_may_be_several_is_copied() {
    let root = fields! { a: Map::new(), xb: Map::new(), xc: fields! { process: "ingest" }, d: fields! { is_external: true },
    f: fields! { workers: 2 }, sg: Map::new(), xh: fields! { is_external: false } };
    let placement = placement(&root).unwrap();
    for (task, expected) in [("a", true), ("xb", false), ("d", false), ("f", false), ("sg", false), ("xh", false)] {
        assert_eq!(placement.is_copied(&name(task)), expected, "{task}");
        let everywhere: &[&str] = if expected { &["d", "ingest", "xb"] } else { &[] };
        assert!(placement.copies(&name(task)).map(TaskName::as_str).eq(everywhere.iter().copied()), "{task}");
    }
}

#[test]
fn tasks_that_contradict_each_other_are_told() {
    let in_process = |process: &str| fields! { process: process };
    let restarts = |when: &str| fields! { process: "p", restart: when };
    let limits = |memory: &str| fields! { process: "p", limits: fields! { memory: memory } };
    let cases = [
        (
            fields! { a: Map::new(), xb: in_process("a") },
            "xb.process: process \"a\" has the name of task a, which runs in the daemon",
        ),
        (
            fields! { xa: in_process("p"), xb: in_process("xa") },
            "xb.process: process \"xa\" has the name of task xa, which runs in process \"p\"",
        ),
        (
            fields! { a: fields! { workers: 2 }, xb: in_process("a") },
            "xb.process: process \"a\" has the name of task a, which runs in a pool",
        ),
        (
            fields! { a: fields! { workers: 2 }, xb: in_process("a.7") },
            "xb.process: \"a.7\" is the name of a worker: task a is a pool",
        ),
        (
            fields! { a: fields! { workers: 2 }, "a.1": Map::new() },
            "a.1: \"a.1\" is the name of a worker: task a is a pool",
        ),
        (
            fields! { a: restarts("never"), b: in_process("p"), c: restarts("always") },
            "c.restart: task a runs in the same process and says something else",
        ),
        (
            fields! { a: limits("1GiB"), b: in_process("p"), c: limits("2GiB") },
            "c.limits: task a runs in the same process and says something else",
        ),
        (
            fields! { a: fields! { limits: fields! { memory: "1GiB" } } },
            "a.limits: this task runs in the daemon, and only a process of its own can be limited",
        ),
        (fields! { xa: fields! { workers: 2 } }, "xa.workers: a task with state runs once, so it has no workers"),
    ];
    for (root, expected) in cases {
        assert_eq!(told(&placement(&root).unwrap_err()), [expected]);
    }
    let fine = [
        fields! { a: Map::new(), "a.1": Map::new(), xb: in_process("a.7") },
        fields! { a: restarts("never"), b: in_process("p"), c: restarts("never") },
        fields! { a: limits("1GiB"), b: in_process("p"), c: limits("1024MiB") },
        fields! { a: fields! { workers: 2, limits: fields! { files: 64 } }, xb: fields! { limits: fields! { nice: 5 } } },
        fields! { xa: Map::new(), b: in_process("xa") },
        fields! { a: fields! { workers: 2 }, "a.01": Map::new() },
    ];
    for root in fine {
        assert!(placement(&root).is_ok(), "{root:?}");
    }
}

#[test]
fn the_changes_say_who_goes_where_and_which_processes_that_takes() {
    let in_p = fields! { process: "p" };
    let old = fields! { a: Map::new(), xb: Map::new(), xc: in_p.clone(), xd: in_p.clone(), f: fields! { workers: 2 } };
    let new = fields! { a: fields! { process: "p", restart: "never", limits: fields! { nice: 5 } }, xb: fields! { is_external: false }, xc: in_p, xe: Map::new(),
    f: fields! { workers: 2 } };
    let (old, new) = (placement(&old).unwrap(), placement(&new).unwrap());
    let changes = old.changes(&new);
    let place = |placed: &Option<Placed>| placed.as_ref().map(|placed| placed.place.to_string());
    let moved: Vec<_> = changes.moved.iter().map(|(name, m)| (name.as_str(), place(&m.from), place(&m.to))).collect();
    let text = |text: &str| Some(text.to_owned());
    let expected = [
        ("a", text("the daemon"), text("process \"p\"")),
        ("xb", text("process \"xb\""), text("the daemon")),
        ("xd", text("process \"p\""), None),
        ("xe", None, text("process \"xe\"")),
    ];
    assert_eq!(moved, expected);
    assert_eq!(changes.gone, names(&["xb"]));
    assert_eq!(changes.new.keys().cloned().collect::<BTreeSet<_>>(), names(&["xe"]));
    let restart = Some(new.processes["p"].restart);
    let limits = Some(LimitSettings { nice: Some(5), ..LimitSettings::default() });
    let change = ProcessChange { joined: names(&["a"]), left: names(&["xd"]), restart, limits };
    assert_eq!(changes.changed, BTreeMap::from([(name("p"), change)]));
}

#[test]
fn another_number_of_workers_is_a_change_and_the_same_placement_none() {
    let pool = |workers: i64| placement(&fields! { f: fields! { workers: workers } }).unwrap();
    assert_eq!(pool(2).changes(&pool(3)).moved.len(), 1);
    assert!(pool(2).changes(&pool(2)).is_empty());
}

/// `old` once `changes` have happened to it.
fn applied(mut old: Placement, changes: Changes) -> Placement {
    for (name, Move { to, .. }) in changes.moved {
        match to {
            Some(to) => old.by_task.insert(name, to),
            None => old.by_task.remove(&name),
        };
    }
    old.processes.retain(|name, _| !changes.gone.contains(name));
    for (name, change) in changes.changed {
        let process = old.processes.get_mut(&name).unwrap();
        process.tasks.retain(|task| !change.left.contains(task));
        process.tasks.extend(change.joined);
        process.restart = change.restart.unwrap_or(process.restart);
        process.limits = change.limits.unwrap_or_else(|| process.limits.clone());
    }
    old.processes.extend(changes.new);
    old
}

fn framework() -> impl Strategy<Value = Framework> {
    let process = prop_oneof![3 => Just(None), 2 => select(vec!["p", "q", "xa", "b", "b.1"]).prop_map(Some)];
    let workers = prop_oneof![3 => Just(None), 1 => select(vec![Workers::Count(2), Workers::Cpus]).prop_map(Some)];
    let when = prop_oneof![4 => Just(None), 1 => Just(Some(crate::config::RestartWhen::Never))];
    let balance = prop_oneof![9 => Just(None), 1 => Just(Some(Balance::Least))];
    let nice = prop_oneof![4 => Just(None), 1 => Just(Some(5))];
    (any::<Option<bool>>(), process, workers, when, balance, nice).prop_map(
        |(is_external, process, workers, when, balance, nice)| {
            let limits = LimitSettings { nice, ..LimitSettings::default() };
            let restart = RestartSettings { when, ..RestartSettings::default() };
            let process = process.map(name);
            Framework { is_external, process, workers, balance, restart, limits, ..Framework::default() }
        },
    )
}

type Tasks = BTreeMap<&'static str, (Framework, Nature)>;

fn tasks() -> impl Strategy<Value = Tasks> {
    let task = select(vec!["xa", "b", "b.1", "p", "main", "c"]);
    let nature = (any::<bool>(), any::<bool>()).prop_map(|(stateful, single)| Nature { stateful, single });
    btree_map(task, (framework(), nature), 0..5)
}

/// The placement of those of `tasks` that agree: while there are faults, the task of the first is left out.
fn settled(mut tasks: Tasks) -> Placement {
    loop {
        let candidate =
            |(task, (framework, nature)): (&&str, &(Framework, Nature))| (name(task), (framework.clone(), *nature));
        let owned: BTreeMap<_, _> = tasks.iter().map(candidate).collect();
        let candidates =
            owned.iter().map(|(name, (framework, nature))| (name.clone(), Candidate { framework, nature: *nature }));
        match Placement::of(&candidates.collect()) {
            Ok(placement) => return placement,
            Err(faults) => {
                let path = faults[0].path.to_string();
                let crate::config::Step::Key(task) = &faults[0].path.0[0] else { panic!("{path}") };
                assert!(tasks.remove(task.as_str()).is_some(), "a fault of no task: {path}");
            }
        }
    }
}

proptest! {
    #[test]
    fn each_task_of_a_placement_is_in_the_process_that_it_names_and_in_no_other(tasks in tasks()) {
        let placement = settled(tasks);
        for (name, process) in &placement.processes {
            prop_assert!(!process.tasks.is_empty() && name.as_str() != "main");
            prop_assert!(process.tasks.iter().all(|task| placement.by_task.contains_key(task)));
            let namesake = placement.by_task.get(name);
            prop_assert!(namesake.is_none_or(|task| task.place == Place::Process(name.clone())));
        }
        for (name, placed) in &placement.by_task {
            let homes = placement.processes.iter().filter(|(_, process)| process.tasks.contains(name));
            let homes: Vec<_> = homes.map(|(process, _)| Place::Process(process.clone())).collect();
            match &placed.place {
                Place::Process(_) => prop_assert_eq!(&homes, std::slice::from_ref(&placed.place)),
                _ => prop_assert!(homes.is_empty()),
            }
        }
    }

    #[test]
    fn the_changes_between_two_placements_lead_from_the_one_to_the_other(old in tasks(), new in tasks()) {
        let (old, new) = (settled(old), settled(new));
        let changes = old.changes(&new);
        prop_assert!(changes.moved.values().all(|change| change.from != change.to));
        prop_assert_eq!(changes.is_empty(), old == new);
        prop_assert_eq!(applied(old, changes), new);
    }
}
