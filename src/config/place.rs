//! Lines and columns of a text.
//!
//! Both count from 1; a column counts characters.

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl Place {
    /// The place of byte `at` of `text`.
    pub(super) fn of(text: &str, at: usize) -> Self {
        let before = &text[..boundary(text, at)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self { line: 1 + before.matches('\n').count(), column: 1 + before[line_start..].chars().count() }
    }
}

/// The line that byte `at` of `text` stands in, without its end.
pub(super) fn line_at(text: &str, at: usize) -> &str {
    let at = boundary(text, at);
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    text[start..end].trim_end_matches('\r')
}

/// The byte at a line and a column in characters; the nearest one that `text` has.
pub(super) fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let start = line_start(text, line);
    let rest = &text[start..];
    start + rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at)
}

/// The byte at a line and a column in bytes; the nearest one that `text` has.
pub(super) fn offset_of_bytes(text: &str, line: usize, column: usize) -> usize {
    boundary(text, line_start(text, line) + column.saturating_sub(1))
}

/// The start of the character that byte `at` belongs to, or the end of `text`.
pub(super) fn boundary(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

fn line_start(text: &str, line: usize) -> usize {
    let newlines = text.match_indices('\n').map(|(at, _)| at + 1);
    std::iter::once(0).chain(newlines).nth(line.saturating_sub(1)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_lines_and_characters() {
        let text = "ab\nä→c\r\n\nx";
        for (at, line, column) in [(0, 1, 1), (2, 1, 3), (3, 2, 1), (8, 2, 3), (11, 3, 1), (12, 4, 1), (99, 4, 2)] {
            assert_eq!(Place::of(text, at), Place { line, column }, "byte {at}");
            if at < text.len() {
                assert_eq!(offset_of(text, line, column), at);
            }
        }
        assert_eq!(line_at(text, 5), "ä→c");
        assert_eq!(line_at(text, 11), "");
        assert_eq!(offset_of_bytes(text, 2, 3), 5);
    }
}
