//! The shoppers' events, from the simulator to the server, when they are due.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use futures::future::try_join_all;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::figures::Figures;
use crate::client::{Backoff, BatchAnswer, CallError, Client, Verdict};
use crate::simulator::{Event, Shop};

/// Requests in flight at most; a shopper's events all go through the same lane, one request after the other.
const LANES: usize = 8;
/// Events that a lane may be behind before the shoppers have to wait.
const QUEUE: usize = 1_000;
/// Events in a request, at most: what has gathered while the one before was in flight.
const BATCH: usize = 200;

#[derive(Serialize)]
struct Body<'a> {
    events: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    event_id: String,
    event_type: &'static str,
    user_id: String,
    product_id: &'a str,
    category_id: &'static str,
    price: f64,
    currency: &'static str,
    timestamp: i64,
}

/// Sends the traffic's events until `stop`, each when it is due; what is timed `start_ms` is due at once.
///
/// # Errors
/// When the server refuses a request.
pub(super) async fn come(
    client: &Client,
    shop: &Arc<Shop>,
    traffic: impl Iterator<Item = Event>,
    start_ms: i64,
    figures: &Figures,
    stop: &CancellationToken,
) -> Result<()> {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..LANES).map(|_| mpsc::channel(QUEUE)).unzip();
    let lanes = receivers.into_iter().enumerate().map(|(number, events)| {
        Lane { client, shop, figures, stop, backoff: Backoff::new(number as u64) }.run(events)
    });
    let begun = figures.begun();
    let due = async move {
        for event in traffic {
            let after_ms = event.timestamp_ms.saturating_sub(start_ms).max(0) as u64;
            sleep_until(begun + Duration::from_millis(after_ms)).await;
            // A lane that is gone has an error to tell, which ends everything.
            if senders[event.shopper as usize % LANES].send(event).await.is_err() {
                break;
            }
        }
    };
    let due = async {
        stop.run_until_cancelled(due).await;
        Ok(())
    };
    tokio::try_join!(due, try_join_all(lanes)).map(|_| ())
}

struct Lane<'a> {
    client: &'a Client,
    shop: &'a Shop,
    figures: &'a Figures,
    stop: &'a CancellationToken,
    backoff: Backoff,
}

impl Lane<'_> {
    async fn run(mut self, mut events: mpsc::Receiver<Event>) -> Result<()> {
        let mut batch = Vec::with_capacity(BATCH);
        while events.recv_many(&mut batch, BATCH).await > 0 {
            while !batch.is_empty() && !self.stop.is_cancelled() {
                if let Some(retry_after) = self.send(&mut batch).await? {
                    self.figures.add_sent_again();
                    self.stop.run_until_cancelled(sleep(self.backoff.wait(retry_after))).await;
                }
            }
            batch.clear();
        }
        Ok(())
    }

    /// Takes out of the batch what was settled; what is left is to be sent again after some time.
    async fn send(&mut self, batch: &mut Vec<Event>) -> Result<Option<Option<Duration>>> {
        let body = Body { events: batch.iter().map(|event| self.entry(event)).collect() };
        let answer: BatchAnswer = match self.client.post("/events/batch", &body).await {
            Ok(answer) => answer,
            Err(CallError::Unavailable { retry_after, .. }) => return Ok(Some(retry_after)),
            Err(refused) => return Err(anyhow!(refused).context("the server refuses the shoppers' events")),
        };
        self.backoff.reset();
        let mut results = vec![Verdict::Retry; batch.len()];
        for result in answer.results {
            if let Some(place) = results.get_mut(result.index) {
                *place = result.result;
            }
        }
        let mut results = results.into_iter();
        batch.retain(|_| match results.next() {
            Some(Verdict::Ok | Verdict::Adjusted) => {
                self.figures.add_acknowledged(1);
                false
            }
            Some(Verdict::Rejected) => {
                self.figures.add_rejected();
                false
            }
            Some(Verdict::Retry) | None => true,
        });
        Ok((!batch.is_empty()).then_some(None))
    }

    fn entry(&self, event: &Event) -> Entry<'_> {
        let product = self.shop.catalog().product(event.product);
        let Event { timestamp_ms, shopper, kind, .. } = *event;
        Entry {
            // A shopper does one thing at a time, so this is unique, and the same when it is sent again.
            event_id: format!("{}-{timestamp_ms}-{}", Shop::user_id(shopper), kind.name()),
            event_type: kind.name(),
            user_id: Shop::user_id(shopper),
            product_id: &product.id,
            category_id: product.category_id(),
            price: product.price,
            currency: "EUR",
            timestamp: timestamp_ms,
        }
    }
}
