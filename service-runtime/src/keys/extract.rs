//! Keys as they come with a request.

use std::marker::PhantomData;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};

use super::{Caller, Denied, Keys, Scope};
use crate::http::Problem;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The scope that a handler asks for: [`Write`], [`Read`] or [`Admin`].
pub trait RequiredScope {
    /// The scope.
    const SCOPE: Scope;
    /// Whether the key may also stand in the query as `api_key`: `navigator.sendBeacon` can set no headers. Only for
    /// keys that are public anyway, since addresses end up in logs.
    const IN_QUERY: bool = false;
}

/// Asks for [`Scope::Write`].
#[derive(Debug)]
pub enum Write {}
/// Asks for [`Scope::Read`].
#[derive(Debug)]
pub enum Read {}
/// Asks for [`Scope::Admin`].
#[derive(Debug)]
pub enum Admin {}

impl RequiredScope for Write {
    const SCOPE: Scope = Scope::Write;
    const IN_QUERY: bool = true;
}

impl RequiredScope for Read {
    const SCOPE: Scope = Scope::Read;
}

impl RequiredScope for Admin {
    const SCOPE: Scope = Scope::Admin;
}

/// Extracts the caller, or answers 401 or 403. The handler's state must give [`Keys`] by `FromRef`.
#[derive(Debug)]
pub struct Authorized<R> {
    /// Who calls.
    pub caller: Caller,
    scope: PhantomData<R>,
}

impl<S, R> FromRequestParts<S> for Authorized<R>
where
    S: Send + Sync,
    Keys: FromRef<S>,
    R: RequiredScope,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self::of(&Keys::from_ref(state), &parts.headers, &parts.uri)?)
    }
}

impl<R: RequiredScope> Authorized<R> {
    /// The caller of a request with this head.
    ///
    /// # Errors
    /// [`Denied`], with the reason.
    pub fn of(keys: &Keys, headers: &HeaderMap, uri: &Uri) -> Result<Self, Denied> {
        let mut public = false;
        let presented = || {
            in_headers(headers).or_else(|| {
                public = true;
                if R::IN_QUERY { in_query(uri) } else { None }
            })
        };
        let mut caller = keys.authorize_by(presented, R::SCOPE)?;
        if public {
            // A key that stood in an address gives no more than the address needs.
            caller.admin = false;
        }
        Ok(Self { caller, scope: PhantomData })
    }
}

fn in_headers(headers: &HeaderMap) -> Option<&str> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if let Some(key) = text(X_API_KEY) {
        return Some(key.trim());
    }
    let (scheme, key) = text(AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// Keys are of letters, digits and the like, so nothing is decoded here.
fn in_query(uri: &Uri) -> Option<&str> {
    uri.query()?.split('&').find_map(|pair| pair.strip_prefix("api_key="))
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let unauthorized = |detail: &str| {
            Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
                .header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
        };
        match denied {
            Denied::Missing => {
                unauthorized("send an API key as `Authorization: Bearer KEY` or `X-API-Key: KEY`")
            }
            Denied::Unknown => unauthorized("this API key is not known"),
            Denied::Forbidden(scope) => {
                let detail = format!("this API key does not have the scope `{}`", scope.name());
                Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)
            }
        }
    }
}
