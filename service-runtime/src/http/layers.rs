use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode, Uri};
use axum::response::Response;
use axum::routing::Route;
use futures::future::BoxFuture;
use tower::Service;
use tower::layer::layer_fn;

use super::observer::{Name, Observer, Series, UNMATCHED};
use super::{Connection, Problem};

/// Wraps a service's routes: a request beyond `request_timeout` is answered 503, or 408 while it waits for the rest of its
/// body, a panic 500, and all of these, like all other
/// answers, are counted in `http_requests_total{service,route,method,status}` and timed in
/// `http_request_duration_seconds`. The time is that to the answer's head: streams may go on for longer. Each answer names
/// its trace in `traceparent`: the caller's, or a new one.
///
/// Instrument each service's router under its own name, then merge, then call [`with_fallbacks`] once.
pub fn instrument(router: Router, service: &'static str, request_timeout: Duration) -> Router {
    let observer = Observer::new(service, request_timeout);
    router.layer(layer_fn(move |route| Observed { observer: observer.clone(), route }))
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

/// A route that is observed. One layer for all of it: each layer of its own is cloned, boxed and copied into for every request.
#[derive(Clone)]
struct Observed {
    observer: Observer,
    route: Route,
}

impl Service<Request> for Observed {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(())) // as every route is
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let name = Name::Matched(request.extensions().get::<MatchedPath>().cloned());
        let connection = Connection::of(&mut request);
        let begun = self.observer.begin(&request, name);
        // Nothing of the handler runs before this is polled.
        let handled = self.route.call(request);
        let observed =
            begun.observe(connection, async { handled.await.unwrap_or_else(|never| match never {}) });
        Box::pin(async { Ok(observed.await) })
    }
}

#[cfg(test)]
mod tests;
