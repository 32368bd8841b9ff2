//! What every serving store promises. Each function is one promise.

use crate::support::redis_server::eventually;
use crate::support::{ODD_KEYS, Scope, longest_key};
use bytes::Bytes;
use futures::future::join_all;
use schemas::Version;
use std::sync::{Arc, Mutex};
use stores::{Changes, ServingStore, StoreError};

/// A published value as any encoder makes it: format, version, content.
pub fn value(version: Version, content: &[u8]) -> Bytes {
    formatted(1, version, content)
}

fn formatted(format: u8, version: Version, content: &[u8]) -> Bytes {
    let mut value = vec![format];
    value.extend_from_slice(&version.0.to_be_bytes());
    value.extend_from_slice(content);
    value.into()
}

async fn put(store: &dyn ServingStore, key: String, value: &Bytes) {
    store.put_many(vec![(key, value.clone())]).await.unwrap();
}

async fn get(store: &dyn ServingStore, key: String) -> Option<Bytes> {
    store.get_many(&[key]).await.unwrap().remove(0)
}

pub async fn missing_keys_are_none_in_order(store: &dyn ServingStore, scope: Scope) {
    let (b, d) = (value(Version::of(1, 1), b"b"), value(Version::of(1, 1), b"d"));
    store.put_many(vec![(scope.key("b"), b.clone()), (scope.key("d"), d.clone())]).await.unwrap();
    let keys = ["d", "a", "b", "c"].map(|name| scope.key(name));
    assert_eq!(store.get_many(&keys).await.unwrap(), [Some(d), None, Some(b), None]);
}

pub async fn a_key_asked_for_twice_is_answered_twice(store: &dyn ServingStore, scope: Scope) {
    let a = value(Version::of(1, 1), b"a");
    put(store, scope.key("a"), &a).await;
    let stored = store.get_many(&[scope.key("a"), scope.key("a")]).await.unwrap();
    assert_eq!(stored, [Some(a.clone()), Some(a)]);
}

pub async fn a_lower_version_never_replaces_a_higher_one(store: &dyn ServingStore, scope: Scope) {
    let high = value(Version::of(1, 9), b"high");
    put(store, scope.key("a"), &high).await;
    put(store, scope.key("a"), &value(Version::of(1, 8), b"lower")).await;
    assert_eq!(get(store, scope.key("a")).await, Some(high));
}

pub async fn an_equal_version_replaces(store: &dyn ServingStore, scope: Scope) {
    let again = value(Version::of(1, 9), b"again");
    put(store, scope.key("a"), &value(Version::of(1, 9), b"first")).await;
    put(store, scope.key("a"), &again).await;
    assert_eq!(get(store, scope.key("a")).await, Some(again));
}

pub async fn versions_are_compared_as_numbers(store: &dyn ServingStore, scope: Scope) {
    // Around the places where a comparison of text, of signed bytes or of rounded numbers goes wrong.
    let last = Version::of(Version::MAX_GENERATION, (1 << Version::OFFSET_BITS) - 1).0;
    let mut versions = vec![0, 1, 127, 128, 255, 256, 32_767, 65_535, 65_536, last - 1, last];
    versions.extend((17..53).map(|bit| 1u64 << bit));
    versions.sort_unstable();
    for (index, pair) in versions.windows(2).enumerate() {
        let (low, high) = (value(Version(pair[0]), b"low"), value(Version(pair[1]), b"high"));
        let (up, down) = (scope.key(format!("up{index}")), scope.key(format!("down{index}")));
        store.put_many(vec![(up.clone(), low.clone()), (down.clone(), high.clone())]).await.unwrap();
        store.put_many(vec![(up.clone(), high.clone()), (down.clone(), low)]).await.unwrap();
        assert_eq!(get(store, up).await.as_ref(), Some(&high), "{} replaces {}", pair[1], pair[0]);
        assert_eq!(get(store, down).await.as_ref(), Some(&high), "{} is kept from {}", pair[1], pair[0]);
    }
}

pub async fn values_of_another_format_are_versioned_alike(store: &dyn ServingStore, scope: Scope) {
    let newer = formatted(1, Version::of(1, 2), b"old format, newer row");
    put(store, scope.key("a"), &formatted(9, Version::of(1, 1), b"new format, older row")).await;
    put(store, scope.key("a"), &newer).await;
    put(store, scope.key("a"), &formatted(9, Version::of(1, 1), b"new format, older row")).await;
    assert_eq!(get(store, scope.key("a")).await, Some(newer));
}

pub async fn the_highest_version_of_a_key_in_one_call_wins(store: &dyn ServingStore, scope: Scope) {
    let values = [2, 9, 4].map(|offset| value(Version::of(1, offset), &[offset as u8]));
    store.put_many(values.iter().map(|value| (scope.key("a"), value.clone())).collect()).await.unwrap();
    assert_eq!(get(store, scope.key("a")).await.as_ref(), Some(&values[1]));
}

pub async fn concurrent_writers_of_a_key_end_with_the_highest(store: &dyn ServingStore, scope: Scope) {
    let values: Vec<Bytes> = (0..64)
        .map(|i| i * 37 % 64)
        .map(|offset| value(Version::of(1, offset), &offset.to_be_bytes()))
        .collect();
    join_all(values.iter().map(|value| put(store, scope.key("a"), value))).await;
    assert_eq!(get(store, scope.key("a")).await, Some(value(Version::of(1, 63), &63u64.to_be_bytes())));
}

pub async fn a_value_without_a_header_is_refused(store: &dyn ServingStore, scope: Scope) {
    let refused = store.put_many(vec![(scope.key("a"), Bytes::from_static(b"\x01short"))]).await;
    assert!(matches!(refused, Err(StoreError::Unusable { .. })), "{refused:?}");
    assert_eq!(get(store, scope.key("a")).await, None);
}

