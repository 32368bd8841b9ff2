//! The log: where events are kept before anything is computed from them.
//!
//! [`EventLog`] is the port. Two adapters follow it: `kafka` for shops that run one, and `embedded` for everything in one
//! process. One contract suite runs against both. This is the only crate that knows rdkafka.

pub mod embedded;
mod in_flight;
pub mod kafka;
mod metrics;
mod port;
pub mod scripted;

pub use metrics::describe_metrics;
pub use port::{
    Append, AppendError, EventLog, GroupMember, GroupOptions, LogError, NewRecord, Producer, ProducerMode,
    Rebalance, Record, RecordBatch, RecordStream, SampledRecord, TopicInfo, TopicPartition, TopicSpec,
    Traceparent,
};
