use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::interrupt::ctrl_c;
use super::server::ServerArgs;
use crate::lag::{self, Limits, Show};

#[derive(Debug, Args)]
pub(super) struct LagArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Show it again every second, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Print what the server answers, as one line of JSON
    #[arg(long)]
    json: bool,
    /// Behind means: a record has waited for longer than this
    #[arg(long, value_name = "N")]
    max_seconds: Option<f64>,
    /// Behind means: more records wait than this
    #[arg(long, value_name = "N")]
    max_records: Option<u64>,
}

pub(super) async fn run(args: LagArgs) -> Result<ExitCode> {
    let limits = Limits { seconds: args.max_seconds, records: args.max_records };
    let show = if args.json { Show::Json } else { Show::Table };
    let client = args.server.client()?;
    if args.watch {
        lag::watch(&client, show, &ctrl_c()).await.map(|()| ExitCode::SUCCESS)
    } else {
        lag::once(&client, show, limits).await
    }
}
