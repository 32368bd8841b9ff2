//! A consumer that decodes each event and does nothing with it.

use anyhow::{Result, bail};
use event_log::{EventLog, GroupOptions, Rebalance};

/// Reads `events` records of a group's topics from their beginning and decodes each; the number of those that are events.
///
/// # Errors
/// When the log fails.
pub async fn decode_all(log: &dyn EventLog, group: GroupOptions, events: usize) -> Result<usize> {
    let mut member = log.join(group).await?;
    let (sender, mut counts) = tokio::sync::mpsc::channel(64);
    let (mut read, mut decoded) = (0, 0);
    while read < events {
        tokio::select! {
            change = member.next_rebalance() => match change? {
                Rebalance::Assigned(partitions) => {
                    for partition in partitions {
                        let mut stream = member.start(&partition, 0).await?;
                        let sender = sender.clone();
                        tokio::spawn(async move {
                            while let Some(Ok(batch)) = stream.next().await {
                                let good = batch.iter().filter(|record| crate::embedded::is_event(&record.value));
                                if sender.send((batch.len(), good.count())).await.is_err() {
                                    return;
                                }
                            }
                        });
                    }
                }
                other => bail!("the only member of its group lost partitions: {other:?}"),
            },
            Some((records, good)) = counts.recv() => {
                read += records;
                decoded += good;
            }
        }
    }
    member.leave(5_000).await;
    Ok(decoded)
}
