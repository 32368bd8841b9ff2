//! The OpenAPI description. What is read by hand (see `admission`) is described by types that exist for this only.

use axum::Router;
use service_runtime::http::KeySecurity;
use utoipa::openapi::OpenApi as Description;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};
use utoipa_swagger_ui::SwaggerUi;

use super::{admin_routes, event_routes};

/// The description of this service.
pub fn openapi() -> Description {
    let mut description = Base::openapi();
    description.merge(event_routes().merge(admin_routes()).into_openapi());
    description
}

/// `/openapi.json` and Swagger UI at `/docs`, whose files are part of the program.
pub fn docs(description: Description) -> Router {
    SwaggerUi::new("/docs").url("/openapi.json", description).into()
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "ShopSmart ingest",
        version = "1",
        description = "Takes what shoppers do, and the catalog. Nothing is acknowledged that the log does not hold.",
    ),
    tags(
        (name = "ingest", description = "What shoppers do"),
        (name = "catalog", description = "What the shop sells"),
        (name = "users", description = "Data protection"),
    ),
    modifiers(&KeySecurity, &KeyInQuery),
)]
struct Base;

/// What pages that are being left send.
struct KeyInQuery;

impl Modify for KeyInQuery {
    fn modify(&self, description: &mut Description) {
        let components = description.components.get_or_insert_default();
        let query = ApiKey::Query(ApiKeyValue::with_description(
            "api_key",
            "For `navigator.sendBeacon`, which can set no headers. Grants the scope `write` only.",
        ));
        components.add_security_scheme("api_key_query", SecurityScheme::ApiKey(query));
    }
}

/// A text, or an integer that is stored as one.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "describes what is read by hand")]
enum Id {
    /// At most 256 bytes, without control characters.
    Text(String),
    /// Stored as its decimal digits.
    Number(i64),
}

/// RFC 3339, or milliseconds since 1970 UTC.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "describes what is read by hand")]
enum Time {
    /// RFC 3339 with an offset.
    #[schema(format = DateTime)]
    Text(String),
    /// Milliseconds since 1970 UTC.
    Milliseconds(i64),
}

/// What a shopper did.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "describes what is read by hand")]
enum EventType {
    View,
    AddToCart,
    Purchase,
}

/// An event: at most 64 KiB. Give `user_id` or `anonymous_id`; with both, the user is the known one. Unknown fields are
/// passed over.
#[derive(ToSchema)]
#[schema(example = json!({
    "event_id": "018f4e9c-0000-7000-8000-000000000001", "event_type": "add_to_cart", "user_id": "42",
    "product_id": "kettle-1", "quantity": 1, "price": 29.9, "currency": "EUR"
}))]
#[allow(dead_code, reason = "describes what is read by hand")]
pub(super) struct EventInput {
    /// The idempotency key; made by the server (UUIDv7) when absent.
    event_id: Option<Id>,
    event_type: EventType,
    /// The signed-in user. What programs write for "nobody" (`null`, `guest`, …) is refused.
    user_id: Option<Id>,
    /// The browser, where nobody is signed in.
    anonymous_id: Option<Id>,
    session_id: Option<Id>,
    product_id: Id,
    #[schema(minimum = 1)]
    quantity: Option<u32>,
    #[schema(minimum = 0)]
    price: Option<f64>,
    /// Three letters.
    #[schema(pattern = "^[A-Za-z]{3}$")]
    currency: Option<String>,
    order_id: Option<Id>,
    category_id: Option<Id>,
    /// The recommendation that led here.
    recommendation_id: Option<Id>,
    /// When it happened; the time of receipt when absent. More than 5 minutes ahead: becomes the time of receipt. More than
    /// 30 days ago: refused, except in imports.
    timestamp: Option<Time>,
    /// When it was sent, by the same clock as `timestamp`: corrects that clock.
    sent_at: Option<Time>,
    /// Anything else, nested at most 8 levels deep.
    #[schema(value_type = Option<Object>)]
    metadata: Option<()>,
}

/// At most 1,000 events and 2 MiB.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read by hand")]
pub(super) struct BatchInput {
    /// When the batch was sent, by the same clock as the events' `timestamp`: corrects that clock.
    sent_at: Option<Time>,
    events: Vec<EventInput>,
}

/// A product: at most 64 KiB.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read by hand")]
pub(super) struct ProductInput {
    /// May be left out where it stands in the address.
    product_id: Option<Id>,
    #[schema(max_length = 1024)]
    name: Option<String>,
    /// Category ids from the root to the leaf.
    #[schema(max_items = 16)]
    category_path: Option<Vec<Id>>,
    #[schema(minimum = 0)]
    price: Option<f64>,
    /// Three letters.
    #[schema(pattern = "^[A-Za-z]{3}$")]
    currency: Option<String>,
    /// An http(s) address or a path.
    #[schema(max_length = 2048)]
    image_url: Option<String>,
    /// Whether it may be recommended; true when absent.
    active: Option<bool>,
    /// Anything else, nested at most 8 levels deep.
    #[schema(value_type = Option<Object>)]
    attributes: Option<()>,
}

/// At most 1,000 products and 2 MiB.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read by hand")]
pub(super) struct ProductsInput {
    products: Vec<ProductInput>,
}
