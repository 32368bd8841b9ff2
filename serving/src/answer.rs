//! What serving answers.

use crate::degraded::Degraded;
use crate::request::TrendRank;
use schemas::EventKind;
use schemas::published::Window;
use serde::Serialize;
use utoipa::ToSchema;

/// Where an item comes from, and what carried an answer as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// From what goes with the products of the session.
    Personalized,
    /// From what trends in a category: the one asked for, or that of the session's last product.
    ColdStartCategory,
    /// From what trends in the whole shop.
    Trending,
}

impl Tier {
    /// The name used in JSON and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Personalized => "personalized",
            Self::ColdStartCategory => "cold_start_category",
            Self::Trending => "trending",
        }
    }
}

/// Products for a shopper, the best first.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Recommendations {
    /// Send it along with the events that follow, as `recommendation_id`.
    pub recommendation_id: String,
    /// As asked; null where none was given.
    pub user_id: Option<String>,
    /// As asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anonymous_id: Option<String>,
    /// How many items were asked for.
    pub k: u32,
    /// `personalized` when at least half of the items asked for are; otherwise the first tier that filled up the answer.
    pub strategy: Tier,
    /// The products.
    pub items: Vec<Item>,
    /// How far behind the shop's events this answer is.
    pub freshness: Freshness,
    /// Time taken within the service, in ms.
    pub took_ms: f64,
}

/// One product of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Item {
    /// The product.
    pub product_id: String,
    /// Comparable among the items of the same source only: the estimated chance that it is next, or its weight in the
    /// trending window.
    pub score: f64,
    /// From 1.
    pub rank: u32,
    /// The tier it comes from.
    pub source: Tier,
    /// Why, with `explain=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// Why a product is in an answer: stored facts only.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Reason {
    /// The kind of reason, for programs.
    pub code: ReasonCode,
    /// For people.
    pub text: String,
    /// The product of the session (or the cart) that contributed most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_id: Option<String>,
    /// What the shopper did with that product last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "view")]
    pub event_type: Option<EventKind>,
    /// When, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// How often the two products were seen together, or the events in the trending window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// The trending window.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "24h")]
    pub window: Option<Window>,
    /// The category it trends in; absent = the whole shop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category_id: Option<String>,
}

/// The kinds of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReasonCode {
    /// Shoppers look at it in the same session as `product_id`, `count` times so far.
    SeenTogether,
    /// It goes with what goes with `product_id`.
    Similar,
    /// The shopper saw it in this session, and shoppers often return to such a product.
    SeenBefore,
    /// It trends.
    Trending,
}

/// How far behind the shop's events an answer is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct Freshness {
    /// Which generation of the derived state the answer was made from; it changes when an operator promotes another one.
    pub generation: u16,
    /// Everything that was logged up to this time is reflected (RFC 3339); null where unknown: nothing was processed yet, or
    /// the answer is degraded.
    pub as_of: Option<String>,
    /// How long the oldest event that is not reflected has been waiting, in ms; 0 when none does.
    pub lag_ms: Option<u64>,
    /// The last event of this user that is reflected, as ingest's receipts name it.
    pub position: Option<String>,
    /// Whether the answer was not made the usual way.
    pub degraded: bool,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Degraded>,
    /// Whether `min_position` is reflected; only where one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reached: Option<bool>,
}

/// Products that go with a product, the best first.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Similar {
    /// As asked.
    pub product_id: String,
    /// How many items were asked for.
    pub k: u32,
    /// The products; empty where nothing is known to go with it.
    pub items: Vec<SimilarItem>,
    /// How far behind the shop's events this answer is.
    pub freshness: Freshness,
    /// Time taken within the service, in ms.
    pub took_ms: f64,
}

/// A product that goes with another.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SimilarItem {
    /// The product.
    pub product_id: String,
    /// Comparable within this answer only.
    pub score: f64,
    /// From 1.
    pub rank: u32,
    /// How often the two were seen together; 0 where it goes with what goes with the product.
    pub count: u32,
}

/// What trends, the best first.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TrendingAnswer {
    /// By what it is ranked.
    pub rank: TrendRank,
    /// The window; only with `rank` = `popular`.
    #[schema(value_type = Option<String>, example = "24h")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// As asked; null = the whole shop.
    pub category_id: Option<String>,
    /// How many items were asked for.
    pub k: u32,
    /// The products.
    pub items: Vec<TrendingItem>,
    /// How far behind the shop's events this answer is.
    pub freshness: Freshness,
    /// Time taken within the service, in ms.
    pub took_ms: f64,
}

/// A product that trends.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TrendingItem {
    /// The product.
    pub product_id: String,
    /// With `rank` = `popular`, the weight of its events in the window: 1 a view, 3 an addition to a cart, 5 a purchase.
    /// With `rising`, how many times its usual demand it has.
    pub score: f64,
    /// From 1.
    pub rank: u32,
    /// Events in the window; with `rank` = `rising`, in the last 7 days.
    pub count: u64,
}

/// What a shopper did lately, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct History {
    /// As asked; null for an anonymous shopper.
    pub user_id: Option<String>,
    /// As asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anonymous_id: Option<String>,
    /// How many items were asked for.
    pub k: u32,
    /// The events.
    pub items: Vec<HistoryItem>,
    /// How far behind the shop's events this answer is.
    pub freshness: Freshness,
    /// Time taken within the service, in ms.
    pub took_ms: f64,
}

/// One event of a shopper.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct HistoryItem {
    /// The product.
    pub product_id: String,
    /// What was done.
    #[schema(value_type = String, example = "view")]
    pub event_type: EventKind,
    /// When, RFC 3339.
    pub timestamp: String,
}
