//! Few requests for many records: a partition's records wait while some of it are on their way, and go together once these are
//! acknowledged, as Nagle's algorithm (RFC 896) has it for the bytes of a connection.
//!
//! Left to itself, the client (librdkafka 2.12) makes a request of each record as soon as it comes, wakes its thread for each,
//! and that thread does not sleep at all while a partition has more than five requests without an answer and more to send:
//! the busier the brokers, the more of a core goes into asking whether they are done. Waiting for some time (`linger.ms`)
//! makes few records late where nothing is to be gained. With lanes, a record of a partition without others goes at once, and
//! requests grow with the load.
//!
//! What goes together is still handed to the client record by record, and its thread, which wakes at the first of them, makes a
//! request of what is there by then: often of one, and of the others a second one. So where that is faster ([`super::pace`]),
//! records go by way of a client that lingers, and do not wait for one another there: it makes large requests by itself. And
//! records of batches go by way of one that lingers longer: a batch waits for all its records, which are of many partitions, and
//! where batches come one after another each of them would make a request to each partition. A lane changes its way only while
//! nothing of it is on another one, so that none of its records overtakes another.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// With so many records of a partition on their way, the next ones wait: the brokers have one in hand then, and another one as
/// soon as they are done.
const AT_ONCE: usize = 2;
/// A lane with so many records of batches in a round trip goes the way that lingers briefly.
const MANY: usize = 16;
/// A lane with so many records by themselves in a round trip goes that way, where they may.
const SOME: usize = 4;
/// Until a topic whose partitions could not be asked for is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// The lanes of all topics that records were appended to.
pub(super) struct Lanes<R> {
    topics: RwLock<HashMap<Arc<str>, Arc<Topic<R>>>>,
}

/// The lanes of a topic.
pub(super) struct Topic<R> {
    /// Unset as long as the number of partitions is not known.
    lanes: OnceLock<Box<[Arc<Lane<R>>]>>,
    asked_at: Mutex<Option<Instant>>,
}

/// The records of a partition.
pub(super) struct Lane<R>(Mutex<Traffic<R>>);

/// What is on its way and what waits.
pub(super) struct Traffic<R> {
    way: Way,
    on_way: usize,
    /// Whether what is on its way began with a record of a batch.
    of_batch: bool,
    /// Records sent since those that had waited last went together, or a record went alone.
    round: usize,
    /// The same for records of batches: how many come in a batch says nothing about those that come by themselves.
    batch_round: usize,
    waiting: VecDeque<R>,
    /// Whether one of those that wait is of a batch.
    batch_waits: bool,
}

/// What may go the ways that linger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MayLinger {
    Nothing,
    /// Records of batches.
    Batches,
    Everything,
}

/// By which of a producer's clients records go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Way {
    /// The one that sends each record as soon as it comes.
    #[default]
    Prompt,
    /// The one that waits a moment for more, of many records.
    Briefly,
    /// The one that waits longer, for records of other batches.
    Longer,
}

impl<R> Default for Lanes<R> {
    fn default() -> Self {
        Self { topics: RwLock::default() }
    }
}

impl<R> Lanes<R> {
    /// Those of a topic.
    pub(super) fn of(&self, topic: &Arc<str>) -> Arc<Topic<R>> {
        let known = self.topics.read().unwrap_or_else(PoisonError::into_inner).get(topic).cloned();
        known.unwrap_or_else(|| {
            let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(topics.entry(Arc::clone(topic)).or_default())
        })
    }

    /// All records that wait, which are nobody's then.
    pub(super) fn abandon(&self) -> Vec<R> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let lanes = topics.values().filter_map(|topic| topic.lanes.get()).flatten();
        lanes.flat_map(|lane| std::mem::take(&mut lane.lock().waiting)).collect()
    }
}

impl<R> Default for Topic<R> {
    fn default() -> Self {
        Self { lanes: OnceLock::new(), asked_at: Mutex::default() }
    }
}

