//! What has to be there before the processor begins.

use crate::config::ProcessorConfig;
use crate::context::Parts;
use crate::topology::{Processor, ProcessorError};
use event_log::LogError;
use std::time::Duration;
use stores::StoreError;

/// Waits for the stores and for the log, says what is missing meanwhile, and prepares a processor.
///
/// # Errors
/// When one of them answers but cannot be used.
pub async fn prepare(parts: Parts, config: ProcessorConfig) -> Result<Processor, ProcessorError> {
    wait_for_stores(&parts).await.map_err(|error| ProcessorError::Refused(error.to_string()))?;
    let processor = loop {
        match Processor::prepare(parts.clone(), config.clone()).await {
            Err(ProcessorError::Log(error @ LogError::Unavailable { .. })) => {
                tracing::warn!(%error, "waiting for the log");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            prepared => break prepared?,
        }
    };
    for warning in parts.log.durability_warnings(std::slice::from_ref(&parts.topics.events)).await {
        tracing::warn!("{warning}");
    }
    Ok(processor)
}

/// Waits until both stores answer, says what is missing meanwhile, and brings the schema up to date.
///
/// # Errors
/// When a store answers but cannot be used.
async fn wait_for_stores(parts: &Parts) -> Result<(), StoreError> {
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
