//! Creating topics, and looking at the settings that the promises rest on.

use super::errors::client_error;
use crate::{LogError, TopicPartition, TopicSpec};
use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(15);
const TIMESTAMP_TYPE: &str = "message.timestamp.type";
const LOG_APPEND_TIME: &str = "LogAppendTime";

pub(super) struct Admin {
    client: AdminClient<DefaultClientContext>,
    replication_factor: i32,
}

impl Admin {
    pub(super) fn new(config: &ClientConfig, replication_factor: i32) -> Result<Self, LogError> {
        Ok(Self { client: config.create().map_err(|e| client_error(&e))?, replication_factor })
    }

    /// Creates a topic unless it exists.
    pub(super) async fn create(&self, spec: &TopicSpec) -> Result<(), LogError> {
        let TopicSpec { name, partitions, compacted, retention_ms } = spec;
        let retention = retention_ms.map_or("-1".to_owned(), |ms| ms.to_string());
        let replication = TopicReplication::Fixed(self.replication_factor);
        let mut topic =
            NewTopic::new(name, *partitions as i32, replication).set(TIMESTAMP_TYPE, LOG_APPEND_TIME);
        topic = match compacted {
            true => topic.set("cleanup.policy", "compact"),
            false => topic.set("cleanup.policy", "delete").set("retention.ms", &retention),
        };
        let created =
            self.client.create_topics([&topic], &options()).await.map_err(unavailable("create topics"))?;
        match created.into_iter().next() {
            Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
            Some(Err((name, code))) => {
                Err(LogError::Unusable(format!("topic {name} cannot be created: {code}")))
            }
            None => Err(LogError::Unusable(format!("topic {name} was not created: Kafka said nothing"))),
        }
    }

    /// Deletes a topic.
    pub(super) async fn delete(&self, topic: &str) -> Result<(), LogError> {
        let deleted = self.client.delete_topics(&[topic], &options()).await;
        match deleted.map_err(unavailable("delete a topic"))?.into_iter().next() {
            Some(Ok(_)) => Ok(()),
            Some(Err((name, code))) => {
                Err(LogError::Unusable(format!("topic {name} cannot be deleted: {code}")))
            }
            None => Err(LogError::Unusable(format!("topic {topic} was not deleted: Kafka said nothing"))),
        }
    }

    /// Deletes the records of a partition before `start`.
    pub(super) async fn truncate_before(
        &self,
        partition: &TopicPartition,
        start: u64,
    ) -> Result<(), LogError> {
        let mut offsets = TopicPartitionList::new();
        let added = offsets.add_partition_offset(
            &partition.topic,
            partition.partition as i32,
            Offset::Offset(start as i64),
        );
        added.map_err(|e| client_error(&e))?;
        let action = "delete records";
        let deleted = self.client.delete_records(&offsets, &options()).await.map_err(unavailable(action))?;
        for element in deleted.elements() {
            element.error().map_err(|error| LogError::Unavailable { action, reason: error.to_string() })?;
        }
        Ok(())
    }

    /// Refuses a topic whose records do not carry the time at which the log took them.
    pub(super) async fn check_append_time(&self, topic: &str) -> Result<(), LogError> {
        let settings = self.settings(topic).await?;
        match settings.get(TIMESTAMP_TYPE).and_then(|entry| entry.value.as_deref()) {
            Some(LOG_APPEND_TIME) => Ok(()),
            found => Err(LogError::Unusable(format!(
                "topic {topic} has {TIMESTAMP_TYPE}={}, but the time has to be that of the log: set it with \
                 `kafka-configs.sh --alter --entity-type topics --entity-name {topic} \
                 --add-config {TIMESTAMP_TYPE}={LOG_APPEND_TIME}` before the first event",
                found.unwrap_or("unknown"),
            ))),
        }
    }

    /// What weakens the durability of a topic with so many copies.
    pub(super) async fn warnings(&self, topic: &str, copies: usize) -> Vec<String> {
        let mut warnings = Vec::new();
        if copies < 3 {
            warnings.push(format!(
                "topic {topic} has {copies} copies of each partition: fewer than 3 can be lost"
            ));
        }
        let settings = match self.settings(topic).await {
            Ok(settings) => settings,
            Err(error) => {
                warnings.push(format!("the settings of topic {topic} cannot be checked: {error}"));
                return warnings;
            }
        };
        let value = |name: &str| settings.get(name).and_then(|entry| entry.value.as_deref());
        let in_sync = value("min.insync.replicas").and_then(|value| value.parse::<u32>().ok());
        if in_sync.is_some_and(|copies| copies < 2) {
            warnings.push(format!(
                "topic {topic} has min.insync.replicas below 2: one lost disk can lose events"
            ));
        }
        if value("unclean.leader.election.enable") == Some("true") {
            warnings.push(format!(
                "topic {topic} allows unclean leader elections, which lose acknowledged events"
            ));
        }
        warnings
    }

    async fn settings(&self, topic: &str) -> Result<ConfigResource, LogError> {
        let described = self
            .client
            .describe_configs([&ResourceSpecifier::Topic(topic)], &options())
            .await
            .map_err(unavailable("look up a topic's settings"))?;
        let wanted = OwnedResourceSpecifier::Topic(topic.to_owned());
        match described.into_iter().next() {
            Some(Ok(settings)) if settings.specifier == wanted => Ok(settings),
            Some(Err(code)) => {
                Err(LogError::Unavailable { action: "look up a topic's settings", reason: code.to_string() })
            }
            _ => Err(LogError::NoSuchTopic(topic.to_owned())),
        }
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT))
}

fn unavailable(action: &'static str) -> impl FnOnce(KafkaError) -> LogError {
    move |error| LogError::Unavailable { action, reason: error.to_string() }
}
