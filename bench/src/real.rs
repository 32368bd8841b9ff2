//! The three services on real Kafka, Redis and Cassandra, each beside its floor.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use event_log::{EventLog, GroupOptions, NewRecord, ProducerMode, TopicSpec};
use schemas::names;
use serde_json::json;
use service_runtime::{Clock, SystemClock};
use stores::Table;
use system_tests::program::{Program, free_address, until};
use system_tests::servers::{Installation, NEEDED, Redis, kafka, ready};
use system_tests::{given, have};
use tempfile::TempDir;

use crate::cpu::{CpuSeconds, resident_bytes};
use crate::load::{self, Latencies, Request};
use crate::report::{Figure, Turns, median};
use crate::servers;
use crate::workload::Workload;

/// Partitions of each topic.
pub const PARTITIONS: u32 = 4;
/// Records handed over before their acknowledgements are awaited.
const WINDOW: usize = 20_000;
/// Different requests of a load.
const REQUESTS: usize = 20_000;
/// Freshness is measured for so many times as long as the rest: a percentile needs many probes.
const PROBES_LAST: u32 = 6;
/// How long one of two that are measured in turn is at most: machines are fast and slow by turns, too.
const TURN: Duration = Duration::from_secs(2);
/// Events of a batch.
const BATCH: usize = 100;

/// For how long a program's CPU time is looked at, and the share of a core that it takes when it has nothing to do.
const LOOK: Duration = Duration::from_secs(2);
const IDLE: f64 = 0.05;

/// How long ago the log of a shop ends that new events come to, in ms: longer than the pause that ends a session.
const OVER_MS: i64 = 31 * 60 * 1_000;

/// As shops have it; the installation's own is shorter, for tests that wait for it.
const FLUSH: (&str, &str) = ("SHOPSMART__PROCESSOR__FLUSH_INTERVAL_MS", "5000");

/// What is measured how long and how often.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Length of each measurement.
    pub time: Duration,
    /// Rounds, each of ours and of the floor; the median counts.
    pub rounds: usize,
}

impl Effort {
    /// Turns that take as long as all rounds: how many, and how long each is.
    fn turns(&self) -> (usize, Duration) {
        let length = TURN.min(self.time);
        let all = self.time.as_secs_f64() * self.rounds as f64 / length.as_secs_f64();
        (all.ceil() as usize, length)
    }
}

/// An installation of its own on the servers that the environment names.
pub struct Bench {
    installation: Installation,
    keyspace: String,
    generation: u16,
    effort: Effort,
    _scratch: TempDir,
}

/// A floor as a process of its own, ended when dropped.
struct FloorProcess {
    child: Child,
    address: SocketAddr,
}

