//! What a run found, and the table of all of them.

use super::probe::Served;
use serde::Serialize;

/// Bars of speed. They are printed, and not asserted: the machine decides, too.
const RECOVERY_BAR_S: f64 = 10.0;
const SERVED_BAR_PERCENT: f64 = 99.9;
const P99_BAR_MS: f64 = 100.0;

/// One scenario's line.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Row {
    /// The scenario's name.
    pub scenario: String,
    /// Events acknowledged, and so many records of them in the log.
    pub acknowledged: u64,
    /// Records in the log, copies included.
    pub records: u64,
    /// Acknowledged and not in the log, or in the log and never applied.
    pub lost: u64,
    /// Applied more often than once.
    pub counted_twice: u64,
    /// Whether the digest is that of the undisturbed run; `None` where there is none to compare with.
    pub digest_equal: Option<bool>,
    /// Whether `state verify` found everything equal.
    pub verified: bool,
    /// Requests to serving, and those answered with 200.
    pub asked: u64,
    /// See `asked`.
    pub answered: u64,
    /// Answers that said they were not made the usual way.
    pub degraded: u64,
    /// p99 of answers while something was broken, in ms.
    pub faulty_p99_ms: Option<f64>,
    /// Until everything that came more than a second ago was visible again, in seconds.
    pub recovery_s: Option<f64>,
    /// Which promises broke.
    pub broken: Vec<String>,
    /// Why it did not run at all.
    pub skipped: Option<String>,
}

impl Row {
    /// One that did not run.
    pub fn skipped(scenario: &str, why: impl Into<String>) -> Self {
        Self { scenario: scenario.to_owned(), skipped: Some(why.into()), ..Self::default() }
    }

    /// Takes over what serving answered.
    pub fn served(&mut self, served: Served) {
        let Served { asked, answered, faulty_p99_ms, degraded } = served;
        (self.asked, self.answered, self.degraded, self.faulty_p99_ms) =
            (asked, answered, degraded, faulty_p99_ms);
    }

    /// Names what the figures say is broken.
    pub fn judge(&mut self) {
        let found = [
            (self.lost > 0).then(|| format!("{} events lost", self.lost)),
            (self.counted_twice > 0).then(|| format!("{} events counted twice", self.counted_twice)),
            (self.digest_equal == Some(false)).then(|| "another digest than the undisturbed run".to_owned()),
            (!self.verified).then(|| "`state verify` is not equal".to_owned()),
        ];
        self.broken.extend(found.into_iter().flatten());
    }

    /// Whether every promise was kept.
    pub fn is_kept(&self) -> bool {
        self.broken.is_empty()
    }

    fn cells(&self) -> [String; 11] {
        if let Some(why) = &self.skipped {
            let mut cells: [String; 11] = std::array::from_fn(|_| "-".to_owned());
            cells[0].clone_from(&self.scenario);
            cells[10] = format!("SKIPPED: {why}");
            return cells;
        }
        let yes = |holds: bool| if holds { "yes" } else { "NO" }.to_owned();
        let beside = |text: String, holds: bool| if holds { text } else { format!("{text} !") };
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let percent = self.answered as f64 * 100.0 / self.asked as f64;
        [
            self.scenario.clone(),
            self.acknowledged.to_string(),
            self.records.saturating_sub(self.acknowledged).to_string(),
            self.lost.to_string(),
            self.counted_twice.to_string(),
            or_dash(self.digest_equal.map(yes)),
            yes(self.verified),
            or_dash((self.asked > 0).then(|| {
                // Rounded down: 100 means all.
                beside(format!("{:.2}", (percent * 100.0).floor() / 100.0), percent >= SERVED_BAR_PERCENT)
            })),
            or_dash(self.faulty_p99_ms.map(|p99| beside(format!("{p99:.0}"), p99 < P99_BAR_MS))),
            or_dash(self.recovery_s.map(|took| beside(format!("{took:.1}"), took < RECOVERY_BAR_S))),
            if self.is_kept() { "kept".to_owned() } else { format!("BROKEN: {}", self.broken.join("; ")) },
        ]
    }
}

/// The table, with the bars below.
pub fn print_table(rows: &[Row]) {
    let head = [
        "scenario",
        "acknowledged",
        "other records",
        "lost",
        "twice",
        "digest",
        "verify",
        "served %",
        "p99 ms",
        "recovery s",
        "promises",
    ];
    let cells: Vec<[String; 11]> =
        std::iter::once(head.map(str::to_owned)).chain(rows.iter().map(Row::cells)).collect();
    let widths: [usize; 11] =
        std::array::from_fn(|column| cells.iter().map(|row| row[column].len()).max().unwrap_or_default());
    for row in &cells {
        let line: Vec<String> = row
            .iter()
            .zip(widths)
            .enumerate()
            .map(|(column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                10 => cell.clone(),
                _ => format!("{cell:>width$}"),
            })
            .collect();
        println!("{}", line.join("  "));
    }
    println!(
        "\nother records: copies of events that were sent again, and orders to forget a user. served: requests to serving \
         answered with 200 (bar {SERVED_BAR_PERCENT} %). p99: of these while something was broken (bar {P99_BAR_MS} ms). \
         recovery: until all that came more than a second ago was visible (bar {RECOVERY_BAR_S} s). `!`: misses its bar."
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_broken_promise_is_named() {
        let mut kept = Row { verified: true, digest_equal: Some(true), ..Row::default() };
        kept.judge();
        assert!(kept.is_kept());
        let mut broken = Row { lost: 1, counted_twice: 2, digest_equal: Some(false), ..Row::default() };
        broken.judge();
        assert_eq!(broken.broken.len(), 4, "{:?}", broken.broken);
        assert!(broken.cells()[10].starts_with("BROKEN: 1 events lost; 2 events counted twice"));
    }
}
