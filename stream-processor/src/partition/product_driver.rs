use super::TaskError;
use super::driver::Driver;
use crate::context::Context;
use crate::product::{Changed, Product, ProductOutput};
use crate::publish::{PublishQueue, RankBatch, RankJob, Round, StaleLists, TrendingPublisher, read_again};
use crate::rules::{Rule, is_broken};
use crate::stage::Stage;
use crate::status::{PartitionStatus, is_live};
use bytes::Bytes;
use event_log::Append;
use hashbrown::HashSet;
use recommender::Symbol;
use schemas::Version;
use schemas::names::repeats_key;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// After trending lists were made, the partition does other things for at least so many times as long. In a large shop every list
/// is made anew from all products whenever the stream's minute changes: that is once a minute as events come, but at every turn
/// when old ones are worked through.
const TRENDING_RESTS: u32 = 4;
/// But no longer than this: what took long may have waited for a store.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// How long the partition does other things after trending lists took so long.
fn rest_after(took: Duration) -> Duration {
    (took * TRENDING_RESTS).min(LONGEST_REST)
}

/// The product stage: rows are ranked and published; nothing goes back to the log.
pub(crate) struct ProductDriver {
    pub(crate) context: Arc<Context>,
    pub(crate) partition: u32,
    pub(crate) stage: Product,
    pub(crate) queue: Arc<PublishQueue>,
    pub(crate) status: Arc<PartitionStatus>,
    pub(crate) trending: TrendingPublisher,
    pub(crate) rank: mpsc::Sender<RankBatch>,
    pub(crate) stale: StaleLists,
    /// A round that could not be handed over.
    pub(crate) round: Option<Round>,
    /// What the records before this offset changed was handed on.
    pub(crate) handed_on: u64,
    /// What had been handed on when the last round began.
    pub(crate) in_rounds: u64,
    pub(crate) next_trending: Instant,
    /// Products with events that the trending index has not seen yet.
    pub(crate) unseen: HashSet<Symbol>,
    /// Offset as of the last published repeat table.
    pub(crate) repeats_at: u64,
    pub(crate) settling: Settling,
    /// What the last trending lists took for now.
    pub(crate) latest_now_ms: i64,
}

/// An earlier owner may have published lists as of later records than this one began at, and may go on for a moment: the store
/// keeps these, and drops what this one publishes until it has come as far. A list that does not change later would stay as
/// that owner made it. So everything is published once more when that is over.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Settling {
    /// Until then an earlier owner may not know that it is none any more.
    Until(Instant),
    /// Until then the records are read that an earlier owner may have read.
    Past(u64),
    Done,
}

impl Settling {
    /// Begins with a task.
    pub(crate) fn begin(session_timeout_ms: u64) -> Self {
        Self::Until(Instant::now() + 2 * Duration::from_millis(session_timeout_ms))
    }
}

impl ProductDriver {
    /// Ranks what is stale round by round; a round begins when there is room for it.
    async fn rank_stale(&mut self) {
        while self.rank.capacity() > 0
            && let Some(round) = self.round()
        {
            let gone = if is_broken(Rule::GoneRowsReadAgain) { &[][..] } else { &round.products };
            if let Err(error) = read_again(&self.context, &mut self.stage, gone).await {
                tracing::debug!(%error, "changed products wait to be ranked until their rows can be read");
                self.round = Some(round);
                return;
            }
            let jobs = round.products.iter().filter_map(|&product| {
                let row = self.stage.row(product)?;
                let id = self.context.names.name(product);
                let category = self.context.category_of(id, &row.category);
                let newest_ms = row.buckets.newest_ms();
                Some(RankJob { product, version: row.version, category, newest_ms, co: row.co.clone() })
            });
            // There is room, and nobody else sends.
            let batch = RankBatch { jobs: jobs.collect(), covers: round.covers };
            if self.rank.try_send(batch).is_err() {
                return;
            }
        }
    }

    /// The round that was left, or a new one if anything is due.
    fn round(&mut self) -> Option<Round> {
        if self.round.is_some() {
            return self.round.take();
        }
        if self.in_rounds > 0 && is_broken(Rule::ChangedProductsRanked) {
            return None;
        }
        let round = self.stale.round(&self.context.config, self.handed_on, Instant::now())?;
        // Also without a product: then what was read last changed nothing, and is visible as it is.
        let says_something = !round.products.is_empty() || self.in_rounds != self.handed_on;
        self.in_rounds = self.handed_on;
        says_something.then_some(round)
    }

