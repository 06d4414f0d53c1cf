//! What other processes write, shown by this one: their channels' lines on the stream where ours would go, all else on
//! standard output; every byte as it is, in one order.
//!
//! A host has one log for both of its streams. Which line belongs where is told by its channel, which stands in it.
//! What a task prints and only looks like such a line may so be shown on standard error: shown it is.

use std::io::{self, BufRead, Write};
use std::sync::{Arc, OnceLock};

use super::line::{INDENT, JSON_BEGIN};
use super::outlet::{Outlet, Way};

/// The way out of this process's lines, once its channels are installed.
static INSTALLED: OnceLock<Arc<Outlet>> = OnceLock::new();

/// Shows what one other process writes; what is written to it is whole lines, as a rule.
pub struct Terminal {
    outlet: Option<Arc<Outlet>>,
    /// Where the last line went, or the part of one: what belongs to it follows it.
    last: Way,
    in_line: bool,
}

/// The terminal of this process, by the channels that it has; without any all goes to standard output.
#[must_use]
pub fn terminal() -> Terminal {
    Terminal::of(INSTALLED.get().cloned())
}

/// From now on terminals are ruled by these channels.
pub(super) fn installed(outlet: &Arc<Outlet>) {
    // A process has its channels once, which `tracing` has seen to.
    INSTALLED.get_or_init(|| outlet.clone());
}

impl Terminal {
    fn of(outlet: Option<Arc<Outlet>>) -> Self {
        Self { outlet, last: Way::default(), in_line: false }
    }

    fn way_of(&self, line: &[u8], outlet: &Outlet) -> Way {
        if self.in_line || (self.last == Way::Stderr && line.starts_with(INDENT.as_bytes())) {
            return self.last;
        }
        match channel_of(line) {
            Some(channel) if !outlet.shown_on_stdout(&channel) => Way::Stderr,
            _ => Way::Stdout,
        }
    }

    /// Writes as many lines at once as go the same way.
    fn write_lines(&mut self, bytes: &[u8], outlet: &Outlet) -> io::Result<()> {
        let (mut from, mut at) = (0, 0);
        while at < bytes.len() {
            let mut rest = &bytes[at..];
            let line = &bytes[at..at + rest.skip_until(b'\n')?];
            let way = self.way_of(line, outlet);
            if way != self.last && from < at {
                outlet.relay(&bytes[from..at], self.last)?;
                from = at;
            }
            self.last = way;
            self.in_line = !line.ends_with(b"\n");
            at += line.len();
        }
        if from < at { outlet.relay(&bytes[from..at], self.last) } else { Ok(()) }
    }
}

impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.outlet.clone() {
            Some(outlet) => self.write_lines(bytes, &outlet)?,
            None => io::stdout().lock().write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // What goes to an outlet is flushed there.
        if self.outlet.is_none() { io::stdout().flush() } else { Ok(()) }
    }
}

/// The channel of a line, in capitals, if it looks like a channel's.
fn channel_of(line: &[u8]) -> Option<String> {
    // Most of what tasks print is told from a line of a channel by its first byte.
    let line = line.first().filter(|first| first.is_ascii_digit() || **first == b'{').map(|_| line)?;
    let line = std::str::from_utf8(line).ok()?;
    if line.starts_with(JSON_BEGIN) {
        return json_channel(line);
    }
    let rest = after_time(line)?.strip_prefix(": (")?;
    let (pid, rest) = rest.split_once("): [")?;
    let (channel, _) = rest.split_once("] ")?;
    (!pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit())).then(|| channel.to_owned())
}

/// What follows `2026-11-22 00:20:13`.
fn after_time(line: &str) -> Option<&str> {
    const SHAPE: &[u8] = b"dddd-dd-dd dd:dd:dd";
    let time = line.as_bytes().get(..SHAPE.len())?;
    let fits = |(shape, byte): (&u8, &u8)| if *shape == b'd' { byte.is_ascii_digit() } else { shape == byte };
    if SHAPE.iter().zip(time).all(fits) { line.get(SHAPE.len()..) } else { None }
}

fn json_channel(line: &str) -> Option<String> {
    let read: serde_json::Value = serde_json::from_str(line).ok()?;
    Some(read.get("type")?.as_str()?.to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::super::outlet::tests::{Memory, bench};
    use super::*;

    const TIME: &str = "2026-11-22 00:20:13: (77): ";

    /// What is on standard output and standard error after `parts`.
    fn shown(parts: &[&str]) -> (String, String) {
        let bench = bench("log:1,error:2,mine:1,alert:./alerts.log", Memory::default());
        let mut terminal = Terminal::of(Some(Arc::new(bench.outlet)));
        parts.iter().for_each(|part| terminal.write_all(part.as_bytes()).unwrap());
        (bench.stdout.text(), bench.stderr.text())
    }

    fn check(parts: &[&str], stdout: &str, stderr: &str) {
        assert_eq!(shown(parts), (stdout.to_owned(), stderr.to_owned()), "{parts:?}");
    }

    #[test]
    fn what_is_printed_and_what_is_logged_stays_in_order_on_standard_output() {
        let text = format!("printed\n{TIME}[LOG] said\n{TIME}[MINE] said\n    indented\n");
        check(&[&text], &text, "");
    }

    #[test]
    fn lines_of_channels_that_go_to_standard_error_go_there_with_all_their_lines() {
        let error = format!("{TIME}[ERROR] one\n    two\n");
        let other = format!("{TIME}[AUDIT] as errors\n");
        check(&["before\n", &error, "after\n", &other, "end\n"], "before\nafter\nend\n", &(error.clone() + &other));
        check(&[&format!("before\n{error}after\n{other}end\n")], "before\nafter\nend\n", &(error + &other));
    }

    #[test]
    fn a_line_that_its_file_did_not_take_is_shown_on_standard_error() {
        let alert = format!("{TIME}[ALERT] hot\n");
        check(&[&alert], "", &alert);
    }

    #[test]
    fn a_line_in_json_goes_by_its_type() {
        let line = |channel: &str| format!("{{\"time\":\"x\",\"pid\":7,\"type\":\"{channel}\",\"text\":\"t\"}}\n");
        check(&[&line("log"), &line("error")], &line("log"), &line("error"));
    }

    #[test]
    fn what_only_looks_a_little_like_a_line_of_a_channel_is_printed() {
        for text in [
            "2026-11-22 00:20:13: [ERROR] no pid\n",
            "2026-11-22 00:20:13: (x): [ERROR] x\n",
            "2026-11-22: (7): [ERROR] x\n",
            "[ERROR] x\n",
            "{\"time\":\"broken\n",
            "\n",
            "    indented\n",
        ] {
            check(&[text], text, "");
        }
    }

    #[test]
    fn a_long_line_in_parts_stays_together() {
        let begin = format!("{TIME}[ERROR] {}", "x".repeat(100));
        check(&[&begin, "printed?\n", "printed\n"], "printed\n", &(begin.clone() + "printed?\n"));
    }
}
