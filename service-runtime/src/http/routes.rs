//! What a server answers with: a router, and the routes that are too busy for it.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::Method;
use axum::http::header::ORIGIN;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use futures::future::{BoxFuture, Either};
use tower::Service;

use super::Connection;
use super::observer::{Name, Observer};

/// A route that requests come to without the router. To look a path up, to note in the request what was found, and to hand it from
/// layer to layer is a fifth of what a small request takes in all; see `docs/adr/0014-single-events-pass-the-router-by.md`.
///
/// Bounded, counted, timed and traced as routes are by [`super::instrument`]. Requests of pages (with `Origin`) and those to
/// the same path with another method go by way of the router, which has to know the route, too.
#[derive(Clone)]
pub struct Direct {
    method: Method,
    path: &'static str,
    answer: Arc<dyn Fn(Request, Connection) -> BoxFuture<'static, Response> + Send + Sync>,
}

impl Direct {
    /// The requests of `method` to `path`, which `handler` answers.
    pub fn new<H, F>(
        service: &'static str,
        request_timeout: Duration,
        method: Method,
        path: &'static str,
        handler: H,
    ) -> Self
    where
        H: Fn(Request, Connection) -> F + Send + Sync + 'static,
        F: Future<Output: IntoResponse> + Send + 'static,
    {
        let observer = Observer::new(service, request_timeout);
        let answer = move |request: Request, connection: Connection| -> BoxFuture<'static, Response> {
            let begun = observer.begin(&request, Name::Known(path));
            // In a box of its own: each of the futures around it would have room for it twice, and be copied with all of that.
            let handled = Box::pin(handler(request, connection.clone()));
            Box::pin(begun.observe(connection, async { handled.await.into_response() }))
        };
        Self { method, path, answer: Arc::new(answer) }
    }

    fn takes(&self, request: &Request) -> bool {
        request.uri().path() == self.path
            && request.method() == self.method
            && !request.headers().contains_key(ORIGIN)
    }
}

/// All routes of a server.
#[derive(Clone)]
pub struct Routes {
    router: Router,
    direct: Option<Direct>,
}

impl Routes {
    /// With a route that is too busy for the router, instead of the one before.
    pub fn with(self, direct: Direct) -> Self {
        Self { direct: Some(direct), ..self }
    }

    /// The answer to a request that came by this connection.
    pub(super) fn answer(
        &self,
        mut request: Request,
        connection: &Connection,
    ) -> impl Future<Output = Result<Response, Infallible>> + Send + use<> {
        match &self.direct {
            Some(direct) if direct.takes(&request) => {
                Either::Left((direct.answer)(request, connection.clone()).map(Ok))
            }
            _ => {
                request.extensions_mut().insert(connection.clone());
                // It is always ready.
                Either::Right(self.router.clone().call(request))
            }
        }
    }
}

impl From<Router> for Routes {
    fn from(router: Router) -> Self {
        Self { router, direct: None }
    }
}

/// For who drives it without a server: each request comes by a connection of its own, unless it has one.
impl Service<Request> for Routes {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let connection = Connection::of(&mut request);
        Box::pin(self.answer(request, &connection))
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::StatusCode;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;
    use crate::http::{instrument, with_fallbacks};

    const AMPLE: Duration = Duration::from_secs(60);

    /// Answers which way a request to `/busy` came, but panics or takes for ever where the body says so.
    fn routes(service: &'static str) -> Routes {
        let router = Router::new().route("/busy", get(|| async { "router" }).post(|| async { "router" }));
        let router = with_fallbacks(instrument(router, service, AMPLE), service);
        let handler = |request: Request, _| async {
            let body = to_bytes(request.into_body(), 100).await.expect("it is in memory");
            match &body[..] {
                b"panic" => panic!("no such shelf"),
                b"sleep" => std::future::pending().await,
                _ => "direct",
            }
        };
        Routes::from(router).with(Direct::new(service, AMPLE, Method::POST, "/busy", handler))
    }

    async fn ask(routes: &Routes, request: Request) -> (Response, String) {
        let (head, body) = routes.clone().oneshot(request).await.unwrap().into_parts();
        let body = to_bytes(body, 1 << 16).await.unwrap();
        (Response::from_parts(head, Body::empty()), String::from_utf8(body.to_vec()).unwrap())
    }

    fn post(body: &'static str) -> Request {
        Request::post("/busy?api_key=k").body(Body::from(body)).unwrap()
    }

    #[tokio::test]
    async fn only_its_own_requests_pass_the_router_by() {
        let routes = routes("passed-by");
        assert_eq!(ask(&routes, post("")).await.1, "direct");
        let mut of_a_page = post("");
        of_a_page.headers_mut().insert(ORIGIN, "https://shop.example".parse().unwrap());
        assert_eq!(ask(&routes, of_a_page).await.1, "router");
        let get = |path| Request::get(path).body(Body::empty()).unwrap();
        assert_eq!(ask(&routes, get("/busy")).await.1, "router");
        assert_eq!(ask(&routes, get("/busy/")).await.0.status(), StatusCode::NOT_FOUND);
    }

    #[tokio::test(start_paused = true)]
    async fn its_requests_are_bounded_counted_and_traced_like_all_others() {
        let routes = routes("observed");
        for (body, status) in [("", 200), ("panic", 500), ("sleep", 503), ("", 200)] {
            let (answer, _) = ask(&routes, post(body)).await;
            assert_eq!(answer.status(), status, "{body}");
            assert_eq!(answer.headers()[crate::http::TRACEPARENT].len(), 55);
        }
        let series = r#"http_requests_total{service="observed",route="/busy",method="POST",status="#;
        let exposition = crate::telemetry::install_metrics().render();
        for counted in [r#""200"} 2"#, r#""500"} 1"#, r#""503"} 1"#] {
            assert!(exposition.lines().any(|line| line.strip_prefix(series) == Some(counted)), "{counted}");
        }
    }
}
