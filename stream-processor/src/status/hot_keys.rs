//! Finds the most frequent key of a stream in little memory (Misra and Gries): what has more than one in [`COUNTERS`] of
//! the records is never missed, and no share is overstated.

use hashbrown::HashMap;
use serde::Serialize;
use smol_str::SmolStr;

/// Keys that are counted at a time.
const COUNTERS: usize = 64;
/// Counts are halved after so many records, so that what was hot is forgotten.
const HALVED_AFTER: u64 = 10_000;

/// The most frequent key.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Hottest {
    /// The user or the product.
    pub key: String,
    /// Its share of the last records, 0 to 1.
    pub share: f64,
}

/// Counts of the keys that may be the most frequent ones.
#[derive(Debug, Default)]
pub(crate) struct HotKeys {
    // Keys come and go with every record: most lie in the map itself.
    counts: HashMap<SmolStr, u64>,
    records: u64,
}

impl HotKeys {
    /// Counts a record.
    pub(crate) fn observe(&mut self, key: &str) {
        self.records += 1;
        if let Some(count) = self.counts.get_mut(key) {
            *count += 1;
        } else if self.counts.len() < COUNTERS {
            self.counts.insert(SmolStr::new(key), 1);
        } else {
            self.lessen(|count| count - 1);
        }
        if self.records >= HALVED_AFTER {
            self.records /= 2;
            self.lessen(|count| count / 2);
        }
    }

    /// The most frequent key; of equal ones the first by name. `None` before the first record.
    pub(crate) fn hottest(&self) -> Option<Hottest> {
        let (key, count) = self.counts.iter().max_by(|a, b| a.1.cmp(b.1).then_with(|| b.0.cmp(a.0)))?;
        Some(Hottest { key: key.to_string(), share: *count as f64 / self.records as f64 })
    }

    fn lessen(&mut self, by: impl Fn(u64) -> u64) {
        self.counts.retain(|_, count| {
            *count = by(*count);
            *count > 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bot_among_many_shoppers_is_found_and_forgotten() {
        let mut keys = HotKeys::default();
        assert_eq!(keys.hottest(), None);
        for record in 0..8_000u64 {
            if record % 3 == 0 { keys.observe("bot") } else { keys.observe(&format!("u{record}")) }
        }
        let hottest = keys.hottest().unwrap();
        assert_eq!(hottest.key, "bot");
        assert!((0.3..=0.334).contains(&hottest.share), "{hottest:?}");
        assert!(keys.counts.len() <= COUNTERS);
        for record in 0..100_000u64 {
            keys.observe(&format!("u{record}"));
        }
        assert!(keys.hottest().is_none_or(|hottest| hottest.share < 0.05), "{:?}", keys.hottest());
    }
}
