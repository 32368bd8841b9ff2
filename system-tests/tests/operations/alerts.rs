use super::support::post;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use system_tests::program::{PATIENCE, free_address, get, until};
use system_tests::proxy::Proxy;
use system_tests::servers::{Installation, NEEDED as SERVERS, Redis};
use system_tests::{given, have};

const PROMETHEUS: &str = "SHOPSMART_TEST_PROMETHEUS";

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// Runs `promtool`, which comes with Prometheus.
fn promtool(arguments: &[&str]) -> Result<()> {
    let program = Path::new(&given(PROMETHEUS).expect("checked by the test")).with_file_name("promtool");
    let output = Command::new(program).current_dir(deploy().join("prometheus")).args(arguments).output()?;
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?}: {said}");
    Ok(())
}

#[test]
fn the_rules_are_what_prometheus_takes_and_fire_when_they_should() -> Result<()> {
    if !have(&[PROMETHEUS]) {
        return Ok(());
    }
    promtool(&["check", "config", "prometheus.yml"])?;
    promtool(&["check", "rules", "alerts.yml"])?;
    promtool(&["test", "rules", "alerts_test.yml"])
}

/// A Prometheus that scrapes the three services every second.
struct Prometheus {
    child: Child,
    url: String,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Prometheus {
    async fn start(installation: &Installation, scratch: &Path) -> Result<Self> {
        let folder = scratch.join("prometheus");
        std::fs::create_dir_all(&folder)?;
        let rules = std::fs::read_to_string(deploy().join("prometheus/alerts.yml"))?;
        // The rules as they are, but for the patience: nobody waits for minutes here.
        let hasty = rules.lines().filter(|line| !line.trim_start().starts_with("for: "));
        std::fs::write(folder.join("alerts.yml"), hasty.collect::<Vec<_>>().join("\n"))?;
        let Installation { ingest, serving, processor, .. } = installation;
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [alerts.yml]\nscrape_configs:\n  - job_name: \
             shopsmart\n    static_configs: [{{ targets: ['{ingest}', '{serving}', '{processor}'] }}]\n"
        );
        std::fs::write(folder.join("prometheus.yml"), config)?;
        let address = free_address()?;
        let log = std::fs::File::create(folder.join("log"))?;
        let child = Command::new(given(PROMETHEUS).expect("checked by the test"))
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start Prometheus")?;
        let prometheus = Self { child, url: format!("http://{address}") };
        until("Prometheus to reach all services", &prometheus.query_url("count(up == 1)")?, |answer| {
            (answer["data"]["result"][0]["value"][1] == "3").then_some(())
        })
        .await?;
        Ok(prometheus)
    }

    fn query_url(&self, expression: &str) -> Result<String> {
        let base = format!("{}/api/v1/query", self.url);
        Ok(reqwest::Url::parse_with_params(&base, [("query", expression)])?.into())
    }

    /// Whether the query gives any series.
    async fn has_data(&self, expression: &str) -> Result<bool> {
        let answer =
            get(&self.query_url(expression)?).await.with_context(|| format!("refused: {expression}"))?;
        Ok(answer["data"]["result"].as_array().is_some_and(|series| !series.is_empty()))
    }

    async fn firing(&self) -> BTreeSet<String> {
        let answer = get(&format!("{}/api/v1/alerts", self.url)).await.unwrap_or_default();
        let alerts = answer["data"]["alerts"].as_array().cloned().unwrap_or_default();
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        firing.filter_map(|alert| Some(alert["labels"]["alertname"].as_str()?.to_owned())).collect()
    }

    async fn until_alerts(&self, what: &str, wanted: impl Fn(&BTreeSet<String>) -> bool) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if wanted(&self.firing().await) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        bail!("waited in vain for {what}; firing are {:?}", self.firing().await)
    }
}

