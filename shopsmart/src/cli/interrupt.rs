use std::process::exit;

use tokio_util::sync::CancellationToken;

/// What a shell reports for a program that was ended by Ctrl-C.
pub(super) const INTERRUPTED: u8 = 130;

/// Cancelled by the first Ctrl-C; the second one ends the process on the spot.
pub(super) fn ctrl_c() -> CancellationToken {
    let stop = CancellationToken::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        // Without a handler, Ctrl-C keeps its usual effect, which is the best that can be had then.
        if tokio::signal::ctrl_c().await.is_ok() {
            asked.cancel();
            if tokio::signal::ctrl_c().await.is_ok() {
                exit(INTERRUPTED.into());
            }
        }
    });
    stop
}
