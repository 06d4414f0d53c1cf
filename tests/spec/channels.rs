//! The out-of-band channels: who gets a line, in which form, and that each is there once.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use multimodule::sdk::{Context, Map, Message, Result, Task, Value, View};

use crate::lines::Stream;
use crate::world::{SOON, World};

/// Says on a channel what it is told, as often as it is told, and prints that it has. Stateless.
#[derive(Default)]
pub(crate) struct Speaker;

impl Task for Speaker {
    type Config = ();
    type State = ();

    async fn start(&mut self, ctx: &mut Context<Self>) -> Result {
        println!("{}: started", ctx.name());
        Ok(())
    }

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        let field = |key: &str| message.get(key).and_then(View::as_text).unwrap_or_default().to_owned();
        let (channel, text) = (field("say"), field("text"));
        let times = message.get("times").and_then(View::as_i64);
        for number in 0..times.unwrap_or(1) {
            let number = times.map_or(String::new(), |_| format!(" {number}"));
            ctx.say(&channel, format!("{}: {text}{number}", ctx.name()));
        }
        println!("{}: printed {text}", ctx.name());
        Ok(())
    }
}

/// Two speakers, one of them in a process of its own, and the channels.
fn config(channels: &str) -> String {
    format!("{{ Loud => {{}}, Speaker => {{ is_external => 1 }}, OutOfBand => {{ {channels} }} }}")
}

impl World {
    /// Has a speaker say something, and waits until it has.
    fn say(&self, daemon: &crate::daemon::Daemon, task: &str, channel: &str, text: &str) {
        self.send(&format!("{{say => '{channel}', text => '{text}'}}"), task);
        daemon.wait_for(&format!("{task}: printed {text}"), SOON);
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// The lines of one process in a file.
    fn texts_of(&self, name: &str, pid: u32) -> String {
        let text = fs::read_to_string(self.file(name)).unwrap_or_default();
        let of = |line: &&str| line.contains(&format!("({pid}): ")) || line.contains(&format!("\"pid\":{pid},"));
        text.lines().filter(of).collect::<Vec<_>>().join("\n")
    }

    fn texts(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.file(name)).unwrap_or_default();
        text.lines().map(|line| line.split_once("): ").map_or(line, |(_, text)| text).to_owned()).collect()
    }
}

#[test]
fn each_process_handles_its_lines_by_the_config_and_a_reload_changes_it() {
    let world = World::new();
    let daemon = world.own_daemon(&config("audit => { handling => './audit.log' }")).start();
    for task in ["Loud", "Speaker"] {
        world.say(&daemon, task, "audit", "one");
    }
    assert_eq!(world.texts("audit.log"), ["[AUDIT] Loud: one", "[AUDIT] Speaker: one"]);
    world.write_config(&config("audit => { handling => './other.log' }"));
    let applied = daemon.wait_for("the changed config is applied: channels changed", SOON);
    for task in ["Loud", "Speaker"] {
        world.say(&daemon, task, "audit", "two");
    }
    assert_eq!(world.texts("other.log"), ["[AUDIT] Loud: two", "[AUDIT] Speaker: two"]);
    assert_eq!(world.texts("audit.log").len(), 2);
    world.write_config(&config(""));
    let applied = daemon.wait_for_after(applied + 1, "the changed config is applied: channels changed", SOON);
    world.say(&daemon, "Speaker", "audit", "three");
    daemon.wait_for_after(applied, "[AUDIT] Speaker: three", SOON);
    // A channel that nobody speaks of is handled like errors.
    let line = daemon.lines().into_iter().find(|line| line.text.ends_with("[AUDIT] Speaker: three")).unwrap();
    assert_eq!(line.stream, Stream::Error);
}

#[test]
fn a_host_goes_on_handling_its_lines_while_no_daemon_runs() {
    let world = World::new();
    let daemon = world.own_daemon(&config("alert => { handling => './alerts.log' }")).start();
    world.say(&daemon, "Speaker", "alert", "one");
    daemon.kill();
    daemon.exit(SOON);
    world.send("{say => 'alert', text => 'two'}", "Speaker");
    world.wait_for("its second alert", || (world.texts("alerts.log").len() == 2).then_some(()));
    assert_eq!(world.texts("alerts.log"), ["[ALERT] Speaker: one", "[ALERT] Speaker: two"]);
}

