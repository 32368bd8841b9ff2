use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use service_runtime::config::LogConfig;
use service_runtime::telemetry;
use stream_processor::generations::From;

use super::interrupt::ctrl_c;
use super::target::TargetArgs;
use crate::generations::{self, Build, parse_from};

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Print everything as one line of JSON, with each partition
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct PromoteArgs {
    /// Which generation
    #[arg(value_name = "GENERATION", value_parser = clap::value_parser!(u16).range(1..=8191))]
    generation: u16,
    #[command(flatten)]
    target: TargetArgs,
    /// Also when it is behind, incomplete, or nobody works on it
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Also when it is incomplete
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub(super) struct ReplayLogArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Where to begin: `beginning` (the default), an offset of every partition, or a time like 2026-11-01T00:00:00Z
    #[arg(long, value_name = "TIME|OFFSET", value_parser = parse_from)]
    from: Option<From>,
    /// Which generation to build; by default a new one, or the one that was begun and was never live
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=8191))]
    generation: Option<u16>,
    /// Go on until Ctrl-C, instead of ending once it has caught up
    #[arg(long)]
    follow: bool,
}

pub(super) async fn list(args: ListArgs) -> Result<ExitCode> {
    generations::list(&args.target.into(), args.json).await
}

pub(super) async fn promote(args: PromoteArgs) -> Result<ExitCode> {
    generations::promote(&args.target.into(), args.generation, args.force).await
}

pub(super) async fn rollback(args: RollbackArgs) -> Result<ExitCode> {
    generations::rollback(&args.target.into(), args.force).await
}

pub(super) async fn replay_log(args: ReplayLogArgs) -> Result<ExitCode> {
    // Progress is printed; what is wrong is logged.
    telemetry::init_tracing(&LogConfig { filter: "warn".to_owned(), ..LogConfig::default() });
    let ReplayLogArgs { target, from, generation, follow } = args;
    generations::replay_log(&target.into(), Build { from, generation, follow }, ctrl_c()).await
}
