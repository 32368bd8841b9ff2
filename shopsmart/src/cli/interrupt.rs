use std::process::exit;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What a shell reports for a program that was ended by Ctrl-C.
pub(super) const INTERRUPTED: u8 = 130;

/// Cancelled by the first Ctrl-C from now on; the second one ends the process on the spot.
pub(super) fn ctrl_c() -> CancellationToken {
    let stop = CancellationToken::new();
    // Without a handler, Ctrl-C keeps its usual effect, which is the best that can be had then. It is set here, not by the task:
    // that may be polled only after the work that it is to interrupt has begun.
    let Ok(mut interrupts) = signal(SignalKind::interrupt()) else { return stop };
    let asked = stop.clone();
    tokio::spawn(async move {
        interrupts.recv().await;
        asked.cancel();
        interrupts.recv().await;
        exit(INTERRUPTED.into());
    });
    stop
}
