//! The span of a request, for those that are recorded.

use axum::http::StatusCode;

use super::Trace;
use crate::telemetry::traces::{self, Attribute, Kind, Span, Started};

/// A request that is being answered; nothing where its trace is not recorded.
pub(super) struct ServerSpan(Option<(Trace, Started)>);

impl ServerSpan {
    pub(super) fn begin(trace: &Trace) -> Self {
        let is_recorded = traces::is_on() && trace.is_sampled();
        Self(is_recorded.then(|| (*trace, Started::now())))
    }

    /// The head of the answer is there.
    pub(super) fn end(self, service: &'static str, method: &'static str, route: &str, status: StatusCode) {
        let Some((trace, started)) = self.0 else { return };
        traces::record(Span {
            service,
            name: format!("{method} {route}"),
            kind: Kind::Server,
            trace,
            started,
            failed: status.is_server_error(),
            attributes: vec![
                ("http.request.method", Attribute::Text(method.to_owned())),
                ("http.route", Attribute::Text(route.to_owned())),
                ("http.response.status_code", Attribute::Number(i64::from(status.as_u16()))),
            ],
        });
    }
}
