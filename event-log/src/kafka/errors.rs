//! What the client's errors mean for the pipeline.

use crate::{AppendError, LogError};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// An error of something tried with `topic`.
pub(super) fn log_error(action: &'static str, topic: &str, error: &KafkaError) -> LogError {
    match error.rdkafka_error_code() {
        Some(code) if is_unknown_topic(code) => LogError::NoSuchTopic(topic.to_owned()),
        Some(code) if is_forbidden(code) => {
            LogError::Unusable(format!("not allowed to {action} of {topic}: {error}"))
        }
        _ => LogError::Unavailable { action, reason: error.to_string() },
    }
}

pub(super) fn is_unknown_topic(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{UnknownPartition, UnknownTopic, UnknownTopicOrPartition};
    matches!(code, UnknownTopicOrPartition | UnknownTopic | UnknownPartition)
}

/// No point in trying again without a change of settings.
pub(super) fn is_forbidden(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{
        ClusterAuthorizationFailed, GroupAuthorizationFailed, SaslAuthenticationFailed,
        TopicAuthorizationFailed,
    };
    matches!(
        code,
        ClusterAuthorizationFailed
            | GroupAuthorizationFailed
            | SaslAuthenticationFailed
            | TopicAuthorizationFailed
    )
}

/// Why a record was not taken, or not delivered.
pub(super) fn append_error(error: &KafkaError) -> AppendError {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::QueueFull) => AppendError::QueueFull,
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize) => {
            AppendError::TooLarge
        }
        Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::GaplessGuarantee) => {
            AppendError::Fatal(error.to_string())
        }
        _ => AppendError::NotAcknowledged(error.to_string()),
    }
}

/// A client could not be made.
pub(super) fn client_error(error: &KafkaError) -> LogError {
    match error {
        KafkaError::ClientConfig(_, said, key, value) => {
            LogError::Unusable(format!("the Kafka property {key} = {value:?} is wrong: {said}"))
        }
        other => LogError::Unusable(format!("the Kafka client cannot be made: {other}")),
    }
}
