//! Spans for a collector of traces, by OTLP over HTTP. Only a build with the feature `otel` has the exporter: in others
//! nothing is ever on, and what asks compiles to nothing.

#[cfg(feature = "otel")]
mod exporter;

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::config::TracesConfig;
use crate::http::Trace;

/// A piece of work in a trace, when it has ended.
#[derive(Debug)]
pub struct Span {
    /// Which service did it.
    pub service: &'static str,
    /// What was done.
    pub name: String,
    /// For whom.
    pub kind: Kind,
    /// Its own place: the place above it is its parent.
    pub trace: Trace,
    /// When it began; it ends when it is recorded.
    pub started: Started,
    /// Whether it went wrong.
    pub failed: bool,
    /// What else is known, by the names of OpenTelemetry's conventions.
    pub attributes: Vec<(&'static str, Attribute)>,
}

/// For whom a piece of work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// For a caller who waits.
    Server,
    /// For whoever appended a record.
    Consumer,
}

/// A fact about a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// A number.
    Number(i64),
    /// A word.
    Text(String),
}

/// A moment in the past.
#[derive(Debug, Clone, Copy)]
pub struct Started(Instant);

impl Started {
    /// This moment.
    pub fn now() -> Self {
        Self(Instant::now())
    }

    /// How long ago that was.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

impl From<Instant> for Started {
    fn from(at: Instant) -> Self {
        Self(at)
    }
}

/// Sends what is still to be sent, within seconds, when it is dropped.
#[must_use = "spans are exported for as long as it is kept"]
#[derive(Debug)]
pub struct Export(());

impl Drop for Export {
    fn drop(&mut self) {
        #[cfg(feature = "otel")]
        exporter::close();
    }
}

/// Begins to export, where the configuration names a collector; `program` is whose the spans are. Once for a process: later
/// calls change nothing.
///
/// # Errors
/// When the exporter cannot be made.
pub fn init_traces(config: &TracesConfig, program: &'static str) -> Result<Export> {
    #[cfg(feature = "otel")]
    exporter::open(config, program)?;
    #[cfg(not(feature = "otel"))]
    let _ = (config, program);
    Ok(Export(()))
}

/// Whether spans are exported.
#[inline]
pub fn is_on() -> bool {
    #[cfg(feature = "otel")]
    let is_on = exporter::is_on();
    #[cfg(not(feature = "otel"))]
    let is_on = false;
    is_on
}

/// Whether a trace that begins here is to be recorded: a share of them is, and all services decide alike.
pub(crate) fn chooses(trace_id: u128) -> bool {
    #[cfg(feature = "otel")]
    let chosen = exporter::chooses(trace_id);
    #[cfg(not(feature = "otel"))]
    let (chosen, _) = (false, trace_id);
    chosen
}

/// Hands a span to the exporter, without waiting: when it cannot follow, spans are lost. The caller has asked whether the trace
/// is recorded.
pub fn record(span: Span) {
    #[cfg(feature = "otel")]
    exporter::record(span);
    #[cfg(not(feature = "otel"))]
    drop(span);
}
