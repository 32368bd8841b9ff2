//! A bare HTTP server with the two round trips of an answer: a shopper's history, then the lists of its products, merged.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use redis::aio::MultiplexedConnection;
use schemas::published::{NeighbourList, UserHistory};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Asked {
    user_id: String,
}

#[derive(Serialize)]
struct Item {
    product_id: String,
    score: f32,
}

struct Floor {
    connection: MultiplexedConnection,
    generation: u16,
}

/// Serves from what was published for `generation`, until the process ends.
///
/// # Errors
/// When it cannot listen, or there is no Redis.
pub async fn serve(listen: SocketAddr, redis: &str, generation: u16) -> Result<()> {
    let connection = redis::Client::open(redis)?.get_multiplexed_async_connection().await?;
    let floor = Arc::new(Floor { connection, generation });
    let router = Router::new().route("/recommendations", get(answer)).with_state(floor);
    Ok(axum::serve(tokio::net::TcpListener::bind(listen).await?, router).await?)
}

async fn answer(State(floor): State<Arc<Floor>>, Query(asked): Query<Asked>) -> Json<Vec<Item>> {
    let items = floor.items(&asked.user_id).await;
    Json(items.unwrap_or_default())
}

impl Floor {
    async fn items(&self, user: &str) -> Result<Vec<Item>> {
        let mut connection = self.connection.clone();
        let key = schemas::names::user_key(self.generation, user);
        let history: Vec<u8> = redis::cmd("GET").arg(key).query_async(&mut connection).await?;
        let mut products: Vec<String> =
            UserHistory::decode(&history)?.entries.into_iter().map(|entry| entry.product_id).collect();
        products.sort_unstable();
        products.dedup();
        products.truncate(20);
        let keys: Vec<String> =
            products.iter().map(|id| schemas::names::neighbours_key(self.generation, id)).collect();
        let lists: Vec<Option<Vec<u8>>> = redis::cmd("MGET").arg(keys).query_async(&mut connection).await?;
        let mut sums = HashMap::<_, f32>::new();
        for list in lists.into_iter().flatten() {
            for entry in NeighbourList::decode(&list)?.entries {
                *sums.entry(entry.product_id).or_default() += entry.score;
            }
        }
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_unstable_by(|a, b| b.1.total_cmp(&a.1));
        let item = |(product_id, score): (_, f32)| Item { product_id: String::from(product_id), score };
        Ok(sums.into_iter().take(20).map(item).collect())
    }
}
