use super::Baseline;
use crate::Map;
use crate::data::{Click, Id};

/// Past sessions, and which hold an item.
#[derive(Default)]
struct Sessions {
    /// Distinct items of each session, in the order of their first event.
    items: Vec<Vec<Id>>,
    holding: Map<Id, Vec<u32>>,
}

impl Sessions {
    fn of(sessions: &[Vec<Click>]) -> Self {
        let mut all = Self::default();
        for (number, session) in sessions.iter().enumerate() {
            let mut items: Vec<Id> = Vec::new();
            for click in session {
                if !items.contains(&click.item) {
                    items.push(click.item);
                    all.holding.entry(click.item).or_default().push(number as u32);
                }
            }
            all.items.push(items);
        }
        all
    }

    /// The latest `sample` sessions that share an item with the given ones, ascending.
    fn sharing(&self, items: impl Iterator<Item = Id>, sample: usize) -> Vec<u32> {
        let mut found: Vec<u32> = items
            .filter_map(|item| self.holding.get(&item))
            .flat_map(|sessions| sessions.iter().copied())
            .collect();
        found.sort_unstable();
        found.dedup();
        found.drain(..found.len().saturating_sub(sample));
        found
    }
}

/// The `k` most similar, later sessions first among equals.
fn most_similar(mut similar: Vec<(f64, u32)>, k: usize) -> Vec<(f64, u32)> {
    let order = |a: &(f64, u32), b: &(f64, u32)| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1));
    if similar.len() > k {
        similar.select_nth_unstable_by(k - 1, order);
        similar.truncate(k);
    }
    similar
}

/// S-KNN: items of the 500 sessions most similar by cosine, among the latest 5,000 that share an item. Source: D. Jannach,
/// M. Ludewig, "When Recurrent Neural Networks Meet the Neighborhood for Session-Based Recommendation", RecSys 2017.
#[derive(Default)]
pub struct Sknn(Sessions);

impl Sknn {
    const NEIGHBOURS: usize = 500;
    const SAMPLE: usize = 5_000;
}

impl Baseline for Sknn {
    fn name(&self) -> &'static str {
        "sknn"
    }

    fn train(&mut self, sessions: &[Vec<Click>], _: usize) {
        self.0 = Sessions::of(sessions);
    }

    fn score(&self, history: &[Click], session: usize) -> Vec<(f64, Id)> {
        let mut current: Vec<Id> = history[session..].iter().map(|click| click.item).collect();
        current.sort_unstable();
        current.dedup();
        let similarity = |number: u32| {
            let items = &self.0.items[number as usize];
            let shared = items.iter().filter(|item| current.binary_search(item).is_ok()).count();
            (shared as f64 / ((current.len() * items.len()) as f64).sqrt(), number)
        };
        let sharing = self.0.sharing(current.iter().copied(), Self::SAMPLE);
        let similar = sharing.into_iter().map(similarity).collect();
        let mut scores: Map<Id, f64> = Map::default();
        for (similarity, number) in most_similar(similar, Self::NEIGHBOURS) {
            self.0.items[number as usize]
                .iter()
                .for_each(|item| *scores.entry(*item).or_default() += similarity);
        }
        scores.into_iter().map(|(item, score)| (score, item)).collect()
    }
}

/// VSTAN: S-KNN in which recent items of the session, recent sessions, and items near the last shared one count for more.
/// Source: M. Ludewig, N. Mauro, S. Latifi, D. Jannach, "Empirical Analysis of Session-Based Recommendation Algorithms", User
/// Modeling and User-Adapted Interaction 31, 2021; after D. Garg et al., "Sequence and Time Aware Neighborhood for
/// Session-based Recommendations: STAN", SIGIR 2019. Its constants were chosen on the same validation sets as ours.
#[derive(Default)]
pub struct Vstan(Sessions);

impl Vstan {
    const NEIGHBOURS: usize = 500;
    const SAMPLE: usize = 5_000;
    /// Events over which an item's weight in the session falls to e^-1.
    const SESSION_DECAY: f64 = 2.0;
    /// Share of the log over which a session's weight falls to e^-1.
    const AGE_DECAY: f64 = 0.5;
    /// Items over which the weight of an item falls to e^-1 with its distance from the last shared one.
    const DISTANCE_DECAY: f64 = 1.5;
}

impl Baseline for Vstan {
    fn name(&self) -> &'static str {
        "vstan"
    }

    fn train(&mut self, sessions: &[Vec<Click>], _: usize) {
        self.0 = Sessions::of(sessions);
    }

    fn score(&self, history: &[Click], session: usize) -> Vec<(f64, Id)> {
        let mut weights: Map<Id, f64> = Map::default();
        for (steps, click) in history[session..].iter().rev().enumerate() {
            weights.entry(click.item).or_insert((-(steps as f64) / Self::SESSION_DECAY).exp());
        }
        let norm = weights.values().map(|weight| weight * weight).sum::<f64>().sqrt();
        let total = self.0.items.len() as f64;
        let similarity = |number: u32| {
            let items = &self.0.items[number as usize];
            let dot: f64 = items.iter().filter_map(|item| weights.get(item)).sum();
            let age = 1.0 - f64::from(number) / total;
            (dot / (norm * (items.len() as f64).sqrt()) * (-age / Self::AGE_DECAY).exp(), number)
        };
        let mut shared: Vec<Id> = weights.keys().copied().collect();
        shared.sort_unstable();
        let similar = self.0.sharing(shared.into_iter(), Self::SAMPLE).into_iter().map(similarity).collect();
        let mut scores: Map<Id, f64> = Map::default();
        for (similarity, number) in most_similar(similar, Self::NEIGHBOURS) {
            let items = &self.0.items[number as usize];
            let Some(shared) = items.iter().rposition(|item| weights.contains_key(item)) else { continue };
            for (place, item) in items.iter().enumerate() {
                let near = (-(place.abs_diff(shared) as f64) / Self::DISTANCE_DECAY).exp();
                *scores.entry(*item).or_default() += similarity * near;
            }
        }
        scores.into_iter().map(|(item, score)| (score, item)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::recommended;
    use super::*;

    const TRAIN: &[&[Id]] = &[&[1, 2, 3], &[1, 4], &[5, 2, 6, 7, 8], &[9]];

    #[test]
    fn sessions_that_share_more_say_more() {
        assert_eq!(recommended(&mut Sknn::default(), TRAIN, &[1, 2])[..3], [1, 2, 3]);
        assert!(!recommended(&mut Sknn::default(), TRAIN, &[1, 2]).contains(&9));
    }

    #[test]
    fn what_stood_near_the_last_shared_item_comes_first() {
        let list = recommended(&mut Vstan::default(), TRAIN, &[2]);
        let place = |item: Id| list.iter().position(|listed| *listed == item).unwrap();
        assert!(place(6) < place(7) && place(7) < place(8));
    }

    #[test]
    fn the_last_item_of_a_session_counts_most() {
        let list = recommended(&mut Vstan::default(), &[&[1, 3], &[2, 4]], &[1, 2]);
        let place = |item: Id| list.iter().position(|listed| *listed == item).unwrap();
        assert!(place(4) < place(3));
    }
}
