//! Which topics there are, and their numbers in the keys of chunks.

use super::partition::{Partition, unreadable};
use crate::{LogError, TopicPartition, TopicSpec};
use fjall::{Database, Keyspace, PersistMode};
use schemas::partition::MAX_PARTITIONS;
use std::collections::HashMap;
use std::sync::Arc;

/// A topic with its partitions.
#[derive(Debug)]
pub(super) struct Topic {
    name: Arc<str>,
    number: u32,
    pub(super) partitions: Vec<Arc<Partition>>,
}

impl Topic {
    /// One of its partitions.
    pub(super) fn partition(&self, partition: u32) -> Result<Arc<Partition>, LogError> {
        self.partitions.get(partition as usize).cloned().ok_or_else(|| {
            let count = self.partitions.len();
            LogError::Unusable(format!(
                "topic {} has {count} partitions, there is no partition {partition}",
                self.name
            ))
        })
    }

    /// The partition asked for, or that of the key.
    pub(super) fn choose(&self, partition: Option<u32>, key: &[u8]) -> Result<Arc<Partition>, LogError> {
        let count = self.partitions.len() as u32;
        self.partition(partition.unwrap_or_else(|| schemas::partition::partition_of(key, count)))
    }
}

pub(super) type Topics = HashMap<Arc<str>, Arc<Topic>>;

const FORMAT: u8 = 1;
const COMPACTED: u8 = 1;

/// What is stored of a topic, under its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Description {
    /// Its number in the keys of chunks.
    number: u32,
    pub(super) partitions: u32,
    compacted: bool,
}

impl Description {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut value = vec![FORMAT, if self.compacted { COMPACTED } else { 0 }];
        value.extend_from_slice(&self.number.to_be_bytes());
        value.extend_from_slice(&self.partitions.to_be_bytes());
        value
    }

    pub(super) fn decode(value: &[u8]) -> Result<Self, LogError> {
        let &[FORMAT, flags, n0, n1, n2, n3, p0, p1, p2, p3] = value else { return Err(damaged()) };
        let (number, partitions) =
            (u32::from_be_bytes([n0, n1, n2, n3]), u32::from_be_bytes([p0, p1, p2, p3]));
        // Each partition takes memory when the log is opened, and the next topic takes the next number.
        if partitions > MAX_PARTITIONS || number == u32::MAX {
            return Err(damaged());
        }
        Ok(Self { number, partitions, compacted: flags & COMPACTED != 0 })
    }
}

fn damaged() -> LogError {
    LogError::Unusable("a stored topic description is damaged".to_owned())
}

/// All stored topics.
pub(super) fn load(stored: &Keyspace, chunks: &Keyspace) -> Result<Topics, LogError> {
    let mut topics = Topics::new();
    for guard in stored.iter() {
        let (name, value) = guard.into_inner().map_err(unreadable)?;
        let name: Arc<str> = std::str::from_utf8(&name).map_err(|_| damaged())?.into();
        let Description { number, partitions, compacted } = Description::decode(&value)?;
        let topic = open(Arc::clone(&name), number, partitions, compacted, chunks)?;
        topics.insert(name, Arc::new(topic));
    }
    Ok(topics)
}

/// Adds the topics of `specs` that are missing, durably.
pub(super) fn ensure(
    topics: &mut Topics,
    specs: &[TopicSpec],
    database: &Database,
    stored: &Keyspace,
    chunks: &Keyspace,
) -> Result<(), LogError> {
    let mut added = Vec::new();
    let mut number = topics.values().map(|topic| topic.number + 1).max().unwrap_or(0);
    let mut batch = database.batch().durability(Some(PersistMode::SyncAll));
    for spec in specs {
        let TopicSpec { name, partitions, compacted, .. } = spec;
        if let Some(topic) = topics.get(name.as_str()) {
            let found = topic.partitions.len();
            if found != *partitions as usize {
                return Err(LogError::Unusable(format!(
                    "topic {name} has {found} partitions but {partitions} are configured: the count of a topic in use \
                     cannot change"
                )));
            }
            continue;
        }
        if name.is_empty() || !(1..=MAX_PARTITIONS).contains(partitions) {
            return Err(LogError::Unusable(format!(
                "topic {name:?} needs a name and 1 to {MAX_PARTITIONS} partitions, {partitions} are configured"
            )));
        }
        let description = Description { number, partitions: *partitions, compacted: *compacted };
        batch.insert(stored, name.as_bytes(), description.encode());
        added.push(open(name.as_str().into(), number, *partitions, *compacted, chunks)?);
        number += 1;
    }
    batch.commit().map_err(|e| LogError::Unusable(format!("cannot write to the data directory: {e}")))?;
    topics.extend(added.into_iter().map(|topic| (Arc::clone(&topic.name), Arc::new(topic))));
    Ok(())
}

fn open(
    name: Arc<str>,
    number: u32,
    count: u32,
    compacted: bool,
    chunks: &Keyspace,
) -> Result<Topic, LogError> {
    let partitions = (0..count).map(|partition| {
        let mut key = [0; 8];
        key[..4].copy_from_slice(&number.to_be_bytes());
        key[4..].copy_from_slice(&partition.to_be_bytes());
        let id = TopicPartition { topic: Arc::clone(&name), partition };
        Partition::open(id, key, chunks.clone(), compacted).map(Arc::new)
    });
    let partitions = partitions.collect::<Result<_, _>>()?;
    Ok(Topic { name, number, partitions })
}