    async fn trending(&mut self) -> Result<(), TaskError> {
        // Never back: what has left a window is not looked at again.
        let now_ms = self.now_ms().max(self.latest_now_ms);
        self.latest_now_ms = now_ms;
        if now_ms == i64::MIN {
            return Ok(());
        }
        let mut gone = Vec::new();
        for product in std::mem::take(&mut self.unseen) {
            match self.stage.row(product) {
                Some(row) => self.trending.changed(product, row, now_ms),
                None => gone.push(product),
            }
        }
        if is_broken(Rule::GoneRowsReadAgain) {
            gone.clear();
        }
        // In a fixed order, so that a simulation can be replayed.
        gone.sort_unstable_by_key(|product| product.0);
        if let Err(error) = self.trending.changed_and_gone(&mut self.stage, &gone, now_ms).await {
            tracing::debug!(%error, "changed products wait to be seen until their rows can be read");
            self.unseen.extend(gone);
        }
        if self.status.republish.swap(false, Ordering::Relaxed) {
            self.trending.forget_published();
            self.repeats_at = u64::MAX;
        }
        self.settle();
        let version = Version::of(self.context.config.generation, self.stage.checkpoint().next_offset);
        let mut values = self.trending.round(&mut self.stage, version, now_ms).await?;
        let offset = self.stage.checkpoint().next_offset;
        if offset != self.repeats_at {
            self.repeats_at = offset;
            let key = repeats_key(self.context.config.generation, self.partition);
            values.push((key, Bytes::from(self.stage.repeats().encode())));
        }
        if !values.is_empty() {
            self.queue.submit(values, true);
        }
        Ok(())
    }

    fn settle(&mut self) {
        if let Settling::Until(over) = self.settling
            && Instant::now() >= over
        {
            self.settling = Settling::Past(self.status.log_end.load(Ordering::Relaxed));
        }
        if let Settling::Past(end) = self.settling
            && self.stage.checkpoint().next_offset >= end
        {
            self.settling = Settling::Done;
            if !is_broken(Rule::TrendsPublishedAgain) {
                self.trending.forget_published();
            }
        }
    }

    /// The stream's time. In live use it goes on with the clock while no events come; in a replay of old data it stands still.
    fn now_ms(&self) -> i64 {
        let stream = self.stage.stream_time_ms().max(self.context.registry.stream_time_ms());
        if stream == i64::MIN {
            return stream;
        }
        let clock = self.context.parts.clock.now_ms();
        let last_append = self.status.last_append_ms.load(Ordering::Relaxed);
        if is_live(last_append, stream) { stream.max(clock) } else { stream }
    }
}

impl Driver for ProductDriver {
    type Stage = Product;

    fn stage(&mut self) -> &mut Product {
        &mut self.stage
    }

    async fn hand_on(&mut self, output: ProductOutput) -> Result<Vec<Append>, TaskError> {
        let now = Instant::now();
        for Changed { product, share, has_events } in output.changed {
            self.stale.changed(product, share, self.handed_on, now);
            if has_events {
                self.unseen.insert(product);
            }
        }
        self.handed_on = self.stage.checkpoint().next_offset;
        self.status.set_outcomes(self.stage.outcomes());
        Ok(Vec::new())
    }

    async fn tick(&mut self) -> Result<(), TaskError> {
        self.rank_stale().await;
        if Instant::now() >= self.next_trending {
            let begun = Instant::now();
            self.trending().await?;
            let interval = Duration::from_millis(self.context.config.trending_interval_ms);
            self.next_trending = Instant::now() + interval.max(rest_after(begun.elapsed()));
        }
        Ok(())
    }

    fn is_overfull(&mut self) -> bool {
        self.stage.changed_rows() >= self.context.config.flush_rows
    }

    fn stream_time_ms(&mut self) -> i64 {
        self.stage.stream_time_ms()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn making_trending_lists_takes_a_fifth_of_the_time_at_most_until_it_waits_for_a_store() {
        for took_ms in [1, 40, 1_000] {
            let took = Duration::from_millis(took_ms);
            assert_eq!(took + rest_after(took), 5 * took);
        }
        assert_eq!(rest_after(Duration::from_secs(30)), LONGEST_REST);
    }
}
