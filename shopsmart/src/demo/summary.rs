use std::fmt;
use std::time::Duration;

use super::figures::Freshness;
use super::panel;
use super::watch::View;

/// What a demo has shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// How long shoppers came.
    pub elapsed: Duration,
    /// Events that the server acknowledged.
    pub acknowledged: u64,
    /// Events that it did not take.
    pub rejected: u64,
    /// Events that were acknowledged but not processed at the end.
    pub lag_records: u64,
    /// How soon events showed.
    pub freshness: Freshness,
    /// The launched product's place in the end, if it was launched and is among the first.
    pub launched_rank: Option<usize>,
    /// Products recommended to the shoppers shown, by name.
    pub recommended: Vec<String>,
    /// Whether it was ended before its time.
    pub interrupted: bool,
}

impl Summary {
    pub(super) fn of(view: &View, interrupted: bool) -> Self {
        Self {
            elapsed: view.elapsed,
            acknowledged: view.acknowledged,
            rejected: view.rejected,
            lag_records: view.lag_records,
            freshness: view.freshness,
            launched_rank: view.launched.as_ref().and_then(|launched| launched.rank),
            recommended: view.shoppers.iter().flat_map(|shopper| shopper.recommended.clone()).collect(),
            interrupted,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        let rate = self.acknowledged as f64 / seconds.max(1e-3);
        writeln!(f)?;
        writeln!(f, "{} events were acknowledged in {seconds:.0} s ({rate:.0}/s).", self.acknowledged)?;
        if self.rejected > 0 {
            writeln!(f, "{} were rejected.", self.rejected)?;
        }
        let freshness = panel::freshness(self.freshness);
        writeln!(
            f,
            "From the acknowledgement of an event to its place in the shopper's history: {freshness}."
        )?;
        if let Some(rank) = self.launched_rank {
            writeln!(f, "The product that was launched midway ended as number {rank} of what trends.")?;
        }
        f.write_str(NEXT)
    }
}

const NEXT: &str = "
Try next, with a shop that stays:

  shopsmart dev --data ./shop        (or: cargo run --release -- dev --data ./shop)

and beside it:

  shopsmart simulate --out events.csv.gz
  shopsmart replay events.csv.gz --to http://127.0.0.1:8080
  curl 'http://127.0.0.1:8080/recommendations?user_id=shopper-1&k=5'
  curl 'http://127.0.0.1:8080/products/kettles-1/similar'

  curl http://127.0.0.1:8080/events -H 'content-type: application/json' \\
    -d '{\"event_type\":\"view\",\"user_id\":\"me\",\"product_id\":\"kettles-1\"}'
  curl 'http://127.0.0.1:8080/users/me/history'
  curl 'http://127.0.0.1:8080/recommendations?user_id=me&k=5'

The whole API: http://127.0.0.1:8080/docs";
