use super::{Admin, store_problem};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use recommender::{Interner, ProductRow};
use schemas::EventKind;
use schemas::published::Window;
use serde::Serialize;
use service_runtime::Problem;
use service_runtime::http::ProblemBody;
use service_runtime::keys::{Authorized, Read};
use std::collections::BTreeMap;
use stores::Table;
use utoipa::ToSchema;

/// Answer of `GET /admin/products/{id}`: what the state store holds of a product.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProductView {
    product_id: String,
    /// By the catalog, else as its events named it.
    category: Option<String>,
    /// Whether it may be shown; null where the catalog does not know it.
    active: Option<bool>,
    /// Events by kind since the generation began.
    #[schema(value_type = BTreeMap<String, u64>)]
    totals: BTreeMap<&'static str, u64>,
    windows: Vec<WindowView>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WindowView {
    #[schema(value_type = String, example = "24h")]
    window: Window,
    /// Sum of the events' weights.
    score: u64,
    count: u64,
}

/// What the state store holds of a product
#[utoipa::path(get, path = "/admin/products/{id}", tag = "operations", params(("id" = String, Path, description = "The product")),
    security(("bearer" = []), ("api_key" = [])), responses(
    (status = 200, body = ProductView),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "The processor or its state store is not there yet", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn product(
    State(admin): State<Admin>,
    _: Authorized<Read>,
    Path(product_id): Path<String>,
) -> Result<Json<ProductView>, Problem> {
    let context = admin.processor()?.context();
    let keys = [product_id.clone()];
    let read = context.parts.state.get_many(Table::ProductState, context.config.generation, &keys).await;
    let row = read.map_err(|error| store_problem(&error))?.into_iter().next().flatten();
    let catalog = context.parts.catalog.lookup(&product_id);
    if row.is_none() && catalog.is_none() {
        let detail = "no event of this product is stored yet, and the catalog does not know it";
        return Err(Problem::new(StatusCode::NOT_FOUND, "unknown_product", detail));
    }
    let names = Interner::default();
    let row = match row {
        None => ProductRow::default(),
        Some(row) => ProductRow::decode(&row.state, &names).map_err(|error| {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "unreadable_state", error.to_string())
        })?,
    };
    // As trending counts: in live use windows move on with the clock, in a replay with the stream.
    let now_ms = context.registry.window_now_ms(context.parts.clock.now_ms()).max(row.buckets.newest_ms());
    let windows = Window::ALL.map(|window| {
        let sum = row.buckets.sum(window, now_ms);
        WindowView { window, score: sum.weight, count: sum.count }
    });
    let totals = EventKind::ALL.into_iter().zip(row.totals).map(|(kind, total)| (kind.name(), total));
    let category = context.category_of(&product_id, &row.category);
    Ok(Json(ProductView {
        category: (!category.is_empty()).then(|| category.into()),
        active: catalog.map(|entry| entry.active),
        totals: totals.collect(),
        windows: windows.into(),
        product_id,
    }))
}
