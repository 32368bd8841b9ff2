//! Whether records of senders that each wait for theirs are better off lingering.
//!
//! With lingering, requests are fewer and larger, which is less work for everybody; and each record is late by the time that it
//! lingers, which its sender may wait for in vain. Which of the two counts for more depends on how many senders there are and how
//! fast brokers and machine are. Nothing that a producer can see tells: where brokers are quick, few records are on their way at a time
//! with any number of senders. So both ways are tried in turn, and the one that brings more records in a time is kept.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Records whose time is taken.
const MEASURED: u32 = 1_024;
/// Records before that, after a change: those of the other way are done by then, and their senders, as many or fewer, have come back.
const SETTLING: u32 = 1_024;
/// While records linger, so many are watched at a time: where they take twice as long as when that was chosen, and those after them,
/// too, senders have become fewer, and would wait for nothing until the next trial. Once may be a pause.
const WATCHED: u32 = 2 * MEASURED;
/// Records between two trials: twice as many after each one that changes nothing.
const KEPT: RangeInclusive<u32> = 4_096..=131_072;
/// Lingering is to be faster by so much in a hundred: where records come at their own pace, it would only make them late, and
/// random times of so many differ by 4 in a hundred.
const GAIN: u32 = 15;
/// Records that take longer come so slowly that the pauses between them say nothing about either way.
const SLOW: Duration = Duration::from_millis(500);

/// Chooses between the two ways.
#[derive(Debug)]
pub(super) struct Pace {
    lingers: AtomicBool,
    /// Records until the part of the trial ends.
    left: AtomicI64,
    trial: Mutex<Trial>,
}

#[derive(Debug)]
struct Trial {
    part: Part,
    since: Option<Instant>,
    /// What [`MEASURED`] records took, going the better way.
    took: Duration,
    /// Whether those that were watched last took too long.
    was_slow: bool,
    kept: u32,
}

#[derive(Debug)]
enum Part {
    /// The better way, as far as anybody knows, for this part and so many records more.
    Better(u32),
    /// The same, and its time is taken.
    BetterMeasured,
    /// The other way, which has just begun.
    OtherSettles,
    /// The other way, and its time is taken.
    OtherMeasured,
}

impl Default for Pace {
    fn default() -> Self {
        let trial = Trial {
            part: Part::Better(0),
            since: None,
            took: Duration::ZERO,
            was_slow: false,
            kept: *KEPT.start(),
        };
        Self {
            lingers: AtomicBool::new(false),
            left: AtomicI64::new(i64::from(*KEPT.start())),
            trial: Mutex::new(trial),
        }
    }
}

impl Pace {
    /// Whether records are to linger.
    pub(super) fn lingers(&self) -> bool {
        self.lingers.load(Ordering::Relaxed)
    }

    /// One more record has come. `now` is asked for at the ends of parts only.
    pub(super) fn count(&self, now: impl FnOnce() -> Instant) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            let mut trial = self.trial.lock().unwrap_or_else(PoisonError::into_inner);
            let (lingers, records) = trial.go_on(self.lingers(), now());
            self.lingers.store(lingers, Ordering::Relaxed);
            // Those that came in the meantime are not missed.
            self.left.store(i64::from(records), Ordering::Relaxed);
        }
    }
}

impl Trial {
    /// A part is over: whether records linger in the next one, and how many it has.
    fn go_on(&mut self, lingers: bool, now: Instant) -> (bool, u32) {
        let took = self.since.map_or(Duration::ZERO, |since| now - since);
        self.since = Some(now);
        match self.part {
            Part::Better(records) => {
                let is_slow = lingers && took > self.took * (2 * WATCHED / MEASURED);
                let is_over = is_slow && self.was_slow;
                self.was_slow = is_slow;
                if is_over {
                    self.kept = *KEPT.start();
                    self.keep(false, self.kept)
                } else if records == 0 {
                    self.part = Part::BetterMeasured;
                    (lingers, MEASURED)
                } else {
                    self.keep(lingers, records)
                }
            }
            Part::BetterMeasured => {
                self.part = Part::OtherSettles;
                self.took = took;
                (!lingers, SETTLING)
            }
            Part::OtherSettles => {
                self.part = Part::OtherMeasured;
                (lingers, MEASURED)
            }
            Part::OtherMeasured => {
                let was_better = !lingers;
                let (prompt, lingering) = if lingers { (self.took, took) } else { (took, self.took) };
                let is_better = lingering * (100 + GAIN) < prompt * 100 && prompt < SLOW;
                let more = (2 * self.kept).min(*KEPT.end());
                self.kept = if is_better == was_better { more } else { *KEPT.start() };
                self.took = if is_better { lingering } else { prompt };
                self.keep(is_better, self.kept)
            }
        }
    }

