use anyhow::{Result, ensure};
use bytes::Bytes;
use event_log::embedded::{EmbeddedLog, open_database};
use event_log::{EventLog, NewRecord, ProducerMode, TopicSpec};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use system_tests::program::{Program, free_address, until};
use system_tests::servers::{Installation, Redis};

/// `shopsmart dev` on a folder.
pub struct Dev {
    pub address: SocketAddr,
    pub server: Program,
}

impl Dev {
    /// Starts it, with two partitions, and waits until it is ready.
    pub async fn start(scratch: &Path) -> Result<Self> {
        let (data, address) = (scratch.join("data"), free_address()?);
        let (listen, data) = (address.to_string(), data.to_string_lossy().into_owned());
        let arguments = ["dev", "--listen", &listen, "--data", &data, "--partitions", "2"];
        let server = Program::start("shopsmart", &arguments, scratch)?;
        let dev = Self { address, server };
        until("the server", &dev.url("/health/ready"), |answer| {
            answer["ready"].as_bool().filter(|ready| *ready)
        })
        .await?;
        Ok(dev)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// Puts records into the topic `events` of a folder that no server runs on, as another producer would: what ingest would
/// refuse.
pub async fn append_by_hand(scratch: &Path, records: &[(&str, &[u8])]) -> Result<()> {
    let log = EmbeddedLog::open(open_database(&scratch.join("data"))?, Arc::new(now_ms))?;
    let spec = TopicSpec { name: "events".to_owned(), partitions: 2, compacted: false, retention_ms: None };
    log.ensure_topics(&[spec]).await?;
    let producer = log.producer(ProducerMode::Bounded { ack_timeout_ms: 10_000, linger_ms: 0 })?;
    for (key, value) in records {
        let (key, value) = (Bytes::copy_from_slice(key.as_bytes()), Bytes::copy_from_slice(value));
        let record = NewRecord { topic: "events".into(), partition: None, key, value, traceparent: None };
        producer.append(record)?.await?;
    }
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "stands for the clock of another producer's broker")]
pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

/// Posts JSON and gives the status and the answer.
pub async fn post(url: &str, body: &Value, key: Option<&str>) -> Result<(u16, Value)> {
    let request = reqwest::Client::new().post(url).json(body);
    let request = match key {
        Some(key) => request.bearer_auth(key),
        None => request,
    };
    let answer = request.send().await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

/// Some shoppers who go together: `ada` among them, and `kettle` what they look at.
pub async fn some_shopping(dev: &Dev) -> Result<()> {
    let views = [
        ("ada", "view", "kettle"),
        ("ada", "view", "teapot"),
        ("bob", "view", "kettle"),
        ("bob", "view", "teapot"),
        ("bob", "purchase", "teapot"),
        ("bob", "view", "toaster"),
        ("cy", "view", "kettle"),
        ("cy", "add_to_cart", "toaster"),
        ("ada", "view", "kettle"),
    ];
    for (user, kind, product) in views {
        let event =
            json!({ "event_type": kind, "user_id": user, "product_id": product, "category_id": "kitchen" });
        let (status, answer) = post(&dev.url("/events"), &event, None).await?;
        ensure!(status == 202, "{status}: {answer}");
    }
    Ok(())
}

/// The same installation as another process sees it: with `changes` to the text of its configuration.
pub fn variant(
    of: &Installation,
    scratch: &Path,
    name: &str,
    changes: &[(String, String)],
) -> Result<Installation> {
    let mut variant = Installation::new(scratch, name, "unused", 1, Redis::Single)?;
    let mut text = std::fs::read_to_string(&of.config)?;
    for (from, to) in changes {
        ensure!(text.contains(from), "{from} is not in the configuration");
        text = text.replace(from, to);
    }
    std::fs::write(&variant.config, text)?;
    variant.processor = of.processor;
    Ok(variant)
}
