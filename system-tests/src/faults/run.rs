//! One run: start, load, fault, account.

use super::account::{Account, Contents};
use super::lag::Watch;
use super::load::Load;
use super::plan::Plan;
use super::probe::Probe;
use super::report::Row;
use super::scenarios::Scenario;
use super::site::{Network, Site, variable};
use crate::program::{self, digest, verify};
use crate::servers::{Installation, Redis, Servers, kafka_at, ready};
use anyhow::{Context, Result, ensure};
use schemas::names::Topics;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use xtask::services::Services;

/// Users that serving is asked about.
const ASKED_ABOUT: u64 = 100;
/// Copies of the processor at the beginning.
const COPIES: usize = 2;

/// What the runs have in common.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Events per second.
    pub rate: u64,
    /// How long a server that stops or hangs does so.
    pub outage: Duration,
    /// The events of each run.
    pub plan: Plan,
    /// Where the programs' logs and configurations go, a folder for each scenario.
    pub scratch: PathBuf,
}

impl Settings {
    /// `seconds` of load at `rate` events per second.
    pub fn new(rate: u64, seconds: u64, outage: Duration, scratch: PathBuf) -> Self {
        #[allow(clippy::disallowed_methods, reason = "events are as recent as those of real shoppers")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { rate, outage, plan: Plan::new(rate * seconds, now.as_millis() as i64), scratch }
    }

    /// An empty folder for the files of a run.
    pub(super) fn scratch_of(&self, scenario: &str) -> Result<PathBuf> {
        let scratch = self.scratch.join(scenario);
        if scratch.exists() {
            std::fs::remove_dir_all(&scratch)?;
        }
        std::fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
        Ok(scratch)
    }
}

/// Runs a scenario on servers that nobody else uses. `reference`: the digest of the undisturbed run; it is set by that run.
pub async fn run(
    services: &mut Services,
    scenario: Scenario,
    settings: &Settings,
    reference: &mut Option<String>,
) -> Row {
    let mut row = Row { scenario: scenario.name(), ..Row::default() };
    match fill(&mut row, services, scenario, settings).await {
        Ok(digest) if scenario == Scenario::Undisturbed => *reference = Some(digest),
        Ok(digest) => row.digest_equal = reference.as_ref().map(|reference| *reference == digest),
        Err(error) => row.broken.push(format!("did not come to its end: {error:#}")),
    }
    row.judge();
    row
}

async fn fill(
    row: &mut Row,
    services: &mut Services,
    scenario: Scenario,
    settings: &Settings,
) -> Result<String> {
    let redis = if scenario == Scenario::RedisFailover { Redis::Cluster } else { Redis::Single };
    let mut servers = Servers::of(|name| variable(services, name), redis);
    let log = Arc::new(kafka_at(servers.kafka.clone())?);
    let mut network = None;
    if scenario == Scenario::Network {
        let (proxies, behind_them) = Network::before(&servers, services).await?;
        (servers, network) = (behind_them, Some(proxies));
    }

    // A generation and names of its own, so that runs share servers without meeting.
    static RUNS: AtomicU16 = AtomicU16::new(1);
    let generation = RUNS.fetch_add(1, Ordering::Relaxed);
    let name = format!("run{generation}");
    let scratch = settings.scratch_of(&row.scenario)?;
    let installation = Installation::on(&servers, &scratch, &name, &name, generation)?;
    let topics = Topics::new(&format!("{name}-"), generation);
    let watch = Watch::new(log.clone(), &topics.events, &topics.product_activity);
    let created =
        program::run("shopsmart", &["topics", "create", "--config", &installation.config_argument()])?;
    ensure!(created.status.success(), "no topics: {}", String::from_utf8_lossy(&created.stderr));
    let (ingest, serving) = (installation.start("ingest")?, installation.start("serving")?);
    let mut site = Site::new(services, settings, installation, (servers, network), (ingest, serving), watch)?;
    for number in 0..COPIES {
        site.start_copy(number).await?;
    }
    site.all_owned().await?;
    ready("ingest", site.installation.ingest).await?;
    ready("serving", site.installation.serving).await?;

    let plan = settings.plan;
    let load = Load::start(plan, settings.rate, &site.sender, scenario != Scenario::UserForgotten);
    site.sender.reached(plan.events() / 5).await?;
    let probe = Probe::start(site.installation.serving, plan.known_users(ASKED_ABOUT));
    site.sender.reached(plan.events() / 4).await?;
    let inflicted = scenario.inflict(&mut site).await;
    let finished = load.finish().await;
    let contents = Contents::read(&*log, &topics.events).await?;
    let outcomes = site.watch.at_rest(&site.copies(), contents.records).await;
    let published = site.histories_are_published().await;
    row.served(probe.stop(site.faulty).await);
    row.recovery_s = site.recovery.map(|took| took.as_secs_f64());

    let acknowledged = site.sender.all_acknowledged();
    (row.acknowledged, row.records) = (acknowledged.len() as u64, contents.records);
    let account = Account::of(&acknowledged, &contents, &outcomes);
    (row.lost, row.counted_twice) = (account.lost, account.counted_twice);
    for number in site.running_copies() {
        site.stop_copy(number)?;
    }
    site.serving.stop()?;
    site.ingest.stop()?;
    let target = ["--config", &site.installation.config_argument()];
    match verify(&target) {
        Ok(()) => row.verified = true,
        Err(error) => row.broken.push(format!("{error:#}")),
    }
    let digest = digest(&target)?;
    for outcome in [inflicted, finished, published] {
        if let Err(error) = outcome {
            row.broken.push(format!("{error:#}"));
        }
    }
    Ok(digest)
}
