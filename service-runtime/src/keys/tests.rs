use super::*;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use tower::ServiceExt;

fn key(name: &str, scopes: &[Scope]) -> KeyConfig {
    KeyConfig { name: name.to_owned(), hash: hash_of(&format!("{name}-key")), scopes: scopes.to_vec() }
}

fn shop() -> Keys {
    let keys = vec![
        key("page", &[Scope::Write]),
        key("backend", &[Scope::Write, Scope::Read]),
        key("owner", &[Scope::Admin]),
    ];
    Keys::load(keys, None, "ingest").unwrap()
}

#[test]
fn each_key_opens_what_its_scopes_name() {
    let keys = shop();
    let allowed = |name: &str, scope| keys.authorize(Some(&format!("{name}-key")), scope).is_ok();
    for (name, write, read, admin) in
        [("page", true, false, false), ("backend", true, true, false), ("owner", true, true, true)]
    {
        let found = [Scope::Write, Scope::Read, Scope::Admin].map(|scope| allowed(name, scope));
        assert_eq!(found, [write, read, admin], "{name}");
    }
    assert_eq!(keys.authorize(None, Scope::Write), Err(Denied::Missing));
    assert_eq!(keys.authorize(Some("page-key "), Scope::Write), Err(Denied::Unknown));
    assert_eq!(keys.authorize(Some("page-key"), Scope::Read), Err(Denied::Forbidden(Scope::Read)));
}

#[test]
fn no_keys_means_open_on_loopback_only() {
    let (open, closed) = (Keys::open(), shop());
    assert!(open.authorize(None, Scope::Admin).unwrap().is_admin());
    let (inside, outside) = ("127.0.0.1:80".parse().unwrap(), "0.0.0.0:80".parse().unwrap());
    assert!(open.check_listen(inside, false, "ingest.http.listen").is_ok());
    let refused = open.check_listen(outside, false, "ingest.http.listen").unwrap_err().to_string();
    assert!(refused.contains("`ingest.http.listen`") && refused.contains("--insecure"), "{refused}");
    assert!(open.check_listen(outside, true, "ingest.http.listen").is_ok());
    assert!(closed.check_listen(outside, false, "ingest.http.listen").is_ok());
}

#[test]
fn a_malformed_key_is_refused_without_being_shown() {
    let refused = |keys: Vec<KeyConfig>| Keys::load(keys, None, "ingest").unwrap_err().to_string();
    let mistaken = KeyConfig { hash: "the-key-itself".to_owned(), ..key("page", &[Scope::Write]) };
    let message = refused(vec![mistaken]);
    assert!(message.contains("ingest.keys.hash") && !message.contains("the-key-itself"), "{message}");
    assert!(refused(vec![key("page", &[])]).contains("keys.scopes"));
    assert!(refused(vec![key("page", &[Scope::Read]), key("page", &[Scope::Write])]).contains("keys.name"));
}

fn toml(keys: &[KeyConfig]) -> String {
    let table = |k: &KeyConfig| {
        let scopes: Vec<_> = k.scopes.iter().map(|s| s.name()).collect();
        format!("[[keys]]\nname = {:?}\nhash = {:?}\nscopes = {scopes:?}\n", k.name, k.hash)
    };
    keys.iter().map(table).collect()
}

#[test]
fn a_file_that_is_not_there_is_named_with_its_key() {
    let absent = std::path::PathBuf::from("/absent/keys.toml");
    let refused = Keys::load(Vec::new(), Some(absent), "ingest").unwrap_err().to_string();
    assert!(refused.starts_with("`ingest.keys_file` is /absent/keys.toml: "), "{refused}");
}

#[test]
fn a_reload_rotates_keys_but_never_opens_a_closed_service() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys.toml");
    std::fs::write(&file, toml(&[key("old", &[Scope::Write])])).unwrap();
    let keys = Keys::load(Vec::new(), Some(file.clone()), "ingest").unwrap();
    let other_handle = keys.clone();
    assert!(keys.authorize(Some("old-key"), Scope::Write).is_ok());

    std::fs::write(&file, toml(&[key("new", &[Scope::Write])])).unwrap();
    keys.reload().unwrap();
    assert_eq!(other_handle.authorize(Some("old-key"), Scope::Write), Err(Denied::Unknown));
    assert!(other_handle.authorize(Some("new-key"), Scope::Write).is_ok());

    for broken in ["", "keys = 7", "[[keys]]\nname = \"x\""] {
        std::fs::write(&file, broken).unwrap();
        assert!(keys.reload().is_err(), "{broken}");
        assert!(keys.authorize(Some("new-key"), Scope::Write).is_ok());
        assert!(keys.authorize(None, Scope::Write).is_err());
    }
}

async fn ask(path: &str, header: Option<(&str, &str)>) -> (StatusCode, String) {
    async fn write(who: Authorized<Write>) -> String {
        format!("{:?} admin={}", who.caller.name(), who.caller.is_admin())
    }
    async fn admin(_: Authorized<Admin>) {}
    let router = Router::new().route("/write", get(write)).route("/admin", get(admin)).with_state(shop());
    let mut request = Request::get(path);
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_key_may_come_in_either_header() {
    for header in [
        ("x-api-key", "page-key"),
        ("authorization", "Bearer page-key"),
        ("authorization", "bearer page-key"),
    ] {
        let (status, body) = ask("/write", Some(header)).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, r#"Some("page") admin=false"#), "{header:?}");
        assert_eq!(ask("/admin", Some(header)).await.0, StatusCode::FORBIDDEN);
    }
    assert_eq!(ask("/write", None).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(ask("/write", Some(("authorization", "Basic page-key"))).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_key_in_the_address_only_writes() {
    assert_eq!(ask("/write?api_key=page-key", None).await.0, StatusCode::OK);
    let (status, body) = ask("/write?x=1&api_key=owner-key", None).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, r#"Some("owner") admin=false"#));
    assert_eq!(ask("/admin?api_key=owner-key", None).await.0, StatusCode::UNAUTHORIZED);
}
