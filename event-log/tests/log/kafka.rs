//! The log on a real Kafka: the contract, and what only several members can show.

use crate::subject::Subject;
use event_log::kafka::{KafkaLog, KafkaSettings};
use std::collections::BTreeMap;
use std::sync::Arc;

crate::contract_suite!(on_kafka);

/// `None`, with a line that says so, where no Kafka is given. Where CI is set that is a failure.
async fn on_kafka() -> Option<Subject> {
    let Some(brokers) = environment("SHOPSMART_TEST_KAFKA") else {
        assert!(environment("CI").is_none(), "SHOPSMART_TEST_KAFKA (host:port) has to be set where CI is");
        println!("SKIPPED: no Kafka is given in SHOPSMART_TEST_KAFKA (host:port)");
        return None;
    };
    let settings = KafkaSettings {
        brokers,
        client_id: "event-log-test".to_owned(),
        properties: BTreeMap::new(),
        replication_factor: -1,
    };
    Some(Subject::new(Arc::new(KafkaLog::connect(settings).expect("the settings are right"))))
}

#[allow(clippy::disallowed_methods, reason = "tests are told by the environment where the real servers are")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
