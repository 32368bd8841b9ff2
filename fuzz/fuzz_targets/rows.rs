//! Rows of users and products, and working on with them.

#![no_main]

use fuzz as _;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    recommender::hostile::rows(bytes);
});
