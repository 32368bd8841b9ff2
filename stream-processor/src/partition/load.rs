//! Reads where a partition's stage stopped, and checks that the log is still the one it stopped in.

use super::TaskError;
use crate::context::Context;
use crate::generations::{ORIGIN_KEY, Origin};
use crate::progress::{
    Checkpoint, ProductProgress, ShopperProgress, StageName, checksum, intent_key, progress_key,
};
use crate::rules::{Rule, is_broken};
use event_log::TopicPartition;
use schemas::DecodeError;
use stores::{Row, Table};

/// The stored progress and intent rows.
pub(crate) struct Stored {
    progress: Option<Row>,
    intent: Checkpoint,
    origin: Origin,
}

impl Stored {
    /// Reads both rows.
    pub(crate) async fn read(context: &Context, stage: StageName, partition: u32) -> Result<Self, TaskError> {
        let keys = [progress_key(stage, partition), intent_key(stage, partition), ORIGIN_KEY.to_owned()];
        let generation = context.config.generation;
        let mut rows = context.parts.state.get_many(Table::Progress, generation, &keys).await?.into_iter();
        let progress = rows.next().flatten();
        let intent = match rows.next().flatten() {
            None => Checkpoint::default(),
            Some(row) => {
                Checkpoint::decode_intent(&row.state).map_err(|reason| unreadable(&keys[1], reason))?
            }
        };
        let origin = match rows.next().flatten() {
            None => Origin::default(),
            Some(row) => Origin::decode(&row.state).map_err(|reason| unreadable(&keys[2], reason))?,
        };
        Ok(Self { progress, intent, origin })
    }

    /// Whether nothing counts yet.
    pub(crate) fn is_new(&self) -> bool {
        self.progress.is_none()
    }

    /// As the shopper stage's. A partition that nothing is stored of begins where its generation does.
    pub(crate) fn shopper(&self, partition: u32) -> Result<ShopperProgress, TaskError> {
        match &self.progress {
            None => Ok(ShopperProgress::beginning_at(self.origin.of(partition))),
            Some(row) => ShopperProgress::decode(&row.state).map_err(|reason| unreadable(&row.key, reason)),
        }
    }

    /// As the product stage's.
    pub(crate) fn product(&self, events_partitions: u32) -> Result<ProductProgress, TaskError> {
        match &self.progress {
            None => Ok(ProductProgress::new(events_partitions)),
            Some(row) => ProductProgress::decode(&row.state).map_err(|reason| unreadable(&row.key, reason)),
        }
    }

    /// Checks the log against the progress and against the intent: rows may have been written up to there. Gives when the last
    /// record before the progress was appended, where it is still there.
    pub(crate) async fn check_log(
        &self,
        context: &Context,
        partition: &TopicPartition,
        progress: Checkpoint,
    ) -> Result<Option<i64>, TaskError> {
        if is_broken(Rule::LogChecked) {
            return Ok(None);
        }
        let mut appended_ms = None;
        let bounds = context.parts.log.bounds(partition).await?;
        let place = format!("{}/{}", partition.topic, partition.partition);
        if progress.next_offset < bounds.start {
            return Err(TaskError::Refused(format!(
                "{place} now begins at offset {}, but only records before {} are processed: records were deleted unread. \
                 Build a new generation (processor.generation) with `shopsmart replay-log`, or restore the topic",
                bounds.start, progress.next_offset
            )));
        }
        for (what, checkpoint) in [("progress", progress), ("intent", self.intent)] {
            if checkpoint.next_offset > bounds.end {
                return Err(TaskError::Refused(format!(
                    "{place} ends at offset {}, but the stored {what} is at {}: the topic was recreated or truncated. \
                     Build a new generation (processor.generation), or restore the topic",
                    bounds.end, checkpoint.next_offset
                )));
            }
            let Some((offset, expected)) = checkpoint.last else { continue };
            if offset < bounds.start {
                continue;
            }
            let record = context.parts.log.read(partition, offset, 1).await?.into_iter().next();
            let same = record.filter(|record| record.offset == offset && checksum(record) == expected);
            let Some(record) = same else {
                return Err(TaskError::Refused(format!(
                    "the record at offset {offset} of {place} is not the one that the stored {what} was made from: the \
                     topic was recreated. Build a new generation (processor.generation), or restore the topic"
                )));
            };
            // The progress comes first.
            appended_ms = appended_ms.or(Some(record.append_time_ms));
        }
        Ok(appended_ms)
    }
}

/// No mark may be beyond its source's end: then `events` is not the topic that the updates came from.
pub(crate) async fn check_marks(context: &Context, progress: &ProductProgress) -> Result<(), TaskError> {
    let topic: std::sync::Arc<str> = context.parts.topics.events.as_str().into();
    if progress.marks.len() != context.events_partitions as usize {
        return Err(TaskError::Refused(format!(
            "the stored progress knows {} partitions of {topic}, the log has {}: a changed partition count takes a new \
             generation (processor.generation)",
            progress.marks.len(),
            context.events_partitions
        )));
    }
    for (source, &mark) in progress.marks.iter().enumerate() {
        let source = TopicPartition { topic: topic.clone(), partition: source as u32 };
        let end = context.parts.log.bounds(&source).await?.end;
        if mark > end {
            return Err(TaskError::Refused(format!(
                "updates up to offset {mark} of {topic}/{} are applied, but it ends at {end}: the topic was recreated or \
                 truncated. Build a new generation (processor.generation), or restore the topic",
                source.partition
            )));
        }
    }
    Ok(())
}

fn unreadable(key: &str, reason: DecodeError) -> TaskError {
    TaskError::Refused(format!(
        "the stored {key} cannot be read ({reason}): was it written by a newer version?"
    ))
}
