//! The table of layers, and who may use whom.
//!
//! Invariant: a module uses its own layer and those below; `sdk` is the face that tasks see and uses vocabulary
//! only; a task uses `sdk` and other tasks. Test code obeys the same table, except that the tests of `runtime` may
//! run real tasks.

use std::collections::BTreeSet;

use crate::fault::Fault;
use crate::source::{Source, Use};

/// Lowest first: the layer, and the modules in it.
pub(crate) const LAYERS: [(&str, &[&str]); 8] = [
    ("ground", &["failpoint"]),
    ("vocabulary", &["name", "value", "message", "codec"]),
    ("face", &["sdk"]),
    ("policy", &["config", "router", "task", "restart", "limits"]),
    ("mechanism", &["mailbox", "transit", "link", "process", "store", "usage", "script", "channel", "secret"]),
    ("actors", &["runtime", "supervisor", "monitor", "jobs", "grid"]),
    ("composition", &["daemon", "host"]),
    ("border", &["cli", "control", "gearman", "dashboard", "bin"]),
];

const COMPOSITION: usize = 6;

/// Checks every `crate::x`, `multimodule::x` and `super::..::x` of the tree.
pub(crate) fn faults(sources: &[Source]) -> Vec<Fault> {
    // A macro stands at the root wherever its module lies: it is imported as `crate::fields`, and is no arrow.
    let macros: BTreeSet<String> =
        sources.iter().flat_map(|source| source.uses("macro_rules! ")).map(|m| m.name).collect();
    let sources = sources.iter().filter(|source| !source.path.starts_with("tests/"));
    sources.flat_map(|source| faults_of(source, &macros)).collect()
}

fn faults_of(source: &Source, macros: &BTreeSet<String>) -> Vec<Fault> {
    let Some(user) = module_of(&source.path) else { return Vec::new() };
    let mut uses = source.uses("crate::");
    uses.extend(source.uses("multimodule::"));
    uses.extend(uses_by_super(source));
    uses.retain(|used| !macros.contains(&used.name));
    // Upper case at the root is a type; what is no module is no arrow.
    let modules = uses.into_iter().filter(|used| used.name.starts_with(|c: char| c.is_lowercase()));
    modules.filter_map(|used| fault_of(source, user, &used)).collect()
}

fn fault_of(source: &Source, user: &str, used: &Use) -> Option<Fault> {
    let refuse = |rule: String, advice: &str| Some(Fault::new(&source.path, used.line, rule, advice));
    let name = used.name.as_str();
    if user == "tasks" {
        return task_fault(source, used);
    }
    let Some(user_layer) = layer_of(user) else {
        return refuse(format!("`{user}` is in no layer"), "give it a place in LAYERS of tests/architecture/layers.rs");
    };
    if name == "tasks" {
        let may = user_layer >= COMPOSITION || (user == "runtime" && source.is_test_at(used.offset));
        let advice = "only composition and border know the tasks, and the tests of runtime";
        return if may { None } else { refuse(format!("`{user}` uses `tasks`"), advice) };
    }
    let Some(used_layer) = layer_of(name) else {
        return refuse(format!("`{name}` is in no layer"), "give it a place in LAYERS of tests/architecture/layers.rs");
    };
    if used_layer > user_layer {
        let rule =
            format!("`{user}` ({}) uses `{name}` ({}), a layer above", LAYERS[user_layer].0, LAYERS[used_layer].0);
        return refuse(rule, "move what is needed down, or hand it in from above as an argument");
    }
    None
}

fn task_fault(source: &Source, used: &Use) -> Option<Fault> {
    let is_registry = source.path == "tasks/mod.rs" && source.code[used.offset..].starts_with("runtime::Registry");
    if matches!(used.name.as_str(), "sdk" | "tasks") || is_registry {
        return None;
    }
    let advice = "a task uses `multimodule::sdk` and other tasks; if the sdk lacks something, add it there";
    Some(Fault::new(&source.path, used.line, format!("a task uses `{}`", used.name), advice))
}

/// The module at the root that this file belongs to; `lib.rs` belongs to none.
fn module_of(path: &str) -> Option<&str> {
    if path.starts_with("tasks/") {
        return Some("tasks");
    }
    let below = path.strip_prefix("src/")?;
    let first = below.split('/').next()?;
    (below != "lib.rs").then_some(first.trim_end_matches(".rs"))
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|(_, modules)| modules.contains(&module))
}

/// Uses that climb to the root by `super::`, as `super::super::router` in `src/transit/lane.rs` does.
fn uses_by_super(source: &Source) -> Vec<Use> {
    let mut uses = source.uses("super::");
    uses.retain(|used| {
        let before = &source.code[..used.offset];
        let chain = before.trim_end_matches('{').trim_end();
        let climbed = (chain.len() - chain.trim_end_matches("super::").len()) / "super::".len();
        let inline = usize::from(source.is_inline_test_at(used.offset));
        used.name != "super" && climbed > 0 && climbed == depth_of(&source.path) + inline
    });
    uses
}

/// How deep below the root of the crate the module of this file lies: `src/transit/lane.rs` lies 2 deep.
fn depth_of(path: &str) -> usize {
    let names = path.trim_end_matches(".rs").trim_end_matches("/mod").split('/').count();
    if path.starts_with("src/") { names - 1 } else { names }
}
