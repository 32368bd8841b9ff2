//! The servers from packages: programs from the system, jars from Maven.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::Part;
use super::ports::random;
use crate::steps;
use crate::workspace::variable;

/// The Java that Cassandra 5 is released for; Kafka 4 is content with it.
const JAVA_VERSION: u32 = 17;
/// Pinned, so that a new release of the plugin cannot change what a build does.
const DEPENDENCY_PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";

/// A Maven artifact.
#[derive(Debug)]
pub struct Artifact {
    /// The group id.
    pub group: &'static str,
    /// The artifact id.
    pub name: &'static str,
    /// The exact version.
    pub version: &'static str,
}

/// A Java runtime that fits.
#[derive(Debug, Clone)]
pub struct Java {
    /// The `java` program.
    pub program: PathBuf,
}

/// Programs that servers need and a system may lack.
#[derive(Debug)]
pub struct Programs {
    /// Present when a part needs it.
    pub java: Option<Java>,
    /// Present when a part needs it.
    pub redis: Option<PathBuf>,
}

impl Programs {
    /// Finds what the parts need; installs what is missing when root on Debian.
    ///
    /// # Errors
    /// When something is missing and cannot be installed; the message names it.
    pub fn find_or_install(parts: &[Part], directory: &Path) -> Result<Self> {
        let mut missing = Missing::of(parts, directory);
        if !missing.is_empty() {
            missing.install()?;
            missing = Missing::of(parts, directory);
            ensure!(missing.is_empty(), "still missing after the installation: {}", missing.names());
        }
        Ok(Self {
            java: parts.iter().any(|part| part.needs_java()).then(find_java).flatten(),
            redis: parts.iter().any(|part| part.needs_redis()).then(|| find("redis-server")).flatten(),
        })
    }
}

/// Copies the jars of artifacts and of everything they need below `directory`, once; returns where they are.
///
/// # Errors
/// When Maven fails.
pub fn fetch_jars(name: &str, artifacts: &[Artifact], directory: &Path) -> Result<PathBuf> {
    let home = jars_home(name, artifacts, directory);
    let libs = home.join("libs");
    if libs.is_dir() {
        return Ok(libs);
    }
    // Into a directory of its own first: whoever finds the final name finds all of it, also when two runs download.
    let unfinished = home.with_extension(format!("unfinished-{:x}", random(0)));
    fs::create_dir_all(&unfinished)?;
    fs::write(unfinished.join("pom.xml"), pom(name, artifacts))?;
    let mut maven = Command::new("mvn");
    maven.current_dir(&unfinished).args(["-B", "-q", "-C", "-Dstyle.color=never", DEPENDENCY_PLUGIN]);
    maven.arg("-DoutputDirectory=libs");
    maven.stdin(Stdio::null());
    steps::run(&format!("download {name} with Maven"), &mut maven)?;
    if fs::rename(&unfinished, &home).is_err() {
        ensure!(libs.is_dir(), "cannot move {} to {}", unfinished.display(), home.display());
        fs::remove_dir_all(&unfinished)?;
    }
    Ok(libs)
}

impl Part {
    const fn needs_java(self) -> bool {
        matches!(self, Self::Kafka | Self::Cassandra)
    }

    const fn needs_redis(self) -> bool {
        matches!(self, Self::Redis | Self::RedisCluster)
    }
}

/// Debian packages, in the order of their names.
#[derive(Debug, Default)]
struct Missing {
    packages: Vec<&'static str>,
}

impl Missing {
    fn of(parts: &[Part], directory: &Path) -> Self {
        let mut packages = Vec::new();
        if parts.iter().any(|part| part.needs_java()) && find_java().is_none() {
            packages.push("openjdk-17-jre-headless");
        }
        let has_jars =
            |name: &str, artifacts: &[Artifact]| jars_home(name, artifacts, directory).join("libs").is_dir();
        let needs_maven = parts.iter().any(|part| match part {
            Part::Kafka => !has_jars(part.name(), super::kafka::JARS),
            Part::Cassandra => !has_jars(part.name(), super::cassandra::JARS),
            Part::Redis | Part::RedisCluster => false,
        });
        if needs_maven && find("mvn").is_none() {
            packages.push("maven");
        }
        if parts.iter().any(|part| part.needs_redis()) && find("redis-server").is_none() {
            packages.push("redis-server");
        }
        Self { packages }
    }

    fn is_empty(&self) -> bool {
        self.packages.is_empty()
    }

    fn names(&self) -> String {
        self.packages.join(" ")
    }

    fn install(&self) -> Result<()> {
        let names = self.names();
        if !(rustix::process::geteuid().is_root() && Path::new("/etc/debian_version").exists()) {
            bail!(
                "the servers for tests need: {names} (names of Debian packages); install them, or start a docker engine"
            );
        }
        let apt = |title: &str, arguments: &[&str]| {
            let mut command = Command::new("apt-get");
            command.args(["-qq", "-y"]).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
            command.stdin(Stdio::null()).stdout(Stdio::null());
            steps::run(title, &mut command)
        };
        apt("apt-get update", &["update"])?;
        let mut arguments = vec!["install", "--no-install-recommends"];
        arguments.extend(&self.packages);
        apt(&format!("apt-get install {names}"), &arguments)
    }
}

fn jars_home(name: &str, artifacts: &[Artifact], directory: &Path) -> PathBuf {
    directory.join("jars").join(format!("{name}-{}", artifacts[0].version.replace('.', "_")))
}

fn pom(name: &str, artifacts: &[Artifact]) -> String {
    let dependencies: String = artifacts
        .iter()
        .map(|Artifact { group, name, version }| {
            format!(
                "    <dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>\n"
            )
        })
        .collect();
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">
  <modelVersion>4.0.0</modelVersion>
  <groupId>shopsmart</groupId><artifactId>{name}-for-tests</artifactId><version>1</version>
  <dependencies>
{dependencies}  </dependencies>
</project>
"
    )
}

fn find_java() -> Option<Java> {
    let home = variable("JAVA_HOME").map(|home| Path::new(&home).join("bin/java"));
    let installed = fs::read_dir("/usr/lib/jvm")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin/java"));
    home.into_iter()
        .chain(find("java"))
        .chain(installed)
        .find(|program| java_version(program) == Some(JAVA_VERSION))
        .map(|program| Java { program })
}

/// The major version: 17 of `openjdk version "17.0.15" 2025-04-15`.
fn java_version(program: &Path) -> Option<u32> {
    let output = Command::new(program).arg("-version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.split('"').nth(1)?.split(['.', '-']).next()?.parse().ok()
}

fn find(program: impl AsRef<OsStr>) -> Option<PathBuf> {
    let path = variable("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program.as_ref())).find(|file| file.is_file())
}

/// The program, or an error that cannot be the user's fault.
pub fn needed<T>(found: &Option<T>) -> Result<&T> {
    found.as_ref().context("a program was not looked for although a part needs it")
}
