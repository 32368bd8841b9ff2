use super::PublishQueue;
use super::lists::Known;
use crate::context::Context;
use bytes::Bytes;
use recommender::Symbol;
use recommender::co_occurrence::CoOccurrence;
use recommender::neighbours::{DirectList, Scored, direct_list, two_hop_list};
use schemas::Version;
use schemas::names::neighbours_key;
use schemas::published::{Neighbour, NeighbourList};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc;

/// A product whose neighbours are to be ranked anew: a copy of the part of its row that this takes.
pub(crate) struct RankJob {
    pub(crate) product: Symbol,
    pub(crate) version: Version,
    pub(crate) category: String,
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
        let name_order = |a: Symbol, b: Symbol| -> Ordering { names.name(a).cmp(&names.name(b)) };
        let known: HashMap<Symbol, Known> = job
            .co
            .candidates()
            .filter_map(|candidate| Some((candidate.product, lists.get(candidate.product)?)))
            .collect();
        let popularity_of = |product: Symbol| {
            known.get(&product).map(|known| (known.direct.popularity, known.direct.landmark))
        };
        let direct = Arc::new(direct_list(&job.co, popularity_of, name_order));
        lists.put(job.product, Known { direct: Arc::clone(&direct), category: job.category.as_str().into() });
        let list_of = |product: Symbol| known.get(&product).map(|known| &*known.direct);
        let scored = two_hop_list(job.product, &direct, list_of, name_order);
        let neighbour = |entry: Scored| {
            let product_id = names.name(entry.product).as_ref().to_owned();
            let category = match parts.catalog.lookup(&product_id) {
                Some(product) if !product.active => return None,
                Some(product) => product.category_path.last().map(|leaf| leaf.to_string()),
                None => lists.get(entry.product).map(|known| known.category.as_ref().to_owned()),
            };
            let category = category.unwrap_or_default();
            Some(Neighbour { product_id, score: entry.score, count: entry.count, category })
        };
        let list = NeighbourList {
            version: job.version,
            landmark: direct.landmark,
            popularity: direct.popularity as f32,
            category: job.category.clone(),
            entries: scored.into_iter().filter_map(neighbour).collect(),
        };
        (neighbours_key(config.generation, &names.name(job.product)), Bytes::from(list.encode()))
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
            missing.iter().map(|&product| neighbours_key(config.generation, &names.name(product))).collect();
        // Without an answer the lists are ranked from what is known, and again at the product's next change.
        let Ok(values) = parts.serving.get_many(&keys).await else { return };
        for (product, value) in missing.into_iter().zip(values) {
            let Some(list) = value.and_then(|value| NeighbourList::decode(&value).ok()) else { continue };
            let direct = Arc::new(from_published(&list, &self.context));
            lists.put(product, Known { direct, category: list.category.into() });
        }
    }
}

/// What another process published, as far as it can be had back: entries that came by way of others are left out.
fn from_published(list: &NeighbourList, context: &Context) -> DirectList {
    let entries = list.entries.iter().filter(|entry| entry.count > 0).map(|entry| Scored {
        product: context.names.intern(&entry.product_id),
        score: entry.score,
        count: entry.count,
    });
    DirectList { landmark: list.landmark, popularity: f64::from(list.popularity), entries: entries.collect() }
}
