use super::{App, params};
use crate::answer::{History, Recommendations, Similar, TrendingAnswer};
use crate::engine::Given;
use crate::request::{HistoryRequest, RecommendationRequest, SimilarRequest, TrendingRequest};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use service_runtime::Problem;
use service_runtime::http::{KeySecurity, ProblemBody};
use service_runtime::keys::{Authorized, Read};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The longest body: a thousand of the longest ids and some.
const MAX_BODY_BYTES: usize = 512 * 1024;

#[derive(OpenApi)]
#[openapi(
    info(title = "ShopSmart serving", version = "1", description = "Recommendations, similar products, trending products and histories."),
    components(schemas(ProblemBody)),
    tags(
        (name = "recommendations", description = "What to show a shopper"),
        (name = "products", description = "What goes together, and what trends"),
        (name = "users", description = "What is known of a shopper"),
    ),
    modifiers(&KeySecurity),
)]
struct Document;

/// Every route with its description.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(recommend, recommend_by_body))
        .routes(routes!(recommend_for_cart))
        .routes(routes!(similar))
        .routes(routes!(trending))
        .routes(routes!(history))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
}

/// Products for a shopper
///
/// From what goes with the products of the shopper's session, topped up with what trends in their category and then in the
/// whole shop. Never empty while anything trends.
#[utoipa::path(get, path = "/recommendations", tag = "recommendations", params(RecommendationRequest),
    security(("bearer" = []), ("api_key" = [])), responses(
    (status = 200, body = Recommendations),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
))]
async fn recommend(
    State(app): State<App>,
    _: Authorized<Read>,
    uri: Uri,
) -> Result<Json<Recommendations>, Problem> {
    let request = params::recommendations(&uri)?;
    Ok(Json(recommended(&app, &request, Given::Session, "recommendations").await))
}

/// Products for a shopper, asked for by a body
///
/// The same as the query, for lists that are too long for an address.
#[utoipa::path(post, path = "/recommendations", tag = "recommendations", request_body = RecommendationRequest,
    security(("bearer" = []), ("api_key" = [])), responses(
    (status = 200, body = Recommendations),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
))]
async fn recommend_by_body(
    State(app): State<App>,
    _: Authorized<Read>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Recommendations>, Problem> {
    let request = params::recommendations_json(&headers, &body.map_err(unreadable_body)?)?;
    Ok(Json(recommended(&app, &request, Given::Session, "recommendations").await))
}

/// Products that go with a cart
///
/// `product_id` lists what is in the cart, which itself is never in the answer. The shopper is optional.
#[utoipa::path(post, path = "/recommendations/cart", tag = "recommendations", request_body = RecommendationRequest,
    security(("bearer" = []), ("api_key" = [])), responses(
    (status = 200, body = Recommendations),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
))]
async fn recommend_for_cart(
    State(app): State<App>,
    _: Authorized<Read>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Recommendations>, Problem> {
    let request = params::recommendations_json(&headers, &body.map_err(unreadable_body)?)?;
    Ok(Json(recommended(&app, &request, Given::Cart, "cart").await))
}

async fn recommended(
    app: &App,
    request: &RecommendationRequest,
    given: Given,
    route: &'static str,
) -> Recommendations {
    let engine = app.live.engine();
    // It is large, and would be copied from one layer's future into the next.
    let answer = Box::pin(engine.recommend(request, given, route));
    engine.in_time(request.min_position, answer).await
}

/// Products that go with a product
#[utoipa::path(get, path = "/products/{id}/similar", tag = "products",
    params(("id" = String, Path, description = "The product"), SimilarRequest),
    security(("bearer" = []), ("api_key" = [])), responses(
    (status = 200, body = Similar),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
))]
async fn similar(
    State(app): State<App>,
    _: Authorized<Read>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<Similar>, Problem> {
    let request = params::similar(id.map_err(unreadable_path)?.0, &uri)?;
    let engine = app.live.engine();
    Ok(Json(engine.in_time(None, engine.similar(&request)).await))
}

/// What trends, in the whole shop or in a category
#[utoipa::path(get, path = "/trending", tag = "products", params(TrendingRequest),
    security(("bearer" = []), ("api_key" = [])), responses(
    (status = 200, body = TrendingAnswer),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
))]
async fn trending(
    State(app): State<App>,
    _: Authorized<Read>,
    uri: Uri,
) -> Result<Json<TrendingAnswer>, Problem> {
    let request = params::trending(&uri)?;
    let engine = app.live.engine();
    Ok(Json(engine.in_time(None, engine.trending(&request)).await))
}

/// What a shopper did lately, the newest first
#[utoipa::path(get, path = "/users/{id}/history", tag = "users",
    params(("id" = String, Path, description = "The shopper"), HistoryRequest),
    security(("bearer" = []), ("api_key" = [])), responses(
    (status = 200, body = History),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
))]
async fn history(
    State(app): State<App>,
    _: Authorized<Read>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<History>, Problem> {
    let request = params::history(id.map_err(unreadable_path)?.0, &uri)?;
    let engine = app.live.engine();
    Ok(Json(engine.in_time(request.min_position, engine.history(request)).await))
}

fn unreadable_body(rejection: BytesRejection) -> Problem {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = format!("the body may have up to {MAX_BODY_BYTES} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
        }
        _ => Problem::new(StatusCode::BAD_REQUEST, "malformed_body", rejection.body_text()),
    }
}

fn unreadable_path(rejection: PathRejection) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed_path", rejection.body_text())
}
