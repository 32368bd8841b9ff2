//! One contract for every state store.

mod contract;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;
use stores::StateStore;

/// A store under test and what has to outlive it.
struct Subject {
    store: Arc<dyn StateStore>,
    _directory: Option<tempfile::TempDir>,
}

/// Makes one test of each promise for an adapter; its `open` says which store, or `None` to skip.
macro_rules! keeps_the_contract {
    ($($promise:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $promise() {
                if let Some(subject) = open().await {
                    crate::contract::$promise(subject.store.as_ref(), crate::support::Scope::new()).await;
                }
            }
        )*
    };
}

macro_rules! keeps_every_promise {
    () => {
        keeps_the_contract! {
            a_row_comes_back_as_it_was_written,
            many_rows_of_all_sizes_are_written_at_once,
            missing_keys_are_none_in_order,
            a_key_asked_for_twice_is_answered_twice,
            a_higher_version_replaces,
            a_lower_version_never_replaces_a_higher_one,
            writing_all_again_is_harmless,
            the_highest_version_of_a_key_in_one_call_wins,
            concurrent_writers_of_a_key_end_with_the_highest,
            an_empty_state_is_a_row,
            large_states_survive,
            any_text_is_a_key,
            two_thousand_keys_are_written_and_read_at_once,
            nothing_asked_is_nothing_answered,
            generations_do_not_see_each_other,
            tables_do_not_see_each_other,
            a_scan_returns_every_row_once,
            a_shard_scan_returns_exactly_its_shard,
            a_shard_scan_of_a_table_without_shards_is_refused,
            a_page_is_the_next_rows_of_its_shard_by_key,
            an_abandoned_scan_hurts_nobody,
            migrating_again_changes_nothing,
        }
    };
}

mod cql;
mod embedded;
