//! Reading JSON.

use serde::Deserialize;

use super::fault::TextFault;
use super::place;
use crate::value::Value;

/// Reads `text`, whose brackets the scanner has found to lie no deeper than a value may.
pub(super) fn parse(text: &str) -> Result<Value, TextFault> {
    let mut reader = serde_json::Deserializer::from_str(text);
    // serde_json stops one level before `MAX_DEPTH`. The scanner has counted already, and it cannot have been misled:
    // up to the first character that is no JSON it sees strings and brackets as JSON does.
    reader.disable_recursion_limit();
    Value::deserialize(&mut reader).and_then(|value| reader.end().map(|()| value)).map_err(|error| fault(text, &error))
}

fn fault(text: &str, error: &serde_json::Error) -> TextFault {
    let at = if error.is_eof() { text.len() } else { place::offset_of_bytes(text, error.line(), error.column()) };
    let mut reason = error.to_string();
    if let Some(cut) = reason.rfind(" at line ") {
        reason.truncate(cut);
    }
    TextFault::new(at, reason)
}
