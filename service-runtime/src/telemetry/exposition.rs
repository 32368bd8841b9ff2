//! Figures that are read at the moment of asking, in the Prometheus text format.

use std::fmt::Write;

use metrics::{describe_counter, describe_gauge};

/// What a family's values do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Go up only, and begin anew at a restart.
    Counter,
    /// Go up and down.
    Gauge,
}

/// A metric with any number of series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// By the conventions of Prometheus.
    pub name: &'static str,
    /// What its values do.
    pub kind: Kind,
    /// What it means, and when to alert.
    pub help: &'static str,
}

impl Family {
    /// Tells the recorder of the process about it, as the macros of `metrics` do.
    pub fn describe(&self) {
        match self.kind {
            Kind::Counter => describe_counter!(self.name, self.help),
            Kind::Gauge => describe_gauge!(self.name, self.help),
        }
    }
}

/// An answer to `GET /metrics` under construction.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

impl Exposition {
    pub(crate) fn after(text: String) -> Self {
        Self { text }
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }

    /// Adds a family with its series; nothing where there are none.
    pub fn add<'a, const LABELS: usize>(
        &mut self,
        family: &Family,
        series: impl IntoIterator<Item = ([(&'static str, &'a str); LABELS], f64)>,
    ) {
        let mut series = series.into_iter().peekable();
        if series.peek().is_none() {
            return;
        }
        let Family { name, kind, help } = family;
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        for (labels, value) in series {
            self.text.push_str(name);
            for (at, (label, value)) in labels.iter().enumerate() {
                let before = if at == 0 { '{' } else { ',' };
                let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                self.write(format_args!("{before}{label}=\"{value}\""));
            }
            if LABELS > 0 {
                self.text.push('}');
            }
            match value {
                value if value == f64::INFINITY => self.text.push_str(" +Inf\n"),
                value if value == f64::NEG_INFINITY => self.text.push_str(" -Inf\n"),
                value => self.write(format_args!(" {value}\n")),
            }
        }
        self.text.push('\n');
    }

    fn write(&mut self, arguments: std::fmt::Arguments<'_>) {
        self.text.write_fmt(arguments).expect("a string takes everything");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAG: Family = Family { name: "lag_seconds", kind: Kind::Gauge, help: "Waits. Alert above 60" };

    #[test]
    fn a_family_is_written_as_prometheus_reads_it() {
        let mut exposition = Exposition::default();
        exposition.add(
            &LAG,
            [
                ([("stage", "a \"b\" \\ c"), ("partition", "3")], 1.5),
                ([("stage", "x"), ("partition", "4")], f64::INFINITY),
            ],
        );
        let expected = concat!(
            "# HELP lag_seconds Waits. Alert above 60\n# TYPE lag_seconds gauge\n",
            "lag_seconds{stage=\"a \\\"b\\\" \\\\ c\",partition=\"3\"} 1.5\n",
            "lag_seconds{stage=\"x\",partition=\"4\"} +Inf\n\n",
        );
        assert_eq!(exposition.into_text(), expected);
    }

    #[test]
    fn a_family_without_series_is_not_there() {
        let mut exposition = Exposition::default();
        exposition.add::<0>(&LAG, []);
        assert_eq!(exposition.text, "");
        exposition.add(&LAG, [([], 2.0)]);
        assert!(exposition.into_text().ends_with("\nlag_seconds 2\n\n"));
    }

    #[test]
    fn what_a_collector_adds_is_rendered_with_the_rest() {
        let handle = crate::telemetry::install_metrics().with(|exposition| exposition.add(&LAG, [([], 7.0)]));
        metrics::counter!("exposition_test_total").increment(1);
        let text = handle.render();
        assert!(text.contains("exposition_test_total 1\n") && text.contains("lag_seconds 7\n"), "{text}");
        assert!(
            !crate::telemetry::install_metrics().render().contains("lag_seconds"),
            "others do not see it"
        );
    }
}
