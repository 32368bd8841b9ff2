use super::commands::{self, Sets};
use super::{RedisSettings, unusable};
use crate::StoreError;
use ::redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use ::redis::{RedisResult, cmd};
use bytes::Bytes;

/// Requests that wait to be put on the connection; more make their callers wait.
const QUEUE: usize = 1024;

/// One Redis server, over one shared connection.
pub(super) struct Single {
    connection: ConnectionManager,
}

impl Single {
    pub(super) fn new(settings: &RedisSettings) -> Result<Self, StoreError> {
        let config = ConnectionManagerConfig::new()
            // The next request tries again: none waits behind a backoff longer than it would wait for an answer.
            .set_number_of_retries(0)
            .set_connection_timeout(Some(settings.longest_timeout()))
            .set_response_timeout(Some(settings.longest_timeout()))
            .set_pipeline_buffer_size(QUEUE);
        let connection = ConnectionManager::new_lazy_with_config(settings.client()?, config)
            .map_err(|error| unusable(&error))?;
        Ok(Self { connection })
    }

    pub(super) async fn get(&self, keys: &[String]) -> RedisResult<Vec<Option<Bytes>>> {
        cmd("MGET").arg(keys).query_async(&mut self.connection.clone()).await
    }

    pub(super) async fn put(&self, values: &[(String, Bytes)]) -> RedisResult<()> {
        let mut connection = self.connection.clone();
        let pipeline = commands::guarded_sets(values.iter(), false);
        let answers = connection.req_packed_commands(&pipeline, 0, values.len()).await?;
        if let Sets::ScriptMissing = commands::sets(answers)? {
            let pipeline = commands::guarded_sets(values.iter(), true);
            let answers = connection.req_packed_commands(&pipeline, 0, 1 + values.len()).await?;
            commands::sets_with_script(answers)?;
        }
        Ok(())
    }

    /// The server's name in warnings and its memory settings.
    pub(super) async fn check(&self) -> RedisResult<Vec<(String, Result<String, String>)>> {
        let answers = self.connection.clone().req_packed_commands(&commands::check(), 0, 2).await?;
        Ok(vec![("Redis".to_owned(), commands::checked(answers)?)])
    }
}
