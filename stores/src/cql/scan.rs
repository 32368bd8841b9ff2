//! Scans: many small parts, a few at a time, page by page, into a bounded queue.

use super::{Inner, row, unreadable};
use crate::{Row, RowStream, StoreError, Table};
use ::scylla::response::query_result::QueryResult;
use ::scylla::response::{PagingState, PagingStateResponse};
use futures::stream::{self, StreamExt, TryStreamExt};
use std::ops::ControlFlow;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Rows read ahead of who takes them, beside the pages in hand.
const QUEUE: usize = 256;
/// Parts read at the same time. Together with the size of a page this bounds the memory.
const PARALLEL: usize = 4;
/// Into how many ranges the ring of tokens is cut, as a power of two.
const RANGES_BITS: u32 = 6;

/// A part of a table that one paged statement reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// One shard of a generation.
    Shard(u32),
    /// Partitions whose token is above the first and not above the second, of all generations.
    Tokens(i64, i64),
}

impl Part {
    /// The parts that together hold every row of a generation.
    ///
    /// A table without shards is read as a whole, and the rows of other generations are dropped here: there is no index by
    /// generation. So old generations make such a scan slower.
    pub(super) fn all(table: Table) -> Vec<Self> {
        if let Some(shards) = table.shards() {
            return (0..shards).map(Self::Shard).collect();
        }
        let start = |range: u64| i64::MIN.wrapping_add_unsigned(range << (u64::BITS - RANGES_BITS));
        let last = (1 << RANGES_BITS) - 1;
        // No partition has the lowest token, so the first range may begin above it.
        (0..=last)
            .map(|range| Self::Tokens(start(range), if range == last { i64::MAX } else { start(range + 1) }))
            .collect()
    }
}

/// Reads the parts; ends early when the receiver is dropped.
pub(super) fn start(inner: Arc<Inner>, table: Table, generation: u16, parts: Vec<Part>) -> RowStream {
    let (rows, receiver) = mpsc::channel(QUEUE);
    // Not awaited: it ends with the last row, the first error, or the receiver.
    tokio::spawn(async move {
        let scan = Scan { inner: &inner, table, generation: i32::from(generation), rows: &rows };
        let read = stream::iter(parts).map(Ok).try_for_each_concurrent(PARALLEL, |part| scan.part(part));
        if let Err(Stop::Failed(error)) = read.await {
            // Nobody is left to tell when this fails.
            let _ = rows.send(Err(error)).await;
        }
    });
    receiver
}

/// Why a scan ends before its last row.
enum Stop {
    Failed(StoreError),
    Abandoned,
}

struct Scan<'a> {
    inner: &'a Inner,
    table: Table,
    generation: i32,
    rows: &'a mpsc::Sender<Result<Row, StoreError>>,
}

impl Scan<'_> {
    async fn part(&self, part: Part) -> Result<(), Stop> {
        let mut position = PagingState::start();
        loop {
            let (page, next) = self.page(part, &position).await.map_err(Stop::Failed)?;
            self.send(page).await?;
            match next.into_paging_control_flow() {
                ControlFlow::Continue(next) => position = next,
                ControlFlow::Break(()) => return Ok(()),
            }
        }
    }

    async fn page(
        &self,
        part: Part,
        position: &PagingState,
    ) -> Result<(QueryResult, PagingStateResponse), StoreError> {
        let (session, statements) = self.inner.sessions.ready(&self.inner.settings, self.table).await?;
        let statement = &statements.scan;
        let read = || async move {
            let position = position.clone();
            match part {
                Part::Shard(shard) => {
                    let values = (self.generation, shard.cast_signed());
                    session.execute_single_page(statement, values, position).await
                }
                Part::Tokens(after, last) => {
                    session.execute_single_page(statement, (after, last), position).await
                }
            }
        };
        self.inner.attempts.run("scan", read).await
    }

    async fn send(&self, page: QueryResult) -> Result<(), Stop> {
        let unreadable = |reason: &dyn std::fmt::Display| Stop::Failed(unreadable(reason));
        let page = page.into_rows_result().map_err(|error| unreadable(&error))?;
        for columns in page.rows::<(i32, &str, i64, &[u8])>().map_err(|error| unreadable(&error))? {
            let (generation, key, version, state) = columns.map_err(|error| unreadable(&error))?;
            if generation == self.generation {
                let row = row(key.to_owned(), version, state.to_vec());
                self.rows.send(Ok(row)).await.map_err(|_| Stop::Abandoned)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ranges_cover_every_token_once() {
        let parts = Part::all(Table::UserHistory);
        assert_eq!(parts.len(), 64);
        let mut next = i64::MIN;
        for part in parts {
            let Part::Tokens(after, last) = part else { panic!("{part:?}") };
            assert_eq!(after, next);
            assert!(last > after);
            next = last;
        }
        assert_eq!(next, i64::MAX);
    }
}
