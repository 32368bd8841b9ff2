//! Rows of progress, intents, open windows and dead letters.

#![no_main]

use fuzz as _;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    stream_processor::hostile::progress(bytes);
});
