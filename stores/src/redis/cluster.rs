use super::commands::{self, Sets};
use super::stuck::Stuck;
use super::topology::{Primary, Topology};
use super::{RedisSettings, unusable};
use crate::StoreError;
use crate::packed::version;
use ::redis::cluster::{ClusterClient, ClusterConfig};
use ::redis::cluster_async::ClusterConnection;
use ::redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use ::redis::{Cmd, ErrorKind, Pipeline, RedisResult, Value, cmd};
use bytes::Bytes;
use futures::future::{join_all, try_join_all};
use futures::stream::{self, StreamExt, TryStreamExt};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Commands that were redirected are repeated one by one, this many at a time.
const SINGLE_COMMANDS: usize = 64;
/// How often the driver repeats a command that was redirected or lost its connection.
const RETRIES: u32 = 3;
/// The longest pause before such a repetition, in ms.
const RETRY_PAUSE_MS: u64 = 50;
/// How old the view of the cluster may be when markers are read or written: a new primary has to get one soon.
const MARKER_VIEW_AGE: Duration = Duration::from_secs(1);

/// A Redis Cluster. Keys are grouped by primary into one pipeline each, all at the same time. Where a pipeline does not
/// go through as a whole (slots are being moved), its commands are sent one by one, and the driver redirects each.
pub(super) struct Cluster {
    client: ClusterClient,
    config: ClusterConfig,
    connection: RwLock<ClusterConnection>,
    stuck: Stuck,
    view: RwLock<Option<View>>,
    refreshing: Mutex<()>,
}

#[derive(Clone)]
struct View {
    topology: Arc<Topology>,
    seen: Instant,
}

impl Cluster {
    pub(super) fn new(settings: &RedisSettings) -> Result<Self, StoreError> {
        let limit = settings.longest_timeout();
        let client = settings
            .cluster_client()?
            .retries(RETRIES)
            .min_retry_wait(1)
            .max_retry_wait(RETRY_PAUSE_MS)
            .build()
            .map_err(|error| unusable(&error))?;
        let config = ClusterConfig::new().set_connection_timeout(limit).set_response_timeout(limit);
        let connection = RwLock::new(client.get_pending_async_connection_with_config(config.clone()));
        let (stuck, view, refreshing) = (Stuck::default(), RwLock::new(None), Mutex::new(()));
        Ok(Self { client, config, connection, stuck, view, refreshing })
    }

    /// An operation was answered.
    pub(super) fn answered(&self) {
        self.stuck.answered();
    }

