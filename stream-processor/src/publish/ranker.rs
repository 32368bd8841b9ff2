use super::PublishQueue;
use super::lists::Known;
use crate::context::Context;
use bytes::Bytes;
use recommender::Symbol;
use recommender::co_occurrence::CoOccurrence;
use recommender::neighbours::{direct_list, two_hop_list};
use recommender::publishing::{direct_of, published_list};
use schemas::Version;
use schemas::names::neighbours_key;
use schemas::published::NeighbourList;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc;

/// A product whose neighbours are to be ranked anew: a copy of the part of its row that this takes.
pub(crate) struct RankJob {
    pub(crate) product: Symbol,
    pub(crate) version: Version,
    pub(crate) category: String,
    /// Time of the product's newest event.
    pub(crate) newest_ms: i64,
    pub(crate) co: CoOccurrence,
}

/// Jobs to be ranked together.
pub(crate) struct RankBatch {
    pub(crate) jobs: Vec<RankJob>,
    /// Once these are published, the effects of all records before this offset are visible.
    pub(crate) covers: Option<u64>,
}

/// Makes published neighbour lists.
pub(crate) struct Ranker {
    context: Arc<Context>,
}

/// Lists of other products read at a time, at most.
const MAX_READ: usize = 1_000;

impl Ranker {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// Works on batches until the sending side is dropped.
    pub(crate) async fn run(self, queue: Arc<PublishQueue>, mut batches: mpsc::Receiver<RankBatch>) {
        while let Some(batch) = batches.recv().await {
            queue.submit(self.rank_all(&batch.jobs).await, true);
            if let Some(offset) = batch.covers {
                queue.covers(offset);
            }
        }
    }

    /// The published lists of the jobs' products, by their keys.
    pub(crate) async fn rank_all(&self, jobs: &[RankJob]) -> Vec<(String, Bytes)> {
        self.load_others(jobs).await;
        let mut values = Vec::with_capacity(jobs.len());
        for job in jobs {
            values.push(self.rank(job));
            // Ranking is pure computation: let others run in between.
            tokio::task::yield_now().await;
        }
        values
    }

    fn rank(&self, job: &RankJob) -> (String, Bytes) {
        let Context { lists, names, parts, config, .. } = &*self.context;
        let name_order = |a: Symbol, b: Symbol| -> Ordering { names.name(a).cmp(names.name(b)) };
        let known: HashMap<Symbol, Known> = job
            .co
            .candidates()
            .filter_map(|candidate| Some((candidate.product, lists.get(candidate.product)?)))
            .collect();
        let popularity_of = |product: Symbol| known.get(&product).map(|known| known.direct.popularity);
        let direct = Arc::new(direct_list(&job.co, job.newest_ms, popularity_of, name_order));
        lists.put(job.product, Known { direct: Arc::clone(&direct), category: job.category.as_str().into() });
        let list_of = |product: Symbol| known.get(&product).map(|known| &*known.direct);
        let scored = two_hop_list(job.product, &direct, list_of, name_order);
        let category_of = |product: Symbol, id: &str| match parts.catalog.lookup(id) {
            Some(product) if !product.active => None,
            Some(product) => {
                Some(product.category_path.last().map(|leaf| leaf.to_string()).unwrap_or_default())
            }
            None => {
                Some(lists.get(product).map(|known| known.category.as_ref().to_owned()).unwrap_or_default())
            }
        };
        let list = published_list(job.version, job.category.clone(), &direct, &scored, names, category_of);
        (neighbours_key(config.generation, names.name(job.product)), Bytes::from(list.encode()))
    }

    /// Reads the published lists of candidates that this process has not ranked itself, in one round trip.
    async fn load_others(&self, jobs: &[RankJob]) {
        let Context { lists, names, parts, config, .. } = &*self.context;
        let mut missing: Vec<Symbol> = jobs
            .iter()
            .flat_map(|job| job.co.candidates())
            .map(|candidate| candidate.product)
            .filter(|&product| lists.get(product).is_none())
            .collect();
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
            let Some(list) = value.and_then(|value| NeighbourList::decode(&value).ok()) else { continue };
            let direct = Arc::new(direct_of(&list, names));
            lists.put(product, Known { direct, category: list.category.into() });
        }
    }
}
