//! The rules of the architecture, checked against what cargo knows.
//!
//! Who may use which library is written in `deny.toml` (`wrappers`), in the words of cargo-deny; the rules here are
//! those that its words cannot say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::workspace::metadata;

/// The services know each other only through the log and the stores.
const SERVICES: [&str; 3] = ["ingest", "stream-processor", "serving"];
/// These put services together.
const MAY_USE_SERVICES: [&str; 5] = ["shopsmart", "simulation", "system-tests", "bench", "hot-paths"];
/// Pure maths stays free of any runtime, clock or I/O library.
const PURE: &str = "recommender";
const NOT_PURE: [&str; 5] = ["tokio", "rdkafka", "redis", "scylla", "fjall"];

/// Checks every rule against the workspace at `root`.
///
/// # Errors
/// When rules are broken (the message lists each case), or the files cannot be read.
pub fn check(root: &Path) -> Result<()> {
    let file = root.join("deny.toml");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let deny: Deny =
        toml::from_str(&text).with_context(|| format!("cannot understand {}", file.display()))?;
    let graph = Graph::of(&metadata(&[])?)?;
    let broken = broken_rules(&graph, &deny.bans.deny);
    ensure!(broken.is_empty(), "the architecture does not allow that\n  {}", broken.join("\n  "));
    Ok(())
}

#[derive(Debug, Deserialize)]
struct Deny {
    bans: Bans,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

/// A library and the only packages that may use it directly.
#[derive(Debug, Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    library: String,
    wrappers: Vec<String>,
    reason: String,
}

/// Who depends on whom, by package name.
#[derive(Debug, Default)]
struct Graph {
    /// Of the workspace's own packages: everything in their manifests, whatever for.
    declared: BTreeMap<String, BTreeSet<String>>,
    /// Of all packages: what ends up in the program.
    linked: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    fn of(metadata: &Value) -> Result<Self> {
        let mut names = BTreeMap::new();
        let mut graph = Self::default();
        for package in array(metadata, "packages")? {
            let (id, name) = (text(package, "id")?, text(package, "name")?);
            names.insert(id, name);
            if array(metadata, "workspace_members")?.iter().any(|member| member == id) {
                let declared = array(package, "dependencies")?;
                let declared: Result<_> =
                    declared.iter().map(|d| text(d, "name").map(str::to_owned)).collect();
                graph.declared.insert(name.to_owned(), declared?);
            }
        }
        for node in array(&metadata["resolve"], "nodes")? {
            let linked = graph.linked.entry(names[text(node, "id")?].to_owned()).or_default();
            for dependency in array(node, "deps")? {
                if array(dependency, "dep_kinds")?.iter().any(|kind| kind["kind"].is_null()) {
                    linked.insert(names[text(dependency, "pkg")?].to_owned());
                }
            }
        }
        Ok(graph)
    }

    /// The packages that a program with `package` in it contains.
    fn reachable(&self, package: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open = vec![package];
        while let Some(next) = open.pop() {
            for dependency in self.linked.get(next).into_iter().flatten() {
                if found.insert(dependency.as_str()) {
                    open.push(dependency);
                }
            }
        }
        found
    }
}

fn broken_rules(graph: &Graph, bans: &[Ban]) -> Vec<String> {
    let mut broken = Vec::new();
    for (package, dependencies) in &graph.declared {
        for Ban { library, wrappers, reason } in bans {
            if dependencies.contains(library) && !wrappers.contains(package) {
                broken.push(format!("{package} uses {library}: {reason}"));
            }
        }
        for service in SERVICES {
            if dependencies.contains(service) && !MAY_USE_SERVICES.contains(&package.as_str()) {
                broken
                    .push(format!("{package} uses {service}: services meet in the log and the stores only"));
            }
        }
    }
    let contained = graph.reachable(PURE);
    for library in NOT_PURE.into_iter().filter(|library| contained.contains(library)) {
        broken.push(format!("{PURE} contains {library}: it is pure, without I/O, clock or async"));
    }
    broken
}

fn array<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    value[key].as_array().with_context(|| format!("cargo metadata has no list {key}"))
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().with_context(|| format!("cargo metadata has no text {key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &str)]) -> Graph {
        let mut graph = Graph::default();
        for (from, to) in edges {
            for map in [&mut graph.declared, &mut graph.linked] {
                map.entry((*from).to_owned()).or_default().insert((*to).to_owned());
            }
        }
        graph
    }

    fn bans() -> Vec<Ban> {
        let ban = Ban {
            library: "rdkafka".into(),
            wrappers: vec!["event-log".into()],
            reason: "one adapter".into(),
        };
        vec![ban]
    }

    #[test]
    fn the_workspace_keeps_its_rules() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        check(root).unwrap();
    }

    #[test]
    fn a_library_outside_its_adapter_is_refused() {
        assert!(broken_rules(&graph(&[("event-log", "rdkafka")]), &bans()).is_empty());
        assert_eq!(
            broken_rules(&graph(&[("ingest", "rdkafka")]), &bans()),
            ["ingest uses rdkafka: one adapter"]
        );
    }

    #[test]
    fn a_service_that_uses_another_is_refused() {
        assert!(
            broken_rules(&graph(&[("shopsmart", "serving"), ("system-tests", "ingest")]), &[]).is_empty()
        );
        assert_eq!(broken_rules(&graph(&[("serving", "ingest")]), &[]).len(), 1);
    }

    #[test]
    fn pure_code_must_not_reach_a_runtime_through_others() {
        let edges = [("recommender", "schemas"), ("schemas", "tokio")];
        assert_eq!(
            broken_rules(&graph(&edges), &[]),
            ["recommender contains tokio: it is pure, without I/O, clock or async"]
        );
    }
}
