//! The scripted log: the contract, so that it stands for the real ones, and that it does what a test tells it.

use crate::subject::{BOUNDED, Subject, at, next_records, numbered, numbers, until_end};
use event_log::scripted::ScriptedLog;
use event_log::{AppendError, ProducerMode, Rebalance};
use futures::FutureExt;
use std::sync::Arc;

crate::contract_suite!(in_memory);

async fn in_memory() -> Option<Subject> {
    Some(scripted().1)
}

fn scripted() -> (ScriptedLog, Subject) {
    let log = ScriptedLog::new();
    (log.clone(), Subject::new(Arc::new(log)))
}

#[tokio::test]
async fn told_failures_come_in_order_and_leave_nothing_in_the_log() {
    let (log, subject) = scripted();
    let partition = at(&subject.topic(1).await, 0);
    let producer = subject.producer(BOUNDED);
    log.fail_next_appends(1, AppendError::QueueFull);
    log.fail_next_appends(1, AppendError::NotAcknowledged("told to".to_owned()));
    assert_eq!(producer.append(numbered(&partition, 0)).expect_err("told to fail"), AppendError::QueueFull);
    let late = producer.append(numbered(&partition, 1)).expect("taken").await;
    assert_eq!(late, Err(AppendError::NotAcknowledged("told to".to_owned())));
    producer.append(numbered(&partition, 2)).expect("taken").await.expect("acknowledged");
    assert_eq!(numbers(&log.records(&partition)), [2]);
}

#[tokio::test]
async fn a_gapless_producer_is_of_no_more_use_after_a_failure() {
    let (log, subject) = scripted();
    let partition = at(&subject.topic(1).await, 0);
    let producer = subject.producer(ProducerMode::Gapless);
    log.fail_next_appends(1, AppendError::NotAcknowledged("told to".to_owned()));
    assert!(producer.append(numbered(&partition, 0)).expect("taken").await.is_err());
    assert!(matches!(producer.append(numbered(&partition, 1)), Err(AppendError::Fatal(_))));
    assert_eq!(log.records(&partition), []);
}

#[tokio::test]
async fn held_acknowledgements_come_when_released() {
    let (log, subject) = scripted();
    let partition = at(&subject.topic(1).await, 0);
    let producer = subject.producer(BOUNDED);
    log.hold_acknowledgements();
    let mut append = producer.append(numbered(&partition, 0)).expect("taken");
    assert_eq!(numbers(&log.records(&partition)), [0]);
    assert!((&mut append).now_or_never().is_none());
    assert_eq!(producer.drain(0).await, 1);
    log.release_acknowledgements();
    assert!(append.await.is_ok());
    assert_eq!(producer.drain(0).await, 0);
}

#[tokio::test]
async fn append_times_follow_the_told_clock_and_never_decrease() {
    let (log, subject) = scripted();
    let partition = at(&subject.topic(1).await, 0);
    for (value, now) in [1000, 3000, 2000].into_iter().enumerate() {
        log.set_clock(now);
        subject.fill(&partition, value as u64..value as u64 + 1).await;
    }
    let times: Vec<_> = log.records(&partition).iter().map(|record| record.append_time_ms).collect();
    assert_eq!(times, [1000, 3000, 3000]);
}

#[tokio::test]
async fn a_member_gets_exactly_the_changes_that_the_test_makes() {
    let (log, subject) = scripted();
    log.assign_by_hand();
    let topic = subject.topic(2).await;
    subject.fill(&at(&topic, 0), 0..2).await;
    let mut member = subject.join(&topic).await;
    let name = format!("{}group", subject.prefix);
    assert!(member.start(&at(&topic, 0), 0).await.is_err());

    log.assign(&name, vec![at(&topic, 0), at(&topic, 1)]);
    assert_eq!(member.next_rebalance().await, Ok(Rebalance::Assigned(vec![at(&topic, 0), at(&topic, 1)])));
    let mut kept = member.start(&at(&topic, 0), 0).await.expect("assigned");
    let mut lost = member.start(&at(&topic, 1), 0).await.expect("assigned");
    assert_eq!(next_records(&mut kept, 2).await.len(), 2);

    log.lose(&name, vec![at(&topic, 1)]);
    assert_eq!(member.next_rebalance().await, Ok(Rebalance::Lost(vec![at(&topic, 1)])));
    assert_eq!(until_end(&mut lost).await, []);

    log.revoke(&name, vec![at(&topic, 0)]);
    assert_eq!(member.next_rebalance().await, Ok(Rebalance::Revoked(vec![at(&topic, 0)])));
    subject.fill(&at(&topic, 0), 2..3).await;
    assert_eq!(next_records(&mut kept, 1).await.len(), 1, "a revoked partition is read until it is released");
    member.release(&[at(&topic, 0)]).await.expect("released");
    assert_eq!(until_end(&mut kept).await, []);
}
