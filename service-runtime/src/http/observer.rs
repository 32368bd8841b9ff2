//! What is seen of each request, whichever way it comes to its handler.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use hashbrown::HashMap;
use metrics::{Counter, Histogram, counter, histogram};
use tokio::time::Instant;

use super::span::ServerSpan;
use super::trace::{TRACEPARENT, Trace};
use super::{Connection, Elapsed, Problem};
use crate::lifecycle::panic_message;
use crate::telemetry::{HTTP_REQUESTS, HTTP_SECONDS};

/// The route label of requests that match none: the path itself would let clients make any number of series.
pub(super) const UNMATCHED: &str = "unmatched";

/// Bounds, counts, times and traces a service's requests; see [`super::instrument`].
#[derive(Clone)]
pub(super) struct Observer {
    series: Series,
    request_timeout: Duration,
}

/// The route of a request.
pub(super) enum Name {
    /// As the router found it.
    Matched(Option<MatchedPath>),
    /// As it is known beforehand.
    Known(&'static str),
}

impl Name {
    fn as_str(&self) -> &str {
        match self {
            Self::Matched(matched) => matched.as_ref().map_or(UNMATCHED, MatchedPath::as_str),
            Self::Known(path) => path,
        }
    }
}

/// A request that has come.
pub(super) struct Begun {
    observer: Observer,
    at: Instant,
    name: Name,
    method: Method,
    trace: Trace,
    span: ServerSpan,
}

impl Observer {
    pub(super) fn new(service: &'static str, request_timeout: Duration) -> Self {
        Self { series: Series::new(service), request_timeout }
    }

    pub(super) fn begin(&self, request: &Request, name: Name) -> Begun {
        let (at, method, trace) = (Instant::now(), request.method().clone(), Trace::of(request.headers()));
        Begun { observer: self.clone(), at, name, method, trace, span: ServerSpan::begin(&trace) }
    }
}

impl Begun {
    /// The handler's answer, or the one in its stead.
    pub(super) async fn observe(
        self,
        connection: Connection,
        handled: impl Future<Output = Response>,
    ) -> Response {
        let Self { observer: Observer { series, request_timeout }, at, name, method, trace, span } = self;
        let handled = AssertUnwindSafe(handled).catch_unwind();
        let mut response = match trace.scope(connection.timeout_at(at + request_timeout, handled)).await {
            Ok(Ok(response)) => response,
            Ok(Err(panic)) => on_panic(&*panic, &trace),
            Err(Elapsed) => too_late(&connection),
        };
        response.headers_mut().insert(TRACEPARENT, trace.header());
        series.answered(name.as_str(), &method, response.status(), at.elapsed());
        span.end(series.service, method_label(&method), name.as_str(), response.status());
        response
    }
}

fn too_late(connection: &Connection) -> Response {
    if connection.is_body_awaited() {
        let detail = "the body took too long to arrive; send it again";
        return Problem::new(StatusCode::REQUEST_TIMEOUT, "slow_body", detail).into_response();
    }
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", "the answer took too long; try again")
        .retry_after(Duration::from_secs(1))
        .into_response()
}

fn on_panic(panic: &(dyn Any + Send), trace: &Trace) -> Response {
    let trace_id = trace.to_string();
    tracing::error!(panic = panic_message(panic), trace_id, "a request handler panicked");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal_error",
        "the service failed; it has been logged",
    )
    .into_response()
}

/// The metrics of one service. Handles are kept, so that counting a request allocates nothing; there are at most as
/// many as routes × methods × statuses.
#[derive(Clone)]
pub(super) struct Series {
    service: &'static str,
    known: Arc<RwLock<HashMap<String, ByAnswer>>>,
}

type ByAnswer = HashMap<(&'static str, StatusCode), (Counter, Histogram)>;

impl Series {
    pub(super) fn new(service: &'static str) -> Self {
        // Handles made before the recorder would count into nothing for ever.
        crate::telemetry::install_metrics();
        Self { service, known: Arc::default() }
    }

    pub(super) fn answered(&self, route: &str, method: &Method, status: StatusCode, took: Duration) {
        let answer = (method_label(method), status);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((total, seconds)) = known.get(route).and_then(|answers| answers.get(&answer)) {
            total.increment(1);
            seconds.record(took);
            return;
        }
        drop(known);
        let (total, seconds) = self.make(route, answer);
        total.increment(1);
        seconds.record(took);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(route.to_owned()).or_default().insert(answer, (total, seconds));
    }

    fn make(&self, route: &str, (method, status): (&'static str, StatusCode)) -> (Counter, Histogram) {
        let labels = [
            ("service", self.service.to_owned()),
            ("route", route.to_owned()),
            ("method", method.to_owned()),
            ("status", status.as_str().to_owned()),
        ];
        (counter!(HTTP_REQUESTS, &labels), histogram!(HTTP_SECONDS, &labels))
    }
}

/// Clients may send any word as the method; only the usual ones become a label.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}
