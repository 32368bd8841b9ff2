//! Fills the serving store from the state store.

use crate::target::Target;

/// Republishes everything.
///
/// # Errors
/// When a store cannot be reached.
pub async fn run(target: &Target) -> anyhow::Result<()> {
    anyhow::bail!("not built yet: {target:?}")
}
