//! Client configurations: what the promises need is fixed, the rest can be set.

use super::producer::Lingering;
use crate::{GroupOptions, LogError, ProducerMode};
use rdkafka::ClientConfig;
use std::collections::BTreeMap;

/// How to reach a Kafka cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaSettings {
    /// `host:port` of some brokers, separated by commas.
    pub brokers: String,
    /// What this process is called in the brokers' logs and quotas.
    pub client_id: String,
    /// Further librdkafka properties (TLS, SASL, buffer sizes, …). Those that the promises need are refused.
    pub properties: BTreeMap<String, String>,
    /// Copies of each partition of topics that are created here; -1 = as the broker is configured.
    pub replication_factor: i32,
    /// Whether members of groups look at the `traceparent` of what they read, for [`crate::EventLog::take_sampled`].
    pub notice_sampled: bool,
}

/// Properties that would break a promise, with their aliases.
const FIXED: [&str; 20] = [
    "acks",
    "auto.commit.enable",
    "auto.offset.reset",
    "bootstrap.servers",
    "client.id",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "message.timeout.ms",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "partitioner",
    "request.required.acks",
    "session.timeout.ms",
];

/// Records that wait for the brokers at most, per producer.
const PRODUCER_QUEUE_RECORDS: &str = "100000";
/// The same in KiB.
const PRODUCER_QUEUE_KBYTES: &str = "65536";
/// How requests of many records are compressed.
const MANY_RECORDS: &str = "lz4";
/// How those of records that go as they come are, mostly a few: there is little to gain, and the brokers unpack all of them.
const FEW_RECORDS: &str = "none";
/// Another name of `compression.type`: where an operator sets it, both would be set, and which one counts is left to chance.
const COMPRESSION: &str = "compression.codec";
/// For how long records that come fast wait for more: what is measured to be best with 256 callers.
const LINGER_OF_MANY_MS: u64 = 1;
/// For how long a few records of batches wait for those of other batches.
const LINGER_OF_BATCHES_MS: u64 = 5;
/// Between two requests for records of a broker that has some all the time.
const FETCH_PAUSE_MS: &str = "10";
/// For how long updates wait for more. Nobody waits for one of them, and they are needed within some hundred ms.
const LINGER_OF_UPDATES_MS: &str = "10";

impl KafkaSettings {
    pub(super) fn check(&self) -> Result<(), LogError> {
        match self.properties.keys().find(|key| FIXED.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => Err(LogError::Unusable(format!(
                "the Kafka property {key} cannot be set: it is chosen by ShopSmart"
            ))),
        }
    }

