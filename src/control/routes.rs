//! What is asked by which method and path: one table, of which requests are read and the OpenAPI document is made.

use hyper::Method;

use crate::daemon::Request;
use crate::name::TaskName;

/// One thing that may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route {
    /// `GET`, `POST`, `PUT` or `DELETE`.
    pub(super) method: &'static str,
    /// Its path; `{task}` stands for a name, percent-encoded.
    pub(super) path: &'static str,
    pub(super) what: What,
    /// One sentence for people.
    pub(super) summary: &'static str,
}

/// What a route is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Document,
    Status,
    TaskStatus,
    Start,
    Stop,
    Restart,
    Migrate,
    StopAll,
    Reload,
    Failsafes,
    ClearFailsafe,
    Events,
    Log,
    TaskLog,
    ShowState,
    SetState,
}

const fn route(method: &'static str, path: &'static str, what: What, summary: &'static str) -> Route {
    Route { method, path, what, summary }
}

/// All of them.
pub(super) const ROUTES: [Route; 16] = [
    route("GET", "/v1/openapi.json", What::Document, "This document."),
    route("GET", "/v1/status", What::Status, "How the daemon and all tasks are."),
    route("GET", "/v1/tasks/{task}", What::TaskStatus, "How one task is."),
    route("POST", "/v1/tasks/{task}/start", What::Start, "Lets a stopped or ended task run."),
    route("POST", "/v1/tasks/{task}/stop", What::Stop, "Ends a task until it is started, or the daemon is."),
    route("POST", "/v1/tasks/{task}/restart", What::Restart, "Ends a task and starts it."),
    route("POST", "/v1/tasks/{task}/migrate", What::Migrate, "Moves a task; ?to=internal or ?to=external."),
    route("GET", "/v1/tasks/{task}/log", What::TaskLog, "The last lines of a task; ?lines=N, ?follow=true."),
    route("GET", "/v1/tasks/{task}/state", What::ShowState, "The state in a task's newest record."),
    route("PUT", "/v1/tasks/{task}/state", What::SetState, "Gives a stopped task another state: RON text."),
    route("POST", "/v1/stop", What::StopAll, "Ends all external processes and the daemon."),
    route("POST", "/v1/reload", What::Reload, "Reads the config file and applies it; ?dry_run=true only plans."),
    route("GET", "/v1/failsafe", What::Failsafes, "What is in failsafe, and why."),
    route("DELETE", "/v1/failsafe/{task}", What::ClearFailsafe, "Lets run again what is in failsafe."),
    route("GET", "/v1/events", What::Events, "What happened, oldest first; ?after=N, ?task=NAME."),
    route("GET", "/v1/log", What::Log, "The daemon's last lines; ?lines=N, ?follow=true."),
];

/// What a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// The OpenAPI document.
    Document,
    /// The daemon.
    Daemon(Request),
    /// Lines of a log: a task's, or the daemon's own.
    Log { task: Option<TaskName>, lines: usize, follow: bool },
}

/// Why a request is none of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RouteError {
    #[error("there is nothing at {0}; GET /v1/openapi.json lists what there is")]
    NoPath(String),
    #[error("{method} does not go with this path; {allowed} does")]
    NoMethod { method: String, allowed: String },
    #[error("{0}")]
    Malformed(String),
}

/// How many lines of a log are told where nobody says.
pub(super) const LINES: usize = 100;

/// The most lines of a log that are told: what a person scrolls through, and some MiB.
pub(super) const MAX_LINES: usize = 10_000;

/// How much of a path is repeated in a refusal.
const SHOWN: usize = 100;

