//! What a route's `transform` sets in a message.
//!
//! For each key, lists and maps are set as they are, and so are scalars, but for the texts that `template`
//! describes. Invariant: every template sees the message as it was before the transform, in whatever order the
//! keys stand.

use super::faults::Faults;
use super::special::{self, Groups};
use super::template::{self, Template};
use crate::config::{PathFault, ValuePath};
use crate::message::Message;
use crate::value::{Map, MapView, Text, Value};

/// A compiled transform.
#[derive(Debug, Default)]
pub struct Transform(Vec<(Text, Setting)>);

#[derive(Debug)]
enum Setting {
    Fixed(Value),
    Template(Template),
}

impl Transform {
    /// Compiles a map of what to set. Fails with every fault, at paths below `settings`.
    pub fn compile(settings: &Value) -> Result<Self, Vec<PathFault>> {
        let mut faults = Faults::default();
        let transform = Self::compile_at(settings, &[], &ValuePath::default(), &mut faults);
        faults.verdict(transform)
    }

    /// Compiles `settings`, which stand at `at`; they may use the named `groups`.
    pub(super) fn compile_at(settings: &Value, groups: &[Text], at: &ValuePath, faults: &mut Faults) -> Self {
        let Value::Map(settings) = settings else {
            faults.wrong_kind(at, "a map of what to set", settings);
            return Self::default();
        };
        let setting = |(key, value)| Some((Text::from(key), Setting::compile(value, groups, &at.key(key), faults)?));
        Self(settings.iter().filter_map(setting).collect())
    }

    /// Changes `fields`; `$message` in a template stands for them.
    pub fn apply(&self, fields: &mut Map) {
        let changes = self.changes(MapView::of(fields), &Groups::default());
        set(fields, changes);
    }

    /// The message as it is afterwards. Its fields are copied only if somebody shares them.
    pub(super) fn changed(&self, message: Message, groups: &Groups) -> Message {
        let changes = self.changes(message.view(), groups);
        let stamp = message.stamp();
        let mut fields = message.into_fields();
        set(&mut fields, changes);
        Message::stamped(stamp, fields)
    }

    /// Whether it sets nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields that it sets.
    pub(super) fn fields(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_str())
    }

    /// Whether it needs the named groups of its route's match.
    pub(super) fn uses_groups(&self) -> bool {
        self.0.iter().any(|(_, setting)| matches!(setting, Setting::Template(template) if template.uses_groups()))
    }

    fn changes(&self, before: MapView<'_>, groups: &Groups) -> Vec<(&Text, Value)> {
        let value = |setting: &Setting| match setting {
            Setting::Fixed(value) => value.clone(),
            Setting::Template(template) => template.fill(before, groups),
        };
        self.0.iter().map(|(key, setting)| (key, value(setting))).collect()
    }
}

fn set(fields: &mut Map, changes: Vec<(&Text, Value)>) {
    for (key, value) in changes {
        fields.insert(key.as_str(), value);
    }
}

impl Setting {
    fn compile(value: &Value, groups: &[Text], at: &ValuePath, faults: &mut Faults) -> Option<Self> {
        let Some(text) = value.as_text().filter(|text| text.starts_with(special::PREFIX)) else {
            return Some(Self::Fixed(value.clone()));
        };
        let Some(template) = text.strip_prefix(template::PREFIX) else {
            let advice = r#"a text made from the message is written " specials/$message->{field}""#.to_owned();
            faults.add_advised(at, format!("unknown special form {text:?}"), Some(advice));
            return None;
        };
        match Template::compile(template, groups) {
            Ok(template) => Some(Self::Template(template)),
            Err(fault) => {
                faults.add_advised(at, fault.reason, fault.advice);
                None
            }
        }
    }
}
