//! One schedule: traffic, faults, rebalances, and then rest.

mod copies;
mod other_log;

use crate::check;
use crate::coverage::{Fault, Seen};
use crate::published;
use crate::traffic::Traffic;
use crate::world::{Disturbance, PARTITIONS, World};
use copies::Copies;
use event_log::{EventLog, TopicPartition};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What happens later.
#[derive(Debug)]
enum Later {
    /// A copy is told that it lost these.
    TellLost(u32, Vec<TopicPartition>),
    /// The group takes these from a copy that did not let go of them in time.
    GiveUp(u32, Vec<TopicPartition>),
    /// The group notices that a copy is gone.
    NoticeGone(u32),
    Thaw(u32),
    StateFast,
    LogFast,
    ServingUp,
}

/// Faults that must have taken effect before a schedule ends.
const LEAST_FAULTS: u64 = 3;
/// Records of `events` in a schedule, at least.
const LEAST_EVENTS: u64 = 200;
/// How long the pipeline may take to come to rest once nothing disturbs it any more.
const REST_MS: u64 = 120_000;

pub(crate) struct Schedule {
    world: Arc<World>,
    copies: Copies,
    traffic: Traffic,
    events: u64,
    later: BTreeMap<(Instant, u64), Later>,
    planned: u64,
}

impl Schedule {
    pub(crate) fn new(world: Arc<World>) -> Self {
        let traffic = Traffic::new(&world);
        let events = world.draw(|random| random.u64(LEAST_EVENTS..LEAST_EVENTS + 120));
        let copies = Copies::new(Arc::clone(&world));
        Self { world, copies, traffic, events, later: BTreeMap::new(), planned: 0 }
    }

    /// Runs it from the first copy's start to the last check.
    pub(crate) async fn run(mut self) {
        for _ in 0..self.world.draw(|random| random.u32(1..=3)) {
            self.copies.start();
        }
        while self.traffic.made() < self.events || self.world.state().coverage.faults() < LEAST_FAULTS {
            if !self.world.violations().is_empty() {
                return;
            }
            let pause = self.world.draw(|random| random.u64(1..90));
            tokio::time::sleep(Duration::from_millis(pause)).await;
            self.housekeeping().await;
            for _ in 0..self.world.draw(|random| if random.bool() { random.u32(1..9) } else { 0 }) {
                self.traffic.next(&self.world).await;
            }
            if self.world.draw(|random| random.u32(0..100) < 25) {
                self.disturb().await;
            }
        }
        self.come_to_rest().await;
    }

    fn plan(&mut self, after_ms: std::ops::Range<u64>, what: Later) {
        let after = Duration::from_millis(self.world.draw(|random| random.u64(after_ms)));
        self.planned += 1;
        self.later.insert((Instant::now() + after, self.planned), what);
    }

    /// What is due; copies that died; partitions without an owner.
    async fn housekeeping(&mut self) {
        while let Some(entry) = self.later.first_entry()
            && entry.key().0 <= Instant::now()
        {
            let what = entry.remove();
            self.now(what);
        }
        for number in self.copies.reap().await {
            self.plan(0..1_500, Later::NoticeGone(number));
        }
        if self.copies.live().is_empty()
            || (self.copies.live().len() < 3 && self.world.draw(|r| r.u32(0..20) == 0))
        {
            self.copies.start();
        }
        self.hand_out();
    }

    fn now(&mut self, what: Later) {
        self.world.note("later", 0, &format!("{what:?}"), 0);
        match what {
            Later::TellLost(number, mut partitions) => {
                let mut state = self.world.state();
                // What it was given again since then is its own.
                partitions.retain(|partition| state.group.owner(partition) != Some(number));
                state.group.lose(number, partitions);
            }
            Later::GiveUp(number, mut partitions) => {
                let mut state = self.world.state();
                partitions.retain(|partition| state.group.owner(partition) == Some(number));
                if partitions.is_empty() {
                    return;
                }
                state.group.free(&partitions);
                state.coverage.fault(Fault::Takeover);
                drop(state);
                self.plan(50..2_500, Later::TellLost(number, partitions));
            }
            Later::NoticeGone(number) => {
                let mut state = self.world.state();
                let owned = state.group.owned_by(number);
                state.group.free(&owned);
            }
            Later::Thaw(number) => self.copies.thaw(number),
            Later::StateFast => self.world.state().plan.state_slow = false,
            Later::LogFast => self.world.state().plan.log_slow = false,
            Later::ServingUp => self.world.state().plan.serving_down = false,
        }
    }

