use std::time::Duration;

use jiff::Timestamp;
use schemas::event::MAX_LATE_MS;
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::report::{Outcomes, Processed};
use crate::client::{CallError, Client};

/// How long the processor may take to be there before rows are sent: `dev` loads its partitions after its start.
const FIND_WITHIN: Duration = Duration::from_secs(3);
/// How long outcomes are waited for.
const WAIT: Duration = Duration::from_secs(10);
/// How long they are waited for while none comes.
const QUIET: Duration = Duration::from_secs(3);
/// How often it is asked meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(100);

const DAY_MS: i64 = 24 * 3600 * 1000;

/// The stream processor, where it answers at the URL that rows are sent to, as `dev` does. What it said before the first
/// row tells which rows it will not apply, and what became of them at the end.
#[derive(Debug)]
pub(super) struct Processor {
    client: Client,
    before: Lag,
}

/// What `/admin/lag` says.
#[derive(Debug, Deserialize)]
struct Lag {
    lag_records: u64,
    outcomes: Outcomes,
    partitions: Vec<Partition>,
    #[serde(default)]
    others: Vec<Partition>,
}

#[derive(Debug, Deserialize)]
struct Partition {
    stage: String,
    stream_time_ms: Option<i64>,
    /// Not said of another copy's partition, as the rest.
    #[serde(default)]
    log_end: u64,
    #[serde(default)]
    running: bool,
}

impl Lag {
    async fn ask(client: &Client) -> Result<Self, CallError> {
        client.get("/admin/lag", &[]).await
    }

    /// Whether the outcomes are those of all partitions: none is another copy's, and none loads.
    fn is_whole(&self) -> bool {
        let running = self.partitions.iter().all(|partition| partition.running);
        running && !self.partitions.is_empty() && self.others.is_empty()
    }

    /// The newest event time of each partition of `events`.
    fn clocks_ms(&self) -> Vec<Option<i64>> {
        let all = self.partitions.iter().chain(&self.others);
        all.filter(|partition| partition.stage == "shopper")
            .map(|partition| partition.stream_time_ms)
            .collect()
    }
}

impl Processor {
    /// Asks for it. `None` where it is not, which is no fault: of three services, ingest alone is at the URL.
    pub async fn find(client: &Client) -> Option<Self> {
        let mut found = None;
        let look = async {
            loop {
                match Lag::ask(client).await {
                    Ok(lag) => {
                        let whole = lag.is_whole();
                        found = Some(lag);
                        if whole {
                            return;
                        }
                    }
                    Err(CallError::Unavailable { .. }) => {}
                    Err(_) => return,
                }
                sleep(LOOK_EVERY).await;
            }
        };
        // When time is up, what was found until then will do.
        let _ = timeout(FIND_WITHIN, look).await;
        Some(Self { client: client.clone(), before: found? })
    }

    /// Whether it certainly never had an event: what an earlier run sent went into another folder.
    pub fn is_fresh(&self) -> bool {
        let Lag { outcomes, partitions, .. } = &self.before;
        let unused = |partition: &Partition| partition.log_end == 0 && partition.stream_time_ms.is_none();
        self.before.is_whole() && outcomes.sum() == 0 && partitions.iter().all(unused)
    }

    /// What to know before events from `first_ms` on are sent, if they come too late.
    pub fn warning(&self, first_ms: i64) -> Option<String> {
        let clocks = self.before.clocks_ms();
        let is_late = |clock: &i64| first_ms < clock.saturating_sub(MAX_LATE_MS);
        let late: Vec<i64> = clocks.iter().copied().flatten().filter(is_late).collect();
        let newest = *late.iter().max()?;
        Some(format!(
            "warning: the first event to send is of {}, {} days behind the newest one in {} of {} partitions ({}).\n\
             There, events more than {} days behind are not applied, but counted as too late. To have all applied, \
             replay into a fresh folder (dev --data DIR) or empty topics, with --from-start.",
            date(first_ms),
            newest.saturating_sub(first_ms) / DAY_MS,
            late.len(),
            clocks.len(),
            date(newest),
            MAX_LATE_MS / DAY_MS,
        ))
    }

