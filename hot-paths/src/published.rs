//! What the processor publishes and serving reads: lists and histories, packed and unpacked.

use std::hint::black_box;

use recommender::co_occurrence::CoOccurrence;
use recommender::neighbours::{DirectList, Sums, direct_list, two_hop_list};
use recommender::publishing::published_list;
use recommender::{Interner, Symbol, VotingList};
use schemas::published::{HistoryEntry, NeighbourList, UserHistory};
use schemas::{EventKind, Version};

use crate::{Path, measured};

pub(crate) const PATHS: [Path; 5] = [
    Path { name: "list-rank", unit: "list", run: list_rank },
    Path { name: "list-pack", unit: "list", run: list_pack },
    Path { name: "list-unpack", unit: "list", run: list_unpack },
    Path { name: "history-pack", unit: "history", run: history_pack },
    Path { name: "history-unpack", unit: "history", run: history_unpack },
];

const TIMES: u64 = 100;
const NOW_MS: i64 = 1_767_225_600_000;
/// Products beside the one whose list is made.
const OTHERS: u32 = 100;

/// Does the work once before it counts.
fn times<T>(mut work: impl FnMut() -> T) -> u64 {
    black_box(work());
    measured(|| (0..TIMES).for_each(|_| drop(black_box(work()))));
    TIMES
}

/// A product's candidates and what is known of these, as the processor ranks them.
struct Shelf {
    names: Interner,
    row: CoOccurrence,
    known: Vec<DirectList>,
}

impl Shelf {
    fn new() -> Self {
        let names = Interner::default();
        (0..=OTHERS).for_each(|number| {
            names.intern(&format!("{:08}", number * 7_919));
        });
        let row = |product: u32, others: u32| {
            let mut row = CoOccurrence::default();
            (0..20).for_each(|event| row.observe(NOW_MS - event * 60_000));
            for step in 1..=others {
                let other = Symbol((product + step * 3) % (OTHERS + 1));
                row.add_pair(other, (1 << 24) / step, NOW_MS - i64::from(step) * 60_000);
            }
            row
        };
        let by_number = |a: Symbol, b: Symbol| a.0.cmp(&b.0);
        let known = (0..=OTHERS).map(|product| direct_list(&row(product, 60), NOW_MS, |_| None, by_number));
        Self { names, row: row(0, OTHERS), known: known.collect() }
    }

    fn list(&self, sums: &mut Sums) -> NeighbourList {
        let Self { names, row, known } = self;
        let by_name = |a: Symbol, b: Symbol| names.name(a).cmp(names.name(b));
        let of = |product: Symbol| known.get(product.0 as usize);
        let popularity = |product: Symbol| of(product).map(|list| list.popularity);
        let direct = direct_list(row, NOW_MS, popularity, by_name);
        let scored = two_hop_list(Symbol(0), &direct, direct.hops().map(of), by_name, sums);
        let category =
            |product: Symbol, _: &str| Some(["c0", "c1", "c2", "c3", "c4"][product.0 as usize % 5].into());
        published_list(Version::of(1, 77), NOW_MS, "c0".into(), &direct, &scored, names, category)
    }
}

fn list_rank() -> u64 {
    let (shelf, mut sums) = (Shelf::new(), Sums::default());
    times(|| shelf.list(&mut sums))
}

fn list_pack() -> u64 {
    let list = Shelf::new().list(&mut Sums::default());
    times(|| list.encode())
}

/// As serving does.
fn list_unpack() -> u64 {
    let packed = Shelf::new().list(&mut Sums::default()).encode();
    times(|| NeighbourList::decode(&packed).map(VotingList::of))
}

/// A full history: 50 events.
fn history() -> UserHistory {
    let entry = |number: i64| HistoryEntry {
        product_id: format!("{:08}", number * 7_919 % 100_000),
        kind: EventKind::View,
        timestamp_ms: NOW_MS - number * 40_000,
    };
    UserHistory { version: Version::of(1, 77), entries: (0..50).map(entry).collect() }
}

fn history_pack() -> u64 {
    let history = history();
    times(|| history.encode())
}

fn history_unpack() -> u64 {
    let packed = history().encode();
    times(|| UserHistory::decode(&packed))
}
