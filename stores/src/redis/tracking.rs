//! Reading with server-assisted client-side caching: the server remembers what a connection has read, and pushes a message
//! over the same connection when one of these keys changes (`CLIENT TRACKING`, RESP3).
//!
//! Answers and messages come in the order in which the server acted: a message that follows an answer is about a change
//! after it. A connection that breaks may have lost messages, and one that is silent may be losing them; a heartbeat tells,
//! because its answer comes behind all messages before it.
//!
//! A key of a cluster is read from its primary, over a connection to that one. A primary that does not have a key's slot any more
//! refuses to answer for it, but does not tell that what it answered before is not its business any longer; so the heartbeat
//! asks each one which slots it takes for whose.

use super::topology::Topology;
use super::{RedisSettings, SERVING_STORE, within};
use crate::{Changes, StoreError, WatchingReader};
use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, Pipeline, PushInfo, PushKind, RedisError,
    RedisResult, ServerErrorKind, Value, cmd,
};
use async_trait::async_trait;
use bytes::Bytes;
use futures::future::try_join_all;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

/// How often a server has to show that its messages arrive.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// Between tries to connect.
const PAUSE: Duration = Duration::from_millis(500);
/// Requests that wait to be put on a connection; more make their callers wait.
const QUEUE: usize = 1024;

/// What is followed, over connections whose reads the servers remember, made anew whenever one of them breaks.
pub(super) struct TrackingReader {
    followed: watch::Receiver<Option<Arc<Followed>>>,
    timeout: Duration,
    task: AbortHandle,
}

/// Connections to all servers that hold keys.
enum Followed {
    Single(MultiplexedConnection),
    Cluster {
        topology: Topology,
        /// To the primaries of `topology`, in their order.
        primaries: Vec<Followee>,
        /// Whether a primary has refused to answer for a key that `topology` says it has: its slot moves, or has moved.
        is_outdated: AtomicBool,
    },
}

/// A primary of a cluster.
struct Followee {
    connection: MultiplexedConnection,
    /// What it said of the cluster when it was connected to.
    view: Topology,
}

impl TrackingReader {
    /// Begins to connect.
    pub(super) fn start(settings: &RedisSettings, changes: Arc<dyn Changes>) -> Result<Self, StoreError> {
        let connector = Connector {
            addresses: settings.tracking_clients()?,
            settings: settings.clone(),
            limit: settings.longest_timeout(),
            changes,
        };
        let (sender, followed) = watch::channel(None);
        #[allow(clippy::disallowed_methods, reason = "aborted when the reader is dropped")]
        let task = tokio::spawn(keep_connected(connector, sender)).abort_handle();
        Ok(Self { followed, timeout: settings.timeout(), task })
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
        self.followed.borrow().as_ref().is_some_and(|followed| !followed.is_outdated())
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        const ACTION: &str = "read with tracking";
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let Some(followed) = self.followed.borrow().clone() else {
            let reason = "not all connections that follow changes are up".to_owned();
            return Err(StoreError::Unavailable { store: SERVING_STORE, action: ACTION, reason });
        };
        within(self.timeout, ACTION, followed.get(keys)).await
    }
}

impl Followed {
    async fn get(&self, keys: &[String]) -> RedisResult<Vec<Option<Bytes>>> {
        let (topology, primaries, is_outdated) = match self {
            Self::Single(connection) => {
                return cmd("MGET").arg(keys).query_async(&mut connection.clone()).await;
            }
            Self::Cluster { topology, primaries, is_outdated } => (topology, primaries, is_outdated),
        };
        let (groups, strays) = topology.grouped(keys.iter().map(String::as_str));
        if !strays.is_empty() {
            return Err((ErrorKind::ClusterConnectionNotFound, "no primary has the slot of a key").into());
        }
        let answers = try_join_all(groups.iter().map(async |(&owner, indexes)| {
            let mut pipeline = Pipeline::with_capacity(indexes.len());
            for &index in indexes {
                pipeline.get(&keys[index]);
            }
            let answer = pipeline.query_async(&mut primaries[owner].connection.clone()).await;
            let found: Vec<Option<Bytes>> = answer.inspect_err(|error: &RedisError| {
                if let ErrorKind::Server(
                    ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::TryAgain,
                ) = error.kind()
                {
                    is_outdated.store(true, Ordering::Relaxed);
                }
            })?;
            Ok::<_, RedisError>((indexes, found))
        }))
        .await?;
        let mut values = vec![None; keys.len()];
        for (indexes, found) in answers {
            indexes.iter().zip(found).for_each(|(&index, value)| values[index] = value);
        }
        Ok(values)
    }

