//! Which products are seen together with one product: a bounded set of candidates with decayed weights.

use crate::decay::{growth, landmark_of, power_of_two};
use crate::interner::{Interner, Symbol};
use schemas::DecodeError;
use schemas::codec::{Reader, put_signed, put_str, put_varint};

/// Most candidates kept for a product.
pub const MAX_CANDIDATES: usize = 200;

/// Weights of pair updates travel as integers of 2^-24.
pub const WEIGHT_UNIT: f64 = 1.0 / (1 << 24) as f64;

/// How far apart two events of a session may be to count as a pair.
pub const MAX_DISTANCE: usize = 30;

/// e^(−(d−1)/2) for d = 1, 2, … in units of 2^-24: what two events d apart add to the earlier product's row.
pub const FORWARD: [u32; MAX_DISTANCE] = [
    16_777_216, 10_175_896, 6_171_993, 3_743_503, 2_270_549, 1_377_158, 835_288, 506_628, 307_285, 186_378,
    113_044, 68_565, 41_587, 25_224, 15_299, 9_279, 5_628, 3_414, 2_070, 1_256, 762, 462, 280, 170, 103, 63,
    38, 23, 14, 8,
];

/// 0.8 times [`FORWARD`]: what the same pair adds to the later product's row.
pub const BACKWARD: [u32; MAX_DISTANCE] = [
    13_421_773, 8_140_717, 4_937_594, 2_994_802, 1_816_439, 1_101_726, 668_231, 405_302, 245_828, 149_102,
    90_435, 54_852, 33_269, 20_179, 12_239, 7_423, 4_503, 2_731, 1_656, 1_005, 609, 370, 224, 136, 82, 50,
    30, 18, 11, 7,
];

/// A product seen together with the row's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The other product.
    pub product: Symbol,
    /// Decayed sum of pair weights, in units of 2^landmark.
    pub weight: f64,
    /// How often the two were seen together.
    pub count: u32,
}

/// A product's decayed popularity and its candidates, at most [`MAX_CANDIDATES`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CoOccurrence {
    landmark: i32,
    popularity: f64,
    // Parallel columns: the search by product touches nothing else.
    products: Vec<Symbol>,
    weights: Vec<f64>,
    counts: Vec<u32>,
}

impl CoOccurrence {
    /// The landmark, in half-lives since 1970, that all weights refer to.
    pub fn landmark(&self) -> i32 {
        self.landmark
    }

    /// Decayed number of the product's events, in units of 2^landmark.
    pub fn popularity(&self) -> f64 {
        self.popularity
    }

    /// The candidates, in no particular order.
    pub fn candidates(&self) -> impl ExactSizeIterator<Item = Candidate> {
        (0..self.products.len()).map(|i| Candidate {
            product: self.products[i],
            weight: self.weights[i],
            count: self.counts[i],
        })
    }

    /// Counts an event of the product itself.
    pub fn observe(&mut self, timestamp_ms: i64) {
        self.advance(timestamp_ms);
        self.popularity += growth(timestamp_ms, self.landmark);
    }

    /// Adds `weight` (units of 2^-24, decayed to `timestamp_ms`) to the candidate `other`.
    ///
    /// When all places are taken, a newcomer takes that of the weakest candidate where it is stronger; otherwise the weakest
    /// loses what the newcomer brought, so that a product that keeps coming gets in. (A weighted form of the frequent-items
    /// algorithm of J. Misra, D. Gries, "Finding repeated elements", 1982.)
    pub fn add_pair(&mut self, other: Symbol, weight: u32, timestamp_ms: i64) {
        self.advance(timestamp_ms);
        let weight = f64::from(weight) * WEIGHT_UNIT * growth(timestamp_ms, self.landmark);
        if let Some(at) = self.products.iter().position(|&known| known == other) {
            self.weights[at] += weight;
            self.counts[at] = self.counts[at].saturating_add(1);
        } else if self.products.len() < MAX_CANDIDATES {
            self.products.push(other);
            self.weights.push(weight);
            self.counts.push(1);
        } else {
            let weakest = self.weakest();
            if self.weights[weakest] < weight {
                self.products[weakest] = other;
                self.weights[weakest] = weight;
                self.counts[weakest] = 1;
            } else {
                self.weights[weakest] -= weight;
            }
        }
    }

