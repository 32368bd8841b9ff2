//! How sure a difference between two algorithms is.

use crate::metrics::Tally;
use serde::Serialize;

const RESAMPLES: usize = 1000;

/// A difference and the interval that holds it with 95 % confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// The difference over all sessions.
    pub difference: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Differences of ours to another algorithm.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The other.
    pub against: String,
    /// Of HR@20.
    pub hr_at_20: Interval,
    /// Of MRR@20.
    pub mrr_at_20: Interval,
}

/// Compares two algorithms by sessions (or users): whole sessions are drawn again with replacement, as their targets are not
/// independent. The percentile interval of B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993.
///
/// # Panics
/// When the two have not counted the same sessions.
pub fn compare(against: &str, ours: &[Tally], other: &[Tally]) -> Comparison {
    assert_eq!(ours.len(), other.len(), "both have counted every session");
    let differences: Vec<[f64; 3]> = ours
        .iter()
        .zip(other)
        .map(|(a, b)| [a.hits as f64 - b.hits as f64, a.reciprocal - b.reciprocal, a.targets as f64])
        .collect();
    let mean = |sum: [f64; 3], of: usize| sum[of] / sum[2].max(1.0);
    let total = differences.iter().fold([0.0; 3], |sum, d| [sum[0] + d[0], sum[1] + d[1], sum[2] + d[2]]);
    let mut random = Random(0x5eed);
    let mut samples = [Vec::with_capacity(RESAMPLES), Vec::with_capacity(RESAMPLES)];
    for _ in 0..RESAMPLES {
        let mut sum = [0.0; 3];
        for _ in 0..differences.len() {
            let drawn = differences[random.below(differences.len())];
            sum.iter_mut().zip(drawn).for_each(|(sum, part)| *sum += part);
        }
        samples[0].push(mean(sum, 0));
        samples[1].push(mean(sum, 1));
    }
    let [hits, reciprocals] = samples.map(|mut samples| {
        samples.sort_unstable_by(f64::total_cmp);
        (samples[RESAMPLES / 40], samples[RESAMPLES - 1 - RESAMPLES / 40])
    });
    let interval = |(low, high), of| Interval { difference: mean(total, of), low, high };
    Comparison {
        against: against.to_owned(),
        hr_at_20: interval(hits, 0),
        mrr_at_20: interval(reciprocals, 1),
    }
}

/// SplitMix64: the same draws in every run. Source: G. Steele, D. Lea, C. Flood, "Fast Splittable Pseudorandom Number
/// Generators", OOPSLA 2014.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(z ^ (z >> 31)) * limit as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tallies(hits: impl Fn(usize) -> bool) -> Vec<Tally> {
        let tally = |i| Tally {
            targets: 1,
            hits: hits(i).into(),
            reciprocal: f64::from(u8::from(hits(i))),
            ..Tally::default()
        };
        (0..400).map(tally).collect()
    }

    #[test]
    fn a_clear_difference_is_clear_of_zero_and_chance_is_not() {
        let better = compare("b", &tallies(|i| i % 2 == 0), &tallies(|i| i % 4 == 0));
        assert!((better.hr_at_20.difference - 0.25).abs() < 1e-12);
        assert!(better.hr_at_20.low > 0.2 && better.hr_at_20.high < 0.3);
        let equal = compare("b", &tallies(|i| i % 2 == 0), &tallies(|i| i % 2 == 1));
        assert!(equal.mrr_at_20.low < 0.0 && equal.mrr_at_20.high > 0.0);
    }
}
