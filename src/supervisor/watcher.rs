//! One external process, watched: what is seen of it, what is wanted, and what follows.
//!
//! The loop looks, asks [`life::next`] what to do, does it, and waits until something may have changed. Nothing that
//! it does depends on having seen every change: a look tells all.

mod answers;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::adoption::{Adoption, Outcome};
use super::contact::{Contact, ContactEvent};
use super::counted::Counted;
use super::life::{self, Effect, Phase, Seen};
use super::log_reader::LogReader;
use super::renewal::{self, Age};
use super::shared::Shared;
use super::sight::Sight;
use super::telling::Told;
use super::view::ProcessView;
use crate::link::ToHost;
use crate::name::TaskName;
use crate::process::{Caps, Evidence, ProcessRef, is_of_this_boot};
use crate::restart::Policy;

/// What a watcher is asked.
pub(super) enum Request {
    /// `running.conf` has changed; `done` when the host has applied it, or cannot now. With `patience` a host that is
    /// about to be started again is waited for as well.
    Configure { generation: u64, patience: bool, done: oneshot::Sender<()> },
    /// Tell the host that the debug level has changed.
    SetLevel(u32),
    /// Tell the host to open its log anew.
    ReopenLog,
    /// End the process and start it with this daemon's program, if it runs by another; `done` when it is there, or
    /// will not be.
    Renew { done: oneshot::Sender<renewal::Outcome> },
    /// End it and everything below it by force, and keep it ended until a person clears that.
    Failsafe(Box<Evidence>),
    /// Tell when nothing of it is left.
    WhenGone(oneshot::Sender<()>),
    /// End the watch, and say so, if nobody wants the process and nothing of it is left.
    Leave(oneshot::Sender<()>),
}

/// How a process should run.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// When it is started again.
    pub restart: Policy,
    /// What it may have at most.
    pub caps: Caps,
    /// What the config says of its tasks, for people: a line of `TASK: JSON` each.
    pub entries: String,
}

/// Who waits until the host runs by the config; dropped, it has its answer.
struct Waiter {
    patience: bool,
    _done: oneshot::Sender<()>,
}

/// What is wanted of a process.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wish {
    /// Nobody has said: it may be what an earlier daemon has started, and is left as it is.
    Unknown,
    /// That it runs so.
    Runs(Spec),
    /// That it does not run, and by whom that is wanted.
    Ended(String),
}

impl Wish {
    /// How it should run, if it should.
    pub(super) fn spec(&self) -> Option<&Spec> {
        match self {
            Self::Runs(spec) => Some(spec),
            Self::Unknown | Self::Ended(_) => None,
        }
    }
}

/// How long after something was asked for it is looked for, at first and at last: a start takes some milliseconds.
const LOOKS: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(250)];
/// How often it is looked at while nothing is expected.
const CALM: Duration = Duration::from_secs(1);

/// Watches one process.
pub(super) struct Watcher {
    pub(super) shared: Arc<Shared>,
    pub(super) name: TaskName,
    requests: mpsc::Receiver<Request>,
    /// What is wanted: the newest counts, so whoever wants it never waits.
    wishes: watch::Receiver<Wish>,
    /// The one that is followed.
    pub(super) wish: Wish,
    /// Since when somebody has said what is wanted.
    pub(super) wished: Option<Instant>,
    pub(super) phase: Phase,
    /// The keeper that was made at the last start.
    pub(super) made: Option<ProcessRef>,
    pub(super) sight: Sight,
    contact: Contact,
    adoption: Adoption,
    log: LogReader,
    /// How long until the next look at what is expected soon.
    pause: Duration,
    /// The config that the host should run by.
    generation: u64,
    /// Who waits until the host runs by it.
    configured: Vec<Waiter>,
    when_gone: Vec<oneshot::Sender<()>>,
    pub(super) age: Age,
    last_seen: Seen,
    /// How it stands, as others were told.
    pub(super) shown: Option<ProcessView>,
    pub(super) told: Told,
    /// Why it has no cgroup although others have, as that was said.
    pub(super) no_cgroup: Option<String>,
    pub(super) counted: Counted,
    /// How often its program never began, or its host refused a config.
    pub(super) unmade: u64,
}

