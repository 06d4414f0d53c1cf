//! What somebody may have meant.

/// Up to this many characters one slip is likely, two make another word.
const SHORT_CHARS: usize = 4;

/// No name is longer (a file name's bytes); and comparing takes time by the product of both lengths.
const MAX_BYTES: usize = 255;

/// The candidate nearest to `wrong`, if one is near: the same but for case, or one slip away, or two in a word of
/// more than four characters. A slip is a letter too many, missing, wrong or swapped with its neighbour.
pub fn did_you_mean<'c>(wrong: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
    if wrong.len() > MAX_BYTES {
        return None;
    }
    let folded = wrong.to_lowercase();
    let limit = if wrong.chars().count() <= SHORT_CHARS { 1 } else { 2 };
    let near = candidates.into_iter().filter(|candidate| candidate.len() <= MAX_BYTES && *candidate != wrong);
    let ranked = near.map(|candidate| (distance(wrong, &folded, candidate), candidate));
    // Of equally near ones the first by the alphabet, so that the answer does not depend on an order of maps.
    ranked.filter(|(distance, _)| *distance <= limit).min().map(|(_, candidate)| candidate.to_owned())
}

fn distance(wrong: &str, folded: &str, candidate: &str) -> usize {
    if candidate.to_lowercase() == folded {
        return 0;
    }
    strsim::damerau_levenshtein(wrong, candidate).max(1)
}

/// The words for a suggestion: `did you mean "forwards"?`
pub fn advice<'c>(wrong: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
    did_you_mean(wrong, candidates).map(|meant| format!("did you mean {meant:?}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        let names = ["forwards", "match", "transform", "ct", "Example1", "Example2"];
        let cases = [
            ("forwrads", Some("forwards")),
            ("fowards", Some("forwards")),
            ("MATCH", Some("match")),
            ("ctt", Some("ct")),
            ("tc", Some("ct")),
            ("abc", None),
            ("example2", Some("Example2")),
            ("Exampel1", Some("Example1")),
            ("Example", Some("Example1")),
            ("ct", None),
            ("entirely different", None),
        ];
        for (wrong, expected) in cases {
            assert_eq!(did_you_mean(wrong, names).as_deref(), expected, "{wrong}");
        }
        assert_eq!(did_you_mean(&"x".repeat(100_000), names), None);
    }
}
