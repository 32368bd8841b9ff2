use std::path::PathBuf;

use clap::Args;

use crate::target::Target;

/// Which installation to work on: the servers of a configuration file, or a folder of `shopsmart dev`.
#[derive(Debug, Args)]
pub(super) struct TargetArgs {
    /// Configuration file (TOML) that names the servers; without it, the defaults and SHOPSMART__… variables count
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    config: Option<PathBuf>,
    /// Folder of `shopsmart dev`, which must not be running on it
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl From<TargetArgs> for Target {
    fn from(args: TargetArgs) -> Self {
        match args.data {
            Some(data) => Self::Data(data),
            None => Self::Config(args.config),
        }
    }
}
