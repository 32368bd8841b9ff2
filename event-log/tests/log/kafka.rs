//! The log on a real Kafka: the contract, and what only several members can show.

use crate::subject::{BOUNDED, Subject, append, at, next_records, numbered, numbers, until_end};
use event_log::kafka::{KafkaLog, KafkaSettings};
use event_log::{
    AppendError, EventLog, GroupMember, GroupOptions, LogError, NewRecord, ProducerMode, Rebalance,
    TopicPartition,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

crate::contract_suite!(on_kafka);

/// `None`, with a line that says so, where no Kafka is given. Where CI is set that is a failure.
async fn on_kafka() -> Option<Subject> {
    let Some(brokers) = crate::environment("SHOPSMART_TEST_KAFKA") else {
        assert!(
            crate::environment("CI").is_none(),
            "SHOPSMART_TEST_KAFKA (host:port) has to be set where CI is"
        );
        println!("SKIPPED: no Kafka is given in SHOPSMART_TEST_KAFKA (host:port)");
        return None;
    };
    Some(Subject::new(Arc::new(connect(&brokers, &[]))))
}

fn connect(brokers: &str, properties: &[(&str, &str)]) -> KafkaLog {
    let settings = KafkaSettings {
        brokers: brokers.to_owned(),
        client_id: "event-log-test".to_owned(),
        properties: properties.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        replication_factor: -1,
        notice_sampled: false,
    };
    KafkaLog::connect(settings).expect("the settings are right")
}

/// What a member owns after the next assignment; what it has to give up before that, it gives up.
async fn next_assignment(member: &mut Box<dyn GroupMember>) -> BTreeSet<TopicPartition> {
    loop {
        match member.next_rebalance().await.expect("the group answers") {
            Rebalance::Assigned(partitions) => return partitions.into_iter().collect(),
            Rebalance::Revoked(partitions) => member.release(&partitions).await.expect("released"),
            Rebalance::Lost(partitions) => panic!("lost {partitions:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_members_share_and_hand_over() {
    let Some(subject) = on_kafka().await else { return };
    let topic = subject.topic(4).await;
    let all: BTreeSet<_> = (0..4).map(|partition| at(&topic, partition)).collect();
    for partition in &all {
        subject.fill(partition, 0..10).await;
    }
    let mut first = subject.join(&topic).await;
    assert_eq!(next_assignment(&mut first).await, all);
    let mut stream = first.start(&at(&topic, 0), 0).await.expect("started");
    assert_eq!(next_records(&mut stream, 10).await.len(), 10);

    let mut second = subject.join(&topic).await;
    let (of_first, of_second) = tokio::join!(next_assignment(&mut first), next_assignment(&mut second));
    assert_eq!(until_end(&mut stream).await, [], "released partitions are not read any more");
    assert!(of_first.is_disjoint(&of_second) && !of_first.is_empty() && !of_second.is_empty());
    assert_eq!(of_first.union(&of_second).cloned().collect::<BTreeSet<_>>(), all);

    for (member, owned) in [(&mut first, &of_first), (&mut second, &of_second)] {
        for partition in owned {
            let mut stream = member.start(partition, 5).await.expect("started");
            subject.fill(partition, 10..12).await;
            assert_eq!(numbers(&next_records(&mut stream, 7).await), (5..12).collect::<Vec<_>>());
        }
    }
    let foreign = of_second.first().expect("the second owns something");
    assert!(first.start(foreign, 0).await.is_err(), "nobody reads what another member owns");

    second.leave(10_000).await;
    assert_eq!(next_assignment(&mut first).await, all);
    first.leave(10_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_name_is_taken_over_is_told() {
    let Some(subject) = on_kafka().await else { return };
    let topic = subject.topic(1).await;
    let options = GroupOptions {
        group_id: format!("{}group", subject.prefix),
        topics: vec![topic.to_string()],
        instance_id: Some("copy-1".to_owned()),
        session_timeout_ms: 10_000,
    };
    let mut first = subject.log.join(options.clone()).await.expect("joined");
    next_assignment(&mut first).await;
    let mut second = subject.log.join(options).await.expect("joined");
    assert_eq!(next_assignment(&mut second).await, BTreeSet::from([at(&topic, 0)]));
    let error = first.next_rebalance().await.expect_err("its name is taken");
    assert!(matches!(error, LogError::Unusable(_)), "{error:?}");
    second.leave(10_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn committed_offsets_are_for_looking_at_only() {
    let Some(subject) = on_kafka().await else { return };
    let topic = subject.topic(1).await;
    subject.fill(&at(&topic, 0), 0..10).await;
    for start in [0, 3] {
        let mut member = subject.sole_member(&topic, 1).await;
        let mut stream = member.start(&at(&topic, 0), start).await.expect("started");
        assert_eq!(next_records(&mut stream, 1).await[0].offset, start, "not where the group's offset says");
        member.commit(&at(&topic, 0), 7);
        member.leave(10_000).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_keeps_the_trace_that_it_came_with() {
    let Some(subject) = on_kafka().await else { return };
    let partition = at(&subject.topic(1).await, 0);
    let trace = *b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let producer = subject.producer(BOUNDED);
    for traceparent in [None, Some(trace)] {
        let record = NewRecord { traceparent, ..numbered(&partition, 0) };
        append(&*producer, record).await.await.expect("the record is acknowledged");
    }
    let of = async |offset| subject.log.traceparent(&partition, offset).await.expect("Kafka answers");
    assert_eq!(of(1).await.as_deref().map(str::as_bytes), Some(&trace[..]));
    assert_eq!((of(0).await, of(7).await), (None, None), "without one, and past the end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_a_key_keep_their_order_whether_few_or_many_are_on_their_way() {
    const KEYS: u64 = 20;
    let Some(subject) = on_kafka().await else { return };
    let partition = at(&subject.topic(1).await, 0);
    let producer = subject.producer(BOUNDED);
    let (mut appends, mut value) = (Vec::new(), 0);
    // Often enough for those that come alone to go the way that lingers, too, which is tried after some thousands.
    for wave in [5, 400, 5, 100, 30, 1_000, 5].repeat(10) {
        for _ in 0..wave {
            let key = format!("k{}", value % KEYS).into();
            let record = NewRecord { partition: None, key, ..numbered(&partition, value) };
            // Alone, or of a batch; batches come and go.
            appends.push(match value / 7 % 3 {
                0 => producer.append_among_others(record).expect("there is room"),
                _ => append(&*producer, record).await,
            });
            value += 1;
        }
        // Some are acknowledged meanwhile, and some are not.
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
    for append in appends {
        append.await.expect("the record is acknowledged");
    }
    let records = numbers(&subject.read_all(&partition).await);
    for key in 0..KEYS {
        let of_key: Vec<u64> = records.iter().copied().filter(|value| value % KEYS == key).collect();
        assert_eq!(of_key, (0..value).filter(|value| value % KEYS == key).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_node_is_warned_about() {
    let Some(subject) = on_kafka().await else { return };
    let topic = subject.topic(1).await.to_string();
    let warnings = subject.log.durability_warnings(std::slice::from_ref(&topic)).await;
    assert!(warnings.iter().any(|warning| warning.contains("copies")), "{warnings:?}");
    assert!(warnings.iter().any(|warning| warning.contains("min.insync.replicas")), "{warnings:?}");
    assert!(warnings.iter().all(|warning| warning.contains(&topic)));
}

/// Nothing listens there.
const NOWHERE: &str = "127.0.0.1:1";

#[tokio::test]
async fn an_append_that_no_broker_takes_is_given_up_in_time() {
    let log = connect(NOWHERE, &[]);
    let producer = log.producer(ProducerMode::Bounded { ack_timeout_ms: 200, linger_ms: 0 }).expect("made");
    let outcome = append(&*producer, numbered(&at(&"events".into(), 0), 0)).await.await;
    assert!(matches!(outcome, Err(AppendError::NotAcknowledged(_))), "{outcome:?}");
    assert_eq!(producer.drain(10_000).await, 0);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let log = connect(NOWHERE, &[("queue.buffering.max.messages", "10")]);
    let producer = log.producer(BOUNDED).expect("made");
    let taken: Vec<_> =
        (0..10).map(|value| producer.append(numbered(&at(&"events".into(), 0), value))).collect();
    assert!(taken.iter().all(Result::is_ok));
    let refused = producer.append(numbered(&at(&"events".into(), 0), 10));
    assert_eq!(refused.expect_err("no room"), AppendError::QueueFull);
    assert_eq!(producer.drain(0).await, 10);
}

#[tokio::test]
async fn a_wrong_property_is_named() {
    let properties = BTreeMap::from([("no.such.property".to_owned(), "1".to_owned())]);
    let settings = KafkaSettings {
        brokers: NOWHERE.to_owned(),
        client_id: "event-log-test".to_owned(),
        properties,
        replication_factor: -1,
        notice_sampled: false,
    };
    let error = KafkaLog::connect(settings).err().expect("there is no such property");
    assert!(error.to_string().contains("no.such.property"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_recreated_under_a_reader_ends_its_stream() {
    let Some(subject) = on_kafka().await else { return };
    let partition = at(&subject.topic(1).await, 0);
    subject.fill(&partition, 0..10).await;
    let mut stream = subject.log.follow(&partition, 0).await.expect("followed");
    assert_eq!(next_records(&mut stream, 10).await.len(), 10);
    operator().delete_topic(&partition.topic).await.expect("the topic is deleted");
    subject.log.ensure_topics(&[subject.spec("records", 1)]).await.expect("the topic is created again");
    subject.fill(&partition, 0..3).await;
    let error = stream.next().await.expect("the stream says why").expect_err("the topic is another one");
    assert!(matches!(error, LogError::OutOfRange { offset: 10, .. } | LogError::NoSuchTopic(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_retention_deleted_are_outside_the_log() {
    let Some(subject) = on_kafka().await else { return };
    let partition = at(&subject.topic(1).await, 0);
    subject.fill(&partition, 0..10).await;
    operator().truncate_before(&partition, 4).await.expect("the records are deleted");
    assert_eq!(subject.log.bounds(&partition).await, Ok(4..10));
    let error = subject.log.read(&partition, 3, 1).await.expect_err("it is gone");
    assert!(matches!(error, LogError::OutOfRange { offset: 3, start: 4, end: 10, .. }), "{error:?}");
    assert_eq!(numbers(&subject.read_all(&partition).await), (4..10).collect::<Vec<_>>());
    let beyond = operator().truncate_before(&partition, 11).await;
    assert!(beyond.is_err(), "nothing can be deleted that was never there");
}

/// A log to do with what no service does.
fn operator() -> KafkaLog {
    connect(&crate::environment("SHOPSMART_TEST_KAFKA").expect("the test has a Kafka"), &[])
}
