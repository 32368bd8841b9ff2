//! What a run found, as a table and as JSON.

use crate::bootstrap::Comparison;
use crate::metrics::{Metrics, Tally};
use serde::Serialize;
use std::fmt;

/// An algorithm's result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// What it reaches.
    #[serde(flatten)]
    pub metrics: Metrics,
}

/// The result of a protocol on a data set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// `static`, `live`, `prequential`, `heldout` or `cold-start`.
    pub protocol: &'static str,
    /// The data set's name.
    pub dataset: String,
    /// Number of predictions.
    pub targets: u64,
    /// Share of the targets that are new to the session (or the user).
    pub novel_targets: f64,
    /// Ours first.
    pub algorithms: Vec<Row>,
    /// Ours against each other one.
    pub comparisons: Vec<Comparison>,
}

impl Report {
    /// Sums up tallies by session (or user), which every algorithm has for the same ones; the first is compared with the rest.
    pub fn new(protocol: &'static str, dataset: &str, tallies: &[(String, Vec<Tally>)]) -> Self {
        let totals: Vec<Tally> = tallies.iter().map(|(_, parts)| total(parts)).collect();
        let row = |((name, _), total): (&(String, Vec<Tally>), &Tally)| Row {
            name: name.clone(),
            metrics: total.metrics(),
        };
        let comparisons = tallies
            .iter()
            .skip(1)
            .map(|(name, parts)| crate::bootstrap::compare(name, &tallies[0].1, parts))
            .collect();
        let first = totals.first().copied().unwrap_or_default();
        Self {
            protocol,
            dataset: dataset.to_owned(),
            targets: first.targets,
            novel_targets: first.novel as f64 / first.targets.max(1) as f64,
            algorithms: tallies.iter().zip(&totals).map(row).collect(),
            comparisons,
        }
    }
}

fn total(parts: &[Tally]) -> Tally {
    parts.iter().fold(Tally::default(), |sum, part| Tally {
        targets: sum.targets + part.targets,
        hits: sum.hits + part.hits,
        reciprocal: sum.reciprocal + part.reciprocal,
        novel: sum.novel + part.novel,
        novel_hits: sum.novel_hits + part.novel_hits,
        listed: sum.listed + part.listed,
        listed_novel: sum.listed_novel + part.listed_novel,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, dataset, targets, novel_targets, .. } = self;
        writeln!(
            f,
            "{protocol} on {dataset}: {targets} targets, {:.1} % of them new",
            novel_targets * 100.0
        )?;
        writeln!(f)?;
        writeln!(
            f,
            "{:<24}{:>8}{:>8}{:>11}{:>12}",
            "algorithm", "HR@20", "MRR@20", "new HR@20", "new listed"
        )?;
        for Row { name, metrics } in &self.algorithms {
            let Metrics { hr_at_20, mrr_at_20, novel_hr_at_20, novel_share } = metrics;
            writeln!(
                f,
                "{name:<24}{hr_at_20:>8.4}{mrr_at_20:>8.4}{novel_hr_at_20:>11.4}{novel_share:>12.3}"
            )?;
        }
        if let Some(first) = self.algorithms.first().filter(|_| !self.comparisons.is_empty()) {
            writeln!(f)?;
            writeln!(f, "{} ahead of, with 95 % confidence:", first.name)?;
            for Comparison { against, hr_at_20, mrr_at_20 } in &self.comparisons {
                writeln!(
                    f,
                    "  {against:<22}HR {:+.4} ({:+.4} to {:+.4}), MRR {:+.4} ({:+.4} to {:+.4})",
                    hr_at_20.difference,
                    hr_at_20.low,
                    hr_at_20.high,
                    mrr_at_20.difference,
                    mrr_at_20.low,
                    mrr_at_20.high
                )?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_has_the_fields_that_others_read() {
        let tally = Tally {
            targets: 2,
            hits: 1,
            reciprocal: 0.5,
            novel: 1,
            listed: 4,
            listed_novel: 1,
            ..Tally::default()
        };
        let report = Report::new(
            "static",
            "shop",
            &[("shopsmart".to_owned(), vec![tally]), ("ar".to_owned(), vec![tally])],
        );
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(
            (&json["protocol"], &json["dataset"], &json["targets"]),
            (&"static".into(), &"shop".into(), &2.into())
        );
        let ours = &json["algorithms"][0];
        let figures = ["hr_at_20", "mrr_at_20", "novel_hr_at_20", "novel_share"]
            .map(|name| ours[name].as_f64().unwrap());
        assert_eq!((&ours["name"], figures), (&"shopsmart".into(), [0.5, 0.25, 0.0, 0.25]));
        assert_eq!(json["comparisons"][0]["hr_at_20"]["difference"], 0.0);
        assert!(report.to_string().contains("shopsmart                 0.5000  0.2500"));
    }
}