    /// What became of all events since it was found, once the `sent` ones are among them; what is known when it takes long,
    /// or at `stop`. `None` when it cannot be told.
    pub async fn outcomes(&self, sent: u64, stop: &CancellationToken) -> Option<Processed> {
        if sent == 0 || !self.before.is_whole() {
            return None;
        }
        let mut known = None;
        let look = async {
            let (mut seen, mut moved) = (None, Instant::now());
            while moved.elapsed() < QUIET {
                // One that does not answer, or loads its partitions, may be back in a moment.
                if let Ok(lag) = Lag::ask(&self.client).await
                    && lag.is_whole()
                    && let Some(outcomes) = lag.outcomes.since(&self.before.outcomes)
                {
                    known = Some(outcomes);
                    // While something waits, other senders' events may be what makes up the number.
                    if outcomes.sum() >= sent && lag.lag_records == 0 {
                        return;
                    }
                    let now = Some((outcomes.sum(), lag.lag_records));
                    if now != seen {
                        (seen, moved) = (now, Instant::now());
                    }
                }
                sleep(LOOK_EVERY).await;
            }
        };
        // However it ends, what is known until then is told.
        let _ = stop.run_until_cancelled(timeout(WAIT, look)).await;
        known.map(|outcomes| Processed { sent, outcomes })
    }
}

fn date(ms: i64) -> String {
    // A file may hold times that no calendar has.
    Timestamp::from_millisecond(ms)
        .map_or_else(|_| format!("{ms} ms"), |time| time.strftime("%F").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NEWEST_MS: i64 = 1_796_037_450_470;

    fn processor(clocks: [Option<i64>; 2], others: bool) -> Processor {
        let partition = |stage, clock: Option<i64>| {
            let log_end = u64::from(clock.is_some());
            json!({"stage": stage, "stream_time_ms": clock, "log_end": log_end, "running": true})
        };
        let other = json!({"stage": "shopper", "stream_time_ms": NEWEST_MS});
        let before = json!({
            "lag_records": 0,
            "outcomes": {"applied": 0, "duplicate": 0, "too_late": 0, "dead_lettered": 0, "forgotten": 0},
            "partitions": [
                partition("shopper", clocks[0]), partition("shopper", clocks[1]), partition("product", clocks[0]),
            ],
            "others": if others { vec![other] } else { vec![] },
        });
        let client = Client::new("http://127.0.0.1:1", None).unwrap();
        Processor { client, before: serde_json::from_value(before).unwrap() }
    }

    #[test]
    fn only_what_a_partition_will_not_apply_is_warned_of() {
        let in_time = processor([Some(NEWEST_MS), None], false);
        assert_eq!(in_time.warning(NEWEST_MS - MAX_LATE_MS), None);
        assert_eq!(in_time.warning(NEWEST_MS + 1), None);
        assert_eq!(processor([None, None], false).warning(0), None);

        let warning = in_time.warning(NEWEST_MS - MAX_LATE_MS - 1).unwrap();
        assert!(
            warning.contains("30 days behind the newest one in 1 of 2 partitions (2026-11-30)"),
            "{warning}"
        );
        let warning = processor([None, Some(5)], true).warning(1_735_689_600_000).unwrap();
        assert!(warning.contains("2025-01-01, 698 days behind the newest one in 1 of 3"), "{warning}");
        assert!(processor([Some(NEWEST_MS); 2], false).warning(i64::MIN).is_some());
    }

    #[test]
    fn a_processor_is_fresh_when_no_partition_ever_had_a_record() {
        assert!(processor([None, None], false).is_fresh());
        assert!(!processor([None, Some(5)], false).is_fresh());
        assert!(!processor([None, None], true).is_fresh(), "another copy may know of events");
    }
}
