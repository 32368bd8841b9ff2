//! `cargo xtask bench`: builds everything for speed, starts real servers and measures.

use std::fs;
use std::process::Command;

use anyhow::Result;

use crate::services::{Options, Part, Services, find, install, may_install};
use crate::steps;
use crate::test::PROGRAMS;
use crate::workspace::{Workspace, cargo};

/// Generates as much load as goes.
const WRK: &str = "wrk";
/// What is measured without servers.
const WITHOUT_SERVERS: [&str; 2] = ["embedded", "scale"];

/// Builds, starts what is needed, and hands `arguments` to the program `bench`, which knows them.
///
/// # Errors
/// When a step fails.
pub fn bench(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    if is_help(arguments) {
        let run = ["run", "--quiet", "--package", "bench", "--", "--help"];
        return steps::run("bench", Command::new(cargo()).current_dir(&workspace.root).args(run));
    }
    let build = ["build", "--release", "--workspace", "--bins", "--exclude", "xtask"];
    steps::run("build for speed", Command::new(cargo()).current_dir(&workspace.root).args(build))?;
    let programs = workspace.target.join("release");
    let mut command = Command::new(programs.join("bench"));
    command.args(arguments).env(PROGRAMS, &programs);
    if !needs_servers(arguments) {
        return steps::run("bench", &mut command);
    }
    if find(WRK).is_none() && may_install() {
        install(&[WRK])?;
    }
    let parts = vec![Part::Kafka, Part::Redis, Part::Cassandra];
    let cassandra_heap_mib = cassandra_heap_mib(&fs::read_to_string("/proc/meminfo").unwrap_or_default());
    let options = Options { parts, cassandra_heap_mib, ..Options::private(workspace.services_dir()) };
    let services = steps::timed("start Kafka, Redis and Cassandra", || Services::start(&options))?;
    command.envs(services.env());
    let outcome = steps::run("bench", &mut command);
    outcome.and(steps::timed("stop the servers", || services.close()))
}

/// A quarter of the memory, as Cassandra's own scripts have it, of a machine of at most 16 GiB: with little of it, collecting
/// garbage and compacting what did not stay in memory take more than what is measured. `meminfo` is what the kernel says.
fn cassandra_heap_mib(meminfo: &str) -> u32 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
    let kib: u64 = total.and_then(|number| number.parse().ok()).unwrap_or_default();
    u32::try_from(kib / 4 / 1_024).unwrap_or(u32::MAX).clamp(1_024, 4_096)
}

fn is_help(arguments: &[String]) -> bool {
    arguments.iter().any(|argument| argument == "-h" || argument == "--help")
}

/// Unless all that is measured works without them.
fn needs_servers(arguments: &[String]) -> bool {
    let mut values_follow = false;
    let mut suites = Vec::new();
    for argument in arguments {
        match argument.as_str() {
            option if option.starts_with('-') => values_follow = !option.contains('='),
            _ if std::mem::take(&mut values_follow) => {}
            suite => suites.push(suite),
        }
    }
    suites.is_empty() || suites.iter().any(|suite| !WITHOUT_SERVERS.contains(suite))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_started_only_for_what_needs_them() {
        let needs =
            |line: &str| needs_servers(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        assert!(needs("") && needs("ingest") && needs("embedded serving") && needs("--seconds 3"));
        assert!(
            !needs("embedded") && !needs("scale embedded") && !needs("embedded --data folder --seconds=3")
        );
        assert!(!needs("--seconds 3 embedded"));
    }

    #[test]
    fn cassandra_has_a_quarter_of_the_memory_within_bounds() {
        let of = |kib: u64| cassandra_heap_mib(&format!("MemFree: 1 kB\nMemTotal:       {kib} kB\n"));
        assert_eq!([2, 8, 64].map(|gib| of(gib << 20)), [1_024, 2_048, 4_096]);
        assert_eq!(cassandra_heap_mib("nothing of use"), 1_024);
    }
}