#[test]
fn filters_say_which_lines_pass_and_endpoints_get_those_too() {
    let world = World::new();
    let alert = "alert => { handling => './alerts.log', \
        include_matches => { hot => { text => ' special/hot/' }, mine => { task => 'Loud' } }, \
        exclude_matches => { noise => { text => ' special/noise/' } }, transit_endpoints => ['Pager'] }";
    let daemon = world.own_daemon(&config(alert)).start();
    for (task, text) in [("Speaker", "hot"), ("Speaker", "cold"), ("Loud", "cold one"), ("Loud", "hot noise")] {
        world.say(&daemon, task, "alert", text);
    }
    assert_eq!(world.texts("alerts.log"), ["[ALERT] Speaker: hot", "[ALERT] Loud: cold one"]);
    world.wait_for("both alerts on the queue", || (world.waiting("Pager") == 2).then_some(()));
    let field = |message: &Map, key: &str| message.get(key).and_then(Value::as_text).unwrap_or_default().to_owned();
    let taken: BTreeSet<_> = world
        .take("Pager", 2, SOON)
        .iter()
        .map(|message| ["channel", "task", "text"].map(|key| field(message, key)))
        .collect();
    let expected = [["alert", "Loud", "Loud: cold one"], ["alert", "Speaker", "Speaker: hot"]];
    assert_eq!(taken, expected.map(|fields| fields.map(str::to_owned)).into());
    // Nothing of them is shown.
    assert!(!daemon.lines().iter().any(|line| line.text.contains("[ALERT]")), "{:?}", daemon.lines());
}

#[test]
fn a_fault_of_the_channels_is_told_at_its_place_and_what_runs_goes_on() {
    let world = World::new();
    let daemon = world.own_daemon(&config("alert => { handling => './alerts.log' }")).start();
    world.say(&daemon, "Loud", "alert", "one");
    world.write_config(&config("alert => { handling => './alerts.log',\n include_matchs => {} }"));
    daemon.wait_for("OutOfBand.alert.include_matchs: unknown key", SOON);
    daemon.wait_for("did you mean \"include_matches\"?", SOON);
    world.say(&daemon, "Loud", "alert", "two");
    assert_eq!(world.texts("alerts.log").len(), 2);
}

#[test]
fn what_a_task_prints_and_says_is_one_stream_in_order_with_its_own_pid_and_each_line_once() {
    let world = World::new();
    let daemon = world.own_daemon(&config("")).start();
    for number in 0..20 {
        let channel = if number % 2 == 0 { "log" } else { "error" };
        world.send(&format!("{{say => '{channel}', text => 'n{number:02}'}}"), "Speaker");
    }
    daemon.wait_for("Speaker: printed n19", SOON);
    daemon.wait_for("[ERROR] Speaker: n19", SOON);
    let pid = world.process("Speaker").host.pid;
    let of = |stream| daemon.lines().into_iter().filter(move |line| line.stream == stream).map(|line| line.text);
    let out: Vec<_> = of(Stream::Out).filter(|text| text.contains("Speaker: ") && text.contains('n')).collect();
    let mut expected = Vec::new();
    for number in 0..20 {
        if number % 2 == 0 {
            expected.push(format!("({pid}): [LOG] Speaker: n{number:02}"));
        }
        expected.push(format!("Speaker: printed n{number:02}"));
    }
    // A line that was printed stands there as it is; one of a channel has its time before it.
    let shown: Vec<_> =
        out.iter().map(|text| text.find(&format!("({pid}): [")).map_or(&text[..], |at| &text[at..])).collect();
    assert_eq!(shown, expected);
    let errors: Vec<_> = of(Stream::Error).filter(|text| text.contains("Speaker: n")).collect();
    assert_eq!(errors.len(), 10, "{errors:?}");
    assert!(errors.iter().all(|text| text.contains("): [ERROR] Speaker: n") && text.contains(&format!("({pid})"))));
}

#[test]
fn a_thousand_alerts_at_once_are_a_thousand_lines_and_none_stands_twice() {
    let world = World::new();
    let daemon =
        world.own_daemon(&config("alert => { handling => './alerts.log', transit_endpoints => ['Pager'] }")).start();
    daemon.wait_for("Speaker: started", SOON);
    for burst in ["a", "b"] {
        for task in ["Loud", "Speaker"] {
            world.send(&format!("{{say => 'alert', text => '{burst}', times => 250}}"), task);
        }
    }
    for task in ["Loud", "Speaker"] {
        daemon.wait_for(&format!("{task}: printed b"), SOON);
    }
    let lines = world.texts("alerts.log");
    let distinct: BTreeSet<_> = lines.iter().collect();
    assert_eq!((lines.len(), distinct.len()), (1000, 1000));
    assert!(distinct.iter().all(|line| line.starts_with("[ALERT] ")));
    world.wait_for("all alerts on the queue", || (world.waiting("Pager") == 1000).then_some(()));
}

