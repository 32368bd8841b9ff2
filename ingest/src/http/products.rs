//! The catalog: `POST /products/batch`, `PUT` and `DELETE /products/{id}`.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use bytes::Bytes;
use prost::Message;
use schemas::proto::Product;
use service_runtime::Problem;
use service_runtime::http::Connection;
use service_runtime::http::ProblemBody;
use service_runtime::keys::Admin;
use tokio::time::Instant;

use super::answers::{self, ProductAccepted, ProductResult, ProductsAnswer};
use super::app::App;
use super::batch::{Batch, Finished, Offer};
use super::body::Body;
use super::call::{Call, PathId};
use super::docs::{ProductInput, ProductsInput};
use super::items::Items;
use super::params;
use crate::admission::{self, Code, Rejection};
use crate::publisher::Company;

/// Set up to 1,000 products.
///
/// Each replaces the earlier product of its id as a whole. As `{"products":[…]}`, as a plain list, or as lines
/// (`application/x-ndjson`); answered one by one, in order.
#[utoipa::path(
    post, path = "/products/batch", tag = "catalog", operation_id = "postProducts",
    request_body(content((ProductsInput = "application/json"), (String = "application/x-ndjson"))),
    responses(
        (status = 200, description = "What became of each product", body = ProductsAnswer),
        (status = "4XX", description = "Refused as a whole; `code` says why. Only 429 is worth sending again", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The log acknowledged none; send those named in `product_ids` again after `Retry-After` seconds", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("api_key" = [])),
)]
pub(super) async fn post_products(
    State(app): State<App>,
    call: Call<Admin>,
    request: Request,
) -> Result<(HeaderMap, Json<ProductsAnswer>), Problem> {
    let body = Body::read(&app, request, true).await?;
    let items = Items::of(&body).map_err(answers::refused)?;
    let limits = call.take(&app, items.items.len())?;
    let received_at_ms = app.clock.now_ms();

    let mut batch = Batch::new(&app, items.items.len());
    for item in items.items {
        match item.and_then(|json| admission::admit_product(json, None, received_at_ms)) {
            Err(rejection) => batch.reject(rejection),
            Ok(product) => {
                let (key, value, id) = encode(product);
                batch.offer(Offer { topic: &app.products, key, value, id, clamped: false }, None);
            }
        }
    }
    drop(body);
    let finished = batch.finish(&call.connection).await;
    let problem = finished.problem("product_ids");
    let answer = answer(finished);
    match problem {
        None => Ok((limits, Json(answer))),
        Some(problem) => Err(problem.member("results", serde_json::json!(answer.results))),
    }
}

/// Set one product.
///
/// Replaces the earlier product of this id as a whole.
#[utoipa::path(
    put, path = "/products/{id}", tag = "catalog", operation_id = "putProduct",
    params(("id" = String, Path, description = "The product's id")),
    request_body(content = ProductInput, content_type = "application/json"),
    responses(
        (status = 202, description = "The log holds the product", body = ProductAccepted),
        (status = "4XX", description = "Refused; `code` says why. Only 429 is worth sending again", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The log did not acknowledge; send the same again after `Retry-After` seconds", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("api_key" = [])),
)]
pub(super) async fn put_product(
    State(app): State<App>,
    call: Call<Admin>,
    PathId(id): PathId,
    request: Request,
) -> Result<(StatusCode, HeaderMap, Json<ProductAccepted>), Problem> {
    let limits = call.take(&app, 1)?;
    params::none(request.uri())?;
    let id = admission::path_id(id, Code::InvalidProductId, "product_id").map_err(|r| refused(&app, r))?;
    let body = Body::read(&app, request, false).await?;
    let received_at_ms = app.clock.now_ms();
    let product = body.text().and_then(|json| admission::admit_product(json, Some(&id), received_at_ms));
    drop(body);
    let (key, value, id) = encode(product.map_err(|rejection| refused(&app, rejection))?);
    publish(&app, &call.connection, key, value, id, received_at_ms)
        .await
        .map(|answer| (StatusCode::ACCEPTED, limits, answer))
}

/// Remove one product.
///
/// It leaves every answer within a second. Removing what is not there is accepted too.
#[utoipa::path(
    delete, path = "/products/{id}", tag = "catalog", operation_id = "deleteProduct",
    params(("id" = String, Path, description = "The product's id")),
    responses(
        (status = 202, description = "The log holds the removal", body = ProductAccepted),
        (status = "4XX", description = "Refused; `code` says why. Only 429 is worth sending again", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The log did not acknowledge; send the same again after `Retry-After` seconds", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("api_key" = [])),
)]
pub(super) async fn delete_product(
    State(app): State<App>,
    call: Call<Admin>,
    PathId(id): PathId,
    uri: Uri,
) -> Result<(StatusCode, HeaderMap, Json<ProductAccepted>), Problem> {
    let limits = call.take(&app, 1)?;
    params::none(&uri)?;
    let id = admission::path_id(id, Code::InvalidProductId, "product_id").map_err(|r| refused(&app, r))?;
    let key = Bytes::copy_from_slice(id.as_bytes());
    let received_at_ms = app.clock.now_ms();
    // Not a tombstone: the log drops these after a while, and whoever starts later would take the product for an unknown
    // one, which counts as active.
    let product = Product { product_id: id.clone(), updated_at_ms: received_at_ms, ..Product::default() };
    let answer =
        publish(&app, &call.connection, key, Bytes::from(product.encode_to_vec()), id, received_at_ms)
            .await?;
    Ok((StatusCode::ACCEPTED, limits, answer))
}

async fn publish(
    app: &App,
    connection: &Connection,
    key: Bytes,
    value: Bytes,
    product_id: String,
    received_at_ms: i64,
) -> Result<Json<ProductAccepted>, Problem> {
    let begun = Instant::now();
    let unpublished = |reason| {
        app.metrics.retry.increment(1);
        answers::unpublished(&reason)
    };
    let handed = app.publisher.hand_over(&app.products, key, value, Company::Alone).map_err(unpublished)?;
    let outcome = app.publisher.acknowledged(handed, app.publisher.deadline(begun), connection).await;
    app.metrics.appended(begun.elapsed());
    outcome.map_err(unpublished)?;
    app.metrics.accepted.increment(1);
    let received_at = answers::rfc_3339(received_at_ms);
    Ok(Json(ProductAccepted { status: answers::ACCEPTED, product_id, received_at }))
}

fn answer(finished: Finished) -> ProductsAnswer {
    let results =
        finished.items.into_iter().enumerate().map(|(index, (product_id, settled))| ProductResult {
            index,
            product_id,
            result: settled.outcome,
            code: settled.code,
            detail: settled.detail,
        });
    ProductsAnswer { accepted: finished.accepted, results: results.collect() }
}

fn refused(app: &App, rejection: Rejection) -> Problem {
    app.metrics.rejected(rejection.code);
    answers::refused(rejection)
}

/// The record's key and value, and the product's id.
fn encode(product: Product) -> (Bytes, Bytes, String) {
    let value = product.encode_to_vec().into();
    (Bytes::copy_from_slice(product.product_id.as_bytes()), value, product.product_id)
}