impl FloorProcess {
    async fn start(kind: &str, arguments: &[String]) -> Result<Self> {
        let address = free_address()?;
        let child = Command::new(std::env::current_exe()?)
            .args(["floor", kind, "--listen", &address.to_string()])
            .args(arguments)
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start a floor")?;
        let floor = Self { child, address };
        let begun = Instant::now();
        while tokio::net::TcpStream::connect(address).await.is_err() {
            ensure!(begun.elapsed() < Duration::from_secs(20), "the floor of {kind} does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(floor)
    }
}

impl Drop for FloorProcess {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Bench {
    /// Prepares an installation; its topics are made.
    ///
    /// # Errors
    /// When a server or a program is missing.
    pub async fn new(effort: Effort) -> Result<Self> {
        ensure!(have(&NEEDED), "no servers: call it by `cargo xtask bench`, which starts them");
        let scratch = tempfile::tempdir()?;
        // Several of one process must not meet in one topic; the generation after each is for its replay.
        static MADE: AtomicU16 = AtomicU16::new(0);
        let number =
            4_001 + (std::process::id() % 1_000) as u16 * 4 + 2 * MADE.fetch_add(1, Ordering::Relaxed);
        let names = format!("bench{number}");
        let installation = Installation::new(scratch.path(), &names, &names, number, Redis::Single)?;
        let mut processor = installation.start_ready("stream-processor").await?;
        processor.stop()?;
        Ok(Self { installation, keyspace: names, generation: number, effort, _scratch: scratch })
    }

    /// Works through a full log with an empty state, beside a consumer that only decodes it.
    ///
    /// # Errors
    /// When anything fails.
    pub async fn processor(&self, workload: &Workload) -> Result<Vec<Figure>> {
        let events = workload.clicks.len();
        self.fill(workload).await?;
        let group = GroupOptions {
            group_id: format!("floor-{}", self.generation),
            topics: vec![self.installation.events_topic()],
            instance_id: None,
            session_timeout_ms: 6_000,
        };
        let (begun, before) = (Instant::now(), CpuSeconds::of_this_process()?);
        let decoded = crate::floor::consumer::decode_all(&kafka()?, group, events).await?;
        ensure!(decoded == events, "decoded {decoded} of {events}");
        let (floor_wall, floor_cpu) =
            (begun.elapsed().as_secs_f64(), CpuSeconds::of_this_process()? - before);

        let mut processor = self.installation.start_with("stream-processor", &[FLUSH])?;
        let lag = format!("http://{}/admin/lag", self.installation.processor);
        until("the processor to be there", &lag, |report| report["partitions"].as_array().map(drop)).await?;
        let (begun, before, servers) = (Instant::now(), CpuSeconds::of(processor.id())?, servers::cpu()?);
        until("every event to have an outcome", &lag, |report| {
            (servers::outcomes(report) >= events as u64).then_some(())
        })
        .await?;
        let wall = begun.elapsed().as_secs_f64();
        // Storing what the last events changed is part of what they cost.
        until_all_is_stored(self.installation.processor).await?;
        let cpu = CpuSeconds::of(processor.id())? - before;
        let servers_cpu = servers::cpu()? - servers;
        let rows = servers::counter(self.installation.processor, "processor_flushed_rows_total").await?;
        let users = servers::redis_bytes(&names::user_key(self.generation, "")).await?;
        let products = servers::redis_bytes(&names::neighbours_key(self.generation, "")).await?;
        let resident = resident_bytes(&processor.id().to_string())?;
        processor.stop()?;
        let user_rows = servers::cql_bytes(&self.keyspace, self.generation, Table::UserHistory).await?;
        let product_rows = servers::cql_bytes(&self.keyspace, self.generation, Table::ProductState).await?;
        let rate = |seconds: f64| events as f64 / seconds;
        Ok(vec![
            Figure::beside(
                "processor, real parts: events per second, everything on this machine",
                rate(wall),
                rate(floor_wall),
                "1/s",
                "20,000",
            ),
            Figure::beside(
                "processor, real parts: events per CPU second of the processor",
                rate(cpu),
                rate(floor_cpu),
                "1/s",
                "",
            ),
            Figure::beside(
                "processor, real parts: CPU per event, beside that of Kafka, Redis and Cassandra",
                cpu * 1e6 / events as f64,
                servers_cpu * 1e6 / events as f64,
                "µs",
                "1 × servers",
            ),
            Figure::alone(
                "processor, real parts: rows written to Cassandra per event",
                rows / events as f64,
                "",
                "0.5",
            ),
            Figure::alone("Redis: bytes of a user with 20 events", users, "B", "860"),
            Figure::alone("Redis: bytes of a product", products, "B", ""),
            Figure::alone("Cassandra: bytes of a user's row, before it packs them", user_rows, "B", ""),
            Figure::alone("Cassandra: bytes of a product's row, before it packs them", product_rows, "B", ""),
            Figure::alone("processor, real parts: memory of the process", resident / 1e6, "MB", ""),
        ])
    }

    /// Recommendations for the shoppers of a workload that the processor has worked through, beside a bare server.
    ///
    /// # Errors
    /// When anything fails.
    pub async fn serving(&self, workload: &Workload) -> Result<Vec<Figure>> {
        let processor = self.start_processor().await?;
        idle(&processor).await?;
        let serving = self.installation.start_ready("serving").await?;
        let redis = given("SHOPSMART_TEST_REDIS").context("no Redis")?;
        let generation = self.generation.to_string();
        let floor = FloorProcess::start(
            "serving",
            &["--redis".to_owned(), redis, "--generation".to_owned(), generation],
        )
        .await?;
        let users = workload.clicks.iter().rev().take(REQUESTS).map(|click| &click.user);
        let requests: Vec<Request> = users
            .map(|user| Request {
                path: format!("/recommendations?user_id={user}&k=20"),
                body: String::new(),
            })
            .collect();
        let url = format!("http://{}{}", self.installation.serving, requests[0].path);
        until("recommendations", &url, |answer| {
            answer["items"].as_array().filter(|items| !items.is_empty()).map(drop)
        })
        .await?;
        // Both warm.
        for address in [self.installation.serving, floor.address] {
            load::throughput(address, &requests, 32, self.effort.time)?;
        }
        let before = CpuSeconds::of(serving.id())?;
        let mut figures = Vec::new();
        for connections in [32, 256] {
            let turns = self.in_turn(self.installation.serving, floor.address, &requests, connections)?;
            let name = format!("serving: requests per second, {connections} connections");
            figures.push(turns.figure(name, 1.0, "1/s", "1.5 × floor"));
        }
        let spent = CpuSeconds::of(serving.id())? - before;
        // Each at half of what it can do: at half of ours the floor is near its limit, or beyond it.
        let [half, floor_half] =
            [figures[0].ours, figures[0].floor.unwrap_or_default()].map(|rate| rate / 2.0);
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..self.effort.rounds {
            let time = self.effort.time;
            ours.push(load::at_rate(self.installation.serving, &requests, 32, half, time).await?);
            bare.push(load::at_rate(floor.address, &requests, 32, floor_half, time).await?);
        }
        let failed: u64 = ours.iter().map(|latencies| latencies.failed).sum();
        ensure!(failed == 0, "{failed} answers of serving failed");
        for (percentile, goal) in [(50.0, ""), (99.0, "5")] {
            let of =
                |latencies: &[Latencies]| median(latencies.iter().map(|l| l.millis(percentile)).collect());
            let name = format!(
                "serving: p{percentile:.0} at half its rate, {half:.0} beside {floor_half:.0} a second"
            );
            figures.push(Figure::beside(name, of(&ours), of(&bare), "ms", goal));
        }
        let (turns, length) = self.effort.turns();
        let answered = (figures[0].ours + figures[1].ours) * length.as_secs_f64() * turns as f64;
        figures.push(Figure::alone("serving: CPU per request", spent * 1e6 / answered, "µs", ""));
        Ok(figures)
    }

    /// From an event to its effects in answers beside `rate` events per second; the log of [`Self::processor`] is what the replay reads.
    ///
    /// # Errors
    /// When anything fails.
    pub async fn freshness(&self, workload: &Workload, rate: u32) -> Result<Vec<Figure>> {
        let processor = self.start_processor().await?;
        idle(&processor).await?;
        let _ingest = self.installation.start_ready("ingest").await?;
        let _serving = self.installation.start_ready("serving").await?;
        let time = self.effort.time * PROBES_LAST;
        crate::freshness::measure(&self.installation, processor.id(), workload, rate, time).await
    }

    /// Single events and batches through HTTP into Kafka, beside a bare server at its best linger.
    ///
    /// # Errors
    /// When anything fails.
    pub async fn ingest(&self, workload: &Workload) -> Result<Vec<Figure>> {
        let _ingest = self.installation.start_ready("ingest").await?;
        let ours = self.installation.ingest;
        let topic = format!("{}-floor", self.installation.events_topic());
        let spec =
            TopicSpec { name: topic.clone(), partitions: PARTITIONS, compacted: false, retention_ms: None };
        kafka()?.ensure_topics(&[spec]).await?;
        let brokers = given("SHOPSMART_TEST_KAFKA").context("no Kafka")?;
        let event = |(number, click): (usize, &crate::workload::Click)| {
            json!({"event_id": format!("load-{number}"), "event_type": click.kind.name(), "user_id": click.user,
                   "product_id": click.product})
        };
        let events: Vec<_> = workload.clicks.iter().take(REQUESTS).enumerate().map(event).collect();
        let singles: Vec<Request> = events
            .iter()
            .map(|event| Request { path: "/events".to_owned(), body: event.to_string() })
            .collect();
        let batches: Vec<Request> = events
            .chunks(BATCH)
            .map(|events| Request {
                path: "/events/batch".to_owned(),
                body: json!({"events": events}).to_string(),
            })
            .collect();

        let mut figures = Vec::new();
        for (what, requests, per_request, connections, goal) in [
            ("single events per second", &singles, 1.0, 32, "0.9 × floor"),
            ("single events per second", &singles, 1.0, 256, "0.9 × floor"),
            ("events per second in batches of 100", &batches, BATCH as f64, 32, "0.6 × floor"),
        ] {
            let mut best = Turns::default();
            for linger in [0, 1, 5] {
                let arguments =
                    ["--brokers", &brokers, "--topic", &topic, "--linger-ms", &linger.to_string()];
                let floor = FloorProcess::start("ingest", &arguments.map(str::to_owned)).await?;
                let turns = self.in_turn(ours, floor.address, requests, connections)?;
                if turns.floor() > best.floor() {
                    best = turns;
                }
            }
            let name = format!("ingest: {what}, {connections} connections");
            figures.push(best.figure(name, per_request, "1/s", goal));
        }
        let half = figures[0].floor.unwrap_or(1_000.0) / 2.0;
        let arguments = ["--brokers", &brokers, "--topic", &topic, "--linger-ms", "0"].map(str::to_owned);
        let floor = FloorProcess::start("ingest", &arguments).await?;
        let (mut latencies, mut floors) = (Vec::new(), Vec::new());
        for _ in 0..self.effort.rounds {
            let time = self.effort.time;
            let latency = load::at_rate(ours, &singles, 32, half, time).await?;
            let bare = load::at_rate(floor.address, &singles, 32, half, time).await?;
            let refused = latency.failed + bare.failed;
            ensure!(refused == 0, "{refused} events were refused");
            latencies.push(latency.millis(99.0));
            floors.push(bare.millis(99.0));
        }
        let name = format!("ingest: p99 at {half:.0} single events per second");
        figures.push(Figure::beside(name, median(latencies), median(floors), "ms", "1.2 × floor"));
        Ok(figures)
    }

    /// A processor that flushes as in a shop.
    async fn start_processor(&self) -> Result<Program> {
        let processor = self.installation.start_with("stream-processor", &[FLUSH])?;
        ready("stream-processor", self.installation.processor).await?;
        Ok(processor)
    }

    /// Requests per second of ours and of the floor, in turn.
    fn in_turn(
        &self,
        ours: SocketAddr,
        floor: SocketAddr,
        requests: &[Request],
        connections: usize,
    ) -> Result<Turns> {
        let (turns, length) = self.effort.turns();
        let rate = |address| load::throughput(address, requests, connections, length);
        let rates: Result<_> = (0..turns).map(|_| Ok((rate(ours)?, rate(floor)?))).collect();
        Ok(Turns { rates: rates? })
    }

    /// What the services are configured with.
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// Appends all events to the log, as if they had come until a while ago: the last hour has them, and sessions are over.
    ///
    /// # Errors
    /// When Kafka does not take them.
    pub async fn fill(&self, workload: &Workload) -> Result<()> {
        let producer = kafka()?.producer(ProducerMode::Bounded { ack_timeout_ms: 60_000, linger_ms: 5 })?;
        let topic = self.installation.events_topic();
        let mut appends = Vec::with_capacity(WINDOW);
        let now_ms = SystemClock.now_ms();
        let later_ms = now_ms - OVER_MS - workload.clicks.last().map_or(now_ms, |click| click.timestamp_ms);
        let clicks = workload.clicks.iter().enumerate();
        for (key, value) in clicks.map(|(number, click)| click.later(later_ms).record(number, now_ms)) {
            let record =
                NewRecord { topic: topic.as_str().into(), partition: None, key, value, traceparent: None };
            appends.push(producer.append(record)?);
            if appends.len() == WINDOW {
                for append in appends.drain(..) {
                    append.await?;
                }
            }
        }
        for append in appends {
            append.await?;
        }
        Ok(())
    }
}

/// Waits until a processor has written everything to the state store.
async fn until_all_is_stored(processor: SocketAddr) -> Result<()> {
    let begun = Instant::now();
    while servers::gauge(processor, "processor_unstored_records").await? > 0.0 {
        ensure!(begun.elapsed() < Duration::from_secs(180), "records stay unstored without any load");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// Waits until a program has nothing to do: a processor that was just started first reads its state, and publishes what it
/// was late with.
async fn idle(program: &Program) -> Result<()> {
    let begun = Instant::now();
    loop {
        let before = CpuSeconds::of(program.id())?;
        tokio::time::sleep(LOOK).await;
        if CpuSeconds::of(program.id())? - before < LOOK.as_secs_f64() * IDLE {
            return Ok(());
        }
        ensure!(begun.elapsed() < Duration::from_secs(180), "the processor is busy without any load");
    }
}
