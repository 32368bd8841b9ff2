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

/// The lists that one is filled by way of, where they are known.
type Hops = Vec<Option<Arc<Known>>>;

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
        let now = Instant::now();
        self.read_others(self.unknown_candidates(jobs, now), now).await;
        let direct: Vec<Arc<Known>> = jobs.iter().map(|job| self.rank_directly(job, now)).collect();
        let mut missing = Vec::new();
        let hops = |known: &Arc<Known>| {
            let look = |product| {
                let (known, is_due) = self.context.lists.look(product, now);
                if is_due {
                    missing.push(product);
                }
                known
            };
            known.direct.hops().map(look).collect()
        };
        let mut hops: Vec<Hops> = direct.iter().map(hops).collect();
        self.read_others(missing, now).await;
        let all = jobs.iter().zip(&direct).zip(&mut hops);
        all.map(|((job, direct), hops)| self.fill(job, direct, hops, now)).collect()
    }

    /// The candidates of which too little is known, or too long ago.
    fn unknown_candidates(&self, jobs: &[RankJob], now: Instant) -> Vec<Symbol> {
        let lists = &self.context.lists;
        let outlines = lists.outlines(now);
        let products = jobs.iter().flat_map(|job| job.co.candidates()).map(|candidate| candidate.product);
        products.filter(|&product| !outlines.is_own(product) && lists.look(product, now).1).collect()
    }

    /// Ranks the candidates of a row, for the lists of others, too.
    fn rank_directly(&self, job: &RankJob, now: Instant) -> Arc<Known> {
        let Context { lists, names, .. } = &*self.context;
        let outlines = lists.outlines(now);
        let name_order = |a: Symbol, b: Symbol| names.name(a).cmp(names.name(b));
        let popularity_of = |product| outlines.popularity_of(product);
        let direct = direct_list(&job.co, job.newest_ms, popularity_of, name_order);
        drop(outlines);
        let known = Arc::new(Known { direct, category: job.category.clone() });
        lists.put(job.product, Arc::clone(&known), now);
        known
    }

    /// Fills a list by way of its neighbours' lists.
    fn fill(&mut self, job: &RankJob, own: &Known, hops: &mut Hops, now: Instant) -> (String, Bytes) {
        let Context { lists, names, parts, config, .. } = &*self.context;
        for (product, known) in own.direct.hops().zip(hops.iter_mut()).filter(|(_, known)| known.is_none()) {
            *known = lists.get(product); // it may have been read meanwhile
        }
        let known = hops.iter().map(|known| known.as_ref().map(|known| &known.direct));
        let name_order = |a: Symbol, b: Symbol| names.name(a).cmp(names.name(b));
        let scored = two_hop_list(job.product, &own.direct, known, name_order, &mut self.sums);
        let outlines = lists.outlines(now);
        let category_of = |product: Symbol, id: &str| match parts.catalog.lookup(id) {
            Some(product) if !product.active => None,
            Some(product) => {
                Some(product.category_path.last().map(|leaf| leaf.as_ref().into()).unwrap_or_default())
            }
            None => Some(lists.category_of(&outlines, product)),
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
