use super::*;
use axum::body::{Body, to_bytes};
use axum::routing::{get, post};
use serde_json::Value;
use tower::ServiceExt;

const AMPLE: Duration = Duration::from_secs(60);

fn app(service: &'static str, request_timeout: Duration) -> Router {
    let routes = Router::new()
        .route("/items/{id}", get(|| async { "item" }))
        .route("/items", post(|| async { StatusCode::ACCEPTED }))
        .route("/panic", get(|| async { panic!("no such shelf") as () }))
        .route("/never", get(std::future::pending::<()>));
    with_fallbacks(instrument(routes, service, request_timeout), service)
}

async fn ask(app: &Router, method: &str, path: &str) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 16).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

fn counted(line: &str) -> bool {
    crate::telemetry::install_metrics().render().lines().any(|l| l == line)
}

#[tokio::test]
async fn requests_are_counted_by_route_and_status() {
    let app = app("counted", AMPLE);
    ask(&app, "GET", "/items/1").await;
    ask(&app, "GET", "/items/2").await;
    ask(&app, "POST", "/items").await;
    let line = r#"http_requests_total{service="counted",route="/items/{id}",method="GET",status="200"} 2"#;
    assert!(counted(line));
    let line = r#"http_requests_total{service="counted",route="/items",method="POST",status="202"} 1"#;
    assert!(counted(line));
    let line = r#"http_request_duration_seconds_count{service="counted",route="/items/{id}",method="GET",status="200"} 2"#;
    assert!(counted(line));
}

#[tokio::test]
async fn unknown_paths_are_a_404_problem_under_one_label() {
    let app = app("unknown", AMPLE);
    for path in ["/a", "/b"] {
        let (status, body) = ask(&app, "GET", path).await;
        assert_eq!(status, 404);
        assert_eq!(body["code"], "not_found");
        assert_eq!(body["detail"], format!("there is nothing at {path}"));
    }
    let line = r#"http_requests_total{service="unknown",route="unmatched",method="GET",status="404"} 2"#;
    assert!(counted(line));
}

#[tokio::test]
async fn a_wrong_method_is_a_405_problem_that_names_the_right_one() {
    let app = app("method", AMPLE);
    let (status, body) = ask(&app, "DELETE", "/items").await;
    assert_eq!(status, 405);
    assert_eq!(body["code"], "method_not_allowed");
    let request = Request::builder().method("BREW").uri("/items").body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["allow"], "POST");
    let line = r#"http_requests_total{service="method",route="unmatched",method="OTHER",status="405"} 1"#;
    assert!(counted(line));
}

#[tokio::test]
async fn a_panic_is_a_counted_500_that_tells_nothing() {
    let app = app("panics", AMPLE);
    let (status, body) = ask(&app, "GET", "/panic").await;
    assert_eq!(status, 500);
    assert_eq!(body["code"], "internal_error");
    assert!(!body.to_string().contains("shelf"));
    assert!(counted(r#"http_requests_total{service="panics",route="/panic",method="GET",status="500"} 1"#));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_too_long_is_a_503_problem() {
    let (status, body) = ask(&app("late", Duration::from_secs(5)), "GET", "/never").await;
    assert_eq!(status, 503);
    assert_eq!(body["code"], "timeout");
}

#[tokio::test]
async fn routers_of_several_services_merge_under_their_own_names() {
    let one = instrument(Router::new().route("/one", get(|| async {})), "one", AMPLE);
    let two = instrument(Router::new().route("/two", get(|| async {})), "two", AMPLE);
    let app = with_fallbacks(one.merge(two), "all");
    assert_eq!(ask(&app, "GET", "/one").await.0, 200);
    assert_eq!(ask(&app, "GET", "/two").await.0, 200);
    assert_eq!(ask(&app, "GET", "/three").await.0, 404);
    assert!(counted(r#"http_requests_total{service="two",route="/two",method="GET",status="200"} 1"#));
    assert!(counted(r#"http_requests_total{service="all",route="unmatched",method="GET",status="404"} 1"#));
}

#[tokio::test]
async fn every_answer_names_its_trace_the_callers_where_there_is_one() {
    let app = app("traced", AMPLE);
    let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for path in ["/items/1", "/panic"] {
        let request = Request::get(path).header("traceparent", given).body(Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        let answered = response.headers()["traceparent"].to_str().unwrap();
        assert_eq!(answered[..36], given[..36], "the same trace");
        assert_ne!(answered, given, "and a span of its own");
    }
    let response = app.oneshot(Request::get("/items/1").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.headers()["traceparent"].len(), given.len());
}
