use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::server::ServerArgs;
use crate::dead_letters::{self, Place, Wanted};

#[derive(Debug, Subcommand)]
pub(super) enum DeadLettersCommand {
    /// List them, the newest first, a page at a time
    List(ListArgs),
    /// Show one whole, with its payload
    ///
    /// Exit code: 0 = shown, 1 = there is no such letter, or the server does not answer.
    Show(ShowArgs),
    /// Append their records to the log again
    ///
    /// For when what was wrong has been mended, say by a newer processor that knows the kind of event. The letters stay,
    /// marked; one that is marked is not appended again, so the same command may be repeated. Needs an admin key where
    /// the server has keys.
    ///
    /// Exit code: 0 = all are redriven, 2 = some are not known or could not be (it says which), 1 = it could not be done.
    Redrive(RedriveArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Only those of this reason: undecodable, bad_key, incomplete or bad_time
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Only older ones: go on where a page before ended, with what it printed (`next` in JSON)
    #[arg(long, value_name = "PLACE")]
    before: Option<String>,
    /// Print what the server answers, as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Which one, as `list` names it
    #[arg(value_name = "PARTITION/OFFSET")]
    letter: Place,
}

#[derive(Debug, Args)]
pub(super) struct RedriveArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Which ones, as `list` names them
    #[arg(value_name = "PARTITION/OFFSET", required = true)]
    letters: Vec<Place>,
}

pub(super) async fn run(command: DeadLettersCommand) -> Result<ExitCode> {
    match command {
        DeadLettersCommand::List(args) => {
            let client = args.server.client()?;
            let (reason, before) = (args.reason.as_deref(), args.before.as_deref());
            let wanted = Wanted { limit: args.limit, reason, before };
            dead_letters::list(&client, wanted, args.json).await?;
            Ok(ExitCode::SUCCESS)
        }
        DeadLettersCommand::Show(args) => {
            dead_letters::show(&args.server.client()?, args.letter).await?;
            Ok(ExitCode::SUCCESS)
        }
        DeadLettersCommand::Redrive(args) => {
            dead_letters::redrive(&args.server.client()?, &args.letters).await
        }
    }
}
