//! The `xtask` program: see the library for what it does.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Error, Result, bail};
use clap::{Parser, Subcommand};
use xtask::services::{self, Lifetime, Options, Services};
use xtask::steps::{self, StepFailed};
use xtask::test::{self, Selection};
use xtask::workspace::Workspace;
use xtask::{bench, fuzz, instructions, interrupt};

/// What people type to test and to run ShopSmart's surroundings.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
enum Task {
    /// Lint, build, start real servers, run every test, stop the servers
    Test {
        /// Leave the real servers out; tests that need one skip (or fail where CI is set)
        #[arg(long)]
        no_services: bool,
        /// Only the tests of this package (repeatable)
        #[arg(short, long = "package", value_name = "PACKAGE")]
        packages: Vec<String>,
        /// Only tests whose name contains one of these
        #[arg(value_name = "FILTER")]
        filters: Vec<String>,
    },
    /// Check formatting, clippy, the rules of the architecture, and licences and sources of dependencies
    Lint,
    /// Run the stream processor under simulated faults, or replay one schedule of it
    #[command(disable_help_flag = true)]
    Simulate {
        /// `--seeds N`, `--from SEED`, `--seed SEED`, `--broken RULE`; see `--help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measure speed beside the bare parts, in release builds and on real servers
    #[command(disable_help_flag = true)]
    Bench {
        /// What to measure, and how; see `--help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Count the instructions of the hot paths, and compare with what is committed
    Instructions {
        /// Commit what is counted
        #[arg(long, conflicts_with = "paths")]
        write: bool,
        /// Only these paths
        #[arg(value_name = "PATH")]
        paths: Vec<String>,
    },
    /// Feed what reads input from outside with damaged input, and see whether it breaks
    Fuzz {
        /// Only this target, by the name of its file in `fuzz/fuzz_targets`
        target: Option<String>,
        /// How long each target runs
        #[arg(long, default_value_t = 60, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        seconds: u32,
        /// Run the target on this input only, say one that was found before
        #[arg(long, value_name = "FILE", requires = "target")]
        input: Option<PathBuf>,
    },
    /// Break real servers and programs under load, and account for every event
    #[command(disable_help_flag = true)]
    Faults {
        /// `NAME …`, `--list`, `--rate N`, `--seconds N`, `--outage N`, `--json FILE`, `--release`; see `--help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Real Kafka, Redis, Redis Cluster and Cassandra in the background
    #[command(subcommand)]
    Services(Action),
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Action {
    /// Start them and print the variables that tests want
    Up,
    /// Stop them and remove their data
    Down,
    /// Say which of them answer
    Status,
    /// Print the variables again
    Env,
}

fn main() -> ExitCode {
    match run(Task::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            exit_code(&error)
        }
    }
}

/// That of the command that failed, as if it had been called directly.
fn exit_code(error: &Error) -> ExitCode {
    let code = error.downcast_ref().and_then(StepFailed::code);
    code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn run(task: Task) -> Result<()> {
    interrupt::install()?;
    let workspace = Workspace::find()?;
    match task {
        Task::Test { no_services, packages, filters } => {
            test::test(&workspace, &Selection { no_services, packages, filters })
        }
        Task::Lint => test::lint(&workspace),
        Task::Simulate { arguments } => test::simulate(&workspace, &arguments),
        Task::Fuzz { target, seconds, input } => {
            // The targets run where they like.
            let input = input.map(std::path::absolute).transpose()?;
            fuzz::fuzz(&workspace, &fuzz::Selection { target, seconds, input })
        }
        Task::Instructions { write, paths } => {
            instructions::check(&workspace, &instructions::Selection { write, paths })
        }
        Task::Bench { arguments } => bench::bench(&workspace, &arguments),
        Task::Faults { arguments } => test::faults(&workspace, &arguments),
        Task::Services(action) => manage_services(&workspace, action),
    }
}

fn manage_services(workspace: &Workspace, action: Action) -> Result<()> {
    let directory = workspace.services_dir();
    let running = match action {
        Action::Up => services::living_background(&directory)?,
        Action::Down | Action::Status | Action::Env => services::background(&directory)?,
    };
    match (action, running) {
        (Action::Up, None) => {
            let options = Options { lifetime: Lifetime::Background, ..Options::private(directory.clone()) };
            steps::timed("start the servers", || Services::start(&options))?.leave();
            print_environment(services::background(&directory)?)
        }
        (Action::Env, Some(running)) if !running.dead().is_empty() => {
            bail!("the servers in the background are dead; `cargo xtask services up` starts them anew")
        }
        (Action::Up | Action::Env, running) => print_environment(running),
        (Action::Down, Some(running)) => steps::timed("stop the servers", || running.down()),
        (Action::Down, None) => Ok(()),
        (Action::Status, None) => bail!("no servers in the background"),
        (Action::Status, Some(running)) => {
            for (part, answers) in running.status() {
                println!("{part}: {}", if answers { "answers" } else { "silent" });
            }
            println!("data and logs: {}", running.directory().display());
            Ok(())
        }
    }
}

fn print_environment(running: Option<services::BackgroundRun>) -> Result<()> {
    let Some(running) = running else {
        bail!("no servers in the background; `cargo xtask services up` starts them")
    };
    print!("{}", running.exports()?);
    Ok(())
}
