//! Any map, printed in each form, is read back; and each of its values is found where it was printed.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::outline::Outline;
use super::*;
use crate::value::{Map, Text, Value};

/// A printer that notes where each key and element begins.
struct Printer {
    form: Form,
    text: String,
    places: Vec<(ValuePath, usize)>,
}

impl Printer {
    fn print(form: Form, map: &Map) -> Self {
        let mut printer = Self { form, text: String::new(), places: Vec::new() };
        printer.map(map, &ValuePath::default());
        printer
    }

    fn value(&mut self, value: &Value, path: &ValuePath) {
        match value {
            Value::Null => self.text.push_str(["null", "None", "undef"][self.form as usize]),
            Value::Bool(value) => self.text.push_str(&value.to_string()),
            Value::Int(value) => self.text.push_str(&value.to_string()),
            Value::Uint(value) => self.text.push_str(&value.to_string()),
            Value::Float(value) => self.text.push_str(&format!("{value:?}")),
            Value::Text(text) => self.quoted(text),
            Value::List(list) => self.list(list, path),
            Value::Map(map) => self.map(map, path),
        }
    }

    fn list(&mut self, list: &[Value], path: &ValuePath) {
        self.text.push('[');
        for (index, value) in list.iter().enumerate() {
            let path = path.index(index);
            self.separate(index, &path);
            self.value(value, &path);
        }
        self.text.push(']');
    }

    fn map(&mut self, map: &Map, path: &ValuePath) {
        self.text.push('{');
        for (index, (key, value)) in map.iter().enumerate() {
            let path = path.key(key);
            self.separate(index, &path);
            self.quoted(key);
            self.text.push_str([": ", ":", "\n=> "][self.form as usize]);
            self.value(value, &path);
        }
        self.text.push('}');
    }

    /// What may stand between two elements without meaning anything.
    fn separate(&mut self, index: usize, path: &ValuePath) {
        if index > 0 {
            self.text.push(',');
        }
        self.text.push_str(["\n ", " // => ' \" {\n", " # ' \" { => \n"][self.form as usize]);
        self.places.push((path.clone(), self.text.len()));
    }

    fn quoted(&mut self, text: &str) {
        let quoted = match self.form {
            Form::Json => serde_json::to_string(text).unwrap(),
            Form::Ron if text.len().is_multiple_of(2) && !text.contains(['\r', '"']) => format!("r##\"{text}\"##"),
            Form::Ron => ron::to_string(text).unwrap(),
            Form::Perl if text.len().is_multiple_of(2) => {
                format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
            }
            Form::Perl => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")),
        };
        self.text.push_str(&quoted);
    }
}

fn text() -> impl Strategy<Value = Text> {
    prop_oneof!["[a-z=>:,{}\\[\\]()<>#/'\"\\\\ .\n-]{0,8}", "\\PC{0,8}"].prop_map(Text::from)
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(Value::from),
        text().prop_map(Value::from),
    ]
}

/// Any map with at least one entry.
pub(super) fn map() -> impl Strategy<Value = Map> {
    let value = scalar().prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::List),
            btree_map(text(), inner, 0..5).prop_map(|entries| Value::Map(entries.into_iter().collect())),
        ]
    });
    // At least one entry: an empty map says nothing of its form.
    btree_map(text(), value, 1..5).prop_map(|entries| entries.into_iter().collect())
}

proptest! {
    #[test]
    fn a_map_printed_in_any_form_is_read_back_and_each_place_is_found(map in map()) {
        for (form, name) in [(Form::Json, "a.json"), (Form::Ron, "a.ron"), (Form::Perl, "a.conf"), (Form::Json, "a")] {
            let printed = Printer::print(form, &map);
            let read = parse_message(name, &printed.text);
            prop_assert_eq!(read.as_ref(), Ok(&map), "{}", printed.text);
            let outline = Outline::of(form, &printed.text).unwrap();
            for (path, at) in &printed.places {
                prop_assert_eq!(outline.find(path), *at, "{} in {}", path, printed.text);
            }
        }
    }

    #[test]
    fn no_text_is_a_panic(text in "[a-z0-9{}()\\[\\]<>=:,;'\"#/*\\\\$. \n-]{0,60}") {
        for name in ["a.json", "a.ron", "a.conf"] {
            if let Err(faults) = Document::parse(name, &text) {
                prop_assert!(!faults.to_string().is_empty());
            }
        }
    }
}
