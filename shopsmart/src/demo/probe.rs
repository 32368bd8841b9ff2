//! Freshness, measured as a shop would see it: from the answer to an event until a read shows it.

use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::figures::Figures;
use crate::client::{Accepted, CallError, Client};
use crate::simulator::Shop;

/// Between two measurements.
const EVERY: Duration = Duration::from_millis(250);
/// Between two reads of one measurement: the resolution of what is measured.
const READS_EVERY: Duration = Duration::from_millis(1);
/// After this, the event counts as not seen.
const PATIENCE: Duration = Duration::from_secs(5);
/// Shoppers who only exist to measure.
const PROBES: u32 = 16;

#[derive(Serialize)]
struct View<'a> {
    event_type: &'static str,
    user_id: &'a str,
    product_id: &'a str,
    category_id: &'static str,
}

#[derive(Deserialize)]
struct History {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    product_id: String,
}

/// Measures until `stop`.
///
/// # Errors
/// When the server refuses a request.
pub(super) async fn measure(
    client: &Client,
    shop: &Shop,
    figures: &Figures,
    stop: &CancellationToken,
) -> Result<()> {
    let listed = shop.catalog().listed();
    // Neighbouring products in turn: no probe sees the same product twice in a row.
    for number in 0u32.. {
        if stop.is_cancelled() {
            break;
        }
        let user = format!("probe-{}", number % PROBES + 1);
        let product = &listed[number as usize % listed.len()];
        let view = View {
            event_type: "view",
            user_id: &user,
            product_id: &product.id,
            category_id: product.category_id(),
        };
        match client.post::<Accepted>("/events", &view).await {
            Ok(_) => {
                figures.add_acknowledged(1);
                let begun = Instant::now();
                let shown = shown(client, &user, &product.id, begun + PATIENCE, stop).await?;
                // What the end cut off was not missed.
                if shown || !stop.is_cancelled() {
                    figures.seen(shown.then(|| begun.elapsed()));
                }
            }
            Err(CallError::Unavailable { .. }) => figures.add_sent_again(),
            Err(refused) => return Err(refused.into()),
        }
        stop.run_until_cancelled(sleep(EVERY)).await;
    }
    Ok(())
}

/// Whether the product is at the head of the user's history before the deadline.
async fn shown(
    client: &Client,
    user: &str,
    product: &str,
    deadline: Instant,
    stop: &CancellationToken,
) -> Result<bool> {
    while Instant::now() < deadline && !stop.is_cancelled() {
        match client.get::<History>(&format!("/users/{user}/history"), &[("k", "1")]).await {
            Ok(history) if history.items.first().is_some_and(|item| item.product_id == product) => {
                return Ok(true);
            }
            Ok(_) | Err(CallError::Unavailable { .. }) => sleep(READS_EVERY).await,
            Err(refused) => return Err(refused.into()),
        }
    }
    Ok(false)
}
