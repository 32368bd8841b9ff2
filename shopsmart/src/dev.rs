//! All three services in one process on embedded parts.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

/// Where and how to run.
#[derive(Debug, Clone)]
pub struct DevOptions {
    /// Address and port; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Folder of the log and the state; made when absent.
    pub data: PathBuf,
    /// Partitions of the topics, when they are created.
    pub partitions: u32,
}

/// The running services.
#[derive(Debug)]
pub struct Dev {
    /// The address they listen on.
    pub addr: SocketAddr,
}

/// Starts the services; they run until `stop`.
///
/// # Errors
/// When they cannot be started.
pub async fn start(options: DevOptions, _stop: CancellationToken) -> anyhow::Result<Dev> {
    anyhow::bail!("not built yet: {options:?}")
}

impl Dev {
    /// Waits until the services have stopped.
    ///
    /// # Errors
    /// When one of them failed.
    pub async fn wait(self) -> anyhow::Result<()> {
        Ok(())
    }
}