enum Event {
    /// The supervisor is gone.
    Over,
    Wish,
    Request(Request),
    Contact(ContactEvent),
    Log,
    Look,
}

impl Watcher {
    pub(super) fn new(
        shared: Arc<Shared>,
        name: TaskName,
        wishes: watch::Receiver<Wish>,
        requests: mpsc::Receiver<Request>,
    ) -> Self {
        let state_dir = shared.state_dir.clone();
        Self {
            requests,
            wishes,
            wish: Wish::Unknown,
            wished: None,
            phase: Phase::Gone,
            made: None,
            sight: Sight::new(&state_dir, name.clone()),
            contact: Contact::new(state_dir.clone(), name.clone()),
            adoption: Adoption::begin(),
            log: LogReader::follow(&shared.log_bell, &state_dir, &name),
            pause: LOOKS[0],
            generation: 0,
            configured: Vec::new(),
            when_gone: Vec::new(),
            age: Age::default(),
            last_seen: Seen::default(),
            shown: None,
            told: Told::default(),
            no_cgroup: None,
            counted: Counted::default(),
            unmade: 0,
            shared,
            name,
        }
    }

    /// Runs until the supervisor goes, or lets it go; the process stays as it is.
    pub(super) async fn run(mut self) {
        let mut begun = false;
        loop {
            let seen = self.look();
            if !self.sight.is_blind() {
                if !std::mem::replace(&mut begun, true) {
                    self.begin();
                }
                self.act(seen).await;
                self.show(seen.host);
            }
            match self.wait(seen).await {
                Event::Over => return,
                Event::Request(Request::Leave(left)) if self.is_nothing_left() => {
                    // Who asked may have stopped waiting: then it is still needed.
                    if left.send(()).is_ok() {
                        self.shared.hide(&self.name);
                        return;
                    }
                }
                Event::Request(request) => self.obey(request),
                Event::Wish => self.want(),
                Event::Contact(event) => self.heed(event),
                // Where nobody tells that the log has changed, it is looked at each second.
                Event::Log | Event::Look => self.show_log(),
            }
        }
    }

    /// What ran and ended while nobody watched is judged by its policy before it runs again.
    fn begin(&mut self) {
        if self.sight.record().is_some_and(is_of_this_boot) && !self.end_on_record().is_some_and(|end| end.asked) {
            self.phase = Phase::Up;
        }
    }

    fn show_log(&mut self) {
        self.log.show();
        // Only who can be told to open the new file gets one.
        if self.contact.reopens_its_log() && self.log.rotate_if_large() {
            self.contact.tell(ToHost::ReopenLog);
        }
    }

    pub(super) fn look(&mut self) -> Seen {
        let (seen, another) = self.sight.look();
        if another {
            self.contact.begin_anew();
        }
        self.tell_history(seen.host);
        if seen.host {
            self.contact.call_if_due(Instant::now());
        } else {
            self.contact.hang_up();
            // A host that does not live reads the newest config when it starts.
            let comes_back = self.comes_back(seen);
            self.configured.retain(|waiter| waiter.patience && comes_back);
        }
        if !self.sight.is_blind() {
            let outcome = self.adoption.first_look(seen, self.sight.record(), &self.files());
            if outcome.is_some() || !self.adoption.is_open() {
                self.adoption_is_over(outcome);
            }
        }
        self.follow_renewal();
        seen
    }

    fn adoption_is_over(&self, outcome: Option<Outcome>) {
        if let Some(outcome) = &outcome {
            self.found(outcome);
        }
        self.shared.adoptions.over(&self.name, outcome.as_ref());
    }

    /// Whether a host that does not live is about to.
    fn comes_back(&self, seen: Seen) -> bool {
        let started = !matches!(self.phase, Phase::Stays | Phase::Parked) && self.wish.spec().is_some();
        !seen.parked && (seen.keeper || started)
    }

