//! The source tree as the rules see it: files with their comments and strings blanked out, and which lines are test
//! code.
//!
//! Invariant: `code` has the line breaks of `text`, so a line number means the same in both.
//! This is no parser: it knows comments, literals and braces, and looks for paths in what remains.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One file of the tree.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Its path from the root of the package, with `/`.
    pub(crate) path: String,
    /// As it is.
    pub(crate) text: String,
    /// The text without comments and literals.
    pub(crate) code: String,
    /// Every line of it is test code: it lies below `tests/`, or its module is declared under `#[cfg(test)]`.
    pub(crate) is_test: bool,
    test_regions: Vec<Range<usize>>,
}

/// A path such as `crate::router::Table` as far as its first name after the prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) line: usize,
    pub(crate) offset: usize,
    /// The first name after the prefix; for a group one `Use` per member.
    pub(crate) name: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = without_comments_and_literals(text);
        let test_regions = test_regions(&code);
        Self { path: path.to_owned(), text: text.to_owned(), code, is_test: path.starts_with("tests/"), test_regions }
    }

    /// Whether the code at this byte is compiled for tests only.
    pub(crate) fn is_test_at(&self, offset: usize) -> bool {
        self.is_test || self.test_regions.iter().any(|region| region.contains(&offset))
    }

    /// Whether this byte stands inside an inline `mod tests { }` of a file that is not all test.
    pub(crate) fn is_inline_test_at(&self, offset: usize) -> bool {
        self.test_regions.iter().any(|region| region.contains(&offset))
    }

    pub(crate) fn line_at(&self, offset: usize) -> usize {
        1 + self.code.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count()
    }

    /// Where `pattern` stands in the code. A pattern that begins or ends with a letter is a whole word there.
    pub(crate) fn find(&self, pattern: &str) -> Vec<usize> {
        self.code.match_indices(pattern).map(|(at, _)| at).filter(|at| self.is_whole(*at, pattern)).collect()
    }

    /// Every path that begins with `prefix` (`crate::`), group members one by one: `prefix{a::b, c}` uses `a` and `c`.
    pub(crate) fn uses(&self, prefix: &str) -> Vec<Use> {
        let starts = self.find(prefix).into_iter().map(|at| at + prefix.len());
        starts.flat_map(|start| self.first_names(start)).collect()
    }

    /// The names declared as `mod NAME`, with `#[cfg(test)]` right before it or not.
    pub(crate) fn declared_modules(&self) -> Vec<(Use, bool)> {
        let declared = self.uses("mod ").into_iter();
        declared.map(|declared| (declared.clone(), self.is_declared_for_tests(declared.offset))).collect()
    }

    fn is_declared_for_tests(&self, offset: usize) -> bool {
        let item_start = self.code[..offset].rfind([';', '}']).map_or(0, |at| at + 1);
        self.code[item_start..offset].contains("#[cfg(test)]")
    }

    fn is_whole(&self, at: usize, pattern: &str) -> bool {
        let before = self.code[..at].chars().next_back();
        let after = self.code[at + pattern.len()..].chars().next();
        let glued =
            |edge: Option<char>, outside: Option<char>| edge.is_some_and(is_word) && outside.is_some_and(is_word);
        !glued(pattern.chars().next(), before) && !glued(pattern.chars().next_back(), after)
    }

    fn first_names(&self, start: usize) -> Vec<Use> {
        let rest = &self.code[start..];
        let begins = if rest.starts_with('{') { group_members(rest) } else { vec![0] };
        begins.into_iter().filter_map(|begin| self.name_at(start + begin)).collect()
    }

    fn name_at(&self, offset: usize) -> Option<Use> {
        let name: String = self.code[offset..].chars().take_while(|c| is_word(*c)).collect();
        (!name.is_empty()).then(|| Use { line: self.line_at(offset), offset, name })
    }
}

/// Reads every Rust file below `src`, `tasks` and `tests`, sorted by path.
pub(crate) fn load(root: &Path) -> Vec<Source> {
    let mut paths = Vec::new();
    for folder in ["src", "tasks", "tests"] {
        collect(&root.join(folder), &mut paths);
    }
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path.strip_prefix(root).expect("collected below the root").to_string_lossy().into_owned();
        Source::new(&name, &fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}")))
    };
    let mut sources: Vec<Source> = paths.iter().map(read).collect();
    mark_test_modules(&mut sources);
    sources
}

