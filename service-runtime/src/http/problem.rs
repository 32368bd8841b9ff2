use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// An error answer after RFC 9457. Clients branch on `code`, which never changes its meaning; people read `detail`.
#[derive(Clone, Debug)]
pub struct Problem(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    status: StatusCode,
    body: ProblemBody,
    headers: HeaderMap,
}

/// The JSON of a [`Problem`], also its schema in OpenAPI.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProblemBody {
    /// A URI that stands for the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// Stable, for programs.
    pub code: String,
    /// What is wrong with this very request.
    pub detail: String,
    /// Further members, by code.
    #[serde(flatten)]
    pub members: Map<String, Value>,
}

impl Problem {
    /// A problem with the status's usual title. `code` is in snake_case; `detail` says what the caller can do.
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        let body = ProblemBody {
            kind: format!("urn:shopsmart:problem:{code}"),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            code: code.to_owned(),
            detail: detail.into(),
            members: Map::new(),
        };
        Self(Box::new(Inner { status, body, headers: HeaderMap::new() }))
    }

    /// Replaces the title.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.0.body.title = title.into();
        self
    }

    /// Adds a member beside the standard ones, or replaces one of that name.
    #[must_use]
    pub fn member(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.body.members.insert(name.into(), value.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Adds `Retry-After`, in whole seconds, rounded up and at least 1.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.header(RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The stable code.
    pub fn code(&self) -> &str {
        &self.0.body.code
    }

    /// What is wrong with this very request.
    pub fn detail(&self) -> &str {
        &self.0.body.detail
    }

    /// The JSON body.
    pub fn body(&self) -> &ProblemBody {
        &self.0.body
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Inner { status, body, headers } = *self.0;
        let json = serde_json::to_vec(&body).expect("strings and JSON values always serialise");
        let kind = HeaderValue::from_static("application/problem+json");
        (status, headers, [(CONTENT_TYPE, kind)], json).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;

    #[tokio::test]
    async fn problems_follow_rfc_9457() {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "log_unavailable", "send it again")
            .member("event_ids", vec!["a", "b"])
            .retry_after(Duration::from_millis(1_500));
        let response = problem.into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        let body: Value =
            serde_json::from_slice(&to_bytes(response.into_body(), 4096).await.unwrap()).unwrap();
        let expected = serde_json::json!({
            "type": "urn:shopsmart:problem:log_unavailable",
            "title": "Service Unavailable",
            "status": 503,
            "code": "log_unavailable",
            "detail": "send it again",
            "event_ids": ["a", "b"],
        });
        assert_eq!(body, expected);
    }
}
