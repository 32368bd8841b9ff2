//! Asks the server once a second for what the panel shows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::figures::{Figures, Freshness};
use super::panel::Panel;
use crate::client::{CallError, Client};
use crate::simulator::Shop;

const EVERY: Duration = Duration::from_secs(1);
/// Products listed as trending.
const TRENDING: &str = "5";
/// Products recommended to each of the shoppers shown.
const RECOMMENDED: &str = "3";
/// The shoppers shown. The first ones come most often.
const SHOWN: [u32; 3] = [0, 1, 2];

/// What is to be seen at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct View {
    pub elapsed: Duration,
    pub acknowledged: u64,
    /// In the last second.
    pub events_per_second: f64,
    pub sent_again: u64,
    pub rejected: u64,
    pub lag_records: u64,
    pub lag_ms: u64,
    pub freshness: Freshness,
    pub trending: Vec<Trending>,
    /// Set from the launch on.
    pub launched: Option<Launched>,
    pub shoppers: Vec<Shopper>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trending {
    pub name: String,
    pub score: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Launched {
    pub name: String,
    pub ago: Duration,
    /// Its place among what trends; `None` = not among the first.
    pub rank: Option<usize>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Shopper {
    pub user_id: String,
    /// What was done last, and with what.
    pub last: Option<(String, String)>,
    pub recommended: Vec<String>,
}

#[derive(Deserialize)]
struct Lag {
    lag_records: u64,
    lag_ms: u64,
}

#[derive(Deserialize)]
struct List {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    product_id: String,
    #[serde(default)]
    score: f64,
    #[serde(default)]
    event_type: String,
}

/// Keeps the view up to date.
pub(super) struct Watch {
    client: Client,
    shop: Arc<Shop>,
    figures: Arc<Figures>,
    launch: Instant,
    names: HashMap<String, String>,
    view: View,
    /// When events were last counted, and how many there were.
    counted: (Instant, u64),
}

impl Watch {
    pub fn new(client: Client, shop: Arc<Shop>, figures: Arc<Figures>, launch: Instant) -> Self {
        let catalog = shop.catalog();
        let products = (0..=catalog.launched()).map(|place| catalog.product(place));
        let names = products.map(|product| (product.id.clone(), product.name.clone())).collect();
        let counted = (figures.begun(), 0);
        let shoppers = SHOWN.map(|shopper| Shopper { user_id: Shop::user_id(shopper), ..Shopper::default() });
        let view = View { shoppers: shoppers.into(), ..View::default() };
        Self { client, shop, figures, launch, names, view, counted }
    }

    /// What was last seen.
    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// Looks and shows once a second until `stop`.
    pub async fn keep_looking(&mut self, panel: &mut Panel, stop: &CancellationToken) -> Result<()> {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.count();
            self.look().await?;
            panel.show(&self.view);
        }
        self.count();
        panel.close();
        Ok(())
    }

    /// Waits until everything is processed, so that the last view shows it.
    pub async fn settle(&mut self, within: Duration) {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if self.look().await.is_err() || self.view.lag_records == 0 {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// What the server tells.
    async fn look(&mut self) -> Result<()> {
        if let Some(lag) = self.ask::<Lag>("/admin/lag", &[]).await? {
            (self.view.lag_records, self.view.lag_ms) = (lag.lag_records, lag.lag_ms);
        }
        if let Some(list) = self.ask::<List>("/trending", &[("window", "1h"), ("k", TRENDING)]).await? {
            self.trending(list);
        }
        for shopper in 0..self.view.shoppers.len() {
            self.look_at(shopper).await?;
        }
        Ok(())
    }

    async fn look_at(&mut self, shopper: usize) -> Result<()> {
        let user_id = self.view.shoppers[shopper].user_id.clone();
        let history = self.ask::<List>(&format!("/users/{user_id}/history"), &[("k", "1")]).await?;
        let wanted = [("user_id", &user_id[..]), ("k", RECOMMENDED)];
        let recommended = self.ask::<List>("/recommendations", &wanted).await?;
        if let Some(item) = history.and_then(|list| list.items.into_iter().next()) {
            self.view.shoppers[shopper].last = Some((item.event_type, self.name(item.product_id)));
        }
        if let Some(list) = recommended {
            let names = list.items.into_iter().map(|item| self.name(item.product_id));
            self.view.shoppers[shopper].recommended = names.collect();
        }
        Ok(())
    }

    /// What the demo itself knows.
    fn count(&mut self) {
        let (now, acknowledged) = (Instant::now(), self.figures.acknowledged());
        let (before, counted) = self.counted;
        if now - before >= EVERY / 2 {
            self.view.events_per_second = (acknowledged - counted) as f64 / (now - before).as_secs_f64();
            self.counted = (now, acknowledged);
        }
        self.view.elapsed = now - self.figures.begun();
        self.view.acknowledged = acknowledged;
        self.view.sent_again = self.figures.sent_again();
        self.view.rejected = self.figures.rejected();
        self.view.freshness = self.figures.freshness();
    }

    fn trending(&mut self, list: List) {
        let launched = self.shop.catalog().product(self.shop.catalog().launched());
        self.view.launched = Instant::now().checked_duration_since(self.launch).map(|ago| Launched {
            name: launched.name.clone(),
            ago,
            rank: list.items.iter().position(|item| item.product_id == launched.id).map(|place| place + 1),
        });
        let items = list.items.into_iter();
        self.view.trending =
            items.map(|item| Trending { name: self.name(item.product_id), score: item.score }).collect();
    }

    /// `None` while the server does not answer: the view keeps what it has.
    async fn ask<A: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<Option<A>> {
        match self.client.get(path, query).await {
            Ok(answer) => Ok(Some(answer)),
            Err(CallError::Unavailable { .. }) => Ok(None),
            Err(refused) => Err(refused.into()),
        }
    }

    fn name(&self, product_id: String) -> String {
        self.names.get(&product_id).cloned().unwrap_or(product_id)
    }
}