impl<R> Topic<R> {
    /// The lane of what `partition` chooses among so many; none as long as nobody knows how many there are.
    pub(super) fn lane(&self, partition: impl FnOnce(u32) -> u32) -> Option<&Arc<Lane<R>>> {
        let lanes = self.lanes.get()?;
        // A topic that has grown since shares lanes, which only lets more records wait for one another.
        Some(&lanes[partition(lanes.len() as u32) as usize % lanes.len()])
    }

    /// Whether the caller is to find out how many partitions there are.
    pub(super) fn is_to_be_asked(&self) -> bool {
        let mut asked_at = self.asked_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = self.lanes.get().is_none() && asked_at.is_none_or(|asked| asked.elapsed() > ASK_AGAIN);
        if is_due {
            *asked_at = Some(Instant::now());
        }
        is_due
    }

    /// There are so many.
    pub(super) fn has(&self, partitions: usize) {
        if partitions > 0 {
            self.lanes.get_or_init(|| (0..partitions).map(|_| Arc::default()).collect());
        }
    }
}

impl<R> Default for Lane<R> {
    fn default() -> Self {
        Self(Mutex::new(Traffic {
            way: Way::default(),
            on_way: 0,
            of_batch: false,
            round: 0,
            batch_round: 0,
            waiting: VecDeque::new(),
            batch_waits: false,
        }))
    }
}

impl<R> Lane<R> {
    /// Held while records are sent, so that none overtakes another.
    pub(super) fn lock(&self) -> MutexGuard<'_, Traffic<R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R> Traffic<R> {
    /// The way of a record that comes now, of a batch or not, if it goes at once; [`Traffic::sent`] has to follow where it is sent,
    /// and [`Traffic::wait`] where it does not go.
    pub(super) fn free(&mut self, may_linger: MayLinger, of_batch: bool) -> Option<Way> {
        if self.on_way == 0 {
            self.way = way(may_linger, of_batch, self.last_round(of_batch));
            self.begin_round(of_batch);
        }
        let is_open = match self.way {
            Way::Prompt => true,
            Way::Briefly if may_linger == MayLinger::Everything => true,
            // Records that are of no batch would keep the lane there for as long as they come.
            Way::Briefly | Way::Longer => of_batch && may_linger != MayLinger::Nothing,
        };
        (is_open && self.has_room(may_linger) && self.waiting.is_empty()).then_some(self.way)
    }

    /// A record waits for its turn.
    pub(super) fn wait(&mut self, record: R, of_batch: bool) {
        self.waiting.push_back(record);
        self.batch_waits |= of_batch;
    }

    /// A record is on its way.
    pub(super) fn sent(&mut self) {
        self.on_way += 1;
        *if self.of_batch { &mut self.batch_round } else { &mut self.round } += 1;
    }

    fn last_round(&self, of_batch: bool) -> usize {
        if of_batch { self.batch_round } else { self.round }
    }

    fn begin_round(&mut self, of_batch: bool) {
        self.of_batch = of_batch;
        *if of_batch { &mut self.batch_round } else { &mut self.round } = 0;
    }

    /// A record's outcome is known: gives those that go now, in their order, and which way, of those that there are.
    pub(super) fn reported(&mut self, may_linger: MayLinger) -> (VecDeque<R>, Way) {
        self.on_way = self.on_way.saturating_sub(1);
        let records = self.last_round(self.batch_waits) + self.waiting.len();
        let way = way(may_linger, self.batch_waits, records);
        if self.on_way == 0 {
            self.way = way;
        }
        let go = self.has_room(may_linger) && self.way == way;
        if !go || self.waiting.is_empty() {
            return (VecDeque::new(), way);
        }
        self.begin_round(self.batch_waits);
        self.batch_waits = false;
        (std::mem::take(&mut self.waiting), way)
    }