    /// So many records more go the way that is the better one.
    fn keep(&mut self, lingers: bool, records: u32) -> (bool, u32) {
        let now = if lingers { WATCHED.min(records) } else { records };
        self.part = Part::Better(records - now);
        (lingers, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records that come as fast as each way lets them.
    struct Load {
        pace: Pace,
        now: Instant,
        lingered: u32,
    }

    impl Load {
        fn new() -> Self {
            Self { pace: Pace::default(), now: Instant::now(), lingered: 0 }
        }

        /// How many of so many records lingered, when each takes so many microseconds promptly, and when it lingers.
        fn send(&mut self, records: u32, prompt_us: u64, lingering_us: u64) -> u32 {
            let before = self.lingered;
            for _ in 0..records {
                let lingers = self.pace.lingers();
                self.lingered += u32::from(lingers);
                self.now += Duration::from_micros(if lingers { lingering_us } else { prompt_us });
                self.pace.count(|| self.now);
            }
            self.lingered - before
        }
    }

    #[test]
    fn records_linger_where_that_is_faster() {
        let mut load = Load::new();
        assert_eq!(load.send(5_120, 20, 10), 0, "nothing is known yet");
        load.send(10_000, 20, 10);
        let lingered = load.send(1_000_000, 20, 10);
        assert!(lingered > 970_000, "{lingered} of a million lingered");
    }

    #[test]
    fn they_do_not_where_it_holds_up_their_senders_or_changes_nothing() {
        for (prompt_us, lingering_us) in [(25, 50), (200, 200), (100, 87)] {
            let mut load = Load::new();
            let first = load.send(20_000, prompt_us, lingering_us);
            assert!(first >= SETTLING + MEASURED, "it was tried");
            let lingered = load.send(1_000_000, prompt_us, lingering_us);
            assert!(lingered < 30_000, "{lingered} of a million lingered");
        }
    }

    #[test]
    fn the_choice_follows_the_load() {
        let mut load = Load::new();
        load.send(1_000_000, 25, 50);
        load.send(2 * KEPT.end(), 20, 10);
        assert!(load.send(100_000, 20, 10) > 90_000);
        load.send(2 * KEPT.end(), 25, 50);
        assert!(load.send(100_000, 25, 50) < 10_000);
    }

    #[test]
    fn records_do_not_linger_on_when_their_senders_have_become_fewer() {
        let mut load = Load::new();
        load.send(1_000_000, 20, 10);
        assert!(load.pace.lingers());
        load.send(3 * WATCHED, 25, 50);
        assert!(!load.pace.lingers());
    }

    #[test]
    fn a_pause_of_all_senders_changes_nothing() {
        let mut load = Load::new();
        load.send(2_000_000, 20, 10);
        // In the middle of what is kept.
        let left = |load: &Load| match load.pace.trial.lock().expect("sound").part {
            Part::Better(records) => records,
            _ => 0,
        };
        while left(&load) < KEPT.end() / 2 {
            load.send(1, 20, 10);
        }
        load.now += Duration::from_secs(5);
        assert_eq!(load.send(3 * WATCHED, 20, 10), 3 * WATCHED);
    }

    #[test]
    fn pauses_between_few_records_are_no_reason_to_linger() {
        let mut load = Load::new();
        load.send(*KEPT.start() + 10, 20, 20);
        load.now += Duration::from_secs(60);
        let lingered = load.send(20_000, 20, 20);
        assert!(lingered <= 2 * (SETTLING + MEASURED), "{lingered} lingered");
    }
}
