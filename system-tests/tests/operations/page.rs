use super::support::{Dev, append_by_hand, some_shopping};
use anyhow::{Result, ensure};
use std::path::Path;
use std::process::{Command, Stdio};
use system_tests::program::until;
use system_tests::{given, have};

const NEEDED: [&str; 3] = ["SHOPSMART_TEST_BIN", "SHOPSMART_TEST_NODE", "SHOPSMART_TEST_CHROMIUM"];

/// `web/test` says what is looked at.
#[tokio::test]
async fn the_operations_page_keeps_its_promises_in_a_browser() -> Result<()> {
    if !have(&NEEDED) {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let junk: [(&str, &[u8]); 2] =
        [("ada", b"\xff\xff no event \xff"), ("bob", b"{\"event_type\":\"view\"}")];
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

    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web");
    let mut node = Command::new(given("SHOPSMART_TEST_NODE").expect("checked above"));
    node.current_dir(&web).args(["--test", "test/"]).stdin(Stdio::null());
    node.env("SHOPSMART_OPS_URL", dev.url("/ops/"));
    node.env("SHOPSMART_CHROMIUM", given("SHOPSMART_TEST_CHROMIUM").expect("checked above"));
    if let Some(folder) = given("SHOPSMART_TEST_SHOTS") {
        node.env("SHOPSMART_SHOTS", folder);
    }
    let output = tokio::task::spawn_blocking(move || node.output()).await??;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    eprintln!("{said}");
    dev.server.stop()
}
