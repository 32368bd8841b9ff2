//! What every state store promises. Each function is one promise.

use crate::support::{ODD_KEYS, Scope, longest_key};
use bytes::Bytes;
use futures::future::join_all;
use schemas::Version;
use std::collections::HashMap;
use stores::{KeyRange, Row, RowStream, StateStore, StoreError, Table};

fn row(key: String, offset: u64, state: &[u8]) -> Row {
    Row { key, version: Version::of(1, offset), state: Bytes::copy_from_slice(state) }
}

async fn put(store: &dyn StateStore, table: Table, scope: &Scope, rows: &[Row]) {
    store.put_many(table, scope.generation, rows.to_vec()).await.unwrap();
}

async fn get(store: &dyn StateStore, table: Table, scope: &Scope, keys: &[String]) -> Vec<Option<Row>> {
    store.get_many(table, scope.generation, keys).await.unwrap()
}

/// The rows of a scan that belong to the scope; servers are shared.
async fn collect(mut rows: RowStream, scope: &Scope) -> Vec<Row> {
    let mut found = Vec::new();
    while let Some(row) = rows.recv().await {
        let row = row.unwrap();
        if scope.owns(&row.key) {
            found.push(row);
        }
    }
    found.sort_by(|a, b| a.key.cmp(&b.key));
    found
}

pub async fn a_row_comes_back_as_it_was_written(store: &dyn StateStore, scope: Scope) {
    for table in Table::ALL {
        let written = row(scope.key("a"), 3, b"\x00\xffstate");
        put(store, table, &scope, std::slice::from_ref(&written)).await;
        assert_eq!(get(store, table, &scope, &[scope.key("a")]).await, [Some(written)], "{table:?}");
    }
}

pub async fn many_rows_of_all_sizes_are_written_at_once(store: &dyn StateStore, scope: Scope) {
    for table in Table::ALL {
        let size = |number: u64| (number * number * 37 % 9_000) as usize;
        let rows = (0..60).map(|number| row(scope.key(number), number, &vec![number as u8; size(number)]));
        let mut rows: Vec<Row> = rows.collect();
        // A key twice, the later version first.
        rows.insert(0, row(scope.key(59), 61, b"later"));
        put(store, table, &scope, &rows).await;
        let keys: Vec<String> = (0..60).map(|number| scope.key(number)).collect();
        let mut expected: Vec<Option<Row>> = rows.drain(1..).map(Some).collect();
        expected[59] = Some(rows.remove(0));
        assert_eq!(get(store, table, &scope, &keys).await, expected, "{table:?}");
    }
}

pub async fn missing_keys_are_none_in_order(store: &dyn StateStore, scope: Scope) {
    let (b, d) = (row(scope.key("b"), 1, b"b"), row(scope.key("d"), 1, b"d"));
    put(store, Table::UserHistory, &scope, &[b.clone(), d.clone()]).await;
    let keys = ["d", "a", "b", "c"].map(|name| scope.key(name));
    assert_eq!(get(store, Table::UserHistory, &scope, &keys).await, [Some(d), None, Some(b), None]);
}

pub async fn a_key_asked_for_twice_is_answered_twice(store: &dyn StateStore, scope: Scope) {
    let a = row(scope.key("a"), 1, b"a");
    put(store, Table::ProductState, &scope, std::slice::from_ref(&a)).await;
    let keys = [scope.key("a"), scope.key("a")];
    assert_eq!(get(store, Table::ProductState, &scope, &keys).await, [Some(a.clone()), Some(a)]);
}

pub async fn a_higher_version_replaces(store: &dyn StateStore, scope: Scope) {
    for table in Table::ALL {
        // A generation later is higher whatever the offsets: versions are compared as numbers.
        let later = Row { version: Version::of(2, 0), ..row(scope.key("a"), 0, b"later") };
        put(store, table, &scope, &[row(scope.key("a"), (1 << 40) - 1, b"earlier")]).await;
        put(store, table, &scope, std::slice::from_ref(&later)).await;
        assert_eq!(get(store, table, &scope, &[scope.key("a")]).await, [Some(later)], "{table:?}");
    }
}

pub async fn a_lower_version_never_replaces_a_higher_one(store: &dyn StateStore, scope: Scope) {
    for table in Table::ALL {
        let high = row(scope.key("a"), 256, b"high");
        put(store, table, &scope, std::slice::from_ref(&high)).await;
        put(store, table, &scope, &[row(scope.key("a"), 255, b"lower, and longer")]).await;
        assert_eq!(get(store, table, &scope, &[scope.key("a")]).await, [Some(high)], "{table:?}");
    }
}

pub async fn writing_all_again_is_harmless(store: &dyn StateStore, scope: Scope) {
    let rows = [row(scope.key("a"), 1, b"a"), row(scope.key("b"), 2, b"b")];
    put(store, Table::Published, &scope, &rows).await;
    put(store, Table::Published, &scope, &rows).await;
    let keys = [scope.key("a"), scope.key("b")];
    assert_eq!(get(store, Table::Published, &scope, &keys).await, rows.map(Some));
}

