//! Accounts for every event: sent, in the log, applied.

use super::lag::Outcomes;
use super::load::Acknowledged;
use crate::servers::PARTITIONS;
use anyhow::{Context, Result};
use event_log::{EventLog, TopicPartition};
use prost::Message;
use schemas::Position;
use schemas::proto::{EventRecord, event_record::Record};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Records read at a time.
const CHUNK: usize = 5_000;

/// What the topic `events` holds.
#[derive(Debug, Default)]
pub struct Contents {
    /// Records of any kind.
    pub records: u64,
    ids: HashSet<String>,
    id_at: HashMap<Position, String>,
}

impl Contents {
    /// Reads the whole topic.
    ///
    /// # Errors
    /// When the log does not answer, or holds something else than events.
    pub async fn read(log: &dyn EventLog, topic: &str) -> Result<Self> {
        let mut contents = Self::default();
        let topic: Arc<str> = topic.into();
        for partition in 0..PARTITIONS {
            let of = TopicPartition { topic: Arc::clone(&topic), partition };
            let bounds = log.bounds(&of).await?;
            let mut offset = bounds.start;
            while offset < bounds.end {
                let records = log.read(&of, offset, CHUNK).await?;
                offset = records.last().with_context(|| format!("nothing at offset {offset}"))?.offset + 1;
                for record in records {
                    contents.records += 1;
                    if let Some(Record::Event(event)) = EventRecord::decode(record.value)?.record {
                        contents
                            .id_at
                            .insert(Position { partition, offset: record.offset }, event.event_id.clone());
                        contents.ids.insert(event.event_id);
                    }
                }
            }
        }
        Ok(contents)
    }

    /// Different events.
    pub fn events(&self) -> u64 {
        self.ids.len() as u64
    }

    /// Acknowledged events that the log does not hold, or not where their receipt says.
    pub fn missing(&self, acknowledged: &Acknowledged) -> u64 {
        let is_missing = |(id, position): &(&String, &Option<Position>)| match position {
            Some(position) => self.id_at.get(position) != Some(id),
            None => !self.ids.contains(*id),
        };
        acknowledged.iter().filter(is_missing).count() as u64
    }
}

/// What became of the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// Acknowledged and not in the log, or in the log and never applied.
    pub lost: u64,
    /// Applied more often than once, or records with two outcomes.
    pub counted_twice: u64,
}

impl Account {
    /// Compares what was acknowledged with the log, and the log with the outcomes. No event of a run is refused, so that
    /// each is to be applied once, and each further record of it is a duplicate.
    pub fn of(acknowledged: &Acknowledged, contents: &Contents, outcomes: &Outcomes) -> Self {
        let (events, applied) = (contents.events(), outcomes.of("applied"));
        let (records, told) = (contents.records, outcomes.sum());
        let unapplied = events.saturating_sub(applied).max(records.saturating_sub(told));
        Self {
            lost: contents.missing(acknowledged) + unapplied,
            counted_twice: applied.saturating_sub(events).max(told.saturating_sub(records)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(ids: &[&str], copies: u64) -> Contents {
        let id_at =
            ids.iter().zip(0..).map(|(id, offset)| (Position { partition: 0, offset }, (*id).to_owned()));
        Contents {
            records: ids.len() as u64 + copies,
            ids: ids.iter().map(|&id| id.to_owned()).collect(),
            id_at: id_at.collect(),
        }
    }

    fn outcomes(applied: u64, duplicate: u64) -> Outcomes {
        Outcomes { counts: [("applied".to_owned(), applied), ("duplicate".to_owned(), duplicate)].into() }
    }

    #[test]
    fn events_that_were_applied_once_are_neither_lost_nor_counted_twice() {
        let acknowledged =
            [("a".to_owned(), Some(Position { partition: 0, offset: 0 })), ("b".to_owned(), None)];
        let account =
            Account::of(&acknowledged.into(), &contents(&["a", "b", "unanswered"], 2), &outcomes(3, 2));
        assert_eq!(account, Account { lost: 0, counted_twice: 0 });
    }

    #[test]
    fn what_the_log_lacks_or_holds_elsewhere_is_lost() {
        let acknowledged =
            [("a".to_owned(), Some(Position { partition: 0, offset: 1 })), ("c".to_owned(), None)];
        let account = Account::of(&acknowledged.into(), &contents(&["a", "b"], 0), &outcomes(2, 0));
        assert_eq!(account, Account { lost: 2, counted_twice: 0 });
    }

    #[test]
    fn wrong_outcomes_are_losses_or_doublings() {
        let lost = |account: Account| (account.lost, account.counted_twice);
        let log = contents(&["a", "b"], 1);
        assert_eq!(lost(Account::of(&Acknowledged::new(), &log, &outcomes(1, 1))), (1, 0));
        assert_eq!(lost(Account::of(&Acknowledged::new(), &log, &outcomes(3, 0))), (0, 1));
        assert_eq!(lost(Account::of(&Acknowledged::new(), &log, &outcomes(2, 2))), (0, 1));
    }
}
