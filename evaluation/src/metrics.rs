//! Hit rate and mean reciprocal rank at 20.

use crate::data::Id;
use serde::Serialize;

/// Length of every list.
pub const K: usize = 20;

/// Sums over targets.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tally {
    /// Targets.
    pub targets: u64,
    /// Targets that are in the list.
    pub hits: u64,
    /// Sum of 1/rank over the hits.
    pub reciprocal: f64,
    /// Targets that are new to the session.
    pub novel: u64,
    /// Hits among these.
    pub novel_hits: u64,
    /// Items listed.
    pub listed: u64,
    /// Items listed that are new to the session.
    pub listed_novel: u64,
}

impl Tally {
    /// Counts one list, the best first, against what came.
    pub fn add(&mut self, list: &[Id], target: Id, known: impl Fn(Id) -> bool) {
        let novel = !known(target);
        self.targets += 1;
        self.novel += u64::from(novel);
        if let Some(place) = list.iter().take(K).position(|item| *item == target) {
            self.hits += 1;
            self.reciprocal += 1.0 / (place + 1) as f64;
            self.novel_hits += u64::from(novel);
        }
        self.listed += list.len().min(K) as u64;
        self.listed_novel += list.iter().take(K).filter(|item| !known(**item)).count() as u64;
    }

    /// The shares.
    pub fn metrics(&self) -> Metrics {
        let share = |part: f64, whole: u64| if whole == 0 { 0.0 } else { part / whole as f64 };
        Metrics {
            hr_at_20: share(self.hits as f64, self.targets),
            mrr_at_20: share(self.reciprocal, self.targets),
            novel_hr_at_20: share(self.novel_hits as f64, self.novel),
            novel_share: share(self.listed_novel as f64, self.listed),
        }
    }
}

/// What an algorithm reaches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Metrics {
    /// Share of targets within the first 20.
    pub hr_at_20: f64,
    /// Mean of 1/rank within the first 20, 0 beyond.
    pub mrr_at_20: f64,
    /// `hr_at_20` over targets that are new to the session (or the user).
    pub novel_hr_at_20: f64,
    /// Share of the recommended products that are new to the session (or the user).
    pub novel_share: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_those_of_a_count_by_hand() {
        let mut tally = Tally::default();
        tally.add(&[5, 6, 7], 6, |item| item == 5);
        tally.add(&[5], 5, |item| item == 5);
        tally.add(&[5], 8, |item| item == 5);
        let metrics = tally.metrics();
        assert!((metrics.hr_at_20 - 2.0 / 3.0).abs() < 1e-12);
        assert!((metrics.mrr_at_20 - 0.5).abs() < 1e-12);
        assert!((metrics.novel_hr_at_20 - 0.5).abs() < 1e-12);
        assert!((metrics.novel_share - 0.4).abs() < 1e-12);
    }

    #[test]
    fn what_comes_after_the_20th_place_is_a_miss() {
        let mut tally = Tally::default();
        tally.add(&(0..30).collect::<Vec<_>>(), 20, |_| false);
        assert_eq!((tally.hits, tally.listed), (0, 20));
    }
}