/// Marks the files whose module is declared as `#[cfg(test)] mod NAME;`, and the files below them.
pub(crate) fn mark_test_modules(sources: &mut [Source]) {
    let mut test_paths = BTreeSet::new();
    for source in sources.iter() {
        let folder = module_folder(&source.path);
        let declared = source.declared_modules().into_iter().filter(|(_, for_tests)| *for_tests);
        test_paths.extend(declared.map(|(declared, _)| format!("{folder}/{}", declared.name)));
    }
    for source in sources {
        let is_below = |path: &String| {
            source.path.strip_prefix(path.as_str()).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        };
        source.is_test |= test_paths.iter().any(is_below);
    }
}

/// Where the child modules of this file lie.
fn module_folder(path: &str) -> String {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    match file {
        "mod.rs" | "lib.rs" => folder.to_owned(),
        _ => path.trim_end_matches(".rs").to_owned(),
    }
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.expect("a readable source tree").path()) {
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where the members of the group that `text` begins with start, nested groups left out.
fn group_members(text: &str) -> Vec<usize> {
    let (mut depth, mut expects, mut members) = (0, false, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '{' => (depth, expects) = (depth + 1, depth == 0),
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            ',' => expects |= depth == 1,
            c if expects && !c.is_whitespace() => {
                members.push(at);
                expects = false;
            }
            _ => {}
        }
    }
    members
}

/// The inline modules and items under `#[cfg(test)]`, each from its attribute to its closing brace.
fn test_regions(code: &str) -> Vec<Range<usize>> {
    let attributes = code.match_indices("#[cfg(test)]").map(|(at, _)| at);
    attributes.filter_map(|start| Some(start..start + item_length(&code[start..])?)).collect()
}

/// How long the item is that `code` begins with: to its `;`, or to the brace that closes its first one.
fn item_length(code: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            ';' if depth == 0 => return Some(at),
            '{' => depth += 1,
            '}' if depth <= 1 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Replaces comments and the insides of literals by blanks; line breaks stay.
fn without_comments_and_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = skip_length(rest, is_after_word(&code));
        if skipped == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            code.extend(rest[..skipped].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
            rest = &rest[skipped..];
        }
    }
    code
}

/// Whether `code` ends inside a word, so that an `r` there begins no raw string. A literal's `b` or `c` is no word.
fn is_after_word(code: &str) -> bool {
    let word = code.rsplit(|c| !is_word(c)).next().unwrap_or("");
    !matches!(word, "" | "b" | "c")
}

/// How many bytes of comment or literal `rest` begins with; 0 when with neither.
fn skip_length(rest: &str, after_word: bool) -> usize {
    let bytes = rest.as_bytes();
    match bytes[0] {
        b'/' if bytes.get(1) == Some(&b'/') => rest.find('\n').unwrap_or(rest.len()),
        b'/' if bytes.get(1) == Some(&b'*') => block_comment_length(bytes),
        b'"' => 1 + quoted_length(&bytes[1..], b'"'),
        b'r' if !after_word => raw_string_length(rest),
        b'\'' => char_length(rest),
        _ => 0,
    }
}

fn block_comment_length(bytes: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < bytes.len() {
        match &bytes[at..bytes.len().min(at + 2)] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" if depth == 1 => return at + 2,
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The length to the closing quote and with it.
fn quoted_length(bytes: &[u8], quote: u8) -> usize {
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn raw_string_length(rest: &str) -> usize {
    let hashes = rest[1..].bytes().take_while(|byte| *byte == b'#').count();
    if rest.as_bytes().get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    rest[2 + hashes..].find(&close).map_or(rest.len(), |at| 2 + hashes + at + close.len())
}

/// A character literal; a lifetime has no closing quote after one character and is no literal.
fn char_length(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), _) => 1 + quoted_length(&rest.as_bytes()[1..], b'\''),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}
