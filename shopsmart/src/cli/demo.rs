use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use jiff::SignedDuration;
use service_runtime::config::LogConfig;
use service_runtime::telemetry;

use super::interrupt::ctrl_c;
use crate::demo::{self, DemoOptions};

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// How long shoppers come, e.g. 60s or 5m; 0 = until Ctrl-C
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    duration: Duration,
    /// Events a second, on average
    #[arg(long, value_name = "N", default_value = "200", value_parser = rate)]
    rate: f64,
    /// Address and port to listen on; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Folder for the log and the state, kept afterwards [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Equal seeds make equal shops
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
}

pub(super) async fn run(args: DemoArgs) -> Result<ExitCode> {
    let DemoArgs { duration, rate, listen, data, seed } = args;
    // The panel has the screen. The database's table files warn when their temporary folder goes before them.
    telemetry::init_tracing(&LogConfig { filter: "warn,lsm_tree=error".to_owned(), ..LogConfig::default() });
    let duration = (!duration.is_zero()).then_some(duration);
    let summary = demo::run(DemoOptions { listen, data, duration, rate, seed }, ctrl_c()).await?;
    println!("{summary}");
    // Ctrl-C is the way to end it, not a failure.
    Ok(ExitCode::SUCCESS)
}

/// `60s`, `5m`, or a number of seconds.
fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let time = text.parse::<SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
    time.ok_or_else(|| "expected a time like 60s, 5m or 1h".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| (0.1..=100_000.0).contains(rate));
    rate.ok_or_else(|| "expected a number from 0.1 to 100000".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_times_or_seconds() {
        assert_eq!(duration("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        assert!(duration("-5s").is_err() && duration("soon").is_err());
    }

    #[test]
    fn rates_are_positive() {
        assert_eq!(rate("0.5"), Ok(0.5));
        assert!(rate("0").is_err() && rate("NaN").is_err() && rate("1e9").is_err());
    }
}
