use std::fmt::Write;

use stream_processor::generations::{GenerationReport, Overview};

/// Generations for people.
pub(super) fn table(overview: &Overview) -> String {
    let mut text =
        String::from("generation  live      events        done   waiting      behind  complete  running\n");
    for report in &overview.generations {
        let live = match (report.live, overview.previous == Some(report.generation)) {
            (true, _) => "live",
            (false, true) => "previous",
            (false, false) => "",
        };
        let GenerationReport { generation, events, events_done, lag_records, .. } = report;
        let (behind, complete, running) = (behind(report), yes(report.complete), yes(report.running));
        writeln!(
            text,
            "{generation:<10}  {live:<8}  {events:>8}  {events_done:>8}  {lag_records:>8}  {behind:>10}  {complete:<8}  {running}"
        )
        .expect("a string takes everything");
    }
    if overview.of(overview.live).is_none() {
        writeln!(text, "Generation {} is live, and no processor has begun it yet.", overview.live)
            .expect("a string takes everything");
    }
    text
}

/// One line while a generation is built.
pub(super) fn progress(report: &GenerationReport) -> String {
    let GenerationReport { generation, events, events_done, lag_records, .. } = report;
    let percent = (events_done * 100).checked_div(*events).unwrap_or(100);
    format!(
        "generation {generation}: {events_done} of {events} events ({percent} %), {lag_records} records wait, {} behind",
        behind(report)
    )
}

fn behind(report: &GenerationReport) -> String {
    report.lag_ms.map_or_else(|| "?".to_owned(), |ms| format!("{:.1} s", ms as f64 / 1_000.0))
}

fn yes(it_is: bool) -> &'static str {
    if it_is { "yes" } else { "no" }
}
