//! What every log promises: one function per promise, run against every adapter.

use crate::subject::{
    BOUNDED, Subject, append, assert_ascending, at, next_records, numbered, numbers, until_end,
};
use event_log::{AppendError, GroupOptions, LogError, NewRecord, ProducerMode, Record};
use schemas::partition::partition_of;

pub async fn appended_records_come_back_in_order_with_ascending_offsets(subject: Subject) {
    let partition = at(&subject.topic(2).await, 1);
    let positions = subject.fill(&partition, 0..2000).await;
    let records = subject.read_all(&partition).await;
    assert_eq!(numbers(&records), (0..2000).collect::<Vec<_>>());
    assert_ascending(&records);
    assert_eq!(
        records.iter().map(|record| (1, record.offset)).collect::<Vec<_>>(),
        positions.iter().map(|position| (position.partition, position.offset)).collect::<Vec<_>>(),
    );
}

pub async fn a_gapless_producer_keeps_the_order_of_calls(subject: Subject) {
    let partition = at(&subject.topic(1).await, 0);
    let producer = subject.producer(ProducerMode::Gapless);
    for value in 0..5000 {
        append(&*producer, numbered(&partition, value)).await;
    }
    assert_eq!(producer.drain(30_000).await, 0);
    assert_eq!(numbers(&subject.read_all(&partition).await), (0..5000).collect::<Vec<_>>());
}

pub async fn drain_waits_until_everything_is_acknowledged(subject: Subject) {
    let partition = at(&subject.topic(1).await, 0);
    let producer = subject.producer(BOUNDED);
    let mut appends = Vec::new();
    for value in 0..100 {
        appends.push(append(&*producer, numbered(&partition, value)).await);
    }
    assert_eq!(producer.drain(30_000).await, 0);
    assert_eq!(subject.log.bounds(&partition).await, Ok(0..100));
    for append in appends {
        append.await.expect("the record is acknowledged");
    }
}

pub async fn an_acknowledged_record_can_be_read_at_its_position(subject: Subject) {
    let topic = subject.topic(3).await;
    let producer = subject.producer(BOUNDED);
    for value in 0..20 {
        let record = numbered(&at(&topic, value as u32 % 3), value);
        let position = append(&*producer, record).await.await.expect("the record is acknowledged");
        let read = subject.log.read(&at(&topic, position.partition), position.offset, 1).await;
        assert_eq!(numbers(&read.expect("the log can be read")), [value]);
    }
}

pub async fn the_same_key_lands_in_the_same_partition_in_every_adapter(subject: Subject) {
    let topic = subject.topic(5).await;
    let producer = subject.producer(BOUNDED);
    for id in 0..50 {
        let key = format!("user-{id}");
        let record = NewRecord {
            partition: None,
            key: key.clone().into(),
            topic: topic.clone(),
            ..numbered(&at(&topic, 0), 0)
        };
        let position = append(&*producer, record).await.await.expect("the record is acknowledged");
        assert_eq!(position.partition, partition_of(key.as_bytes(), 5), "{key}");
    }
}

pub async fn a_tombstone_comes_back_without_a_value(subject: Subject) {
    let mut spec = subject.spec("products", 1);
    spec.compacted = true;
    subject.log.ensure_topics(&[spec.clone()]).await.expect("the topic is created");
    let partition = at(&spec.name.into(), 0);
    let producer = subject.producer(BOUNDED);
    let record = NewRecord {
        partition: None,
        key: "p1".into(),
        value: bytes::Bytes::new(),
        ..numbered(&partition, 0)
    };
    append(&*producer, record).await.await.expect("the record is acknowledged");
    let records = subject.read_all(&partition).await;
    assert_eq!(records.len(), 1);
    assert_eq!((&records[0].key[..], &records[0].value[..]), (&b"p1"[..], &b""[..]));
}

pub async fn a_record_that_is_too_large_is_refused_at_once(subject: Subject) {
    let partition = at(&subject.topic(1).await, 0);
    let record = NewRecord { value: vec![0; 2 << 20].into(), ..numbered(&partition, 0) };
    assert_eq!(subject.producer(BOUNDED).append(record).expect_err("too large"), AppendError::TooLarge);
    assert_eq!(subject.log.bounds(&partition).await, Ok(0..0));
}

