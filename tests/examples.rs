//! The examples' configs, with the built-in tasks that they name.

use multimodule::config::{Config, Document};
use multimodule::fields;
use multimodule::message::Message;
use multimodule::router::{RoutingTable, Target};
use multimodule::tasks;
use multimodule::value::{Map, Value};

const PACKAGES: &str = include_str!("../conf/examples/packages.conf");

fn config(text: &str) -> Config {
    Document::parse("packages.conf", text).and_then(|document| document.config()).unwrap_or_else(|faults| {
        panic!("{faults}");
    })
}

/// Where the routes of the example send a message of `fields`, and as what.
fn routed(fields: Map) -> Vec<(String, Map)> {
    let table = RoutingTable::compile(&config(PACKAGES).router).expect("the example's routes compile");
    let mut copies = Vec::new();
    let deliver = |target, message: Message| match target {
        Target::Known(queue) => copies.push((table.name(queue).to_string(), message.into_fields())),
        Target::Named(name) => copies.push((name.to_string(), message.into_fields())),
    };
    table.route(Message::new(fields), deliver).expect("there are no static forwards to be malformed");
    copies
}

#[track_caller]
fn check(line: &str, expected: Option<(&str, &str)>) {
    let copies = routed(fields! { source: "Tail", file: "/var/log/dpkg.log", line: line });
    let text = |fields: &Map, key: &str| fields.get(key).and_then(Value::as_text).unwrap_or_default().to_owned();
    let found: Vec<_> = copies
        .iter()
        .map(|(queue, fields)| (queue.as_str(), text(fields, "action"), text(fields, "package")))
        .collect();
    let expected: Vec<_> =
        expected.iter().map(|(action, package)| ("Tally", (*action).to_owned(), (*package).to_owned())).collect();
    assert_eq!(found, expected, "{line}");
}

#[test]
fn every_task_of_the_example_is_built_in_and_takes_its_config() {
    let registry = tasks::registry().unwrap();
    for (name, entry) in &config(PACKAGES).tasks {
        let kind = registry.resolve(name, &[]).unwrap_or_else(|| panic!("{name} is not built in"));
        kind.check_config(&entry.own).unwrap();
    }
}

#[test]
fn the_example_counts_the_lines_that_say_what_was_done_to_a_package() {
    check("2026-11-02 10:11:12 install libfoo:amd64 <none> 1.2-3", Some(("install", "libfoo")));
    check("2026-11-02 10:11:12 upgrade libc6:amd64 2.36-9 2.36-10", Some(("upgrade", "libc6")));
    check("2026-11-02 10:11:12 remove libstdc++-12-dev:amd64 12.2.0-14 <none>", Some(("remove", "libstdc++-12-dev")));
    check("2026-11-02 10:11:12 purge tzdata:all 2024a-0 <none>", Some(("purge", "tzdata")));
    check("2026-11-02 10:11:12 install old-style <none> 1.0", Some(("install", "old-style")));
}

#[test]
fn the_example_leaves_all_other_lines_alone() {
    check("2026-11-02 10:11:12 startup packages remove", None);
    check("2026-11-02 10:11:12 startup archives install", None);
    check("2026-11-02 10:11:12 status installed libfoo:amd64 1.2-3", None);
    check("2026-11-02 10:11:12 status half-installed install:amd64 1.2-3", None);
    check("2026-11-02 10:11:12 configure libfoo:amd64 1.2-3 <none>", None);
    check("2026-11-02 10:11:12 trigproc libc-bin:amd64 2.36-9 <none>", None);
    check("", None);
}

#[test]
fn the_example_hands_the_counts_to_the_file() {
    let copies = routed(fields! { source: "Tally", tally: Map::new(), total: 0 });
    assert_eq!(copies.iter().map(|(queue, _)| queue.as_str()).collect::<Vec<_>>(), ["WriteFile"]);
}

#[test]
fn a_config_without_what_the_task_needs_is_refused() {
    let registry = tasks::registry().unwrap();
    let told = |text: &str| {
        let config = config(text);
        let (name, entry) = config.tasks.first_key_value().unwrap();
        let faults = registry.resolve(name, &[]).unwrap().check_config(&entry.own).unwrap_err();
        faults.iter().map(|fault| format!("{}: {}", fault.path, fault.reason)).collect::<Vec<_>>()
    };
    assert_eq!(told("(Tail: ())"), [": there is nothing to follow: give a file, or files"]);
    assert_eq!(told("(Tail: (file: \"a\", flie: \"b\"))"), ["flie: unknown key \"flie\""]);
    assert_eq!(told("(WriteFile: (field: \"a\"))"), [": key \"path\" is missing"]);
    assert_eq!(told("(Tail: (file: \"a\", from: \"ende\"))"), ["from: unknown value \"ende\""]);
}
