//! Redis, single and Cluster, when the environment names servers.

use crate::support::servers;
use std::sync::Arc;
use stores::ServingStore;
use stores::redis::{RedisServingStore, RedisSettings};

/// Generous: test machines are slow, and no promise here is about time.
pub fn settings(urls: Vec<String>, cluster: bool) -> RedisSettings {
    RedisSettings { urls, cluster, timeout_ms: 10_000, write_timeout_ms: 10_000, ..RedisSettings::default() }
}

async fn connect(variable: &str, cluster: bool) -> Option<Arc<dyn ServingStore>> {
    let settings = settings(servers(variable)?, cluster);
    Some(Arc::new(RedisServingStore::connect(&settings).unwrap()))
}

mod single {
    async fn open() -> Option<std::sync::Arc<dyn stores::ServingStore>> {
        super::connect("SHOPSMART_TEST_REDIS", false).await
    }

    keeps_every_promise!();
    keeps_the_promises_of_watching!();
}

mod clustered {
    async fn open() -> Option<std::sync::Arc<dyn stores::ServingStore>> {
        super::connect("SHOPSMART_TEST_REDIS_CLUSTER", true).await
    }

    keeps_every_promise!();
    keeps_the_promises_of_watching!();
}
