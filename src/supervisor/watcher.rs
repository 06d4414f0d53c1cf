//! One external process, watched: what is seen of it, what is wanted, and what follows.
//!
//! The loop looks, asks [`life::next`] what to do, does it, and waits until something may have changed. Nothing that
//! it does depends on having seen every change: a look tells all.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::adoption::Adoption;
use super::contact::{Contact, ContactEvent};
use super::life::{self, Effect, Phase, Seen};
use super::log_reader::LogReader;
use super::renewal::{self, Age};
use super::shared::Shared;
use super::sight::Sight;
use super::telling::Told;
use super::view::ProcessView;
use crate::link::{HostHello, LinkError, ToDaemon, ToHost};
use crate::name::TaskName;
use crate::process::is_of_this_boot;
use crate::restart::Policy;

/// What a watcher is asked.
pub(super) enum Request {
    /// This process should run so, or not at all.
    Want(Option<Spec>),
    /// `running.conf` has changed; `done` when the host has applied it, or cannot now. With `patience` a host that is
    /// about to be started again is waited for as well.
    Configure { generation: u64, patience: bool, done: oneshot::Sender<()> },
    /// Tell the host that the debug level has changed.
    SetLevel(u32),
    /// End the process and start it with this daemon's program, if it runs by another; `done` when it is there, or
    /// will not be.
    Renew { done: oneshot::Sender<renewal::Outcome> },
    /// Tell when nothing of it is left.
    WhenGone(oneshot::Sender<()>),
}

/// How a process should run.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// When it is started again.
    pub restart: Policy,
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
    /// That it does not run.
    Ended,
}

impl Wish {
    /// How it should run, if it should.
    pub(super) fn spec(&self) -> Option<&Spec> {
        match self {
            Self::Runs(spec) => Some(spec),
            Self::Unknown | Self::Ended => None,
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
    pub(super) wish: Wish,
    /// Since when somebody has said what is wanted.
    pub(super) wished: Option<Instant>,
    pub(super) phase: Phase,
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
}

enum Event {
    Request(Option<Request>),
    Contact(ContactEvent),
    Log,
    Look,
}

impl Watcher {
    pub(super) fn new(shared: Arc<Shared>, name: TaskName, requests: mpsc::Receiver<Request>) -> Self {
        let state_dir = shared.state_dir.clone();
        Self {
            requests,
            wish: Wish::Unknown,
            wished: None,
            phase: Phase::Gone,
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
            shared,
            name,
        }
    }

    /// Runs until the supervisor goes; the process stays as it is.
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
                Event::Request(None) => return,
                Event::Request(Some(request)) => self.obey(request),
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

    fn look(&mut self) -> Seen {
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
        if !self.sight.is_blind()
            && let Some(outcome) = self.adoption.first_look(seen, self.sight.record(), &self.files())
        {
            self.found(&outcome);
        }
        self.follow_renewal();
        seen
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
        let (phase, effect) = life::next(self.phase, seen, self.wish.spec().is_some(), Instant::now());
        if phase != self.phase || seen != self.last_seen {
            self.pause = LOOKS[0];
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
        if self.phase == Phase::Gone && self.wish == Wish::Ended {
            self.gone();
        }
    }

    /// Nothing of it is left, and nothing is wanted.
    fn gone(&mut self) {
        self.log.show();
        if self.sight.record().is_some() {
            self.forget();
        }
        self.when_gone.clear();
    }

    async fn wait(&mut self, seen: Seen) -> Event {
        let deadline = self.deadline(seen, Instant::now());
        tokio::select! {
            biased;
            request = self.requests.recv() => Event::Request(request),
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
            Request::Want(spec) => self.want(spec),
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
            Request::Renew { done } => self.renew(done),
            Request::WhenGone(done) => self.when_gone.push(done),
        }
    }

    fn want(&mut self, spec: Option<Spec>) {
        let wish = spec.map_or(Wish::Ended, Wish::Runs);
        let changed = self.wish != wish;
        self.wished.get_or_insert_with(Instant::now);
        self.wish = wish;
        if changed {
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

    fn heed(&mut self, event: ContactEvent) {
        match event {
            ContactEvent::Answered(hello) => self.answered(&hello),
            ContactEvent::NoAnswer(error) => {
                tracing::debug!(task = self.name.as_str(), "{}: no link: {error}", self.name);
                self.no_answer(&error);
            }
            ContactEvent::Told(told) => {
                if let Some(hello) = self.age.end_trial() {
                    self.adopt(&hello);
                }
                self.told(told);
            }
            ContactEvent::Lost => {
                tracing::debug!(task = self.name.as_str(), "{}: the link is lost", self.name);
                if let Some(hello) = self.age.end_trial() {
                    let process = self.name.to_string();
                    self.no_answer(&LinkError::LetGo { process, theirs: hello.version });
                }
                // Whether its host comes back is seen at the next look.
            }
        }
    }

    fn told(&mut self, told: ToDaemon) {
        match told {
            ToDaemon::Configured { generation, faults } => {
                let refused = !faults.is_empty();
                for fault in faults {
                    self.error(&format!("its process refuses the config: {fault}"));
                }
                failpoint!("migration.host_answered");
                tracing::debug!(task = self.name.as_str(), "{} runs by config {generation}", self.name);
                if refused || generation == self.generation {
                    self.configured.clear();
                }
            }
            ToDaemon::ReopenedLog => self.log.reopened(),
        }
    }

    fn no_answer(&mut self, error: &LinkError) {
        if let Some(outcome) = self.adoption.no_answer(self.sight.record(), error) {
            self.found(&outcome);
            self.configured.clear();
            self.look_at_program();
        }
        if matches!(error, LinkError::Version { .. } | LinkError::LetGo { .. }) {
            // It never will.
            self.configured.clear();
        }
    }

    fn answered(&mut self, hello: &HostHello) {
        let proven = self.sight.record().is_some_and(|record| record.nonce.to_string() == hello.nonce);
        if !proven {
            self.error("what answers on its link does not know its nonce");
            return self.contact.hang_up();
        }
        failpoint!("adoption.proven");
        self.age.heard(hello);
        self.renewed_by_answer();
        if self.age.on_trial {
            // Whether it takes us for a daemon shows when it answers this.
            self.contact.tell(ToHost::Configure { generation: self.generation });
            return;
        }
        self.adopt(hello);
        if self.is_current(hello) {
            self.configured.clear();
        } else {
            self.contact.tell(ToHost::Configure { generation: self.generation });
        }
    }

    fn adopt(&mut self, hello: &HostHello) {
        let current = self.is_current(hello);
        if let Some(outcome) = self.adoption.answered(self.sight.record(), hello, current) {
            self.found(&outcome);
        }
        self.look_at_program();
    }

    fn is_current(&self, hello: &HostHello) -> bool {
        hello.generation == self.generation || self.generation == 0
    }
}
