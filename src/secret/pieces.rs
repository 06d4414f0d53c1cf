//! What comes in pieces, redacted: a secret may begin in one piece and end in the next.
//!
//! Invariant: what is held back is the beginning of a secret, or overlaps with one, and no longer than two of the longest.

use super::MAX_SECRET_BYTES;
use super::known::{STARS, redacted_beginning, redacted_bytes};

/// Pieces of one stream of bytes, most of which are text.
#[derive(Debug, Default)]
pub struct Pieces {
    held: Vec<u8>,
}

impl Pieces {
    /// The next piece: what may be said now, without secrets.
    #[must_use]
    pub fn next(&mut self, piece: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(piece);
        let (said, length) = redacted_beginning(&self.held);
        self.held.drain(..length);
        // Only secrets that overlap with one another come to so much.
        if self.held.len() > 2 * MAX_SECRET_BYTES { [said, self.rest()].concat() } else { said }
    }

    /// Stars in the place of what was held back, if something was: what follows is read by somebody else.
    #[must_use]
    pub(super) fn covered(&mut self) -> &'static str {
        if std::mem::take(&mut self.held).is_empty() { "" } else { STARS }
    }

    /// What was held back: nothing follows it.
    #[must_use]
    pub fn rest(&mut self) -> Vec<u8> {
        redacted_bytes(&std::mem::take(&mut self.held)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::known::keep;
    use super::*;

    fn said(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut stream = Pieces::default();
        let mut said: Vec<_> = pieces.iter().map(|piece| stream.next(piece)).collect();
        said.push(stream.rest());
        said
    }

    #[test]
    fn only_what_may_be_the_beginning_of_a_secret_is_held_back() {
        assert!(keep("pieces-of-a-secret"));
        let text = |pieces: &[&[u8]]| said(pieces).into_iter().map(|said| String::from_utf8(said).unwrap());
        let check =
            |pieces: &[&[u8]], expected: &[&str]| assert!(text(pieces).eq(expected.iter().copied()), "{pieces:?}");
        check(&[b"a line\n", b"another"], &["a line\n", "another", ""]);
        check(&[b"<pieces-of", b"-a-secret>\n"], &["<", "***>\n", ""]);
        check(&[b"<pieces-of", b"-bread>\n"], &["<", "pieces-of-bread>\n", ""]);
        check(&[b"<pieces-of"], &["<", "pieces-of"]);
    }

    #[test]
    fn secrets_that_overlap_for_ever_are_not_held_for_ever() {
        assert!(keep("#over-lap#") && keep("lap##over-"));
        let text = "#over-lap#".repeat(30_000);
        let mut stream = Pieces::default();
        let mut said = Vec::new();
        for piece in text.as_bytes().chunks(4096) {
            said.extend(stream.next(piece));
            assert!(stream.held.len() <= 2 * MAX_SECRET_BYTES);
        }
        said.extend(stream.rest());
        assert!(!String::from_utf8(said).unwrap().contains("#over-lap#"));
    }

    proptest! {
        #[test]
        fn however_it_is_cut_no_secret_is_said_and_all_else_is(
            words in prop::collection::vec("(cut-sécret|aaaa|cut-|aa|é|[a-z\n])", 0..30), cuts in prop::collection::vec(1_usize..9, 1..9),
        ) {
            assert!(keep("cut-sécret") && keep("aaaa"));
            let text = words.concat();
            let (mut stream, mut said, mut at) = (Pieces::default(), Vec::new(), 0);
            for cut in cuts.iter().cycle() {
                let end = (at + cut).min(text.len());
                said.extend(stream.next(&text.as_bytes()[at..end]));
                at = end;
                if at == text.len() {
                    break;
                }
            }
            said.extend(stream.rest());
            let said = String::from_utf8(said).unwrap();
            prop_assert!(!said.contains("cut-sécret") && !said.contains("aaaa"), "{text:?}: {said:?}");
            let others = |text: &str| text.replace("cut-sécret", "").replace(['a', '*'], "");
            prop_assert_eq!(others(&said), others(&text));
        }
    }
}
