//! The operations page is committed as it was built, so that Rust alone builds the program: it has to be what its sources
//! make.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::tools::NODE;
use xtask::workspace::variable;

fn web() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("web")
}

/// Content of every file by name.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|file| (file.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&file).unwrap()))
        .collect()
}

#[test]
fn the_committed_page_is_what_its_sources_make() {
    let Some(node) = variable(NODE) else {
        assert!(variable("CI").is_none(), "{NODE} is not set although CI is: this may not be skipped there");
        eprintln!("SKIPPED: {NODE} is not set (`cargo xtask test` sets it)");
        return;
    };
    let built = tempfile::tempdir().unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(&node);
        command.current_dir(web()).arg(web().join("node_modules").join(program)).args(arguments);
        let output = command.output().unwrap();
        let said =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(output.status.success(), "{program}: {said}");
    };
    run("typescript/bin/tsc", &[]);
    run("vite/bin/vite.js", &["build", "--emptyOutDir", "--outDir", built.path().to_str().unwrap()]);
    let (built, committed) = (files(built.path()), files(&web().join("dist")));
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&built), names(&committed), "npm run build in web/, and commit web/dist");
    for (name, content) in built {
        assert!(
            committed[&name] == content,
            "web/dist/{name} is behind: npm run build in web/, and commit it"
        );
    }
}

#[test]
fn the_page_carries_all_that_was_built() {
    let page = fs::read_to_string(web().join("../stream-processor/src/admin/page.rs")).unwrap();
    for name in files(&web().join("dist")).keys() {
        assert!(page.contains(&format!("web/dist/{name}\")")), "the program does not carry {name}");
    }
}

#[test]
fn the_lock_file_names_no_registry() {
    let lock = fs::read_to_string(web().join("package-lock.json")).unwrap();
    assert!(!lock.contains("\"resolved\""), "see web/.npmrc");
    let packages: serde_json::Value = serde_json::from_str(&lock).unwrap();
    let packages = packages["packages"].as_object().unwrap();
    let checked = packages.iter().filter(|(path, _)| !path.is_empty());
    assert!(checked.clone().count() > 20);
    for (path, package) in checked {
        assert!(package["integrity"].is_string(), "{path} has no checksum");
    }
}
