//! What the servers need of the system when there is no engine for containers, and its installation on Debian.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::java::Java;
use super::maven::Jars;
use super::{Part, cassandra, kafka};
use crate::steps;
use crate::workspace::variable;

/// Debian's runtimes, best first; each release has one of them.
const JAVA_PACKAGES: [&str; 2] = ["openjdk-17-jre-headless", "openjdk-21-jre-headless"];

/// Everything that has to be on the machine before servers can be started.
#[derive(Debug)]
pub struct Packages {
    java: Option<Java>,
    redis: Option<PathBuf>,
    /// Kafka's jars.
    pub kafka: Jars,
    /// Cassandra's jars.
    pub cassandra: Jars,
}

impl Packages {
    /// Finds what the parts need; installs and downloads what is missing.
    ///
    /// # Errors
    /// When a program is missing and cannot be installed (the message names it), or a download fails.
    pub fn prepare(parts: &[Part], services: &Path) -> Result<Self> {
        let mut packages = Self {
            java: None,
            redis: None,
            kafka: Jars::new(Part::Kafka.name(), kafka::JARS, services),
            cassandra: Jars::new(Part::Cassandra.name(), cassandra::JARS, services),
        };
        let missing = packages.look_for_programs(parts);
        if !missing.is_empty() {
            install(&missing)?;
            let missing = packages.look_for_programs(parts);
            ensure!(missing.is_empty(), "still missing after the installation: {}", missing.join(" "));
        }
        // One after the other: two Mavens at a time would share one local repository.
        for jars in packages.jars(parts) {
            jars.fetch()?;
        }
        Ok(packages)
    }

    /// The Java runtime.
    ///
    /// # Errors
    /// When none of the parts needed it.
    pub fn java(&self) -> Result<&Java> {
        self.java.as_ref().context("no Java was looked for")
    }

    /// The Redis program.
    ///
    /// # Errors
    /// When none of the parts needed it.
    pub fn redis(&self) -> Result<&Path> {
        self.redis.as_deref().context("no Redis was looked for")
    }

    /// Looks again; returns the Debian packages of what is not there.
    fn look_for_programs(&mut self, parts: &[Part]) -> Vec<&'static str> {
        let mut missing = Vec::new();
        let jars = self.jars(parts);
        let (needs_java, needs_maven) = (!jars.is_empty(), jars.iter().any(|jars| !jars.present()));
        if needs_java {
            self.java = Java::find();
            if self.java.is_none() {
                missing.push(java_package());
            }
        }
        if needs_maven && find("mvn").is_none() {
            missing.push("maven");
        }
        if parts.iter().any(|part| matches!(part, Part::Redis | Part::RedisCluster)) {
            self.redis = find("redis-server");
            if self.redis.is_none() {
                missing.push("redis-server");
            }
        }
        missing
    }

    fn jars(&self, parts: &[Part]) -> Vec<&Jars> {
        let jars_of = |part: &Part| match part {
            Part::Kafka => Some(&self.kafka),
            Part::Cassandra => Some(&self.cassandra),
            Part::Redis | Part::RedisCluster => None,
        };
        parts.iter().filter_map(jars_of).collect()
    }
}

/// A program on the path.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = variable("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// Whether [`install`] can do it: as root on Debian.
pub fn may_install() -> bool {
    rustix::process::geteuid().is_root() && Path::new("/etc/debian_version").exists()
}

/// Installs Debian packages.
///
/// # Errors
/// When that is not possible here, or fails.
pub fn install(packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    if !may_install() {
        bail!("please install {names} (as Debian calls them), or start a docker engine with compose");
    }
    apt("apt-get update", &["update"])?;
    let arguments = [&["install", "--no-install-recommends"], packages].concat();
    apt(&format!("apt-get install {names}"), &arguments)
}

fn apt(title: &str, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(["-qq", "-y"]).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    steps::run(title, command.stdin(Stdio::null()).stdout(Stdio::null()))
}

fn java_package() -> &'static str {
    let known = |package: &&&str| {
        let mut show = Command::new("apt-cache");
        show.args(["show", package]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        show.status().is_ok_and(|status| status.success())
    };
    JAVA_PACKAGES.iter().find(known).unwrap_or(&JAVA_PACKAGES[0])
}
