//! `cargo xtask test` and `cargo xtask lint`: everything that has to hold before a change is merged. And what goes
//! further: `cargo xtask simulate` and `cargo xtask faults`.

use std::process::{Command, Stdio};

use anyhow::Result;

use crate::services::{Options, Services};
use crate::workspace::{Workspace, cargo};
use crate::{architecture, dependencies, instructions, steps, tools};

/// Where system tests find the programs they run: the directory with `ingest`, `stream-processor`, `serving` and
/// `shopsmart`.
pub const PROGRAMS: &str = "SHOPSMART_TEST_BIN";

/// What needs features that are off by default: the smallest part that knows all servers, with TLS and SASL, and the smallest
/// that knows all services, with traces. Not everything is built with them: it would all be built twice.
const WITH_FEATURES: [&str; 6] =
    ["--package", "wiring", "--package", "shopsmart", "--features", "wiring/tls,shopsmart/otel"];
/// The tests that want them.
const OF_FEATURES: [&str; 4] = ["--test", "secured", "--test", "traces"];

/// What to test.
#[derive(Debug, Default)]
pub struct Selection {
    /// Leave the real servers out; tests that need one skip, or fail where `CI` is set.
    pub no_services: bool,
    /// Only these packages; all when empty.
    pub packages: Vec<String>,
    /// Only tests whose name contains one of these; all when empty.
    pub filters: Vec<String>,
}

impl Selection {
    fn wants(&self, package: &str) -> bool {
        self.packages.is_empty() || self.packages.iter().any(|wanted| wanted == package)
    }
}

/// Formatting, clippy, the rules of the architecture and those for dependencies.
///
/// # Errors
/// At the first step that fails.
pub fn lint(workspace: &Workspace) -> Result<()> {
    steps::run("cargo fmt --check", &mut cargo_in(workspace, &["fmt", "--all", "--check"]))?;
    steps::timed("architecture", || architecture::check(&workspace.root))?;
    dependencies::check(workspace)?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    steps::run("cargo clippy", &mut cargo_in(workspace, &clippy))?;
    let clippy =
        [&["clippy", "--lib"], &OF_FEATURES[..], &WITH_FEATURES[..], &["--", "-D", "warnings"]].concat();
    steps::run("cargo clippy, with TLS and traces", with_system_openssl(&mut cargo_in(workspace, &clippy)))
}

/// Lints, builds the programs, starts the servers, runs the tests and stops the servers, whatever happened; then counts the
/// instructions of the hot paths, unless only some of the tests were wanted.
///
/// # Errors
/// At the first step that fails.
pub fn test(workspace: &Workspace, selection: &Selection) -> Result<()> {
    lint(workspace)?;
    run_tests(workspace, selection)?;
    if selection.packages.is_empty() && selection.filters.is_empty() {
        instructions::check(workspace, &instructions::Selection::default())?;
    }
    Ok(())
}

fn run_tests(workspace: &Workspace, selection: &Selection) -> Result<()> {
    steps::run("build the programs", &mut cargo_in(workspace, &["build", "--workspace", "--bins"]))?;
    steps::run("build the tests", &mut cargo_in(workspace, &["test", "--workspace", "--no-run"]))?;
    let wants_features = ["wiring", "shopsmart"].iter().any(|package| selection.wants(package));
    let with_features = !selection.no_services && wants_features;
    let mut with_features = with_features.then(|| tests_of_features(workspace, selection));
    if with_features.is_some() {
        let build = [&["test", "--no-run"], &OF_FEATURES[..], &WITH_FEATURES[..]].concat();
        steps::run(
            "build the tests, with TLS and traces",
            with_system_openssl(&mut cargo_in(workspace, &build)),
        )?;
    }

    let mut command = tests(workspace, selection);
    command.envs(tools::prepare(workspace)?);
    if selection.no_services {
        return steps::run("cargo test, without servers", &mut command);
    }
    let mut services = steps::timed("start Kafka, Redis, a Redis Cluster and Cassandra", || {
        Services::start(&Options::private(workspace.services_dir()))
    })?;
    command.envs(services.env());
    let mut outcome = steps::run("cargo test", &mut command);
    if let Some(tests) = &mut with_features {
        tests.envs(services.env());
        outcome = outcome.and(steps::run("cargo test, with TLS and traces", tests));
    }
    if outcome.is_err() {
        eprintln!("xtask: the servers' logs stay in {}", services.keep_for_inspection().display());
    }
    let stopped = steps::timed("stop the servers", || services.close());
    outcome.and(stopped)
}

/// Runs the simulation's own program, which knows the arguments.
///
/// # Errors
/// When a schedule breaks a promise.
pub fn simulate(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let mut command =
        cargo_in(workspace, &["run", "--quiet", "--package", "simulation", "--example", "simulate", "--"]);
    steps::run("simulate", command.args(arguments))
}

/// Builds the programs, and runs the faults' own program, which starts the servers and knows the arguments; of these,
/// `--release` is meant for the build.
///
/// # Errors
/// When a promise broke, or something cannot be built or started.
pub fn faults(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    const RELEASE: &str = "--release";
    const ONLY_ASK: [&str; 3] = ["--list", "--help", "-h"];
    let is_release = arguments.iter().any(|argument| argument == RELEASE);
    let arguments: Vec<&String> = arguments.iter().filter(|argument| *argument != RELEASE).collect();
    let (profile, folder) = if is_release { (&[RELEASE][..], "release") } else { (&[][..], "debug") };
    if !arguments.iter().any(|argument| ONLY_ASK.contains(&argument.as_str())) {
        let mut build = cargo_in(workspace, &["build", "--workspace", "--bins", "--exclude", "xtask"]);
        steps::run("build the programs", build.args(profile))?;
    }
    let mut command =
        cargo_in(workspace, &["run", "--quiet", "--package", "system-tests", "--example", "faults", "--"]);
    command.env(PROGRAMS, workspace.target.join(folder));
    steps::run("faults", command.args(arguments))
}

fn tests(workspace: &Workspace, selection: &Selection) -> Command {
    let mut command = cargo_in(workspace, &["test", "--no-fail-fast"]);
    if selection.packages.is_empty() {
        command.arg("--workspace");
    }
    for package in &selection.packages {
        command.args(["--package", package]);
    }
    if !selection.filters.is_empty() {
        command.arg("--").args(&selection.filters);
    }
    command.env(PROGRAMS, workspace.target.join("debug"));
    command
}

fn tests_of_features(workspace: &Workspace, selection: &Selection) -> Command {
    let mut command = cargo_in(workspace, &[&["test"], &OF_FEATURES[..], &WITH_FEATURES[..]].concat());
    with_system_openssl(&mut command);
    if !selection.filters.is_empty() {
        command.arg("--").args(&selection.filters);
    }
    command
}

/// What is released brings an OpenSSL of its own, which takes minutes to build; tests use the system's where it has one.
fn with_system_openssl(command: &mut Command) -> &mut Command {
    let mut asks = Command::new("pkg-config");
    asks.args(["--exists", "openssl"]).stdout(Stdio::null()).stderr(Stdio::null());
    let has_one = asks.status().is_ok_and(|status| status.success());
    if has_one { command.env("OPENSSL_NO_VENDOR", "1") } else { command }
}

fn cargo_in(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = Command::new(cargo());
    command.current_dir(&workspace.root).args(arguments).stdin(Stdio::null());
    command
}
