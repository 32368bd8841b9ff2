//! Published values, positions and user keys, as stores and clients hand them back.

#![no_main]

use fuzz as _;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    schemas::hostile::packed(bytes);
});
