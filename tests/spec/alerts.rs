//! Very many alerts at once.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use multimodule::sdk::{Context, Message, Result, Task, fields};

use crate::world::{SOON, World};

/// So many tasks break the same limit.
pub(crate) const ALARMS: usize = 1000;
/// A window of 3 s and what it takes to judge and write; unoptimised, and beside other tests.
const ALL_TOLD: Duration = Duration::from_secs(60);
const OFTEN: Duration = Duration::from_millis(200);

/// Emits without being asked. Stateless.
#[derive(Default)]
pub(crate) struct Alarm;

impl Task for Alarm {
    type Config = ();
    type State = ();

    async fn start(&mut self, ctx: &mut Context<Self>) -> Result {
        ctx.every("emit", OFTEN);
        Ok(())
    }

    async fn tick(&mut self, _timer: &str, ctx: &mut Context<Self>) -> Result {
        ctx.emit(fields! { text: "for nobody" });
        Ok(())
    }

    async fn message(&mut self, _message: Message, _ctx: &mut Context<Self>) -> Result {
        Ok(())
    }
}

#[test]
fn a_thousand_tasks_that_alert_at_once_are_a_thousand_lines_in_the_file_and_none_is_there_twice() {
    let world = World::new();
    let tasks: String = (0..ALARMS).map(|number| format!("Alarm{number} => {{}}, ")).collect();
    // The longer window is one that no average comes of here.
    let monitoring = "MultiModule => {
        windows => { one_minute => '3s', five_minutes => '1h' },
        thresholds => { 'local.admin.emit_messages' => { levels => [ { name => 'warn', threshold => 1 } ] } },
    }";
    let channels = "OutOfBand => { alert => { handling => './alerts.log' } }";
    let daemon = world.own_daemon(&format!("{{ {tasks} {monitoring}, {channels} }}")).start();
    let path = world.path().join("alerts.log");
    let lines = || fs::read_to_string(&path).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    let begin = Instant::now();
    while lines().len() < ALARMS {
        assert!(begin.elapsed() < ALL_TOLD, "{} alerts after {ALL_TOLD:?}", lines().len());
        // A file does not say to us that it has grown; nobody unparks this thread.
        std::thread::park_timeout(OFTEN);
    }
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
    let said: Vec<_> = lines().iter().map(|line| alarm_of(line)).collect();
    let all: BTreeSet<_> = (0..ALARMS).map(|number| format!("Alarm{number}")).collect();
    assert_eq!((said.len(), said.into_iter().collect::<BTreeSet<_>>()), (ALARMS, all));
}

/// The task that an alert is about.
fn alarm_of(line: &str) -> String {
    let alert = line.split_once(" one_minute: ").filter(|_| line.contains(":local.admin.emit_messages: "));
    let name = alert.and_then(|(_, rest)| rest.split(':').next());
    name.unwrap_or_else(|| panic!("another line: {line}")).to_owned()
}