    /// Gives partitions without an owner to members that do not believe to own them still.
    fn hand_out(&mut self) {
        for partition in self.partitions() {
            let mut state = self.world.state();
            if state.group.owner(&partition).is_some() {
                continue;
            }
            let members: Vec<u32> = state
                .group
                .members()
                .into_iter()
                .filter(|member| self.copies.is_live(*member) && !state.group.believes(*member, &partition))
                .collect();
            if let Some(member) = state.random.choice(members) {
                state.group.assign(member, partition);
            }
        }
    }

    fn partitions(&self) -> Vec<TopicPartition> {
        let topics = [&self.world.topics.events, &self.world.topics.product_activity];
        let partition = |topic: &str, partition| TopicPartition { topic: topic.into(), partition };
        topics.iter().flat_map(|topic| (0..PARTITIONS).map(move |number| partition(topic, number))).collect()
    }

    /// One fault of any kind.
    async fn disturb(&mut self) {
        let world = Arc::clone(&self.world);
        let live = self.copies.live();
        let Some(someone) = world.draw(|random| random.choice(live.iter().copied())) else { return };
        let kind = world.draw(|random| random.u32(0..100));
        world.note("disturbance", someone, "", u64::from(kind));
        match kind {
            0..20 => self.copies.dies_in(someone, world.draw(|random| random.u64(1..60))),
            20..24 => {
                self.copies.kill(someone);
                world.fault(Fault::CrashElsewhere);
            }
            24..28 => self.crash_all().await,
            28..42 => self.take_over(someone),
            42..48 => self.freeze(someone),
            48..56 => self.rebalance(someone),
            56..60 if live.len() < 4 => {
                self.copies.start();
                world.fault(Fault::CopyJoined);
            }
            60..63 if live.len() > 1 => {
                self.copies.leave(someone);
                world.fault(Fault::CopyLeft);
            }
            63..68 => world.state().plan.deliveries_fail = 1,
            68..73 => world.state().plan.acknowledgements_lost = 1,
            73..75 => world.state().plan.queue_full = world.draw(|random| random.u32(1..5)),
            75..81 => {
                let times = world.draw(|random| random.u32(1..8));
                world.state().plan.state_writes_fail = times;
            }
            81..85 => {
                let times = world.draw(|random| random.u32(1..6));
                world.state().plan.state_reads_fail = times;
            }
            85..88 => world.state().plan.log_reads_fail = 1,
            88..91 => {
                world.state().plan.state_slow = true;
                world.fault(Fault::StateSlow);
                self.plan(100..2_000, Later::StateFast);
            }
            91..94 => {
                world.state().plan.log_slow = true;
                world.fault(Fault::LogSlow);
                self.plan(100..2_000, Later::LogFast);
            }
            94..97 => {
                let mut state = world.state();
                state.plan.serving_down = true;
                state.plan.serving_missed = false;
                drop(state);
                self.plan(100..3_000, Later::ServingUp);
            }
            97..100 => {
                self.copies.serving.clear();
                world.note("serving store is cleared", 0, "", 0);
                world.fault(Fault::ServingCleared);
            }
            _ => {}
        }
    }

    /// Power is lost: every copy dies. What is stored then has to be provable as it is.
    async fn crash_all(&mut self) {
        self.world.fault(Fault::CrashOfAll);
        for number in self.copies.live() {
            self.copies.kill(number);
        }
        for number in self.copies.reap().await {
            self.now(Later::NoticeGone(number));
        }
        check::proven(&self.world, &self.copies.observer(), "after a crash of all copies").await;
        self.world.saw(Seen::ProvenMidway, 1);
    }

