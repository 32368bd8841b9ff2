use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use super::interrupt::{INTERRUPTED, ctrl_c};
use crate::replay::{self, Ending, ReplayOptions, Speed, state_file};

const REJECTED: u8 = 2;

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// The event file (.csv or .csv.gz)
    file: PathBuf,
    /// The server, e.g. http://127.0.0.1:8080
    #[arg(long, value_name = "URL")]
    to: String,
    /// Admin key, where the server has keys
    #[arg(long, value_name = "K", env = "SHOPSMART_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// How many times as fast as it happened (1 = as it happened), or `max`: as fast as the server takes it
    #[arg(long, value_name = "N|max", default_value = "max", value_parser = speed)]
    speed: Speed,
    /// Requests in flight at most; never more than one for a user
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    concurrency: u8,
    /// Give up when the server has taken nothing for so long
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    give_up_after: u64,
    /// Where to remember what is done of the file [default: a file under ~/.local/state/shopsmart]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Forget what earlier runs have done and send everything, also when the whole file was sent
    #[arg(long)]
    from_start: bool,
    /// Write all rejected rows to this CSV file, with the reasons
    #[arg(long, value_name = "FILE")]
    rejected: Option<PathBuf>,
    /// Folder for what programs remember, as the XDG base directories say
    #[arg(long, env = "XDG_STATE_HOME", hide = true)]
    state_home: Option<PathBuf>,
}

pub(super) async fn run(args: ReplayArgs) -> Result<ExitCode> {
    let state = match args.state {
        Some(file) => file,
        None => default_state(args.state_home, &args.file, &args.to)?,
    };
    let options = ReplayOptions {
        file: args.file,
        to: args.to,
        api_key: args.api_key,
        speed: args.speed,
        lanes: args.concurrency.into(),
        give_up_after: Duration::from_secs(args.give_up_after),
        state: Some(state.clone()),
        from_start: args.from_start,
        rejected: args.rejected,
        progress: true,
    };
    let report = replay::run(options, ctrl_c()).await?;
    println!("{report}");
    match report.ending {
        Ending::SentBefore => println!("That it was sent is noted in {}.", state.display()),
        Ending::Interrupted | Ending::Failed(_) if state.exists() => {
            println!("The same command goes on from here (noted in {}).", state.display());
        }
        _ => {}
    }
    Ok(match report.ending {
        // The rows that an earlier run saw rejected are so still.
        Ending::Complete | Ending::SentBefore if report.totals.rejected > 0 => ExitCode::from(REJECTED),
        Ending::Complete | Ending::SentBefore => ExitCode::SUCCESS,
        Ending::Interrupted => ExitCode::from(INTERRUPTED),
        Ending::Failed(_) => ExitCode::FAILURE,
    })
}

fn default_state(state_home: Option<PathBuf>, file: &Path, to: &str) -> Result<PathBuf> {
    // A relative path there is to be ignored, says the specification.
    let home = state_home.filter(|home| home.is_absolute());
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".local/state")));
    let dir = home.context("there is no home directory to remember the progress in: give --state FILE")?;
    Ok(state_file(&dir.join("shopsmart"), file, to)?)
}

fn speed(text: &str) -> Result<Speed, String> {
    match text.parse::<f64>() {
        _ if text == "max" => Ok(Speed::Max),
        Ok(times) if times.is_finite() && times > 0.0 => Ok(Speed::Times(times)),
        _ => Err("expected a number above 0, or max".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_is_a_positive_factor_or_max() {
        assert_eq!(speed("max"), Ok(Speed::Max));
        assert_eq!(speed("2.5"), Ok(Speed::Times(2.5)));
        for wrong in ["0", "-1", "fast", "inf", "NaN", ""] {
            assert!(speed(wrong).is_err(), "{wrong}");
        }
    }
}
