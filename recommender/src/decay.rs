//! Exponential decay in base 2 with landmarks (forward decay).
//!
//! Instead of shrinking all that is old at every event, an event at time t adds weight · 2^((t − L)/H) to sums that share a
//! landmark L; all sums of a row move to a later landmark by an exact power of two. Source: G. Cormode, V. Shkapenyuk,
//! D. Srivastava, B. Xu, "Forward Decay: A Practical Time Decay Model for Streaming Systems", ICDE 2009.

use std::sync::LazyLock;

/// The half-life H in ms: 90 days, so that the oldest events of a season weigh about e^-1 of the newest.
pub const HALF_LIFE_MS: i64 = 90 * 24 * 3600 * 1000;

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

/// The landmark of an event: whole half-lives since 1970.
pub fn landmark_of(timestamp_ms: i64) -> i32 {
    timestamp_ms.div_euclid(HALF_LIFE_MS) as i32
}

/// 2^((t − L)/H) to 1/1024 of a half-life, where L = `landmark` half-lives.
pub fn growth(timestamp_ms: i64, landmark: i32) -> f64 {
    let fraction = timestamp_ms.rem_euclid(HALF_LIFE_MS) * STEPS as i64 / HALF_LIFE_MS;
    FRACTIONS[fraction as usize] * power_of_two(landmark_of(timestamp_ms) - landmark)
}

/// 2^n, exactly; 0 below 2^-1000.
pub fn power_of_two(n: i32) -> f64 {
    if n < -1000 { 0.0 } else { f64::from_bits(((n.min(1000) + 1023) as u64) << 52) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_follows_the_formula() {
        for day in [0i64, 1, 45, 89, 90, 91, 20_000] {
            let timestamp_ms = day * 24 * 3600 * 1000 + 12_345;
            let exact = (timestamp_ms as f64 / HALF_LIFE_MS as f64 - 3.0).exp2();
            let ours = growth(timestamp_ms, 3);
            assert!((ours / exact - 1.0).abs() < 0.001, "day {day}: {ours} for {exact}");
        }
    }

    #[test]
    fn a_later_landmark_differs_by_an_exact_power_of_two() {
        let timestamp_ms = 1_700_000_000_000;
        assert_eq!(growth(timestamp_ms, 10) * power_of_two(-7), growth(timestamp_ms, 17));
        assert_eq!(power_of_two(-2000), 0.0);
    }
}
