//! The log, as one copy reaches it.

mod member;
mod producer;

use crate::coverage::Fault;
use crate::process::{Process, Step};
use async_trait::async_trait;
use event_log::{
    EventLog, GroupMember, GroupOptions, LogError, Producer, ProducerMode, Record, RecordStream, TopicInfo,
    TopicPartition, TopicSpec,
};
use member::SimulatedMember;
use producer::SimulatedProducer;
use std::ops::Range;
use std::sync::Arc;

/// The scripted log behind a copy's own connection.
pub(crate) struct SimulatedLog {
    process: Arc<Process>,
    /// Records in a batch, at most.
    batch_records: usize,
}

impl SimulatedLog {
    pub(crate) fn new(process: Arc<Process>, batch_records: usize) -> Self {
        Self { process, batch_records }
    }

    async fn before_read(&self, action: &'static str) -> Result<(), LogError> {
        self.process.step(Step::Read).await;
        read_fails(&self.process, action)
    }
}

/// Whether a read of the log fails now.
fn read_fails(process: &Process, action: &'static str) -> Result<(), LogError> {
    let mut state = process.world.state();
    if process.calm || state.plan.log_reads_fail == 0 {
        return Ok(());
    }
    state.plan.log_reads_fail -= 1;
    state.coverage.fault(Fault::LogReadFailed);
    Err(LogError::Unavailable { action, reason: "the simulation says so".to_owned() })
}

#[async_trait]
impl EventLog for SimulatedLog {
    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), LogError> {
        self.process.world.log.ensure_topics(topics).await
    }

    async fn describe(&self, topic: &str) -> Result<TopicInfo, LogError> {
        self.before_read("describe a topic").await?;
        self.process.world.log.describe(topic).await
    }

    async fn bounds(&self, partition: &TopicPartition) -> Result<Range<u64>, LogError> {
        self.before_read("look at a partition").await?;
        self.process.world.log.bounds(partition).await
    }

    async fn read(
        &self,
        partition: &TopicPartition,
        offset: u64,
        max_records: usize,
    ) -> Result<Vec<Record>, LogError> {
        self.before_read("read").await?;
        self.process.world.log.read(partition, offset, max_records).await
    }

    async fn follow(&self, _: &TopicPartition, _: u64) -> Result<RecordStream, LogError> {
        Err(LogError::Unusable("the pipeline reads as a member of its group".to_owned()))
    }

    fn producer(&self, _: ProducerMode) -> Result<Arc<dyn Producer>, LogError> {
        Ok(SimulatedProducer::begin(Arc::clone(&self.process)))
    }

    async fn join(&self, _: GroupOptions) -> Result<Box<dyn GroupMember>, LogError> {
        self.process.step(Step::Read).await;
        Ok(Box::new(SimulatedMember::join(Arc::clone(&self.process), self.batch_records)))
    }

    async fn durability_warnings(&self, _: &[String]) -> Vec<String> {
        Vec::new()
    }
}
