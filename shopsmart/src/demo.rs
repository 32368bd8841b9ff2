//! The whole pipeline at work: everything in one process, a simulated shop, and shoppers who come through the real
//! HTTP API. A panel shows what becomes of what they do, measured from outside.

mod figures;
mod panel;
mod probe;
mod shoppers;
mod stock;
mod summary;
mod watch;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use service_runtime::{Clock, SystemClock};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

pub use self::figures::Freshness;
pub use self::summary::Summary;

use self::figures::Figures;
use self::panel::Panel;
use self::watch::Watch;
use crate::client::Client;
use crate::dev::{self, DevOptions};
use crate::simulator::{Launch, Pace, Shop, Size, Traffic};

/// The shop's size: small enough that a minute's events say something about every product.
const SIZE: Size = Size { products: 600, shoppers: 2_000 };
/// How long a shopper stays with a product, on average: hasty, so that a minute shows whole sessions.
const PAUSE_MS: f64 = 2_500.0;
/// How long the shop has been open before the demo looks, in ms: nobody sees its first minute, when it is still filling.
const OPEN_BEFORE_MS: i64 = 60_000;
/// The share of views that goes to the launched product.
const LAUNCH_SHARE: f64 = 0.05;
/// When the product is launched in a demo without end.
const LAUNCH_AFTER: Duration = Duration::from_secs(30);
/// How long to wait at the end for the last events to be processed.
const SETTLES_WITHIN: Duration = Duration::from_secs(3);

/// How to run the demo.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// Address and port; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Folder for the log and the state; a temporary one, removed at the end, when absent.
    pub data: Option<PathBuf>,
    /// How long shoppers come; without end when absent.
    pub duration: Option<Duration>,
    /// Events a second.
    pub rate: f64,
    /// The shop and its shoppers follow from it.
    pub seed: u64,
}

/// Starts everything, lets shoppers come until the time is up or `stop`, ends everything, and sums up.
///
/// # Errors
/// When something cannot be started, the server refuses what the demo sends, or a service fails.
pub async fn run(options: DemoOptions, stop: CancellationToken) -> Result<Summary> {
    let (_temporary, data) = match &options.data {
        Some(data) => (None, data.clone()),
        None => {
            let dir = TempDir::with_prefix("shopsmart-demo-").context("cannot make a temporary folder")?;
            let data = dir.path().join("data");
            (Some(dir), data)
        }
    };
    let end = CancellationToken::new();
    let dev = DevOptions { listen: options.listen, data, partitions: None };
    let dev = dev::start(dev, end.clone()).await?;
    let url = format!("http://{}", dev.addr);
    let mut services = pin!(dev.wait());
    let mut shop = pin!(open(&url, &options, stop.clone()));
    let summary = tokio::select! {
        summary = &mut shop => summary,
        // They are told to stop by the same signals as the demo, and may be faster.
        ended = &mut services => {
            ended?;
            stop.cancel();
            return shop.await;
        }
    };
    end.cancel();
    let ended = services.await;
    let summary = summary?;
    ended?;
    Ok(summary)
}

/// Lets shoppers come to the server at `url`, for as long as `options` say or until `stop`, and shows the panel.
///
/// # Errors
/// When the server refuses what it is sent.
pub async fn open(url: &str, options: &DemoOptions, stop: CancellationToken) -> Result<Summary> {
    let client = Client::new(url, None)?;
    let shop = Arc::new(Shop::new(options.seed, SIZE));
    stock::fill(&client, shop.catalog(), &stop).await.context("cannot send the catalog")?;

    let begun = Instant::now();
    let start_ms = SystemClock.now_ms();
    let launch_after = options.duration.map_or(LAUNCH_AFTER, |duration| duration / 2);
    let launch = Launch {
        product: shop.catalog().launched(),
        at_ms: start_ms + launch_after.as_millis() as i64,
        share: LAUNCH_SHARE,
    };
    let pace = Pace {
        start_ms: start_ms - OPEN_BEFORE_MS,
        events_per_second: options.rate,
        pause_ms: PAUSE_MS,
        daily_rhythm: false,
        launch: Some(launch),
    };
    let traffic = Traffic::new(Arc::clone(&shop), pace).skip_while(|event| event.timestamp_ms < start_ms);
    let figures = Arc::new(Figures::new(begun));
    let mut watch = Watch::new(client.clone(), Arc::clone(&shop), Arc::clone(&figures), begun + launch_after);

    let closing = stop.child_token();
    let closed = async {
        tokio::select! {
            () = sleep(options.duration.unwrap_or(Duration::MAX)) => {}
            () = closing.cancelled() => {}
        }
        closing.cancel();
        Ok(())
    };
    let mut panel = Panel::new(url, options.duration);
    let work = async {
        tokio::try_join!(
            closed,
            shoppers::come(&client, &shop, traffic, start_ms, &figures, &closing),
            stock::launch(&client, shop.catalog(), begun + launch_after, &closing),
            probe::measure(&client, &shop, &figures, &closing),
            watch.keep_looking(&mut panel, &closing),
        )
    };
    // An error of one of them leaves the others where they are.
    work.await?;
    if !stop.is_cancelled() {
        watch.settle(SETTLES_WITHIN).await;
    }
    Ok(Summary::of(&watch.view(), stop.is_cancelled()))
}
