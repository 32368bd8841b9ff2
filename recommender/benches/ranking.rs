//! How long it takes to rank an answer. `cargo bench -p recommender`

use recommender::VotingList;
use recommender::ranking::rank;
use recommender::session::{Session, session_of};
use schemas::EventKind;
use schemas::published::{HistoryEntry, Neighbour, NeighbourList, RepeatTable};

fn main() {
    divan::main();
}

/// A history of distinct products, one a minute, and a full list for each: half of its products are on other lists, too.
fn shopper(products: usize) -> (Vec<HistoryEntry>, Vec<NeighbourList>) {
    let entry = |place: usize| HistoryEntry {
        product_id: format!("{:08}", place * 1_000),
        kind: EventKind::ALL[place % 3],
        timestamp_ms: 1_700_000_000_000 - place as i64 * 60_000,
    };
    let list = |place: usize| {
        let neighbour = |rank: usize| Neighbour {
            product_id: format!(
                "{:08}",
                if rank.is_multiple_of(2) { 500_000 + rank } else { place * 100 + rank }
            )
            .into(),
            score: 0.9f32.powi(rank as i32),
            direct: 0.5 * 0.9f32.powi(rank as i32),
            count: 3,
            category: "shoes".into(),
        };
        NeighbourList { entries: (0..64).map(neighbour).collect(), ..NeighbourList::default() }
    };
    ((0..products).map(entry).collect(), (0..products).map(list).collect())
}

fn ranked(bencher: divan::Bencher<'_, '_>, products: usize, now_ms: Option<i64>) {
    let (entries, lists) = shopper(products);
    let lists: Vec<VotingList> = lists.into_iter().map(VotingList::of).collect();
    let lists: Vec<Option<&VotingList>> = lists.iter().map(Some).collect();
    let repeats = RepeatTable::default();
    bencher.bench(|| {
        let session: Session<'_> = session_of(&entries, now_ms);
        rank(&session, &lists, &repeats, |id, _| id != "excluded", 20).len()
    });
}

#[divan::bench(args = [1, 5, 20])]
fn within_a_session(bencher: divan::Bencher<'_, '_>, products: usize) {
    ranked(bencher, products, None);
}

#[divan::bench(args = [20])]
fn of_a_returning_shopper(bencher: divan::Bencher<'_, '_>, products: usize) {
    ranked(bencher, products, Some(i64::MAX));
}

#[divan::bench]
fn a_list_decoded(bencher: divan::Bencher<'_, '_>) {
    let packed = shopper(1).1[0].encode();
    bencher.bench(|| NeighbourList::decode(&packed).map(|list| list.entries.len()));
}
