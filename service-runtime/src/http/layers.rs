use std::any::Any;
use std::collections::HashMap;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::Route;
use futures::FutureExt;
use metrics::{Counter, Histogram, counter, histogram};
use tokio::time::Instant;
use tower::{Layer, Service};

use super::span::ServerSpan;
use super::trace::{TRACEPARENT, Trace};
use super::{Connection, Elapsed, Problem};
use crate::lifecycle::panic_message;
use crate::telemetry::{HTTP_REQUESTS, HTTP_SECONDS};

/// The route label of requests that match none: the path itself would let clients make any number of series.
const UNMATCHED: &str = "unmatched";

/// Wraps a service's routes: a request beyond `request_timeout` is answered 503, or 408 while it waits for the rest of its
/// body, a panic 500, and all of these, like all other
/// answers, are counted in `http_requests_total{service,route,method,status}` and timed in
/// `http_request_duration_seconds`. The time is that to the answer's head: streams may go on for longer. Each answer names
/// its trace in `traceparent`: the caller's, or a new one.
///
/// Instrument each service's router under its own name, then merge, then call [`with_fallbacks`] once.
pub fn instrument(router: Router, service: &'static str, request_timeout: Duration) -> Router {
    router.layer(Observer { series: Series::new(service), request_timeout })
}

/// Answers unknown paths with a 404 problem, and known paths with another method with a 405 problem; both are counted.
/// Call it after all routes are there.
pub fn with_fallbacks(router: Router, service: &'static str) -> Router {
    let (unknown, wrong_method) = (Series::new(service), Series::new(service));
    router
        .fallback(move |method: Method, uri: Uri| async move {
            let detail = format!("there is nothing at {}", uri.path());
            let problem = Problem::new(StatusCode::NOT_FOUND, "not_found", detail);
            unknown.answered(UNMATCHED, &method, problem.status(), Duration::ZERO);
            problem
        })
        .method_not_allowed_fallback(move |method: Method, uri: Uri| async move {
            let detail = format!("{} does not take {method}", uri.path());
            let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
            wrong_method.answered(UNMATCHED, &method, problem.status(), Duration::ZERO);
            problem
        })
}

/// One layer for all of it: each layer of its own is cloned, boxed and copied into for every request.
#[derive(Clone)]
struct Observer {
    series: Series,
    request_timeout: Duration,
}

/// A route that is observed.
#[derive(Clone)]
struct Observed {
    observer: Observer,
    route: Route,
}

impl Layer<Route> for Observer {
    type Service = Observed;

    fn layer(&self, route: Route) -> Observed {
        Observed { observer: self.clone(), route }
    }
}

impl Service<Request> for Observed {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(())) // as every route is
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let begun = Instant::now();
        let method = request.method().clone();
        let matched = request.extensions().get::<MatchedPath>().cloned();
        let trace = Trace::of(request.headers());
        let span = ServerSpan::begin(&trace);
        let connection = Connection::of(&mut request);
        // Nothing of the handler runs before this is polled.
        let handled = AssertUnwindSafe(self.route.call(request)).catch_unwind();
        let Observer { series, request_timeout } = self.observer.clone();
        Box::pin(async move {
            let deadline = begun + request_timeout;
            let mut response = match trace.scope(connection.timeout_at(deadline, handled)).await {
                Ok(Ok(Ok(response))) => response,
                Ok(Ok(Err(never))) => match never {},
                Ok(Err(panic)) => on_panic(&*panic, &trace),
                Err(Elapsed) => too_late(&connection),
            };
            response.headers_mut().insert(TRACEPARENT, trace.header());
            let route = matched.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
            series.answered(route, &method, response.status(), begun.elapsed());
            span.end(series.service, method_label(&method), route, response.status());
            Ok(response)
        })
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
struct Series {
    service: &'static str,
    known: Arc<RwLock<HashMap<String, ByAnswer>>>,
}

type ByAnswer = HashMap<(&'static str, StatusCode), (Counter, Histogram)>;

impl Series {
    fn new(service: &'static str) -> Self {
        // Handles made before the recorder would count into nothing for ever.
        crate::telemetry::install_metrics();
        Self { service, known: Arc::default() }
    }

    fn answered(&self, route: &str, method: &Method, status: StatusCode, took: Duration) {
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

#[cfg(test)]
mod tests;
