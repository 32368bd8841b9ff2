use super::Covers;
use crate::status::PartitionStatus;
use bytes::Bytes;
use hashbrown::HashMap;
use schemas::published::version_of;
use service_runtime::SharedClock;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stores::{Row, ServingStore};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Values written to the serving store at a time.
const CHUNK: usize = 512;
/// Values that wait while the serving store does not answer; beyond, all are dropped and the partition is filled again later.
const LIMIT: usize = 100_000;

/// The newest value of each key of one partition on its way to the serving store.
#[derive(Debug, Default)]
pub(crate) struct PublishQueue {
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    values: HashMap<String, Bytes>,
    /// How far the lists are published once all that waits now is written.
    covers: Covers,
    /// Published lists not copied to the state store yet.
    fallback: HashMap<String, Bytes>,
    overflowed: bool,
}

impl PublishQueue {
    /// Hands over users' histories (`keep` false) or lists that the state store is to hold too (`keep` true).
    pub(crate) fn submit(&self, values: impl IntoIterator<Item = (String, Bytes)>, keep: bool) {
        let mut waiting = self.waiting.lock().expect("no holder panics");
        for (key, value) in values {
            if keep {
                waiting.fallback.insert(key.clone(), value.clone());
            }
            waiting.values.insert(key, value);
        }
        if waiting.values.len() > LIMIT {
            waiting.values.clear();
            waiting.overflowed = true;
        }
        drop(waiting);
        self.wake.notify_one();
    }

    /// What the records before these offsets lead to has been submitted.
    pub(crate) fn covers(&self, covers: Covers) {
        self.waiting.lock().expect("no holder panics").covers = covers;
        self.wake.notify_one();
    }

    /// Takes the lists that the state store lacks, as rows.
    pub(crate) fn take_fallback(&self) -> Vec<Row> {
        let fallback = std::mem::take(&mut self.waiting.lock().expect("no holder panics").fallback);
        let row = |(key, value): (String, Bytes)| {
            let version = version_of(&value).expect("published values have a header");
            Row { key, version, state: value }
        };
        fallback.into_iter().map(row).collect()
    }

    /// Writes what is submitted until `token` is cancelled, and then what is left, once.
    pub(crate) async fn run(
        self: Arc<Self>,
        store: Arc<dyn ServingStore>,
        status: Arc<PartitionStatus>,
        clock: SharedClock,
        token: CancellationToken,
    ) {
        let mut pause = Duration::ZERO;
        loop {
            let (mut values, covers, overflowed) = self.take();
            if overflowed {
                status.lost_data();
            }
            status.publishing.store(values.len() as u64, Ordering::Relaxed);
            let last_round = token.is_cancelled();
            let mut failed = None;
            while !values.is_empty() {
                let chunk = values.split_off(values.len().saturating_sub(CHUNK));
                if let Err(error) = store.put_many(chunk.clone()).await {
                    values.extend(chunk);
                    failed = Some(error);
                    break;
                }
            }
            match failed {
                None => {
                    if !pause.is_zero() {
                        tracing::info!("the serving store takes values again");
                        pause = Duration::ZERO;
                    }
                    status.publishing.store(0, Ordering::Relaxed);
                    status.became_visible(covers, clock.now_ms());
                    if last_round {
                        return;
                    }
                    tokio::select! {
                        () = self.wake.notified() => {}
                        () = token.cancelled() => {}
                    }
                }
                Some(_) if last_round => return,
                Some(error) => {
                    if pause.is_zero() {
                        tracing::warn!(%error, "could not publish; trying again until it works");
                    }
                    self.put_back(values);
                    pause = (pause * 2).clamp(Duration::from_millis(50), Duration::from_secs(1));
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = token.cancelled() => {}
                    }
                }
            }
        }
    }

    fn take(&self) -> (Vec<(String, Bytes)>, Covers, bool) {
        let mut waiting = self.waiting.lock().expect("no holder panics");
        let overflowed = std::mem::take(&mut waiting.overflowed);
        (std::mem::take(&mut waiting.values).into_iter().collect(), waiting.covers, overflowed)
    }

    /// Returns values that could not be written, unless newer ones wait already.
    fn put_back(&self, values: Vec<(String, Bytes)>) {
        let mut waiting = self.waiting.lock().expect("no holder panics");
        for (key, value) in values {
            waiting.values.entry(key).or_insert(value);
        }
    }
}
