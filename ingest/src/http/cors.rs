//! Which pages may send events.

use std::time::Duration;

use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, Method};
use service_runtime::http::TRACEPARENT;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

use super::call::{X_RATELIMIT_LIMIT, X_RATELIMIT_REMAINING, X_RATELIMIT_RESET};

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// A browser may remember the answer to its preflight for this long.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);

/// `None` where no origins are configured: browsers then let no other page's scripts in.
pub(super) fn layer(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let layer = CorsLayer::new()
        .allow_methods([Method::POST])
        .allow_headers([AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, X_API_KEY, TRACEPARENT])
        .expose_headers([
            RETRY_AFTER,
            X_RATELIMIT_LIMIT,
            X_RATELIMIT_REMAINING,
            X_RATELIMIT_RESET,
            TRACEPARENT,
        ])
        .max_age(MAX_AGE);
    if origins.iter().any(|origin| origin == "*") {
        return Some(layer.allow_origin(Any));
    }
    let origins = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    Some(layer.allow_origin(AllowOrigin::list(origins)))
}
