//! Accepts connections, reads one request of each, has the daemon answer it.
//!
//! Invariant: at most [`CONNECTIONS`] requests are under way, each of at most [`BODY_BYTES`] and [`HEAD_BYTES`]; one
//! that does not come within [`PATIENCE`], or whose answer is not fetched within [`LONGEST`], is ended. Those who come
//! meanwhile wait in the kernel's own queue.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request as HttpRequest, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::access::{Refused, caller};
use super::answers::{Body, Problem, ProblemKind, json, of, response};
use super::door::{Door, listen};
use super::follow::{Source, body};
use super::openapi::document;
use super::routes::{Asked, read};
use crate::channel::Recent;
use crate::daemon::{Answer, Call, Caller, LogSource, Published, Request, Serve};
use crate::name::TaskName;

/// How many requests are under way at once: far more than people and their programs have, and a bound for memory.
pub(super) const CONNECTIONS: usize = 64;
/// How many of them may follow a log: the others stay free for short ones.
pub(super) const FOLLOWERS: usize = 16;
/// The largest body: a task's state that a person sets.
pub(super) const BODY_BYTES: usize = 1 << 20;
/// The largest head.
const HEAD_BYTES: usize = 16 << 10;
/// How many header fields a request may have: a browser sends twenty.
const HEADERS: usize = 64;
/// How long a request may take to come.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the daemon may take: a reload of a large config, which waits for receivers at most 30 s.
const ANSWER: Duration = Duration::from_secs(90);
/// How long a request may take in all, unless it follows.
const LONGEST: Duration = Duration::from_secs(120);
/// How many descriptors are kept for a call when there are no others: its connection, and what an answer looks into.
const SPARE: usize = 4;
/// The pause after an accept that failed: descriptors may be free again then.
const PAUSE: Duration = Duration::from_millis(100);

