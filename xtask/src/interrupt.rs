//! Ctrl-C and SIGTERM as a flag, so that waiting code can unwind and every `Drop` gets to stop its server.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGINT, SIGTERM};

static REQUESTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Turns SIGINT and SIGTERM of this process into a flag. Call once, from `main`; a program that does not call it keeps
/// its own signal handling.
///
/// # Errors
/// When the operating system refuses the handler.
pub fn install() -> Result<()> {
    let flag = REQUESTED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(flag)).context("cannot install a signal handler")?;
    }
    Ok(())
}

/// Whether somebody asked this process to end.
pub fn requested() -> bool {
    REQUESTED.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// An error as soon as somebody asked this process to end; for use inside waiting loops.
///
/// # Errors
/// When [`requested`] holds.
pub fn check() -> Result<()> {
    if requested() {
        bail!("interrupted");
    }
    Ok(())
}
