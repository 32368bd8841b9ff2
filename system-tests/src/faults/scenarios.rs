//! What breaks.

mod forgetting;
mod network;
mod processor;
mod servers;

use super::site::Site;
use anyhow::Result;
use clap::ValueEnum;

/// A fault, or several of a kind, while a load goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub enum Scenario {
    /// Nothing: what the others are compared with
    Undisturbed,
    /// A copy of the processor is killed (kill -9), and later another one, which comes back at once
    ProcessorKilled,
    /// A copy stands still until its partitions have moved, and goes on (SIGSTOP, SIGCONT)
    ProcessorFrozen,
    /// Copies come and go in order
    CopiesChanged,
    /// Ingest is killed (kill -9) three times; every 202 has to be in the log
    IngestKilled,
    /// The broker ends in order and starts again; then it hangs for a while
    BrokerStopped,
    /// Redis loses everything (FLUSHALL)
    RedisEmptied,
    /// Redis is killed, and comes back empty
    RedisStopped,
    /// The primary of a Redis Cluster is killed, and its replica takes over
    RedisFailover,
    /// Cassandra hangs, and later ends in order and starts again
    CassandraStopped,
    /// All connections are late, then slow, then cut again and again, then Kafka's pass nothing on
    Network,
    /// Users are forgotten while one copy is frozen and another one killed
    UserForgotten,
    /// The disk of the embedded log is full, twice (needs the right to mount a tmpfs)
    DiskFull,
}

impl Scenario {
    /// All there are.
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// The name as it is typed.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What happens in it, for `--list`.
    pub fn about(self) -> String {
        let help = self.to_possible_value().and_then(|value| value.get_help().map(ToString::to_string));
        help.unwrap_or_default()
    }

    /// Lets it happen, while the load goes on; comes back when all that broke is whole again.
    pub(super) async fn inflict(self, site: &mut Site<'_>) -> Result<()> {
        match self {
            // The disk is that of another program.
            Self::Undisturbed | Self::DiskFull => processor::undisturbed(site).await,
            Self::ProcessorKilled => processor::killed(site).await,
            Self::ProcessorFrozen => processor::frozen(site).await,
            Self::CopiesChanged => processor::changed(site).await,
            Self::IngestKilled => processor::ingest_killed(site).await,
            Self::BrokerStopped => servers::broker_stopped(site).await,
            Self::RedisEmptied => servers::redis_emptied(site).await,
            Self::RedisStopped => servers::redis_stopped(site).await,
            Self::RedisFailover => servers::redis_failover(site).await,
            Self::CassandraStopped => servers::cassandra_stopped(site).await,
            Self::Network => network::bad(site).await,
            Self::UserForgotten => forgetting::while_copies_fail(site).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_says_what_happens_in_it() {
        for scenario in Scenario::all() {
            assert!(scenario.about().len() > 20, "{}: {}", scenario.name(), scenario.about());
        }
    }
}
