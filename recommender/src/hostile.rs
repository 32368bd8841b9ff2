//! Whatever bytes a store hands back as a row, reading them ends with an error or with a row that can be worked with.
//!
//! The function here is the body of a fuzz target (`cargo xtask fuzz`) and of the bounded run in the tests below.

use crate::neighbours::{DirectList, Sums, direct_list, two_hop_list};
use crate::publishing::{direct_of, published_list};
use crate::ranking::rank;
use crate::session::session_of;
use crate::trending::Demand;
use crate::user_row::{Observation, decode_history};
use crate::voting::VotingList;
use crate::{Interner, ProductRow, Symbol, UserRow};
use schemas::event::MAX_TIME_MS;
use schemas::published::{HistoryEntry, NeighbourList, RepeatTable, UserHistory};
use schemas::{EventKind, Version};
use smol_str::SmolStr;

/// Reads bytes as each row, and as what is published, and goes on working with what could be read. Gives how many could.
///
/// # Panics
/// When a row that was read is lost by writing it.
pub fn rows(bytes: &[u8]) -> usize {
    let names = Interner::default();
    let mut read = 0;
    if let Ok(row) = UserRow::decode(bytes, &names) {
        read += 1;
        user(row, &names);
        decode_history(bytes).expect("the row was read");
    }
    if let Ok(row) = ProductRow::decode(bytes, &names) {
        read += 1;
        product(row, &names);
    }
    if let Ok(list) = NeighbourList::decode(bytes) {
        read += 1;
        neighbours(&list, &names);
    }
    if let Ok(history) = UserHistory::decode(bytes) {
        read += 1;
        for now_ms in [None, Some(0), Some(i64::MAX), Some(i64::MIN)] {
            let session = session_of(&history.entries, now_ms);
            rank(&session, &[], &RepeatTable::default(), |_, _| true, 10);
        }
    }
    read
}

fn user(mut row: UserRow, names: &Interner) {
    assert_eq!(UserRow::decode(&row.encode(names), names).as_ref(), Ok(&row));
    for timestamp_ms in [0, 1_700_000_000_000, MAX_TIME_MS] {
        let event = Observation {
            product: names.intern("p"),
            kind: EventKind::View,
            timestamp_ms,
            append_time_ms: timestamp_ms,
            fingerprint: 7,
        };
        if !row.knows(&event) {
            row.apply(&event);
        }
    }
    row.encode_history(row.version, names);
}

fn product(mut row: ProductRow, names: &Interner) {
    assert_eq!(ProductRow::decode(&row.encode(names), names).as_ref(), Ok(&row));
    for timestamp_ms in [0, 1_700_000_000_000, MAX_TIME_MS] {
        row.observe(EventKind::View, 1, Some("c"), timestamp_ms);
        row.add_pair(names.intern("p"), 1 << 24, timestamp_ms);
        Demand::of(&row, timestamp_ms);
    }
    let order = |a: Symbol, b: Symbol| names.name(a).cmp(names.name(b));
    let direct = direct_list(&row.co, row.buckets.newest_ms(), |_| Some(*row.co.popularity()), order);
    fill(&direct, names);
}

fn neighbours(list: &NeighbourList, names: &Interner) {
    fill(&direct_of(list, names), names);
    let entries = [HistoryEntry { product_id: "p".into(), kind: EventKind::View, timestamp_ms: 0 }];
    let session = session_of(&entries, None);
    let list = VotingList::of(list.clone());
    rank(&session, &[Some(&list)], &RepeatTable::default(), |_, _| true, 10);
}

fn fill(direct: &DirectList, names: &Interner) {
    let order = |a: Symbol, b: Symbol| names.name(a).cmp(names.name(b));
    let lists = direct.hops().map(|_| Some(direct));
    let scored = two_hop_list(names.intern("p"), direct, lists, order, &mut Sums::default());
    let category = |_, _: &str| Some(SmolStr::default());
    let list = published_list(Version::of(1, 1), 5, SmolStr::default(), direct, &scored, names, category);
    list.encode();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A row of each kind, packed.
    fn packed() -> [Vec<u8>; 4] {
        let names = Interner::default();
        let (mut user, mut product) = (UserRow::default(), ProductRow::default());
        for i in 0..60i64 {
            let timestamp_ms = 1_700_000_000_000 + i * 60_000;
            let other = names.intern(&format!("p{}", i % 9));
            user.apply(&Observation {
                product: other,
                kind: EventKind::Purchase,
                timestamp_ms,
                append_time_ms: timestamp_ms,
                fingerprint: i as u64,
            });
            product.observe(EventKind::View, 1, Some("home"), timestamp_ms);
            product.add_pair(other, 1 << 20, timestamp_ms);
        }
        let popularity = |_| Some(*product.co.popularity());
        let direct = direct_list(&product.co, product.buckets.newest_ms(), popularity, |a, b| a.0.cmp(&b.0));
        let category = |_, _: &str| Some(SmolStr::default());
        let list =
            published_list(Version::of(1, 1), 5, "home".into(), &direct, &direct.entries, &names, category);
        [
            user.encode(&names),
            product.encode(&names),
            user.encode_history(Version::NONE, &names),
            list.encode(),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn damaged_rows_are_refused_or_worked_with(
            kind in 0usize..4,
            damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
            cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        ) {
            let mut bytes = packed()[kind].clone();
            for (place, byte) in damages {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            rows(&bytes);
        }
    }

    /// Their difference would overflow.
    #[test]
    fn a_history_with_times_that_no_event_can_have_is_refused() {
        let history = |timestamp_ms: i64| {
            let entry = ("p", EventKind::View, timestamp_ms);
            UserHistory::encode_entries(Version::of(1, 1), std::iter::repeat_n(entry, 2))
        };
        assert_eq!(rows(&history(0)), 1);
        assert_eq!(rows(&history(MAX_TIME_MS)), 1);
        for timestamp_ms in [i64::MIN, -1, MAX_TIME_MS + 1, i64::MAX] {
            assert_eq!(rows(&history(timestamp_ms)), 0, "{timestamp_ms}");
        }
    }

    #[test]
    fn undamaged_rows_are_read() {
        assert!(packed().iter().all(|bytes| rows(bytes) >= 1));
    }
}
