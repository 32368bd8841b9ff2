//! Appends dead letters to `events` again, for when what was wrong with them has been mended.
//!
//! A letter is never changed or removed: that it was redriven stands in a row of its own beside it. Doing it again is
//! harmless. Where the mark is there, nothing is appended; where a crash came between append and mark, the record is in the
//! log twice, each copy has its own outcome, and the second one of an event is a duplicate by its id.

use crate::context::Context;
use crate::dead_letter::{DeadLetter, Place, Redriven};
use crate::metrics;
use event_log::{AppendError, LogError, NewRecord, Producer, ProducerMode};
use std::sync::Arc;
use stores::{StoreError, Table};
use thiserror::Error;
use tokio::sync::Mutex;

/// How long the log may take to acknowledge.
const ACK_TIMEOUT_MS: u64 = 5_000;

/// What became of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Redrive {
    /// The record was appended.
    Done(Redriven),
    /// That had been done before.
    DoneBefore(Redriven),
    /// There is no such letter.
    Unknown,
}

/// Why a letter was not redriven, or not for sure.
#[derive(Debug, Error)]
pub(crate) enum RedriveError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error("the stored letter cannot be read: {0}")]
    Unreadable(#[from] schemas::DecodeError),
}

/// Redrives, one letter at a time.
#[derive(Default)]
pub(crate) struct Redriver {
    producer: Mutex<Option<Arc<dyn Producer>>>,
}

impl Redriver {
    /// Appends the letter's record to its partition and marks the letter, unless it is marked.
    pub(crate) async fn redrive(&self, context: &Context, place: Place) -> Result<Redrive, RedriveError> {
        let (state, generation) = (&context.parts.state, context.config.generation);
        // Held to the end: two callers must not both find the letter unmarked.
        let mut producer = self.producer.lock().await;
        let keys = [place.letter_key(), place.mark_key()];
        let mut rows = state.get_many(Table::DeadLetters, generation, &keys).await?.into_iter();
        let (letter, mark) = (rows.next().flatten(), rows.next().flatten());
        let Some(letter) = letter else { return Ok(Redrive::Unknown) };
        if let Some(mark) = mark {
            return Ok(Redrive::DoneBefore(Redriven::decode(&mark.state)?));
        }
        let letter = DeadLetter::decode(&letter.state)?;
        let record = NewRecord {
            topic: context.parts.topics.events.as_str().into(),
            // Where it was: also a record without a usable key has its place there.
            partition: Some(letter.partition),
            key: letter.key.into(),
            value: letter.value.into(),
            traceparent: None,
        };
        let in_use = match &*producer {
            Some(producer) => Arc::clone(producer),
            None => {
                let mode = ProducerMode::Bounded { ack_timeout_ms: ACK_TIMEOUT_MS, linger_ms: 0 };
                Arc::clone(producer.insert(context.parts.log.producer(mode)?))
            }
        };
        let appended = match in_use.append(record) {
            Ok(append) => append.await,
            Err(error) => Err(error),
        };
        let position = appended.inspect_err(|error| {
            if matches!(error, AppendError::Fatal(_)) {
                *producer = None;
            }
        })?;
        let redriven = Redriven { partition: position.partition, offset: position.offset };
        state.put_many(Table::DeadLetters, generation, vec![redriven.to_row(place, generation)]).await?;
        metrics::redriven().increment(1);
        tracing::info!(
            partition = place.partition,
            offset = place.offset,
            to_offset = redriven.offset,
            "redrove a dead letter"
        );
        Ok(Redrive::Done(redriven))
    }
}
