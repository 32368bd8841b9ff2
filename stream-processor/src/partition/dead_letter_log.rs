//! A log line for each dead letter, with the trace of its record. Looking the trace up takes a read of the log, so a task of
//! its own does it; in a flood only the first letters of each minute have a line, and one more says how many had none.

use crate::context::Context;
use crate::dead_letter::Place;
use event_log::TopicPartition;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Lines in a [`PERIOD`] at most, for one partition.
const LINES: usize = 20;
const PERIOD: Duration = Duration::from_secs(60);

/// Notes the dead letters of one partition.
pub(crate) struct DeadLetterLog {
    partition: u32,
    allowance: Allowance,
    lines: mpsc::Sender<(Place, String)>,
}

impl DeadLetterLog {
    /// The task behind it ends by itself after this was dropped, once it has written what was noted.
    pub(crate) fn start(context: Arc<Context>, partition: u32) -> Self {
        let (lines, noted) = mpsc::channel(LINES);
        tokio::spawn(write(context, noted));
        Self { partition, allowance: Allowance::from(Instant::now()), lines }
    }

    /// Notes one, without waiting.
    pub(crate) fn note(&mut self, offset: u64, reason: &str) {
        if !self.allowance.take() {
            return;
        }
        let place = Place { partition: self.partition, offset };
        if self.lines.try_send((place, reason.to_owned())).is_err() {
            self.allowance.withhold();
        }
    }

    /// Says from time to time how many had no line. To be called often.
    pub(crate) fn tick(&mut self) {
        let withheld = self.allowance.renewed(Instant::now());
        if withheld > 0 {
            tracing::warn!(
                partition = self.partition,
                letters = withheld,
                "further records could not be applied: `shopsmart dead-letters list` has them"
            );
        }
    }
}

async fn write(context: Arc<Context>, mut noted: mpsc::Receiver<(Place, String)>) {
    let topic: Arc<str> = context.parts.topics.events.as_str().into();
    while let Some((Place { partition, offset }, reason)) = noted.recv().await {
        let place = TopicPartition { topic: Arc::clone(&topic), partition };
        // The line is worth writing without it.
        let traceparent = context.parts.log.traceparent(&place, offset).await.ok().flatten();
        let trace_id = traceparent.as_deref().and_then(trace_id);
        tracing::warn!(
            partition,
            offset,
            reason,
            trace_id,
            "a record could not be applied: it is a dead letter"
        );
    }
}

/// The trace's id in a `traceparent`, as the log lines of requests name it.
fn trace_id(traceparent: &str) -> Option<&str> {
    traceparent.split('-').nth(1)
}

/// How many lines may be written yet.
struct Allowance {
    since: Instant,
    written: usize,
    withheld: u64,
}

impl Allowance {
    fn from(since: Instant) -> Self {
        Self { since, written: 0, withheld: 0 }
    }

    /// Whether one more may be written; else it counts as withheld.
    fn take(&mut self) -> bool {
        let may = self.written < LINES;
        if may {
            self.written += 1;
        } else {
            self.withhold();
        }
        may
    }

    fn withhold(&mut self) {
        self.withheld += 1;
    }

    /// Begins anew when the period is over; how many were withheld in it.
    fn renewed(&mut self, now: Instant) -> u64 {
        if now.duration_since(self.since) < PERIOD {
            return 0;
        }
        std::mem::replace(self, Self::from(now)).withheld
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_has_few_lines_and_the_rest_is_counted() {
        let begun = Instant::now();
        let mut allowance = Allowance::from(begun);
        let written = (0..1_000).filter(|_| allowance.take()).count();
        assert_eq!(written, LINES);
        assert_eq!(allowance.renewed(begun + PERIOD / 2), 0, "the minute is not over");
        assert_eq!(allowance.renewed(begun + PERIOD), 1_000 - LINES as u64);
        assert!(allowance.take(), "a new minute");
        assert_eq!(allowance.renewed(begun + PERIOD * 2), 0, "said once");
    }

    #[test]
    fn a_line_names_the_trace_as_those_of_requests_do() {
        let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(trace_id(given), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        assert_eq!(trace_id("none"), None);
    }
}
