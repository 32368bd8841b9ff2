//! Damaged files of the embedded log.

#![no_main]

use fuzz as _;

libfuzzer_sys::fuzz_target!(
    // The database panics over some damages, which the log has to turn into an error: so not every panic ends the run.
    init: drop(std::panic::take_hook()),
    |bytes: &[u8]| {
        event_log::embedded::hostile::recovery(bytes);
    }
);
