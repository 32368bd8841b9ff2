//! Our own algorithm, in this process: the rows, lists and ranking of the `recommender` crate, put together as the stream
//! processor and serving do, without logs and stores.

use crate::Map;
use crate::data::{Click, Id};
use recommender::neighbours::{DirectList, Sums, direct_list, two_hop_list};
use recommender::publishing::published_list;
use recommender::ranking::rank;
use recommender::session::session_of;
use recommender::user_row::{HISTORY_EVENTS, Observation};
use recommender::{Interner, ProductRow, Symbol, UserRow, VotingList};
use schemas::published::{HistoryEntry, NeighbourList, RepeatTable};
use std::cmp::Ordering;
use std::sync::Arc;

/// What was learnt so far, and what of it is published.
pub struct Model {
    names: Arc<Interner>,
    ids: Vec<String>,
    users: Map<Id, UserRow>,
    rows: Vec<ProductRow>,
    repeats: RepeatTable,
    events: u64,
    direct: Vec<DirectList>,
    lists: Vec<Option<VotingList>>,
    published_repeats: RepeatTable,
    changed: Vec<Id>,
    is_changed: Vec<bool>,
}

impl Model {
    /// Knows nothing yet of `items`, which it is given the names of.
    pub fn new(items: &[String]) -> Self {
        let names = Arc::new(Interner::default());
        // An item's number is its symbol's.
        for (number, item) in items.iter().enumerate() {
            assert_eq!(names.intern(item), Symbol(number as u32), "names are distinct");
        }
        let count = items.len();
        Self {
            names,
            ids: items.to_vec(),
            users: Map::default(),
            rows: (0..count).map(|_| ProductRow::default()).collect(),
            repeats: RepeatTable::default(),
            events: 0,
            direct: vec![DirectList::default(); count],
            lists: vec![None; count],
            published_repeats: RepeatTable::default(),
            changed: Vec::new(),
            is_changed: vec![false; count],
        }
    }

    /// Takes an event into the rows. What is published stays as it is until [`Self::publish`].
    pub fn learn(&mut self, click: &Click) {
        self.events += 1;
        let observation = Observation {
            product: Symbol(click.item),
            kind: click.kind,
            timestamp_ms: click.timestamp_ms,
            append_time_ms: click.timestamp_ms,
            fingerprint: self.events,
        };
        let effects = self.users.entry(click.user).or_default().apply(&observation);
        self.rows[click.item as usize].observe(click.kind, effects.weight, None, click.timestamp_ms);
        if effects.repeat_distance.is_some() {
            self.rows[click.item as usize].observe_return(effects.weight, click.timestamp_ms);
        }
        self.change(click.item);
        if let Some(shape) = &effects.session {
            self.repeats.observe(shape, effects.repeat_distance);
        }
        for pair in &effects.pairs {
            self.rows[click.item as usize].add_pair(pair.earlier, pair.backward, click.timestamp_ms);
            self.rows[pair.earlier.0 as usize].add_pair(Symbol(click.item), pair.forward, click.timestamp_ms);
            self.change(pair.earlier.0);
        }
    }

    /// Forgets a user's history, as when it is of no use any more.
    pub fn close(&mut self, user: Id) {
        self.users.remove(&user);
    }

    fn change(&mut self, item: Id) {
        if !std::mem::replace(&mut self.is_changed[item as usize], true) {
            self.changed.push(item);
        }
    }

    /// Ranks the lists of all products that changed, and publishes them.
    pub fn publish(&mut self) {
        let changed = std::mem::take(&mut self.changed);
        let names = Arc::clone(&self.names);
        let by_id = |a: Symbol, b: Symbol| -> Ordering { names.name(a).cmp(names.name(b)) };
        for &item in &changed {
            self.is_changed[item as usize] = false;
            let row = &self.rows[item as usize];
            let popularity_of = |product: Symbol| Some(*self.rows[product.0 as usize].co.popularity());
            self.direct[item as usize] = direct_list(&row.co, row.buckets.newest_ms(), popularity_of, by_id);
        }
        let mut sums = Sums::default();
        for &item in &changed {
            let (direct, row) = (&self.direct[item as usize], &self.rows[item as usize]);
            let list_of = |product: Symbol| Some(&self.direct[product.0 as usize]);
            let scored = two_hop_list(Symbol(item), direct, direct.hops().map(list_of), by_id, &mut sums);
            let (version, newest_ms) = (row.version, row.buckets.newest_ms());
            let category_of = |_, _: &str| Some(Default::default());
            let list = published_list(
                version,
                newest_ms,
                Default::default(),
                direct,
                &scored,
                &self.names,
                category_of,
            );
            // Through the packed form: what serving sees.
            self.lists[item as usize] = NeighbourList::decode(&list.encode()).ok().map(VotingList::of);
        }
        self.published_repeats = self.repeats.clone();
    }

    /// Products changed since they were published last.
    pub fn unpublished(&self) -> usize {
        self.changed.len()
    }

    /// The best `k` products after `history`, the oldest event first, at a time (`None` = in the same session). Without
    /// `repeats`, products of the history are left out.
    pub fn recommend(&self, history: &[Click], now_ms: Option<i64>, k: usize, repeats: bool) -> Vec<Id> {
        let kept = &history[history.len().saturating_sub(HISTORY_EVENTS)..];
        let entries: Vec<HistoryEntry> = kept
            .iter()
            .rev()
            .map(|click| HistoryEntry {
                product_id: self.ids[click.item as usize].clone(),
                kind: click.kind,
                timestamp_ms: click.timestamp_ms,
            })
            .collect();
        let session = session_of(&entries, now_ms);
        let item_of = |id: &str| self.names.find(id).expect("lists name known items").0;
        let lists: Vec<Option<&VotingList>> = session
            .products
            .iter()
            .map(|seen| self.lists[item_of(seen.product_id) as usize].as_ref())
            .collect();
        let keep = |id: &str, _: &str| repeats || !entries.iter().any(|entry| entry.product_id == id);
        let ranked = rank(&session, &lists, &self.published_repeats, keep, k);
        ranked.iter().map(|ranked| item_of(&ranked.product_id)).collect()
    }

    /// Published lists' sizes in bytes when packed, for those that have neighbours.
    pub fn list_sizes(&self) -> Vec<usize> {
        let full = self.lists.iter().flatten().filter(|list| !list.entries.is_empty());
        full.map(|list| list.encode().len()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::EventKind;

    fn click(user: Id, item: Id, minute: i64) -> Click {
        Click { user, item, kind: EventKind::View, timestamp_ms: 1_700_000_000_000 + minute * 60_000 }
    }

    #[test]
    fn what_was_learnt_shows_once_it_is_published() {
        let items: Vec<String> = (0..6).map(|i| format!("i{i}")).collect();
        let mut model = Model::new(&items);
        for user in 0..4 {
            [0, 1, 2]
                .iter()
                .enumerate()
                .for_each(|(minute, &item)| model.learn(&click(user, item, minute as i64)));
        }
        assert!(model.recommend(&[click(9, 0, 10)], None, 20, false).is_empty());
        assert_eq!(model.unpublished(), 3);
        model.publish();
        let mut list = model.recommend(&[click(9, 0, 10)], None, 20, false);
        list.sort_unstable();
        assert_eq!(list, [1, 2]);
        assert!(model.recommend(&[click(9, 0, 10)], None, 20, true).contains(&0));
        assert_eq!(model.recommend(&[click(9, 1, 9), click(9, 0, 10)], None, 20, false), [2]);
        assert!(model.recommend(&[click(9, 5, 10)], None, 20, false).is_empty(), "nothing is known of it");
    }
}