pub async fn the_highest_version_of_a_key_in_one_call_wins(store: &dyn StateStore, scope: Scope) {
    let rows = [2, 9, 4].map(|offset| row(scope.key("a"), offset, &[offset as u8]));
    put(store, Table::UserHistory, &scope, &rows).await;
    assert_eq!(get(store, Table::UserHistory, &scope, &[scope.key("a")]).await, [Some(rows[1].clone())]);
}

pub async fn concurrent_writers_of_a_key_end_with_the_highest(store: &dyn StateStore, scope: Scope) {
    let rows: Vec<Row> = (0..64)
        .map(|i| i * 37 % 64)
        .map(|offset| row(scope.key("a"), offset, &offset.to_be_bytes()))
        .collect();
    join_all(rows.iter().map(|row| put(store, Table::ProductState, &scope, std::slice::from_ref(row)))).await;
    let highest = row(scope.key("a"), 63, &63u64.to_be_bytes());
    assert_eq!(get(store, Table::ProductState, &scope, &[scope.key("a")]).await, [Some(highest)]);
}

pub async fn an_empty_state_is_a_row(store: &dyn StateStore, scope: Scope) {
    let forgotten = row(scope.key("a"), 2, b"");
    put(store, Table::UserHistory, &scope, &[row(scope.key("a"), 1, b"history")]).await;
    put(store, Table::UserHistory, &scope, std::slice::from_ref(&forgotten)).await;
    assert_eq!(get(store, Table::UserHistory, &scope, &[scope.key("a")]).await, [Some(forgotten)]);
}

