//! Records of `product-activity`, which any producer may write to.

#![no_main]

use fuzz as _;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    stream_processor::hostile::activity(bytes);
});
