//! What serving computes for an answer: a shopper with 20 products, and a full list of each.

use std::hint::black_box;

use recommender::VotingList;
use recommender::ranking::rank;
use recommender::session::session_of;
use schemas::EventKind;
use schemas::published::{HistoryEntry, Neighbour, NeighbourList, RepeatTable};

use crate::{Path, measured};

pub(crate) const PATHS: [Path; 2] = [
    Path { name: "rank-in-session", unit: "answer", run: in_session },
    Path { name: "rank-returning", unit: "answer", run: returning },
];

const TIMES: u64 = 50;
const PRODUCTS: usize = 20;
const NOW_MS: i64 = 1_767_225_600_000;

fn in_session() -> u64 {
    ranked(None)
}

/// Long after the last event, so that the whole history counts instead of the session.
fn returning() -> u64 {
    ranked(Some(i64::MAX))
}

fn ranked(now_ms: Option<i64>) -> u64 {
    let (history, lists) = shopper();
    let lists: Vec<VotingList> = lists.into_iter().map(VotingList::of).collect();
    let lists: Vec<Option<&VotingList>> = lists.iter().map(Some).collect();
    let repeats = RepeatTable::default();
    let answer = || {
        let session = session_of(&history, now_ms);
        rank(&session, &lists, &repeats, |id, _| id != "excluded", 20).len()
    };
    black_box(answer());
    measured(|| (0..TIMES).map(|_| black_box(answer())).sum::<usize>());
    TIMES
}

/// A history of distinct products, one a minute. Half of the products of their lists are on other lists, too.
fn shopper() -> (Vec<HistoryEntry>, Vec<NeighbourList>) {
    let entry = |place: usize| HistoryEntry {
        product_id: format!("{:08}", place * 1_000),
        kind: EventKind::ALL[place % 3],
        timestamp_ms: NOW_MS - place as i64 * 60_000,
    };
    let list = |place: usize| {
        let neighbour = |rank: usize| Neighbour {
            product_id: match rank % 2 {
                0 => format!("{:08}", 500_000 + rank).into(),
                _ => format!("{:08}", place * 100 + rank).into(),
            },
            score: 0.9f32.powi(rank as i32),
            direct: 0.5 * 0.9f32.powi(rank as i32),
            count: 3,
            category: "shoes".into(),
        };
        NeighbourList { entries: (0..64).map(neighbour).collect(), ..NeighbourList::default() }
    };
    ((0..PRODUCTS).map(entry).collect(), (0..PRODUCTS).map(list).collect())
}
