//! Times and sizes as people write them.

use std::time::Duration;

use crate::value::View;

/// The longest time a setting takes: a year. A longer one is a slip of units, and timers count no further than two.
const MAX_TIME: Duration = Duration::from_secs(366 * 24 * 3600);

/// The shortest: what timers resolve.
const MIN_TIME: Duration = Duration::from_millis(1);

/// A time: a number of seconds, or text with a unit (`500ms`, `1.5s`, `5m`, `2h`, `1d`); from 1 ms to 366 days.
pub(super) fn time(view: View<'_>) -> Result<Duration, String> {
    let seconds = match view {
        View::Text(text) => seconds(text).ok_or_else(|| format!("{text:?} is no time"))?,
        View::Int(_) | View::Uint(_) | View::Float(_) => view.as_f64().unwrap_or(f64::NAN),
        other => return Err(format!("expected a time, found {}", other.kind())),
    };
    let time = Duration::try_from_secs_f64(seconds).ok().filter(|time| (MIN_TIME..=MAX_TIME).contains(time));
    time.ok_or_else(|| "a time is at least 1 ms and at most 366 days".to_owned())
}

/// What a time may look like.
pub(super) const TIME_ADVICE: &str = "write seconds (0.5), or \"500ms\", \"5s\", \"2m\", \"1h\"";

fn seconds(text: &str) -> Option<f64> {
    let (number, unit) = number_and_unit(text)?;
    let factor = match unit {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    Some(number * factor)
}

/// A size: a number of bytes, or text with a unit (`64MiB`, `1.5 GB`); at least 1 byte.
///
/// # Errors
/// It is none; the text says why.
pub fn bytes(view: View<'_>) -> Result<u64, String> {
    let bytes = match view {
        View::Text(text) => sized(text).ok_or_else(|| format!("{text:?} is no size"))?,
        View::Int(value) => u64::try_from(value).unwrap_or(0),
        View::Uint(value) => value,
        other => return Err(format!("expected a size, found {}", other.kind())),
    };
    if bytes > 0 { Ok(bytes) } else { Err("a size is at least 1 byte".to_owned()) }
}

/// What a size may look like.
pub const SIZE_ADVICE: &str = "write bytes (65536), or \"64KiB\", \"64MiB\", \"1GiB\"";

fn sized(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" | "k" => 1 << 10,
        "mib" | "m" => 1 << 20,
        "gib" | "g" => 1 << 30,
        "tib" | "t" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return None,
    };
    #[expect(clippy::cast_precision_loss, reason = "units are far below 2^53")]
    let bytes = number * factor as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "guarded by the range")]
    (0.0..9.0e18).contains(&bytes).then_some(bytes as u64)
}

fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    Some((text[..digits].parse().ok()?, text[digits..].trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_have_a_unit() {
        let cases = [
            (View::Int(5), 5000),
            (View::Float(0.25), 250),
            (View::Text("500ms"), 500),
            (View::Text("1.5 s"), 1500),
            (View::Text("2m"), 120_000),
            (View::Text("1h"), 3_600_000),
            (View::Text("3"), 3000),
        ];
        for (view, ms) in cases {
            assert_eq!(time(view), Ok(Duration::from_millis(ms)), "{view:?}");
        }
        for view in [View::Int(0), View::Int(-1), View::Float(f64::NAN), View::Float(1e300), View::Text("5 parsecs")] {
            assert!(time(view).is_err(), "{view:?}");
        }
        for view in [View::Text(""), View::Text("ms"), View::Bool(true), View::Text("1e3s"), View::Float(0.0001)] {
            assert!(time(view).is_err(), "{view:?}");
        }
    }

    #[test]
    fn sizes_are_bytes_or_have_a_unit() {
        let cases = [
            (View::Int(5), 5),
            (View::Text("64MiB"), 64 << 20),
            (View::Text("1.5 KiB"), 1536),
            (View::Text("2 gb"), 2_000_000_000),
            (View::Text("10B"), 10),
        ];
        for (view, expected) in cases {
            assert_eq!(bytes(view), Ok(expected), "{view:?}");
        }
        for view in
            [View::Int(0), View::Int(-1), View::Text("x"), View::Text("0.1"), View::Text("99999999TiB"), View::Null]
        {
            assert!(bytes(view).is_err(), "{view:?}");
        }
    }
}
