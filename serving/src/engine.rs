//! How an answer is made: what is read, in which order, and how the tiers fill it up.

mod filter;
mod freshness;
mod reasons;
mod shopper;
mod tiers;

use crate::answer::{
    History, HistoryItem, Recommendations, Similar, SimilarItem, Tier, TrendingAnswer, TrendingItem,
};
use crate::budget;
use crate::config::ServingConfig;
use crate::degraded::Degraded;
use crate::metrics;
use crate::near::Published;
use crate::reader::{Read, Reader};
use crate::request::{HistoryRequest, RecommendationRequest, SimilarRequest, TrendingRequest};
use crate::snapshots::{Markers, Snapshots, TrendingLists};
use catalog::Catalog;
use filter::Filter;
use freshness::{Freshly, rfc3339};
use recommender::VotingList;
use recommender::ranking::rank;
use recommender::session::{Session, session_of};
use recommender::settings::COLD_START;
use recommender::trending::RISE_UNIT;
use schemas::published::{HistoryEntry, SessionShape, Trend, Window};
use schemas::{EventKind, Position};
use service_runtime::SharedClock;
use shopper::Shopper;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tiers::Tiers;
use tokio::time::Instant;
use uuid::Uuid;

/// Makes answers from the precomputed state of one generation.
pub(crate) struct Engine {
    pub(crate) config: Arc<ServingConfig>,
    pub(crate) reader: Reader,
    pub(crate) snapshots: Snapshots,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) clock: SharedClock,
}

/// What the products given in a request are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Given {
    /// The session so far, the last one last.
    Session,
    /// A cart: a set of which each product counts the same, and which is not offered again.
    Cart,
}

/// What is read once the session is known: round trip 2, and snapshots at the same time.
struct Basis {
    lists: Vec<Published>,
    category: Option<String>,
    in_category: Option<Read<Arc<TrendingLists>>>,
    everywhere: Read<Arc<TrendingLists>>,
    degraded: Option<Degraded>,
}

impl Engine {
    /// One for another generation, with nothing read yet.
    pub(crate) fn of(&self, generation: u16) -> Self {
        let reader = self.reader.of(generation);
        Self {
            config: Arc::clone(&self.config),
            snapshots: Snapshots::new(&self.config, reader.clone()),
            reader,
            catalog: Arc::clone(&self.catalog),
            clock: Arc::clone(&self.clock),
        }
    }

    /// Makes an answer in its time, whatever the stores do.
    pub(crate) async fn in_time<F: Future>(&self, min_position: Option<Position>, answer: F) -> F::Output {
        let wait = min_position.map_or(Duration::ZERO, |_| self.config.position_wait());
        budget::within(self.config.answer_budget() + wait, answer).await
    }

    /// Products for a shopper.
    pub(crate) async fn recommend(
        &self,
        request: &RecommendationRequest,
        given: Given,
        route: &'static str,
    ) -> Recommendations {
        let begun = Instant::now();
        let user = request.user();
        let markers = self.snapshots.markers().await;
        let asked = self.shopper(user.as_ref(), request.min_position, &markers);
        let presented = entries_of(&request.product_id);
        // The stream's time, not the clock's: a replay of old events is no long pause.
        let now_ms = markers.stream_time_ms();
        let (shopper, session, basis);
        if presented.is_empty() {
            shopper = asked.await;
            session = session_from(&shopper.history.entries, given, now_ms);
            basis = self.basis(&session, request, &markers).await;
        } else {
            session = session_from(&presented, given, None);
            (shopper, basis) = tokio::join!(asked, self.basis(&session, request, &markers));
        }
        let entries = if presented.is_empty() { &shopper.history.entries } else { &presented };
        let filter = self.filter(request, given, &shopper);
        let repeats = self.snapshots.repeats().await;
        let k = request.k as usize;
        let lists: Vec<Option<&VotingList>> = basis.lists.iter().map(Option::as_deref).collect();
        let ranked = rank(&session, &lists, &repeats.value, |id, category| filter.keep(id, category), k);

        let mut tiers = Tiers::new(k, &filter, request.explain);
        tiers.personalized(ranked, &session, entries, given);
        self.top_up(&mut tiers, &basis, request.window);
        let degraded = shopper.degraded.max(basis.degraded).max(repeats.degraded);
        let degraded = degraded.max(tiers.degraded());
        let marker = match &user {
            Some(_) => shopper.partition.and_then(|partition| markers.shopper(partition)),
            None => markers.slowest_product(),
        };
        let freshness = self.freshness(Freshly { marker, degraded, ..shopper.freshly() });
        let (strategy, items) = tiers.finish();
        let took = begun.elapsed();
        metrics::answered(route, strategy.name(), degraded, took);
        Recommendations {
            recommendation_id: Uuid::now_v7().to_string(),
            user_id: request.user_id.clone(),
            anonymous_id: request.anonymous_id.clone(),
            k: request.k,
            strategy,
            items,
            freshness,
            took_ms: millis(took),
        }
    }

