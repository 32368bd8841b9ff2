//! One contract for every serving store.

mod contract;
#[path = "../support/mod.rs"]
mod support;

/// Makes one test of each promise for an adapter; its `open` says which store, or `None` to skip.
macro_rules! keeps_the_contract {
    ($($promise:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $promise() {
                if let Some(store) = open().await {
                    crate::contract::$promise(store.as_ref(), crate::support::Scope::new()).await;
                }
            }
        )*
    };
}

macro_rules! keeps_every_promise {
    () => {
        keeps_the_contract! {
            missing_keys_are_none_in_order,
            a_key_asked_for_twice_is_answered_twice,
            a_lower_version_never_replaces_a_higher_one,
            an_equal_version_replaces,
            versions_are_compared_as_numbers,
            values_of_another_format_are_versioned_alike,
            the_highest_version_of_a_key_in_one_call_wins,
            concurrent_writers_of_a_key_end_with_the_highest,
            a_value_without_a_header_is_refused,
            large_values_survive,
            any_text_is_a_key,
            two_thousand_keys_are_written_and_read_at_once,
            nothing_asked_is_nothing_answered,
            a_marker_comes_back_and_a_missing_one_is_none,
            a_marker_never_goes_back,
            a_store_that_answers_passes_the_check,
        }
    };
}

/// For stores that tell changes.
macro_rules! keeps_the_promises_of_watching {
    () => {
        keeps_the_contract! { a_change_of_what_was_read_is_told, a_dropped_write_leaves_what_was_read_right }
    };
}

mod memory;
mod outages;
mod redis;
