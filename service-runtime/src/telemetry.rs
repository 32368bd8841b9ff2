//! Logs and metrics of the process. Both are global, so both are set up once and tolerate being asked again, as tests
//! and the all-in-one program do.

mod exposition;
mod series;
mod sparing;
pub mod traces;

use std::io::IsTerminal;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics::{describe_counter, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

pub use self::exposition::{Exposition, Family, Kind};
pub use self::series::Series;
use self::sparing::Sparing;
pub use self::traces::init_traces;
use crate::config::{LogConfig, LogFormat};

/// Bounds of every histogram whose name ends in `_seconds`. They begin below the fastest answer measured (0.1 ms) and
/// end beyond every timeout.
const SECONDS: [f64; 14] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Bounds of the other histograms: sizes and counts.
const SIZES: [f64; 10] = [1.0, 4.0, 16.0, 64.0, 256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 1_048_576.0];

/// How often histograms fold their samples, so that memory stays bounded when nobody scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// Sends logs to standard error as the configuration says. Does nothing when a subscriber is already set.
/// What a library repeats is mostly left out.
/// An invalid filter falls back to `info`; [`LogConfig::validate`] refuses it beforehand.
pub fn init_tracing(config: &LogConfig) {
    let filter = EnvFilter::try_new(&config.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // On a terminal colours are on unless `NO_COLOR` says otherwise.
    let lines = if std::io::stderr().is_terminal() { lines } else { lines.with_ansi(false) };
    let lines = match config.format {
        LogFormat::Pretty => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(Sparing::default())).with(filter);
    // The only error is that another subscriber is set already, which is what is wanted then.
    let _ = subscriber.try_init();
}

/// The process's metrics, for rendering. Cheap to clone.
#[derive(Clone)]
pub struct MetricsHandle {
    recorded: PrometheusHandle,
    collectors: Vec<Collector>,
}

/// Adds figures that are read when somebody asks.
type Collector = Arc<dyn Fn(&mut Exposition) + Send + Sync>;

impl MetricsHandle {
    /// A handle that renders what `collector` adds, too. For figures of things that come and go, like partitions: what
    /// is gone is in no answer, while a recorded series would stay for ever.
    #[must_use]
    pub fn with(mut self, collector: impl Fn(&mut Exposition) + Send + Sync + 'static) -> Self {
        self.collectors.push(Arc::new(collector));
        self
    }

    /// All metrics in the Prometheus text format.
    pub fn render(&self) -> String {
        let mut exposition = Exposition::after(self.recorded.render());
        self.collectors.iter().for_each(|collect| collect(&mut exposition));
        exposition.into_text()
    }
}

/// Tells what the metrics of HTTP servers mean.
pub fn describe_metrics() {
    describe_counter!(
        HTTP_REQUESTS,
        "HTTP requests by `service`, `route`, `method` and `status`. Alert when the share of `5xx` stays above 1 % for 5 \
         minutes"
    );
    describe_counter!(
        LEFT_OUT,
        "Messages of a library that were not logged, because it said the same again and again, by `target`, the place in the \
         library. No alert: what was the matter is in the log, and in the alerts on servers that are away"
    );
    describe_histogram!(
        HTTP_SECONDS,
        "Time to the head of an HTTP answer by `service`, `route`, `method` and `status`. Alert when the 99th percentile \
         of what shoppers wait for stays above 100 ms for 5 minutes"
    );
}

/// HTTP requests by service, route, method and status.
pub(crate) const HTTP_REQUESTS: &str = "http_requests_total";
/// Their time.
pub(crate) const HTTP_SECONDS: &str = "http_request_duration_seconds";
/// Messages of libraries that were left out of the log.
const LEFT_OUT: &str = "log_messages_left_out_total";

impl std::fmt::Debug for MetricsHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MetricsHandle")
    }
}

/// Installs the Prometheus recorder for the `metrics` macros, once per process; later calls return the same handle.
/// Metrics recorded before the first call are lost, so call it first.
///
/// # Panics
/// If another library has installed a recorder of its own: its metrics and ours would be split.
pub fn install_metrics() -> MetricsHandle {
    static HANDLE: OnceLock<MetricsHandle> = OnceLock::new();
    let made = || MetricsHandle { recorded: build(), collectors: Vec::new() };
    HANDLE.get_or_init(made).clone()
}

fn build() -> PrometheusHandle {
    let recorder = PrometheusBuilder::new()
        .set_buckets(&SIZES)
        .and_then(|b| b.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS))
        .expect("the bucket lists are not empty")
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).expect("no other metrics recorder in this process");
    describe_metrics();
    // A thread, not a task: it has to outlive the runtime that happened to come first.
    let upkeep = handle.clone();
    std::thread::Builder::new()
        .name("metrics-upkeep".to_owned())
        .spawn(move || {
            loop {
                std::thread::sleep(UPKEEP);
                upkeep.run_upkeep();
            }
        })
        .expect("a thread can be started at start-up");
    handle
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_installed_once_and_render_in_seconds() {
        let first = install_metrics();
        let second = install_metrics();
        metrics::counter!("telemetry_test_total", "kind" => "a").increment(2);
        metrics::histogram!("telemetry_test_seconds").record(0.003);
        for handle in [first, second] {
            let text = handle.render();
            assert!(text.contains("telemetry_test_total{kind=\"a\"} 2"), "{text}");
            assert!(text.contains("telemetry_test_seconds_bucket{le=\"0.0025\"} 0"), "{text}");
            assert!(text.contains("telemetry_test_seconds_bucket{le=\"0.005\"} 1"), "{text}");
        }
    }

    #[test]
    fn tracing_may_be_initialised_twice() {
        init_tracing(&LogConfig::default());
        init_tracing(&LogConfig { format: LogFormat::Json, ..LogConfig::default() });
    }
}
