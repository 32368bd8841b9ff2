use super::lists::Known;
use super::{Covers, PublishQueue};
use crate::context::Context;
use bytes::Bytes;
use recommender::Symbol;
use recommender::co_occurrence::CoOccurrence;
use recommender::neighbours::{Sums, direct_list, two_hop_list};
use recommender::publishing::{direct_of, published_list};
use schemas::Version;
use schemas::names::neighbours_key;
use schemas::published::NeighbourList;
use smol_str::SmolStr;
use std::cmp::Ordering;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A product whose neighbours are to be ranked anew: a copy of the part of its row that this takes.
pub(crate) struct RankJob {
    pub(crate) product: Symbol,
    pub(crate) version: Version,
    pub(crate) category: SmolStr,
    /// Time of the product's newest event.
    pub(crate) newest_ms: i64,
    pub(crate) co: CoOccurrence,
}

/// Jobs to be ranked together.
pub(crate) struct RankBatch {
    pub(crate) jobs: Vec<RankJob>,
    /// How far the lists are published once these are.
    pub(crate) covers: Covers,
}

/// Makes published neighbour lists.
pub(crate) struct Ranker {
    context: Arc<Context>,
    sums: Sums,
}

/// What is known of a row's candidates, in their order.
type KnownCandidates = Vec<Option<Arc<Known>>>;

/// Lists of other products read at a time, at most.
const MAX_READ: usize = 1_000;

impl Ranker {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context, sums: Sums::default() }
    }

    /// Works on batches until the sending side is dropped.
    pub(crate) async fn run(mut self, queue: Arc<PublishQueue>, mut batches: mpsc::Receiver<RankBatch>) {
        while let Some(batch) = batches.recv().await {
            // Ranking is pure computation: let others run in between.
            tokio::task::yield_now().await;
            queue.submit(self.rank_all(&batch.jobs).await, true);
            queue.covers(batch.covers);
        }
    }

    /// The published lists of the jobs' products, by their keys.
    pub(crate) async fn rank_all(&mut self, jobs: &[RankJob]) -> Vec<(String, Bytes)> {
        let (lists, now) = (&self.context.lists, Instant::now());
        let mut missing = Vec::new();
        let mut look = |product: Symbol| {
            let (known, is_due) = lists.look(product, now);
            if is_due {
                missing.push(product);
            }
            known
        };
        let mut candidates =
            |job: &RankJob| job.co.candidates().map(|candidate| look(candidate.product)).collect();
        let mut known: Vec<KnownCandidates> = jobs.iter().map(&mut candidates).collect();
        self.read_others(missing, now).await;
        jobs.iter().zip(&mut known).map(|(job, known)| self.rank(job, known)).collect()
    }

    fn rank(&mut self, job: &RankJob, known: &mut KnownCandidates) -> (String, Bytes) {
        let Context { lists, names, parts, config, .. } = &*self.context;
        for (candidate, known) in
            job.co.candidates().zip(known.iter_mut()).filter(|(_, known)| known.is_none())
        {
            // It was read meanwhile, or is another job's.
            *known = lists.get(candidate.product);
        }
        let name_order = |a: Symbol, b: Symbol| -> Ordering { names.name(a).cmp(names.name(b)) };
        let popularity_of = |at: usize, _: Symbol| known[at].as_ref().map(|known| known.direct.popularity);
        let direct = direct_list(&job.co, job.newest_ms, popularity_of, name_order);
        let own = Arc::new(Known { direct, category: job.category.clone() });
        lists.put(job.product, Arc::clone(&own));
        let list_of = |product: Symbol| known[job.co.index_of(product)?].as_ref().map(|known| &known.direct);
        let scored = two_hop_list(job.product, &own.direct, list_of, name_order, &mut self.sums);
        let category_of = |product: Symbol, id: &str| match parts.catalog.lookup(id) {
            Some(product) if !product.active => None,
            Some(product) => {
                Some(product.category_path.last().map(|leaf| leaf.as_ref().into()).unwrap_or_default())
            }
            None => Some(lists.get(product).map(|known| known.category.clone()).unwrap_or_default()),
        };
        let RankJob { version, newest_ms, .. } = *job;
        let category = job.category.clone();
        let list = published_list(version, newest_ms, category, &own.direct, &scored, names, category_of);
        (neighbours_key(config.generation, names.name(job.product)), Bytes::from(list.encode()))
    }

    /// Reads the published lists of products that this process has not ranked itself, in one round trip.
    async fn read_others(&self, mut missing: Vec<Symbol>, now: Instant) {
        let Context { lists, names, parts, config, .. } = &*self.context;
        missing.sort_unstable_by_key(|product| product.0);
        missing.dedup();
        missing.truncate(MAX_READ);
        if missing.is_empty() {
            return;
        }
        let keys: Vec<String> =
            missing.iter().map(|&product| neighbours_key(config.generation, names.name(product))).collect();
        // Without an answer the lists are ranked from what is known, and again at the product's next change.
        let Ok(values) = parts.serving.get_many(&keys).await else { return };
        for (product, value) in missing.into_iter().zip(values) {
            let list = value.and_then(|value| NeighbourList::decode(&value).ok());
            let known = list.map(|list| Known { direct: direct_of(&list, names), category: list.category });
            lists.read(product, known, now);
        }
    }
}
