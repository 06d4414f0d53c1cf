//! The layer of `tracing` that makes lines of events.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::line::{Level, Line};
use super::outlet::Outlet;
use crate::secret::redacted;
use crate::value::Value;

/// Makes a line of each event and writes it.
pub(super) struct ChannelLayer {
    outlet: Arc<Outlet>,
    pid: u32,
}

impl ChannelLayer {
    pub(super) fn new(outlet: Arc<Outlet>) -> Self {
        Self { outlet, pid: std::process::id() }
    }
}

impl<S: Subscriber> Layer<S> for ChannelLayer {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        let level = Level::of(*event.metadata().level());
        let channel = said.channel.unwrap_or_else(|| level.channel().to_owned());
        let (time, pid) = (Timestamp::now(), self.pid);
        let (task, text) = (said.task, without_secrets(said.text));
        let fields = said.fields.into_iter().map(|(name, value)| (name, plain(value))).collect();
        self.outlet.write(&Line { time, pid, channel, level, task, text, fields });
    }
}

fn without_secrets(text: String) -> String {
    match redacted(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(redacted) => redacted,
    }
}

/// A field without the secrets in its text.
fn plain(value: Value) -> Value {
    match value {
        Value::Text(text) => match redacted(&text) {
            Cow::Borrowed(_) => Value::Text(text),
            Cow::Owned(redacted) => Value::Text(redacted.as_str().into()),
        },
        other => other,
    }
}

/// What the fields of an event say.
#[derive(Default)]
struct Said {
    channel: Option<String>,
    task: Option<String>,
    text: String,
    fields: Vec<(String, Value)>,
}

impl Said {
    fn keep(&mut self, field: &Field, value: Value) {
        match field.name() {
            // What the bridge from the `log` crate adds: the place in the source, which no other line has.
            bridge if bridge.starts_with("log.") => {}
            other => self.fields.push((other.to_owned(), value)),
        }
    }

    fn keep_text(&mut self, field: &Field, text: String) {
        match field.name() {
            "channel" => self.channel = Some(text),
            "task" => self.task = Some(text),
            "message" => self.text = text,
            _ => self.keep(field, Value::from(text)),
        }
    }
}

impl Visit for Said {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.keep(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.keep(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.keep(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.keep(field, Value::from(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.keep_text(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.keep_text(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::super::outlet::tests::{Memory, bench};
    use super::*;

    /// What `say` writes, without time and pid.
    fn said(say: impl FnOnce()) -> String {
        let bench = bench("log:1,error:1,alert:1,debug:1", Memory::default());
        let layer = ChannelLayer::new(Arc::new(bench.outlet));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), say);
        let lines = bench.stdout.text();
        let texts = lines.lines().map(|line| line.split_once("): ").unwrap().1.to_owned());
        texts.collect::<Vec<_>>().join("|")
    }

    #[test]
    fn an_event_without_channel_goes_by_its_level() {
        let all = said(|| {
            tracing::error!("a");
            tracing::warn!("b");
            tracing::info!("c");
            tracing::debug!("d");
            tracing::trace!("e");
        });
        assert_eq!(all, "[ERROR] a|[ERROR] b|[LOG] c|[DEBUG] d|[DEBUG] e");
    }

    #[test]
    fn the_channel_of_an_event_decides() {
        let (channel, task) = ("alert", tracing::field::display("Example1"));
        assert_eq!(said(|| tracing::warn!(channel, task, "hot")), "[ALERT] hot");
        assert_eq!(said(|| tracing::error!(channel = "audit", "x")), "[AUDIT] x");
    }

    #[test]
    fn other_fields_follow_the_text() {
        assert_eq!(said(|| tracing::info!(count = 3, name = "a b", "moved")), "[LOG] moved count=3 name=a b");
    }
}
