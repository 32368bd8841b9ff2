use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::report::Rejection;

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// The log holds it.
    Accepted,
    /// The log holds it, with its time put right.
    Adjusted,
    /// Nobody will ever take it.
    Rejected(Box<Rejection>),
}

/// Which rows are done, when they finish in any order. Rows are numbered from 1 and sent in order; the *frontier* is
/// the last row up to which all are done, the only thing worth remembering for a resumption.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    frontier: u64,
    /// The rows after the frontier, the next one first.
    open: VecDeque<Open>,
    /// Done in an earlier run, but beyond its frontier: not to be sent again.
    known: BTreeMap<u64, Outcome>,
}

#[derive(Debug)]
struct Open {
    timestamp_ms: i64,
    outcome: Option<Outcome>,
}

impl Ledger {
    /// Continues after `frontier`, knowing some outcomes beyond it.
    pub fn resume(frontier: u64, known: BTreeMap<u64, Outcome>) -> Self {
        Self { frontier, open: VecDeque::new(), known }
    }

    /// The last row up to which all are done; 0 = none.
    pub fn frontier(&self) -> u64 {
        self.frontier
    }

    /// The number of the row to begin next.
    pub fn next_row(&self) -> u64 {
        self.frontier + self.open.len() as u64 + 1
    }

    /// How many rows stand between the frontier and the next row.
    pub fn open_rows(&self) -> usize {
        self.open.len()
    }

    /// The event time of the first row that is not done.
    pub fn oldest_ms(&self) -> Option<i64> {
        self.open.front().map(|open| open.timestamp_ms)
    }

    /// Begins the next row. True when it has to be sent; false when an earlier run has done it.
    pub fn begin(&mut self, timestamp_ms: i64) -> bool {
        let outcome = self.known.remove(&self.next_row());
        let to_send = outcome.is_none();
        self.open.push_back(Open { timestamp_ms, outcome });
        to_send
    }

    /// Notes the outcome of a begun row.
    ///
    /// # Panics
    /// When the row was not begun, or is behind the frontier: an accounting error that must not pass.
    pub fn settle(&mut self, row: u64, outcome: Outcome) {
        let open = row.checked_sub(self.frontier + 1).and_then(|i| self.open.get_mut(i as usize));
        open.expect("only begun rows are settled, once").outcome = Some(outcome);
    }

    /// Moves the frontier past the next row if that is done.
    pub fn advance(&mut self) -> Option<Outcome> {
        let outcome = self.open.front_mut()?.outcome.take()?;
        self.open.pop_front();
        self.frontier += 1;
        Some(outcome)
    }

    /// The outcomes beyond the frontier.
    pub fn ahead(&self) -> BTreeMap<u64, Outcome> {
        let open = self.open.iter().zip(self.frontier + 1..);
        let done = open.filter_map(|(open, row)| Some((row, open.outcome.clone()?)));
        done.chain(self.known.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(ledger: &mut Ledger) -> usize {
        std::iter::from_fn(|| ledger.advance()).count()
    }

    #[test]
    fn the_frontier_waits_for_the_oldest_row() {
        let mut ledger = Ledger::default();
        for timestamp in [10, 20, 30] {
            assert!(ledger.begin(timestamp));
        }
        ledger.settle(2, Outcome::Accepted);
        ledger.settle(3, Outcome::Adjusted);
        assert_eq!((drained(&mut ledger), ledger.frontier(), ledger.oldest_ms()), (0, 0, Some(10)));
        ledger.settle(1, Outcome::Accepted);
        assert_eq!((drained(&mut ledger), ledger.frontier(), ledger.oldest_ms()), (3, 3, None));
        assert_eq!(ledger.next_row(), 4);
    }

    #[test]
    fn what_was_done_beyond_the_frontier_is_not_sent_by_the_next_run() {
        let mut first = Ledger::default();
        for timestamp in 0..4 {
            first.begin(timestamp);
        }
        first.settle(2, Outcome::Accepted);
        first.settle(4, Outcome::Adjusted);
        let mut second = Ledger::resume(first.frontier(), first.ahead());
        assert_eq!(second.ahead(), first.ahead(), "a run that stops at once forgets nothing");
        let to_send: Vec<bool> = (0..5).map(|timestamp| second.begin(timestamp)).collect();
        assert_eq!(to_send, [true, false, true, false, true]);
        second.settle(1, Outcome::Accepted);
        assert_eq!((drained(&mut second), second.frontier()), (2, 2));
    }
}