    /// The first of the lightest: the order of the columns follows from the log alone.
    fn weakest(&self) -> usize {
        let mut weakest = 0;
        for (at, weight) in self.weights.iter().enumerate() {
            if *weight < self.weights[weakest] {
                weakest = at;
            }
        }
        weakest
    }

    fn advance(&mut self, timestamp_ms: i64) {
        let landmark = landmark_of(timestamp_ms);
        if self.popularity == 0.0 && self.products.is_empty() {
            self.landmark = landmark;
        } else if landmark > self.landmark {
            let shrink = power_of_two(self.landmark - landmark);
            self.popularity *= shrink;
            self.weights.iter_mut().for_each(|weight| *weight *= shrink);
            self.landmark = landmark;
        }
    }

    pub(crate) fn encode_into(&self, out: &mut Vec<u8>, names: &Interner) {
        put_signed(out, i64::from(self.landmark));
        out.extend_from_slice(&self.popularity.to_le_bytes());
        put_varint(out, self.products.len() as u64);
        for candidate in self.candidates() {
            put_str(out, &names.name(candidate.product));
            out.extend_from_slice(&candidate.weight.to_le_bytes());
            put_varint(out, u64::from(candidate.count));
        }
    }

    pub(crate) fn decode_from(reader: &mut Reader<'_>, names: &Interner) -> Result<Self, DecodeError> {
        let landmark = i32::try_from(reader.signed()?).map_err(|_| DecodeError::Malformed("landmark"))?;
        let mut row = Self { landmark, popularity: reader.f64()?, ..Self::default() };
        for _ in 0..reader.count(10)? {
            row.products.push(names.intern(reader.str()?));
            row.weights.push(reader.f64()?);
            row.counts.push(u32::try_from(reader.varint()?).map_err(|_| DecodeError::Malformed("count"))?);
        }
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;
    const ONE: u32 = 1 << 24;

    #[test]
    fn the_weight_tables_follow_their_formula() {
        for (i, (&forward, &backward)) in FORWARD.iter().zip(&BACKWARD).enumerate() {
            let exact = (-(i as f64) / 2.0).exp() / WEIGHT_UNIT;
            assert!((f64::from(forward) - exact).abs() <= 0.5, "{i}");
            assert!((f64::from(backward) - 0.8 * exact).abs() <= 0.51, "{i}");
        }
    }

    #[test]
    fn an_old_pair_weighs_half_after_a_half_life() {
        let mut row = CoOccurrence::default();
        row.add_pair(Symbol(1), ONE, NOW);
        row.add_pair(Symbol(2), ONE, NOW + crate::decay::HALF_LIFE_MS);
        let weights: Vec<f64> = row.candidates().map(|candidate| candidate.weight).collect();
        assert_eq!(weights[0] * 2.0, weights[1]);
    }

    #[test]
    fn a_full_row_keeps_the_strong_and_lets_a_persistent_newcomer_in() {
        let mut row = CoOccurrence::default();
        for product in 0..MAX_CANDIDATES as u32 {
            (0..5).for_each(|_| row.add_pair(Symbol(product), ONE, NOW));
        }
        row.add_pair(Symbol(999), ONE, NOW);
        assert!(row.candidates().all(|candidate| candidate.product != Symbol(999)));
        (0..5).for_each(|_| row.add_pair(Symbol(999), ONE, NOW));
        assert!(row.candidates().any(|candidate| candidate.product == Symbol(999)));
        assert_eq!(row.candidates().len(), MAX_CANDIDATES);
    }
}
