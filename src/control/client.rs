//! Calls a daemon: what the command line does, and whatever else wants to know how a daemon is.
//!
//! It blocks; each call is a connection of its own.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use super::answers::ProblemReport;
pub use super::answers::{Problem, ProblemKind};
use super::door::{SOCKET, connect};
use super::routes::encoded;
use crate::daemon::{known_daemons, runs};
use crate::name::TaskName;

/// The largest answer that is taken: the status of a hundred thousand tasks.
const ANSWER_BYTES: usize = 64 << 20;

/// Where state is kept where nobody says: as the daemon's own default.
const USUAL_STATE_DIR: &str = "state";

/// How long an answer is waited for: longer than a daemon takes to say that it has none.
const PATIENCE: Duration = Duration::from_secs(100);

/// How long a daemon that has just begun may take until it can be called, and how often it is tried.
const BEGIN: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(10);

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no daemon there.
    #[error("no daemon runs in {}", state_dir.display())]
    Away {
        /// Where it was looked for.
        state_dir: PathBuf,
    },
    /// There is one, and it cannot be called: it has just begun, or cannot serve.
    #[error("the daemon of {} runs and cannot be called; its log says why if that stays so", state_dir.display())]
    Unreachable {
        /// Its state directory.
        state_dir: PathBuf,
    },
    /// There is none anywhere.
    #[error("no daemon runs: neither in ./state nor in one that is known in {}", transit_dir.display())]
    Nowhere {
        /// Where daemons are known.
        transit_dir: PathBuf,
    },
    /// There are several.
    #[error("several daemons run; choose one of them by -s: {}", list(state_dirs))]
    Several {
        /// Their state directories.
        state_dirs: Vec<PathBuf>,
    },
    /// It takes a call and does not answer.
    #[error("the daemon of {} does not answer within {} s; its log may say why", state_dir.display(), PATIENCE.as_secs())]
    Silent {
        /// Its state directory.
        state_dir: PathBuf,
    },
    /// The daemon says no.
    #[error("{}", _0.reason)]
    Problem(Problem),
    /// It cannot be talked to.
    #[error("{}: {source}", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What it says is not understood.
    #[error("the daemon's answer is not understood: {0}")]
    Answer(String),
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// A path below `/v1`, with names as they must be written there.
#[derive(Debug, Clone)]
pub struct Target(String);

impl Target {
    /// `/v1/WORDS`.
    #[must_use]
    pub fn new(words: &str) -> Self {
        Self(format!("/v1/{words}"))
    }

    /// With `/NAME`.
    #[must_use]
    pub fn name(self, name: &TaskName) -> Self {
        Self(format!("{}/{}", self.0, encoded(name.as_str())))
    }

    /// With `/WORDS`.
    #[must_use]
    pub fn word(self, words: &str) -> Self {
        Self(format!("{}/{words}", self.0))
    }

    /// With `KEY=VALUE` behind the `?`.
    #[must_use]
    pub fn with(self, key: &str, value: impl std::fmt::Display) -> Self {
        let mark = if self.0.contains('?') { '&' } else { '?' };
        Self(format!("{}{mark}{key}={}", self.0, encoded(&value.to_string())))
    }
}

/// A daemon that can be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    state_dir: PathBuf,
}

impl Client {
    /// The daemon of `state_dir`; where none is named, that of `./state`, or else the only one that is known in the
    /// transit directory.
    ///
    /// # Errors
    /// [`ClientError::Nowhere`], [`ClientError::Several`], or the transit directory cannot be read.
    pub fn find(state_dir: Option<&Path>, transit_dir: &Path) -> Result<Self, ClientError> {
        if let Some(state_dir) = state_dir {
            return Ok(Self { state_dir: state_dir.to_owned() });
        }
        let usual = Path::new(USUAL_STATE_DIR);
        if runs(usual) {
            return Ok(Self { state_dir: usual.to_owned() });
        }
        let known = known_daemons(transit_dir);
        let mut known = known.map_err(|source| ClientError::Io { path: transit_dir.to_owned(), source })?;
        match known.len() {
            0 => Err(ClientError::Nowhere { transit_dir: transit_dir.to_owned() }),
            1 => Ok(Self { state_dir: known.remove(0) }),
            _ => Err(ClientError::Several { state_dirs: known }),
        }
    }

    /// Where it keeps its state.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// Whether it runs.
    #[must_use]
    pub fn runs(&self) -> bool {
        runs(&self.state_dir)
    }

    /// Asks, and understands the answer.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn ask<T: DeserializeOwned>(&self, method: Method, target: Target, body: String) -> Result<T, ClientError> {
        let bytes = self.run(async {
            let response = self.request(method, target, body).await?;
            self.whole(response).await
        })?;
        serde_json::from_slice(&bytes).map_err(|error| ClientError::Answer(error.to_string()))
    }

    /// Asks, and hands on the answer as it comes, until it ends or `take` wants no more.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn stream(&self, target: Target, mut take: impl FnMut(&[u8]) -> bool) -> Result<(), ClientError> {
        self.run(async {
            let mut response = self.request(Method::GET, target, String::new()).await?;
            while let Some(frame) = response.body_mut().frame().await {
                let frame = frame.map_err(|error| self.broken(io::Error::other(error)))?;
                if frame.data_ref().is_some_and(|bytes| !take(bytes)) {
                    break;
                }
            }
            Ok(())
        })
    }

    fn run<T>(&self, work: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|source| self.broken(source))?.block_on(work)
    }

    async fn request(&self, method: Method, target: Target, body: String) -> Result<Response<Incoming>, ClientError> {
        let stream = self.connect().await?;
        let broken = |error: hyper::Error| self.broken(io::Error::other(error));
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // It ends with the answer, which tells what was wrong with it.
        tokio::spawn(async move { drop(connection.await) });
        let request = Request::builder().method(method).uri(target.0).header(HOST, "multimodule");
        let request = request.body(Full::new(Bytes::from(body)));
        let request = request.map_err(|error| self.broken(io::Error::other(error)))?;
        let silent = |_| ClientError::Silent { state_dir: self.state_dir.clone() };
        let response = timeout(PATIENCE, sender.send_request(request)).await.map_err(silent)?.map_err(broken)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let code = response.status();
        let bytes = self.whole(response).await?;
        match serde_json::from_slice::<ProblemReport>(&bytes) {
            Ok(report) => Err(ClientError::Problem(report.error)),
            Err(_) => Err(ClientError::Answer(code.to_string())),
        }
    }

    /// Connects. A daemon that has just begun is waited for.
    async fn connect(&self) -> Result<UnixStream, ClientError> {
        let begin = Instant::now();
        loop {
            match connect(&self.state_dir).await {
                Err(source) if is_nobody(&source) && self.runs() && begin.elapsed() < BEGIN => sleep(LOOK).await,
                connected => return connected.map_err(|source| self.not_there(source)),
            }
        }
    }

    async fn whole(&self, response: Response<Incoming>) -> Result<Bytes, ClientError> {
        let read = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
        read.map(|body| body.to_bytes()).map_err(|error| self.broken(io::Error::other(error)))
    }

    fn not_there(&self, source: io::Error) -> ClientError {
        let state_dir = self.state_dir.clone();
        match is_nobody(&source) {
            true if self.runs() => ClientError::Unreachable { state_dir },
            true => ClientError::Away { state_dir },
            false => self.broken(source),
        }
    }

    fn broken(&self, source: io::Error) -> ClientError {
        ClientError::Io { path: self.state_dir.join(SOCKET), source }
    }
}

/// Whether nobody listens there.
fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}
