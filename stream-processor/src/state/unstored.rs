//! How far a stored state is behind its logs.

use super::verify::{VerifyError, origin, place_of, progress_row};
use crate::context::Parts;
use crate::product::Product;
use crate::progress::progress_key;
use crate::shopper::Shopper;
use crate::stage::Stage;
use event_log::TopicPartition;

/// Records of the logs that the stored state does not reflect: a digest, or a proof, is not about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unstored {
    /// Records of `events`.
    pub events: u64,
    /// Records of `product-activity`.
    pub updates: u64,
}

/// Counts what the stored state of `generation` does not reflect.
///
/// # Errors
/// When log or store do not answer, or a progress row cannot be read.
pub async fn unstored(parts: &Parts, generation: u16) -> Result<Unstored, VerifyError> {
    let origin = origin(parts, generation).await?;
    Ok(Unstored {
        events: behind::<Shopper>(parts, generation, &parts.topics.events, |at| origin.of(at)).await?,
        updates: behind::<Product>(parts, generation, &parts.topics.product_activity, |_| 0).await?,
    })
}

async fn behind<S: Stage>(
    parts: &Parts,
    generation: u16,
    topic: &str,
    begins_at: impl Fn(u32) -> u64,
) -> Result<u64, VerifyError> {
    let mut behind = 0;
    for partition in 0..parts.log.describe(topic).await?.partitions {
        let progress = progress_row(parts, generation, progress_key(S::NAME, partition)).await?;
        let stored =
            progress.as_ref().map(place_of::<S>).transpose()?.unwrap_or_else(|| begins_at(partition));
        let bounds = parts.log.bounds(&TopicPartition { topic: topic.into(), partition }).await?;
        behind += bounds.end.saturating_sub(stored.max(bounds.start));
    }
    Ok(behind)
}
