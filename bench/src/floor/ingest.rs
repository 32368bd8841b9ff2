//! A bare HTTP server that parses an event, produces it and answers when the broker has acknowledged it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde::{Deserialize, Serialize};

/// An event as clients send it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Event {
    event_id: String,
    event_type: String,
    user_id: String,
    product_id: String,
}

#[derive(Deserialize)]
struct Batch {
    events: Vec<Event>,
}

struct Floor {
    producer: FutureProducer,
    topic: String,
}

/// Serves until the process ends.
///
/// # Errors
/// When it cannot listen.
pub async fn serve(listen: SocketAddr, brokers: &str, topic: &str, linger_ms: u32) -> Result<()> {
    let producer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("linger.ms", linger_ms.to_string())
        .set("queue.buffering.max.messages", "1000000")
        .create()?;
    let floor = Arc::new(Floor { producer, topic: topic.to_owned() });
    let router =
        Router::new().route("/events", post(one)).route("/events/batch", post(many)).with_state(floor);
    Ok(axum::serve(tokio::net::TcpListener::bind(listen).await?, router).await?)
}

async fn one(State(floor): State<Arc<Floor>>, Json(event): Json<Event>) -> StatusCode {
    floor.append(&event).await
}

async fn many(State(floor): State<Arc<Floor>>, Json(batch): Json<Batch>) -> StatusCode {
    let appends = futures::future::join_all(batch.events.iter().map(|event| floor.append(event))).await;
    let is_bad = |status: &StatusCode| *status != StatusCode::ACCEPTED;
    appends.into_iter().find(is_bad).unwrap_or(StatusCode::ACCEPTED)
}

impl Floor {
    async fn append(&self, event: &Event) -> StatusCode {
        let Ok(value) = serde_json::to_vec(event) else { return StatusCode::BAD_REQUEST };
        let record = FutureRecord::to(&self.topic).key(&event.user_id).payload(&value);
        match self.producer.send(record, Duration::from_secs(5)).await {
            Ok(_) => StatusCode::ACCEPTED,
            Err(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}