    /// Returns, with the reason, once a message may have been lost or is not to be expected any more.
    async fn until_silent(&self, limit: Duration, broken: &Notify) -> String {
        loop {
            tokio::select! {
                () = broken.notified() => return "it was closed".to_owned(),
                () = tokio::time::sleep(HEARTBEAT) => {}
            }
            match within(limit, "follow changes", self.heartbeat()).await {
                Ok(true) => {}
                Ok(false) => return "slots have other primaries now".to_owned(),
                Err(error) => return error.to_string(),
            }
        }
    }

    /// Whether keys are not where they were any more.
    fn is_outdated(&self) -> bool {
        match self {
            Self::Single(_) => false,
            Self::Cluster { is_outdated, .. } => is_outdated.load(Ordering::Relaxed),
        }
    }

    /// Whether what was read from each server is its business still.
    async fn heartbeat(&self) -> RedisResult<bool> {
        match self {
            Self::Single(connection) => {
                cmd("PING").exec_async(&mut connection.clone()).await?;
                Ok(true)
            }
            Self::Cluster { .. } if self.is_outdated() => Ok(false),
            Self::Cluster { primaries, .. } => {
                let same = primaries.iter().map(async |primary| {
                    Ok::<_, RedisError>(view_of(&mut primary.connection.clone()).await? == primary.view)
                });
                Ok(try_join_all(same).await?.into_iter().all(|is_same| is_same))
            }
        }
    }
}

async fn view_of(connection: &mut MultiplexedConnection) -> RedisResult<Topology> {
    Topology::parse(cmd("CLUSTER").arg("SLOTS").query_async(connection).await?)
}

async fn keep_connected(connector: Connector, current: watch::Sender<Option<Arc<Followed>>>) {
    let mut was_up = true;
    loop {
        let broken = Arc::new(Notify::new());
        match connector.connect(&broken).await {
            Ok(followed) => {
                was_up = true;
                tracing::info!("following changes in Redis");
                let followed = Arc::new(followed);
                current.send_replace(Some(Arc::clone(&followed)));
                let reason = followed.until_silent(connector.limit, &broken).await;
                // In this order: whoever still took a connection began before everything is forgotten.
                current.send_replace(None);
                connector.changes.all_changed();
                tracing::warn!(reason, "lost a connection that follows changes in Redis: reading without it");
            }
            Err(error) if std::mem::replace(&mut was_up, false) => {
                tracing::warn!(%error, "cannot follow changes in Redis: reading everything again each time");
            }
            Err(_) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Makes connections that tell changes.
struct Connector {
    /// To the addresses that are configured.
    addresses: Vec<Client>,
    settings: RedisSettings,
    limit: Duration,
    changes: Arc<dyn Changes>,
}

impl Connector {
    async fn connect(&self, broken: &Arc<Notify>) -> Result<Followed, StoreError> {
        if self.settings.cluster {
            return self.connect_cluster(broken).await;
        }
        let connection = within(self.limit, "connect", self.tracked(&self.addresses[0], broken)).await?;
        Ok(Followed::Single(connection))
    }

    async fn connect_cluster(&self, broken: &Arc<Notify>) -> Result<Followed, StoreError> {
        let (asked, topology) = self.ask().await?;
        let mut clients = Vec::new();
        for primary in &topology.primaries {
            let (host, port) = primary.address(&asked).ok_or_else(|| StoreError::Unavailable {
                store: SERVING_STORE,
                action: "connect",
                reason: format!("{} is no address", primary.name),
            })?;
            clients.push(self.settings.tracking_client_at(host, port)?);
        }
        let primaries = clients.iter().map(async |client| {
            let mut connection = self.tracked(client, broken).await?;
            let view = view_of(&mut connection).await?;
            Ok::<_, RedisError>(Followee { connection, view })
        });
        let primaries = within(self.limit, "connect", try_join_all(primaries)).await?;
        Ok(Followed::Cluster { topology, primaries, is_outdated: AtomicBool::new(false) })
    }

    /// What the first address that answers says of the cluster, and its host.
    async fn ask(&self) -> Result<(String, Topology), StoreError> {
        let mut failed = None;
        for client in &self.addresses {
            let view = async {
                let config = self.config();
                let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
                view_of(&mut connection).await
            };
            match within(self.limit, "ask for the slots", view).await {
                Ok(topology) => return Ok((host_of(client), topology)),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.expect("there is an address: the settings were checked"))
    }

    fn config(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.limit))
            .set_response_timeout(Some(self.limit))
            .set_pipeline_buffer_size(QUEUE)
    }

    /// A connection that tells changes of what is read over it; `broken` is notified when it is lost.
    async fn tracked(&self, client: &Client, broken: &Arc<Notify>) -> RedisResult<MultiplexedConnection> {
        let (changes, broken) = (Arc::clone(&self.changes), Arc::clone(broken));
        let config = self.config().set_push_sender(move |message: PushInfo| {
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
}

fn host_of(client: &Client) -> String {
    match client.get_connection_info().addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
        _ => String::new(),
    }
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
