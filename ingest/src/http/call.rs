//! What a request's head says: who calls, from where, and whether it is an import.

use std::net::IpAddr;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use service_runtime::Problem;
use service_runtime::http::Connection;
use service_runtime::keys::{Authorized, Caller, Denied, RequiredScope, Scope};

use super::answers;
use super::app::App;
use crate::admission::{Code, Rejection};
use crate::limits::{Allowance, Exceeded};

const X_IMPORT: HeaderName = HeaderName::from_static("x-import");
pub(super) const X_RATELIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
pub(super) const X_RATELIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
pub(super) const X_RATELIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// A request by someone who has the scope `R`.
pub(super) struct Call<R> {
    pub(super) import: bool,
    /// By which it came.
    pub(super) connection: Connection,
    caller: Caller,
    scope: std::marker::PhantomData<R>,
}

impl<R: RequiredScope> FromRequestParts<App> for Call<R> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Ok(connection) = Connection::from_request_parts(parts, app).await;
        Self::of(app, &parts.headers, &parts.uri, connection)
    }
}

impl<R: RequiredScope> Call<R> {
    /// The call of a request with this head.
    pub(super) fn of(
        app: &App,
        headers: &HeaderMap,
        uri: &Uri,
        connection: Connection,
    ) -> Result<Self, Problem> {
        let caller = Authorized::<R>::of(&app.keys, headers, uri)?.caller;
        let import = import(headers).map_err(answers::refused)?;
        if import && !caller.is_admin() {
            return Err(Denied::Forbidden(Scope::Admin).into());
        }
        Ok(Self { import, caller, connection, scope: std::marker::PhantomData })
    }

    /// Takes `events` from what the caller may send; the headers tell what is left. Imports are not limited.
    pub(super) fn take(&self, app: &App, events: usize) -> Result<HeaderMap, Problem> {
        let Some(limit) = app.caller_limit.as_ref().filter(|_| !self.import) else {
            return Ok(HeaderMap::new());
        };
        let taken = match self.caller.name() {
            Some(name) => limit.take(name, events),
            None => limit.take(network(self.connection.peer().ip()), events),
        };
        taken.map(headers).map_err(|exceeded| rate_limited("rate_limited", exceeded))
    }
}

/// What one caller without a key has: an IPv4 address, or the 64 bits of an IPv6 address that name a network, since whoever has
/// one such address has all of its network.
fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(u32::from(address)),
        IpAddr::V6(address) => (u128::from(address) >> 64) as u64,
    }
}

/// The id in a request's path, decoded but not checked yet.
pub(super) struct PathId(pub(super) String);

impl FromRequestParts<App> for PathId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Path(id) = Path::from_request_parts(parts, app).await.map_err(|_| {
            Problem::new(StatusCode::BAD_REQUEST, "invalid_path", "the id in the address is not UTF-8")
        })?;
        Ok(Self(id))
    }
}

/// The caller, or one user, sent too much.
pub(super) fn rate_limited(code: &'static str, exceeded: Exceeded) -> Problem {
    let detail = format!("more than {} events per minute", exceeded.per_minute);
    let reset = exceeded.retry_after.as_secs() + 1;
    Problem::new(StatusCode::TOO_MANY_REQUESTS, code, detail)
        .header(X_RATELIMIT_LIMIT, HeaderValue::from(exceeded.per_minute))
        .header(X_RATELIMIT_REMAINING, HeaderValue::from(0))
        .header(X_RATELIMIT_RESET, HeaderValue::from(reset))
        .retry_after(exceeded.retry_after)
}

fn headers(allowance: Allowance) -> HeaderMap {
    HeaderMap::from_iter([
        (X_RATELIMIT_LIMIT, HeaderValue::from(allowance.per_minute)),
        (X_RATELIMIT_REMAINING, HeaderValue::from(allowance.remaining)),
    ])
}

fn import(headers: &HeaderMap) -> Result<bool, Rejection> {
    let Some(value) = headers.get(X_IMPORT) else { return Ok(false) };
    match value.to_str().unwrap_or_default().trim() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Rejection::new(Code::InvalidImportHeader, "`X-Import` is neither `true` nor `false`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_of_a_network_are_one_caller() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"), "the same one, seen by another socket");
    }
}
