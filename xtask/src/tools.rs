//! What tests need beside the servers: Node and Chromium for the operations page, Prometheus for the alerts.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;

use crate::services::{find, install, may_install};
use crate::steps;
use crate::workspace::Workspace;

/// Where tests find Node; set only where the page's packages are installed, too.
pub const NODE: &str = "SHOPSMART_TEST_NODE";
/// Where tests find a Chromium.
pub const CHROMIUM: &str = "SHOPSMART_TEST_CHROMIUM";
/// Where tests find Prometheus; `promtool` is beside it.
pub const PROMETHEUS: &str = "SHOPSMART_TEST_PROMETHEUS";

/// The oldest Node that builds the page, as `web/package.json` says.
const NODE_AT_LEAST: (u32, u32) = (20, 19);

/// Programs by variable: names they go by, the first that is found counts, and their Debian package.
const PROGRAMS: [(&str, &[&str], &str); 2] = [
    (CHROMIUM, &["chromium", "chromium-browser", "google-chrome"], "chromium"),
    (PROMETHEUS, &["prometheus"], "prometheus"),
];

/// Finds them, installs what is missing where that is possible and names it where it is not, and installs the page's
/// packages. Gives the variables for the tests: those that need what is missing skip, or fail where `CI` is set.
///
/// # Errors
/// When an installation fails.
pub fn prepare(workspace: &Workspace) -> Result<Vec<(&'static str, OsString)>> {
    let found = |names: &[&str]| names.iter().find_map(|name| find(name));
    let missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(_, names, _)| found(names).is_none())
        .map(|(_, _, package)| *package)
        .collect();
    if !missing.is_empty() {
        if may_install() {
            install(&missing)?;
        } else {
            eprintln!("xtask: some tests need {} (as Debian calls them): please install", missing.join(" "));
        }
    }
    let mut variables: Vec<(&'static str, OsString)> = PROGRAMS
        .iter()
        .filter_map(|(variable, names, _)| Some((*variable, found(names)?.into_os_string())))
        .collect();
    match node() {
        Some(node) => {
            install_page_packages(&workspace.root.join("web"))?;
            variables.push((NODE, node.into_os_string()));
        }
        None => {
            let (major, minor) = NODE_AT_LEAST;
            eprintln!("xtask: some tests need Node {major}.{minor} or newer, with npm: please install it");
        }
    }
    Ok(variables)
}

/// Node, where it and npm are there and new enough.
fn node() -> Option<PathBuf> {
    let node = find("node")?;
    find("npm")?;
    let output = Command::new(&node).arg("--version").stdin(Stdio::null()).output().ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    (version_of(&version)? >= NODE_AT_LEAST).then_some(node)
}

fn version_of(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().strip_prefix('v')?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn install_page_packages(web: &Path) -> Result<()> {
    let changed = |file: &str| fs::metadata(web.join(file)).and_then(|metadata| metadata.modified()).ok();
    // npm leaves this file behind when it is done.
    if changed("node_modules/.package-lock.json") >= changed("package-lock.json") {
        return Ok(());
    }
    let mut npm = Command::new("npm");
    npm.current_dir(web).args(["ci", "--no-progress"]).stdin(Stdio::null()).stdout(Stdio::null());
    steps::run("npm ci, for the operations page", &mut npm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_node_compare_by_number() {
        assert_eq!(version_of("v20.20.2\n"), Some((20, 20)));
        assert!(
            version_of("v9.11.0").unwrap() < NODE_AT_LEAST && version_of("v22.0.0").unwrap() > NODE_AT_LEAST
        );
        assert_eq!(version_of("unknown"), None);
    }
}
