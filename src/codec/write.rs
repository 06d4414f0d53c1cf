//! Writing bodies.

use rmp::encode;

use super::CodecError;
use crate::value::{MAX_DEPTH, Map, Value};

/// Appends the encoded form of `map` to `bytes`. Fails only when the map is nested too deep; then `bytes` holds a
/// piece of it after its former end.
pub fn write_map(map: &Map, bytes: &mut Vec<u8>) -> Result<(), CodecError> {
    write_entries(map, bytes, MAX_DEPTH)
}

fn write_entries(map: &Map, bytes: &mut Vec<u8>, depth: usize) -> Result<(), CodecError> {
    let depth = depth.checked_sub(1).ok_or(CodecError::TooDeep)?;
    written(encode::write_map_len(bytes, length(map.len())));
    for (key, value) in map.iter() {
        written(encode::write_str(bytes, key));
        write_value(value, bytes, depth)?;
    }
    Ok(())
}

fn write_value(value: &Value, bytes: &mut Vec<u8>, depth: usize) -> Result<(), CodecError> {
    match value {
        Value::Null => written(encode::write_nil(bytes)),
        Value::Bool(value) => written(encode::write_bool(bytes, *value)),
        Value::Int(value) => written(encode::write_sint(bytes, *value).map(drop)),
        Value::Uint(value) => written(encode::write_uint(bytes, *value).map(drop)),
        Value::Float(value) => written(encode::write_f64(bytes, *value)),
        Value::Text(text) => written(encode::write_str(bytes, text)),
        Value::List(list) => {
            let depth = depth.checked_sub(1).ok_or(CodecError::TooDeep)?;
            written(encode::write_array_len(bytes, length(list.len())).map(drop));
            for value in list {
                write_value(value, bytes, depth)?;
            }
        }
        Value::Map(map) => write_entries(map, bytes, depth)?,
    }
    Ok(())
}

/// A vector takes every byte, so writing to one does not fail.
fn written<T, E: std::fmt::Debug>(result: Result<T, E>) {
    result.map(drop).expect("writing to a vector does not fail");
}

fn length(entries: usize) -> u32 {
    u32::try_from(entries).expect("a list or map of a message has fewer than 2^32 entries")
}
