//! What clients send: single events, batches, lines, products, compressed and not.

#![no_main]

use fuzz as _;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ingest::hostile::body(bytes);
});
