//! Sends a plan: each event until it is acknowledged, each user's in order.

use super::plan::{LANES, Plan, Planned};
use crate::program::PATIENCE;
use anyhow::{Context, Result, bail, ensure};
use schemas::Position;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// Lanes that send events one by one and get a receipt for each; the others send batches.
const SINGLY: u64 = 2;
/// Before what was not acknowledged is sent again.
const PAUSE: Duration = Duration::from_millis(100);
/// Longer than ingest waits for the log.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(12);

/// What was acknowledged: ids, with the receipt where there was one.
pub type Acknowledged = HashMap<String, Option<Position>>;

/// Sends to one ingest, and keeps what was acknowledged. Clones share it.
#[derive(Debug, Clone)]
pub struct Sender {
    http: reqwest::Client,
    ingest: String,
    acknowledged: Arc<Mutex<Acknowledged>>,
    on_the_way: Arc<AtomicU64>,
}

impl Sender {
    /// A sender to the ingest at `address`.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn new(address: SocketAddr) -> Result<Self> {
        let http = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).build()?;
        Ok(Self {
            http,
            ingest: format!("http://{address}"),
            acknowledged: Arc::default(),
            on_the_way: Arc::default(),
        })
    }

    /// How many events are acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.lock().len() as u64
    }

    /// All that are.
    pub fn all_acknowledged(&self) -> Acknowledged {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Acknowledged> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until so many events are acknowledged.
    ///
    /// # Errors
    /// When none more is for too long.
    pub async fn reached(&self, events: u64) -> Result<()> {
        let mut last = (0, Instant::now());
        loop {
            let acknowledged = self.acknowledged();
            if acknowledged >= events {
                return Ok(());
            }
            if acknowledged > last.0 {
                last = (acknowledged, Instant::now());
            }
            ensure!(
                last.1.elapsed() < PATIENCE,
                "{acknowledged} events are acknowledged, and no more follow"
            );
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until an answer is waited for: the moment at which a crash of ingest leaves open what it did. False when all
    /// `events` are acknowledged instead.
    ///
    /// # Errors
    /// When nothing is sent for too long.
    pub async fn waiting(&self, events: u64) -> Result<bool> {
        let begun = Instant::now();
        while self.on_the_way.load(Ordering::Relaxed) == 0 {
            if self.acknowledged() >= events {
                return Ok(false);
            }
            ensure!(begun.elapsed() < PATIENCE, "nothing is being sent");
            sleep(Duration::from_millis(1)).await;
        }
        Ok(true)
    }

    /// Sends events of different users at the same time, each in a request of its own.
    ///
    /// # Errors
    /// When one is refused, or not acknowledged for too long.
    pub async fn send_singly(&self, events: Vec<Planned>) -> Result<()> {
        let mut sending = JoinSet::new();
        for event in events {
            let sender = self.clone();
            sending.spawn(async move {
                let url = format!("{}/events", sender.ingest);
                let answer = sender.insist(|http| http.post(&url).json(&event.body()), 202).await?;
                let position = answer["position"].as_str().context("a 202 without position")?.parse()?;
                sender.lock().insert(event.id, Some(position));
                anyhow::Ok(())
            });
        }
        sending.join_all().await.into_iter().collect()
    }

    /// Sends events of different users in one request.
    async fn send_together(&self, mut events: Vec<Planned>) -> Result<()> {
        let url = format!("{}/events/batch", self.ingest);
        let begun = Instant::now();
        while !events.is_empty() {
            ensure!(begun.elapsed() < PATIENCE, "{} events are not acknowledged for too long", events.len());
            let bodies: Vec<Value> = events.iter().map(Planned::body).collect();
            let body = json!({ "events": bodies });
            let answer = self.insist(|http| http.post(&url).json(&body), 200).await?;
            let results = answer["results"].as_array().context("a batch's answer without results")?;
            ensure!(results.len() == events.len(), "not one result for each event: {answer}");
            let mut left = Vec::new();
            for (event, result) in events.into_iter().zip(results) {
                match result["result"].as_str() {
                    Some("ok") => drop(self.lock().insert(event.id, None)),
                    Some("retry") => left.push(event),
                    _ => bail!("{} is refused: {result}", event.id),
                }
            }
            events = left;
            if !events.is_empty() {
                sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Has users forgotten; gives the receipts.
    ///
    /// # Errors
    /// When it is refused, or not acknowledged for too long.
    pub async fn forget(&self, users: &[String]) -> Result<Vec<String>> {
        let mut receipts = Vec::new();
        for user in users {
            let url = format!("{}/users/{user}", self.ingest);
            let answer = self.insist(|http| http.delete(&url), 202).await?;
            receipts.push(answer["position"].as_str().context("a 202 without position")?.to_owned());
        }
        Ok(receipts)
    }

    /// Asks until the answer has this status; a refusal, which would not change, is an error.
    async fn insist(
        &self,
        request: impl Fn(&reqwest::Client) -> reqwest::RequestBuilder,
        wanted: u16,
    ) -> Result<Value> {
        let begun = Instant::now();
        let mut last = String::new();
        while begun.elapsed() < PATIENCE {
            self.on_the_way.fetch_add(1, Ordering::Relaxed);
            let answer = request(&self.http).send().await;
            self.on_the_way.fetch_sub(1, Ordering::Relaxed);
            match answer {
                Ok(answer) if answer.status() == wanted => match answer.json().await {
                    Ok(answer) => return Ok(answer),
                    // An answer that was cut off acknowledges nothing.
                    Err(error) => last = error.to_string(),
                },
                Ok(answer) if answer.status() == 503 => last = answer.text().await.unwrap_or_default(),
                Ok(answer) => bail!("{}: {}", answer.status(), answer.text().await.unwrap_or_default()),
                Err(error) => last = format!("{error:#}"),
            }
            sleep(PAUSE).await;
        }
        bail!("no {wanted} for too long; the last answer was {last}")
    }
}

/// A plan being sent.
#[derive(Debug)]
pub struct Load {
    lanes: JoinSet<Result<()>>,
}

impl Load {
    /// Begins to send at `rate` events per second. `with_forgetting`: users are forgotten on the way, too; else whoever
    /// started it does that.
    pub fn start(plan: Plan, rate: u64, sender: &Sender, with_forgetting: bool) -> Self {
        let mut lanes = JoinSet::new();
        let round = Duration::from_secs_f64(plan.events() as f64 / plan.rounds as f64 / rate as f64);
        let begun = Instant::now();
        for lane in 0..LANES {
            let sender = sender.clone();
            // Not all at the same moment.
            let begun = begun + round.mul_f64(lane as f64 / LANES as f64);
            lanes.spawn(async move {
                for number in 0..plan.rounds {
                    sleep_until(begun + round * number as u32).await;
                    let events = plan.round(lane, number);
                    let sent = if lane < SINGLY {
                        sender.send_singly(events).await
                    } else {
                        sender.send_together(events).await
                    };
                    sent.with_context(|| format!("lane {lane}, round {number}"))?;
                }
                Ok(())
            });
        }
        if with_forgetting {
            let sender = sender.clone();
            lanes.spawn(async move {
                for events in plan.before_forgetting() {
                    sender.send_singly(events).await?;
                }
                sleep_until(begun + round * (plan.rounds / 2) as u32).await;
                sender.forget(&plan.forgotten_users()).await?;
                for events in plan.after_forgetting() {
                    sender.send_singly(events).await?;
                }
                Ok(())
            });
        }
        Self { lanes }
    }

    /// Waits until everything is acknowledged.
    ///
    /// # Errors
    /// When something never is.
    pub async fn finish(self) -> Result<()> {
        self.lanes.join_all().await.into_iter().collect()
    }
}
