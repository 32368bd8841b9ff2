//! What all partition tasks of a process share.

use crate::background::Background;
use crate::config::ProcessorConfig;
use crate::partition::phase;
use crate::progress::StageName;
use crate::publish::ListCache;
use crate::status::Registry;
use catalog::Catalog;
use event_log::{EventLog, LogError, Producer, ProducerMode};
use recommender::Interner;
use schemas::Version;
use schemas::names::Topics;
use schemas::published::Layout;
use service_runtime::SharedClock;
use smol_str::SmolStr;
use std::sync::{Arc, Mutex};
use stores::{ServingStore, StateStore};
use tokio::time::Instant;

/// The parts that the processor works with.
#[derive(Clone)]
pub struct Parts {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// The state store.
    pub state: Arc<dyn StateStore>,
    /// The serving store.
    pub serving: Arc<dyn ServingStore>,
    /// The catalog; somebody else keeps it up to date.
    pub catalog: Arc<Catalog>,
    /// The clock: for pacing and lag, never for state.
    pub clock: SharedClock,
    /// Names of the topics.
    pub topics: Topics,
}

pub(crate) struct Context {
    pub(crate) parts: Parts,
    pub(crate) config: ProcessorConfig,
    pub(crate) events_partitions: u32,
    pub(crate) activity_partitions: u32,
    pub(crate) names: Arc<Interner>,
    pub(crate) lists: ListCache,
    pub(crate) registry: Registry,
    pub(crate) producer: SharedProducer,
    pub(crate) background: Background,
    /// What partitions' timetables begin with.
    pub(crate) begun: Instant,
}

impl Context {
    /// The partition counts as they are stored and published.
    pub(crate) fn layout(&self) -> Layout {
        Layout {
            version: Version::of(self.config.generation, 0),
            events_partitions: self.events_partitions,
            activity_partitions: self.activity_partitions,
        }
    }

    /// After what part of an interval a partition does what it does now and then.
    pub(crate) fn phase(&self, stage: StageName, partition: u32) -> f64 {
        let partitions = match stage {
            StageName::Shopper => self.events_partitions,
            StageName::Product => self.activity_partitions,
        };
        phase(stage, partition, partitions)
    }

    /// A product's category: the leaf of its catalog path where the catalog knows it, else `own`, which its events named.
    pub(crate) fn category_of(&self, id: &str, own: &str) -> SmolStr {
        match self.parts.catalog.lookup(id) {
            Some(product) => {
                product.category_path.last().map(|leaf| leaf.as_ref().into()).unwrap_or_default()
            }
            None => own.into(),
        }
    }
}

/// The gapless producer of this process. A failed one is replaced once, by whoever notices first.
pub(crate) struct SharedProducer {
    log: Arc<dyn EventLog>,
    current: Mutex<Option<Arc<dyn Producer>>>,
}

impl SharedProducer {
    pub(crate) fn new(log: Arc<dyn EventLog>) -> Self {
        Self { log, current: Mutex::new(None) }
    }

    /// The producer in use, made on first use.
    pub(crate) fn get(&self) -> Result<Arc<dyn Producer>, LogError> {
        let mut current = self.current.lock().expect("no holder panics");
        if let Some(producer) = &*current {
            return Ok(Arc::clone(producer));
        }
        let producer = self.log.producer(ProducerMode::Gapless)?;
        *current = Some(Arc::clone(&producer));
        Ok(producer)
    }

    /// Gives up `failed`: the next [`Self::get`] makes a new one, unless that has happened already.
    pub(crate) fn discard(&self, failed: &Arc<dyn Producer>) {
        let mut current = self.current.lock().expect("no holder panics");
        if current.as_ref().is_some_and(|producer| Arc::ptr_eq(producer, failed)) {
            *current = None;
        }
    }
}
