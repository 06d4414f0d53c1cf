//! Files that grow, are renamed, truncated, removed and made again, followed in a directory of the test's own.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use multimodule::sdk::{Context, Core, Emission, Task, TimerRequest, fields};
use tempfile::TempDir;

use super::follower::{Begin, Budget, Follower, News, Place};
use super::lines::Line;
use super::{BACKLOG, BUDGET, Config, LOOK, State, Tail, message};

/// A directory with a log, and a follower of it.
struct Log {
    directory: TempDir,
    follower: Follower,
    place: Option<Place>,
    news: Vec<News>,
}

impl Log {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let follower = Follower::new(directory.path().join("log").to_str().unwrap().to_owned());
        Self { directory, follower, place: None, news: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// The process ends and another goes on with the state as it was saved.
    fn restart(&mut self) {
        self.follower = Follower::new(self.follower.file().to_owned());
        let saved = ron::to_string(&self.place).unwrap();
        self.place = ron::from_str(&saved).unwrap();
    }

    fn lines_from(&mut self, begin: Begin, budget: Budget) -> Vec<Line> {
        let mut lines = Vec::new();
        loop {
            let look = self.follower.look(&mut self.place, begin, budget);
            assert!(look.bytes <= budget.bytes && look.lines.len() <= budget.lines);
            lines.extend(look.lines);
            self.news.extend(look.news);
            if !look.more {
                return lines;
            }
        }
    }

    #[track_caller]
    fn check(&mut self, lines: &[&str], news: &[News]) {
        let found = self.lines_from(Begin::Start, BUDGET);
        assert_eq!(found.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), lines);
        assert_eq!(std::mem::take(&mut self.news), news);
    }
}

fn missing() -> News {
    News::Fault("there is no such file".to_owned())
}

#[test]
fn lines_come_as_they_are_written_and_once() {
    let mut log = Log::new();
    log.append("log", "one\ntwo\nthr");
    log.check(&["one", "two"], &[]);
    log.check(&[], &[]);
    log.append("log", "ee\n");
    log.restart();
    log.check(&["three"], &[]);
}

#[test]
fn a_missing_file_is_reported_once_and_waited_for() {
    let mut log = Log::new();
    log.check(&[], &[missing()]);
    log.check(&[], &[]);
    log.append("log", "one\n");
    assert_eq!(log.lines_from(Begin::End, BUDGET).len(), 1, "a file that appears later is read from its start");
    assert_eq!(log.news, [News::Back]);
}

#[test]
fn from_the_end_only_new_lines_come() {
    let mut log = Log::new();
    log.append("log", "old\nhalf");
    assert_eq!(log.lines_from(Begin::End, BUDGET), []);
    log.append("log", " a line\nnew\n");
    let lines = log.lines_from(Begin::End, BUDGET);
    assert_eq!(lines, [Line { text: "new".to_owned(), ..Line::default() }]);
}

#[test]
fn a_renamed_file_is_read_to_its_end_ahead_of_the_new_one() {
    let mut log = Log::new();
    log.append("log", "one\n");
    log.check(&["one"], &[]);
    log.append("log", "two\n");
    log.rename("log", "log.1");
    log.check(&["two"], &[]);
    log.append("log", "");
    log.append("log.1", "three\nunfinished");
    log.check(&["three"], &[]);
    log.append("log", "four\n");
    log.check(&["unfinished", "four"], &[News::Rotated]);
}

#[test]
fn a_file_that_was_renamed_while_nobody_looked_is_found_by_its_inode() {
    for name in ["log.1", "log-20261102"] {
        let mut log = Log::new();
        log.append("log", "one\n");
        log.check(&["one"], &[]);
        log.append("log", "two\n");
        log.rename("log", name);
        log.append("log", "three\n");
        log.restart();
        log.check(&["two", "three"], &[News::Rotated]);
    }
}

#[test]
fn a_rest_that_cannot_be_found_is_reported() {
    let mut log = Log::new();
    log.append("log", "one\n");
    log.check(&["one"], &[]);
    log.append("log", "two\n");
    // Whoever holds the old file keeps its inode from being given to the new one.
    let _old = File::open(log.path("log")).unwrap();
    fs::remove_file(log.path("log")).unwrap();
    log.append("log", "three\n");
    log.restart();
    log.check(&["three"], &[News::Lost { position: 4 }]);
}

#[test]
fn the_rest_of_a_removed_file_is_read_while_it_is_held() {
    let mut log = Log::new();
    log.append("log", "one\n");
    log.check(&["one"], &[]);
    log.append("log", "two\n");
    fs::remove_file(log.path("log")).unwrap();
    log.check(&["two"], &[]);
    log.check(&[], &[missing()]);
    log.append("log", "three\n");
    log.check(&["three"], &[News::Back]);
}

