use std::sync::{PoisonError, RwLock};

use metrics::{Counter, Histogram, Label, counter, histogram};

use super::install_metrics;

/// The series of one metric by the values of its `N` labels. Handles are made when a series is first asked for and kept:
/// the macros of `metrics` look a series up by all its texts each time, which where many things are counted for each
/// request takes as long as answering it.
///
/// For a few series only, with labels whose values the program chooses: they are searched one by one, and none goes away.
pub struct Series<H, const N: usize> {
    name: &'static str,
    labels: [&'static str; N],
    make: fn(&'static str, Vec<Label>) -> H,
    known: RwLock<Vec<([&'static str; N], H)>>,
}

impl<const N: usize> Series<Counter, N> {
    /// The counter `name`, with these labels.
    pub const fn counters(name: &'static str, labels: [&'static str; N]) -> Self {
        let make = |name, labels| counter!(name, labels);
        Self { name, labels, make, known: RwLock::new(Vec::new()) }
    }
}

impl<const N: usize> Series<Histogram, N> {
    /// The histogram `name`, with these labels.
    pub const fn histograms(name: &'static str, labels: [&'static str; N]) -> Self {
        let make = |name, labels| histogram!(name, labels);
        Self { name, labels, make, known: RwLock::new(Vec::new()) }
    }
}

impl<H: Clone, const N: usize> Series<H, N> {
    /// The series with these values of the labels, in their order.
    pub fn of(&self, values: [&'static str; N]) -> H {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, handle)) = known.iter().find(|(of, _)| *of == values) {
            return handle.clone();
        }
        drop(known);
        // A handle made before the recorder would count into nothing for ever.
        install_metrics();
        let labels = self.labels.into_iter().zip(values).map(|(name, value)| Label::new(name, value));
        let handle = (self.make)(self.name, labels.collect());
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        // Two at once make handles of the same series, so that both may be kept.
        known.push((values, handle.clone()));
        handle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_combination_of_values_is_one_series() {
        static SERIES: Series<Counter, 2> = Series::counters("series_test_total", ["kind", "outcome"]);
        for _ in 0..2 {
            SERIES.of(["a", "good"]).increment(1);
        }
        SERIES.of(["a", "bad"]).increment(3);
        static SECONDS: Series<Histogram, 1> = Series::histograms("series_test_seconds", ["kind"]);
        SECONDS.of(["a"]).record(0.003);
        let text = install_metrics().render();
        for line in [
            r#"series_test_total{kind="a",outcome="good"} 2"#,
            r#"series_test_total{kind="a",outcome="bad"} 3"#,
            r#"series_test_seconds_count{kind="a"} 1"#,
        ] {
            assert!(text.lines().any(|written| written == line), "{line} is not in {text}");
        }
        assert_eq!(SERIES.known.read().unwrap().len(), 2);
    }
}
