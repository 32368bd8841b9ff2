//! Jars from Maven, fetched once and kept for all runs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use super::ports::random;
use crate::steps;

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

/// The jars of a server: its artifacts and everything that they need.
#[derive(Debug, Clone)]
pub struct Jars {
    name: &'static str,
    artifacts: &'static [Artifact],
    home: PathBuf,
}

impl Jars {
    /// The jars of `artifacts`, of which the first gives the version, below the `services` directory.
    pub fn new(name: &'static str, artifacts: &'static [Artifact], services: &Path) -> Self {
        let home = services.join("jars").join(format!("{name}-{}", artifacts[0].version.replace('.', "_")));
        Self { name, artifacts, home }
    }

    /// The directory to put on the class path.
    pub fn libs(&self) -> PathBuf {
        self.home.join("libs")
    }

    /// Whether they are there.
    pub fn present(&self) -> bool {
        self.libs().is_dir()
    }

    /// Downloads them, unless they are there.
    ///
    /// # Errors
    /// When Maven fails or finds a checksum that does not fit.
    pub fn fetch(&self) -> Result<()> {
        if self.present() {
            return Ok(());
        }
        // Into a directory of its own first: whoever sees the final name sees all of it, also when two runs download.
        let unfinished = self.home.with_extension(format!("unfinished-{:x}", random(0)));
        fs::create_dir_all(&unfinished)?;
        fs::write(unfinished.join("pom.xml"), self.pom())?;
        let outcome = steps::run(&format!("download {} with Maven", self.name), &mut maven(&unfinished));
        let moved = outcome.is_ok() && fs::rename(&unfinished, &self.home).is_ok();
        if !moved {
            fs::remove_dir_all(&unfinished)?;
        }
        outcome?;
        ensure!(self.present(), "cannot move the jars of {} to {}", self.name, self.home.display());
        Ok(())
    }

    fn pom(&self) -> String {
        let dependency = |Artifact { group, name, version }: &Artifact| {
            format!(
                "    <dependency>
      <groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version>
    </dependency>
"
            )
        };
        format!(
            "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">
  <modelVersion>4.0.0</modelVersion>
  <groupId>shopsmart</groupId><artifactId>{name}-for-tests</artifactId><version>1</version>
  <dependencies>
{dependencies}  </dependencies>
</project>
",
            name = self.name,
            dependencies = self.artifacts.iter().map(dependency).collect::<String>(),
        )
    }
}

fn maven(directory: &Path) -> Command {
    let mut maven = Command::new("mvn");
    // Maven complains on stdout, which belongs to the `export` lines of `services up`.
    maven.current_dir(directory).stdin(Stdio::null()).stdout(io::stderr());
    maven.args(["--batch-mode", "--quiet", "--strict-checksums"]);
    maven.args([DEPENDENCY_PLUGIN, "-DoutputDirectory=libs"]);
    maven
}
