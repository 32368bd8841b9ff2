//! Which products are seen together with one product: a bounded set of candidates with decayed weights.

use crate::decay::{DecayedSum, RECENT, SEASON, power_of_two};
use crate::interner::{Interner, Symbol};
use schemas::DecodeError;
use schemas::codec::{Reader, put_signed, put_str, put_varint};

/// Most candidates kept for a product.
pub const MAX_CANDIDATES: usize = 200;

/// Weights of pair updates travel as integers of 2^-24.
pub const WEIGHT_UNIT: f64 = 1.0 / (1 << 24) as f64;

/// How far apart two events of a session may be to count as a pair.
pub const MAX_DISTANCE: usize = 30;

/// e^(−(d−1)/1.7) for d = 1, 2, … in units of 2^-24: what two events d apart add to the earlier product's row.
pub const FORWARD: [u32; MAX_DISTANCE] = [
    16_777_216, 9_316_495, 5_173_509, 2_872_883, 1_595_330, 885_897, 491_944, 273_180, 151_698, 84_239,
    46_779, 25_976, 14_425, 8_010, 4_448, 2_470, 1_372, 762, 423, 235, 130, 72, 40, 22, 12, 7, 4, 2, 1, 1,
];

/// 0.8 times [`FORWARD`]: what the same pair adds to the later product's row.
pub const BACKWARD: [u32; MAX_DISTANCE] = [
    13_421_773, 7_453_196, 4_138_807, 2_298_306, 1_276_264, 708_718, 393_555, 218_544, 121_359, 67_391,
    37_423, 20_781, 11_540, 6_408, 3_559, 1_976, 1_097, 609, 338, 188, 104, 58, 32, 18, 10, 6, 3, 2, 1, 1,
];

/// A pair this far apart in time, in ms, weighs half: what is bought or viewed in one go belongs together more than what a
/// shopper came to after minutes. 35 s: see `settings`.
pub const HALF_WEIGHT_GAP_MS: u64 = 35_000;

/// A pair's weight after a gap: `weight` / (1 + gap / 35 s), in integers.
pub fn after_gap(weight: u32, gap_ms: u64) -> u32 {
    // At most `weight`, so it fits.
    (u64::from(weight) * HALF_WEIGHT_GAP_MS / (HALF_WEIGHT_GAP_MS + gap_ms)) as u32
}

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

/// How often a product is seen, over the season and right now.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Popularity {
    /// Number of its events, decayed with [`SEASON`].
    pub season: DecayedSum,
    /// Number of its events, decayed with [`RECENT`].
    pub recent: DecayedSum,
    /// Number of its events that came back to it within a session, decayed with [`SEASON`].
    pub returns: DecayedSum,
}

/// What part of a product's events is taken for returns where it was stored before returns were counted.
const RETURNS_UNCOUNTED: f64 = 0.3;

impl Popularity {
    /// The share of the season's demand that is recent, between 0 and 1.
    pub fn momentum(&self, now_ms: i64) -> f64 {
        let season = self.season.as_of(SEASON, now_ms);
        // A time before the product's newest event makes the faster decay grow faster: hence the limit.
        if season > 0.0 { (self.recent.as_of(RECENT, now_ms) / season).min(1.0) } else { 0.0 }
    }

    /// How many of the season's events came back to the product within a session, in units of the season's landmark.
    pub fn season_returns(&self) -> f64 {
        self.returns.value * power_of_two(self.returns.landmark - self.season.landmark)
    }
}

/// Takes [`Popularity::momentum`] of many products as of one time.
pub(crate) struct MomentumAt {
    /// 2^(now/H), of [`SEASON`] by that of [`RECENT`], both without their whole half-lives.
    growth: f64,
    season: i32,
    recent: i32,
}

impl MomentumAt {
    pub(crate) fn new(now_ms: i64) -> Self {
        let (season, recent) = (SEASON.landmark_of(now_ms), RECENT.landmark_of(now_ms));
        Self { growth: SEASON.growth(now_ms, season) / RECENT.growth(now_ms, recent), season, recent }
    }

    pub(crate) fn of(&self, popularity: &Popularity) -> f64 {
        let Popularity { season, recent, .. } = popularity;
        if season.value <= 0.0 {
            return 0.0;
        }
        let halvings = (self.season - season.landmark) - (self.recent - recent.landmark);
        (recent.value / season.value * self.growth * power_of_two(halvings)).min(1.0)
    }
}

