//! The whole processor over a log in memory or on disk: what is stored can be proven, and a log that does not belong to it
//! is refused.

mod recreated;
mod support;
mod verify;
