//! When a partition does what it does now and then: each at moments of its own. If all partitions wrote at the same moment, events
//! would wait behind their writes.

use crate::progress::StageName;
use std::time::Duration;
use tokio::time::Instant;

/// Moments at equal distances.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timetable {
    next: Instant,
    interval: Duration,
}

/// What part of an interval a partition of a stage, of so many, begins after: at equal distances, the two stages apart.
pub(crate) fn phase(stage: StageName, partition: u32, partitions: u32) -> f64 {
    /// No multiple of a fraction with a small denominator, since one stage's interval is a multiple of the other's.
    const INVERSE_GOLDEN_RATIO: f64 = 0.618_033_988_749_895;
    let offset = if stage == StageName::Product { INVERSE_GOLDEN_RATIO } else { 0.0 };
    (f64::from(partition) + offset) / f64::from(partitions.max(1))
}

impl Timetable {
    /// Moments since `origin`, which all partitions of a process have in common: the first is the part `phase` of an interval later,
    /// or the first one after it that is not over.
    pub(crate) fn new(origin: Instant, interval: Duration, phase: f64, now: Instant) -> Self {
        let mut times = Self { next: origin + interval.mul_f64(phase), interval };
        times.go_on_to(now);
        times
    }

    /// Whether it is time.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now >= self.next
    }

    /// It begins now, whether it was time or not. It is time again at the first moment that is half an interval away or more: also
    /// where a backlog made all partitions begin at once, they part again.
    pub(crate) fn begun(&mut self, now: Instant) {
        self.go_on_to(now + self.interval / 2);
    }

    fn go_on_to(&mut self, earliest: Instant) {
        let missing = earliest.saturating_duration_since(self.next);
        self.next += self.interval.mul_f64(missing.div_duration_f64(self.interval).ceil());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(4);

    #[test]
    fn partitions_begin_at_moments_far_apart() {
        // Seconds of 20, in which one stage begins four times and the other once.
        let shopper = (0..32).map(|at| phase(StageName::Shopper, at % 8, 8) * 5.0 + f64::from(at / 8) * 5.0);
        let product = (0..8).map(|partition| phase(StageName::Product, partition, 8) * 20.0);
        let mut moments: Vec<f64> = shopper.chain(product).collect();
        moments.sort_by(f64::total_cmp);
        assert!(moments[0] >= 0.0 && moments[39] < 20.0);
        let narrowest = moments.windows(2).map(|pair| pair[1] - pair[0]).fold(1.0, f64::min);
        assert!(narrowest > 0.2, "{moments:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn moments_come_at_equal_distances_though_each_is_noticed_late() {
        let now = Instant::now();
        let mut times = Timetable::new(now, INTERVAL, 0.25, now);
        for round in 0..5 {
            let due = now + Duration::from_secs(1) + INTERVAL * round;
            assert!(!times.is_due(due - Duration::from_millis(1)) && times.is_due(due));
            times.begun(due + Duration::from_millis(20));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn partitions_that_begin_at_once_part_again() {
        let now = Instant::now();
        let mut all = [0.25, 0.5, 0.75].map(|phase| Timetable::new(now, INTERVAL, phase, now));
        let at_once = now + Duration::from_millis(11_500); // their next moments would be 13, 14 and 15 s
        all.iter_mut().for_each(|times| times.begun(at_once));
        let seconds = all.map(|times| (times.next - now).as_secs());
        assert_eq!(seconds, [17, 14, 15], "half an interval away or more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_partition_that_comes_later_begins_at_its_own_moments() {
        let origin = Instant::now();
        let times = Timetable::new(origin, INTERVAL, 0.5, origin + Duration::from_millis(7_300));
        assert_eq!(times.next - origin, Duration::from_secs(10));
    }
}
