//! The stages without a partition's task around them, for the program `hot-paths`, which counts the instructions that an
//! event costs. Rows are never in a store: all are new, or in memory.

use crate::known::KnownKeys;
use crate::product::Product;
use crate::progress::{ProductProgress, ShopperProgress};
use crate::shopper::{Reflecting, Shopper};
use crate::stage::Stage;
use bytes::Bytes;
use event_log::Record;
use std::sync::Arc;

const GENERATION: u16 = 1;
const CACHED: usize = 1 << 20;

/// The shopper stage of one partition, with one partition of `product-activity`.
pub struct ShopperStage {
    stage: Shopper,
    /// Records of `product-activity` so far.
    appended: u64,
}

/// The product stage of one partition.
pub struct ProductStage(Product);

impl Default for ShopperStage {
    fn default() -> Self {
        let stage = Shopper::new(
            0,
            GENERATION,
            1,
            Arc::default(),
            CACHED,
            ShopperProgress::default(),
            Some(KnownKeys::default()),
        );
        Self { stage, appended: 0 }
    }
}

impl ShopperStage {
    /// Folds a batch and packs what is to be published; gives the records of `product-activity` that it leads to.
    pub fn fold(&mut self, batch: Vec<Record>) -> Vec<Record> {
        let output = fold(&mut self.stage, batch);
        for Reflecting { user, version, .. } in &output.users {
            let history = self.stage.published_history(user.as_str(), *version);
            history.expect("the batch's rows are in memory");
        }
        let activity = output.activity.into_iter();
        let records = activity.map(|packed| {
            let offset = self.appended;
            self.appended += 1;
            Record { offset, append_time_ms: 0, key: Bytes::new(), value: packed.value }
        });
        records.collect()
    }

    /// Packs the rows that changed since the last time, as a flush does; gives their number.
    pub fn copy_changed(&mut self) -> usize {
        self.stage.copy_changed().1.len()
    }
}

impl Default for ProductStage {
    fn default() -> Self {
        Self(Product::new(
            0,
            GENERATION,
            Arc::default(),
            CACHED,
            ProductProgress::new(1),
            Some(KnownKeys::default()),
        ))
    }
}

impl ProductStage {
    /// Folds a batch.
    pub fn fold(&mut self, batch: Vec<Record>) {
        fold(&mut self.0, batch);
    }

    /// Packs the rows that changed since the last time, as a flush does; gives their number.
    pub fn copy_changed(&mut self) -> usize {
        self.0.copy_changed().1.len()
    }
}

fn fold<S: Stage>(stage: &mut S, batch: Vec<Record>) -> S::Output {
    let prepared = stage.prepare(batch);
    for key in stage.missing(&prepared) {
        stage.admit(&key, None).expect("there is nothing that could be damaged");
    }
    stage.fold(prepared)
}