    pub(super) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        self.set_client(&mut config);
        config
    }

    /// What all clients have in common, over what is set already. Not by copying one configuration into another: those
    /// give passwords away only masked.
    fn set_client(&self, config: &mut ClientConfig) {
        config.set("socket.nagle.disable", "true");
        config.set("socket.keepalive.enable", "true");
        config.set("reconnect.backoff.max.ms", "2000");
        for (key, value) in &self.properties {
            config.set(key, value);
        }
        config.set("bootstrap.servers", &self.brokers);
        config.set("client.id", &self.client_id);
    }

    /// Of the client that records go through one by one, as far as the mode lets them.
    pub(super) fn producer(&self, mode: ProducerMode) -> ClientConfig {
        let mut config = ClientConfig::new();
        let is_prompt = matches!(mode, ProducerMode::Bounded { linger_ms: 0, .. });
        if !self.properties.contains_key(COMPRESSION) {
            config.set("compression.type", if is_prompt { FEW_RECORDS } else { MANY_RECORDS });
        }
        config.set("queue.buffering.max.messages", PRODUCER_QUEUE_RECORDS);
        config.set("queue.buffering.max.kbytes", PRODUCER_QUEUE_KBYTES);
        self.set_client(&mut config);
        config.set("acks", "all");
        config.set("enable.idempotence", "true");
        config.set("partitioner", "murmur2_random");
        match mode {
            ProducerMode::Bounded { ack_timeout_ms, linger_ms } => {
                config.set("message.timeout.ms", ack_timeout_ms.max(1).to_string());
                config.set("linger.ms", linger_ms.to_string());
            }
            ProducerMode::Gapless => {
                config.set("enable.gapless.guarantee", "true");
                config.set("message.timeout.ms", "0");
                config.set("linger.ms", LINGER_OF_UPDATES_MS);
            }
        }
        config
    }

    /// Of the clients that many records at once, and those of batches, go through. There are none where an operator has chosen how
    /// long records linger, and none without gaps: what one client has to give up would not stop the others.
    pub(super) fn lingering_producers(&self, mode: ProducerMode) -> Option<Lingering<ClientConfig>> {
        let ProducerMode::Bounded { linger_ms: 0, ack_timeout_ms } = mode else { return None };
        // No longer than until a record is given up.
        let most = ack_timeout_ms.saturating_sub(1);
        let producer = |linger_ms: u64| {
            self.producer(ProducerMode::Bounded { linger_ms: linger_ms.min(most), ack_timeout_ms })
        };
        Some(Lingering { briefly: producer(LINGER_OF_MANY_MS), longer: producer(LINGER_OF_BATCHES_MS) })
    }

    /// How many records, and bytes of records, of a producer may be without an outcome: what the client takes.
    pub(super) fn producer_capacity(&self) -> (usize, usize) {
        let config = self.producer(ProducerMode::Gapless);
        let number = |key: &str| config.get(key).and_then(|value| value.parse().ok());
        // One that is no number the client names as wrong.
        let records = number("queue.buffering.max.messages").unwrap_or(usize::MAX);
        let kbytes: usize = number("queue.buffering.max.kbytes").unwrap_or(usize::MAX);
        (if records == 0 { usize::MAX } else { records }, kbytes.saturating_mul(1024))
    }

    /// A consumer that reads what it is told to, outside of any group.
    pub(super) fn reader(&self) -> ClientConfig {
        let mut config = self.consumer();
        // Without a group id the client would not deliver records; it is never joined.
        config.set("group.id", format!("{}-reader", self.client_id));
        config
    }

    /// A consumer that only holds a place in a group: it reads nothing.
    pub(super) fn member(&self, options: &GroupOptions) -> ClientConfig {
        let mut config = self.consumer();
        config.set("group.id", &options.group_id);
        config.set("session.timeout.ms", options.session_timeout_ms.to_string());
        config.set("heartbeat.interval.ms", (options.session_timeout_ms / 4).clamp(100, 3000).to_string());
        config.set("partition.assignment.strategy", "range");
        // How long the group waits for a member to finish its work when partitions move.
        config.set("max.poll.interval.ms", options.session_timeout_ms.max(60_000).to_string());
        if let Some(instance) = &options.instance_id {
            config.set("group.instance.id", instance);
        }
        config
    }

    fn consumer(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        // An idle broker answers at least this often. Data does not wait for it, unless the client left its partition out: it does
        // not look at all of them in one moment.
        config.set("fetch.wait.max.ms", "20");
        config.set("fetch.min.bytes", "1");
        config.set("fetch.message.max.bytes", "524288");
        // The next request waits while what the last one brought has not been taken, and then for as long as the backoff says: the
        // first record after a silence is brought at once, and under load a request brings all that came in the meantime.
        config.set("queued.min.messages", "1");
        config.set("queued.max.messages.kbytes", "16384");
        config.set("fetch.queue.backoff.ms", FETCH_PAUSE_MS);
        config.set("fetch.error.backoff.ms", "100");
        self.set_client(&mut config);
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        config.set("auto.offset.reset", "error");
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(key: &str) -> KafkaSettings {
        KafkaSettings {
            brokers: "127.0.0.1:9092".to_owned(),
            client_id: "test".to_owned(),
            properties: BTreeMap::from([(key.to_owned(), "1".to_owned())]),
            replication_factor: -1,
            notice_sampled: false,
        }
    }

    #[test]
    fn a_property_that_breaks_a_promise_is_refused_by_name() {
        let error = settings("acks").check().expect_err("acks is fixed");
        assert!(error.to_string().contains("acks"));
        assert_eq!(settings("socket.timeout.ms").check(), Ok(()));
    }

    #[test]
    fn a_password_reaches_every_client_as_it_is() {
        let settings = settings("sasl.password");
        let options = GroupOptions {
            group_id: "group".to_owned(),
            topics: Vec::new(),
            instance_id: None,
            session_timeout_ms: 6_000,
        };
        let producer = settings.producer(ProducerMode::Gapless);
        for config in [settings.client(), settings.reader(), settings.member(&options), producer] {
            assert_eq!(config.get("sasl.password"), Some("1"));
        }
    }

    #[test]
    fn many_records_linger_unless_order_or_the_operator_forbids() {
        let linger = |mode| {
            let configs = settings("fetch.wait.max.ms").lingering_producers(mode)?;
            let linger = |config: ClientConfig| config.get("linger.ms").map(str::to_owned);
            Some([linger(configs.briefly)?, linger(configs.longer)?])
        };
        let bounded = |linger_ms| ProducerMode::Bounded { ack_timeout_ms: 5_000, linger_ms };
        let hurried = ProducerMode::Bounded { ack_timeout_ms: 3, linger_ms: 0 };
        assert_eq!(linger(hurried), Some(["1".to_owned(), "2".to_owned()]));
        assert_eq!(linger(bounded(0)), Some(["1".to_owned(), "5".to_owned()]));
        assert_eq!((linger(bounded(5)), linger(ProducerMode::Gapless)), (None, None));
    }

    #[test]
    fn requests_of_few_records_are_not_compressed_unless_the_operator_says_so() {
        let compression = |property| {
            let settings = settings(property);
            let bounded = ProducerMode::Bounded { ack_timeout_ms: 5_000, linger_ms: 0 };
            let Lingering { briefly, longer } = settings.lingering_producers(bounded).expect("they linger");
            [settings.producer(bounded), briefly, longer, settings.producer(ProducerMode::Gapless)]
                .map(|config| config.get("compression.type").map(str::to_owned))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(compression("fetch.wait.max.ms"), ["none", "lz4", "lz4", "lz4"].map(some));
        assert_eq!(compression("compression.type"), ["1"; 4].map(some));
        assert_eq!(compression("compression.codec"), [const { None }; 4]);
    }

    #[test]
    fn a_producer_takes_no_more_than_its_client() {
        assert_eq!(settings("fetch.wait.max.ms").producer_capacity(), (100_000, 64 << 20));
        assert_eq!(settings("queue.buffering.max.messages").producer_capacity(), (1, 64 << 20));
        assert_eq!(settings("queue.buffering.max.kbytes").producer_capacity(), (100_000, 1024));
    }

    #[test]
    fn own_properties_win_over_defaults_in_every_client() {
        let settings = settings("fetch.wait.max.ms");
        assert_eq!(settings.reader().get("fetch.wait.max.ms"), Some("1"));
        let mode = ProducerMode::Gapless;
        assert_eq!(settings.producer(mode).get("message.timeout.ms"), Some("0"));
    }
}
