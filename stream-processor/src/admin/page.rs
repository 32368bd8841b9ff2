//! The operations page: built from `web/`, committed there, and carried inside the program.

use super::Admin;
use axum::extract::State;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION,
};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

/// (name, type, content)
type Asset = (&'static str, &'static str, &'static [u8]);

const ASSETS: [Asset; 3] = [
    ("", "text/html; charset=utf-8", include_bytes!("../../../web/dist/index.html")),
    ("ops.js", "text/javascript; charset=utf-8", include_bytes!("../../../web/dist/ops.js")),
    ("ops.css", "text/css; charset=utf-8", include_bytes!("../../../web/dist/ops.css")),
];

/// The page at `/ops/`, and what it reads before anything else.
pub(super) fn router() -> Router<Admin> {
    // Relative, so that the page may stand below any path of a proxy.
    let to_page = (StatusCode::PERMANENT_REDIRECT, [(LOCATION, "ops/")]);
    let mut router = Router::new()
        .route("/ops", get(move || async move { to_page }))
        .route("/ops/config.json", get(config));
    for asset in ASSETS {
        let tag = format!("\"{}\"", &blake3::hash(asset.2).to_hex()[..16]);
        let answer = move |State(admin): State<Admin>, headers: HeaderMap| async move {
            answer(asset, &tag, &headers, &admin.0.serving_url)
        };
        router = router.route(&format!("/ops/{}", asset.0), get(answer));
    }
    router
}

fn answer((name, kind, content): Asset, tag: &str, asked: &HeaderMap, serving_url: &str) -> Response {
    let known = asked.get(IF_NONE_MATCH).is_some_and(|given| given.as_bytes() == tag.as_bytes());
    let caching = [(ETAG, tag), (CACHE_CONTROL, "no-cache")];
    if known {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    let mut response = (caching, [(CONTENT_TYPE, kind)], content).into_response();
    if name.is_empty() {
        // Nothing but its own files runs in the page, and it asks nobody but the services.
        // To a browser, a path that does not end in a slash means that one address.
        let slash = if serving_url.is_empty() || serving_url.ends_with('/') { "" } else { "/" };
        let policy = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self' {serving_url}{slash}; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        let headers = [
            (CONTENT_SECURITY_POLICY, policy.parse()),
            (HeaderName::from_static("x-content-type-options"), "nosniff".parse()),
        ];
        for (name, value) in headers {
            if let Ok(value) = value {
                response.headers_mut().insert(name, value);
            }
        }
    }
    response
}

/// `GET /ops/config.json`: where serving is, and whether a key is wanted.
async fn config(State(admin): State<Admin>) -> Json<Value> {
    Json(json!({ "serving_url": admin.0.serving_url, "keys_required": !admin.0.keys.is_open() }))
}
