//! What people type: `cargo xtask test`, `cargo xtask lint`, `cargo xtask services up`.
//!
//! The library half exists for [`services`]: tests that must stop and start a real server use the same code as the
//! command line does.

pub mod architecture;
pub mod bench;
pub mod dependencies;
pub mod fuzz;
pub mod instructions;
pub mod interrupt;
pub mod services;
pub mod steps;
pub mod test;
pub mod tools;
pub mod workspace;
