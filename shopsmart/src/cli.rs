//! What people type: the commands, their options, and the exit codes.

mod dead_letters;
mod demo;
mod dev;
mod evaluate;
mod generations;
mod interrupt;
mod lag;
mod replay;
mod server;
mod simulate;
mod target;
mod topics;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{rebuild, state};

/// Exit code when a command or option is not understood (`EX_USAGE` of `sysexits.h`): 2, which is usual, says of several
/// commands that something is behind or was rejected, and a script must not take a typing error for that.
pub const MISUSED: u8 = 64;

/// Real-time recommendations for shops
///
/// Exit code 64 = a command or option is not understood; the others stand in the help of each command.
#[derive(Debug, Parser)]
#[command(name = "shopsmart", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch it work: everything in this process, with a simulated shop and its shoppers
    ///
    /// Starts all services on a temporary folder, fills the catalog, and lets shoppers come through the HTTP API. A
    /// panel shows events, lag, how soon an event shows, what trends, and what is recommended to some of the shoppers.
    Demo(demo::DemoArgs),
    /// Run everything in this process on a folder, with nothing to install
    ///
    /// Ingest, stream processor and serving on one port, with an embedded log and store. What was acknowledged
    /// survives a crash: started again on the same folder, it goes on where it was.
    Dev(dev::DevArgs),
    /// Send an event file to a running server
    ///
    /// The file is CSV, plain or gzip, with the columns timestamp_ms, user_id, item_id, event_type and category_id
    /// (empty where unknown), sorted by time. It is sent as an import: old events are taken, and where the server has
    /// keys, an admin key is needed. Each user's events arrive in the file's order.
    ///
    /// Old events are for a fresh folder, or empty topics: an event more than 30 days behind the newest one of its
    /// partition is too late and not applied, so events of today keep out those of last year. Where the server says what it
    /// has (`dev` does), this is warned of, and in the end you see how many were applied, duplicate or too late.
    ///
    /// A replay that was interrupted, or whose server was away for too long, goes on where it was when the same command is
    /// given again. A file that was sent completely is not sent again without --from-start. Event ids are made of row and
    /// content, so a row that is sent twice counts once as long as it is among the last 1,024 events of its user.
    ///
    /// Exit code: 0 = every row was taken, by this run or earlier ones, 2 = some rows were rejected, 1 = it could not be
    /// done, 130 = interrupted. Rows that were taken and turn out too late do not change it.
    Replay(replay::ReplayArgs),
    /// Write an event file of simulated shoppers, for `replay`
    ///
    /// A shop that does not exist: shoppers have tastes, return to what they saw, fill carts and buy; some products
    /// are far more popular than others, and halfway one is launched that becomes hot.
    Simulate(simulate::SimulateArgs),
    /// Measure what the recommendations are worth on a log of real shoppers, beside published methods
    ///
    /// The folder holds sessions.csv (session_id,pos,item_id,split,timestamp_s) or events.csv (timestamp_ms,user_id,item_id,
    /// event_type,category_id), plain or gzip. Nothing needs to run: the algorithm of the services works in this process.
    /// Prints hit rate and mean reciprocal rank at 20, and how sure the differences are.
    Evaluate(evaluate::EvaluateArgs),
    /// Show how far the processor is behind, for each partition
    ///
    /// Partitions of other copies are shown as these last said; ask any copy.
    ///
    /// Exit code: 0 = not behind, 2 = behind the limits given, or work on a partition stands still, 1 = it could not be
    /// asked.
    Lag(lag::LagArgs),
    /// Look at records that could not be applied, and give them to the pipeline again
    #[command(subcommand)]
    DeadLetters(dead_letters::DeadLettersCommand),
    /// Create or show the topics in Kafka
    #[command(subcommand)]
    Topics(topics::TopicsCommand),
    /// Fill Redis from the state store
    ///
    /// The processor does this by itself when Redis has lost its data; this is for doing it at once.
    Rebuild(target::TargetArgs),
    /// Build a new generation of everything that is derived from the log, beside the live one
    ///
    /// For when the processor's code or the partition counts change what events lead to. Works as a stream processor
    /// until it has caught up with the live generation, and says what to do next. Serving goes on answering from the live
    /// one until `promote`. Interrupted, the same command goes on where it was.
    ///
    /// Begun later than at the log's beginning, a generation knows nothing of what was before: histories, windows and
    /// counts begin there, and repeats of earlier events are not recognised.
    ///
    /// Exit code: 0 = it has caught up, or was stopped in order, 1 = it could not be done.
    ReplayLog(generations::ReplayLogArgs),
    /// List the generations: how far each is, and which one is live
    Generations(generations::ListArgs),
    /// Let serving answer from another generation, in one step
    ///
    /// Refused while that one is behind the live one, incomplete in Redis, or nobody works on it. Serving reads what it
    /// needs of it before it changes over, so no answer is empty meanwhile.
    ///
    /// Exit code: 0 = it is live, 1 = it was refused or could not be done.
    Promote(generations::PromoteArgs),
    /// Let serving answer from the generation that was live before
    ///
    /// Exit code: 0 = it is live again, 1 = it was refused or could not be done.
    Rollback(generations::RollbackArgs),
    /// Prove the state that the processor has built
    #[command(subcommand)]
    State(StateCommand),
}

#[derive(Debug, Subcommand)]
enum StateCommand {
    /// Print a hash of histories, windows, counts and outcomes
    ///
    /// Two runs over the same events, with equal partition counts, have the same digest, whatever crashes and
    /// duplicates happened on the way. Prints `exact=<hash> users=<n> products=<n>`.
    Digest(target::TargetArgs),
    /// Fold the log again from its start and compare with the stored state, byte for byte
    ///
    /// Exit code: 0 = equal, 1 = different (it says where), 3 = cannot be proven: the log's start is gone.
    Verify(target::TargetArgs),
}

/// Does what was asked for.
///
/// # Errors
/// Whatever kept the command from being done; exit code 1.
pub async fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Demo(args) => demo::run(args).await,
        Command::Dev(args) => dev::run(args).await,
        Command::Replay(args) => replay::run(args).await,
        Command::Simulate(args) => simulate::run(args),
        Command::Evaluate(args) => evaluate::run(args).await,
        Command::Lag(args) => lag::run(args).await,
        Command::DeadLetters(command) => dead_letters::run(command).await,
        Command::Topics(command) => topics::run(command).await,
        Command::Rebuild(args) => rebuild::run(&args.into()).await.map(|()| ExitCode::SUCCESS),
        Command::ReplayLog(args) => generations::replay_log(args).await,
        Command::Generations(args) => generations::list(args).await,
        Command::Promote(args) => generations::promote(args).await,
        Command::Rollback(args) => generations::rollback(args).await,
        Command::State(StateCommand::Digest(args)) => state::digest(&args.into()).await,
        Command::State(StateCommand::Verify(args)) => state::verify(&args.into()).await,
    }
}