    async fn act(&mut self, seen: Seen) {
        if self.wish == Wish::Unknown {
            return;
        }
        if self.has_begun() {
            self.phase = Phase::Up;
        }
        let (phase, effect) = life::next(self.phase, seen, self.wish.spec().is_some(), Instant::now());
        if phase != self.phase || seen != self.last_seen {
            self.pause = LOOKS[0];
        }
        if seen != self.last_seen {
            self.shared.tell_news(&self.name);
        }
        self.last_seen = seen;
        self.phase = phase;
        match effect {
            None => {}
            Some(Effect::Start) => self.start().await,
            Some(Effect::Judge) => self.judge().await,
            Some(Effect::End) => self.end(),
            Some(Effect::Force) => self.force(),
        }
        if self.shared.note_parked(&self.name, self.phase == Phase::Parked) {
            self.tell_parked();
        }
        if self.phase == Phase::Gone && matches!(self.wish, Wish::Ended(_)) {
            self.gone();
        }
    }

    /// Whether the keeper that was asked for has been there: however short it lived, its end is no start that fails.
    fn has_begun(&self) -> bool {
        matches!(self.phase, Phase::Starting { .. })
            && self.made.is_some()
            && self.made == self.sight.record().map(|record| record.keeper)
    }

    /// Whether nobody wants it, and there is nothing of it to be watched.
    fn is_nothing_left(&self) -> bool {
        let gone = matches!(self.wish, Wish::Ended(_)) && self.phase == Phase::Gone;
        let unseen = self.sight.is_blind() || self.sight.is_of_newer_program();
        gone && !unseen && self.sight.record().is_none() && matches!(*self.wishes.borrow(), Wish::Ended(_))
    }

    /// Nothing of it is left, and nothing is wanted.
    fn gone(&mut self) {
        self.log.show();
        if self.sight.record().is_some() {
            // What has got away from its keeper is not gone.
            if !self.remove_cgroup() {
                return;
            }
            self.forget();
        }
        self.when_gone.clear();
    }

    async fn wait(&mut self, seen: Seen) -> Event {
        let deadline = self.deadline(seen, Instant::now());
        tokio::select! {
            biased;
            wish = self.wishes.changed() => if wish.is_ok() { Event::Wish } else { Event::Over },
            request = self.requests.recv() => request.map_or(Event::Over, Event::Request),
            event = self.contact.event() => Event::Contact(event),
            () = self.sight.some_end() => Event::Look,
            () = self.log.changed() => Event::Log,
            () = tokio::time::sleep_until(deadline) => Event::Look,
        }
    }

    /// When to look again, if nothing happens before.
    fn deadline(&mut self, seen: Seen, now: Instant) -> Instant {
        // A keeper without host starts one soon; a start shows itself by files.
        let expecting =
            matches!(self.phase, Phase::Starting { .. } | Phase::Ending { .. }) || (seen.keeper && !seen.host);
        let pause = if expecting { self.pause } else { CALM };
        self.pause = (self.pause * 2).min(LOOKS[1]);
        let timed = match self.phase {
            Phase::Waiting { until } | Phase::Ending { until } => Some(until),
            _ => None,
        };
        let call = self.contact.deadline().filter(|_| seen.host);
        timed.into_iter().chain(call).map(|at| at.max(now)).chain([now + pause]).min().unwrap_or(now + CALM)
    }

    fn obey(&mut self, request: Request) {
        match request {
            Request::Configure { generation, patience, done } => {
                self.generation = generation;
                self.configured.push(Waiter { patience, _done: done });
                // Who is being called is told when it answers.
                self.contact.tell(ToHost::Configure { generation });
            }
            Request::SetLevel(level) => {
                // A host that cannot be told reads it when it starts.
                self.contact.tell(ToHost::SetLevel { level });
            }
            Request::ReopenLog => self.contact.reopen_log(),
            Request::Renew { done } => self.renew(done),
            Request::Failsafe(evidence) => self.failsafe(*evidence),
            Request::WhenGone(done) => self.when_gone.push(done),
            // Something is left: who asks is told by the answer that does not come.
            Request::Leave(_) => {}
        }
    }

    fn want(&mut self) {
        let wish = self.wishes.borrow_and_update().clone();
        let changed = self.wish != wish;
        self.wished.get_or_insert_with(Instant::now);
        self.wish = wish;
        if changed {
            if let Wish::Ended(by) = &self.wish {
                self.told.asked_by = Some(by.clone());
            }
            if self.wish.spec().is_none() {
                self.drop_renewal();
            }
            self.tell_keeper();
            // What ended by its old policy is looked at anew.
            if self.phase == Phase::Stays {
                self.phase = Phase::Gone;
            }
        }
    }
}
