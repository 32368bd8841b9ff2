//! What clients ask: queries and bodies of every address of serving.

#![no_main]

use fuzz as _;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    serving::hostile::request(bytes);
});
