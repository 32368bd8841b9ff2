//! Reading with server-assisted client-side caching: the server remembers what a connection has read, and pushes a message
//! over the same connection when one of these keys changes (`CLIENT TRACKING`, RESP3).
//!
//! Answers and messages come in the order in which the server acted: a message that follows an answer is about a change
//! after it. A connection that breaks may have lost messages, and one that is silent may be losing them; a heartbeat tells,
//! because its answer comes behind all messages before it.

use super::{RedisSettings, SERVING_STORE, within};
use crate::{Changes, StoreError, WatchingReader};
use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, PushInfo, PushKind, RedisResult, Value, cmd};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

/// How often the server has to show that its messages arrive.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// Between tries to connect.
const PAUSE: Duration = Duration::from_millis(500);
/// Requests that wait to be put on the connection; more make their callers wait.
const QUEUE: usize = 1024;

/// A connection whose reads the server remembers, made anew whenever it breaks.
pub(super) struct TrackingReader {
    connection: watch::Receiver<Option<MultiplexedConnection>>,
    timeout: Duration,
    task: AbortHandle,
}

impl TrackingReader {
    /// Begins to connect.
    pub(super) fn start(settings: &RedisSettings, changes: Arc<dyn Changes>) -> Result<Self, StoreError> {
        let client = settings.tracking_client()?;
        let (sender, connection) = watch::channel(None);
        let limit = settings.longest_timeout();
        #[allow(clippy::disallowed_methods, reason = "aborted when the reader is dropped")]
        let task = tokio::spawn(keep_connected(client, limit, changes, sender)).abort_handle();
        Ok(Self { connection, timeout: settings.timeout(), task })
    }
}

impl Drop for TrackingReader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[async_trait]
impl WatchingReader for TrackingReader {
    fn is_following(&self) -> bool {
        self.connection.borrow().is_some()
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        const ACTION: &str = "read with tracking";
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let Some(mut connection) = self.connection.borrow().clone() else {
            let reason = "the connection that follows changes is not up".to_owned();
            return Err(StoreError::Unavailable { store: SERVING_STORE, action: ACTION, reason });
        };
        within(self.timeout, ACTION, async { cmd("MGET").arg(keys).query_async(&mut connection).await }).await
    }
}

async fn keep_connected(
    client: Client,
    limit: Duration,
    changes: Arc<dyn Changes>,
    current: watch::Sender<Option<MultiplexedConnection>>,
) {
    let mut was_up = true;
    loop {
        let broken = Arc::new(Notify::new());
        match connect(&client, limit, &changes, &broken).await {
            Ok(connection) => {
                was_up = true;
                tracing::info!("following changes in Redis");
                current.send_replace(Some(connection.clone()));
                let reason = until_silent(connection, limit, &broken).await;
                // In this order: whoever still took the connection began before everything is forgotten.
                current.send_replace(None);
                changes.all_changed();
                tracing::warn!(
                    reason,
                    "lost the connection that follows changes in Redis: reading without it"
                );
            }
            Err(error) if std::mem::replace(&mut was_up, false) => {
                tracing::warn!(%error, "cannot follow changes in Redis: reading everything again each time");
            }
            Err(_) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn connect(
    client: &Client,
    limit: Duration,
    changes: &Arc<dyn Changes>,
    broken: &Arc<Notify>,
) -> RedisResult<MultiplexedConnection> {
    let (changes, broken) = (Arc::clone(changes), Arc::clone(broken));
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(limit))
        .set_response_timeout(Some(limit))
        .set_pipeline_buffer_size(QUEUE)
        .set_push_sender(move |message: PushInfo| {
            match message.kind {
                PushKind::Invalidate => tell(&*changes, &message.data),
                PushKind::Disconnection => {
                    changes.all_changed();
                    broken.notify_one();
                }
                _ => {}
            }
            Ok::<(), std::convert::Infallible>(())
        });
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    cmd("CLIENT").arg("TRACKING").arg("ON").exec_async(&mut connection).await?;
    Ok(connection)
}

/// The message holds the keys, or nothing when the server has emptied itself.
fn tell(changes: &dyn Changes, data: &[Value]) {
    let Some(Value::Array(keys)) = data.first() else { return changes.all_changed() };
    for key in keys {
        match key {
            Value::BulkString(key) => changes.changed(&String::from_utf8_lossy(key)),
            _ => changes.all_changed(),
        }
    }
}

async fn until_silent(mut connection: MultiplexedConnection, limit: Duration, broken: &Notify) -> String {
    loop {
        tokio::select! {
            () = broken.notified() => return "it was closed".to_owned(),
            () = tokio::time::sleep(HEARTBEAT) => {}
        }
        let ping = async { cmd("PING").exec_async(&mut connection).await };
        if let Err(error) = within(limit, "follow changes", ping).await {
            return error.to_string();
        }
    }
}