/// The service of a running daemon; ends when dropped.
struct Service {
    accepting: JoinHandle<()>,
    _door: Door,
    _published: Published,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Serves the daemon's control interface; `recent` are the daemon's own lines.
#[must_use]
pub fn service(recent: Recent) -> Serve {
    Box::new(move |whereabouts, calls| {
        let (door, listener) = listen(&whereabouts.state_dir)?;
        let published = whereabouts.publish()?;
        let front = Arc::new(Front {
            calls,
            recent,
            followers: Arc::new(Semaphore::new(FOLLOWERS)),
            refused: Refused::default(),
        });
        let accepting = tokio::spawn(accept(listener, front));
        Ok(Box::new(Service { accepting, _door: door, _published: published }))
    })
}

/// What all connections share.
struct Front {
    calls: mpsc::Sender<Call>,
    recent: Recent,
    followers: Arc<Semaphore>,
    refused: Refused,
}

async fn accept(listener: UnixListener, front: Arc<Front>) {
    let (mut connections, mut spare) = (JoinSet::new(), Spare::default());
    loop {
        spare.refill();
        while connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, _)) => drop(connections.spawn(serve(stream, front.clone()))),
            Err(error) if is_short_of_descriptors(&error) && spare.give() => {
                // One at a time: the next caller needs them, too.
                let called = async {
                    match listener.accept().await {
                        Ok((stream, _)) => serve(stream, front.clone()).await,
                        Err(_) => sleep(PAUSE).await,
                    }
                };
                // It may be one who follows a log.
                drop(timeout(PATIENCE, called).await);
            }
            Err(error) => {
                tracing::debug!("a call could not be accepted: {error}");
                sleep(PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Descriptors that are kept for whoever calls when this process has no others left, to see what it does with them.
#[derive(Default)]
struct Spare(Vec<File>);

impl Spare {
    fn refill(&mut self) {
        while self.0.len() < SPARE {
            match File::open("/dev/null") {
                Ok(file) => self.0.push(file),
                Err(_) => return,
            }
        }
    }

    /// Lets go of them; false if there were none.
    fn give(&mut self) -> bool {
        !std::mem::take(&mut self.0).is_empty()
    }
}

fn is_short_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// How far a request has come.
#[derive(Debug, Default)]
struct Progress(AtomicU8);

impl Progress {
    const CAME: u8 = 1;
    const FOLLOWS: u8 = 2;

    fn is(&self, least: u8) -> bool {
        self.0.load(Ordering::Relaxed) >= least
    }

    fn set(&self, now: u8) {
        self.0.store(now, Ordering::Relaxed);
    }
}

/// Serves one connection to its end.
async fn serve(stream: UnixStream, front: Arc<Front>) {
    let (caller, progress, begin) = (caller(&stream), Arc::new(Progress::default()), Instant::now());
    if let Err(reason) = &caller {
        front.refused.tell(reason);
    }
    let seen = progress.clone();
    let answer = service_fn(move |request| {
        let (front, caller, seen) = (front.clone(), caller.clone(), seen.clone());
        async move { Ok::<_, Infallible>(front.answer(request, caller, &seen).await.unwrap_or_else(Problem::response)) }
    });
    let mut builder = http1::Builder::new();
    // One request each: an idle connection would keep its place from others.
    builder.keep_alive(false).max_headers(HEADERS).max_buf_size(HEAD_BYTES).half_close(true);
    let mut connection = builder.serve_connection(TokioIo::new(stream), answer);
    for (patience, excuse) in [(PATIENCE, Progress::CAME), (LONGEST, Progress::FOLLOWS)] {
        tokio::select! {
            _ended = &mut connection => return,
            () = sleep_until(begin + patience) => {}
        }
        if !progress.is(excuse) {
            return give_up(connection.into_parts().io.into_inner(), progress.is(Progress::CAME)).await;
        }
    }
    // Whoever follows is left when it does not accept what there is.
    drop(connection.await);
}

/// Tells a caller whose request has not come that it is not waited for; one whose answer is under way gets nothing.
async fn give_up(stream: UnixStream, came: bool) {
    if came {
        return;
    }
    let reason = format!("no request came within {} s", PATIENCE.as_secs());
    let told = Problem::new(ProblemKind::TooSlow, reason).raw();
    // It may be gone, or take nothing.
    drop(stream.try_write(&told));
}

impl Front {
    async fn answer(
        &self,
        request: HttpRequest<Incoming>,
        caller: Result<Caller, String>,
        progress: &Progress,
    ) -> Result<Response<Body>, Problem> {
        let by = caller.map_err(|reason| Problem::new(ProblemKind::Forbidden, reason))?;
        let (head, incoming) = request.into_parts();
        let bytes = whole(incoming).await?;
        progress.set(Progress::CAME);
        match read(&head.method, head.uri.path(), head.uri.query(), &bytes)? {
            Asked::Document => Ok(json(StatusCode::OK, &document())),
            Asked::Daemon(request) => self.ask(request, by).await.map(response),
            Asked::Log { task, lines, follow } => self.log(task, lines, follow, by, progress).await,
        }
    }

    async fn ask(&self, request: Request, by: Caller) -> Result<Answer, Problem> {
        let ending = || Problem::new(ProblemKind::Busy, "the daemon is ending");
        let answered = async {
            let (answer, rx) = oneshot::channel();
            self.calls.send(Call { request, by, answer }).await.map_err(|_| ending())?;
            rx.await.map_err(|_| ending())?.map_err(Problem::from)
        };
        let late = |_| Problem::new(ProblemKind::Busy, format!("no answer within {} s", ANSWER.as_secs()));
        timeout(ANSWER, answered).await.map_err(late)?
    }

    async fn log(
        &self,
        task: Option<TaskName>,
        lines: usize,
        follow: bool,
        by: Caller,
        progress: &Progress,
    ) -> Result<Response<Body>, Problem> {
        let place = match &task {
            None => LogSource::Daemon,
            Some(task) => match self.ask(Request::LogSource(task.clone()), by).await? {
                Answer::LogSource(place) => place,
                _ => return Err(Problem::new(ProblemKind::Failed, "the daemon does not say where the lines are")),
            },
        };
        let source = match place {
            LogSource::Files(paths) => Source::files(paths),
            LogSource::Daemon => Source::Recent { recent: self.recent.clone(), task, next: 0 },
        };
        let held = follow.then(|| self.followers.clone().try_acquire_owned()).transpose();
        let many = |_| Problem::new(ProblemKind::Busy, format!("{FOLLOWERS} others follow already"));
        let held = held.map_err(many)?;
        if follow {
            progress.set(Progress::FOLLOWS);
        }
        let failed = |error: io::Error| Problem::new(ProblemKind::Failed, format!("the log cannot be read: {error}"));
        let lines = body(source, lines, follow, held).map_err(failed)?;
        Ok(of(StatusCode::OK, "text/plain; charset=utf-8", lines))
    }
}

/// The body of a request, up to its bound.
async fn whole(incoming: Incoming) -> Result<Bytes, Problem> {
    let too_large = || {
        let reason = format!("the body is larger than {BODY_BYTES} bytes, the most that is taken");
        Err(Problem::new(ProblemKind::TooLarge, reason))
    };
    // One that says so before it comes is not waited for.
    if incoming.size_hint().lower() > BODY_BYTES as u64 {
        return too_large();
    }
    let read = timeout(PATIENCE, Limited::new(incoming, BODY_BYTES).collect()).await;
    match read {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => too_large(),
        Ok(Err(error)) => Err(Problem::new(ProblemKind::Malformed, format!("the body does not come: {error}"))),
        Err(_) => {
            let reason = format!("the body did not come within {} s", PATIENCE.as_secs());
            Err(Problem::new(ProblemKind::TooSlow, reason))
        }
    }
}
