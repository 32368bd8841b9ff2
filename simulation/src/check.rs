//! What has to hold when everything has come to rest.

use crate::ledger::place_of;
use crate::oracle::history_of;
use crate::world::{GENERATION, World};
use recommender::{Interner, ProductRow, user_row::decode_history};
use schemas::names::user_key;
use schemas::published::{UserHistory, Window, open};
use std::collections::BTreeMap;
use stores::memory::MemoryServingStore;
use stores::{ServingStore, Table};
use stream_processor::{DeadLetter, Parts, state};

/// Folds the logs again and compares with what is stored, byte for byte.
pub(crate) async fn proven(world: &World, parts: &Parts, when: &str) {
    // The proof is not to be misled by a rule that is broken for the copies, and must see one moment: without ever yielding.
    world.break_rule(false);
    let verified = tokio::task::unconstrained(state::verify(parts, GENERATION)).await;
    world.break_rule(true);
    match verified {
        Ok(verification) => {
            for difference in verification.differences {
                world.violated(format!("{when}, verified: {difference}"));
            }
        }
        Err(error) => world.violated(format!("{when}, nothing could be proven: {error}")),
    }
}

/// Compares everything stored with the naive model.
pub(crate) fn equal_to_oracle(world: &World) {
    for check in [outcomes, effective, histories, products, dead_letters] {
        check(world);
    }
}

fn differs(world: &World, what: &str, found: impl std::fmt::Debug, expected: impl std::fmt::Debug) {
    world.violated(format!("{what}: found {found:?}, expected {expected:?}"));
}

/// Every record has exactly one outcome, the right one, as `product-activity` tells it.
fn effective(world: &World) {
    let mut problems = Vec::new();
    {
        let state = world.state();
        let ledger = &state.ledger;
        for (source, (judged, told)) in ledger.oracle.judged.iter().zip(&ledger.effective).enumerate() {
            let mut by_offset: BTreeMap<u64, Vec<_>> = BTreeMap::new();
            told.iter().for_each(|told| by_offset.entry(told.offset).or_default().push(told));
            for (offset, expected) in judged.iter().enumerate() {
                let found = by_offset.remove(&(offset as u64)).unwrap_or_default();
                let is_right = matches!(&*found, [one] if one.outcome == expected.outcome && one.counts == expected.counts);
                if !is_right {
                    problems.push((
                        format!("events/{source} at {offset} told"),
                        found_text(&found),
                        format!("{expected:?}"),
                    ));
                }
            }
            for (offset, found) in by_offset {
                problems.push((
                    format!("events/{source} at {offset} told"),
                    found_text(&found),
                    "nothing".to_owned(),
                ));
            }
        }
    }
    problems.into_iter().for_each(|(what, found, expected)| differs(world, &what, found, expected));
}

fn found_text(found: &[&crate::ledger::Effective]) -> String {
    format!("{found:?}")
}