    /// What goes with a product.
    pub(crate) async fn similar(&self, request: &SimilarRequest) -> Similar {
        let begun = Instant::now();
        let markers = self.snapshots.markers().await;
        let read = self.neighbours(&[&request.product_id], &markers).await;
        let mut filter = Filter::new(&self.catalog, request.category_id.as_deref());
        filter.exclude([request.product_id.as_str()]);
        filter.exclude(request.exclude.iter().map(String::as_str));
        let entries = read.value.iter().flatten().flat_map(|list| &list.entries);
        let items = entries
            .filter(|entry| filter.keep(&entry.product_id, &entry.category))
            .take(request.k as usize)
            .zip(1..)
            .map(|(entry, rank)| SimilarItem {
                product_id: entry.product_id.to_string(),
                score: entry.score.into(),
                rank,
                count: entry.count,
            })
            .collect();
        let marker = markers.product_of(&request.product_id);
        let freshness = self.freshness(Freshly { marker, degraded: read.degraded, ..Freshly::default() });
        let took = begun.elapsed();
        metrics::answered("similar", "none", read.degraded, took);
        let product_id = request.product_id.clone();
        Similar { product_id, k: request.k, items, freshness, took_ms: millis(took) }
    }

    /// What trends.
    pub(crate) async fn trending(&self, request: &TrendingRequest) -> TrendingAnswer {
        let begun = Instant::now();
        let markers = self.snapshots.markers().await;
        let read = self.snapshots.trending(request.category_id.as_deref()).await;
        let filter = Filter::new(&self.catalog, request.category_id.as_deref());
        let trend = request.trend();
        let unit = if trend == Trend::Rising { RISE_UNIT } else { 1.0 };
        let entries = read.value.of(trend).iter();
        let items = entries
            .filter(|entry| filter.keep(&entry.product_id, &entry.category))
            .take(request.k as usize)
            .zip(1..)
            .map(|(entry, rank)| TrendingItem {
                product_id: entry.product_id.clone(),
                score: entry.score as f64 / unit,
                rank,
                count: entry.count,
            })
            .collect();
        let marker = markers.slowest_product();
        let freshness = self.freshness(Freshly { marker, degraded: read.degraded, ..Freshly::default() });
        let took = begun.elapsed();
        metrics::answered("trending", "none", read.degraded, took);
        TrendingAnswer {
            rank: request.rank,
            window: match trend {
                Trend::Popular(window) => Some(window),
                Trend::Rising => None,
            },
            category_id: request.category_id.clone(),
            k: request.k,
            items,
            freshness,
            took_ms: millis(took),
        }
    }

    /// What a shopper did lately.
    pub(crate) async fn history(&self, request: HistoryRequest) -> History {
        let begun = Instant::now();
        let markers = self.snapshots.markers().await;
        let user = request.user();
        let shopper = self.shopper(Some(&user), request.min_position, &markers).await;
        let marker = shopper.partition.and_then(|partition| markers.shopper(partition));
        let freshness = self.freshness(Freshly { marker, ..shopper.freshly() });
        let degraded = shopper.degraded;
        let entries = shopper.history.entries.into_iter().take(request.k as usize);
        let items = entries
            .map(|entry| HistoryItem {
                product_id: entry.product_id,
                event_type: entry.kind,
                timestamp: rfc3339(entry.timestamp_ms),
            })
            .collect();
        let took = begun.elapsed();
        metrics::answered("history", "none", degraded, took);
        let (user_id, anonymous_id) =
            if request.anonymous { (None, Some(request.id)) } else { (Some(request.id), None) };
        History { user_id, anonymous_id, k: request.k, items, freshness, took_ms: millis(took) }
    }

