//! The serving store on Redis 6 or later, single or Cluster; no modules, no `KEYS`.

mod cluster;
mod commands;
mod eviction;
mod settings;
mod single;
mod stuck;
mod topology;
mod tracking;

pub use settings::RedisSettings;

use crate::packed::{SERVING_STORE, require_version};
use crate::{Changes, ServingStore, StoreError, WatchingReader};
use ::redis::{RedisError, RedisResult};
use async_trait::async_trait;
use bytes::Bytes;
use cluster::Cluster;
use single::Single;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::error::Elapsed;
use tracking::TrackingReader;

/// A [`ServingStore`] on Redis. Connections are made when first needed and again whenever they break, so that a service
/// can start, and go on, while Redis is away; until then every call fails as [`StoreError::Unavailable`] within its
/// timeout.
pub struct RedisServingStore {
    settings: RedisSettings,
    servers: Servers,
    read_timeout: Duration,
    write_timeout: Duration,
}

enum Servers {
    Single(Single),
    Cluster(Box<Cluster>),
}

impl RedisServingStore {
    /// Prepares the connections. Needs a tokio runtime; does not wait for Redis ([`ServingStore::check`] does).
    ///
    /// # Errors
    /// When the settings cannot be right: [`StoreError::Unusable`].
    pub fn connect(settings: &RedisSettings) -> Result<Self, StoreError> {
        let servers = if settings.cluster {
            Servers::Cluster(Box::new(Cluster::new(settings)?))
        } else {
            Servers::Single(Single::new(settings)?)
        };
        let (read_timeout, write_timeout) = (settings.timeout(), settings.write_timeout());
        Ok(Self { settings: settings.clone(), servers, read_timeout, write_timeout })
    }

    async fn put_chunk(&self, chunk: &[(String, Bytes)]) -> RedisResult<()> {
        match &self.servers {
            Servers::Single(single) => single.put(chunk).await,
            Servers::Cluster(cluster) => cluster.put(chunk).await,
        }
    }

    /// Bounds an operation, whatever its client is waiting for: a connection, room in a queue, the answer.
    async fn within<T>(
        &self,
        limit: Duration,
        action: &'static str,
        operation: impl Future<Output = RedisResult<T>>,
    ) -> Result<T, StoreError> {
        let outcome = tokio::time::timeout(limit, operation).await;
        if let Servers::Cluster(cluster) = &self.servers {
            match &outcome {
                Ok(Ok(_)) => cluster.answered(),
                Ok(Err(error)) if !error.is_timeout() => {}
                _ => cluster.timed_out(),
            }
        }
        judged(outcome, limit, action)
    }
}

#[async_trait]
impl ServingStore for RedisServingStore {
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        self.within(self.read_timeout, "read", async {
            match &self.servers {
                Servers::Single(single) => single.get(keys).await,
                Servers::Cluster(cluster) => cluster.get(keys).await,
            }
        })
        .await
    }

    /// Sends what fits in one pipeline at a time; the write timeout is for one of them.
    async fn put_many(&self, values: Vec<(String, Bytes)>) -> Result<(), StoreError> {
        for (key, value) in &values {
            require_version(key, value)?;
        }
        for chunk in commands::chunks(&values) {
            self.within(self.write_timeout, "write", self.put_chunk(chunk)).await?;
        }
        Ok(())
    }

    async fn put_marker(&self, key: &str, value: Bytes) -> Result<(), StoreError> {
        require_version(key, &value)?;
        self.within(self.write_timeout, "write a marker", async {
            match &self.servers {
                Servers::Single(single) => single.put(&[(key.to_owned(), value)]).await,
                Servers::Cluster(cluster) => cluster.put_marker(key, value).await,
            }
        })
        .await
    }

    async fn get_markers(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        self.within(self.read_timeout, "read markers", async {
            match &self.servers {
                Servers::Single(single) => single.get(keys).await,
                Servers::Cluster(cluster) => cluster.get_markers(keys).await,
            }
        })
        .await
    }

    async fn check(&self) -> Result<Vec<String>, StoreError> {
        let answers = self
            .within(self.write_timeout, "check", async {
                match &self.servers {
                    Servers::Single(single) => single.check().await,
                    Servers::Cluster(cluster) => cluster.check().await,
                }
            })
            .await?;
        Ok(answers.iter().filter_map(|(server, memory)| eviction::warning(server, memory)).collect())
    }

    /// Over connections of its own, one to each primary.
    fn watch(&self, changes: Arc<dyn Changes>) -> Option<Arc<dyn WatchingReader>> {
        let reader = TrackingReader::start(&self.settings, changes);
        Some(Arc::new(reader.expect("the same settings made the other connection")))
    }
}

/// Bounds an operation of a client that is not [`RedisServingStore`]'s own.
async fn within<T>(
    limit: Duration,
    action: &'static str,
    operation: impl Future<Output = RedisResult<T>>,
) -> Result<T, StoreError> {
    judged(tokio::time::timeout(limit, operation).await, limit, action)
}

fn judged<T>(
    outcome: Result<RedisResult<T>, Elapsed>,
    limit: Duration,
    action: &'static str,
) -> Result<T, StoreError> {
    let reason = match outcome {
        Ok(Ok(done)) => return Ok(done),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} ms", limit.as_millis()),
    };
    Err(StoreError::Unavailable { store: SERVING_STORE, action, reason })
}

fn unusable(error: &RedisError) -> StoreError {
    StoreError::Unusable { store: SERVING_STORE, reason: error.to_string() }
}