/// A product's popularity and its candidates, at most [`MAX_CANDIDATES`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CoOccurrence {
    /// Its season's landmark is the one that the weights refer to.
    popularity: Popularity,
    // Parallel columns: the search by product touches nothing else.
    products: Vec<Symbol>,
    weights: Vec<f64>,
    counts: Vec<u32>,
}

impl CoOccurrence {
    /// The landmark, in half-lives of [`SEASON`] since 1970, that all weights refer to.
    pub fn landmark(&self) -> i32 {
        self.popularity.season.landmark
    }

    /// How often the product is seen.
    pub fn popularity(&self) -> &Popularity {
        &self.popularity
    }

    /// The candidates, in no particular order.
    pub fn candidates(&self) -> impl ExactSizeIterator<Item = Candidate> {
        (0..self.products.len()).map(|i| Candidate {
            product: self.products[i],
            weight: self.weights[i],
            count: self.counts[i],
        })
    }

    /// What share of what is known a change is, roughly: `weight` (units of 2^-24) added at `timestamp_ms`, for each of the
    /// product's events of the season. An event weighs about as much as it adds to all pairs in one direction.
    pub fn share(&self, weight: u64, timestamp_ms: i64) -> f32 {
        let events = self.popularity.season.as_of(SEASON, timestamp_ms).max(1.0);
        (weight as f64 * WEIGHT_UNIT / events) as f32
    }

    /// Counts an event of the product itself.
    pub fn observe(&mut self, timestamp_ms: i64) {
        self.advance(timestamp_ms);
        // Not `add`: the landmark is the weights' too.
        self.popularity.season.value += SEASON.growth(timestamp_ms, self.landmark());
        self.popularity.recent.add(RECENT, timestamp_ms);
    }

    /// Counts that the event just observed came back to the product within a session.
    pub fn observe_return(&mut self, timestamp_ms: i64) {
        self.popularity.returns.add(SEASON, timestamp_ms);
    }

