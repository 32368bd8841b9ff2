//! The service's description.

use crate::http::routes;
use axum::Router;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::SwaggerUi;

/// OpenAPI 3.1 of every route, generated from the code.
pub fn openapi() -> OpenApi {
    routes().split_for_parts().1
}

/// `/openapi.json`, and Swagger UI at `/docs` with its assets inside the program. `document` may describe several services.
pub fn docs(document: OpenApi) -> Router {
    SwaggerUi::new("/docs").url("/openapi.json", document).into()
}