    /// An operation was not answered in time. When that goes on and nothing is answered in between, the driver is given up:
    /// it can wait for itself for ever after a primary was lost (redis 1.8.1 repairs connections and asks for the slots
    /// behind one lock, and drives only one of these at a time).
    pub(super) fn timed_out(&self) {
        if self.stuck.timed_out(Instant::now()) {
            tracing::warn!("the client of the Redis Cluster does not answer any more: connecting anew");
            let connection = self.client.get_pending_async_connection_with_config(self.config.clone());
            *self.connection.write().unwrap_or_else(PoisonError::into_inner) = connection;
            *self.view.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    fn connection(&self) -> ClusterConnection {
        self.connection.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) async fn get(&self, keys: &[String]) -> RedisResult<Vec<Option<Bytes>>> {
        let topology = self.topology(Duration::MAX).await?;
        let (groups, strays) = topology.grouped(keys.iter().map(String::as_str));
        let answers = join_all(groups.iter().map(async |(&owner, indexes)| {
            let mut pipeline = Pipeline::with_capacity(indexes.len());
            for &index in indexes {
                pipeline.get(&keys[index]);
            }
            (indexes, self.pipeline(&topology.primaries[owner], pipeline, indexes.len()).await)
        }))
        .await;

        let mut values = vec![None; keys.len()];
        let mut again = strays;
        for (indexes, answers) in answers {
            match answers
                .and_then(|answers| answers.into_iter().map(bytes_of).collect::<RedisResult<Vec<_>>>())
            {
                Ok(found) => indexes.iter().zip(found).for_each(|(&index, value)| values[index] = value),
                Err(_) => again.extend(indexes),
            }
        }
        let repeated =
            self.one_by_one(again, |index| (keys[index].as_str(), cmd("GET").arg(&keys[index]).take()));
        for (index, answer) in repeated.await? {
            values[index] = bytes_of(answer)?;
        }
        Ok(values)
    }

    pub(super) async fn put(&self, values: &[(String, Bytes)]) -> RedisResult<()> {
        let topology = self.topology(Duration::MAX).await?;
        let (groups, mut again) = topology.grouped(values.iter().map(|(key, _)| key.as_str()));
        let done = join_all(groups.iter().map(async |(&owner, indexes)| {
            self.put_on(&topology.primaries[owner], values, indexes).await.map_err(|_| indexes)
        }))
        .await;
        again.extend(done.into_iter().filter_map(Result::err).flatten());
        let repeated = self.one_by_one(again, |index| {
            let (key, value) = &values[index];
            (key, commands::guarded_set(key, value))
        });
        repeated.await.map(drop)
    }

    async fn put_on(
        &self,
        primary: &Primary,
        values: &[(String, Bytes)],
        indexes: &[usize],
    ) -> RedisResult<()> {
        let sets = |load| commands::guarded_sets(indexes.iter().map(|&index| &values[index]), load);
        let answers = self.pipeline(primary, sets(false), indexes.len()).await?;
        if let Sets::ScriptMissing = commands::sets(answers)? {
            let answers = self.pipeline(primary, sets(true), 1 + indexes.len()).await?;
            commands::sets_with_script(answers)?;
        }
        Ok(())
    }

    /// Writes the marker once per primary, under a key with a tag that lands there.
    pub(super) async fn put_marker(&self, key: &str, value: Bytes) -> RedisResult<()> {
        let topology = self.topology(MARKER_VIEW_AGE).await?;
        let values: Vec<_> =
            topology.primaries.iter().map(|primary| (tagged(primary, key), value.clone())).collect();
        self.put(&values).await
    }

    pub(super) async fn get_markers(&self, keys: &[String]) -> RedisResult<Vec<Option<Bytes>>> {
        let topology = self.topology(MARKER_VIEW_AGE).await?;
        let primaries = topology.primaries.as_slice();
        let everywhere: Vec<String> =
            keys.iter().flat_map(|key| primaries.iter().map(move |primary| tagged(primary, key))).collect();
        let values = self.get(&everywhere).await?;
        Ok(values.chunks(primaries.len()).map(lowest_if_everywhere).collect())
    }

    /// Each primary's name and its memory settings.
    pub(super) async fn check(&self) -> RedisResult<Vec<(String, Result<String, String>)>> {
        let topology = self.topology(Duration::ZERO).await?;
        try_join_all(topology.primaries.iter().map(async |primary| {
            let answers = self.pipeline(primary, commands::check(), 2).await?;
            Ok((format!("Redis at {}", primary.name), commands::checked(answers)?))
        }))
        .await
    }

    async fn pipeline(&self, primary: &Primary, pipeline: Pipeline, count: usize) -> RedisResult<Vec<Value>> {
        let route = SingleNodeRoutingInfo::SpecificNode(Route::new(primary.slot, SlotAddr::Master));
        self.connection().route_pipeline(pipeline, 0, count, route).await
    }

    /// Sends the commands of `indexes` each on its own. That this was necessary means that the view is out of date.
    async fn one_by_one<'a>(
        &self,
        indexes: Vec<usize>,
        command: impl Fn(usize) -> (&'a str, Cmd),
    ) -> RedisResult<Vec<(usize, Value)>> {
        if indexes.is_empty() {
            return Ok(Vec::new());
        }
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = None;
        stream::iter(indexes)
            .map(|index| {
                let (key, command) = command(index);
                let route = SingleNodeRoutingInfo::SpecificNode(Route::with_key(key, SlotAddr::Master));
                let mut connection = self.connection();
                async move {
                    let answer = connection.route_command(command, RoutingInfo::SingleNode(route)).await?;
                    Ok((index, answer.extract_error()?))
                }
            })
            .buffer_unordered(SINGLE_COMMANDS)
            .try_collect()
            .await
    }

    /// The view of the cluster, asked for again when it is older than `age` or was found to be wrong.
    async fn topology(&self, age: Duration) -> RedisResult<Arc<Topology>> {
        if let Some(topology) = self.seen_within(age) {
            return Ok(topology);
        }
        let wanted = Instant::now();
        let _one_at_a_time = self.refreshing.lock().await;
        // Whoever had the lock before may have brought it: anything seen since we asked will do.
        if let Some(topology) = self.seen_within(age.max(wanted.elapsed())) {
            return Ok(topology);
        }
        let route = RoutingInfo::SingleNode(SingleNodeRoutingInfo::RandomPrimary);
        let answer = self.connection().route_command(cmd("CLUSTER").arg("SLOTS").take(), route).await?;
        let topology = Arc::new(Topology::parse(answer.extract_error()?)?);
        if topology.primaries.is_empty() {
            return Err((ErrorKind::ClusterConnectionNotFound, "no primary has any slot").into());
        }
        let view = View { topology: Arc::clone(&topology), seen: Instant::now() };
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Some(view);
        Ok(topology)
    }

    fn seen_within(&self, age: Duration) -> Option<Arc<Topology>> {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        (view.seen.elapsed() < age).then_some(view.topology)
    }
}

fn tagged(primary: &Primary, key: &str) -> String {
    format!("{{{}}}{key}", primary.tag)
}

/// What one marker is worth, from what each primary holds of it.
fn lowest_if_everywhere(values: &[Option<Bytes>]) -> Option<Bytes> {
    let values: Vec<&Bytes> = values.iter().map(Option::as_ref).collect::<Option<_>>()?;
    values.into_iter().min_by_key(|value| version(value)).cloned()
}

fn bytes_of(answer: Value) -> RedisResult<Option<Bytes>> {
    Ok(::redis::from_redis_value(answer.extract_error()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_counts_only_if_every_primary_has_it_and_then_as_the_lowest() {
        let value = |version: u8| Some(Bytes::from(vec![1, 0, 0, 0, 0, 0, 0, 0, version]));
        assert_eq!(lowest_if_everywhere(&[value(7), value(5), value(6)]), value(5));
        assert_eq!(lowest_if_everywhere(&[value(7), None, value(6)]), None);
    }
}
