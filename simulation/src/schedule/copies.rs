//! The copies of the processor: the real one, with simulated parts.

use crate::coverage::Seen;
use crate::log::SimulatedLog;
use crate::process::Process;
use crate::store::{SimulatedServing, SimulatedState};
use crate::world::{GENERATION, PARTITIONS, World};
use catalog::Catalog;
use std::collections::BTreeMap;
use std::sync::Arc;
use stores::memory::MemoryServingStore;
use stream_processor::{Parts, ProcessorConfig, ProcessorError, start};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) struct Copies {
    world: Arc<World>,
    running: BTreeMap<u32, Copy>,
    started: u32,
    pub(crate) serving: Arc<MemoryServingStore>,
}

struct Copy {
    process: Arc<Process>,
    token: CancellationToken,
    run: JoinHandle<Result<(), ProcessorError>>,
}

impl Copies {
    pub(crate) fn new(world: Arc<World>) -> Self {
        Self { world, running: BTreeMap::new(), started: 0, serving: Arc::default() }
    }

    /// Starts one more.
    pub(crate) fn start(&mut self) {
        self.started += 1;
        self.world.saw(Seen::CopiesStarted, 1);
        let skew_ms = self.world.draw(|random| if random.bool() { 0 } else { random.i64(-600_000..600_000) });
        let process = Process::new(self.started, Arc::clone(&self.world), skew_ms, false);
        let (parts, config) = (self.parts(&process), self.config());
        let token = CancellationToken::new();
        let stop = token.clone();
        let run = tokio::spawn(async move { start::prepare(parts, config).await?.run(stop).await });
        self.world.note("starts", self.started, "", 0);
        self.running.insert(self.started, Copy { process, token, run });
    }

    fn parts(&self, process: &Arc<Process>) -> Parts {
        let batch_records = self.world.draw(|random| [1, 2, 7, 40, 200][random.usize(0..5)]);
        let catalog = Catalog::new();
        catalog.mark_loaded();
        Parts {
            log: Arc::new(SimulatedLog::new(Arc::clone(process), batch_records)),
            state: Arc::new(SimulatedState::new(Arc::clone(process))),
            serving: Arc::new(SimulatedServing {
                process: Arc::clone(process),
                inner: Arc::clone(&self.serving),
            }),
            catalog: Arc::new(catalog),
            clock: Arc::clone(process) as _,
            topics: self.world.topics.clone(),
        }
    }

    fn config(&self) -> ProcessorConfig {
        self.world.draw(|random| ProcessorConfig {
            generation: GENERATION,
            events_partitions: PARTITIONS,
            activity_partitions: PARTITIONS,
            flush_interval_ms: random.u64(20..1_500),
            flush_rows: random.usize(2..60),
            cached_users: random.usize(1..30),
            cached_products: random.usize(1..40),
            publish_interval_ms: random.u64(20..500),
            publish_small_changes_ms: random.u64(20..2_000),
            publish_round_lists: random.usize(0..20),
            trending_interval_ms: random.u64(50..1_000),
            marker_interval_ms: random.u64(50..1_000),
            fallback_interval_ms: random.u64(100..5_000),
            drain_ms: random.u64(10..4_000),
            ..ProcessorConfig::default()
        })
    }

    /// Parts that nothing disturbs, for looking at what there is.
    pub(crate) fn observer(&self) -> Parts {
        self.parts(&Process::new(0, Arc::clone(&self.world), 0, true))
    }

    /// Those that are alive and were not told to stop.
    pub(crate) fn live(&self) -> Vec<u32> {
        let live = self.running.iter().filter(|(_, copy)| copy.is_live());
        live.map(|(number, _)| *number).collect()
    }

    pub(crate) fn is_live(&self, number: u32) -> bool {
        self.running.get(&number).is_some_and(Copy::is_live)
    }

    pub(crate) fn kill(&self, number: u32) {
        self.with(number, |copy| copy.process.kill());
    }

    pub(crate) fn dies_in(&self, number: u32, steps: u64) {
        self.with(number, |copy| copy.process.dies_in(steps));
    }

    pub(crate) fn freeze(&self, number: u32) {
        self.with(number, |copy| copy.process.freeze(true));
    }

    pub(crate) fn thaw(&self, number: u32) {
        self.with(number, |copy| copy.process.freeze(false));
    }

    /// Tells one to stop in order.
    pub(crate) fn leave(&self, number: u32) {
        self.with(number, |copy| copy.token.cancel());
    }

    /// None dies or stands still from now on.
    pub(crate) fn calm_down(&self) {
        for copy in self.running.values() {
            copy.process.dies_in(0);
            copy.process.freeze(false);
        }
    }

    fn with(&self, number: u32, change: impl FnOnce(&Copy)) {
        if let Some(copy) = self.running.get(&number) {
            change(copy);
        }
    }

    /// Removes those that died or ended, and gives their numbers.
    pub(crate) async fn reap(&mut self) -> Vec<u32> {
        let gone = self.running.iter().filter(|(_, copy)| copy.process.is_dead() || copy.run.is_finished());
        let gone: Vec<u32> = gone.map(|(number, _)| *number).collect();
        for number in &gone {
            let copy = self.running.remove(number).expect("it was just there");
            self.end(*number, copy).await;
        }
        gone
    }

    async fn end(&self, number: u32, copy: Copy) {
        if copy.process.is_dead() {
            copy.run.abort();
        }
        match copy.run.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.world.violated(format!("copy {number} gave up: {error}")),
            Err(error) if error.is_cancelled() => {}
            Err(error) => self.world.violated(format!("copy {number} panicked: {error}")),
        }
    }

    /// The error that a copy ended with by itself, if one has.
    pub(crate) async fn gave_up(&mut self) -> Option<String> {
        let ended = self.running.iter().find(|(_, copy)| copy.run.is_finished());
        let number = ended.map(|(number, _)| *number)?;
        let copy = self.running.remove(&number).expect("it was just there");
        match copy.run.await {
            Ok(Ok(())) => Some("it ended in order".to_owned()),
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Stops all in order.
    pub(crate) async fn stop_all(&mut self) {
        self.running.values().for_each(|copy| copy.token.cancel());
        for (number, copy) in std::mem::take(&mut self.running) {
            self.end(number, copy).await;
        }
    }
}

impl Copy {
    fn is_live(&self) -> bool {
        !self.process.is_dead() && !self.run.is_finished() && !self.token.is_cancelled()
    }
}
