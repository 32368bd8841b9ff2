use super::Settings;
use crate::data::{EventLog, Id};
use crate::metrics::{K, Tally};
use crate::report::Report;
use crate::{Map, Set};
use recommender::settings::COLD_START;
use recommender::trending::{Demand, Ranking, TrendingIndex};
use recommender::user_row::{Observation, SESSION_GAP_MS};
use recommender::{Interner, ProductRow, Symbol, UserRow};
use schemas::published::Trend;

const HOUR_MS: i64 = 3_600_000;
/// The name of what serving answers.
const SERVED: &str = "served";

/// Products with their windows and decayed demand, and the index that ranks them: what the product stage keeps.
#[derive(Default)]
struct Shop {
    users: Map<Id, UserRow>,
    rows: Vec<ProductRow>,
    index: TrendingIndex,
    events: u64,
}

impl Shop {
    fn learn(&mut self, user: Id, observation: &Observation) {
        let weight = self.users.entry(user).or_default().apply(observation).weight;
        let (product, now_ms) = (observation.product, observation.timestamp_ms);
        let row = &mut self.rows[product.0 as usize];
        row.observe(observation.kind, weight, None, now_ms);
        self.index.update(product, &[""; 0], &Demand::of(row, now_ms), now_ms);
        self.events += 1;
    }

    fn best(&mut self, trend: Trend, now_ms: i64, names: &Interner) -> Vec<Id> {
        loop {
            match self.index.rank(trend, None, now_ms, |a, b| names.name(a).cmp(names.name(b))) {
                Ranking::Exact(best) => return best.iter().map(|best| best.product.0).take(K).collect(),
                Ranking::Needs(products) => {
                    for product in products {
                        let demand = Demand::of(&self.rows[product.0 as usize], now_ms);
                        self.index.update(product, &[""; 0], &demand, now_ms);
                    }
                }
            }
        }
    }
}

/// What serving answers to a shopper of whom it knows nothing: see [`COLD_START`].
fn served(lists: &[Vec<Id>]) -> Vec<Id> {
    let mut best: Vec<Id> = Vec::with_capacity(K);
    for item in COLD_START.iter().flat_map(|&window| &lists[Trend::Popular(window).index()]) {
        if best.len() < K && !best.contains(item) {
            best.push(*item);
        }
    }
    best
}

/// Predicts the first event of each session from what trends, as for a shopper of whom nothing is known, by each of the trending
/// lists, made anew every hour, and by what serving makes of them. What counts is what is new to the shopper: the others came back
/// to where they had left off.
pub fn cold_start(log: &EventLog, dataset: &str, settings: &Settings<'_>) -> Report {
    let names = Interner::default();
    log.items.iter().for_each(|item| {
        names.intern(item);
    });
    let mut shop = Shop::default();
    shop.rows.resize_with(log.items.len(), ProductRow::default);
    let mut last_ms: Map<Id, i64> = Map::default();
    let mut known: Set<(Id, Id)> = Set::default();
    let names_of_lists: Vec<&str> = Trend::ALL.iter().map(|trend| trend.name()).chain([SERVED]).collect();
    let mut counted = vec![vec![Tally::default(); log.users.len()]; names_of_lists.len()];
    let (mut lists, mut hour) = (vec![Vec::new(); names_of_lists.len()], i64::MIN);
    for (done, event) in log.events.iter().enumerate() {
        let now_ms = event.timestamp_ms;
        let before = last_ms.insert(event.user, now_ms);
        if done > 0 && before.is_none_or(|before| now_ms - before > SESSION_GAP_MS) {
            if now_ms / HOUR_MS != hour {
                hour = now_ms / HOUR_MS;
                lists = Trend::ALL.iter().map(|&trend| shop.best(trend, now_ms, &names)).collect();
                lists.push(served(&lists));
            }
            for (counted, list) in counted.iter_mut().zip(&lists) {
                counted[event.user as usize]
                    .add(list, event.item, |item| known.contains(&(event.user, item)));
            }
        }
        known.insert((event.user, event.item));
        let observation = Observation {
            product: Symbol(event.item),
            kind: event.kind,
            timestamp_ms: now_ms,
            append_time_ms: now_ms,
            fingerprint: shop.events,
        };
        shop.learn(event.user, &observation);
        if done % 500 == 0 {
            (settings.progress)("what trends", done, log.events.len());
        }
    }
    let mut tallies: Vec<_> = names_of_lists.into_iter().map(str::to_owned).zip(counted).collect();
    // First, so that it is what the others are compared with.
    tallies.rotate_right(1);
    Report::new("cold-start", dataset, &tallies)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Click;
    use schemas::EventKind;

    #[test]
    fn first_events_are_predicted_from_what_trends_then() {
        let click = |(hour, (user, item)): (i64, (Id, Id))| Click {
            user,
            item,
            kind: EventKind::View,
            timestamp_ms: 1_600_000_000_000 + hour * 2 * HOUR_MS,
        };
        // Each user begins with product 1, two hours after the one before, and goes on with product 2 at once.
        let events = (0..10).flat_map(|user| [(i64::from(user), (user, 1)), (i64::from(user), (user, 2))]);
        let log = EventLog {
            items: (0..3).map(|item| format!("i{item}")).collect(),
            users: (0..10).map(|user| format!("u{user}")).collect(),
            events: events.map(click).collect(),
            held_out: None,
        };
        let settings = Settings { algorithms: Vec::new(), first_prefix: None, progress: &|_, _, _| () };
        let report = cold_start(&log, "shop", &settings);
        assert_eq!(report.targets, 9, "all but the very first");
        let found =
            |name: &str| report.algorithms.iter().find(|row| row.name == name).unwrap().metrics.hr_at_20;
        assert_eq!(found("1h"), 0.0, "it is empty by then");
        assert_eq!(found("24h"), 1.0);
        assert_eq!(found("served"), 1.0, "filled up from the last week");
        assert!((found("rising") - 4.0 / 9.0).abs() < 1e-9, "once there are more than five");
    }
}
