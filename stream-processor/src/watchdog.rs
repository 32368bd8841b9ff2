//! Notices partitions on which work stands still, and turns readiness red until it goes on.

use crate::metrics;
use crate::topology::Processor;
use service_runtime::Component;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

const EVERY: Duration = Duration::from_secs(1);

/// Watches until dropped.
pub(crate) async fn run(processor: &Processor, progress: &Component) {
    let mut ticker = tokio::time::interval(EVERY);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticker.tick().await;
        match look(processor) {
            None => progress.ready(),
            Some(reason) => progress.not_ready(reason),
        }
    }
}

/// Judges every partition; says what is wrong with the worst one.
fn look(processor: &Processor) -> Option<String> {
    let context = processor.context();
    let (now_ms, patience_ms) = (context.parts.clock.now_ms(), context.config.stall_after_ms);
    let mut worst: Option<(u64, String)> = None;
    for ((stage, partition), status) in context.registry.all() {
        let stuck_ms = status.stuck_for_ms(now_ms);
        let stalled = stuck_ms >= patience_ms;
        if status.stalled.swap(stalled, Ordering::Relaxed) != stalled {
            let stage_name = stage.as_str();
            if stalled {
                metrics::stall(stage);
                tracing::error!(stage = stage_name, partition, stuck_ms, "a partition makes no progress");
            } else {
                tracing::info!(stage = stage_name, partition, "a partition makes progress again");
            }
        }
        let silent_ms = status.lag_age_ms(now_ms);
        let (for_ms, what) = if stalled {
            (stuck_ms, "no record was processed though some wait")
        } else if silent_ms >= patience_ms {
            (silent_ms, "the log has not said where the partition ends")
        } else {
            continue;
        };
        if worst.as_ref().is_none_or(|(most, _)| for_ms > *most) {
            // Without the seconds, which would make each look a change of state.
            worst = Some((for_ms, format!("{} stage, partition {partition}: {what}", stage.as_str())));
        }
    }
    worst.map(|(_, reason)| reason)
}
