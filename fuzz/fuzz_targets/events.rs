//! Records of `events`, folded through both stages.

#![no_main]

use fuzz as _;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    stream_processor::hostile::events(bytes);
});
