//! What a config means for the tasks that there are: pure, and all faults at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::channel::ChannelSettings;
use crate::config::{Config, Framework, FrameworkKey, OUT_OF_BAND, PathFault, ROUTER, ValuePath, did_you_mean};
use crate::name::TaskName;
use crate::router::RoutingTable;
use crate::runtime::{Registry, Role, TaskKind, Wanted};
use crate::task::{Candidate, Nature, Placement};
use crate::value::Map;

/// A config that can be applied.
pub(crate) struct Assembly {
    /// The config itself.
    pub(crate) config: Config,
    /// The tasks that should run.
    pub(crate) wanted: BTreeMap<TaskName, Wanted>,
    /// Where they are at home.
    pub(crate) placement: Placement,
    /// Where messages go.
    pub(crate) table: RoutingTable,
    /// What becomes of the channels' lines.
    pub(crate) channels: Arc<ChannelSettings>,
    /// Tasks that the config names and no code answers to, each with what a person should know.
    pub(crate) missing: BTreeMap<TaskName, String>,
}

/// What a config is held against.
pub(crate) struct Surroundings<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) prefixes: &'a [String],
    /// Queues that exist, whoever reads them.
    pub(crate) queues: &'a BTreeSet<String>,
    /// Stateless tasks that messages wait for although no config names them.
    pub(crate) called: &'a BTreeSet<TaskName>,
    /// Somebody has taken this config before: no name in it is a slip.
    pub(crate) is_checked: bool,
}

impl Assembly {
    /// Puts together what `root` says, or tells all that is wrong with it.
    pub(crate) fn of(root: &Map, around: &Surroundings<'_>) -> Result<Self, Vec<PathFault>> {
        let (config, mut faults) = Config::read_as_far_as_it_goes(root);
        let are_entries_whole = faults.is_empty();
        let mut wanted = BTreeMap::new();
        let mut missing = BTreeMap::new();
        for (name, entry) in &config.tasks {
            let Some(kind) = around.registry.resolve(name, around.prefixes) else {
                missing.insert(name.clone(), around.no_code(name));
                continue;
            };
            if let Err(found) = kind.check_config(&entry.own) {
                faults.extend(found.into_iter().map(|fault| entry.fault_of(name, fault)));
            }
            let (own, framework) = (Arc::new(entry.own.clone()), Arc::new(entry.framework.clone()));
            wanted.insert(name.clone(), Wanted { kind, own, framework, role: Role::Home });
        }
        let table = match RoutingTable::compile(&config.router) {
            Ok(table) => table,
            Err(found) => {
                let base = ValuePath::default().key(ROUTER);
                faults.extend(found.into_iter().map(|f| PathFault { path: f.path.below(&base), ..f }));
                RoutingTable::default()
            }
        };
        let channels = ChannelSettings::compile(&config.out_of_band).unwrap_or_else(|found| {
            let base = ValuePath::default().key(OUT_OF_BAND);
            faults.extend(found.into_iter().map(|f| PathFault { path: f.path.below(&base), ..f }));
            ChannelSettings::default()
        });
        let channels = Arc::new(channels);
        around.add_unconfigured(&mut wanted, &table);
        if !around.is_checked {
            faults.extend(around.misspelt_queues(&config, &wanted, &table));
        }
        faults.extend(around.sleepers_named(&wanted));
        let placement = placement(&wanted).unwrap_or_else(|found| {
            // An entry that is wrong may contradict others only by what it does not say for that.
            faults.extend(if are_entries_whole { found } else { Vec::new() });
            Placement::default()
        });
        if faults.is_empty() { Ok(Self { config, wanted, placement, table, channels, missing }) } else { Err(faults) }
    }
}

/// Where the tasks run, or what contradicts itself there.
fn placement(wanted: &BTreeMap<TaskName, Wanted>) -> Result<Placement, Vec<PathFault>> {
    let candidates = wanted.iter().map(|(name, Wanted { kind, framework, .. })| {
        let nature = Nature { stateful: kind.stateful, single: kind.single };
        (name.clone(), Candidate { framework, nature })
    });
    Placement::of(&candidates.collect())
}

