//! The secrets that this process has read, so that none of them appears in what it says.
//!
//! There is one set of them in a process, as there is one set of channels, and a value stays in it until the end: a
//! task may say tomorrow what it was told today.
//!
//! It does not know a value that is changed: encoded as base64, say, or cut.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// What stands for a secret.
pub(super) const STARS: &str = "***";

/// A shorter one is not looked for: it would be found in every other line.
const SHORTEST_CHARS: usize = 4;
/// The same for a line of one that has several: those of a key are some 64 long, and `}` is no secret.
const SHORTEST_LINE_CHARS: usize = 8;

/// So many texts are looked for in each line, at some 60 ns each in a line of 200 bytes: a secret for each of a thousand tasks, and some keys
/// of many lines.
pub(super) const MAX_TEXTS: usize = 4096;

/// The texts to look for.
#[derive(Debug, Default)]
struct Known(Vec<String>);

static KNOWN: RwLock<Known> = RwLock::new(Known(Vec::new()));
/// Whether there is any: most processes never lock.
static IS_ANY: AtomicBool = AtomicBool::new(false);

/// `text` with `***` for every secret that this process has read, if it has at least four characters.
#[must_use]
pub fn redacted(text: &str) -> Cow<'_, str> {
    if !is_any() {
        return Cow::Borrowed(text);
    }
    known().redacted(text)
}

/// The same for bytes, most of which are text.
#[must_use]
pub fn redacted_bytes(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !is_any() {
        return Cow::Borrowed(bytes);
    }
    let found = known().found(bytes);
    if found.is_empty() { Cow::Borrowed(bytes) } else { Cow::Owned(covered(bytes, &found)) }
}

/// How much of `bytes` may be said now, redacted; and how many bytes of it that is. What is left may be the beginning
/// of a secret whose rest is still to come.
pub(super) fn redacted_beginning(bytes: &[u8]) -> (Vec<u8>, usize) {
    if !is_any() {
        return (bytes.to_vec(), bytes.len());
    }
    let known = known();
    let found = known.found(bytes);
    let mut end = known.open_end(bytes);
    // From the last one back: where a secret would be cut, it waits as a whole.
    for range in found.iter().rev() {
        if range.start < end && end < range.end {
            end = range.start;
        }
    }
    let whole: Vec<_> = found.into_iter().filter(|range| range.end <= end).collect();
    (covered(&bytes[..end], &whole), end)
}

/// Keeps a secret in mind; false when there are too many, and nothing was kept.
#[must_use]
pub(super) fn keep(secret: &str) -> bool {
    let kept = KNOWN.write().unwrap_or_else(PoisonError::into_inner).keep(secret);
    IS_ANY.store(true, Ordering::Release);
    kept
}

/// Keeps one text in mind, as another process looks for it; false when there are too many.
#[must_use]
pub(super) fn keep_text(text: String) -> bool {
    let kept = KNOWN.write().unwrap_or_else(PoisonError::into_inner).keep_all(vec![text]);
    IS_ANY.store(true, Ordering::Release);
    kept
}

/// All texts that are looked for.
pub(super) fn texts() -> Vec<String> {
    known().0.clone()
}

fn is_any() -> bool {
    IS_ANY.load(Ordering::Acquire)
}

fn known() -> RwLockReadGuard<'static, Known> {
    // A panic under this lock leaves at worst a text less.
    KNOWN.read().unwrap_or_else(PoisonError::into_inner)
}

impl Known {
    fn keep(&mut self, secret: &str) -> bool {
        self.keep_all(forms(secret))
    }

    fn keep_all(&mut self, mut new: Vec<String>) -> bool {
        new.retain(|form| !self.0.contains(form));
        let has_room = self.0.len() + new.len() <= MAX_TEXTS;
        if has_room {
            self.0.extend(new);
        }
        has_room
    }