pub async fn reading_stops_at_the_asked_count_and_at_the_end(subject: Subject) {
    let partition = at(&subject.topic(1).await, 0);
    subject.fill(&partition, 0..10).await;
    let read = async |offset, max| {
        let records: Vec<Record> =
            subject.log.read(&partition, offset, max).await.expect("the log can be read");
        numbers(&records)
    };
    assert_eq!(read(3, 4).await, [3, 4, 5, 6]);
    assert_eq!(read(8, 100).await, [8, 9]);
    assert_eq!(read(10, 100).await, [0; 0]);
}

pub async fn reading_beyond_the_end_is_refused(subject: Subject) {
    let partition = at(&subject.topic(1).await, 0);
    subject.fill(&partition, 0..3).await;
    let expected = LogError::OutOfRange {
        topic: partition.topic.to_string(),
        partition: 0,
        offset: 4,
        start: 0,
        end: 3,
    };
    assert_eq!(subject.log.read(&partition, 4, 1).await, Err(expected));
}

pub async fn follow_sees_what_is_appended_later(subject: Subject) {
    let partition = at(&subject.topic(1).await, 0);
    subject.fill(&partition, 0..5).await;
    let mut stream = subject.log.follow(&partition, 2).await.expect("the partition is followed");
    assert_eq!(numbers(&next_records(&mut stream, 3).await), [2, 3, 4]);
    for value in 5..8 {
        subject.fill(&partition, value..value + 1).await;
        assert_eq!(numbers(&next_records(&mut stream, 1).await), [value]);
    }
}

pub async fn following_from_beyond_the_end_ends_with_out_of_range(subject: Subject) {
    let partition = at(&subject.topic(1).await, 0);
    subject.fill(&partition, 0..3).await;
    let mut stream = subject.log.follow(&partition, 9).await.expect("the partition is followed");
    let error = stream.next().await.expect("the stream says why").expect_err("the offset is outside");
    assert!(matches!(error, LogError::OutOfRange { offset: 9, start: 0, end: 3, .. }), "{error:?}");
    assert!(stream.next().await.is_none());
}

pub async fn existing_topics_are_left_as_they_are(subject: Subject) {
    let partition = at(&subject.topic(2).await, 1);
    subject.fill(&partition, 0..3).await;
    assert_eq!(subject.topic(2).await, partition.topic);
    assert_eq!(subject.log.describe(&partition.topic).await.map(|info| info.partitions), Ok(2));
    assert_eq!(subject.log.bounds(&partition).await, Ok(0..3));
}

pub async fn another_partition_count_is_refused_and_both_are_named(subject: Subject) {
    let topic = subject.topic(2).await;
    let error =
        subject.log.ensure_topics(&[subject.spec("records", 3)]).await.expect_err("the counts differ");
    let said = error.to_string();
    assert!([&*topic, "2", "3"].iter().all(|word| said.contains(word)), "{said}");
}

pub async fn an_unknown_topic_is_named(subject: Subject) {
    let partition = at(&format!("{}nowhere", subject.prefix).into(), 0);
    let expected = LogError::NoSuchTopic(partition.topic.to_string());
    assert_eq!(subject.log.describe(&partition.topic).await, Err(expected.clone()));
    assert_eq!(subject.log.bounds(&partition).await, Err(expected.clone()));
    assert_eq!(subject.log.read(&partition, 0, 1).await, Err(expected.clone()));
    assert_eq!(subject.log.follow(&partition, 0).await.expect_err("unknown"), expected);
    let options = GroupOptions {
        group_id: format!("{}group", subject.prefix),
        topics: vec![partition.topic.to_string()],
        instance_id: None,
        session_timeout_ms: 10_000,
    };
    assert_eq!(subject.log.join(options).await.err(), Some(expected));
}

pub async fn a_partition_that_is_not_assigned_cannot_be_started(subject: Subject) {
    let topic = subject.topic(2).await;
    let mut member = subject.sole_member(&topic, 2).await;
    assert!(member.start(&at(&topic, 2), 0).await.is_err());
    member.leave(10_000).await;
}

