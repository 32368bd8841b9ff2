//! Records whose traces are recorded, noticed as they are read. Their headers do not go along with the records: hardly any has
//! one of interest, and every record would have to carry a place for it.

use super::producer::TRACEPARENT;
use crate::{SampledRecord, TopicPartition, Traceparent};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Kept for a partition; older ones are forgotten. Beyond what is read ahead nobody asks for them.
const KEPT: usize = 1_024;

/// What was noticed and not taken yet.
#[derive(Debug, Default)]
pub(super) struct Sampled(Mutex<HashMap<TopicPartition, VecDeque<SampledRecord>>>);

impl Sampled {
    /// Looks at a message that was read.
    pub(super) fn look_at(&self, partition: &TopicPartition, message: &BorrowedMessage<'_>) {
        if let Some(traceparent) = sampled(message) {
            let offset = message.offset() as u64;
            self.note(partition, SampledRecord { offset, traceparent, read_at: Instant::now() });
        }
    }

    fn note(&self, partition: &TopicPartition, record: SampledRecord) {
        let mut noticed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_partition = noticed.entry(partition.clone()).or_default();
        // Read again from an earlier place: who read what was noticed from there on has gone.
        while of_partition.back().is_some_and(|last| last.offset >= record.offset) {
            of_partition.pop_back();
        }
        if of_partition.len() == KEPT {
            of_partition.pop_front();
        }
        of_partition.push_back(record);
    }

    /// Gives those before `end`, once.
    pub(super) fn take(&self, partition: &TopicPartition, end: u64) -> Vec<SampledRecord> {
        let mut noticed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(of_partition) = noticed.get_mut(partition) else { return Vec::new() };
        let count = of_partition.iter().take_while(|record| record.offset < end).count();
        of_partition.drain(..count).collect()
    }
}

/// The `traceparent` of a message, where it says that its trace is recorded.
fn sampled(message: &BorrowedMessage<'_>) -> Option<Traceparent> {
    let header = message.headers()?.iter().find(|header| header.key == TRACEPARENT)?;
    let traceparent: Traceparent = header.value?.try_into().ok()?;
    // The last two digits are flags, of which the lowest says it.
    let is_sampled = matches!(traceparent[54], b'1' | b'3' | b'5' | b'7' | b'9' | b'b' | b'd' | b'f');
    is_sampled.then_some(traceparent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(records: Vec<SampledRecord>) -> Vec<u64> {
        records.into_iter().map(|record| record.offset).collect()
    }

    #[test]
    fn each_is_given_once_and_no_more_than_some_are_kept() {
        let sampled = Sampled::default();
        let [one, other] = [0, 1].map(|partition| TopicPartition { topic: "events".into(), partition });
        let note = |offset| {
            let record = SampledRecord { offset, traceparent: [b'0'; 55], read_at: Instant::now() };
            sampled.note(&one, record);
        };
        [3, 5, 9].into_iter().for_each(note);
        assert_eq!(offsets(sampled.take(&other, 10)), [0; 0]);
        assert_eq!(offsets(sampled.take(&one, 9)), [3, 5]);
        assert_eq!(offsets(sampled.take(&one, 10)), [9]);
        // A task that failed reads again from before.
        [10, 12, 14, 11, 12].into_iter().for_each(note);
        assert_eq!(offsets(sampled.take(&one, 100)), [10, 11, 12]);
        (0..5_000).for_each(note);
        let kept = offsets(sampled.take(&one, 5_000));
        assert_eq!((kept.len(), kept.last()), (KEPT, Some(&4_999)));
    }
}