    /// Whether one more may be on its way. Records by themselves have no limit where they linger: the client makes large requests
    /// by itself.
    fn has_room(&self, may_linger: MayLinger) -> bool {
        let is_unlimited = self.way == Way::Briefly && !self.of_batch && may_linger == MayLinger::Everything;
        self.on_way < AT_ONCE || is_unlimited
    }
}

/// The way of records of which so many are, or were last, in a round trip.
fn way(may_linger: MayLinger, of_batch: bool, records: usize) -> Way {
    match (may_linger, of_batch) {
        (MayLinger::Nothing, _) => Way::Prompt,
        (_, true) if records >= MANY => Way::Briefly,
        (_, true) => Way::Longer,
        (MayLinger::Everything, false) if records >= SOME => Way::Briefly,
        (_, false) => Way::Prompt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a record or lets it wait; whether it was sent.
    fn offer(traffic: &mut Traffic<u32>, record: u32) -> bool {
        offer_where(MayLinger::Everything, traffic, record)
    }

    fn offer_where(may_linger: MayLinger, traffic: &mut Traffic<u32>, record: u32) -> bool {
        let is_free = traffic.free(may_linger, false).is_some();
        if is_free {
            traffic.sent();
        } else {
            traffic.wait(record, false);
        }
        is_free
    }

    fn offer_all(traffic: &mut Traffic<u32>, records: std::ops::Range<u32>) {
        for record in records {
            offer(traffic, record);
        }
    }

    /// The outcomes of so many records, of which none lets others go.
    fn none_goes(traffic: &mut Traffic<u32>, outcomes: usize) {
        none_goes_where(MayLinger::Everything, traffic, outcomes);
    }

    fn none_goes_where(may_linger: MayLinger, traffic: &mut Traffic<u32>, outcomes: usize) {
        for left in (0..outcomes).rev() {
            assert!(traffic.reported(may_linger).0.is_empty(), "{left} outcomes are to come");
        }
    }

    /// The outcome of a record that lets others go, by this way.
    fn go(traffic: &mut Traffic<u32>, expected: std::ops::Range<u32>, way: Way) {
        go_where(MayLinger::Everything, traffic, expected, way);
    }

    fn go_where(may_linger: MayLinger, traffic: &mut Traffic<u32>, expected: std::ops::Range<u32>, way: Way) {
        assert_eq!(traffic.reported(may_linger), (expected.clone().collect(), way));
        expected.for_each(|_| traffic.sent());
    }

    #[test]
    fn a_few_go_at_once_and_the_others_together_once_there_is_room() {
        for may_linger in [MayLinger::Nothing, MayLinger::Batches] {
            let lane = Lane::default();
            let mut traffic = lane.lock();
            assert!((0..2).all(|record| offer_where(may_linger, &mut traffic, record)));
            assert!((2..24).all(|record| !offer_where(may_linger, &mut traffic, record)));
            go_where(may_linger, &mut traffic, 2..24, Way::Prompt);
            assert!(!offer_where(may_linger, &mut traffic, 24), "23 are on their way");
            none_goes_where(may_linger, &mut traffic, 21);
            go_where(may_linger, &mut traffic, 24..25, Way::Prompt); // 1 was on its way
        }
    }

    #[test]
    fn where_they_may_linger_there_is_no_limit_to_how_many_do() {
        let lane = Lane::default();
        let mut traffic = lane.lock();
        offer_all(&mut traffic, 0..5);
        none_goes(&mut traffic, 1); // 1 is on its way
        go(&mut traffic, 2..5, Way::Briefly);
        assert!((5..100).all(|record| offer(&mut traffic, record)));
    }

    #[test]
    fn a_lane_changes_its_way_only_while_nothing_of_it_is_on_the_other_one() {
        let lane = Lane::default();
        let mut traffic = lane.lock();
        offer_all(&mut traffic, 0..5);
        none_goes(&mut traffic, 1); // 1 is on its way
        go(&mut traffic, 2..5, Way::Briefly);
        let promptly = MayLinger::Batches;
        assert!((5..8).all(|record| !offer_where(promptly, &mut traffic, record)), "3 linger still");
        none_goes_where(promptly, &mut traffic, 2);
        go_where(promptly, &mut traffic, 5..8, Way::Prompt);
    }

    #[test]
    fn after_some_records_a_few_linger_once() {
        let lane = Lane::default();
        let mut traffic = lane.lock();
        offer_all(&mut traffic, 0..5);
        none_goes(&mut traffic, 1);
        go(&mut traffic, 2..5, Way::Briefly);
        offer(&mut traffic, 5);
        none_goes(&mut traffic, 4);
        // All senders come back at once, and the first of them must not part from the others.
        assert_eq!(traffic.free(MayLinger::Everything, false), Some(Way::Briefly));
        traffic.sent();
        none_goes(&mut traffic, 1);
        assert_eq!(traffic.free(MayLinger::Everything, false), Some(Way::Prompt), "it came alone");
    }

    #[test]
    fn a_lane_leaves_the_way_that_lingers_when_it_may_not_be_used_any_more() {
        let lane = Lane::default();
        let mut traffic = lane.lock();
        offer_all(&mut traffic, 0..24);
        none_goes(&mut traffic, 1);
        go(&mut traffic, 2..24, Way::Briefly);
        none_goes(&mut traffic, 20); // 2 are on their way
        assert_eq!(traffic.free(MayLinger::Nothing, false), None);
        traffic.wait(24, false);
        assert!(traffic.reported(MayLinger::Nothing).0.is_empty(), "1 is on the way that lingers");
        assert_eq!(traffic.reported(MayLinger::Nothing), ([24].into(), Way::Prompt));
    }

    /// Sends a record of a batch or lets it wait; by which way it was sent.
    fn offer_of_batch(traffic: &mut Traffic<u32>, record: u32) -> Option<Way> {
        let way = traffic.free(MayLinger::Everything, true);
        match way {
            Some(_) => traffic.sent(),
            None => traffic.wait(record, true),
        }
        way
    }

    #[test]
    fn records_of_batches_have_a_way_of_their_own() {
        let lane = Lane::default();
        let mut traffic = lane.lock();
        let ways: Vec<_> = (0..9).map(|record| offer_of_batch(&mut traffic, record)).collect();
        assert_eq!((ways[0], ways[1]), (Some(Way::Longer), Some(Way::Longer)));
        assert!(ways[2..].iter().all(Option::is_none));
        go(&mut traffic, 2..9, Way::Longer);
        none_goes(&mut traffic, 8);
        assert_eq!(traffic.free(MayLinger::Everything, false), Some(Way::Prompt));
    }

    #[test]
    fn records_of_large_batches_need_not_wait_for_others() {
        let lane = Lane::default();
        let mut traffic = lane.lock();
        let batch =
            |traffic: &mut Traffic<u32>| (0..20).map(|record| offer_of_batch(traffic, record)).collect();
        let first: Vec<_> = batch(&mut traffic);
        assert_eq!(first[0], Some(Way::Longer), "nobody knows yet how many there are");
        none_goes(&mut traffic, 1);
        go(&mut traffic, 2..20, Way::Briefly);
        none_goes(&mut traffic, 18);
        let second: Vec<_> = batch(&mut traffic);
        assert_eq!(second[0], Some(Way::Briefly));
        go(&mut traffic, 2..20, Way::Briefly);
        none_goes(&mut traffic, 19);
        // Although there were many: they came together.
        assert_eq!(traffic.free(MayLinger::Everything, false), Some(Way::Prompt));
    }

    #[test]
    fn records_by_themselves_do_not_stay_on_the_way_of_batches() {
        let lane = Lane::default();
        let mut traffic = lane.lock();
        offer_of_batch(&mut traffic, 0);
        assert!(!offer(&mut traffic, 1), "it would linger, and so would all that come before it is done");
        go(&mut traffic, 1..2, Way::Prompt);
        // With one of a batch behind them, all go its way.
        assert_eq!(offer_of_batch(&mut traffic, 2), Some(Way::Prompt));
        assert!(!offer(&mut traffic, 3));
        assert_eq!(offer_of_batch(&mut traffic, 4), None);
        none_goes(&mut traffic, 1);
        go(&mut traffic, 3..5, Way::Longer);
        none_goes(&mut traffic, 1);
    }

    #[test]
    fn records_by_themselves_do_not_linger_with_a_large_batch_unless_all_may() {
        let lane = Lane::default();
        let mut traffic = lane.lock();
        for record in 0..20 {
            offer_of_batch(&mut traffic, record);
        }
        none_goes(&mut traffic, 1);
        go(&mut traffic, 2..20, Way::Briefly);
        let promptly = MayLinger::Batches;
        assert!(!offer_where(promptly, &mut traffic, 20));
        none_goes_where(promptly, &mut traffic, 17);
        go_where(promptly, &mut traffic, 20..21, Way::Prompt);
    }

    #[test]
    fn records_of_batches_wait_until_the_lane_is_free_for_their_way() {
        let lane = Lane::default();
        let mut traffic = lane.lock();
        assert!((0..2).all(|record| offer(&mut traffic, record)));
        assert_eq!(traffic.free(MayLinger::Everything, true), None);
        traffic.wait(2, true);
        assert!(!offer(&mut traffic, 3));
        none_goes(&mut traffic, 1); // 1 is on its way
        go(&mut traffic, 2..4, Way::Longer);
        assert_eq!(offer_of_batch(&mut traffic, 4), None);
        go(&mut traffic, 4..5, Way::Longer); // 1 is on its way
    }

    #[test]
    fn records_of_batches_go_as_they_come_where_there_is_one_way_only() {
        let lane = Lane::default();
        let mut traffic = lane.lock();
        assert_eq!(traffic.free(MayLinger::Nothing, true), Some(Way::Prompt));
        traffic.sent();
        traffic.sent();
        traffic.wait(2, true);
        assert_eq!(traffic.reported(MayLinger::Nothing), ([2].into(), Way::Prompt));
    }

    #[test]
    fn where_there_is_one_way_only_many_records_go_as_few_do() {
        let lane = Lane::default();
        let mut traffic = lane.lock();
        offer_all(&mut traffic, 0..24);
        let (many, way) = traffic.reported(MayLinger::Nothing);
        assert_eq!((many.len(), way), (22, Way::Prompt));
    }

    #[test]
    fn a_topic_is_asked_for_once_and_has_its_lanes_from_then_on() {
        let lanes = Lanes::<u32>::default();
        let topic = lanes.of(&"events".into());
        assert!(topic.lane(|_| 0).is_none());
        assert!(topic.is_to_be_asked() && !topic.is_to_be_asked());
        topic.has(0);
        assert!(topic.lane(|_| 0).is_none(), "a topic that does not exist yet");
        topic.has(3);
        let again = lanes.of(&"events".into());
        let lane = |partition: u32| again.lane(|_| partition).expect("they are known");
        assert!(!Arc::ptr_eq(lane(0), lane(1)) && Arc::ptr_eq(lane(0), lane(3)));
        assert_eq!(again.lane(|count| count - 1).map(Arc::as_ptr), Some(Arc::as_ptr(lane(2))));
        assert!(!again.is_to_be_asked());
        topic.has(5);
        assert!(Arc::ptr_eq(lane(0), lane(3)), "no record changes its lane");
    }

    #[test]
    fn what_waits_can_be_abandoned() {
        let lanes = Lanes::<u32>::default();
        let topic = lanes.of(&"events".into());
        topic.has(2);
        for record in 0..12 {
            offer(&mut topic.lane(|_| record % 2).expect("known").lock(), record);
        }
        let mut abandoned = lanes.abandon();
        abandoned.sort_unstable();
        assert_eq!(abandoned, [4, 5, 6, 7, 8, 9, 10, 11]);
    }
}
