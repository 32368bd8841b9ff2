//! The topics of an installation on Kafka.

use std::process::ExitCode;

use anyhow::{Result, bail};
use event_log::{EventLog, LogError, TopicPartition, TopicSpec};
use schemas::names::Topics;
use stream_processor::topic_specs;

use crate::target::Settings;

/// What the topics of these settings have to be.
fn specs(settings: &Settings) -> [TopicSpec; 3] {
    let names = Topics::new(&settings.kafka.topic_prefix, settings.processor.generation);
    topic_specs(&names, &settings.processor)
}

/// Creates what is missing and says what is there.
///
/// # Errors
/// When the log does not answer or does not allow it, or a topic exists with another partition count.
pub async fn create(settings: &Settings) -> Result<ExitCode> {
    let log = wiring::kafka(&settings.kafka)?;
    for spec in specs(settings) {
        match partitions(&*log, &spec).await? {
            Some(partitions) if partitions == spec.partitions => {
                println!("{}: exists, {}", spec.name, counted(partitions));
            }
            Some(partitions) => bail!(
                "{} exists with {}, but the configuration says {}: a count cannot be changed, so either configure {partitions} \
                 or begin a new generation",
                spec.name,
                counted(partitions),
                spec.partitions
            ),
            None => {
                log.ensure_topics(std::slice::from_ref(&spec)).await?;
                println!("{}: created, {}", spec.name, counted(spec.partitions));
            }
        }
    }
    warn(&*log, settings).await;
    Ok(ExitCode::SUCCESS)
}

/// Says what is there; fails when something is missing.
///
/// # Errors
/// When the log does not answer.
pub async fn list(settings: &Settings) -> Result<ExitCode> {
    let log = wiring::kafka(&settings.kafka)?;
    let mut code = ExitCode::SUCCESS;
    for spec in specs(settings) {
        let Some(partitions) = partitions(&*log, &spec).await? else {
            println!("{}: missing", spec.name);
            code = ExitCode::FAILURE;
            continue;
        };
        let mut offsets = 0;
        for partition in 0..partitions {
            let bounds = log.bounds(&TopicPartition { topic: spec.name.as_str().into(), partition }).await?;
            offsets += bounds.end - bounds.start;
        }
        // Compaction leaves gaps.
        let at_most = if spec.compacted { "at most " } else { "" };
        println!("{}: {}, {at_most}{offsets} records", spec.name, counted(partitions));
    }
    if code == ExitCode::SUCCESS {
        warn(&*log, settings).await;
    } else {
        println!("`shopsmart topics create` creates what is missing.");
    }
    Ok(code)
}

async fn partitions(log: &dyn EventLog, spec: &TopicSpec) -> Result<Option<u32>, LogError> {
    match log.describe(&spec.name).await {
        Ok(topic) => Ok(Some(topic.partitions)),
        Err(LogError::NoSuchTopic(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn counted(partitions: u32) -> String {
    if partitions == 1 { "1 partition".to_owned() } else { format!("{partitions} partitions") }
}

async fn warn(log: &dyn EventLog, settings: &Settings) {
    let names: Vec<String> = specs(settings).into_iter().map(|spec| spec.name).collect();
    for warning in log.durability_warnings(&names).await {
        eprintln!("warning: {warning}");
    }
}