    fn redacted<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut found = Vec::new();
        self.find(text, 0, &mut found);
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        found.sort_unstable_by_key(|range| range.start);
        Cow::Owned(String::from_utf8(covered(text.as_bytes(), &found)).expect("whole characters are covered"))
    }

    /// Where secrets stand, by their beginnings.
    fn found(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let (mut found, mut at) = (Vec::new(), 0);
        for chunk in bytes.utf8_chunks() {
            self.find(chunk.valid(), at, &mut found);
            at += chunk.valid().len() + chunk.invalid().len();
        }
        found.sort_unstable_by_key(|range| range.start);
        found
    }

    fn find(&self, text: &str, at: usize, found: &mut Vec<Range<usize>>) {
        for secret in &self.0 {
            found.extend(text.match_indices(secret).map(|(start, _)| at + start..at + start + secret.len()));
        }
    }

    /// Where at the end of `bytes` the longest beginning of a secret begins; its end, where there is none.
    fn open_end(&self, bytes: &[u8]) -> usize {
        let open = |secret: &String| {
            let secret = secret.as_bytes();
            let from = bytes.len().saturating_sub(secret.len() - 1);
            (from..bytes.len()).find(|start| secret.starts_with(&bytes[*start..]))
        };
        self.0.iter().filter_map(open).min().unwrap_or(bytes.len())
    }
}

/// `bytes` with stars for what was `found`, sorted.
fn covered(bytes: &[u8], found: &[Range<usize>]) -> Vec<u8> {
    let (mut shown, mut at) = (Vec::with_capacity(bytes.len()), 0);
    for range in found {
        // One that overlaps with the one before is covered by the same stars.
        if range.start >= at {
            shown.extend_from_slice(&bytes[at..range.start]);
            shown.extend_from_slice(STARS.as_bytes());
        }
        at = at.max(range.end);
    }
    shown.extend_from_slice(&bytes[at..]);
    shown
}

/// A secret as it may appear: as it is, as Rust and JSON quote it, and each line of it.
fn forms(secret: &str) -> Vec<String> {
    let json = serde_json::to_string(secret).unwrap_or_default();
    let whole = [secret.to_owned(), secret.escape_debug().to_string(), json.trim_matches('"').to_owned()];
    let lines: Vec<&str> = secret.lines().collect();
    let lines = lines.iter().filter(|line| lines.len() > 1 && line.chars().count() >= SHORTEST_LINE_CHARS);
    let mut forms: Vec<String> = whole.into_iter().chain(lines.map(|line| (*line).to_owned())).collect();
    forms.retain(|form| form.chars().count() >= SHORTEST_CHARS);
    forms.sort_unstable();
    forms.dedup();
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(secrets: &[&str], text: &str, expected: &str) {
        let mut known = Known::default();
        secrets.iter().for_each(|secret| assert!(known.keep(secret)));
        assert_eq!(known.redacted(text), expected, "{secrets:?}");
    }

    #[test]
    fn a_secret_is_shown_as_stars_wherever_it_stands() {
        check(&["hunter2"], "hunter2 and xhunter2x, hunter2hunter2", "*** and x***x, ******");
        check(&["hunter2"], "hunter3", "hunter3");
        check(&["päss"], "ein päss.", "ein ***.");
        check(&[], "hunter2", "hunter2");
    }

    #[test]
    fn of_secrets_that_overlap_nothing_is_left() {
        check(&["abcdef", "defghi", "cdef"], "xabcdefghix", "x***x");
        check(&["abcd", "abcdef"], "abcdef", "***");
    }

    #[test]
    fn a_secret_that_is_quoted_or_said_line_by_line_is_found() {
        check(&["a\"b\\c\nd"], &format!("{:?}", "a\"b\\c\nd"), "\"***\"");
        check(&["a\"b\u{1}c"], &serde_json::to_string("a\"b\u{1}c").unwrap(), "\"***\"");
        let key = "-----BEGIN-----\n0123456789\n}\n";
        check(&[key], "0123456789", "***");
        check(&[key], "}", "}");
    }

    #[test]
    fn a_secret_among_bytes_that_are_no_text_is_found() {
        assert!(keep("a secret among bytes"));
        assert_eq!(&*redacted_bytes(b"\xff<a secret among bytes>\xfe\n"), b"\xff<***>\xfe\n");
    }

    #[test]
    fn what_is_too_short_is_not_looked_for() {
        check(&["abc", ""], "abc", "abc");
    }

    #[test]
    fn there_is_a_bound_and_what_is_known_needs_no_room() {
        let mut known = Known::default();
        let secret = |number: usize| format!("secret number {number}");
        assert!((0..MAX_TEXTS).all(|number| known.keep(&secret(number))));
        assert!(known.keep(&secret(7)));
        assert!(!known.keep("one more"));
        assert_eq!(known.redacted("secret number 4095"), "***");
    }
}
