//! Regular expressions in a match: the text `" special/EXPRESSION/FLAGS"`.
//!
//! Expressions are those of the `regex` crate, so a test takes time proportional to its text whatever the
//! expression. Perl's look-around and back-references are refused at compile; `$` stands for the very end of the
//! text (Perl also takes it before a last line feed). Flags: `i` ignores case, `m` lets `^` and `$` stand at each
//! line, `s` lets `.` match a line feed, `x` ignores white space in the expression.

use regex::{Regex, RegexBuilder};

use crate::value::Text;

/// How a match tells a regular expression (or a mistake in one) from plain text.
pub(super) const PREFIX: &str = " special";

/// A compiled expression.
#[derive(Debug)]
pub(super) struct Special(Regex);

/// What is wrong with a special text, and what would be right.
pub(super) struct SpecialFault {
    pub(super) reason: String,
    pub(super) advice: Option<String>,
}

impl Special {
    /// Compiles a text that begins with [`PREFIX`].
    pub(super) fn compile(text: &str) -> Result<Self, SpecialFault> {
        let inner = text.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('/'));
        let Some((expression, flags)) = inner.and_then(|inner| inner.rsplit_once('/')) else {
            return Err(SpecialFault {
                reason: format!("unknown special form {text:?}"),
                advice: Some(r#"a regular expression is written " special/EXPRESSION/FLAGS""#.to_owned()),
            });
        };
        let mut builder = RegexBuilder::new(expression);
        for flag in flags.chars() {
            match flag {
                'i' => builder.case_insensitive(true),
                'm' => builder.multi_line(true),
                's' => builder.dot_matches_new_line(true),
                'x' => builder.ignore_whitespace(true),
                _ => {
                    return Err(SpecialFault {
                        reason: format!("unknown flag {flag:?} of a regular expression"),
                        advice: Some("the flags are i, m, s and x".to_owned()),
                    });
                }
            };
        }
        builder.build().map(Self).map_err(|error| SpecialFault { reason: one_line(&error), advice: None })
    }

    /// Whether the expression matches somewhere in `text`.
    pub(super) fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// The names of its named groups.
    pub(super) fn groups(&self) -> impl Iterator<Item = &str> {
        self.0.capture_names().flatten()
    }

    /// Adds the text of each named group that took part in the first match in `text`.
    pub(super) fn capture(&self, text: &str, groups: &mut Groups) {
        let Some(captures) = self.0.captures(text) else { return };
        for name in self.groups() {
            if let Some(found) = captures.name(name) {
                groups.0.push((Text::from(name), Text::from(found.as_str())));
            }
        }
    }
}

/// The texts of the named groups of one route's match, for its transform.
#[derive(Debug, Default)]
pub(super) struct Groups(Vec<(Text, Text)>);

impl Groups {
    pub(super) fn get(&self, name: &str) -> Option<&Text> {
        self.0.iter().find(|(have, _)| have == name).map(|(_, text)| text)
    }
}

/// The last line of the crate's message names the mistake; those before it draw a picture of several lines.
fn one_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
    format!("bad regular expression: {last}")
}
