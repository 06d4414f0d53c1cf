//! From bytes to lines.
//!
//! Invariant: what comes out does not depend on how the bytes were cut into pieces on the way in.
//! Invariant: the position moves over exactly the bytes that the lines taken stood in, so that reading goes on from
//! it as if it had never stopped.
//!
//! It reads no file.

use multimodule::sdk::{Deserialize, Serialize};

/// The most bytes of a line that are emitted; what the line holds beyond is skipped. A log's line is a few hundred
/// bytes, and a message of this size still passes through every queue at its smallest setting.
pub(super) const MAX_LINE_BYTES: usize = 64 * 1024;

/// How far a file has been read.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Cursor {
    /// The byte that comes next.
    pub(super) position: u64,
    /// How many lines have begun before it; unknown if reading did not begin at the file's start.
    pub(super) lines: Option<u64>,
    /// Whether the bytes up to the next line feed belong to a line that is done with.
    pub(super) skipping: bool,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Line {
    /// Its text, without the line feed, and without a carriage return ahead of that.
    pub(super) text: String,
    /// Which line of its file it is, from 1.
    pub(super) number: Option<u64>,
    /// Whether it was longer, and was cut.
    pub(super) truncated: bool,
    /// Whether it was no UTF-8, and something in it was replaced by U+FFFD.
    pub(super) lossy: bool,
}

/// What may follow the bytes that [`Cursor::take`] is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// More of the file, so an unfinished line waits.
    Perhaps,
    /// Nothing, ever.
    Nothing,
}

impl Cursor {
    /// The beginning of a file.
    pub(super) fn start() -> Self {
        Self { position: 0, lines: Some(0), skipping: false }
    }

    /// The end of a file of `size` bytes; the first line from there is the one that begins after it.
    pub(super) fn end(size: u64, is_inside_line: bool) -> Self {
        Self { position: size, lines: None, skipping: is_inside_line }
    }

    /// Takes the lines off `bytes`, which stand at the position, but at most `max_lines`; returns how many bytes
    /// they stood in.
    pub(super) fn take(&mut self, bytes: &[u8], after: After, max_lines: usize, lines: &mut Vec<Line>) -> usize {
        let mut rest = bytes;
        let full = lines.len() + max_lines;
        while !rest.is_empty() && lines.len() < full {
            let line_feed = rest.iter().position(|byte| *byte == b'\n');
            let line = &rest[..line_feed.unwrap_or(rest.len())];
            let is_done = line_feed.is_some() || after == After::Nothing;
            if !self.skipping && !is_done && line.len() <= MAX_LINE_BYTES {
                break;
            }
            if !self.skipping {
                lines.push(self.line(line, is_done));
            }
            self.skipping = line_feed.is_none();
            rest = &rest[line_feed.map_or(rest.len(), |at| at + 1)..];
        }
        let taken = bytes.len() - rest.len();
        self.position += taken as u64;
        taken
    }

    /// Makes a line of `bytes`; an unfinished one may end in any byte.
    fn line(&mut self, bytes: &[u8], is_done: bool) -> Line {
        self.lines = self.lines.map(|lines| lines + 1);
        let bytes = if is_done { bytes.strip_suffix(b"\r").unwrap_or(bytes) } else { bytes };
        let truncated = bytes.len() > MAX_LINE_BYTES;
        let text = String::from_utf8_lossy(if truncated { cut(bytes) } else { bytes });
        let lossy = matches!(text, std::borrow::Cow::Owned(_));
        Line { text: text.into_owned(), number: self.lines, truncated, lossy }
    }
}

