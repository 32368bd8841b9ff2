//! Stored chunks and topic descriptions of the embedded log.

#![no_main]

use fuzz as _;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    event_log::embedded::hostile::stored(bytes);
});
