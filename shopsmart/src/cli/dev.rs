use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use service_runtime::config::LogConfig;
use service_runtime::telemetry;

use super::interrupt::ctrl_c;
use crate::dev::{self, DevOptions};

#[derive(Debug, Args)]
pub(super) struct DevArgs {
    /// Address and port to listen on; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Folder for the log and the state; made when absent
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Partitions of the topics, 4 by default; fixed when the folder is first used
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    partitions: Option<u32>,
}

pub(super) async fn run(args: DevArgs) -> Result<ExitCode> {
    let DevArgs { listen, data, partitions } = args;
    telemetry::init_tracing(&LogConfig::default());
    let dev = dev::start(DevOptions { listen, data, partitions }, ctrl_c()).await?;
    eprintln!("ShopSmart listens on http://{} (API at /docs, operations at /ops); Ctrl-C ends it.", dev.addr);
    dev.wait().await?;
    Ok(ExitCode::SUCCESS)
}