pub async fn large_states_survive(store: &dyn StateStore, scope: Scope) {
    let state: Vec<u8> = (0..1_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let large = row(scope.key("a"), 1, &state);
    put(store, Table::ProductState, &scope, std::slice::from_ref(&large)).await;
    assert_eq!(get(store, Table::ProductState, &scope, &[scope.key("a")]).await, [Some(large)]);
}

pub async fn any_text_is_a_key(store: &dyn StateStore, scope: Scope) {
    for table in [Table::UserHistory, Table::OpenWindows] {
        let keys: Vec<String> =
            ODD_KEYS.into_iter().map(|odd| scope.key(odd)).chain([scope.key(longest_key())]).collect();
        let mut rows: Vec<Row> = keys.iter().map(|key| row(key.clone(), 1, key.as_bytes())).collect();
        put(store, table, &scope, &rows).await;
        let stored: Vec<Row> = get(store, table, &scope, &keys).await.into_iter().flatten().collect();
        assert_eq!(stored, rows, "{table:?}");
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        let scanned = collect(store.scan(table, scope.generation).await.unwrap(), &scope).await;
        assert_eq!(scanned, rows, "{table:?}");
    }
}

pub async fn two_thousand_keys_are_written_and_read_at_once(store: &dyn StateStore, scope: Scope) {
    let rows: Vec<Row> = (0..2000u64).map(|i| row(scope.key(i), i, &i.to_be_bytes())).collect();
    put(store, Table::ProductState, &scope, &rows).await;
    let keys: Vec<String> = rows.iter().map(|row| row.key.clone()).collect();
    let stored: Vec<Row> =
        get(store, Table::ProductState, &scope, &keys).await.into_iter().flatten().collect();
    assert_eq!(stored, rows);
}

pub async fn nothing_asked_is_nothing_answered(store: &dyn StateStore, scope: Scope) {
    put(store, Table::Progress, &scope, &[]).await;
    assert_eq!(get(store, Table::Progress, &scope, &[]).await, []);
}

pub async fn generations_do_not_see_each_other(store: &dyn StateStore, scope: Scope) {
    for table in Table::ALL {
        let (here, there) = (row(scope.key("a"), 9, b"here"), row(scope.key("a"), 1, b"there"));
        let other = scope.other_generation();
        put(store, table, &scope, std::slice::from_ref(&here)).await;
        assert_eq!(store.get_many(table, other, &[scope.key("a")]).await.unwrap(), [None]);
        store.put_many(table, other, vec![there.clone()]).await.unwrap();
        assert_eq!(get(store, table, &scope, &[scope.key("a")]).await, [Some(here.clone())], "{table:?}");
        assert_eq!(collect(store.scan(table, scope.generation).await.unwrap(), &scope).await, [here]);
        assert_eq!(collect(store.scan(table, other).await.unwrap(), &scope).await, [there]);
    }
}

pub async fn tables_do_not_see_each_other(store: &dyn StateStore, scope: Scope) {
    for (offset, table) in Table::ALL.into_iter().enumerate() {
        put(store, table, &scope, &[row(scope.key("a"), offset as u64, table.name().as_bytes())]).await;
    }
    for table in Table::ALL {
        let stored = get(store, table, &scope, &[scope.key("a")]).await.remove(0).unwrap();
        assert_eq!(stored.state, table.name(), "{table:?}");
    }
}

pub async fn a_scan_returns_every_row_once(store: &dyn StateStore, scope: Scope) {
    for table in [Table::Published, Table::DeadLetters] {
        let mut rows: Vec<Row> = (0..3000u64).map(|i| row(scope.key(i), i, &i.to_be_bytes())).collect();
        put(store, table, &scope, &rows).await;
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        let scanned = collect(store.scan(table, scope.generation).await.unwrap(), &scope).await;
        assert!(scanned == rows, "{table:?}: {} rows scanned", scanned.len());
    }
}

pub async fn a_shard_scan_returns_exactly_its_shard(store: &dyn StateStore, scope: Scope) {
    let rows: Vec<Row> = (0..1000u64).map(|i| row(scope.key(i), i, &i.to_be_bytes())).collect();
    put(store, Table::OpenWindows, &scope, &rows).await;
    let mut expected: HashMap<u32, Vec<Row>> = HashMap::new();
    for row in rows {
        expected.entry(Table::OpenWindows.shard_of(&row.key).unwrap()).or_default().push(row);
    }
    for shard in 0..Table::OpenWindows.shards().unwrap() {
        let mut expected = expected.remove(&shard).unwrap_or_default();
        expected.sort_by(|a, b| a.key.cmp(&b.key));
        let scan = store.scan_shard(Table::OpenWindows, scope.generation, shard).await.unwrap();
        assert_eq!(collect(scan, &scope).await, expected, "shard {shard}");
    }
}

pub async fn a_shard_scan_of_a_table_without_shards_is_refused(store: &dyn StateStore, scope: Scope) {
    let refused = store.scan_shard(Table::UserHistory, scope.generation, 0).await;
    assert!(matches!(refused, Err(StoreError::Unusable { .. })));
    let refused = store.page(Table::UserHistory, scope.generation, 0, ALL_KEYS, 1).await;
    assert!(matches!(refused, Err(StoreError::Unusable { .. })));
}

const ALL_KEYS: KeyRange<'_> = KeyRange { above: "", below: "\u{10ffff}" };

pub async fn a_page_is_the_next_rows_of_its_shard_by_key(store: &dyn StateStore, scope: Scope) {
    let table = Table::DeadLettersByTime;
    // Longer than another, beyond ASCII, and written in another order than that of the keys.
    let names = (0..400u64)
        .map(|i| format!("{:03}", i * 37 % 400))
        .chain(["17", "0171", "é", "z"].map(str::to_owned));
    let mut rows: Vec<Row> = names.map(|name| row(scope.key(name), 1, b"")).collect();
    put(store, table, &scope, &rows).await;
    store.put_many(table, scope.other_generation(), vec![row(scope.key("100+"), 1, b"other")]).await.unwrap();
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    let (above, below) = (scope.key(""), scope.key("\u{10ffff}"));
    let mut found = 0;
    for shard in 0..table.shards().unwrap() {
        let of_shard: Vec<&Row> = rows.iter().filter(|row| table.shard_of(&row.key) == Some(shard)).collect();
        let mut position = above.clone();
        for expected in of_shard.chunks(7) {
            let keys = KeyRange { above: &position, below: &below };
            let page = store.page(table, scope.generation, shard, keys, 7).await.unwrap();
            assert_eq!(page.iter().collect::<Vec<_>>(), expected, "shard {shard} above {position}");
            position.clone_from(&expected.last().unwrap().key);
            found += page.len();
        }
        let rest = KeyRange { above: &position, below: &below };
        assert_eq!(store.page(table, scope.generation, shard, rest, 7).await, Ok(Vec::new()));
        // Neither end is within.
        if let [first, second, third, ..] = of_shard[..] {
            let keys = KeyRange { above: &first.key, below: &third.key };
            assert_eq!(store.page(table, scope.generation, shard, keys, 7).await, Ok(vec![second.clone()]));
            let backwards = KeyRange { above: &third.key, below: &first.key };
            assert_eq!(store.page(table, scope.generation, shard, backwards, 7).await, Ok(Vec::new()));
        }
    }
    assert_eq!(found, rows.len());
}

pub async fn an_abandoned_scan_hurts_nobody(store: &dyn StateStore, scope: Scope) {
    let rows: Vec<Row> = (0..2000u64).map(|i| row(scope.key(i), i, b"x")).collect();
    put(store, Table::Published, &scope, &rows).await;
    let mut scan = store.scan(Table::Published, scope.generation).await.unwrap();
    assert!(scan.recv().await.unwrap().is_ok());
    drop(scan);
    assert_eq!(get(store, Table::Published, &scope, &[scope.key(5)]).await, [Some(rows[5].clone())]);
}

pub async fn migrating_again_changes_nothing(store: &dyn StateStore, scope: Scope) {
    let a = row(scope.key("a"), 1, b"a");
    put(store, Table::Progress, &scope, std::slice::from_ref(&a)).await;
    store.migrate().await.unwrap();
    assert_eq!(get(store, Table::Progress, &scope, &[scope.key("a")]).await, [Some(a)]);
}
