//! From our spans to OpenTelemetry's, whose SDK collects and sends them on a thread of its own.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor};

use super::{Attribute, Kind, Span};
use crate::config::TracesConfig;

/// What a collector may take to answer, and what the end of the process waits for.
const LIMIT: Duration = Duration::from_secs(3);

static EXPORTER: OnceLock<Exporter> = OnceLock::new();

struct Exporter {
    processor: BatchSpanProcessor,
    sampled_share: f64,
}

pub(super) fn open(config: &TracesConfig, program: &'static str) -> Result<()> {
    if config.endpoint.is_empty() || EXPORTER.get().is_some() {
        return Ok(());
    }
    let sender = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", config.endpoint.trim_end_matches('/')))
        .with_timeout(LIMIT)
        .build()
        .context("cannot export traces: see traces.endpoint")?;
    let mut processor = BatchSpanProcessor::builder(sender).build();
    processor.set_resource(&Resource::builder().with_service_name(program).build());
    let exporter = Exporter { processor, sampled_share: config.sampled_share };
    // Whoever came first is the one that exports.
    if let Err(late) = EXPORTER.set(exporter) {
        let _ = late.processor.shutdown_with_timeout(LIMIT);
    }
    Ok(())
}

pub(super) fn close() {
    if let Some(exporter) = EXPORTER.get()
        && let Err(error) = exporter.processor.shutdown_with_timeout(LIMIT)
    {
        tracing::warn!(%error, "the last spans were not exported");
    }
}

pub(super) fn is_on() -> bool {
    EXPORTER.get().is_some()
}

pub(super) fn chooses(trace_id: u128) -> bool {
    EXPORTER.get().is_some_and(|exporter| is_chosen(trace_id, exporter.sampled_share))
}

/// By the last 56 bits of the id, which are random in everybody's traces.
fn is_chosen(trace_id: u128, share: f64) -> bool {
    const ALL: u64 = 1 << 56;
    let place = (trace_id as u64) % ALL;
    (place as f64) < share * ALL as f64
}

#[allow(
    clippy::disallowed_methods,
    reason = "what a collector shows is not decided by it, and no test moves it"
)]
pub(super) fn record(span: Span) {
    let Some(exporter) = EXPORTER.get() else { return };
    exporter.processor.on_end(span_data(span, SystemTime::now()));
}

fn span_data(span: Span, end_time: SystemTime) -> SpanData {
    let Span { service, name, kind, trace, started, failed, attributes } = span;
    let (trace_id, span_id, parent_id) = trace.ids();
    let flags = TraceFlags::default().with_sampled(trace.is_sampled());
    let trace_id = TraceId::from_bytes(trace_id.to_be_bytes());
    let attributes = attributes.into_iter().map(|(name, value)| match value {
        Attribute::Number(number) => KeyValue::new(name, number),
        Attribute::Text(text) => KeyValue::new(name, text),
    });
    SpanData {
        span_context: SpanContext::new(trace_id, id_of(span_id), flags, false, TraceState::default()),
        parent_span_id: id_of(parent_id),
        parent_span_is_remote: parent_id != 0,
        span_kind: match kind {
            Kind::Server => SpanKind::Server,
            Kind::Consumer => SpanKind::Consumer,
        },
        name: Cow::Owned(name),
        start_time: end_time.checked_sub(started.elapsed()).unwrap_or(end_time),
        end_time,
        attributes: attributes.collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: if failed { Status::error("") } else { Status::Unset },
        instrumentation_scope: InstrumentationScope::builder(service).build(),
    }
}

fn id_of(span_id: u64) -> SpanId {
    SpanId::from_bytes(span_id.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_traces_is_chosen_alike_wherever_it_is_asked() {
        let ids = || (0..10_000u64).map(|i| u128::from(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1 << 100);
        for (share, expected) in
            [(0.0, 0..=0), (0.01, 50..=200), (0.5, 4_500..=5_500), (1.0, 10_000..=10_000)]
        {
            let chosen = ids().filter(|id| is_chosen(*id, share)).count();
            assert!(expected.contains(&chosen), "{chosen} for {share}");
        }
        assert!(ids().filter(|id| is_chosen(*id, 0.1)).all(|id| is_chosen(id, 0.2)));
    }
}