pub async fn large_values_survive(store: &dyn ServingStore, scope: Scope) {
    let content: Vec<u8> = (0..1_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let large = value(Version::of(1, 1), &content);
    put(store, scope.key("a"), &large).await;
    assert!(get(store, scope.key("a")).await == Some(large));
}

pub async fn any_text_is_a_key(store: &dyn ServingStore, scope: Scope) {
    let keys: Vec<String> =
        ODD_KEYS.into_iter().map(|odd| scope.key(odd)).chain([scope.key(longest_key())]).collect();
    let values: Vec<Bytes> = keys.iter().map(|key| value(Version::of(1, 1), key.as_bytes())).collect();
    store.put_many(keys.iter().cloned().zip(values.iter().cloned()).collect()).await.unwrap();
    let stored: Vec<Bytes> = store.get_many(&keys).await.unwrap().into_iter().flatten().collect();
    assert_eq!(stored, values);
    for key in keys {
        store.put_marker(&key, value(Version::of(1, 2), b"marker")).await.unwrap();
        assert_eq!(store.get_markers(&[key]).await.unwrap(), [Some(value(Version::of(1, 2), b"marker"))]);
    }
}

pub async fn two_thousand_keys_are_written_and_read_at_once(store: &dyn ServingStore, scope: Scope) {
    let values: Vec<(String, Bytes)> =
        (0..2000u64).map(|i| (scope.key(i), value(Version::of(1, i), &i.to_be_bytes()))).collect();
    store.put_many(values.clone()).await.unwrap();
    let keys: Vec<String> = values.iter().map(|(key, _)| key.clone()).collect();
    let stored: Vec<Bytes> = store.get_many(&keys).await.unwrap().into_iter().flatten().collect();
    assert_eq!(stored, values.into_iter().map(|(_, value)| value).collect::<Vec<_>>());
}

pub async fn nothing_asked_is_nothing_answered(store: &dyn ServingStore, _: Scope) {
    store.put_many(Vec::new()).await.unwrap();
    assert_eq!(store.get_many(&[]).await.unwrap(), [] as [Option<Bytes>; 0]);
    assert_eq!(store.get_markers(&[]).await.unwrap(), [] as [Option<Bytes>; 0]);
}

pub async fn a_marker_comes_back_and_a_missing_one_is_none(store: &dyn ServingStore, scope: Scope) {
    let marker = value(Version::of(1, 5), b"marker");
    store.put_marker(&scope.key("m"), marker.clone()).await.unwrap();
    let stored = store.get_markers(&[scope.key("none"), scope.key("m")]).await.unwrap();
    assert_eq!(stored, [None, Some(marker)]);
}

pub async fn a_marker_never_goes_back(store: &dyn ServingStore, scope: Scope) {
    let late = value(Version::of(1, 6), b"late");
    store.put_marker(&scope.key("m"), late.clone()).await.unwrap();
    store
        .put_marker(&scope.key("m"), value(Version::of(1, 5), b"an owner that has not noticed"))
        .await
        .unwrap();
    assert_eq!(store.get_markers(&[scope.key("m")]).await.unwrap(), [Some(late)]);
}

pub async fn a_store_that_answers_passes_the_check(store: &dyn ServingStore, _: Scope) {
    store.check().await.unwrap();
}

/// What was told, in order; `*` for everything.
#[derive(Default)]
pub struct Told(Mutex<Vec<String>>);

impl Told {
    pub fn of(&self, key: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|told| *told == key || *told == "*").count()
    }
}

impl Changes for Told {
    fn changed(&self, key: &str) {
        self.0.lock().unwrap().push(key.to_owned());
    }

    fn all_changed(&self) {
        self.0.lock().unwrap().push("*".to_owned());
    }
}

pub async fn a_change_of_what_was_read_is_told(store: &dyn ServingStore, scope: Scope) {
    let told = Arc::new(Told::default());
    let reader = store.watch(Arc::clone(&told) as _).expect("this store tells changes");
    eventually("changes are followed", async || reader.is_following()).await;
    let (there, missing) = (scope.key("there"), scope.key("missing"));
    put(store, there.clone(), &value(Version::of(1, 1), b"1")).await;
    for offset in 2..5 {
        let keys = [there.clone(), missing.clone()];
        let before = value(Version::of(1, offset - 1), format!("{}", offset - 1).as_bytes());
        assert_eq!(reader.get_many(&keys).await.unwrap()[0], Some(before));
        let counts = [told.of(&there), told.of(&missing)];
        let now = value(Version::of(1, offset), format!("{offset}").as_bytes());
        put(store, there.clone(), &now).await;
        put(store, missing.clone(), &now).await;
        eventually("both changes are told", async || {
            told.of(&there) > counts[0] && told.of(&missing) > counts[1]
        })
        .await;
    }
}

pub async fn a_dropped_write_leaves_what_was_read_right(store: &dyn ServingStore, scope: Scope) {
    let told = Arc::new(Told::default());
    let reader = store.watch(Arc::clone(&told) as _).expect("this store tells changes");
    eventually("changes are followed", async || reader.is_following()).await;
    let key = scope.key("a");
    let high = value(Version::of(1, 9), b"high");
    put(store, key.clone(), &high).await;
    assert_eq!(reader.get_many(std::slice::from_ref(&key)).await.unwrap(), [Some(high.clone())]);
    put(store, key.clone(), &value(Version::of(1, 8), b"lower")).await;
    assert_eq!(reader.get_many(&[key]).await.unwrap(), [Some(high)]);
}
