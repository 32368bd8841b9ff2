//! Exponential decay in base 2 with landmarks (forward decay).
//!
//! Instead of shrinking all that is old at every event, an event at time t adds weight · 2^((t − L)/H) to sums that share a
//! landmark L; all sums of a row move to a later landmark by an exact power of two. Source: G. Cormode, V. Shkapenyuk,
//! D. Srivastava, B. Xu, "Forward Decay: A Practical Time Decay Model for Streaming Systems", ICDE 2009.

use std::sync::LazyLock;

const DAY_MS: i64 = 24 * 3600 * 1000;

/// A half-life H: what happened that long ago counts half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HalfLife {
    ms: i64,
}

/// For what is learnt over a season: its oldest events weigh about e^-1 of the newest.
pub const SEASON: HalfLife = HalfLife { ms: 90 * DAY_MS };
/// For what is in demand right now.
pub const RECENT: HalfLife = HalfLife { ms: 5 * DAY_MS };

const STEPS: usize = 1024;

/// 2^(i/1024), made with square roots and multiplications only: IEEE 754 fixes their results, a platform's `exp2` it does not.
static FRACTIONS: LazyLock<[f64; STEPS]> = LazyLock::new(|| {
    let mut step = 2.0f64;
    for _ in 0..STEPS.trailing_zeros() {
        step = step.sqrt();
    }
    let mut table = [1.0; STEPS];
    for i in 1..STEPS {
        table[i] = if i % 2 == 0 { table[i / 2] * table[i / 2] } else { table[i - 1] * step };
    }
    table
});

impl HalfLife {
    /// The half-life in ms.
    pub const fn ms(self) -> i64 {
        self.ms
    }

    /// The landmark of an event: whole half-lives since 1970.
    pub fn landmark_of(self, timestamp_ms: i64) -> i32 {
        timestamp_ms.div_euclid(self.ms) as i32
    }

    /// 2^((t − L)/H) to 1/1024 of a half-life, where L = `landmark` half-lives.
    pub fn growth(self, timestamp_ms: i64, landmark: i32) -> f64 {
        let fraction = timestamp_ms.rem_euclid(self.ms) * STEPS as i64 / self.ms;
        FRACTIONS[fraction as usize] * power_of_two(self.landmark_of(timestamp_ms) - landmark)
    }
}

/// 2^n, exactly; 0 below 2^-1000.
pub fn power_of_two(n: i32) -> f64 {
    if n < -1000 { 0.0 } else { f64::from_bits(((n.min(1000) + 1023) as u64) << 52) }
}

/// A decayed sum: what is added loses half of its weight every half-life.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DecayedSum {
    /// Half-lives since 1970 that the value refers to.
    pub landmark: i32,
    /// The sum, in units of 2^landmark.
    pub value: f64,
}

impl DecayedSum {
    /// Adds 1 at a time.
    pub fn add(&mut self, half_life: HalfLife, timestamp_ms: i64) {
        self.advance(half_life.landmark_of(timestamp_ms));
        self.value += half_life.growth(timestamp_ms, self.landmark);
    }

    /// Moves to a later landmark; an earlier one changes nothing.
    pub fn advance(&mut self, landmark: i32) {
        if self.value == 0.0 {
            self.landmark = landmark;
        } else if landmark > self.landmark {
            self.value *= power_of_two(self.landmark - landmark);
            self.landmark = landmark;
        }
    }

    /// The sum as of a time.
    pub fn as_of(&self, half_life: HalfLife, now_ms: i64) -> f64 {
        if self.value == 0.0 { 0.0 } else { self.value / half_life.growth(now_ms, self.landmark) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_follows_the_formula() {
        for (half_life, days) in [(SEASON, 90.0), (RECENT, 5.0)] {
            for day in [0i64, 1, 4, 45, 89, 90, 91, 2_000] {
                let timestamp_ms = day * DAY_MS + 12_345;
                let exact = (timestamp_ms as f64 / (days * DAY_MS as f64) - 3.0).exp2();
                let ours = half_life.growth(timestamp_ms, 3);
                assert!((ours / exact - 1.0).abs() < 0.001, "day {day}: {ours} for {exact}");
            }
        }
    }

    #[test]
    fn a_later_landmark_differs_by_an_exact_power_of_two() {
        let timestamp_ms = 1_700_000_000_000;
        assert_eq!(SEASON.growth(timestamp_ms, 10) * power_of_two(-7), SEASON.growth(timestamp_ms, 17));
        assert_eq!(power_of_two(-2000), 0.0);
    }

    #[test]
    fn a_decayed_sum_halves_every_half_life() {
        let start = 1_700_000_000_000;
        let mut sum = DecayedSum::default();
        sum.add(RECENT, start);
        assert!((sum.as_of(RECENT, start) - 1.0).abs() < 1e-9);
        let later = start + 2 * RECENT.ms();
        assert_eq!(sum.as_of(RECENT, later) * 4.0, sum.as_of(RECENT, start));
        sum.add(RECENT, later);
        assert!((sum.as_of(RECENT, later) - 1.25).abs() < 1e-9);
    }
}
