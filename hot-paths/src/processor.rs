//! The two stages of the stream processor, over a log of shoppers who look at one product after the other.

use bytes::Bytes;
use event_log::Record;
use prost::Message;
use schemas::EventKind;
use schemas::proto::{Event, EventRecord, EventType, event_record};
use stream_processor::hot_paths::{ProductStage, ShopperStage};

use crate::{Path, measured};

pub(crate) const PATHS: [Path; 4] = [
    Path { name: "shopper-fold", unit: "event", run: shopper_fold },
    Path { name: "shopper-rows", unit: "row", run: shopper_rows },
    Path { name: "product-fold", unit: "event", run: product_fold },
    Path { name: "product-rows", unit: "row", run: product_rows },
];

/// Events in a batch, as the embedded log gives them.
const BATCH: usize = 500;
/// Batches before it counts, so that histories and rows are there.
const BEFORE: usize = 12;
const COUNTED: usize = 4;
/// Sessions that are open at the same time.
const OPEN: usize = 800;
const PRODUCTS: u32 = 3_000;
const START_MS: i64 = 1_767_225_600_000;

/// Batches of the topic `events`. Some six events of a session, on products near one another, a few of them favourites.
fn batches() -> Vec<Vec<Record>> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut open: Vec<(u32, u32)> = Vec::new();
    let mut shoppers = 0;
    let mut record = |offset: usize| {
        if open.len() < OPEN || random.u8(..6) == 0 {
            let shopper = (shoppers, random.u32(..PRODUCTS).min(random.u32(..PRODUCTS)));
            shoppers += 1;
            let place = if open.len() < OPEN { open.len() } else { random.usize(..OPEN) };
            if place == open.len() { open.push(shopper) } else { open[place] = shopper }
        }
        let place = random.usize(..open.len());
        let (shopper, interest) = &mut open[place];
        let product = (*interest + random.u32(..40).min(random.u32(..40))) % PRODUCTS;
        *interest = product;
        let kind = if random.u8(..10) == 0 { EventKind::AddToCart } else { EventKind::View };
        let timestamp_ms = START_MS + offset as i64 * 5;
        let event = Event {
            event_id: format!("hot-{offset:010}"),
            event_type: EventType::from(kind) as i32,
            product_id: format!("{product:08}"),
            category_id: format!("c{}", product % 50),
            timestamp_ms,
            received_at_ms: timestamp_ms,
            ..Event::default()
        };
        let value = EventRecord { record: Some(event_record::Record::Event(event)) }.encode_to_vec();
        let key = Bytes::from(format!("u{shopper}"));
        Record { offset: offset as u64, append_time_ms: timestamp_ms, key, value: Bytes::from(value) }
    };
    (0..BEFORE + COUNTED)
        .map(|batch| (batch * BATCH..(batch + 1) * BATCH).map(&mut record).collect())
        .collect()
}

/// The stage with what was before, and the batches that count.
fn shopper() -> (ShopperStage, Vec<Vec<Record>>) {
    let mut stage = ShopperStage::default();
    let mut before = batches();
    let counted = before.split_off(BEFORE);
    before.into_iter().for_each(|batch| drop(stage.fold(batch)));
    (stage, counted)
}

fn product() -> (ProductStage, Vec<Vec<Record>>) {
    let mut shopper = ShopperStage::default();
    let mut before: Vec<Vec<Record>> = batches().into_iter().map(|batch| shopper.fold(batch)).collect();
    let counted = before.split_off(BEFORE);
    let mut stage = ProductStage::default();
    before.into_iter().for_each(|batch| stage.fold(batch));
    (stage, counted)
}

fn shopper_fold() -> u64 {
    let (mut stage, batches) = shopper();
    measured(|| batches.into_iter().map(|batch| stage.fold(batch).len()).sum::<usize>());
    (COUNTED * BATCH) as u64
}

/// The copies that a flush writes.
fn shopper_rows() -> u64 {
    let (mut stage, _) = shopper();
    measured(|| stage.copy_changed()) as u64
}

fn product_fold() -> u64 {
    let (mut stage, batches) = product();
    measured(|| batches.into_iter().for_each(|batch| stage.fold(batch)));
    (COUNTED * BATCH) as u64
}

fn product_rows() -> u64 {
    let (mut stage, _) = product();
    measured(|| stage.copy_changed()) as u64
}
