//! The description that clients are generated from.

use std::path::Path;

/// After a wanted change: `UPDATE_SNAPSHOTS=1 cargo test -p ingest`.
#[test]
fn the_description_is_the_published_one() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/openapi/ingest.json");
    let now = ingest::openapi().to_pretty_json().unwrap() + "\n";
    #[expect(
        clippy::disallowed_methods,
        reason = "asks for an update of the snapshot; not a setting of the program"
    )]
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&file, &now).unwrap();
    }
    let published = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(now == published, "{} differs: run again with UPDATE_SNAPSHOTS=1", file.display());
}

#[test]
fn every_address_is_described() {
    let api = ingest::openapi();
    let paths: Vec<_> = api.paths.paths.keys().map(String::as_str).collect();
    assert_eq!(paths, ["/events", "/events/batch", "/products/batch", "/products/{id}", "/users/{id}"]);
}
