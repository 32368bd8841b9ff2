//! The topics' partition counts: fixed for a generation, known to serving.

use crate::config::ProcessorConfig;
use crate::context::{Context, Parts};
use crate::generations::registration;
use crate::partition::{TaskError, retrying};
use crate::progress::META_KEY;
use event_log::{LogError, TopicSpec};
use schemas::names::{NO_GENERATION, Topics, layout_key};
use schemas::published::Layout;
use stores::{Row, Table};

/// What the topics have to be: `events`, `product-activity` and `products`, in this order.
pub fn topic_specs(topics: &Topics, config: &ProcessorConfig) -> [TopicSpec; 3] {
    let spec = |name: &str, partitions: u32, compacted: bool| TopicSpec {
        name: name.to_owned(),
        partitions,
        compacted,
        retention_ms: None,
    };
    [
        spec(&topics.events, config.events_partitions, false),
        spec(&topics.product_activity, config.activity_partitions, false),
        spec(&topics.products, 1, true),
    ]
}

/// Creates the topics that are missing and gives their partition counts: (events, product-activity).
pub(crate) async fn ensure_topics(parts: &Parts, config: &ProcessorConfig) -> Result<(u32, u32), LogError> {
    let mut counts = Vec::new();
    for spec in topic_specs(&parts.topics, config) {
        // A topic that exists is taken as it is: the layout check tells when it is not what it was.
        let partitions = match parts.log.describe(&spec.name).await {
            Ok(info) => info.partitions,
            Err(LogError::NoSuchTopic(_)) => {
                parts.log.ensure_topics(std::slice::from_ref(&spec)).await?;
                spec.partitions
            }
            Err(error) => return Err(error),
        };
        counts.push(partitions);
    }
    Ok((counts[0], counts[1]))
}

/// Writes the partition counts on first use; refuses other ones later. Tells serving.
pub(crate) async fn check(context: &Context) -> Result<(), TaskError> {
    let (state, generation) = (&context.parts.state, context.config.generation);
    let layout = context.layout();
    let keys = [META_KEY.to_owned()];
    let stored = retrying("read the layout", || state.get_many(Table::Progress, generation, &keys)).await?;
    let row = |key: String| vec![Row { key, version: layout.version, state: layout.encode().into() }];
    match stored.into_iter().next().flatten() {
        Some(stored) => match Layout::decode(&stored.state) {
            Ok(stored) if stored == layout => {}
            Ok(stored) => {
                return Err(TaskError::Refused(format!(
                    "generation {generation} was built with {} partitions of {} and {} of {}; the log now has {} and {}: a \
                     changed partition count takes a new generation (processor.generation)",
                    stored.events_partitions,
                    context.parts.topics.events,
                    stored.activity_partitions,
                    context.parts.topics.product_activity,
                    layout.events_partitions,
                    layout.activity_partitions,
                )));
            }
            Err(error) => {
                return Err(TaskError::Refused(format!("the stored layout cannot be read: {error}")));
            }
        },
        None => {
            let write = || state.put_many(Table::Progress, generation, row(META_KEY.to_owned()));
            retrying("write the layout", write).await?;
        }
    }
    // Those who look for generations find it; no row is changed by it.
    let registered = registration(generation, &layout);
    let write = || state.put_many(Table::Progress, NO_GENERATION, vec![registered.clone()]);
    retrying("register the generation", write).await?;
    let key = layout_key(generation);
    retrying("write the layout", || state.put_many(Table::Published, generation, row(key.clone()))).await?;
    publish(context).await;
    Ok(())
}

/// Writes the layout to the serving store; without an answer the next marker round tries again.
pub(crate) async fn publish(context: &Context) {
    let generation = context.config.generation;
    let layout = context.layout();
    let value = (layout_key(generation), layout.encode().into());
    if let Err(error) = context.parts.serving.put_many(vec![value]).await {
        tracing::debug!(%error, "the layout could not be published yet");
    }
}