#[test]
fn a_file_rotates_by_size_and_keeps_one_before_it() {
    let world = World::new();
    let daemon = world.own_daemon(&config("alert => { handling => './alerts.log', max_bytes => '16KiB' }")).start();
    let text = "x".repeat(100);
    for task in ["Loud", "Speaker"] {
        world.send(&format!("{{say => 'alert', text => '{text}', times => 100}}"), task);
        daemon.wait_for(&format!("{task}: printed"), SOON);
    }
    let (old, new) = (world.texts("alerts.log.1"), world.texts("alerts.log"));
    assert_eq!(old.len() + new.len(), 200);
    let length = fs::metadata(world.file("alerts.log.1")).unwrap().len();
    assert!((16 << 10..17 << 10).contains(&length), "{length}");
}

#[test]
fn at_sighup_files_that_were_renamed_are_opened_anew_by_daemon_and_hosts() {
    let world = World::new();
    let daemon = world.own_daemon(&config("alert => { handling => './alerts.log' }")).start();
    for task in ["Loud", "Speaker"] {
        world.say(&daemon, task, "alert", "one");
    }
    let log = world.state().join("log/Speaker.log");
    for (file, aside) in
        [(world.file("alerts.log"), world.file("alerts.old")), (log.clone(), log.with_extension("old"))]
    {
        fs::rename(file, aside).unwrap();
    }
    daemon.hang_up();
    world.wait_for_a_host_that_prints_to("Speaker", &log);
    for task in ["Loud", "Speaker"] {
        world.say(&daemon, task, "alert", "two");
    }
    assert_eq!(world.texts("alerts.log"), ["[ALERT] Loud: two", "[ALERT] Speaker: two"]);
    assert_eq!(world.texts("alerts.old").len(), 2);
    assert!(fs::read_to_string(&log).unwrap().contains("Speaker: printed two"));
}

#[test]
fn in_json_each_line_of_daemon_and_hosts_is_an_object_and_what_is_printed_stays_as_it_is() {
    let world = World::new();
    let tutorial = "{ Example1 => { outstr => 'howdy' }, Router => { routes => [ { match => { source => 'Example1' }, \
        forwards => [ { qname => 'Example2' } ] } ] } }";
    let daemon = world.daemon().config(tutorial).prefix("mytasks::");
    let daemon =
        daemon.arg("--log-format").arg("json").arg("-d").arg("1").arg("-o").arg("log:1,error:2,debug:2").start();
    daemon.wait_for("Example2: received a message: 2 (howdy)", SOON);
    let host = world.process("Example1").host.pid;
    daemon.wait_for(&format!("\"pid\":{host},"), SOON);
    let lines = daemon.lines();
    let (said, printed): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.text.starts_with('{'));
    assert!(printed.iter().all(|line| line.text.starts_with("Example2: received")), "{printed:?}");
    for line in said {
        let read: serde_json::Value =
            serde_json::from_str(&line.text).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        let time: jiff::Timestamp = read["time"].as_str().unwrap().parse().unwrap();
        assert!(time.as_second() > 0 && read["pid"].as_u64().is_some() && read["text"].as_str().is_some(), "{read}");
        let expected = if read["type"] == "log" { Stream::Out } else { Stream::Error };
        assert_eq!(line.stream, expected, "{read}");
    }
}

#[test]
fn an_external_task_follows_what_the_next_daemon_is_told_of_lines_on_its_command_line() {
    let world = World::new();
    let tutorial = "{ Example1 => { outstr => 'howdy' } }";
    let start = |words: &[&str]| {
        let daemon = world.daemon().config(tutorial).prefix("mytasks::");
        words.iter().fold(daemon, |daemon, word| daemon.arg(word)).start()
    };
    let daemon = start(&["-o", "log:1,error:2,debug:./one.out", "-d", "1"]);
    let host = world.process("Example1").host;
    world.wait_for("debug lines of the host", || world.texts_of("one.out", host.pid).contains("[DEBUG]").then_some(()));
    daemon.terminate();
    assert_eq!(daemon.exit_code(SOON), 0);
    let daemon = start(&["-o", "log:1,error:2,debug:./two.out", "-d", "2", "--log-format", "json"]);
    daemon.wait_for("Example1: adopted", SOON);
    world.write_config(&tutorial.replace("howdy", "hello"));
    world.wait_for("its lines in the other file and form", || {
        world.texts_of("two.out", host.pid).contains("\"type\":\"debug\"").then_some(())
    });
    assert_eq!(world.process("Example1").host, host, "it is the same process");
}
