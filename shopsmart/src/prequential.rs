//! Predicting each event of a log before sending it, through the running pipeline: what serving answers is what counts.

use std::collections::HashMap;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use evaluation::data::{Click, EventLog};
use evaluation::metrics::{K, Tally};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::client::{Accepted, Client};
use crate::dev::{self, DevOptions};

/// Partitions of the topics: two, so that most pairs of products are in different ones.
const PARTITIONS: u32 = 2;

#[derive(Deserialize)]
struct Answer {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    product_id: String,
    source: String,
}

#[derive(Serialize)]
struct Event<'a> {
    event_id: String,
    event_type: &'static str,
    user_id: &'a str,
    product_id: &'a str,
    timestamp: i64,
}

/// Starts everything in this process on a temporary folder, and goes through the log: asks serving for 20 products, counts
/// whether the event's is among the personalized ones, then sends the event. Gives the counts by user. `progress` is called
/// with (done, of).
///
/// # Errors
/// When the pipeline cannot be started or does not answer.
pub async fn through_pipeline(log: &EventLog, progress: impl Fn(usize, usize)) -> Result<Vec<Tally>> {
    let folder = TempDir::with_prefix("shopsmart-evaluate-").context("cannot make a temporary folder")?;
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let end = CancellationToken::new();
    let options = DevOptions { listen, data: folder.path().join("data"), partitions: Some(PARTITIONS) };
    let dev = dev::start(options, end.clone()).await?;
    let client = Client::new(&format!("http://{}", dev.addr), None)?;
    let counted = count(&client, log, progress).await;
    end.cancel();
    dev.wait().await?;
    counted
}

async fn count(client: &Client, log: &EventLog, progress: impl Fn(usize, usize)) -> Result<Vec<Tally>> {
    let items: HashMap<&str, u32> = log.items.iter().map(String::as_str).zip(0..).collect();
    let mut known: Vec<Vec<u32>> = vec![Vec::new(); log.users.len()];
    let mut positions: Vec<Option<String>> = vec![None; log.users.len()];
    let mut tallies = vec![Tally::default(); log.users.len()];
    for (number, click) in log.events.iter().enumerate() {
        let user = click.user as usize;
        if let Some(position) = &positions[user] {
            let query = [
                ("user_id", log.users[user].as_str()),
                ("k", &K.to_string()),
                ("seen", "include"),
                // The answer has to reflect the user's own last event.
                ("min_position", position),
            ];
            let answer: Answer =
                client.get("/recommendations", &query).await.context("ask for recommendations")?;
            // Not what was topped up from trending: the algorithm in process has no such thing.
            let personalized = answer.items.iter().filter(|item| item.source == "personalized");
            let list: Vec<u32> =
                personalized.filter_map(|item| items.get(&*item.product_id).copied()).collect();
            tallies[user].add(&list, click.item, |item| known[user].contains(&item));
        }
        positions[user] = Some(send(client, log, click, number).await?);
        if !known[user].contains(&click.item) {
            known[user].push(click.item);
        }
        if number % 100 == 0 {
            progress(number, log.events.len());
        }
    }
    Ok(tallies)
}

async fn send(client: &Client, log: &EventLog, click: &Click, number: usize) -> Result<String> {
    let event = Event {
        event_id: format!("e{number}"),
        event_type: click.kind.name(),
        user_id: &log.users[click.user as usize],
        product_id: &log.items[click.item as usize],
        timestamp: click.timestamp_ms,
    };
    let accepted: Accepted = client.import("/events", &event).await.context("send an event")?;
    Ok(accepted.position)
}
