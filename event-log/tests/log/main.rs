//! The contract suite, run against every adapter, and what single adapters promise beyond it.

mod contract;
mod embedded;
mod kafka;
mod scripted;
mod subject;

/// No test may hang for ever; none takes anywhere near this long.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(120);

#[allow(clippy::disallowed_methods, reason = "tests are told by the environment where the real servers are")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The contract against one adapter: `$open` makes a subject, or `None` where the adapter cannot be had.
macro_rules! contract_suite {
    ($open:path) => {
        crate::contract_suite! { $open:
            appended_records_come_back_in_order_with_ascending_offsets,
            a_gapless_producer_keeps_the_order_of_calls,
            drain_waits_until_everything_is_acknowledged,
            an_acknowledged_record_can_be_read_at_its_position,
            the_same_key_lands_in_the_same_partition_in_every_adapter,
            a_tombstone_comes_back_without_a_value,
            a_record_that_is_too_large_is_refused_at_once,
            reading_stops_at_the_asked_count_and_at_the_end,
            reading_beyond_the_end_is_refused,
            follow_sees_what_is_appended_later,
            following_from_beyond_the_end_ends_with_out_of_range,
            existing_topics_are_left_as_they_are,
            another_partition_count_is_refused_and_both_are_named,
            an_unknown_topic_is_named,
            a_partition_that_is_not_assigned_cannot_be_started,
            a_started_partition_is_read_from_the_given_offset,
            starting_again_rereads_and_ends_the_earlier_stream,
            a_full_partition_queue_blocks_only_itself,
            starting_outside_the_log_ends_with_out_of_range,
            leaving_ends_the_streams,
            a_group_can_be_joined_again_after_leaving,
        }
    };
    ($open:path: $($promise:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $promise() {
            if let Some(subject) = $open().await {
                tokio::time::timeout(crate::LIMIT, crate::contract::$promise(subject)).await.expect("the test ends");
            }
        }
    )*};
}
pub(crate) use contract_suite;
