use super::support::{Dev, append_by_hand, post, some_shopping, variant};
use anyhow::{Result, ensure};
use serde_json::json;
use std::path::Path;
use std::process::{Command, Stdio};
use system_tests::program::until;
use system_tests::servers::{Installation, NEEDED as SERVERS, Redis};
use system_tests::{given, have};

const NEEDED: [&str; 3] = ["SHOPSMART_TEST_BIN", "SHOPSMART_TEST_NODE", "SHOPSMART_TEST_CHROMIUM"];

/// `web/test` says what is looked at.
#[tokio::test]
async fn the_operations_page_keeps_its_promises_in_a_browser() -> Result<()> {
    if !have(&NEEDED) {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let mut junk: Vec<(&str, &[u8])> =
        vec![("ada", b"\xff\xff no event \xff"), ("bob", b"{\"event_type\":\"view\"}")];
    // More than the page shows at first.
    junk.extend([("ada", &b"\xff"[..]); 22]);
    append_by_hand(scratch.path(), &junk).await?;
    let mut dev = Dev::start(scratch.path()).await?;
    some_shopping(&dev).await?;
    until("neighbours of the kettle", &dev.url("/products/kettle/similar"), |answer| {
        (!answer["items"].as_array()?.is_empty()).then_some(())
    })
    .await?;
    until("the kettle to be stored", &dev.url("/admin/products/kettle"), |_| Some(())).await?;
    until("the dead letters", &dev.url("/admin/dead-letters"), |letters| {
        (letters["items"].as_array()?.len() == junk.len()).then_some(())
    })
    .await?;

    let said = node("page.test.mjs", &[("SHOPSMART_OPS_URL", &dev.url("/ops/"))]).await?;
    eprintln!("{said}");
    dev.server.stop()
}

/// Runs a file of `web/test` and gives what it said.
async fn node(file: &str, variables: &[(&str, &str)]) -> Result<String> {
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web");
    let mut node = Command::new(given("SHOPSMART_TEST_NODE").expect("checked by the test"));
    node.current_dir(&web).args(["--test", &format!("test/{file}")]).stdin(Stdio::null());
    node.env("SHOPSMART_CHROMIUM", given("SHOPSMART_TEST_CHROMIUM").expect("checked by the test"));
    node.envs(variables.iter().copied());
    if let Some(folder) = given("SHOPSMART_TEST_SHOTS") {
        node.env("SHOPSMART_SHOTS", folder);
    }
    let output = tokio::task::spawn_blocking(move || node.output()).await??;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    Ok(said)
}

/// BLAKE3 of `sesame`.
const KEY_HASH: &str = "cdf66f7904297b8566a6c9f7713dd4fd4ae09bc97933e6cbb583d73311d3cdf2";

#[tokio::test]
async fn the_page_of_three_services_with_keys_asks_for_one_and_finds_serving() -> Result<()> {
    if !have(&[&NEEDED[..], &SERVERS[..]].concat()) {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let unique = std::process::id() % 500;
    let names = format!("page{unique}");
    let plain = Installation::new(scratch.path(), &names, &names, (3_500 + unique) as u16, Redis::Single)?;
    let keys = format!("keys = [{{ name = \"operators\", hash = \"{KEY_HASH}\", scopes = [\"read\"] }}]\n");
    let page = format!("http://{}", plain.processor);
    let changes = [
        (
            "[processor]\n".to_owned(),
            format!("[processor]\nserving_url = \"http://{}\"\n{keys}", plain.serving),
        ),
        ("[serving]\n".to_owned(), format!("[serving]\ncors_origins = [\"{page}\"]\n{keys}")),
    ];
    let mut with_keys = variant(&plain, scratch.path(), "keys", &changes)?;
    (with_keys.ingest, with_keys.serving) = (plain.ingest, plain.serving);
    let _processor = with_keys.start_ready("stream-processor").await?;
    let _ingest = with_keys.start_ready("ingest").await?;
    let _serving = with_keys.start_ready("serving").await?;
    let event = json!({ "event_type": "view", "user_id": "ada", "product_id": "kettle" });
    let (status, answer) = post(&format!("http://{}/events", plain.ingest), &event, None).await?;
    ensure!(status == 202, "{status}: {answer}");
    let page = format!("{page}/ops/");
    node("keys.test.mjs", &[("SHOPSMART_OPS_URL", &page), ("SHOPSMART_OPS_KEY", "sesame")]).await?;
    Ok(())
}
