//! Which installation a command works on.

use std::path::PathBuf;

/// An installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The embedded parts in this folder, as `shopsmart dev` uses it.
    Data(PathBuf),
    /// The servers that this configuration file names; the defaults and the environment alone when absent.
    Config(Option<PathBuf>),
}
