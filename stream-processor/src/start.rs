//! What has to be there before the processor begins.

use crate::context::Parts;
use std::time::Duration;
use stores::StoreError;

/// Waits until both stores answer, says what is missing meanwhile, and brings the schema up to date.
///
/// # Errors
/// When a store answers but cannot be used.
pub async fn wait_for_stores(parts: &Parts) -> Result<(), StoreError> {
    loop {
        match parts.state.migrate().await {
            Ok(()) => break,
            Err(error @ StoreError::Unusable { .. }) => return Err(error),
            Err(error) => tracing::warn!(%error, "waiting for the state store"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // Without the serving store there is still work to do: it is filled once it answers.
    match parts.serving.check().await {
        Ok(warnings) => warnings.iter().for_each(|warning| tracing::warn!("{warning}")),
        Err(error) => tracing::warn!(%error, "starting without the serving store"),
    }
    Ok(())
}
