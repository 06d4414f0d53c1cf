//! External tasks whose programs misbehave, and a pair of bystanders that must not notice.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use multimodule::process::HostRecord;
use multimodule::sdk::{Context, Message, Result, Task, fields};

use crate::own_tasks::Heard;
use crate::world::World;

/// How often the bystanders talk.
const PULSE: Duration = Duration::from_millis(50);

/// Becomes what `process` is a name for, if it is one that misbehaves: a program that is no host at all.
pub(crate) fn misbehave(process: &str) {
    let script = match process {
        "Quitter" => std::process::exit(3),
        "Stubborn" => "trap '' TERM INT HUP; echo Stubborn: ignores TERM; while :; do sleep 1; done",
        // One in its own session, one that forks twice: neither is the host's child for long.
        "Runaway" => "setsid sleep 600 & (setsid sleep 600 &) ; echo Runaway: is away; exit 0",
        _ => return,
    };
    let error = Command::new("/bin/sh").args(["-c", script]).exec();
    panic!("there is no shell: {error}");
}

/// Counts and says its count to whom it may concern, without being asked. Stateful.
#[derive(Default)]
pub(crate) struct Pulse;

impl Task for Pulse {
    type Config = ();
    type State = i64;

    async fn start(&mut self, ctx: &mut Context<Self>) -> Result {
        ctx.every("pulse", PULSE);
        Ok(())
    }

    async fn tick(&mut self, _timer: &str, ctx: &mut Context<Self>) -> Result {
        ctx.emit(fields! { from: "pulse", n: ctx.state });
        ctx.state += 1;
        Ok(())
    }

    async fn message(&mut self, _message: Message, _ctx: &mut Context<Self>) -> Result {
        Ok(())
    }
}

/// The config of a pair of external tasks, one of which talks to the other.
pub(crate) const BYSTANDERS: &str = "Pulse => {}, Witness => {}";
/// The route between them.
pub(crate) const BYSTANDERS_ROUTE: &str = "{ match => { source => 'Pulse' }, forwards => [ { qname => 'Witness' } ] }";

/// Two external tasks that have nothing to do with what a spec is about.
#[derive(Debug)]
pub(crate) struct Bystanders<'world> {
    world: &'world World,
    before: [HostRecord; 2],
    heard: usize,
}

impl<'world> Bystanders<'world> {
    /// Waits until both run.
    pub(crate) fn watch(world: &'world World) -> Self {
        let before = ["Pulse", "Witness"].map(|name| world.process(name));
        let heard = world.wait_for("word from the bystanders", || Some(heard(world)).filter(|heard| *heard > 0));
        Self { world, before, heard }
    }

    /// Both run on as they were, and talk.
    #[track_caller]
    pub(crate) fn are_undisturbed(&self) {
        assert_eq!(["Pulse", "Witness"].map(|name| self.world.process(name)), self.before);
        let now = heard(self.world);
        self.world.wait_for("further word from the bystanders", || (heard(self.world) > now + 2).then_some(()));
        assert!(now >= self.heard);
    }

    /// The numbers that one has heard of the other, after both were ended: every one, in order.
    #[track_caller]
    pub(crate) fn have_missed_nothing(&self) {
        let numbers: Heard = ron::from_str(&self.world.saved_state("Witness")).expect("the witness's state");
        let numbers = numbers.0.get("pulse").cloned().unwrap_or_default();
        assert!(!numbers.is_empty() && numbers.iter().copied().eq(0..=numbers[numbers.len() - 1]), "{numbers:?}");
    }
}

fn heard(world: &World) -> usize {
    world.log("Witness").matches("Witness: has heard ").count()
}
