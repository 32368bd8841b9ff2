//! What topics, Redis keys and state items are called. Every derived name carries its generation, so that a replay can
//! build a new one beside the live one.

use crate::published::Trend;

/// Names of the topics. `prefix` (default empty) lets several shops share a Kafka cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    /// What shoppers did: key = user key, value = `EventRecord`, LogAppendTime. A source: it has no generation.
    pub events: String,
    /// The catalog: key = product id, value = `Product`, compacted. A source.
    pub products: String,
    /// Updates from the shopper stage to the product stage: value = `ActivityRecord`. Derived.
    pub product_activity: String,
}

impl Topics {
    /// The names for a generation.
    pub fn new(prefix: &str, generation: u16) -> Self {
        Self {
            events: format!("{prefix}events"),
            products: format!("{prefix}products"),
            product_activity: format!("{prefix}product-activity-g{generation}"),
        }
    }
}

/// The key of a user's history in the serving store.
pub fn user_key(generation: u16, user: &str) -> String {
    format!("u:{generation}:{user}")
}

/// The key of a product's neighbour list.
pub fn neighbours_key(generation: u16, product: &str) -> String {
    format!("n:{generation}:{product}")
}

/// The key of one partition's share of a trending list; `category` empty = global.
pub fn trending_key(generation: u16, trend: impl Into<Trend>, category: &str, partition: u32) -> String {
    format!("t:{generation}:{}:{partition}:{category}", trend.into().name())
}

/// The key of one partition's share of the repeat table.
pub fn repeats_key(generation: u16, partition: u32) -> String {
    format!("r:{generation}:{partition}")
}

/// The key of a partition's progress marker. `stage` is `shopper` or `product`.
pub fn marker_key(generation: u16, stage: &str, partition: u32) -> String {
    format!("m:{generation}:{stage}:{partition}")
}

/// The key of what stands beside a partition's marker and is written only when the serving store was found to lack data:
/// whoever finds another value than before knows that data was lost meanwhile, even where a newer marker hides it.
pub fn witness_key(generation: u16, stage: &str, partition: u32) -> String {
    format!("w:{generation}:{stage}:{partition}")
}

/// The key under which the processor notes the layout that serving needs to know (partition counts).
pub fn layout_key(generation: u16) -> String {
    format!("l:{generation}")
}

/// In place of a generation: what belongs to none of them, such as which one is live.
pub const NO_GENERATION: u16 = 0;

/// The key of the [`crate::published::LiveGeneration`], in the state store (table of published values, [`NO_GENERATION`])
/// and in the serving store. `topic_prefix` tells shops apart that share these.
pub fn live_key(topic_prefix: &str) -> String {
    format!("g:{topic_prefix}live")
}
