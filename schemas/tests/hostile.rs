//! Whatever bytes a store or a log hands back, reading them ends with a value or an error.

use proptest::prelude::*;
use prost::Message;
use schemas::Version;
use schemas::proto::{ActivityRecord, EventRecord};
use schemas::published::{
    HistoryEntry, LastStep, Layout, Marker, Neighbour, NeighbourList, RepeatTable, SessionShape,
    TrendingEntry, TrendingList, UserHistory,
};
use schemas::{EventKind, Position};

/// One value of each kind, packed.
fn packed() -> Vec<Vec<u8>> {
    let version = Version::of(1, 77);
    let history = UserHistory {
        version,
        entries: vec![HistoryEntry { product_id: "lamp".into(), kind: EventKind::View, timestamp_ms: 5 }; 3],
    };
    let neighbour =
        Neighbour { product_id: "lamp".into(), score: 1.5, direct: 0.5, count: 3, category: "home".into() };
    let neighbours = NeighbourList { version, entries: vec![neighbour; 3], ..NeighbourList::default() };
    let entry = TrendingEntry { product_id: "lamp".into(), score: 9, count: 3, category: "home".into() };
    let trending = TrendingList { version, as_of_ms: 5, entries: vec![entry; 3] };
    let mut repeats = RepeatTable::default();
    repeats.observe(&SessionShape { times: vec![1, 2], last_step: LastStep::New }, Some(1));
    let layout = Layout { version, events_partitions: 4, activity_partitions: 4 };
    let marker = Marker { version, ..Marker::default() };
    vec![
        history.encode(),
        neighbours.encode(),
        trending.encode(),
        repeats.encode(),
        layout.encode(),
        marker.encode(),
    ]
}

/// Reads bytes as everything that is read from outside. What matters is that it comes back.
fn read_as_everything(bytes: &[u8]) -> usize {
    let read = [
        UserHistory::decode(bytes).is_ok(),
        NeighbourList::decode(bytes).is_ok(),
        TrendingList::decode(bytes).is_ok(),
        RepeatTable::decode(bytes).is_ok(),
        Layout::decode(bytes).is_ok(),
        Marker::decode(bytes).is_ok(),
        EventRecord::decode(bytes).is_ok(),
        ActivityRecord::decode(bytes).is_ok(),
        std::str::from_utf8(bytes).is_ok_and(|text| text.parse::<Position>().is_ok()),
    ];
    read.iter().filter(|read| **read).count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_as_everything(&bytes);
    }

    #[test]
    fn damaged_values_are_read_or_refused(
        kind in 0usize..6,
        damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = packed().swap_remove(kind);
        for (place, byte) in damages {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        read_as_everything(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        read_as_everything(&bytes);
    }
}

#[test]
fn undamaged_values_are_read() {
    assert!(packed().iter().all(|bytes| read_as_everything(bytes) >= 1));
}
