//! What all fuzz targets have in common.

use cap::Cap;
use std::alloc::System;

/// No input may make the code ask for more than this in all: it aborts, and the run ends with that input.
const MOST_BYTES: usize = 512 << 20;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, MOST_BYTES);
