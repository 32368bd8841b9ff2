//! The HTTP API as `replay` and `demo` call it: which failures may pass, and how long to wait before trying again.

mod answers;
mod backoff;

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::answers::{Accepted, BatchAnswer, BatchResult, Verdict};
pub use self::backoff::Backoff;

/// A request that takes longer than this is as good as lost; longer than any server of ours takes to say 503.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// A server that accepts no connection within this time is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a call did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// May pass: no connection, no answer, or a status that asks to try again (429, 502, 503, 504).
    #[error("{reason}")]
    Unavailable {
        /// What happened.
        reason: String,
        /// How long the server asked to wait.
        retry_after: Option<Duration>,
    },
    /// The server understood and refused; trying again would not help.
    #[error("{status} {code}: {detail}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The stable code of the problem; empty where the answer had none.
        code: String,
        /// What the server said.
        detail: String,
    },
    /// An answer that this API does not give: probably another server.
    #[error("not an answer of ShopSmart: {0}")]
    Unexpected(String),
    /// The server's address is none.
    #[error("{base} is not usable as a URL: {reason}")]
    Address {
        /// As given.
        base: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A client of one server. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    key: Option<String>,
}

impl Client {
    /// A client of the server at `base` (`http://host:port`, perhaps with a path; `https` with the feature `tls`), which shows `key` on every call.
    ///
    /// # Errors
    /// When `base` is not such a URL.
    pub fn new(base: &str, key: Option<String>) -> Result<Self, CallError> {
        let invalid = |reason| CallError::Address { base: base.to_owned(), reason };
        let url = reqwest::Url::parse(base).map_err(|e| invalid(e.to_string()))?;
        match url.scheme() {
            "http" if url.has_host() => {}
            "https" if cfg!(feature = "tls") => {}
            "https" => return Err(invalid("https needs a build with --features tls".to_owned())),
            _ => return Err(invalid("expected http://host:port".to_owned())),
        }
        let http = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .build()
            .map_err(|e| invalid(e.to_string()))?;
        Ok(Self { http, base: url.as_str().trim_end_matches('/').to_owned(), key })
    }

    /// The server's URL, without a slash at its end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// `GET path` with the query's pairs.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn get<A: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<A, CallError> {
        self.call(self.request(Method::GET, path).query(query)).await
    }

    /// `POST path` with a JSON body.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn post<A: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<A, CallError> {
        self.call(self.request(Method::POST, path).json(body)).await
    }

    /// As [`Client::post`], marked as an import: old timestamps are welcome, per-user limits do not apply.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn import<A: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<A, CallError> {
        self.call(self.request(Method::POST, path).header("X-Import", "true").json(body)).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    async fn call<A: DeserializeOwned>(&self, request: RequestBuilder) -> Result<A, CallError> {
        let response = request.send().await.map_err(unavailable)?;
        let status = response.status();
        if !status.is_success() {
            return Err(refusal(status, response).await);
        }
        let body = response.bytes().await.map_err(unavailable)?;
        serde_json::from_slice(&body)
            .map_err(|e| CallError::Unexpected(format!("{e} in {}", start_of(&body))))
    }
}

/// No answer arrived, or only a part of it. Whether the server acted is unknown, which is what event ids are for.
fn unavailable(error: reqwest::Error) -> CallError {
    if error.is_builder() {
        return CallError::Unexpected(error.to_string());
    }
    // The innermost cause is what people know: "Connection refused", not "error sending request".
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let reason = match error.url() {
        Some(url) if error.is_connect() => {
            format!("{} cannot be reached: {cause}", url.origin().ascii_serialization())
        }
        _ => cause.to_string(),
    };
    CallError::Unavailable { reason, retry_after: None }
}

async fn refusal(status: StatusCode, response: Response) -> CallError {
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Problem {
        code: String,
        detail: String,
    }
    let server = response.url().origin().ascii_serialization();
    let retry_after = response.headers().get(RETRY_AFTER);
    let retry_after =
        retry_after.and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_secs);
    let body = response.bytes().await.unwrap_or_default();
    let Problem { code, detail } = serde_json::from_slice(&body).unwrap_or_default();
    let detail = if code.is_empty() && detail.is_empty() { start_of(&body) } else { detail };
    match status.as_u16() {
        429 | 502..=504 => {
            CallError::Unavailable { reason: format!("{server} answers {status}: {detail}"), retry_after }
        }
        status => CallError::Refused { status, code, detail },
    }
}

/// Enough of an unknown body to recognise it.
fn start_of(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_a_url_of_a_server() {
        assert_eq!(
            Client::new("http://127.0.0.1:8080/shop/", None).unwrap().base(),
            "http://127.0.0.1:8080/shop"
        );
        for wrong in ["127.0.0.1:8080", "localhost:8080", "ftp://host", "", "http://"] {
            let error = Client::new(wrong, None).unwrap_err().to_string();
            assert!(error.contains("is not usable as a URL"), "{wrong}: {error}");
        }
    }

    #[tokio::test]
    async fn who_cannot_answer_now_is_named() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let answer = || async {
            let problem = service_runtime::Problem::new(StatusCode::SERVICE_UNAVAILABLE, "starting", "wait");
            problem.retry_after(Duration::from_secs(3))
        };
        let app = axum::Router::new().fallback(answer);
        let calls = async {
            let client = Client::new(&base, None).unwrap();
            client.get::<serde_json::Value>("/admin/lag", &[]).await.unwrap_err()
        };
        let error = tokio::select! {
            error = calls => error,
            ended = axum::serve(listener, app) => unreachable!("{ended:?}"),
        };
        let reason = format!("{base} answers 503 Service Unavailable: wait");
        let retry_after = Some(Duration::from_secs(3));
        assert_eq!(error, CallError::Unavailable { reason, retry_after });
    }
}
