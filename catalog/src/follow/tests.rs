use super::*;
use async_trait::async_trait;
use bytes::Bytes;
use event_log::{
    GroupMember, GroupOptions, Producer, ProducerMode, Record, RecordStream, TopicInfo, TopicSpec,
};
use prost::Message;
use schemas::proto::Product;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Mutex;
use tokio::sync::watch;

/// Partitions with fixed ends that may lie behind the last record, as after a compaction.
struct CompactedLog {
    partitions: Vec<Partition>,
    /// Errors to answer with before anything works.
    failures: Mutex<VecDeque<LogError>>,
    /// How many followers there were, by the offset they began at.
    followed: watch::Sender<Vec<(u32, u64)>>,
}

struct Partition {
    records: Vec<Record>,
    end: u64,
    /// Batches for the followers to come, one each.
    later: Mutex<VecDeque<Vec<Record>>>,
}

impl CompactedLog {
    fn new(partitions: Vec<Partition>) -> Arc<Self> {
        let (failures, followed) = (Mutex::default(), watch::Sender::default());
        Arc::new(Self { partitions, failures, followed })
    }

    fn fail(&self) -> Result<(), LogError> {
        self.failures.lock().unwrap().pop_front().map_or(Ok(()), Err)
    }
}

#[async_trait]
impl EventLog for CompactedLog {
    async fn ensure_topics(&self, _: &[TopicSpec]) -> Result<(), LogError> {
        Ok(())
    }

    async fn describe(&self, _: &str) -> Result<TopicInfo, LogError> {
        self.fail()?;
        Ok(TopicInfo { partitions: self.partitions.len() as u32 })
    }

    async fn bounds(&self, partition: &TopicPartition) -> Result<Range<u64>, LogError> {
        self.fail()?;
        Ok(0..self.partitions[partition.partition as usize].end)
    }

    async fn read(&self, partition: &TopicPartition, from: u64, max: usize) -> Result<Vec<Record>, LogError> {
        self.fail()?;
        let records = &self.partitions[partition.partition as usize].records;
        Ok(records.iter().filter(|record| record.offset >= from).take(max.min(2)).cloned().collect())
    }

    async fn follow(&self, partition: &TopicPartition, offset: u64) -> Result<RecordStream, LogError> {
        self.fail()?;
        let (sender, stream) = RecordStream::bounded(1);
        let later = self.partitions[partition.partition as usize].later.lock().unwrap().pop_front();
        if let Some(batch) = later {
            sender.send(Ok(batch)).await.unwrap();
            self.followed.send_modify(|followed| followed.push((partition.partition, offset)));
        } else {
            self.followed.send_modify(|followed| followed.push((partition.partition, offset)));
            let mut followed = self.followed.subscribe();
            // Holds the stream open until the test drops the log.
            tokio::spawn(async move {
                let _open = sender;
                while followed.changed().await.is_ok() {}
            });
        }
        Ok(stream)
    }

    fn producer(&self, _: ProducerMode) -> Result<Arc<dyn Producer>, LogError> {
        unreachable!("a follower writes nothing")
    }

    async fn join(&self, _: GroupOptions) -> Result<Box<dyn GroupMember>, LogError> {
        unreachable!("a follower joins no group")
    }

    async fn durability_warnings(&self, _: &[String]) -> Vec<String> {
        Vec::new()
    }
}

fn record(offset: u64, id: &str, active: bool) -> Record {
    let value = Product { active, ..Product::default() }.encode_to_vec();
    Record { offset, append_time_ms: 0, key: id.to_owned().into(), value: Bytes::from(value) }
}

fn partition(records: Vec<Record>, end: u64, later: Vec<Vec<Record>>) -> Partition {
    Partition { records, end, later: Mutex::new(later.into()) }
}

fn start(log: &Arc<CompactedLog>) -> (Arc<Catalog>, CancellationToken, tokio::task::JoinHandle<()>) {
    let (catalog, token) = (Arc::new(Catalog::new()), CancellationToken::new());
    let work = follow(Arc::clone(log) as _, "products".to_owned(), Arc::clone(&catalog), token.clone());
    (catalog, token, tokio::spawn(work))
}

async fn followed(log: &CompactedLog, count: usize) -> Vec<(u32, u64)> {
    let mut followed = log.followed.subscribe();
    followed.wait_for(|followed| followed.len() >= count).await.unwrap().clone()
}

#[tokio::test]
async fn is_loaded_once_every_partition_is_read_even_if_compaction_took_the_last_records() {
    let full = partition(vec![record(0, "a", true), record(1, "b", false), record(2, "a", false)], 3, vec![]);
    let gaps = partition(vec![record(4, "c", true), record(7, "d", false)], 20, vec![]);
    let log = CompactedLog::new(vec![full, gaps]);
    let (catalog, token, task) = start(&log);
    catalog.loaded().await;
    assert!(!catalog.is_active("a") && !catalog.is_active("b") && !catalog.is_active("d"));
    assert!(catalog.is_active("c"));
    let mut begun = followed(&log, 2).await;
    begun.sort_unstable();
    assert_eq!(begun, [(0, 3), (1, 20)]);
    token.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn goes_on_where_a_broken_stream_ended() {
    let records = vec![record(0, "a", true)];
    let later = vec![vec![record(1, "a", false)], vec![record(2, "b", false)]];
    let log = CompactedLog::new(vec![partition(records, 1, later)]);
    let (catalog, _token, _task) = start(&log);
    assert_eq!(followed(&log, 3).await, [(0, 1), (0, 2), (0, 3)]);
    assert!(!catalog.is_active("a") && !catalog.is_active("b"));
}

#[tokio::test]
async fn a_log_that_fails_at_first_delays_loading_only() {
    let log = CompactedLog::new(vec![partition(vec![record(0, "a", false)], 1, vec![])]);
    let down = || LogError::Unavailable { action: "test", reason: "down".to_owned() };
    let gone =
        LogError::OutOfRange { topic: "products".to_owned(), partition: 0, offset: 9, start: 0, end: 1 };
    log.failures.lock().unwrap().extend([down(), down(), gone, down()]);
    let (catalog, _token, _task) = start(&log);
    assert!(!catalog.is_loaded());
    catalog.loaded().await;
    assert!(!catalog.is_active("a"));
}
