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
/// A trial is over when one way was better so many times, since a pause of the brokers or of the machine takes as long as all of
/// what is measured once.
const WINS: u32 = 3;
/// While records linger, so many are watched at a time: where they take twice as long as when that was chosen, and those after them,
/// too, senders have become fewer, and would wait for nothing until the next trial. Once may be a pause.
const WATCHED: u32 = 2 * MEASURED;
/// Records between two trials: twice as many after each one that changes nothing.
const KEPT: RangeInclusive<u32> = 4_096..=524_288;
/// Lingering is to be faster by so much in a hundred: where records come at their own pace, it would only make them late, and
/// random times of so many differ by 4 in a hundred.
const GAIN: u32 = 8;
/// The same where records linger already: ways that are about as good do not take turns.
const GAIN_TO_STAY: u32 = 4;
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
    /// What [`MEASURED`] records took last, going promptly and lingering.
    took: [Duration; 2],
    /// How often either way was the better one in this trial.
    wins: [u32; 2],
    /// Whether those that were watched last took too long.
    was_slow: bool,
    kept: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The better way, as far as anybody knows, for this part and so many records more.
    Better(u32),
    /// The better way, and its time is taken.
    BetterMeasured,
    /// The other way, which has just begun.
    OtherSettles,
    /// The other way, and its time is taken.
    OtherMeasured,
    /// The better way again.
    BetterSettles,
}

impl Default for Pace {
    fn default() -> Self {
        let trial = Trial {
            part: Part::Better(0),
            since: None,
            took: [Duration::ZERO; 2],
            wins: [0; 2],
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
                let is_slow = lingers && took > self.took[1] * (2 * WATCHED / MEASURED);
                let is_over = is_slow && self.was_slow;
                self.was_slow = is_slow;
                if is_over {
                    self.kept = *KEPT.start();
                    self.keep(false, self.kept)
                } else if records == 0 {
                    self.wins = [0; 2];
                    self.part = Part::BetterMeasured;
                    (lingers, MEASURED)
                } else {
                    self.keep(lingers, records)
                }
            }
            Part::BetterMeasured => {
                self.took[usize::from(lingers)] = took;
                if !lingers && took > SLOW {
                    return self.decide(false, false);
                }
                self.part = Part::OtherSettles;
                (!lingers, SETTLING)
            }
            Part::OtherSettles => {
                self.part = Part::OtherMeasured;
                (lingers, MEASURED)
            }
            Part::OtherMeasured => {
                self.took[usize::from(lingers)] = took;
                let was_better = !lingers;
                let is_better = self.lingering_wins(was_better);
                let wins = &mut self.wins[usize::from(is_better)];
                *wins += 1;
                if *wins == WINS {
                    return self.decide(was_better, is_better);
                }
                self.part = Part::BetterSettles;
                (was_better, SETTLING)
            }
            Part::BetterSettles => {
                self.part = Part::BetterMeasured;
                (lingers, MEASURED)
            }
        }
    }

    /// Whether lingering was the better way this time.
    fn lingering_wins(&self, was_better: bool) -> bool {
        let gain = if was_better { GAIN_TO_STAY } else { GAIN };
        let [prompt, lingering] = self.took;
        lingering * (100 + gain) < prompt * 100 && prompt < SLOW
    }

    /// The trial is over: whether lingering was and is the better way.
    fn decide(&mut self, was_better: bool, is_better: bool) -> (bool, u32) {
        let more = (2 * self.kept).min(*KEPT.end());
        self.kept = if is_better == was_better { more } else { *KEPT.start() };
        self.keep(is_better, self.kept)
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

        fn part(&self) -> Part {
            self.pace.trial.lock().expect("sound").part
        }
    }

    #[test]
    fn records_linger_where_that_is_faster() {
        let mut load = Load::new();
        assert_eq!(load.send(5_120, 20, 10), 0, "nothing is known yet");
        load.send(10_000, 20, 10);
        let lingered = load.send(1_000_000, 20, 10);
        assert!(lingered > 950_000, "{lingered} of a million lingered");
    }

    #[test]
    fn they_do_not_where_it_holds_up_their_senders_or_changes_nothing() {
        for (prompt_us, lingering_us) in [(25, 50), (200, 200), (100, 93)] {
            let mut load = Load::new();
            let first = load.send(20_000, prompt_us, lingering_us);
            assert!(first >= SETTLING + MEASURED, "it was tried");
            let lingered = load.send(1_000_000, prompt_us, lingering_us);
            assert!(lingered < 45_000, "{lingered} of a million lingered");
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
        let left = |load: &Load| match load.part() {
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
    fn a_pause_of_the_brokers_does_not_decide_a_trial() {
        for (prompt_us, lingering_us, paused) in
            [(20, 16, Part::OtherMeasured), (16, 20, Part::BetterMeasured)]
        {
            let mut load = Load::new();
            while load.part() != paused {
                load.send(1, prompt_us, lingering_us);
            }
            // The better way takes twice as long, once.
            load.now += Duration::from_micros(16 * u64::from(MEASURED));
            while !matches!(load.part(), Part::Better(_)) {
                load.send(1, prompt_us, lingering_us);
            }
            assert_eq!(load.pace.lingers(), lingering_us < prompt_us, "{prompt_us} and {lingering_us} us");
        }
    }

    #[test]
    fn of_ways_that_are_about_as_good_the_last_one_is_kept() {
        let mut load = Load::new();
        load.send(1_000_000, 100, 94);
        assert!(!load.pace.lingers());
        load.send(2 * KEPT.end(), 100, 80);
        assert!(load.send(1_000_000, 100, 94) > 900_000);
    }

    #[test]
    fn records_that_come_slowly_are_not_tried() {
        let mut load = Load::new();
        assert_eq!(load.send(1_000_000, 500, 1), 0);
    }

    #[test]
    fn pauses_between_few_records_are_no_reason_to_linger() {
        let mut load = Load::new();
        load.send(*KEPT.start() + 10, 20, 20);
        load.now += Duration::from_secs(60);
        let lingered = load.send(30_000, 20, 20);
        assert!(lingered <= 2 * WINS * (SETTLING + MEASURED), "{lingered} lingered");
        assert!(!load.pace.lingers());
    }
}
