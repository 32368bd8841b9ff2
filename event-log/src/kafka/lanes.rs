//! Which of two producers a record goes through: the one that sends at once, or the one that collects.
//!
//! Sending at once is soonest while few records are on their way. With many it is slowest: the client wakes its thread for each
//! of them, and while a partition has more than five records without an acknowledgement, neither sends more of it nor lets
//! that thread sleep (librdkafka 2.12). Collecting for some milliseconds then costs little time, since most records would
//! wait anyway, and needs a fraction of the requests.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Records on their way beyond which more are collected.
const MANY: usize = 64;
/// For how long after that: acknowledgements come in bursts.
const COLLECT_FOR: Duration = Duration::from_millis(50);
/// Keys share slots: more of them let more keys change their lane at once.
const SLOTS: usize = 1 << 12;

/// How a record is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// At once.
    Quick,
    /// Together with those of the next milliseconds.
    Collecting,
}

/// The place of a record that is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(u16);

/// Chooses lanes such that records of one key are appended in order: as long as one is on its way, the next ones follow it.
#[derive(Debug)]
pub(super) struct Lanes {
    hasher: RandomState,
    /// Twice the number of records on their way, and one more where they collect.
    slots: Box<[AtomicU32]>,
    begun: Instant,
    /// In milliseconds since `begun`.
    collect_until: AtomicU64,
}

impl Default for Lanes {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            slots: (0..SLOTS).map(|_| AtomicU32::new(0)).collect(),
            begun: Instant::now(),
            collect_until: AtomicU64::new(0),
        }
    }
}

impl Lanes {
    /// The lane of the next record of `key`, which has to leave the slot when its outcome is known.
    pub(super) fn enter(&self, key: impl Hash, in_flight: usize) -> (Slot, Lane) {
        let slot = self.hasher.hash_one(key) as usize % SLOTS;
        let wanted = match self.wanted(in_flight) {
            Lane::Quick => 0,
            Lane::Collecting => 1,
        };
        let follow = |before: u32| Some(if before < 2 { 2 + wanted } else { before + 2 });
        // It cannot fail: there always is a next value.
        let before =
            self.slots[slot].fetch_update(Ordering::AcqRel, Ordering::Acquire, follow).unwrap_or_default();
        let lane = if before < 2 { wanted } else { before & 1 };
        (Slot(slot as u16), if lane == 0 { Lane::Quick } else { Lane::Collecting })
    }

    /// A record's outcome is known.
    pub(super) fn leave(&self, slot: Slot) {
        self.slots[usize::from(slot.0)].fetch_sub(2, Ordering::AcqRel);
    }

    fn wanted(&self, in_flight: usize) -> Lane {
        let now = self.begun.elapsed();
        let millis = |time: Duration| time.as_millis() as u64;
        if in_flight > MANY {
            self.collect_until.store(millis(now + COLLECT_FOR), Ordering::Relaxed);
            return Lane::Collecting;
        }
        let is_lately = millis(now) < self.collect_until.load(Ordering::Relaxed);
        if is_lately { Lane::Collecting } else { Lane::Quick }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_records_are_sent_at_once_and_many_collect() {
        let lanes = Lanes::default();
        assert_eq!(lanes.enter("a", 0).1, Lane::Quick);
        assert_eq!(lanes.enter("b", MANY).1, Lane::Quick);
        assert_eq!(lanes.enter("c", MANY + 1).1, Lane::Collecting);
    }

    #[test]
    fn the_lull_after_a_burst_of_acknowledgements_changes_nothing() {
        let lanes = Lanes::default();
        lanes.enter("a", MANY + 1);
        lanes.collect_until.store(u64::MAX, Ordering::Relaxed);
        assert_eq!(lanes.enter("b", 0).1, Lane::Collecting);
        lanes.collect_until.store(0, Ordering::Relaxed);
        assert_eq!(lanes.enter("c", 0).1, Lane::Quick);
    }

    #[test]
    fn a_key_stays_in_its_lane_while_a_record_of_it_is_on_its_way() {
        let lanes = Lanes::default();
        let (first, lane) = lanes.enter("a", 0);
        assert_eq!(lane, Lane::Quick);
        let (second, lane) = lanes.enter("a", MANY + 1);
        assert_eq!((second, lane), (first, Lane::Quick));
        lanes.leave(first);
        assert_eq!(lanes.enter("a", MANY + 1).1, Lane::Quick, "one is still on its way");
        lanes.leave(first);
        lanes.leave(first);
        assert_eq!(lanes.enter("a", MANY + 1).1, Lane::Collecting);
        lanes.collect_until.store(0, Ordering::Relaxed);
        assert_eq!(lanes.enter("a", 0).1, Lane::Collecting);
    }
}
