//! Which products rise: demand of the last days against that of the season.
//!
//! The distance of a fast exponential average from a slow one, as a ratio: G. Appel's price oscillator ("Technical Analysis:
//! Power Tools for Active Investors", 2005) over numbers of events instead of prices. Both averages are the decayed sums that a
//! product's row holds anyway ([`Popularity`]):
//!
//! ```text
//! rise = (r · H_season / H_recent + c) / (s + c)
//! ```
//!
//! r and s count the product's events with the half-lives [`RECENT`] and [`SEASON`]. Demand that has always been the same has r
//! = s · H_recent / H_season, so a rise of 1; twice the demand, for long enough to fill r, one of 2. The prior c, events at the
//! usual pace, keeps what happened a few times from looking like a storm.

use crate::co_occurrence::Popularity;
use crate::decay::{RECENT, SEASON};
use crate::settings::{RISING_MINIMUM, RISING_PRIOR};

/// Nothing rises that long after its last event: r ≤ s then, and from there on r falls by 1/5 − 1/90 powers of two a day more
/// than s, so that after 22.1 days r · H_season / H_recent is below s.
pub const RISE_ENDS_MS: i64 = 23 * 24 * 3_600_000;

/// How many times its usual demand a product has; `None` where it is not above, or too little happened to say so.
///
/// Falls as time passes without events, since r falls faster than s and both give way to the prior: an earlier figure is an
/// upper bound.
pub fn rise(popularity: &Popularity, now_ms: i64) -> Option<f64> {
    let season = popularity.season.as_of(SEASON, now_ms);
    // A time before the product's newest event makes the faster decay grow faster: hence the limit.
    let recent = popularity.recent.as_of(RECENT, now_ms).min(season);
    if recent < RISING_MINIMUM {
        return None;
    }
    let usual = SEASON.ms() as f64 / RECENT.ms() as f64;
    let rise = (recent * usual + RISING_PRIOR) / (season + RISING_PRIOR);
    (rise > 1.0).then_some(rise)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;
    const DAY_MS: i64 = 24 * HOUR_MS;
    const START: i64 = 1_600_000_000_000;

    /// `per_day` events for `days` days.
    fn seen(popularity: &mut Popularity, from_ms: i64, days: i64, per_day: i64) {
        for i in 0..days * per_day {
            let at = from_ms + i * DAY_MS / per_day;
            popularity.season.add(SEASON, at);
            popularity.recent.add(RECENT, at);
        }
    }

    #[test]
    fn what_sells_as_ever_does_not_rise() {
        let mut steady = Popularity::default();
        seen(&mut steady, START, 1_000, 24);
        let now = START + 1_000 * DAY_MS;
        let rise_of_it = rise(&steady, now).unwrap_or(1.0);
        assert!((rise_of_it - 1.0).abs() < 0.01, "{rise_of_it}");
        assert_eq!(rise(&steady, now + 5 * DAY_MS), None, "and less so when it stops selling");
    }

    #[test]
    fn a_newcomer_rises_above_what_sells_more() {
        let (mut steady, mut newcomer) = (Popularity::default(), Popularity::default());
        seen(&mut steady, START, 1_000, 100);
        seen(&mut newcomer, START + 998 * DAY_MS, 2, 20);
        let now = START + 1_000 * DAY_MS;
        assert!(rise(&newcomer, now).unwrap() > 5.0);
        assert!(rise(&steady, now).unwrap_or(1.0) < 1.01);
    }

    #[test]
    fn no_rise_outlives_its_end() {
        let mut storm = Popularity::default();
        seen(&mut storm, START, 1, 100_000);
        let newest = START + DAY_MS;
        assert!(
            rise(&storm, newest + RISE_ENDS_MS - 2 * DAY_MS).is_some(),
            "the largest rise lasts that long"
        );
        assert_eq!(rise(&storm, newest + RISE_ENDS_MS), None);
    }

    #[test]
    fn a_few_events_are_no_rise_and_some_are_less_than_many() {
        let rise_after = |events| {
            let mut popularity = Popularity::default();
            seen(&mut popularity, START, 1, events);
            rise(&popularity, START + DAY_MS)
        };
        assert_eq!(rise_after(2), None);
        assert!(rise_after(20).unwrap() < rise_after(200).unwrap());
        assert!(rise_after(2_000).unwrap() <= 18.0, "no more than everything being recent");
        assert_eq!(rise(&Popularity::default(), START), None);
    }

    #[test]
    fn a_rise_only_falls_while_nothing_happens() {
        for (days, per_day) in [(1, 12), (3, 40), (40, 6), (400, 1), (400, 30)] {
            let mut popularity = Popularity::default();
            seen(&mut popularity, START, days, per_day);
            seen(&mut popularity, START + days * DAY_MS, 1, 12);
            let newest = START + (days + 1) * DAY_MS;
            let mut before = f64::INFINITY;
            // Each minute, over the seams of the decays' steps.
            for minute in 0..20 * 24 * 60 {
                let now = rise(&popularity, newest + minute * 60_000).unwrap_or(0.0);
                assert!(now <= before, "{days} days of {per_day}, minute {minute}: {now} after {before}");
                before = now;
            }
        }
    }
}
