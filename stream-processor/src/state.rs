//! What the stored state is worth: a digest to compare runs by, and a proof against the log.

mod digest;
mod unstored;
mod verify;

pub use digest::{Digest, digest};
pub use unstored::{Unstored, unstored};
pub use verify::{Difference, Verification, VerifyError, verify};
