use super::{Filter, Given, reasons};
use crate::answer::{Item, Reason, Tier};
use crate::degraded::Degraded;
use crate::reader::Read;
use crate::snapshots::TrendingLists;
use foldhash::fast::RandomState;
use hashbrown::HashSet;
use recommender::ranking::Ranked;
use recommender::session::Session;
use schemas::published::{HistoryEntry, TrendingEntry, Window};
use std::sync::Arc;

/// An answer that is filled up tier by tier, without a product twice.
pub(crate) struct Tiers<'a> {
    k: usize,
    filter: &'a Filter<'a>,
    explain: bool,
    items: Vec<Item>,
    degraded: Option<Degraded>,
}

impl<'a> Tiers<'a> {
    pub(crate) fn new(k: usize, filter: &'a Filter<'a>, explain: bool) -> Self {
        Self { k, filter, explain, items: Vec::with_capacity(k), degraded: None }
    }

    /// Takes what was ranked for the session, which the filter has seen already.
    pub(crate) fn personalized(
        &mut self,
        ranked: Vec<Ranked>,
        session: &Session<'_>,
        entries: &[HistoryEntry],
        given: Given,
    ) {
        for item in ranked.into_iter().take(self.k) {
            let reason = self.explain.then(|| reasons::ranked(&item, session, entries, given)).flatten();
            self.push(item.product_id, item.score, Tier::Personalized, reason);
        }
    }

    /// Fills up from a trending list, of which only what `belongs` is taken.
    pub(crate) fn trending(
        &mut self,
        tier: Tier,
        window: Window,
        category: Option<&str>,
        lists: &Read<Arc<TrendingLists>>,
        belongs: impl Fn(&TrendingEntry) -> bool,
    ) {
        if self.items.len() == self.k {
            return;
        }
        self.degraded = self.degraded.max(lists.degraded);
        // Most answers are full before this: only now it matters what they have.
        let mut taken: HashSet<String, RandomState> =
            self.items.iter().map(|item| item.product_id.clone()).collect();
        for entry in lists.value.of(window) {
            if self.items.len() == self.k {
                break;
            }
            if !taken.contains(&entry.product_id)
                && self.filter.keep(&entry.product_id, &entry.category)
                && belongs(entry)
            {
                let reason = self.explain.then(|| reasons::trending(entry, window, category));
                taken.insert(entry.product_id.clone());
                self.push(entry.product_id.clone(), entry.score as f64, tier, reason);
            }
        }
    }

    /// Whether any of the lists used came by a detour.
    pub(crate) fn degraded(&self) -> Option<Degraded> {
        self.degraded
    }

    /// What carries the answer, and its items.
    pub(crate) fn finish(self) -> (Tier, Vec<Item>) {
        let from = |tier| self.items.iter().filter(|item| item.source == tier).count();
        let (personalized, category, everywhere) =
            (from(Tier::Personalized), from(Tier::ColdStartCategory), from(Tier::Trending));
        let strategy = if personalized * 2 >= self.k || (personalized > 0 && category + everywhere == 0) {
            Tier::Personalized
        } else if category > 0 {
            Tier::ColdStartCategory
        } else {
            Tier::Trending
        };
        (strategy, self.items)
    }

    fn push(&mut self, product_id: String, score: f64, source: Tier, reason: Option<Reason>) {
        let rank = self.items.len() as u32 + 1;
        self.items.push(Item { product_id, score, rank, source, reason });
    }
}