/// Reads the head of a request; `body` is its body, where the route has one.
pub(super) fn read(method: &Method, path: &str, query: Option<&str>, body: &[u8]) -> Result<Asked, RouteError> {
    let (route, task) = find(method, path)?;
    let query = Query::read(query.unwrap_or_default())?;
    let name = || task.clone().ok_or_else(|| RouteError::Malformed("the path names no task".to_owned()));
    let request = match route.what {
        What::Document => return query.only(&[]).map(|_| Asked::Document),
        What::Log | What::TaskLog => {
            query.only(&["lines", "follow"])?;
            let lines = query.number("lines", LINES as u64)?.min(MAX_LINES as u64);
            let lines = usize::try_from(lines).unwrap_or(MAX_LINES);
            return Ok(Asked::Log { task, lines, follow: query.flag("follow")? });
        }
        What::Migrate => {
            query.only(&["to"])?;
            let external = match query.get("to") {
                Some("internal") => false,
                Some("external") => true,
                _ => return Err(RouteError::Malformed("write ?to=internal or ?to=external".to_owned())),
            };
            return Ok(Asked::Daemon(Request::Migrate { task: name()?, external }));
        }
        What::Reload => {
            query.only(&["dry_run"])?;
            return Ok(Asked::Daemon(Request::Reload { dry_run: query.flag("dry_run")? }));
        }
        What::Events => {
            query.only(&["after", "task"])?;
            let task = query.get("task").map(task_name).transpose()?;
            return Ok(Asked::Daemon(Request::Events { after: query.number("after", 0)?, task }));
        }
        What::Status => Request::Status,
        What::TaskStatus => Request::TaskStatus(name()?),
        What::Start => Request::Start(name()?),
        What::Stop => Request::Stop(name()?),
        What::Restart => Request::Restart(name()?),
        What::StopAll => Request::StopAll,
        What::Failsafes => Request::Failsafes,
        What::ClearFailsafe => Request::ClearFailsafe(name()?),
        What::ShowState => Request::ShowState(name()?),
        What::SetState => {
            let state = std::str::from_utf8(body).map_err(|_| RouteError::Malformed("the body is no UTF-8".into()))?;
            Request::SetState { task: name()?, state: state.to_owned() }
        }
    };
    query.only(&[])?;
    Ok(Asked::Daemon(request))
}

fn find(method: &Method, path: &str) -> Result<(Route, Option<TaskName>), RouteError> {
    let fitting: Vec<_> = ROUTES.into_iter().filter_map(|route| Some((route, fit(route.path, path)?))).collect();
    let chosen = fitting.iter().find(|(route, _)| route.method == method.as_str());
    let Some((route, word)) = chosen else {
        let method = method.as_str().chars().take(SHOWN).collect();
        let allowed: Vec<_> = fitting.iter().map(|(route, _)| route.method).collect();
        return Err(match allowed.is_empty() {
            true => RouteError::NoPath(path.chars().take(SHOWN).collect()),
            false => RouteError::NoMethod { method, allowed: allowed.join(" or ") },
        });
    };
    let task = word.map(|word| decoded(word).and_then(|word| task_name(&word))).transpose()?;
    Ok((*route, task))
}

/// Whether a path is of this form, with the word in the place of `{task}`.
fn fit<'a>(form: &str, path: &'a str) -> Option<Option<&'a str>> {
    let (mut form, mut path) = (form.split('/'), path.split('/'));
    let mut word = None;
    loop {
        match (form.next(), path.next()) {
            (None, None) => return Some(word),
            (Some("{task}"), Some(found)) => word = Some(found),
            (Some(wanted), Some(found)) if wanted == found => {}
            _ => return None,
        }
    }
}

fn task_name(text: &str) -> Result<TaskName, RouteError> {
    TaskName::new(text).map_err(|error| RouteError::Malformed(error.to_string()))
}

/// The parameters behind the `?`.
struct Query(Vec<(String, String)>);

impl Query {
    fn read(text: &str) -> Result<Self, RouteError> {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(key)?, decoded(value)?))
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }

    /// Refuses what the route does not know: a slip would be taken for the default.
    fn only(&self, known: &[&str]) -> Result<(), RouteError> {
        match self.0.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some((key, _)) => {
                let key: String = key.chars().take(SHOWN).collect();
                Err(RouteError::Malformed(format!("{key:?} is no parameter here; known are: {}", known.join(", "))))
            }
        }
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_str())
    }

    fn number(&self, key: &str, usual: u64) -> Result<u64, RouteError> {
        let parse = |text: &str| text.parse().map_err(|_| RouteError::Malformed(format!("{key} is no number")));
        self.get(key).map_or(Ok(usual), parse)
    }

    fn flag(&self, key: &str) -> Result<bool, RouteError> {
        match self.get(key) {
            None | Some("false") => Ok(false),
            Some("" | "true") => Ok(true),
            Some(_) => Err(RouteError::Malformed(format!("{key} is true or false"))),
        }
    }
}

/// Percent-encoding undone.
fn decoded(text: &str) -> Result<String, RouteError> {
    let bad = || RouteError::Malformed("a percent sign is not followed by two hexadecimal digits of UTF-8".to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, after @ ..] = after else { return Err(bad()) };
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let value = digit(high).zip(digit(low)).map(|(high, low)| high * 16 + low);
        bytes.push(value.and_then(|value| u8::try_from(value).ok()).ok_or_else(bad)?);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

/// Text as it stands in a path or a query.
pub(super) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let encode = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encode).collect()
}
