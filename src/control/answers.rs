//! What the daemon answers, as HTTP.

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::routes::RouteError;
use crate::daemon::{Answer, Done, Refusal, RefusalKind};

/// A body that may go on for as long as somebody follows.
pub(super) type Body = BoxBody<Bytes, std::convert::Infallible>;

/// Why a request is not fulfilled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// What kind of reason it is.
    pub kind: ProblemKind,
    /// The reason, as a lowercase fragment.
    pub reason: String,
}

/// What kind of reason it is; each has one HTTP code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// 400: the request cannot be understood.
    Malformed,
    /// 403: the caller is another user.
    Forbidden,
    /// 404: there is nothing of that name.
    NotFound,
    /// 405: the path has no such method.
    Method,
    /// 408: the request did not come in time.
    TooSlow,
    /// 409: what stands in the way must be changed first.
    Conflict,
    /// 413: the body is too large.
    TooLarge,
    /// 422: a config or a state is wrong; nothing was changed.
    Invalid,
    /// 500: it was begun, failed, and everything is as before.
    RolledBack,
    /// 500: a file or the kernel refuses.
    Failed,
    /// 503: it may work later.
    Busy,
}

/// As it stands in a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(super) struct ProblemReport {
    /// The problem.
    pub error: Problem,
}

impl ProblemKind {
    /// Every kind.
    pub(super) const ALL: [Self; 11] = [
        Self::Malformed,
        Self::Forbidden,
        Self::NotFound,
        Self::Method,
        Self::TooSlow,
        Self::Conflict,
        Self::TooLarge,
        Self::Invalid,
        Self::RolledBack,
        Self::Failed,
        Self::Busy,
    ];

    pub(super) fn code(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Self::RolledBack | Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl Problem {
    pub(super) fn new(kind: ProblemKind, reason: impl std::fmt::Display) -> Self {
        Self { kind, reason: reason.to_string() }
    }

    /// The response that says it.
    pub(super) fn response(self) -> Response<Body> {
        let code = self.kind.code();
        json(code, &ProblemReport { error: self })
    }

    /// The same for a connection that no server has any more.
    pub(super) fn raw(self) -> Vec<u8> {
        let code = self.kind.code();
        let body = serde_json::to_string(&ProblemReport { error: self }).unwrap_or_default();
        let head = format!("HTTP/1.1 {code}\r\ncontent-type: application/json\r\nconnection: close\r\n");
        format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }
}

impl From<RouteError> for Problem {
    fn from(error: RouteError) -> Self {
        let kind = match error {
            RouteError::NoPath(_) => ProblemKind::NotFound,
            RouteError::NoMethod { .. } => ProblemKind::Method,
            RouteError::Malformed(_) => ProblemKind::Malformed,
        };
        Self::new(kind, error)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal.kind {
            RefusalKind::NotFound => ProblemKind::NotFound,
            RefusalKind::Conflict => ProblemKind::Conflict,
            RefusalKind::Invalid => ProblemKind::Invalid,
            RefusalKind::RolledBack => ProblemKind::RolledBack,
            RefusalKind::Failed => ProblemKind::Failed,
            RefusalKind::Busy => ProblemKind::Busy,
        };
        Self { kind, reason: refusal.reason }
    }
}

/// The response to a request that the daemon has answered.
pub(super) fn response(answer: Answer) -> Response<Body> {
    match answer {
        Answer::Status(status) => json(StatusCode::OK, &status),
        Answer::TaskStatus(status) => json(StatusCode::OK, &status),
        Answer::Reload(report) => json(StatusCode::OK, &report),
        Answer::Failsafes(reports) => json(StatusCode::OK, &reports),
        Answer::Events(report) => json(StatusCode::OK, &report),
        Answer::State(report) => json(StatusCode::OK, &report),
        Answer::Done(done) => json(StatusCode::OK, &done),
        // Whoever asks for it streams it.
        Answer::LogSource(_) => json(StatusCode::OK, &Done { text: String::new() }),
    }
}

/// A body of JSON.
pub(super) fn json(code: StatusCode, value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(bytes) => whole(code, "application/json", bytes),
        Err(error) => whole(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", error.to_string().into_bytes()),
    }
}

fn whole(code: StatusCode, kind: &'static str, bytes: Vec<u8>) -> Response<Body> {
    of(code, kind, Full::new(Bytes::from(bytes)).boxed())
}

/// A response with this body.
pub(super) fn of(code: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