    async fn basis(
        &self,
        session: &Session<'_>,
        request: &RecommendationRequest,
        markers: &Markers,
    ) -> Basis {
        let products: Vec<&str> = session.products.iter().map(|seen| seen.product_id).collect();
        let mut category =
            request.category_id.clone().or_else(|| self.leaf_category(products.first().copied()));
        let in_category = async {
            match &category {
                Some(name) => Some(self.snapshots.trending(Some(name)).await),
                None => None,
            }
        };
        let (read, mut in_category, everywhere) =
            tokio::join!(self.neighbours(&products, markers), in_category, self.snapshots.trending(None));
        if category.is_none() {
            // Known to the published lists only. Its trending lists are not waited for: that would be a third round trip.
            let own = read.value.first().and_then(Option::as_deref).map(|list| &list.category);
            category = own.filter(|name| !name.is_empty()).map(ToString::to_string);
            in_category = category.as_deref().and_then(|name| self.snapshots.trending_at_hand(name));
        }
        Basis { lists: read.value, category, in_category, everywhere, degraded: read.degraded }
    }

    /// The published neighbour lists of `products`, in their order.
    async fn neighbours(&self, products: &[&str], markers: &Markers) -> Read<Vec<Published>> {
        let complete = |index: usize| markers.neighbours_complete(products[index]);
        self.reader.lists(products, complete).await
    }

    fn leaf_category(&self, product: Option<&str>) -> Option<String> {
        Some(self.catalog.lookup(product?)?.category_path.last()?.as_ref().to_owned())
    }

    fn filter<'a>(
        &'a self,
        request: &'a RecommendationRequest,
        given: Given,
        shopper: &'a Shopper,
    ) -> Filter<'a> {
        let mut filter = Filter::new(&self.catalog, request.category_id.as_deref());
        filter.exclude(request.exclude.iter().map(String::as_str));
        filter.exclude_seen(request.seen, &shopper.history.entries, &request.product_id);
        if given == Given::Cart {
            filter.exclude(request.product_id.iter().map(String::as_str));
        }
        filter
    }

    /// Fills up from what trends: in the category first, then everywhere; without a window asked for, from the last hour
    /// first and the longer ones where that is not enough.
    fn top_up(&self, tiers: &mut Tiers<'_>, basis: &Basis, window: Option<Window>) {
        let windows = match &window {
            Some(window) => std::slice::from_ref(window),
            None => &COLD_START,
        };
        if let Some(category) = &basis.category {
            for &window in windows {
                match &basis.in_category {
                    Some(lists) => {
                        tiers.trending(Tier::ColdStartCategory, window, Some(category), lists, |_| true)
                    }
                    None => tiers.trending(
                        Tier::ColdStartCategory,
                        window,
                        Some(category),
                        &basis.everywhere,
                        |entry| self.catalog.in_category(&entry.product_id, category, &entry.category),
                    ),
                }
            }
        }
        for &window in windows {
            tiers.trending(Tier::Trending, window, None, &basis.everywhere, |_| true);
        }
    }
}

fn session_from(entries: &[HistoryEntry], given: Given, now_ms: Option<i64>) -> Session<'_> {
    let mut session = session_of(entries, now_ms);
    if given == Given::Cart {
        session.products.iter_mut().for_each(|seen| seen.weight = 1.0);
        // Nothing of it is offered again, so it has no chances of a return.
        session.shape = SessionShape::default();
    }
    session
}

/// Products given by a caller as a history, the newest first, all of one session.
fn entries_of(products: &[String]) -> Vec<HistoryEntry> {
    let entry = |product_id: &String| HistoryEntry {
        product_id: product_id.clone(),
        kind: EventKind::View,
        timestamp_ms: 0,
    };
    products.iter().rev().map(entry).collect()
}

fn millis(took: Duration) -> f64 {
    took.as_micros() as f64 / 1000.0
}