/// Every query of the dashboard, with the interval filled in as Grafana does.
fn dashboard_queries() -> Result<Vec<String>> {
    let text = std::fs::read_to_string(deploy().join("grafana/dashboards/shopsmart.json"))?;
    let dashboard: Value = serde_json::from_str(&text)?;
    let panels = dashboard["panels"].as_array().context("panels")?;
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default());
    let queries: Option<Vec<String>> =
        targets.map(|target| Some(target["expr"].as_str()?.replace("$__rate_interval", "1m"))).collect();
    queries.context("a target without an expression")
}

async fn shop(installation: &Installation, round: u64) -> Result<()> {
    let ingest = format!("http://{}/events", installation.ingest);
    for (user, product) in [("ada", "kettle"), ("ada", "teapot"), ("bob", "kettle"), ("bob", "teapot")] {
        let user = format!("{user}{round}");
        let event =
            json!({ "event_type": "view", "user_id": user, "product_id": product, "category_id": "kitchen" });
        let (status, answer) = post(&ingest, &event, None).await?;
        ensure!(status == 202, "{status}: {answer}");
    }
    let serving = installation.serving;
    for path in [
        "recommendations?user_id=ada1",
        "products/kettle/similar",
        "trending?category_id=kitchen",
        "users/ada1/history",
    ] {
        ensure!(get(&format!("http://{serving}/{path}")).await.is_some(), "{path} is not answered");
    }
    Ok(())
}

#[tokio::test]
async fn a_provoked_lag_raises_the_alert_and_every_query_of_the_dashboard_has_data() -> Result<()> {
    if !have(&[&SERVERS[..], &[PROMETHEUS]].concat()) {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let redis = given("SHOPSMART_TEST_REDIS").expect("checked above");
    let proxy = Proxy::start(redis.trim_start_matches("redis://").trim_end_matches('/').to_owned()).await?;
    let unique = std::process::id();
    let names = format!("alerts{unique}");
    let generation = 2_000 + (unique % 1_000) as u16;
    let installation = Installation::new(scratch.path(), &names, &names, generation, Redis::Single)?;
    // The processor's Redis is behind the proxy; serving asks it directly.
    let config = std::fs::read_to_string(&installation.config)?;
    let mut behind =
        Installation::new(scratch.path(), &format!("{names}-slow"), &names, generation, Redis::Single)?;
    std::fs::write(&behind.config, config.replace(&redis, &format!("redis://{}", proxy.address)))?;
    behind.processor = installation.processor;
    let mut processor = behind.start_ready("stream-processor").await?;
    let mut ingest = installation.start_ready("ingest").await?;
    let mut serving = installation.start_ready("serving").await?;
    let prometheus = Prometheus::start(&installation, scratch.path()).await?;

    let mut empty: BTreeSet<String> = dashboard_queries()?.into_iter().collect();
    ensure!(empty.len() > 30, "only {} queries", empty.len());
    let begun = Instant::now();
    let mut round = 1;
    while !empty.is_empty() {
        ensure!(begun.elapsed() < PATIENCE, "no data for {empty:#?}");
        shop(&installation, round).await?;
        round += 1;
        for query in empty.clone() {
            if prometheus.has_data(&query).await? {
                empty.remove(&query);
            }
        }
    }
    let lag_is_low = |firing: &BTreeSet<String>| !firing.contains("ProcessorLag");
    ensure!(lag_is_low(&prometheus.firing().await), "nothing waits yet");

    proxy.silence();
    shop(&installation, round).await?;
    prometheus.until_alerts("the lag to raise its alert", |firing| firing.contains("ProcessorLag")).await?;
    proxy.resume();
    prometheus.until_alerts("the alert to go again", lag_is_low).await?;
    until("the lag to be gone", &format!("http://{}/admin/lag", installation.processor), |report| {
        (report["lag_records"] == 0 && report["lag_ms"] == 0).then_some(())
    })
    .await?;
    for program in [&mut serving, &mut ingest, &mut processor] {
        program.stop()?;
    }
    prometheus.until_alerts("gone services to be noticed", |firing| firing.contains("ServiceDown")).await
}
