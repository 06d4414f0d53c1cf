//! What a config says about monitoring, below `MultiModule`: thresholds and windows.

use std::time::Duration;

use super::notes::Notes;
use super::suggest;
use crate::limits::{Level, Metric, Override, Overrides, RuleFault, Window, WindowError, Windows};
use crate::value::{Map, Value};

const KEYS: [&str; 2] = ["thresholds", "windows"];

const METRIC_KEYS: [&str; 4] = ["levels", "can_failsafe", "for", "fast"];

const LEVEL_KEYS: [&str; 2] = ["name", "threshold"];

/// Reads the entry `MultiModule`. What is at fault is noted, and at its default.
pub(super) fn read(value: &Value, notes: &mut Notes<'_>) -> Overrides {
    let mut overrides = Overrides::default();
    if matches!(value, Value::Null) {
        return overrides;
    }
    for (key, value) in notes.map(value).iter().flat_map(|map| map.iter()) {
        match key {
            "thresholds" => thresholds(value, &mut overrides, &mut notes.below(key)),
            "windows" => overrides.windows = windows(value, &mut notes.below(key)),
            _ => notes.unknown_key(key, KEYS),
        }
    }
    overrides
}

fn thresholds(value: &Value, overrides: &mut Overrides, notes: &mut Notes<'_>) {
    for (name, value) in notes.map(value).iter().flat_map(|map| map.iter()) {
        match Metric::by_name(name) {
            Some(metric) => threshold(metric, value, overrides, &mut notes.below(name)),
            None => {
                let advice = suggest::advice(name, Metric::ALL.into_iter().map(Metric::name));
                notes.below(name).note(&format!("unknown metric {name:?}"), advice.as_deref());
            }
        }
    }
}

fn threshold(metric: Metric, value: &Value, overrides: &mut Overrides, notes: &mut Notes<'_>) {
    let Some(map) = notes.map(value) else { return };
    let (mut said, mut is_whole) = (Override::default(), true);
    for (key, value) in map.iter() {
        match key {
            "levels" => {
                said.levels = levels(value, &mut notes.below(key));
                is_whole &= said.levels.is_some();
            }
            "can_failsafe" => said.can_failsafe = notes.below(key).typed(value),
            "for" => said.hold = notes.below(key).time(value),
            "fast" => said.fast = notes.below(key).typed(value).unwrap_or_default(),
            _ => notes.unknown_key(key, METRIC_KEYS),
        }
    }
    // Of levels that could not be read it cannot be told whether they make sense.
    if is_whole && let Err(faults) = overrides.insert(metric, said) {
        faults.iter().for_each(|fault| note_rule(fault, notes));
    }
}

fn note_rule(fault: &RuleFault, notes: &mut Notes<'_>) {
    let reason = fault.error.to_string();
    match fault.level {
        Some(level) => notes.below("levels").at(level).note(&reason, None),
        None => notes.note(&reason, None),
    }
}

/// None if a level could not be read; that is noted.
fn levels(value: &Value, notes: &mut Notes<'_>) -> Option<Vec<Level>> {
    let Value::List(list) = value else {
        notes.note(&format!("expected a list, found {}", value.kind()), Some(LEVELS_ADVICE));
        return None;
    };
    let levels: Vec<_> = (0..).zip(list.iter()).map(|(index, value)| level(value, &mut notes.at(index))).collect();
    levels.into_iter().collect()
}

const LEVELS_ADVICE: &str = "write [(name: \"warn\", threshold: 10), ...], the lowest first";

fn level(value: &Value, notes: &mut Notes<'_>) -> Option<Level> {
    let map = notes.map(value)?;
    map.keys().filter(|key| !LEVEL_KEYS.contains(key)).for_each(|key| notes.unknown_key(key, LEVEL_KEYS));
    let name = required(map, "name", notes).and_then(|value| notes.below("name").typed(value));
    let threshold = required(map, "threshold", notes).and_then(|value| notes.below("threshold").typed(value));
    Some(Level { name: name?, threshold: threshold? })
}

fn required<'m>(map: &'m Map, key: &str, notes: &mut Notes<'_>) -> Option<&'m Value> {
    let value = map.get(key);
    if value.is_none() {
        notes.note(&format!("key {key:?} is missing"), None);
    }
    value
}

fn windows(value: &Value, notes: &mut Notes<'_>) -> Windows {
    let mut lengths = Window::ALL.map(|window| Windows::default().length(window));
    for (key, value) in notes.map(value).iter().flat_map(|map| map.iter()) {
        match Window::ALL.into_iter().find(|window| window.name() == key) {
            Some(window) => lengths[window as usize] = length(window, value, &mut notes.below(key)),
            None => notes.unknown_key(key, Window::ALL.map(Window::name)),
        }
    }
    let [one_minute, five_minutes] = lengths;
    Windows::new(one_minute, five_minutes).unwrap_or_else(|errors| {
        for error in errors {
            match error {
                WindowError::TooShort(window) => notes.below(window.name()).note(&error.to_string(), None),
                WindowError::Crossed => notes.note(&error.to_string(), None),
            }
        }
        Windows::default()
    })
}

