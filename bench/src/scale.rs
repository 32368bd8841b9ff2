//! Whether an event costs the same in a large shop: the processor on embedded parts, with the users and products of a small and
//! of a large shop in its state.

use anyhow::Result;

use crate::cpu::resident_bytes;
use crate::embedded::{self, PARTITIONS, fill, process_to_rest};
use crate::report::Figure;
use crate::workload::{Click, Workload};

/// Products and users of a small and of a large shop.
const SHOPS: [(u64, u64); 2] = [(10_000, 100_000), (1_000_000, 10_000_000)];
/// Events that a restarted processor finds.
const WAITING: usize = 1_000;
/// An event of each user, with so many ms in between.
const STEP_MS: i64 = 5;

/// What a shop's size makes of an event's cost.
struct Shop {
    name: String,
    micros_per_event: f64,
    restart_seconds: f64,
    resident_bytes: f64,
}

/// CPU per event in a large shop beside a small one, and the time from a restart to no lag.
///
/// # Errors
/// When the pipeline fails.
pub async fn measure(events: usize) -> Result<Vec<Figure>> {
    let [small, large] = [shop(SHOPS[0], events).await?, shop(SHOPS[1], events).await?];
    let name = format!("scale: CPU per event, {} beside {}", large.name, small.name);
    Ok(vec![
        Figure::beside(name, large.micros_per_event, small.micros_per_event, "µs", "1.3 × small"),
        Figure::alone(format!("scale: restart to no lag, {}", large.name), large.restart_seconds, "s", "30"),
        Figure::beside(
            "scale: memory of the process with all that it published, large beside small",
            large.resident_bytes / 1e6,
            small.resident_bytes / 1e6,
            "MB",
            "",
        ),
    ])
}

async fn shop((products, users): (u64, u64), events: usize) -> Result<Shop> {
    let folder = tempfile::tempdir()?;
    let parts = embedded::parts(folder.path()).await?;
    let now_ms = parts.clock.now_ms();
    let workload = Workload::zipf(events + WAITING, users, products);
    let begin_ms = workload.clicks[0].timestamp_ms - users as i64 * STEP_MS;
    // Everybody was here once, and every product was looked at.
    let known = (0..users).map(|user| {
        let click = Click {
            user: format!("u{user}"),
            product: format!("p{:07}", user % products),
            kind: schemas::EventKind::View,
            timestamp_ms: begin_ms + user as i64 * STEP_MS,
        };
        click.record(user as usize, now_ms)
    });
    // The larger one takes minutes, in which nothing else is seen.
    let name = format!("{}k products and {}k users", products / 1_000, users / 1_000);
    eprintln!("scale: making a shop of {name}");
    fill(&parts, PARTITIONS, known).await?;
    process_to_rest(&parts, PARTITIONS, users as usize).await?;
    let mut others = workload
        .clicks
        .iter()
        .enumerate()
        .map(|(number, click)| click.record(users as usize + number, now_ms));
    fill(&parts, PARTITIONS, others.by_ref().take(WAITING)).await?;
    eprintln!("scale: restarting");
    let restarted = process_to_rest(&parts, PARTITIONS, users as usize + WAITING).await?;
    fill(&parts, PARTITIONS, others).await?;
    eprintln!("scale: {events} events");
    let spent = process_to_rest(&parts, PARTITIONS, users as usize + WAITING + events).await?;
    Ok(Shop {
        name,
        // Without the start, which reads what was there before.
        micros_per_event: (spent.cpu - restarted.cpu) * 1e6 / events as f64,
        restart_seconds: restarted.caught_up.as_secs_f64(),
        resident_bytes: resident_bytes("self")?,
    })
}
