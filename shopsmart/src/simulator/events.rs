use std::io;
use std::sync::Arc;

use super::{Launch, Pace, Shop, Traffic};
use crate::replay::COLUMNS;

/// How long a shopper stays with a product when nobody is waiting for it, in ms.
const PAUSE_MS: f64 = 25_000.0;
/// The share of views that goes to the launched product.
const LAUNCH_SHARE: f64 = 0.03;
const DAY_MS: i64 = 24 * 3600 * 1000;

/// What an event file covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The beginning, in epoch ms.
    pub start_ms: i64,
    /// About how many days; the number of events is what is exact.
    pub days: u32,
    /// How many events.
    pub events: u64,
}

/// Writes the events of a shop as an event file that `replay` takes. Halfway a product is launched.
///
/// # Errors
/// When `out` cannot be written to.
pub fn write_csv(shop: Arc<Shop>, period: Period, out: impl io::Write) -> io::Result<()> {
    let mut file = csv::Writer::from_writer(out);
    file.write_record(COLUMNS)?;
    for event in Traffic::new(shop.clone(), pace(&shop, period)).take(period.events as usize) {
        let product = shop.catalog().product(event.product);
        let (time, user) = (event.timestamp_ms.to_string(), Shop::user_id(event.shopper));
        file.write_record([&time, &user, &product.id, event.kind.name(), product.category_id()])?;
    }
    file.flush()
}

fn pace(shop: &Shop, period: Period) -> Pace {
    let span_ms = i64::from(period.days) * DAY_MS;
    Pace {
        start_ms: period.start_ms,
        events_per_second: period.events as f64 * 1_000.0 / span_ms as f64,
        pause_ms: PAUSE_MS,
        daily_rhythm: true,
        launch: Some(Launch {
            product: shop.catalog().launched(),
            at_ms: period.start_ms + span_ms / 2,
            share: LAUNCH_SHARE,
        }),
    }
}