    /// Adds `weight` (units of 2^-24, decayed to `timestamp_ms`) to the candidate `other`.
    ///
    /// When all places are taken, a newcomer takes that of the weakest candidate where it is stronger; otherwise the weakest
    /// loses what the newcomer brought, so that a product that keeps coming gets in. (A weighted form of the frequent-items
    /// algorithm of J. Misra, D. Gries, "Finding repeated elements", 1982.)
    pub fn add_pair(&mut self, other: Symbol, weight: u32, timestamp_ms: i64) {
        self.advance(timestamp_ms);
        let weight = f64::from(weight) * WEIGHT_UNIT * SEASON.growth(timestamp_ms, self.landmark());
        if let Some(at) = position(&self.products, other) {
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
        let (landmark, before) = (SEASON.landmark_of(timestamp_ms), self.landmark());
        let season = &mut self.popularity.season;
        if self.products.is_empty() {
            season.advance(landmark);
        } else if landmark > before {
            season.advance(landmark);
            // Without events of its own the sum is 0 and took the landmark as it is.
            let shrink = power_of_two(before - landmark);
            self.weights.iter_mut().for_each(|weight| *weight *= shrink);
        }
    }

    pub(crate) fn encode_into(&self, out: &mut Vec<u8>, names: &Interner) {
        encode_sum(out, self.popularity.season);
        encode_sum(out, self.popularity.recent);
        put_varint(out, self.products.len() as u64);
        for candidate in self.candidates() {
            put_str(out, names.name(candidate.product));
            out.extend_from_slice(&candidate.weight.to_le_bytes());
            put_varint(out, u64::from(candidate.count));
        }
        encode_sum(out, self.popularity.returns);
    }

    pub(crate) fn decode_from(reader: &mut Reader<'_>, names: &Interner) -> Result<Self, DecodeError> {
        let mut row = Self::default();
        row.popularity.season = decode_sum(reader)?;
        row.popularity.recent = decode_sum(reader)?;
        for _ in 0..reader.count(10)? {
            row.products.push(names.intern(reader.str()?));
            let weight = reader.f64()?;
            row.weights.push(weight.is_finite().then_some(weight).ok_or(DecodeError::Malformed("weight"))?);
            row.counts.push(u32::try_from(reader.varint()?).map_err(|_| DecodeError::Malformed("count"))?);
        }
        let DecayedSum { landmark, value } = row.popularity.season;
        row.popularity.returns = if reader.is_at_end() {
            DecayedSum { landmark, value: RETURNS_UNCOUNTED * value }
        } else {
            decode_sum(reader)?
        };
        Ok(row)
    }
}

/// Where a product is, the first of its places. Block by block, since a compiler makes few instructions of a search that does
/// not end within a block.
fn position(products: &[Symbol], wanted: Symbol) -> Option<usize> {
    const BLOCK: usize = 16;
    let is_in = |block: &[Symbol; BLOCK]| block.iter().fold(false, |found, &known| found | (known == wanted));
    let (blocks, rest) = products.as_chunks::<BLOCK>();
    match blocks.iter().position(is_in) {
        Some(block) => {
            products[block * BLOCK..].iter().position(|&known| known == wanted).map(|at| block * BLOCK + at)
        }
        None => rest.iter().position(|&known| known == wanted).map(|at| blocks.len() * BLOCK + at),
    }
}

fn encode_sum(out: &mut Vec<u8>, sum: DecayedSum) {
    put_signed(out, i64::from(sum.landmark));
    out.extend_from_slice(&sum.value.to_le_bytes());
}

fn decode_sum(reader: &mut Reader<'_>) -> Result<DecayedSum, DecodeError> {
    let sum = DecayedSum { landmark: reader.landmark()?, value: reader.f64()? };
    if sum.value.is_finite() { Ok(sum) } else { Err(DecodeError::Malformed("sum")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;
    const ONE: u32 = 1 << 24;

    #[test]
    fn the_weight_tables_follow_their_formula() {
        for (i, (&forward, &backward)) in FORWARD.iter().zip(&BACKWARD).enumerate() {
            let exact = (-(i as f64) / 1.7).exp() / WEIGHT_UNIT;
            assert!((f64::from(forward) - exact).abs() <= 0.5, "{i}");
            assert!((f64::from(backward) - 0.8 * exact).abs() <= 0.51, "{i}");
        }
    }

    #[test]
    fn a_pause_between_two_events_weakens_their_pair() {
        assert_eq!(after_gap(FORWARD[0], 0), FORWARD[0]);
        assert_eq!(after_gap(FORWARD[0], HALF_WEIGHT_GAP_MS), FORWARD[0] / 2);
        assert!(after_gap(FORWARD[0], 30 * 60_000) < FORWARD[0] / 50);
        assert_eq!(after_gap(u32::MAX, 0), u32::MAX);
    }

    #[test]
    fn an_old_pair_weighs_half_after_a_half_life() {
        let mut row = CoOccurrence::default();
        row.add_pair(Symbol(1), ONE, NOW);
        row.add_pair(Symbol(2), ONE, NOW + SEASON.ms());
        let weights: Vec<f64> = row.candidates().map(|candidate| candidate.weight).collect();
        assert_eq!(weights[0] * 2.0, weights[1]);
    }

    #[test]
    fn momentum_is_the_share_of_demand_that_is_recent() {
        let mut row = CoOccurrence::default();
        assert_eq!(row.popularity().momentum(NOW), 0.0);
        (0..4).for_each(|_| row.observe(NOW));
        assert!((row.popularity().momentum(NOW) - 1.0).abs() < 1e-9);
        let later = NOW + 2 * crate::decay::RECENT.ms();
        let expected = 0.25 / (-2.0f64 * 5.0 / 90.0).exp2();
        assert!((row.popularity().momentum(later) / expected - 1.0).abs() < 0.01);
        assert_eq!(row.popularity().momentum(NOW - 1_000_000_000), 1.0, "never above 1");
    }

    #[test]
    fn momentum_of_many_products_is_that_of_each() {
        let now = NOW + 1_234_567_890;
        let at = MomentumAt::new(now);
        for days in [0, 1, 4, 9, 33, 80, 200, 3_000, -40] {
            let mut row = CoOccurrence::default();
            let time = now - days * 24 * 3_600_000;
            (0..7).for_each(|event| row.observe(time - event * 40_000_000));
            let (expected, found) = (row.popularity().momentum(now), at.of(row.popularity()));
            assert!((found - expected).abs() <= 1e-12 * expected, "{days} days: {found} for {expected}");
        }
        assert_eq!(at.of(&Popularity::default()), 0.0);
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
