use std::path::Path;

#[test]
fn the_description_is_the_one_that_clients_were_given() {
    let found = serving::openapi().to_pretty_json().unwrap() + "\n";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/openapi/serving.json");
    #[expect(
        clippy::disallowed_methods,
        reason = "tests are told by the environment, not by a configuration"
    )]
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &found).unwrap();
    }
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == known,
        "the description changed: look at the difference after UPDATE_SNAPSHOTS=1 cargo test -p serving"
    );
}

#[test]
fn every_contracted_route_is_described() {
    let paths = serving::openapi().paths.paths;
    let found: Vec<_> = paths.keys().map(String::as_str).collect();
    let expected = [
        "/products/{id}/similar",
        "/recommendations",
        "/recommendations/cart",
        "/trending",
        "/users/{id}/history",
    ];
    assert_eq!(found, expected);
}
