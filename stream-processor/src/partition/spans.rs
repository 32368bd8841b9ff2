//! Spans of records whose traces are recorded: from when a record was read until its effects are on their way.

use crate::context::Context;
use event_log::{SampledRecord, TopicPartition};
use service_runtime::http::Trace;
use service_runtime::telemetry::traces::{self, Attribute, Kind, Span};

/// Records them for the records before `end` of a partition of `events`.
pub(super) fn record(context: &Context, partition: u32, end: u64) {
    if !traces::is_on() {
        return;
    }
    let place = TopicPartition { topic: context.parts.topics.events.as_str().into(), partition };
    for SampledRecord { offset, traceparent, read_at } in context.parts.log.take_sampled(&place, end) {
        let Some(caller) = Trace::parse(&traceparent) else { continue };
        traces::record(Span {
            service: "stream-processor",
            name: format!("process {}", place.topic),
            kind: Kind::Consumer,
            trace: caller.part(),
            started: read_at.into(),
            failed: false,
            attributes: vec![
                ("messaging.system", Attribute::Text("kafka".to_owned())),
                ("messaging.operation.type", Attribute::Text("process".to_owned())),
                ("messaging.destination.name", Attribute::Text(place.topic.to_string())),
                ("messaging.destination.partition.id", Attribute::Text(partition.to_string())),
                ("messaging.kafka.offset", Attribute::Number(offset.cast_signed())),
            ],
        });
    }
}
