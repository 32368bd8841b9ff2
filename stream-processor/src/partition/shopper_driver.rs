use super::TaskError;
use super::dead_letter_log::DeadLetterLog;
use super::driver::Driver;
use crate::context::Context;
use crate::metrics;
use crate::publish::{Covers, PublishQueue};
use crate::rules::{Rule, is_broken};
use crate::shopper::{Packed, Reflecting, Shopper, ShopperOutput};
use crate::stage::Stage;
use bytes::Bytes;
use event_log::{Append, AppendError, NewRecord, Producer};
use schemas::names::user_key;
use std::sync::Arc;
use std::time::Duration;

/// The shopper stage: updates go to `product-activity`, histories to the serving store.
pub(crate) struct ShopperDriver {
    pub(crate) context: Arc<Context>,
    pub(crate) stage: Shopper,
    pub(crate) queue: Arc<PublishQueue>,
    pub(crate) topic: Arc<str>,
    pub(crate) dead_letters: DeadLetterLog,
    /// The one that this task appends by, from its beginning to its end. One that took the place of a failed one would leave
    /// a gap: what this task had handed to the failed one comes after what it hands to the new one.
    pub(crate) producer: Arc<dyn Producer>,
}

/// Dead letters kept in memory before a flush is due.
const MAX_DEAD_LETTERS: usize = 1_000;

impl ShopperDriver {
    /// Appends in order, waiting while the producer's queue is full. A failure ends the task.
    async fn append(&self, activity: Vec<Packed>) -> Result<Vec<Append>, TaskError> {
        let mut appends = Vec::with_capacity(activity.len());
        let producer = match is_broken(Rule::OneProducerForATask) {
            true => self.context.producer.get()?,
            false => Arc::clone(&self.producer),
        };
        for packed in activity {
            let record = NewRecord {
                topic: Arc::clone(&self.topic),
                partition: Some(packed.partition),
                key: Bytes::new(),
                value: packed.value,
                traceparent: None,
            };
            loop {
                match producer.append(record.clone()) {
                    Ok(append) => {
                        appends.push(append);
                        break;
                    }
                    Err(AppendError::QueueFull) => tokio::time::sleep(Duration::from_millis(5)).await,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(appends)
    }
}

impl Driver for ShopperDriver {
    type Stage = Shopper;

    fn stage(&mut self) -> &mut Shopper {
        &mut self.stage
    }

    async fn hand_on(&mut self, output: ShopperOutput) -> Result<Vec<Append>, TaskError> {
        for (offset, reason) in output.dead {
            self.dead_letters.note(offset, &reason);
            metrics::dead_letter(reason);
        }
        let generation = self.context.config.generation;
        let histories = output.users.iter().filter_map(|Reflecting { user, version, .. }| {
            let history = self.stage.published_history(user.as_str(), *version)?;
            Some((user_key(generation, user.as_str()), history))
        });
        self.queue.submit(histories, false);
        self.queue.covers(Covers::all_before(self.stage.checkpoint().next_offset));
        self.append(output.activity).await
    }

    async fn tick(&mut self) -> Result<(), TaskError> {
        self.dead_letters.tick();
        Ok(())
    }

    fn is_overfull(&mut self) -> bool {
        self.stage.changed_rows() >= self.context.config.flush_rows
            || self.stage.pending_dead_letters() >= MAX_DEAD_LETTERS
    }

    fn stream_time_ms(&mut self) -> i64 {
        self.stage.stream_time_ms()
    }
}
