//! The three services as one server, and clients who mean no good or do not know better.

mod described;
mod flood;
mod generate;
mod schema;

use std::alloc::System;
use std::net::Ipv4Addr;

use cap::Cap;
use serde_json::Value;
use shopsmart::client::Client;
use shopsmart::dev::{self, Dev, DevOptions};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Counts what the server and its clients hold.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// The services on a free port, on an empty folder.
struct Server {
    url: String,
    dev: Dev,
    stop: CancellationToken,
    _folder: TempDir,
}

impl Server {
    async fn start() -> Self {
        let (folder, stop) = (tempfile::tempdir().unwrap(), CancellationToken::new());
        let listen = (Ipv4Addr::LOCALHOST, 0).into();
        let options = DevOptions { listen, data: folder.path().join("data"), partitions: Some(2) };
        let dev = dev::start(options, stop.clone()).await.unwrap();
        Self { url: format!("http://{}", dev.addr), dev, stop, _folder: folder }
    }

    /// Whether everyone else is still served: an event is acknowledged, applied, and in the answer.
    async fn still_serves(&self, user: &str) {
        let client = Client::new(&self.url, None).unwrap();
        let event = serde_json::json!({"event_type": "view", "user_id": user, "product_id": "kettle"});
        let request = reqwest::Client::new().post(format!("{}/events", self.url)).json(&event);
        let accepted: Value = request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap();
        let query = [("min_position", accepted["position"].as_str().unwrap())];
        loop {
            let history: Value = client.get(&format!("/users/{user}/history"), &query).await.unwrap();
            if history["freshness"]["reached"] == true {
                assert_eq!(history["items"][0]["product_id"], "kettle");
                return;
            }
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.dev.wait().await.unwrap();
    }
}
