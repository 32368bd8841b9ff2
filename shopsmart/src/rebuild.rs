//! Fills the serving store from the state store.

use anyhow::{Result, bail};
use stream_processor::ProcessorConfig;
use tokio_util::sync::CancellationToken;

use crate::target::Target;

/// Republishes everything.
///
/// # Errors
/// When a store cannot be reached.
pub async fn run(target: &Target) -> Result<()> {
    if let Target::Data(_) = target {
        bail!(
            "the embedded serving store is in memory and fills itself at every start; `rebuild` is for Redis"
        );
    }
    let (parts, generation) = target.open().await?;
    let token = CancellationToken::new();
    let catalog = catalog::follow(
        parts.log.clone(),
        parts.topics.products.clone(),
        parts.catalog.clone(),
        token.clone(),
    );
    let config = ProcessorConfig { generation, ..ProcessorConfig::default() };
    let work = async {
        parts.catalog.loaded().await;
        let filled = stream_processor::rebuild(parts.clone(), config).await;
        token.cancel();
        filled
    };
    let (filled, ()) = tokio::join!(work, catalog);
    let filled = filled?;
    println!(
        "filled: {} users, {} products, {} trending lists and tables",
        filled.users, filled.products, filled.lists
    );
    Ok(())
}