#[test]
fn a_truncated_file_is_read_from_its_start() {
    let mut log = Log::new();
    log.append("log", "one\ntwo\n");
    log.check(&["one", "two"], &[]);
    File::create(log.path("log")).unwrap();
    log.append("log", "new\n");
    log.check(&["new"], &[News::Restarted { position: 8 }]);
}

#[test]
fn a_file_that_was_copied_and_written_anew_is_known_by_its_start_however_long_it_is() {
    let mut log = Log::new();
    log.append("log", "one\ntwo\n");
    log.check(&["one", "two"], &[]);
    for restarts in [false, true] {
        fs::copy(log.path("log"), log.path("log.1")).unwrap();
        File::create(log.path("log")).unwrap();
        log.append("log", &format!("three {restarts}\nfour is longer than all before\n"));
        if restarts {
            log.restart();
        }
        let news = std::mem::take(&mut log.news);
        let lines = log.lines_from(Begin::Start, BUDGET);
        assert_eq!(lines.len(), 2);
        assert!(matches!(log.news[..], [News::Restarted { .. }]), "{news:?}");
    }
}

#[test]
fn a_backlog_is_read_in_pieces_that_keep_to_the_budget() {
    let mut log = Log::new();
    let text: Vec<String> = (0..1000).map(|number| format!("line {number}")).collect();
    log.append("log", &(text.join("\n") + "\n"));
    for budget in [Budget { bytes: 100, lines: 1000 }, Budget { bytes: 1 << 20, lines: 7 }] {
        log.place = None;
        log.follower = Follower::new(log.follower.file().to_owned());
        let lines = log.lines_from(Begin::Start, budget);
        assert_eq!(lines.iter().map(|line| &line.text).collect::<Vec<_>>(), text.iter().collect::<Vec<_>>());
        assert_eq!(lines.last().unwrap().number, Some(1000));
    }
}

#[test]
fn what_is_no_regular_file_is_refused() {
    let mut log = Log::new();
    fs::create_dir(log.path("log")).unwrap();
    log.check(&[], &[News::Fault("not a regular file".to_owned())]);
}

#[test]
fn a_message_says_what_was_done_to_its_line() {
    let line = Line { text: "a".to_owned(), number: Some(3), truncated: true, lossy: false };
    assert_eq!(message("log", line), fields! { file: "log", line: "a", line_number: 3, truncated: true });
    let line = Line { text: "a".to_owned(), lossy: true, ..Line::default() };
    assert_eq!(message("log", line), fields! { file: "log", line: "a", lossy: true });
}

/// What the activation under way asked for: the files of the lines it emitted, and the timers it set and cancelled.
fn asked_for(ctx: &mut Context<Tail>) -> (Vec<String>, Vec<String>) {
    let file = |emission| match emission {
        Emission::New(fields) => fields.get("file").and_then(|file| file.as_text()).unwrap_or_default().to_owned(),
        Emission::Route(message) => panic!("{message} was not made here"),
    };
    let timer = |request| match request {
        TimerRequest::Every { name, .. } => format!("every {name}"),
        TimerRequest::Cancel { name } => format!("cancel {name}"),
    };
    (ctx.core.emitted.drain(..).map(file).collect(), ctx.core.timers.drain(..).map(timer).collect())
}

#[tokio::test]
async fn a_backlog_has_a_timer_of_its_own_and_does_not_keep_other_files_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("big"), "line\n".repeat(2 * BUDGET.lines)).unwrap();
    fs::write(path("small"), "line\n").unwrap();
    let config = Config { files: [path("big"), path("small")].into(), ..Config::default() };
    let core = Core::new("Tail".parse().unwrap());
    let (mut tail, mut ctx) = (Tail::default(), Context { config, state: State::default(), core });
    tail.start(&mut ctx).await.unwrap();
    assert_eq!(asked_for(&mut ctx), (vec![], vec![format!("every {LOOK}")]));

    tail.tick(LOOK, &mut ctx).await.unwrap();
    assert_eq!(asked_for(&mut ctx), (vec![path("big"); BUDGET.lines], vec![format!("every {BACKLOG}")]));
    tail.tick(BACKLOG, &mut ctx).await.unwrap();
    let (files, timers) = asked_for(&mut ctx);
    assert_eq!((files.len(), &files[0], timers.len()), (BUDGET.lines, &path("small"), 0));
    tail.tick(BACKLOG, &mut ctx).await.unwrap();
    assert_eq!(asked_for(&mut ctx), (vec![path("big")], vec![format!("cancel {BACKLOG}")]));
    assert_eq!(ctx.state.files.len(), 2);

    ctx.config = Config { files: [path("small")].into(), ..Config::default() };
    tail.start(&mut ctx).await.unwrap();
    assert_eq!(ctx.state.files.keys().collect::<Vec<_>>(), [&path("small")]);
}
