//! `Tally`: counts messages by what stands in their fields, and says when the counts have changed.
//!
//! | config | is | default |
//! |---|---|---|
//! | `by` | the fields whose values are counted by, one level of the tally each: `["package", "action"]`; `a.b` is field `b` of the map in field `a` | none: only the total |
//! | `max_keys` | how many entries the tally may have over all levels | 100,000 |
//! | `intervals: {Tally: s}` | the shortest time between two messages, in seconds | 1 |
//!
//! It emits `{tally: {bash: {install: 2, upgrade: 1}}, total: 3}` when something was counted since the last one.
//!
//! Numbers and truth values count as their text; a field that is missing or null counts as `(none)`, and one that
//! holds a list or a map is refused. Of a longer text the first 256 bytes count. What would be an entry beyond
//! `max_keys` counts as `(other)` at its level, and an alert says so once. Counting by other fields than before
//! begins anew, with an alert.
//!
//! Invariant: every message that is not refused adds one to the total and to exactly one count.
//! Invariant: there are at most `max_keys` entries, and one `(other)` beside those of each level.

use std::borrow::Cow;
use std::collections::BTreeMap;

use multimodule::sdk::{Context, Deserialize, Duration, Map, Message, Result, Serialize, Task, Value, View, fields};

/// What a message without the field counts as.
const NONE: &str = "(none)";
/// What counts here has no room for an entry of its own.
const OTHER: &str = "(other)";

/// The most bytes of a key: with the default of `max_keys` the whole tally still fits one message.
const MAX_KEY_BYTES: usize = 256;

/// The default of `max_keys`: some ten megabytes of memory, and a tenth of a second to emit.
const MAX_KEYS: usize = 100_000;

/// The timer that emits.
const EMIT: &str = "Tally";

/// Counts.
#[derive(Default)]
pub struct Tally;

/// What the config may say.
#[derive(Deserialize)]
#[serde(default)]
pub struct Config {
    /// The fields whose values are counted by.
    by: Vec<String>,
    /// How many entries the tally may have.
    max_keys: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { by: Vec::new(), max_keys: MAX_KEYS }
    }
}

/// What survives: the counts.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The fields that the counts are by.
    by: Vec<String>,
    /// The counts, one level for each field.
    tally: Branch,
    total: u64,
    /// How many entries `tally` has over all levels, those for others not counted.
    keys: usize,
    /// Whether something was counted that has not been emitted.
    is_changed: bool,
    /// Whether something had no room.
    is_full: bool,
}

type Branch = BTreeMap<String, Count>;

/// What stands at a key of the tally.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Count {
    /// How many messages.
    Number(u64),
    /// Counts by the next field.
    Branch(Branch),
}

impl Task for Tally {
    type Config = Config;
    type State = State;

    async fn start(&mut self, ctx: &mut Context<Self>) -> Result {
        if ctx.state.turn_to(&ctx.config.by) {
            ctx.alert("counting begins anew, for it is by other fields than before");
        }
        ctx.every(EMIT, Duration::from_secs(1));
        Ok(())
    }

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        let keys = keys(&message, &ctx.config.by)?;
        if ctx.state.count(&keys, ctx.config.max_keys) == Room::JustFull {
            ctx.alert(format!("the tally has {} entries; what is new counts as {OTHER}", ctx.config.max_keys));
        }
        Ok(())
    }

    async fn tick(&mut self, _timer: &str, ctx: &mut Context<Self>) -> Result {
        if let Some(message) = ctx.state.news() {
            ctx.emit(message);
        }
        Ok(())
    }

    async fn stop(&mut self, ctx: &mut Context<Self>) -> Result {
        self.tick(EMIT, ctx).await
    }
}

/// Whether there was room for what was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    Enough,
    /// No, and that was so before.
    Full,
    /// No, for the first time.
    JustFull,
}

impl State {
    /// Counts by the fields `by` from now on; returns whether that threw counts away.
    fn turn_to(&mut self, by: &[String]) -> bool {
        if self.by == by {
            return false;
        }
        let had_counts = self.total > 0;
        *self = Self { by: by.to_vec(), is_changed: had_counts, ..Self::default() };
        had_counts
    }

    /// Counts one message under `keys`.
    fn count(&mut self, keys: &[Cow<'_, str>], max_keys: usize) -> Room {
        self.total = self.total.saturating_add(1);
        self.is_changed = true;
        if add(&mut self.tally, keys, &mut self.keys, max_keys) {
            return Room::Enough;
        }
        if std::mem::replace(&mut self.is_full, true) { Room::Full } else { Room::JustFull }
    }

    /// The message to emit, if something has changed since the last one.
    fn news(&mut self) -> Option<Map> {
        std::mem::take(&mut self.is_changed).then(|| fields! { tally: map_of(&self.tally), total: self.total })
    }
}

/// Adds one under `path`, and to `have` the entries it made; returns whether there was room for all it wanted.
fn add(branch: &mut Branch, path: &[Cow<'_, str>], have: &mut usize, max_keys: usize) -> bool {
    let Some((key, rest)) = path.split_first() else { return true };
    let is_known = branch.contains_key(key.as_ref());
    let has_room = is_known || *have < max_keys;
    if has_room && !is_known {
        *have += 1;
    }
    let key = if has_room { key.as_ref() } else { OTHER };
    if !branch.contains_key(key) {
        let fresh = if rest.is_empty() { Count::Number(0) } else { Count::Branch(Branch::new()) };
        branch.insert(key.to_owned(), fresh);
    }
    match branch.get_mut(key) {
        Some(Count::Branch(below)) => add(below, rest, have, max_keys) && has_room,
        Some(Count::Number(count)) => {
            *count = count.saturating_add(1);
            has_room
        }
        None => has_room,
    }
}

/// What a message counts as, one key for each field of `by`.
fn keys<'m>(message: &'m Message, by: &[String]) -> Result<Vec<Cow<'m, str>>> {
    by.iter().map(|field| key(find(message, field)).map_err(|kind| refusal(field, kind).into())).collect()
}

