//! What serving is asked.

use schemas::Position;
use schemas::published::{Trend, Window};
use schemas::user::{User, UserKey};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which of the products that a shopper already knows may be recommended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// None that the shopper interacted with.
    #[default]
    Exclude,
    /// All of them.
    Include,
    /// All but the purchased ones.
    Purchased,
}

impl Seen {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Exclude, Self::Include, Self::Purchased];

    /// The name in requests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exclude => "exclude",
            Self::Include => "include",
            Self::Purchased => "purchased",
        }
    }
}

/// By what a list of trending products is ranked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrendRank {
    /// The weight of the products' events in a window.
    #[default]
    Popular,
    /// Demand of the last days against that of the season: what is new, or wanted more than usual.
    Rising,
}

impl TrendRank {
    /// Every rank.
    pub const ALL: [Self; 2] = [Self::Popular, Self::Rising];

    /// The name in requests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Popular => "popular",
            Self::Rising => "rising",
        }
    }
}

/// Asks for recommendations. All members are optional; ids may be strings or integers.
#[derive(Debug, Clone, Default, PartialEq, Eq, ToSchema, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RecommendationRequest {
    /// The shopper.
    pub user_id: Option<String>,
    /// The browser, where the shopper is not signed in; not looked at when there is a `user_id`.
    pub anonymous_id: Option<String>,
    /// How many items: 1 to 100.
    #[schema(value_type = Option<u32>, default = 10, minimum = 1, maximum = 100)]
    #[param(value_type = Option<u32>, default = 10, minimum = 1, maximum = 100)]
    pub k: u32,
    /// Only products of this category, whatever tier they come from.
    pub category_id: Option<String>,
    /// The session so far, in the order of viewing (the last one viewed last), where the caller knows better than the
    /// shopper's history. For a cart: its products. At most 100.
    #[schema(value_type = Option<Vec<String>>)]
    #[param(value_type = Option<Vec<String>>)]
    pub product_id: Vec<String>,
    /// Taken for the caller's own bookkeeping; sessions are told apart by time.
    pub session_id: Option<String>,
    /// Products that must not be in the answer. At most 1000.
    #[schema(value_type = Option<Vec<String>>)]
    #[param(value_type = Option<Vec<String>>)]
    pub exclude: Vec<String>,
    /// `exclude`, `include` or `purchased`.
    #[schema(value_type = Option<Seen>, default = "exclude")]
    #[param(value_type = Option<Seen>, inline)]
    pub seen: Seen,
    /// The window of the trending tiers: `1h`, `24h`, `7d` or `30d`. Without it 1h, filled up from 7d and 30d.
    #[schema(value_type = Option<String>, pattern = "^(1h|24h|7d|30d)$")]
    #[param(value_type = Option<String>, pattern = "^(1h|24h|7d|30d)$")]
    pub window: Option<Window>,
    /// A receipt of ingest: the answer waits up to 200 ms for that event to be reflected, and says in
    /// `freshness.reached` whether it is.
    #[schema(value_type = Option<String>)]
    #[param(value_type = Option<String>)]
    pub min_position: Option<Position>,
    /// Adds the `reason` to every item.
    #[schema(value_type = Option<bool>, default = false)]
    #[param(value_type = Option<bool>, default = false)]
    pub explain: bool,
}

impl RecommendationRequest {
    /// The key of the shopper's history; `None` where nobody is named.
    pub fn user(&self) -> Option<UserKey> {
        let known = self.user_id.as_deref().map(User::Known);
        known.or(self.anonymous_id.as_deref().map(User::Anonymous)).map(UserKey::of)
    }
}

/// Asks for what goes with a product.
#[derive(Debug, Clone, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SimilarRequest {
    /// The product, from the path.
    #[param(ignore)]
    pub product_id: String,
    /// How many items: 1 to 100.
    #[param(value_type = Option<u32>, default = 10, minimum = 1, maximum = 100)]
    pub k: u32,
    /// Only products of this category.
    pub category_id: Option<String>,
    /// Products that must not be in the answer. At most 1000.
    #[param(value_type = Option<Vec<String>>)]
    pub exclude: Vec<String>,
}

/// Asks for what trends.
#[derive(Debug, Clone, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TrendingRequest {
    /// `popular`, the default: by the weight of the events in the window. `rising`: by demand of the last days against that of
    /// the season, which takes no window.
    #[param(value_type = Option<TrendRank>, inline)]
    pub rank: TrendRank,
    /// `1h`, `24h`, `7d` or `30d`; only with `rank=popular`.
    #[param(value_type = Option<String>, pattern = "^(1h|24h|7d|30d)$", default = "24h")]
    pub window: Option<Window>,
    /// Only products of this category.
    pub category_id: Option<String>,
    /// How many items: 1 to 100.
    #[param(value_type = Option<u32>, default = 10, minimum = 1, maximum = 100)]
    pub k: u32,
}

impl TrendingRequest {
    /// The list asked for.
    pub fn trend(&self) -> Trend {
        match self.rank {
            TrendRank::Popular => Trend::Popular(self.window.unwrap_or(Window::Day)),
            TrendRank::Rising => Trend::Rising,
        }
    }
}

/// Asks for what a shopper did lately.
#[derive(Debug, Clone, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct HistoryRequest {
    /// The shopper, from the path.
    #[param(ignore)]
    pub id: String,
    /// Whether the path names an `anonymous_id` instead of a `user_id`.
    #[param(value_type = Option<bool>, default = false)]
    pub anonymous: bool,
    /// How many items: 1 to 100. No more than 50 are kept.
    #[param(value_type = Option<u32>, default = 10, minimum = 1, maximum = 100)]
    pub k: u32,
    /// As for recommendations.
    #[param(value_type = Option<String>)]
    pub min_position: Option<Position>,
}

impl HistoryRequest {
    /// The key of the shopper's history.
    pub fn user(&self) -> UserKey {
        UserKey::of(if self.anonymous { User::Anonymous(&self.id) } else { User::Known(&self.id) })
    }
}
