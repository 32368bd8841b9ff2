//! Proofs of the state.

use std::process::ExitCode;

use anyhow::Result;
use stream_processor::Parts;
use stream_processor::state::{self, Unstored, VerifyError};

use crate::target::Target;

/// Exit code when the state cannot be proven, because the log's start is gone.
const CANNOT_PROVE: u8 = 3;

/// Prints the digest.
///
/// # Errors
/// When the state cannot be read.
pub async fn digest(target: &Target) -> Result<ExitCode> {
    let (parts, generation) = target.open().await?;
    let digest = state::digest(&*parts.state, generation).await?;
    println!("{digest}");
    warn_of_unstored(&parts, generation).await?;
    Ok(ExitCode::SUCCESS)
}

/// Says what of the log is not in the stored state: two digests of which one lacks something differ, and what is not stored
/// yet was not compared with anything.
async fn warn_of_unstored(parts: &Parts, generation: u16) -> Result<()> {
    let Unstored { events, updates } = state::unstored(parts, generation).await?;
    if events > 0 || updates > 0 {
        eprintln!(
            "warning: {events} events and {updates} updates of the log are not in the stored state: it was stopped before they \
             were; start the processor (or `shopsmart dev`) and stop it in order to have them stored"
        );
    }
    Ok(())
}

/// Folds the log again and compares.
///
/// # Errors
/// When the state or the log cannot be read.
pub async fn verify(target: &Target) -> Result<ExitCode> {
    let (parts, generation) = target.open().await?;
    let result = match state::verify(&parts, generation).await {
        Ok(result) => result,
        Err(error @ VerifyError::CannotProve(_)) => {
            eprintln!("{error}");
            return Ok(ExitCode::from(CANNOT_PROVE));
        }
        Err(error) => return Err(error.into()),
    };
    println!(
        "folded {} events and {} updates; compared {} user rows and {} product rows",
        result.events, result.updates, result.users, result.products
    );
    warn_of_unstored(&parts, generation).await?;
    if result.differing == 0 {
        println!("equal");
        return Ok(ExitCode::SUCCESS);
    }
    for difference in &result.differences {
        println!("{difference}");
    }
    let more = result.differing - result.differences.len() as u64;
    if more > 0 {
        println!("… and {more} more");
    }
    println!("different");
    Ok(ExitCode::FAILURE)
}
