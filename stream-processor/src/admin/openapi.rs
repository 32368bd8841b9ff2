use super::{dead_letters, lag, live, products};
use axum::Json;
use service_runtime::http::{KeySecurity, ProblemBody};
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(title = "ShopSmart stream processor", version = "1", description = "Lag, live figures and dead letters."),
    paths(
        lag::lag,
        live::live,
        products::product,
        dead_letters::list,
        dead_letters::show,
        dead_letters::redrive,
    ),
    components(schemas(ProblemBody)),
    tags((name = "operations", description = "For operators: what happens inside, and what could not be applied")),
    modifiers(&KeySecurity),
)]
struct Document;

/// OpenAPI 3.1 of the endpoints for operators, generated from the code.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// `GET /admin/openapi.json`
pub(super) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(openapi())
}
