//! What both contract suites need: names that no other run uses, and where the real servers are.

// Each test binary uses a part of it.
#![allow(dead_code)]

pub mod redis_server;

use uuid::Uuid;

/// A corner of a shared server that belongs to one test.
pub struct Scope {
    prefix: String,
    /// A generation that few others use; keys are told apart by their prefix.
    pub generation: u16,
}

impl Scope {
    pub fn new() -> Self {
        let id = Uuid::now_v7();
        Self { prefix: id.simple().to_string(), generation: 1 + (id.as_u128() % 4000) as u16 }
    }

    /// A generation beside the first one.
    pub fn other_generation(&self) -> u16 {
        self.generation + 4000
    }

    pub fn key(&self, name: impl std::fmt::Display) -> String {
        format!("{}/{name}", self.prefix)
    }

    pub fn owns(&self, key: &str) -> bool {
        key.starts_with(&self.prefix)
    }
}

/// The servers in the environment variable `name`. Without it the test is skipped, which only a developer's machine may do.
pub fn servers(name: &str) -> Option<Vec<String>> {
    let servers = variable(name);
    if servers.is_none() {
        skip(&format!("{name} is not set (`cargo xtask services up` starts the servers)"));
    }
    servers.map(|servers| servers.split(',').map(str::to_owned).collect())
}

/// Says that a test is skipped; in CI that is a failure.
pub fn skip(reason: &str) {
    assert!(variable("CI").is_none(), "{reason}: CI must run this test on a real server");
    eprintln!("skipped: {reason}");
}

#[allow(
    clippy::disallowed_methods,
    reason = "tests have no configuration file; the servers are handed over like this"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Keys that break a store which takes any character for its own.
pub const ODD_KEYS: [&str; 14] = [
    "two words",
    "tab\tand\nnewline",
    "{braces}",
    "{}",
    "}{",
    "a{b}c{d}",
    "semi;colon'quote\"double",
    "per%cent*star?[x]",
    "nul\0inside",
    "Zoë Ångström",
    "日本語の利用者",
    "\u{1F6D2}\u{200D}\u{1F525}",
    "u:1:nested:colons::",
    "..\\../slashes",
];

/// As long as a key gets: an id of 256 bytes and the table's prefix.
pub fn longest_key() -> String {
    format!("n:{}", "x".repeat(258))
}