impl Surroundings<'_> {
    /// Tasks without an entry of their own: those that a route names, those that messages wait for, and the router.
    fn add_unconfigured(&self, wanted: &mut BTreeMap<TaskName, Wanted>, table: &RoutingTable) {
        let named = table.queues().iter().map(crate::name::QueueName::task);
        let router = TaskName::new(ROUTER).into_iter();
        for name in named.chain(self.called.iter().cloned()).chain(router) {
            if wanted.contains_key(&name) {
                continue;
            }
            if let Some(kind) = self.registry.resolve(&name, self.prefixes).filter(TaskKind::runs_without_config) {
                let (own, framework) = (Arc::new(Map::new()), Arc::new(Framework::default()));
                wanted.insert(name, Wanted { kind, own, framework, role: Role::Home });
            }
        }
    }

    /// Processes that have the name of a task that does not run yet, and that a message would load into the daemon:
    /// refused now, and not when the message comes.
    fn sleepers_named(&self, wanted: &BTreeMap<TaskName, Wanted>) -> Vec<PathFault> {
        let sleeps = |name: &TaskName| {
            let kind = self.registry.resolve(name, self.prefixes).filter(TaskKind::runs_without_config);
            kind.is_some() && !wanted.contains_key(name)
        };
        let named = wanted.iter().filter_map(|(task, wanted)| Some((task, wanted.framework.process.as_ref()?)));
        let fault = |(task, process): (&TaskName, &TaskName)| PathFault {
            path: ValuePath::default().key(task.as_str()).key(FrameworkKey::Process.name()),
            reason: format!("process {process:?} has the name of task {process}, which a message would load"),
            advice: Some("name it otherwise".to_owned()),
        };
        named.filter(|(_, process)| sleeps(process)).map(fault).collect()
    }

    /// The names under which a config may name the task code that there is.
    fn task_names(&self) -> impl Iterator<Item = &str> {
        self.registry.paths().filter_map(|path| {
            let prefixed = || self.prefixes.iter().find_map(|prefix| path.strip_prefix(prefix.as_str()));
            if path.contains("::") { prefixed() } else { Some(path) }
        })
    }

    fn no_code(&self, name: &TaskName) -> String {
        let tried: Vec<_> = self.prefixes.iter().map(|prefix| format!("{prefix}{name}")).collect();
        let tried = if tried.is_empty() { String::new() } else { format!(" and {}", tried.join(", ")) };
        let near = self.registry.paths().filter(|path| path.rsplit("::").next() == Some(name.as_str()));
        let names = self.task_names();
        let advice = match (near.collect::<Vec<_>>().first(), did_you_mean(name.as_str(), names)) {
            (Some(path), _) => format!("; there is {path}: give its prefix with -p"),
            (None, Some(other)) => format!("; did you mean {other:?}?"),
            (None, None) => String::new(),
        };
        format!("there is no code for task {name}: looked for the built-in {name}{tried}{advice}")
    }

    /// Queues that a route names, nobody is known to read, and that look like one that somebody does.
    fn misspelt_queues(
        &self,
        config: &Config,
        wanted: &BTreeMap<TaskName, Wanted>,
        table: &RoutingTable,
    ) -> Vec<PathFault> {
        let mut faults = Vec::new();
        for queue in table.queues() {
            let Some(index) = table.queue(queue.as_str()) else { continue };
            let task = queue.task();
            let known = wanted.contains_key(&task) || config.tasks.contains_key(&task);
            if known || self.queues.contains(queue.as_str()) || table.is_outside(index) {
                continue;
            }
            let tasks = wanted.keys().map(TaskName::as_str).chain(self.task_names());
            let candidates = tasks.chain(self.queues.iter().map(String::as_str));
            if let Some(meant) = did_you_mean(queue.as_str(), candidates) {
                faults.push(PathFault {
                    path: table.mention(index).below(&ValuePath::default().key(ROUTER)),
                    reason: format!("there is neither a task nor a queue {:?}", queue.as_str()),
                    advice: Some(format!("did you mean {meant:?}? If another program reads it: outside: true")),
                });
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;

    /// What a config that is held against the compiled-in tasks comes to: the tasks that would run, or the faults.
    fn check(text: &str, expected: Result<&[&str], &[&str]>) {
        let registry = crate::tasks::registry().unwrap();
        let (queues, called) = (BTreeSet::from(["theirs".to_owned()]), BTreeSet::new());
        let prefixes = ["mytasks::".to_owned()];
        let around = Surroundings {
            registry: &registry,
            prefixes: &prefixes,
            queues: &queues,
            called: &called,
            is_checked: false,
        };
        let document = Document::parse("test.conf", text).unwrap();
        match (Assembly::of(document.root(), &around), expected) {
            (Ok(assembly), Ok(tasks)) => {
                assert!(assembly.wanted.keys().map(TaskName::as_str).eq(tasks.iter().copied()), "{text}");
            }
            (Err(faults), Err(parts)) => {
                let told: Vec<_> = faults.iter().map(|fault| format!("{fault:?}")).collect();
                assert_eq!(told.len(), parts.len(), "{told:?}");
                parts
                    .iter()
                    .for_each(|part| assert!(told.iter().any(|fault| fault.contains(part)), "{part}: {told:?}"));
            }
            (Ok(assembly), Err(_)) => panic!("{text} was taken: {:?}", assembly.wanted.keys()),
            (Err(faults), Ok(_)) => panic!("{text} was refused: {faults:?}"),
        }
    }

    fn routed(queue: &str) -> String {
        format!("{{ Example1 => {{}}, Router => {{ routes => [ {{ match => {{}}, forwards => [ {queue} ] }} ] }} }}")
    }

    #[test]
    fn tasks_that_a_route_names_run_without_an_entry() {
        check(&routed("{ qname => 'Example2' }"), Ok(&["Example1", "Example2", "Router"]));
        check("{ Example2 => {} }", Ok(&["Example2", "Router"]));
    }

    #[test]
    fn a_queue_that_looks_misspelt_is_refused_unless_another_program_reads_it() {
        check(&routed("{ qname => 'Exmaple2' }"), Err(&["Example2"]));
        check(&routed("{ qname => 'their' }"), Err(&["theirs"]));
        check(&routed("{ qname => 'Exmaple2', outside => 1 }"), Ok(&["Example1", "Router"]));
        check(&routed("{ qname => 'theirs' }"), Ok(&["Example1", "Router"]));
        check(&routed("{ qname => 'quite another' }"), Ok(&["Example1", "Router"]));
    }

    #[test]
    fn the_places_of_the_tasks_come_from_their_entries_and_their_code() {
        let registry = crate::tasks::registry().unwrap();
        let (queues, called, prefixes) = (BTreeSet::new(), BTreeSet::new(), ["mytasks::".to_owned()]);
        let around = Surroundings {
            registry: &registry,
            prefixes: &prefixes,
            queues: &queues,
            called: &called,
            is_checked: false,
        };
        let text = "{ Example1 => {}, Example2 => {}, Tally => { is_external => 0 }, Tail => { file => '/tmp/x', process => 'logs' } }";
        let assembly = Assembly::of(Document::parse("test.conf", text).unwrap().root(), &around).unwrap();
        let places = assembly.placement.by_task.iter();
        let places: Vec<_> = places.map(|(name, placed)| format!("{name}: {}", placed.place)).collect();
        let expected = [
            "Example1: process \"Example1\"",
            "Example2: the daemon",
            "Router: the daemon",
            "Tail: process \"logs\"",
            "Tally: the daemon",
        ];
        assert_eq!(places, expected);
    }

    #[test]
    fn places_that_contradict_each_other_or_the_code_are_faults() {
        check("{ Example1 => { workers => 2 } }", Err(&["a task with state runs once"]));
        check("{ WriteFile => { workers => 2, path => '/tmp/x' } }", Err(&["of which there is one"]));
        check("{ Example1 => { process => 'Router' } }", Err(&["which runs in the daemon"]));
        check("{ Example1 => { process => 'Example2' } }", Err(&["which a message would load"]));
        check(
            "{ Example1 => { process => 'Example2' }, Example2 => { is_external => 1 } }",
            Ok(&["Example1", "Example2", "Router"]),
        );
        let two = "{ Example1 => { outsrt => 1, is_external => 0, process => 'p' } }";
        check(two, Err(&["outsrt", "with is_external: false"]));
    }

    #[test]
    fn all_faults_come_at_once() {
        let text = "{ Example1 => { outsrt => 1 }, OutOfBand => { alert => { handling => [] } }, Router => { routes => [ { forwards => 3 } ] } }";
        check(text, Err(&["outsrt", "match", "forwards", "handling"]));
        let text = "{ Example1 => { outsrt => 1, queue => { max_bytes => 3 } }, Example2 => { workers => 0 }, Router => { routes => [ { forwards => 3 } ] } }";
        check(text, Err(&["max_bytes", "workers", "outsrt", "match", "forwards"]));
    }

    #[test]
    fn a_task_without_code_is_told_and_the_others_run() {
        check("{ Exmaple1 => {}, Example2 => {} }", Ok(&["Example2", "Router"]));
    }
}
