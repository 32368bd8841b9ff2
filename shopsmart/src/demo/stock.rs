//! The catalog, from the simulator to the server.

use anyhow::{Result, bail};
use serde::Serialize;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::client::{Backoff, BatchAnswer, BatchResult, CallError, Client, Verdict};
use crate::simulator::{Catalog, Product};

/// Products in a request.
const BATCH: usize = 500;

#[derive(Serialize)]
struct Body<'a> {
    products: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    product_id: &'a str,
    name: &'a str,
    category_path: [&'static str; 2],
    price: f64,
    currency: &'static str,
}

impl<'a> From<&'a Product> for Entry<'a> {
    fn from(product: &'a Product) -> Self {
        Self {
            product_id: &product.id,
            name: &product.name,
            category_path: product.category_path,
            price: product.price,
            currency: "EUR",
        }
    }
}

/// Sends what is sold from the start.
pub(super) async fn fill(client: &Client, catalog: &Catalog, stop: &CancellationToken) -> Result<()> {
    for products in catalog.listed().chunks(BATCH) {
        send(client, products, stop).await?;
    }
    Ok(())
}

/// Sends the launched product when its time has come.
pub(super) async fn launch(
    client: &Client,
    catalog: &Catalog,
    at: Instant,
    stop: &CancellationToken,
) -> Result<()> {
    if stop.run_until_cancelled(sleep_until(at)).await.is_some() {
        send(client, std::slice::from_ref(catalog.product(catalog.launched())), stop).await?;
    }
    Ok(())
}

/// Setting a product twice changes nothing, so whatever did not succeed is sent again as a whole.
async fn send(client: &Client, products: &[Product], stop: &CancellationToken) -> Result<()> {
    let body = Body { products: products.iter().map(Entry::from).collect() };
    let mut backoff = Backoff::new(0);
    while !stop.is_cancelled() {
        let retry_after = match client.post::<BatchAnswer>("/products/batch", &body).await {
            Ok(answer) => {
                if let Some(refused) = answer.results.iter().find(|result| result.result == Verdict::Rejected)
                {
                    let BatchResult { code, detail, .. } = refused;
                    let (code, detail) =
                        (code.as_deref().unwrap_or_default(), detail.as_deref().unwrap_or_default());
                    bail!("{} was rejected: {code}: {detail}", products[refused.index].id);
                }
                if answer.results.iter().all(|result| result.result != Verdict::Retry) {
                    return Ok(());
                }
                None
            }
            Err(CallError::Unavailable { retry_after, .. }) => retry_after,
            Err(refused) => return Err(refused.into()),
        };
        stop.run_until_cancelled(sleep(backoff.wait(retry_after))).await;
    }
    Ok(())
}
