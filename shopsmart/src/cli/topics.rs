use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::target::Settings;
use crate::topics;

#[derive(Debug, Subcommand)]
pub(super) enum TopicsCommand {
    /// Create the topics that are missing
    ///
    /// With the partition counts of the configuration (processor.events_partitions, processor.activity_partitions)
    /// and the broker's default replication. The stream processor does the same at its start, where it may.
    Create(TopicsArgs),
    /// Show the topics, their partitions and how many records they hold
    ///
    /// Exit code: 0 = all are there, 1 = some are missing, or Kafka does not answer.
    List(TopicsArgs),
}

#[derive(Debug, Args)]
pub(super) struct TopicsArgs {
    /// Configuration file (TOML); without it, the defaults and SHOPSMART__… variables count
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) async fn run(command: TopicsCommand) -> Result<ExitCode> {
    match command {
        TopicsCommand::Create(args) => topics::create(&Settings::load(args.config.as_deref())?).await,
        TopicsCommand::List(args) => topics::list(&Settings::load(args.config.as_deref())?).await,
    }
}