    /// Partitions go to others while their owner goes on until it hears of it.
    fn take_over(&mut self, from: u32) {
        let taken = self.some_of(from);
        if taken.is_empty() {
            return;
        }
        if self.copies.live().len() < 2 {
            self.copies.start();
        }
        self.world.fault(Fault::Takeover);
        self.world.state().group.free(&taken);
        self.plan(30..4_000, Later::TellLost(from, taken));
    }

    /// A copy stands still until all it has is with others, goes on, and hears of it only then.
    fn freeze(&mut self, who: u32) {
        let all = self.world.state().group.owned_by(who);
        if self.copies.live().len() < 2 {
            self.copies.start();
        }
        self.world.fault(Fault::Freeze);
        self.copies.freeze(who);
        self.world.state().group.free(&all);
        self.plan(300..3_000, Later::Thaw(who));
        self.plan(3_000..4_500, Later::TellLost(who, all));
    }

    /// Partitions move in order, unless their owner takes too long to let go.
    fn rebalance(&mut self, from: u32) {
        let moved = self.some_of(from);
        if moved.is_empty() {
            return;
        }
        self.world.fault(Fault::Rebalance);
        self.world.state().group.revoke(from, moved.clone());
        self.plan(1_500..5_000, Later::GiveUp(from, moved));
    }

    /// Some partitions that a copy owns and that nothing else is planned for.
    fn some_of(&self, owner: u32) -> Vec<TopicPartition> {
        let planned = |partition: &TopicPartition| {
            self.later.values().any(|later| match later {
                Later::GiveUp(number, partitions) | Later::TellLost(number, partitions) => {
                    *number == owner && partitions.contains(partition)
                }
                _ => false,
            })
        };
        let mut owned = self.world.state().group.owned_by(owner);
        owned.retain(|partition| !planned(partition));
        self.world.draw(|random| owned.retain(|_| random.bool()));
        owned
    }

    /// Nothing disturbs any more: everything has to be worked off, stored and published, and then be right.
    async fn come_to_rest(&mut self) {
        self.world.note("comes to rest", 0, "", 0);
        self.world.state().plan = Disturbance::default();
        for (_, what) in std::mem::take(&mut self.later) {
            self.now(what);
        }
        for (_, what) in std::mem::take(&mut self.later) {
            self.now(what);
        }
        self.copies.calm_down();
        let deadline = Instant::now() + Duration::from_millis(REST_MS);
        let mut waits_for = String::new();
        let began = Instant::now();
        while Instant::now() < deadline && self.world.violations().is_empty() {
            // Looking takes long: what is not there at once is waited for.
            let pause_ms = if began.elapsed() < Duration::from_secs(5) { 50 } else { 500 };
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            self.housekeeping().await;
            waits_for = match self.unfinished().await {
                Some(unfinished) => unfinished,
                None => match self.unpublished().await {
                    Some(unpublished) => unpublished,
                    None => break,
                },
            };
            if Instant::now() >= deadline {
                self.world.violated(format!("the pipeline does not come to rest: {waits_for}"));
            }
        }
        drop(waits_for);
        if !self.world.violations().is_empty() {
            return;
        }
        self.copies.stop_all().await;
        check::proven(&self.world, &self.copies.observer(), "at rest").await;
        check::equal_to_oracle(&self.world);
        if self.world.violations().is_empty() && self.world.draw(|random| random.u32(0..3) == 0) {
            self.meets_another_log().await;
        }
    }

    /// Something published that is not what it should be.
    async fn unpublished(&self) -> Option<String> {
        match check::unpublished(&self.world, &self.copies.serving).await {
            None => published::wrong_list(&self.world, &self.copies.serving).await,
            unpublished => unpublished,
        }
    }

    /// A partition whose stored progress is behind its log.
    async fn unfinished(&self) -> Option<String> {
        for partition in self.partitions() {
            let end = self.world.log.bounds(&partition).await.expect("it is there").end;
            let is_events = *partition.topic == self.world.topics.events;
            let stage = if is_events { "shopper" } else { "product" };
            let stored = self.world.progress(stage, partition.partition);
            if stored < end {
                return Some(format!("{stage}/{} is stored up to {stored} of {end}", partition.partition));
            }
        }
        None
    }
}