fn refusal(field: &str, kind: &str) -> String {
    format!("cannot count by the field {field:?}: it holds {kind}")
}

/// The field `name`, or, if there is none and the name has dots, what it leads to.
fn find<'m>(message: &'m Message, name: &str) -> Option<View<'m>> {
    message.get(name).or_else(|| {
        let mut steps = name.split('.');
        let first = message.get(steps.next()?)?;
        steps.try_fold(first, |value, step| value.as_map()?.get(step))
    })
}

fn key(value: Option<View<'_>>) -> std::result::Result<Cow<'_, str>, &'static str> {
    match value {
        None | Some(View::Null) => Ok(Cow::Borrowed(NONE)),
        Some(View::Bool(value)) => Ok(Cow::Borrowed(if value { "true" } else { "false" })),
        Some(value) => value.scalar_text().map(shortened).ok_or_else(|| value.kind()),
    }
}

fn shortened(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.len() <= MAX_KEY_BYTES {
        return text;
    }
    let end = (0..=MAX_KEY_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    Cow::Owned(text[..end].to_owned())
}

fn map_of(branch: &Branch) -> Map {
    branch
        .iter()
        .map(|(key, count)| {
            let value = match count {
                Count::Number(number) => Value::from(*number),
                Count::Branch(below) => Value::Map(map_of(below)),
            };
            (key.as_str(), value)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(fields: &[&str]) -> Vec<String> {
        fields.iter().map(|field| (*field).to_owned()).collect()
    }

    /// Counts `messages`; gives the state and how often there was no room, first time or later.
    fn counted(messages: Vec<Map>, fields: &[&str], max_keys: usize) -> (State, Vec<Room>) {
        let mut state = State::default();
        let fields = by(fields);
        assert!(!state.turn_to(&fields));
        let count = |map: Map| {
            let message = Message::new(map);
            state.count(&keys(&message, &fields).unwrap(), max_keys)
        };
        let rooms = messages.into_iter().map(count).collect();
        (state, rooms)
    }

    fn done(package: &str, action: &str) -> Map {
        fields! { package: package, action: action }
    }

    #[test]
    fn messages_are_counted_by_the_values_of_several_fields() {
        let messages =
            vec![done("bash", "install"), done("bash", "upgrade"), done("bash", "install"), done("vim", "x")];
        let (mut state, _) = counted(messages, &["package", "action"], 100);
        let tally = fields! { bash: fields! { install: 2, upgrade: 1 }, vim: fields! { x: 1 } };
        assert_eq!(state.news(), Some(fields! { tally: tally, total: 4 }));
        assert_eq!(state.keys, 5);
    }

    #[test]
    fn counts_are_emitted_only_when_they_have_changed() {
        let (mut state, _) = counted(vec![done("bash", "install")], &["package"], 100);
        assert!(state.news().is_some());
        assert_eq!(state.news(), None);
    }

    #[test]
    fn what_is_counted_may_be_missing_below_a_map_or_no_text() {
        let messages = vec![fields! { a: fields! { b: 1 } }, fields! { a: fields! { b: true } }, fields! { c: 1 }];
        let (state, _) = counted(messages, &["a.b"], 100);
        assert_eq!(map_of(&state.tally), fields! { "(none)": 1, "1": 1, "true": 1 });
    }

    #[test]
    fn a_field_that_holds_a_map_is_refused() {
        let message = Message::new(fields! { a: Map::new() });
        let refused = keys(&message, &by(&["a"])).unwrap_err();
        assert_eq!(refused.to_string(), "cannot count by the field \"a\": it holds a map");
    }

    #[test]
    fn beyond_the_bound_new_keys_count_as_others_and_known_ones_go_on() {
        let messages = vec![done("a", "x"), done("b", "x"), done("c", "y"), done("a", "x"), done("a", "y")];
        let (state, rooms) = counted(messages, &["package", "action"], 3);
        let expected = fields! {
            a: fields! { x: 2, "(other)": 1 },
            b: fields! { "(other)": 1 },
            "(other)": fields! { "(other)": 1 },
        };
        assert_eq!(map_of(&state.tally), expected);
        assert_eq!(rooms, [Room::Enough, Room::JustFull, Room::Full, Room::Enough, Room::Full]);
        assert_eq!((state.total, state.keys), (5, 3));
    }

    #[test]
    fn a_long_key_is_cut_between_characters() {
        let text = format!("{}\u{e4}", "x".repeat(MAX_KEY_BYTES - 1));
        assert_eq!(shortened(Cow::Borrowed(&text)).len(), MAX_KEY_BYTES - 1);
    }

    #[test]
    fn the_state_reads_back_what_was_saved() {
        let (state, _) = counted(vec![done("a", "x"), done("b:\n\"", "x")], &["package", "action"], 100);
        let saved = ron::to_string(&state).unwrap();
        let read: State = ron::from_str(&saved).unwrap();
        assert_eq!((&read.tally, read.total, read.keys), (&state.tally, 2, 4));
        assert!(read.is_changed);
    }

    #[test]
    fn counting_by_other_fields_begins_anew() {
        let (mut state, _) = counted(vec![done("a", "x")], &["package"], 100);
        assert!(!state.turn_to(&by(&["package"])));
        assert!(state.turn_to(&by(&["action"])));
        assert_eq!(state.news(), Some(fields! { tally: Map::new(), total: 0 }));
    }
}
