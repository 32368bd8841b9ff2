//! Whether a lane's records come fast enough to linger.
//!
//! That shows only once they do: senders that wait for each record send fewer then, or more where it is the brokers that hold them
//! up. Neither how many go together nor how many are on their way tells before, where brokers are quick. So a lane tries.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// After so many records a lane looks whether it was right.
const FIRST: u32 = 32;
/// And later after so many each time: a pause of the machine is no reason to go back.
const NEXT: u32 = 256;
/// It was if they came as fast as this, one after another: 8 in the time that one lingers. Where they come slower, their lingering is
/// what senders wait for.
const FAST: Duration = Duration::from_micros(125);
/// For so many records a lane does not try again: after each failure for twice as many as after the one before.
const REST: RangeInclusive<u32> = 512..=16_384;

/// What a lane has tried.
#[derive(Debug)]
pub(super) struct Trial {
    state: State,
    /// How many records the next failure lets pass by.
    rest: u32,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Nothing is known.
    Open,
    /// Records linger; a part of the trial begins with one of them.
    Runs(Option<Part>),
    /// They came too slowly; so many are sent before the next trial.
    Rests(u32),
}

#[derive(Debug, Clone, Copy)]
struct Part {
    since: Instant,
    /// Records until it ends.
    left: u32,
    records: u32,
}

impl Part {
    fn begin(since: Instant, records: u32) -> State {
        State::Runs(Some(Self { since, left: records, records }))
    }
}

impl Default for Trial {
    fn default() -> Self {
        Self { state: State::Open, rest: *REST.start() }
    }
}

impl Trial {
    /// Records linger from now on, if they do not already.
    pub(super) fn run(&mut self) {
        if !self.runs() {
            self.state = State::Runs(None);
        }
    }

    /// Whether they do, and have not turned out to be too slow.
    pub(super) fn runs(&self) -> bool {
        matches!(self.state, State::Runs(_))
    }

    /// Whether they have, a short while ago.
    pub(super) fn rests(&self) -> bool {
        matches!(self.state, State::Rests(_))
    }

    /// One more record was sent. `now` is asked for at the ends of parts only.
    pub(super) fn sent(&mut self, now: impl FnOnce() -> Instant) {
        self.state = match self.state {
            State::Open => State::Open,
            State::Rests(records) if records > 1 => State::Rests(records - 1),
            State::Rests(_) => State::Open,
            State::Runs(None) => Part::begin(now(), FIRST),
            State::Runs(Some(part)) if part.left > 1 => {
                State::Runs(Some(Part { left: part.left - 1, ..part }))
            }
            State::Runs(Some(Part { since, records, .. })) => {
                let now = now();
                if now - since <= FAST * records {
                    self.rest = *REST.start();
                    Part::begin(now, NEXT)
                } else {
                    let rest = self.rest;
                    self.rest = (2 * rest).min(*REST.end());
                    State::Rests(rest)
                }
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Duration = Duration::from_micros(126);

    /// A trial, and the time of its next record.
    struct Tried {
        trial: Trial,
        now: Instant,
    }

    impl Tried {
        fn new() -> Self {
            Self { trial: Trial::default(), now: Instant::now() }
        }

        fn send(&mut self, records: u32, each: Duration) {
            for _ in 0..records {
                self.trial.sent(|| self.now);
                self.now += each;
            }
        }

        /// Fails, and gives how many records are sent until it can be tried again.
        fn fail(&mut self) -> u32 {
            self.trial.run();
            self.send(FIRST + 1, SLOW);
            assert!(self.trial.rests() && !self.trial.runs());
            let mut records = 0;
            while self.trial.rests() {
                self.send(1, SLOW);
                records += 1;
            }
            records
        }
    }

    #[test]
    fn records_linger_as_long_as_they_come_fast() {
        let mut tried = Tried::new();
        tried.trial.run();
        tried.send(1 + FIRST + 3 * NEXT, FAST);
        assert!(tried.trial.runs());
        tried.trial.run(); // does not begin again
        tried.send(NEXT - 1, SLOW);
        assert!(tried.trial.runs(), "the part is not over");
        tried.send(1, SLOW);
        assert!(tried.trial.rests());
    }

    #[test]
    fn a_pause_of_the_machine_is_no_reason_to_stop() {
        let mut tried = Tried::new();
        tried.trial.run();
        tried.send(1 + FIRST, FAST);
        tried.now += FAST * NEXT / 3;
        tried.send(NEXT, FAST / 2);
        assert!(tried.trial.runs());
    }

    #[test]
    fn each_failure_is_followed_by_a_longer_rest_until_one_succeeds() {
        let mut tried = Tried::new();
        let rests: Vec<_> = (0..7).map(|_| tried.fail()).collect();
        assert_eq!(rests, [512, 1_024, 2_048, 4_096, 8_192, 16_384, 16_384]);
        tried.trial.run();
        tried.send(1 + FIRST, FAST);
        tried.send(NEXT, SLOW);
        assert!(tried.trial.rests());
        tried.send(512, SLOW);
        assert!(!tried.trial.rests());
    }
}