/// The outcomes counted in the progress rows.
fn outcomes(world: &World) {
    let mut found = [0u64; 6];
    let (expected, rows) = {
        let state = world.state();
        let rows = state
            .rows
            .iter()
            .filter(|((table, key), _)| *table == Table::Progress && key.starts_with("progress:product:"));
        (state.ledger.oracle.outcomes(), rows.map(|(_, row)| row.clone()).collect::<Vec<_>>())
    };
    for row in rows {
        place_of(&row);
        let counts = outcome_counts(&row.state).expect("the pipeline wrote it");
        found.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    if found != expected {
        differs(world, "outcomes", found, expected);
    }
}

/// The six counts in a progress row of the product stage: they follow the place, the marks and the stream's time.
fn outcome_counts(state: &[u8]) -> Result<[u64; 6], schemas::DecodeError> {
    let (_, mut content) = open(state)?;
    content.varint()?;
    if content.u8()? == 1 {
        content.varint()?;
        content.u64_be()?;
    }
    for _ in 0..content.varint()? {
        content.varint()?;
    }
    content.signed()?;
    let mut counts = [0; 6];
    for count in &mut counts {
        *count = content.varint()?;
    }
    Ok(counts)
}

/// What a user's history should be, the newest first.
fn expected_histories(world: &World) -> BTreeMap<String, Vec<(String, i32, i64)>> {
    let state = world.state();
    let users = state.ledger.oracle.users.iter().filter(|(_, user)| !user.changed_at.is_empty());
    users
        .map(|(key, user)| {
            let mut history: Vec<_> = history_of(user).cloned().collect();
            history.reverse();
            (key.clone(), history)
        })
        .collect()
}

fn entries_of(history: UserHistory) -> Vec<(String, i32, i64)> {
    let entries = history.entries.into_iter();
    entries.map(|entry| (entry.product_id, entry.kind as i32, entry.timestamp_ms)).collect()
}

fn histories(world: &World) {
    let expected = expected_histories(world);
    let found: BTreeMap<_, _> = {
        let state = world.state();
        let rows = state.rows.iter().filter(|((table, _), _)| *table == Table::UserHistory);
        rows.map(|((_, key), row)| {
            let history = decode_history(&row.state).expect("the pipeline wrote it");
            (key.clone(), entries_of(history))
        })
        .collect()
    };
    for user in expected.keys().chain(found.keys()) {
        if expected.get(user) != found.get(user) {
            differs(world, &format!("history of {user}"), found.get(user), expected.get(user));
        }
    }
}

/// The first user whose published history is not what it should be.
pub(crate) async fn unpublished(world: &World, serving: &MemoryServingStore) -> Option<String> {
    let expected = expected_histories(world);
    let keys: Vec<String> = expected.keys().map(|user| user_key(GENERATION, user)).collect();
    let found = serving.get_many(&keys).await.expect("it is in memory");
    expected.iter().zip(found).find_map(|((user, expected), found)| {
        let found =
            found.map(|value| entries_of(UserHistory::decode(&value).expect("the pipeline wrote it")));
        (found.as_ref() != Some(expected))
            .then(|| format!("published history of {user}: found {found:?}, expected {expected:?}"))
    })
}

/// Totals and windows, as of the newest event of each product and of all.
fn products(world: &World) {
    let names = Interner::default();
    let mut problems = Vec::new();
    {
        let state = world.state();
        let oracle = &state.ledger.oracle;
        let newest_ms = oracle.newest_ms();
        for (id, product) in &oracle.products {
            let Some(row) = state.rows.get(&(Table::ProductState, id.clone())) else {
                problems.push((format!("product {id}"), "no row".to_owned(), "a row".to_owned()));
                continue;
            };
            let row = ProductRow::decode(&row.state, &names).expect("the pipeline wrote it");
            if row.totals != product.totals() {
                problems.push((
                    format!("totals of {id}"),
                    format!("{:?}", row.totals),
                    format!("{:?}", product.totals()),
                ));
            }
            let own_newest_ms = product.events.iter().map(|(_, at, _)| *at).max().unwrap_or(0);
            for now_ms in [own_newest_ms, newest_ms] {
                let found = Window::ALL.map(|window| {
                    let sum = row.buckets.sum(window, now_ms);
                    (sum.count, sum.weight)
                });
                if found != product.windows(now_ms) {
                    problems.push((
                        format!("windows of {id} as of {now_ms}"),
                        format!("{found:?}"),
                        format!("{:?}", product.windows(now_ms)),
                    ));
                }
            }
        }
    }
    problems.into_iter().for_each(|(what, found, expected)| differs(world, &what, found, expected));
}

fn dead_letters(world: &World) {
    let (expected, rows) = {
        let state = world.state();
        let rows = state.rows.iter().filter(|((table, _), _)| *table == Table::DeadLetters);
        (state.ledger.oracle.dead(), rows.map(|(_, row)| row.clone()).collect::<Vec<_>>())
    };
    let letters = rows.iter().map(|row| DeadLetter::decode(&row.state).expect("the pipeline wrote it"));
    let found: Vec<_> = letters.map(|letter| (letter.partition, letter.offset, letter.reason)).collect();
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(partition, offset, reason)| (partition, offset, reason.to_owned()))
        .collect();
    if found.len() != expected.len() || !expected.iter().all(|letter| found.contains(letter)) {
        differs(world, "dead letters", found, expected);
    }
}
