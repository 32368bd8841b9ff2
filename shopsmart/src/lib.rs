//! The `shopsmart` program, as a library, so that tests call what people run.

pub mod cli;
pub mod client;
pub mod dead_letters;
pub mod demo;
pub mod dev;
pub mod embedded;
pub mod generations;
pub mod lag;
pub mod prequential;
pub mod rebuild;
pub mod replay;
pub mod simulator;
pub mod state;
pub mod target;
pub mod topics;
