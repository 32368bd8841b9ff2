//! Which rows go to the database together.
//!
//! Most of what a small write costs is its way: a request, its answer, and the threads that hand them on. So rows that the
//! same nodes keep go in one request, as an unlogged batch: each of these nodes has all of its rows, and none has to pass any
//! on that it does not keep. A batch promises no more than its rows would alone, and nothing more is needed.

use crate::Row;
use std::collections::HashMap;
use std::hash::Hash;

/// Rows of a batch at most. Cassandra warns of a batch of more than 10 partitions
/// (`unlogged_batch_across_partitions_warn_threshold`).
const ROWS: usize = 10;
/// Bytes of the rows of a batch at most, but a row alone may have more. Cassandra warns of 5 KiB (`batch_size_warn_threshold`).
const BYTES: usize = 4_500;
/// What a row takes beside its key and state, in bytes.
const FRAME: usize = 60;

/// Rows that are written together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Together<'a> {
    pub(super) rows: Vec<&'a Row>,
    bytes: usize,
}

impl<'a> Together<'a> {
    fn of(row: &'a Row) -> Self {
        Self { rows: vec![row], bytes: bytes(row) }
    }

    /// Whether there was room for it.
    fn takes(&mut self, row: &'a Row) -> bool {
        let has_room = self.rows.len() < ROWS && self.bytes + bytes(row) <= BYTES;
        if has_room {
            self.bytes += bytes(row);
            self.rows.push(row);
        }
        has_room
    }
}

fn bytes(row: &Row) -> usize {
    FRAME + row.key.len() + row.state.len()
}

/// Every row once, each together with others that have the same place; alone, where its place is not known.
pub(super) fn by_place<P: Eq + Hash>(rows: &[Row], place: impl Fn(&Row) -> Option<P>) -> Vec<Together<'_>> {
    let mut open: HashMap<P, usize> = HashMap::new();
    let mut batches: Vec<Together<'_>> = Vec::with_capacity(rows.len().div_ceil(ROWS));
    for row in rows {
        let Some(place) = place(row) else {
            batches.push(Together::of(row));
            continue;
        };
        let batch = open.entry(place).or_insert(usize::MAX);
        if !batches.get_mut(*batch).is_some_and(|batch| batch.takes(row)) {
            *batch = batches.len();
            batches.push(Together::of(row));
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;
    use schemas::Version;

    fn row(number: usize, size: usize) -> Row {
        Row { key: format!("{number:04}"), version: Version(1), state: Bytes::from(vec![0; size]) }
    }

    /// The numbers of the rows of each batch; the place of a row is its number modulo `places`, or not known where there are none.
    fn batches(sizes: &[usize], places: usize) -> Vec<Vec<usize>> {
        let number = |row: &Row| row.key.parse::<usize>().expect("a number");
        let rows: Vec<Row> = sizes.iter().enumerate().map(|(index, size)| row(index, *size)).collect();
        let together = by_place(&rows, |row| number(row).checked_rem(places));
        together.iter().map(|batch| batch.rows.iter().map(|row| number(row)).collect()).collect()
    }

    #[test]
    fn rows_of_a_place_go_together_until_there_are_ten() {
        let even_and_odd = batches(&[100; 24], 2);
        let every_other = |from: usize, to: usize| (from..to).step_by(2).collect::<Vec<_>>();
        assert_eq!(even_and_odd, [every_other(0, 20), every_other(1, 20), vec![20, 22], vec![21, 23]]);
    }

    #[test]
    fn a_large_row_goes_alone() {
        assert_eq!(batches(&[10, 100_000, 10, 10], 1), [vec![0], vec![1], vec![2, 3]]);
    }

    #[test]
    fn rows_whose_places_are_not_known_go_alone() {
        assert_eq!(batches(&[10; 3], 0), [[0], [1], [2]]);
    }

    proptest! {
        #[test]
        fn each_row_goes_once_with_rows_of_its_place_within_the_bounds(
            sizes in prop::collection::vec(0..3_000_usize, 0..200),
            places in 1..8_usize,
        ) {
            let batches = batches(&sizes, places);
            let mut all = batches.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..sizes.len()).collect::<Vec<_>>());
            for batch in batches {
                prop_assert!(batch.iter().all(|number| number % places == batch[0] % places));
                let bytes: usize = batch.iter().map(|number| sizes[*number] + 4 + FRAME).sum();
                prop_assert!(batch.len() <= ROWS && bytes <= BYTES);
            }
        }
    }
}
