//! External tasks whose programs misbehave, and a pair of bystanders that must not notice.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use multimodule::process::HostRecord;
use multimodule::sdk::{Context, Deserialize, Message, Result, Serialize, Task, View, fields};

use crate::world::World;

/// How often the bystanders talk where nobody says otherwise, and how often the witness says so at most.
const PULSE: Duration = Duration::from_millis(50);
/// The most that is said at once: two seconds of it.
const AT_ONCE: i64 = 2000;
/// Longer is not told apart.
const LONGEST_MS: usize = 2000;

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

/// Counts and says its count to whom it may concern, without being asked: as often as it is told, also for the time in
/// which it was held up. Stateful.
#[derive(Default)]
pub(crate) struct Pulse {
    begun: Option<(Instant, i64)>,
}

/// The config of [`Pulse`].
#[derive(Deserialize)]
#[serde(default)]
pub(crate) struct Pace {
    /// Messages a second.
    rate: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { rate: 20 }
    }
}

impl Task for Pulse {
    type Config = Pace;
    type State = i64;

    async fn start(&mut self, ctx: &mut Context<Self>) -> Result {
        self.begun = Some((Instant::now(), ctx.state));
        ctx.every("pulse", if ctx.config.rate > 20 { PULSE / 5 } else { PULSE });
        Ok(())
    }

    async fn tick(&mut self, _timer: &str, ctx: &mut Context<Self>) -> Result {
        let (since, first) = *self.begun.get_or_insert((Instant::now(), ctx.state));
        let due = first + i64::try_from(since.elapsed().as_millis())? * i64::from(ctx.config.rate) / 1000;
        let name = ctx.name().to_lowercase();
        for n in ctx.state..due.min(ctx.state + AT_ONCE) {
            ctx.emit(fields! { from: name.clone(), n: n, at_us: now_us()? });
            ctx.state = n + 1;
        }
        Ok(())
    }

    async fn message(&mut self, _message: Message, _ctx: &mut Context<Self>) -> Result {
        Ok(())
    }
}

fn now_us() -> Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_micros())?)
}

/// Looks at the numbers that it hears, and at how long each took to come. Stateful.
#[derive(Default)]
pub(crate) struct Witness {
    said: Option<Instant>,
    /// Since it last said something.
    longest_us: i64,
}

/// What it has seen of each sender.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seen(pub(crate) BTreeMap<String, Numbers>);

/// The numbers of one sender.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Numbers {
    /// The one that comes next.
    pub(crate) next: i64,
    /// How many were not the next: after a gap, again, or before others.
    pub(crate) wrong: i64,
    /// How many there were, and what they come to: of numbers from 0 on, each heard once, in whatever order.
    pub(crate) count: i64,
    pub(crate) sum: i64,
    /// How many took so many milliseconds, where they say when they were sent; the last counts all that took longer.
    pub(crate) took_ms: Vec<u64>,
}

impl Numbers {
    fn hear(&mut self, n: i64, took_us: Option<i64>) {
        self.wrong += i64::from(n != self.next);
        self.next = n + 1;
        self.count += 1;
        self.sum += n;
        if let Some(took_us) = took_us {
            let at = usize::try_from(took_us / 1000).unwrap_or(0).min(LONGEST_MS);
            self.took_ms.resize(self.took_ms.len().max(at + 1), 0);
            self.took_ms[at] += 1;
        }
    }

    /// Whether each number below this one was heard once, in whatever order.
    pub(crate) fn are_all_below(&self, sent: i64) -> bool {
        (self.count, self.sum) == (sent, sent * (sent - 1) / 2)
    }

    /// The milliseconds in which so many of a thousand came; whole ones, and the last one begun.
    pub(crate) fn percentile_ms(&self, permille: u64) -> usize {
        let wanted = self.took_ms.iter().sum::<u64>() * permille / 1000;
        let mut seen = 0;
        let within = self.took_ms.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        within.map_or(0, |ms| ms + 1)
    }
}

impl Task for Witness {
    type Config = Label;
    type State = Seen;

    async fn start(&mut self, ctx: &mut Context<Self>) -> Result {
        println!("{}: started {}", ctx.name(), ctx.config.label);
        Ok(())
    }

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        let number = |key| message.get(key).and_then(View::as_i64);
        let from = message.get("from").and_then(View::as_text).unwrap_or_default().to_owned();
        let Some(n) = number("n") else { return Ok(()) };
        let took_us = number("at_us").map(|at_us| now_us().map(|now| now - at_us)).transpose()?;
        self.longest_us = self.longest_us.max(took_us.unwrap_or(0));
        ctx.emit(fields! { from: format!("{}-{from}", ctx.name()), n: n });
        ctx.state.0.entry(from).or_default().hear(n, took_us);
        if self.said.is_none_or(|said| said.elapsed() >= PULSE) {
            let heard: i64 = ctx.state.0.values().map(|numbers| numbers.next).sum();
            println!("{}: has heard {heard}, the slowest took {} us", ctx.name(), self.longest_us);
            (self.said, self.longest_us) = (Some(Instant::now()), 0);
        }
        Ok(())
    }
}

/// Passes on what it hears, and says nothing. Stateless.
#[derive(Default)]
pub(crate) struct Relay;

/// The config of [`Witness`] and [`Relay`].
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Label {
    label: String,
}

impl Task for Relay {
    type Config = Label;
    type State = ();

    async fn start(&mut self, ctx: &mut Context<Self>) -> Result {
        println!("{}: started {}", ctx.name(), ctx.config.label);
        Ok(())
    }

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        let from = message.get("from").and_then(View::as_text).unwrap_or_default().to_owned();
        ctx.emit(fields! { from: from, n: message.get("n").and_then(View::as_i64) });
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

    /// How long the slowest message of late took, in milliseconds; of late is since the witness has said so many lines.
    pub(crate) fn slowest_ms(&self, since: usize) -> i64 {
        let log = self.world.log("Witness");
        let lines = log.split("the slowest took ").skip(1 + since);
        let slowest = lines.filter_map(|line| line.split(' ').next()?.parse::<i64>().ok()).max();
        slowest.unwrap_or(0) / 1000
    }

    /// How many lines the witness has said.
    pub(crate) fn said(&self) -> usize {
        heard(self.world)
    }

    /// The numbers that one has heard of the other, after both were ended: every one, in order.
    #[track_caller]
    pub(crate) fn have_missed_nothing(&self) -> Numbers {
        let numbers = self.world.seen("Witness").remove("pulse").unwrap_or_default();
        assert!(numbers.next > 0 && numbers.wrong == 0, "{numbers:?}");
        numbers
    }
}

impl World {
    /// What a [`Witness`] has seen that nobody runs now.
    pub(crate) fn seen(&self, witness: &str) -> BTreeMap<String, Numbers> {
        let seen: Seen = ron::from_str(&self.saved_state(witness)).expect("the witness's state");
        seen.0
    }
}

fn heard(world: &World) -> usize {
    world.log("Witness").matches("Witness: has heard ").count()
}