pub async fn a_started_partition_is_read_from_the_given_offset(subject: Subject) {
    let topic = subject.topic(2).await;
    subject.fill(&at(&topic, 0), 0..10).await;
    subject.fill(&at(&topic, 1), 0..10).await;
    let mut member = subject.sole_member(&topic, 2).await;
    let mut first = member.start(&at(&topic, 0), 7).await.expect("the partition is started");
    assert_eq!(numbers(&next_records(&mut first, 3).await), [7, 8, 9]);
    let mut second = member.start(&at(&topic, 1), 10).await.expect("the partition is started");
    subject.fill(&at(&topic, 1), 10..12).await;
    assert_eq!(numbers(&next_records(&mut second, 2).await), [10, 11]);
    member.leave(10_000).await;
}

pub async fn starting_again_rereads_and_ends_the_earlier_stream(subject: Subject) {
    let topic = subject.topic(2).await;
    let (restarted, other) = (at(&topic, 0), at(&topic, 1));
    subject.fill(&restarted, 0..100).await;
    subject.fill(&other, 0..100).await;
    let mut member = subject.sole_member(&topic, 2).await;
    let mut earlier = member.start(&restarted, 0).await.expect("the partition is started");
    let mut untouched = member.start(&other, 0).await.expect("the partition is started");
    let mut seen = next_records(&mut untouched, 1).await;
    next_records(&mut earlier, 1).await;
    let mut again = member.start(&restarted, 40).await.expect("the partition is started again");
    until_end(&mut earlier).await;
    assert_eq!(numbers(&next_records(&mut again, 60).await), (40..100).collect::<Vec<_>>());
    subject.fill(&other, 100..110).await;
    while seen.len() < 110 {
        seen.extend(next_records(&mut untouched, 1).await);
    }
    assert_eq!(numbers(&seen), (0..110).collect::<Vec<_>>(), "the other partition lost and repeated nothing");
    member.leave(10_000).await;
}

pub async fn a_full_partition_queue_blocks_only_itself(subject: Subject) {
    let topic = subject.topic(2).await;
    let (slow, quick) = (at(&topic, 0), at(&topic, 1));
    subject.fill(&slow, 0..20_000).await;
    let mut member = subject.sole_member(&topic, 2).await;
    let mut unread = member.start(&slow, 0).await.expect("the partition is started");
    let mut read = member.start(&quick, 0).await.expect("the partition is started");
    for round in 0..5 {
        subject.fill(&quick, round * 1000..(round + 1) * 1000).await;
        assert_eq!(next_records(&mut read, 1000).await.len(), 1000);
    }
    assert_eq!(numbers(&next_records(&mut unread, 20_000).await), (0..20_000).collect::<Vec<_>>());
    member.leave(10_000).await;
}

pub async fn starting_outside_the_log_ends_with_out_of_range(subject: Subject) {
    let topic = subject.topic(2).await;
    subject.fill(&at(&topic, 0), 0..3).await;
    subject.fill(&at(&topic, 1), 0..3).await;
    let mut member = subject.sole_member(&topic, 2).await;
    let mut outside = member.start(&at(&topic, 0), 9).await.expect("the partition is started");
    let mut inside = member.start(&at(&topic, 1), 0).await.expect("the partition is started");
    let error = outside.next().await.expect("the stream says why").expect_err("the offset is outside");
    assert!(matches!(error, LogError::OutOfRange { offset: 9, start: 0, end: 3, .. }), "{error:?}");
    assert_eq!(numbers(&next_records(&mut inside, 3).await), [0, 1, 2], "other partitions go on");
    member.leave(10_000).await;
}

pub async fn leaving_ends_the_streams(subject: Subject) {
    let topic = subject.topic(1).await;
    let mut member = subject.sole_member(&topic, 1).await;
    let mut stream = member.start(&at(&topic, 0), 0).await.expect("the partition is started");
    member.leave(10_000).await;
    assert_eq!(until_end(&mut stream).await, []);
}

pub async fn a_group_can_be_joined_again_after_leaving(subject: Subject) {
    let topic = subject.topic(1).await;
    subject.fill(&at(&topic, 0), 0..3).await;
    for _ in 0..2 {
        let mut member = subject.sole_member(&topic, 1).await;
        let mut stream = member.start(&at(&topic, 0), 0).await.expect("the partition is started");
        assert_eq!(next_records(&mut stream, 3).await.len(), 3);
        member.commit(&at(&topic, 0), 3);
        member.leave(10_000).await;
    }
}
