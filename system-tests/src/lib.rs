//! Runs the real programs, on embedded parts or on real servers, and looks at them as their users would.
//!
//! The programs are those in `SHOPSMART_TEST_BIN` and the servers those in `SHOPSMART_TEST_KAFKA`, `_REDIS` and `_CQL`, which
//! `cargo xtask test` sets. Without them the tests say that they skip; where `CI` is set they fail.

pub mod dataset;
pub mod faults;
pub mod program;
pub mod proxy;
pub mod servers;

/// The value of an environment variable that the test runner sets.
#[allow(clippy::disallowed_methods, reason = "the test runner hands over its servers by environment")]
pub fn given(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether all of `names` are given; else says so, and fails where `CI` is set.
///
/// # Panics
/// In CI, when one is missing.
pub fn have(names: &[&str]) -> bool {
    let missing: Vec<&str> = names.iter().copied().filter(|name| given(name).is_none()).collect();
    if missing.is_empty() {
        return true;
    }
    let missing = missing.join(", ");
    assert!(given("CI").is_none(), "{missing} not set: run `cargo xtask test`");
    eprintln!("SKIPPED: {missing} not set (run `cargo xtask test`)");
    false
}
