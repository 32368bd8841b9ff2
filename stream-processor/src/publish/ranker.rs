use super::{Covers, PublishQueue};
use crate::context::Context;
use bytes::Bytes;
use recommender::Symbol;
use recommender::co_occurrence::CoOccurrence;
use recommender::neighbours::{DirectList, Sums, direct_list, two_hop_list};
use recommender::publishing::{direct_of, published_list};
use schemas::Version;
use schemas::names::neighbours_key;
use schemas::published::NeighbourList;
use smol_str::SmolStr;
use std::sync::Arc;
use tokio::sync::mpsc;

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

/// A product's direct neighbours, and those of the nearest of them, in their order.
struct Ranked {
    direct: Arc<DirectList>,
    hops: Vec<Option<Arc<DirectList>>>,
}

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
        let lists = &self.context.lists;
        let now = lists.now();
        let candidates = jobs.iter().flat_map(|job| job.co.candidates());
        let products = candidates.map(|candidate| candidate.product);
        self.read_others(products.filter(|&product| lists.is_due(product, now)).collect(), now).await;

        let direct: Vec<Arc<DirectList>> = jobs.iter().map(|job| self.rank_direct(job)).collect();
        let hops = |direct: Arc<DirectList>| {
            let hops = direct.hops().iter().map(|hop| lists.list(hop.product)).collect();
            Ranked { direct, hops }
        };
        let mut ranked: Vec<Ranked> = direct.into_iter().map(hops).collect();
        self.read_evicted(&mut ranked, now).await;
        jobs.iter().zip(&ranked).map(|(job, ranked)| self.published(job, ranked)).collect()
    }

    /// The direct neighbours of a job's product, which other jobs may use from now on.
    fn rank_direct(&self, job: &RankJob) -> Arc<DirectList> {
        let Context { lists, names, .. } = &*self.context;
        let popularity_of = |_: usize, product: Symbol| lists.popularity(product);
        let by_name = |a: Symbol, b: Symbol| names.name(a).cmp(names.name(b));
        let direct = Arc::new(direct_list(&job.co, job.newest_ms, popularity_of, by_name));
        lists.put(job.product, Arc::clone(&direct), job.category.clone());
        direct
    }

    /// Completes the lists of the nearest neighbours with those that there was no room for in memory.
    async fn read_evicted(&self, ranked: &mut [Ranked], now: u32) {
        let lists = &self.context.lists;
        let missing = |ranked: &Ranked| -> Vec<Symbol> {
            let pairs = ranked.direct.hops().iter().zip(&ranked.hops);
            pairs.filter(|(_, list)| list.is_none()).map(|(hop, _)| hop.product).collect()
        };
        let evicted: Vec<Symbol> =
            ranked.iter().flat_map(missing).filter(|&product| lists.is_evicted(product)).collect();
        if evicted.is_empty() {
            return;
        }
        self.read_others(evicted, now).await;
        for Ranked { direct, hops } in ranked {
            for (hop, list) in direct.hops().iter().zip(hops).filter(|(_, list)| list.is_none()) {
                *list = lists.list(hop.product);
            }
        }
    }

    /// The list of a job's product as serving reads it.
    fn published(&mut self, job: &RankJob, ranked: &Ranked) -> (String, Bytes) {
        let Context { lists, names, parts, config, .. } = &*self.context;
        let Ranked { direct, hops } = ranked;
        let by_name = |a: Symbol, b: Symbol| names.name(a).cmp(names.name(b));
        let list_of = |at: usize, _: Symbol| hops[at].as_deref();
        let scored = two_hop_list(job.product, direct, list_of, by_name, &mut self.sums);
        let category_of = |product: Symbol, id: &str| match parts.catalog.lookup(id) {
            Some(product) if !product.active => None,
            Some(product) => {
                Some(product.category_path.last().map(|leaf| leaf.as_ref().into()).unwrap_or_default())
            }
            None => Some(lists.category(product)),
        };
        let list = published_list(job.version, job.category.clone(), direct, &scored, names, category_of);
        (neighbours_key(config.generation, names.name(job.product)), Bytes::from(list.encode()))
    }

    /// Reads published lists of products, in one round trip.
    async fn read_others(&self, mut missing: Vec<Symbol>, now: u32) {
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
            lists.read(product, list.map(|list| (direct_of(&list, names), list.category)), now);
        }
    }
}