/// The first [`MAX_LINE_BYTES`] of `bytes`, less a character that would be cut in the middle.
fn cut(bytes: &[u8]) -> &[u8] {
    const CONTINUATION_BYTES: usize = 3;
    let is_inside = |at: usize| bytes[at] & 0b1100_0000 == 0b1000_0000;
    let earliest = MAX_LINE_BYTES - CONTINUATION_BYTES;
    let end = (earliest..=MAX_LINE_BYTES).rev().find(|at| !is_inside(*at));
    &bytes[..end.unwrap_or(MAX_LINE_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `pieces` as a file that grows by them; gives the lines and what is left.
    fn read(pieces: &[&[u8]], after: After) -> (Vec<Line>, usize) {
        let (mut cursor, mut lines, mut waiting) = (Cursor::start(), Vec::new(), Vec::new());
        for (at, piece) in pieces.iter().enumerate() {
            waiting.extend_from_slice(piece);
            let after = if at + 1 == pieces.len() { after } else { After::Perhaps };
            let taken = cursor.take(&waiting, after, usize::MAX / 2, &mut lines);
            waiting.drain(..taken);
        }
        (lines, waiting.len())
    }

    fn texts(lines: &[Line]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn an_unfinished_line_waits_unless_nothing_can_follow() {
        let (lines, waiting) = read(&[b"one\ntw"], After::Perhaps);
        assert_eq!((texts(&lines), waiting), (vec!["one"], 2));
        let (lines, waiting) = read(&[b"one\ntw"], After::Nothing);
        assert_eq!((texts(&lines), waiting), (vec!["one", "tw"], 0));
    }

    #[test]
    fn lines_are_numbered_and_their_ends_are_taken_off() {
        let (lines, _) = read(&[b"a\r\n\nb\rc\n"], After::Perhaps);
        assert_eq!(texts(&lines), ["a", "", "b\rc"]);
        assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<_>>(), [Some(1), Some(2), Some(3)]);
    }

    #[test]
    fn the_lines_do_not_depend_on_how_the_bytes_came() {
        let long = format!("{}\u{e4}rest\nnext\n\u{e4}", "x".repeat(MAX_LINE_BYTES - 1));
        let bytes = long.as_bytes();
        let (whole, waiting) = read(&[bytes], After::Nothing);
        assert_eq!((whole.len(), waiting), (3, 0));
        assert!(whole[0].truncated && !whole[0].lossy);
        assert_eq!(whole[0].text.len(), MAX_LINE_BYTES - 1);
        assert_eq!(texts(&whole[1..]), ["next", "\u{e4}"]);
        for at in [1, MAX_LINE_BYTES - 1, MAX_LINE_BYTES, MAX_LINE_BYTES + 1, MAX_LINE_BYTES + 2, bytes.len() - 1] {
            let (pieces, _) = read(&[&bytes[..at], &bytes[at..]], After::Nothing);
            assert_eq!(pieces, whole, "cut at {at}");
        }
    }

    #[test]
    fn what_is_no_utf_8_is_replaced_and_said() {
        let (lines, _) = read(&[b"caf\xe9\nok\n"], After::Perhaps);
        assert_eq!(texts(&lines), ["caf\u{fffd}", "ok"]);
        assert_eq!(lines.iter().map(|line| line.lossy).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn reading_stops_at_the_bound_and_goes_on_behind_it() {
        let (mut cursor, mut lines) = (Cursor::start(), Vec::new());
        let taken = cursor.take(b"a\nb\nc\n", After::Perhaps, 2, &mut lines);
        assert_eq!((taken, cursor.position, texts(&lines)), (4, 4, vec!["a", "b"]));
        cursor.take(b"c\n", After::Perhaps, 2, &mut lines);
        assert_eq!(texts(&lines), ["a", "b", "c"]);
    }

    #[test]
    fn from_the_middle_of_a_line_the_next_one_is_the_first() {
        let (mut cursor, mut lines) = (Cursor::end(3, true), Vec::new());
        cursor.take(b"f the old line\nnew\n", After::Perhaps, 9, &mut lines);
        assert_eq!(texts(&lines), ["new"]);
        assert_eq!(lines[0].number, None);
    }
}