fn length(window: Window, value: &Value, notes: &mut Notes<'_>) -> Duration {
    notes.time(value).unwrap_or_else(|| Windows::default().length(window))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::config::path::ValuePath;
    use crate::fields;
    use crate::limits::Thresholds;

    fn read_entry(entry: impl Into<Value>) -> (Overrides, Vec<String>) {
        let mut faults = Vec::new();
        let overrides = read(&entry.into(), &mut Notes::new(ValuePath::default().key("M"), &mut faults));
        (overrides, faults.iter().map(|fault| format!("{}: {}", fault.path, fault.reason)).collect())
    }

    fn cpu(said: Map) -> Map {
        fields! { thresholds: fields! { "local.cpu.one_core": said } }
    }

    fn level(name: &str, threshold: f64) -> Value {
        fields! { name: name, threshold: threshold }.into()
    }

    #[test]
    fn what_an_entry_says_holds_and_the_defaults_beside_it() {
        let levels = vec![level("busy", 0.5), level("failsafe", 1.0)];
        let mut entry = cpu(fields! { levels: levels, can_failsafe: true, "for": "30s", fast: 1 });
        entry.insert("windows", fields! { one_minute: "3s" });
        let (overrides, faults) = read_entry(entry);
        assert_eq!(faults, [""; 0]);
        let thresholds = Thresholds::new(NonZeroUsize::MIN, &overrides);
        let rule = thresholds.rule(Metric::CpuOneCore);
        let found: Vec<_> = rule.levels().iter().map(|level| (level.name.as_str(), level.threshold)).collect();
        assert_eq!(found, [("busy", 0.5), ("failsafe", 1.0)]);
        assert_eq!((rule.can_failsafe(), rule.hold(), rule.fast()), (true, Some(Duration::from_secs(30)), true));
        let windows = Window::ALL.map(|window| thresholds.windows().length(window).as_secs());
        assert_eq!(windows, [3, 300]);
    }

    #[test]
    fn an_entry_that_says_nothing_is_the_default() {
        for entry in [Value::Null, Map::new().into(), fields! { thresholds: Map::new(), windows: Map::new() }.into()] {
            assert_eq!(read_entry(entry), (Overrides::default(), Vec::new()));
        }
    }

    #[test]
    fn each_fault_is_told_at_its_place() {
        let at = "M.thresholds.local.cpu.one_core";
        let with = |levels: Vec<Value>| cpu(fields! { levels: levels });
        let cases = [
            (Value::from(1), "M: expected a map, found an integer".to_owned()),
            (fields! { threshold: 1 }.into(), "M.threshold: unknown key \"threshold\"".to_owned()),
            (fields! { thresholds: 1 }.into(), "M.thresholds: expected a map, found an integer".to_owned()),
            (
                fields! { thresholds: fields! { "local.cpu.one_cor": Map::new() } }.into(),
                "M.thresholds.local.cpu.one_cor: unknown metric \"local.cpu.one_cor\"".to_owned(),
            ),
            (cpu(fields! { level: 1 }).into(), format!("{at}.level: unknown key \"level\"")),
            (cpu(fields! { levels: 1 }).into(), format!("{at}.levels: expected a list, found an integer")),
            (with(vec![Value::from(1)]).into(), format!("{at}.levels[0]: expected a map, found an integer")),
            (with(vec![fields! { name: "a" }.into()]).into(), format!("{at}.levels[0]: key \"threshold\" is missing")),
            (
                with(vec![fields! { name: "a", treshold: 1, threshold: 1 }.into()]).into(),
                format!("{at}.levels[0].treshold: unknown key \"treshold\""),
            ),
            (
                with(vec![level("a", -1.0)]).into(),
                format!("{at}.levels[0]: a threshold is a number above 0, this one is -1"),
            ),
            (
                with(vec![level("warn", 2.0), level("severe", 1.0)]).into(),
                format!("{at}.levels[1]: levels out of order: \"severe\" at 1 is not above \"warn\" at 2"),
            ),
            (
                with(vec![level("a", 1.0), level("failsafe", 2.0), level("b", 3.0)]).into(),
                format!("{at}.levels[1]: \"failsafe\" must be the highest level"),
            ),
            (
                cpu(fields! { levels: vec![level("a", 1.0)], can_failsafe: true }).into(),
                format!("{at}: can_failsafe needs a level \"failsafe\""),
            ),
            (cpu(fields! { "for": "soon" }).into(), format!("{at}.for: \"soon\" is no time")),
            (cpu(fields! { fast: "x" }).into(), format!("{at}.fast: expected a boolean, found the text \"x\"")),
            (
                fields! { windows: fields! { one_minute: 2 } }.into(),
                "M.windows.one_minute: a window is at least 3 s long: an average takes three readings, and there is \
                 one a second"
                    .to_owned(),
            ),
            (
                fields! { windows: fields! { one_minute: "10m" } }.into(),
                "M.windows: one_minute is longer than five_minutes".to_owned(),
            ),
            (fields! { windows: fields! { minute: 2 } }.into(), "M.windows.minute: unknown key \"minute\"".to_owned()),
        ];
        for (entry, expected) in cases {
            assert_eq!(read_entry(entry).1, [expected]);
        }
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let entry = fields! {
            thresholds: fields! { "local.cpu": 1, "local.io.disk.read_bytes": fields! { levels: vec![level("ok", 0.0)] } },
            windows: fields! { one_minute: 1, five_minutes: 1 },
        };
        assert_eq!(read_entry(entry).1.len(), 5);
    }
}
