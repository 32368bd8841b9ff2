use super::{dead_letters, lag, live, products};
use axum::Json;
use service_runtime::http::ProblemBody;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

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
    modifiers(&Security),
)]
struct Document;

/// The two ways to show a key: the scope `read` looks, `admin` redrives.
struct Security;

impl Modify for Security {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let components = description.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let header = ApiKey::Header(ApiKeyValue::new("X-API-Key"));
        components.add_security_scheme("api_key", SecurityScheme::ApiKey(header));
    }
}

/// OpenAPI 3.1 of the endpoints for operators, generated from the code.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// `GET /admin/openapi.json`
pub(super) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(openapi())
}
