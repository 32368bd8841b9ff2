//! What a scenario acts on: the programs and servers of a run.

use super::lag::Watch;
use super::load::Sender;
use super::plan::Plan;
use super::run::Settings;
use crate::program::{Program, free_address, get, until};
use crate::proxy::Proxy;
use crate::servers::{Installation, Servers, ready};
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;
use xtask::services::{KAFKA_BEHIND, KAFKA_FRONT, Services};

/// Users whose answers are looked at.
const SAMPLE: u64 = 20;

/// Programs and servers.
pub struct Site<'a> {
    /// The servers, which belong to this run alone.
    pub services: &'a mut Services,
    /// How long things last.
    pub settings: &'a Settings,
    /// Sends events; the load uses it, too.
    pub sender: Sender,
    /// Where the programs find each other.
    pub installation: Installation,
    /// Where the programs find the servers.
    pub servers: Servers,
    /// What is between programs and servers, where the scenario wants something to be there.
    pub network: Option<Network>,
    /// The program that takes events.
    pub ingest: Program,
    /// The program that answers shoppers.
    pub serving: Program,
    /// Copies of the processor that run, by number.
    copies: BTreeMap<usize, Copy>,
    pub(super) watch: Watch,
    pub(super) faulty: Option<(Instant, Instant)>,
    pub(super) recovery: Option<Duration>,
}

struct Copy {
    program: Program,
    address: SocketAddr,
    is_frozen: bool,
}

/// Proxies before each server.
#[derive(Debug)]
pub struct Network {
    /// Before Kafka.
    pub kafka: Proxy,
    /// Before Redis.
    pub redis: Proxy,
    /// Before Cassandra.
    pub cql: Proxy,
}

impl Network {
    /// Puts proxies before the servers, and gives the addresses that programs are to use.
    ///
    /// # Errors
    /// When a proxy cannot listen.
    pub async fn before(servers: &Servers, services: &Services) -> Result<(Self, Servers)> {
        let [behind, front] = [KAFKA_BEHIND, KAFKA_FRONT].map(|name| variable(services, name));
        let (behind, front) = (behind.context("no Kafka")?, front.context("no Kafka")?);
        let network = Self {
            kafka: Proxy::start_at(&front, behind).await?,
            redis: Proxy::start(servers.redis[0].trim_start_matches("redis://").to_owned()).await?,
            cql: Proxy::start(servers.cql.clone()).await?,
        };
        let servers = Servers {
            kafka: front,
            redis: vec![format!("redis://{}", network.redis.address)],
            is_cluster: false,
            cql: network.cql.address.to_string(),
        };
        Ok((network, servers))
    }

    /// Does something to all of them.
    pub fn each(&self, act: impl Fn(&Proxy)) {
        [&self.kafka, &self.redis, &self.cql].into_iter().for_each(act);
    }
}

/// What tests are told of the servers by this name.
pub fn variable(services: &Services, name: &str) -> Option<String> {
    services.env().into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
}

impl<'a> Site<'a> {
    pub(super) fn new(
        services: &'a mut Services,
        settings: &'a Settings,
        installation: Installation,
        servers: (Servers, Option<Network>),
        (ingest, serving): (Program, Program),
        watch: Watch,
    ) -> Result<Self> {
        let sender = Sender::new(installation.ingest)?;
        let ((servers, network), copies) = (servers, BTreeMap::new());
        let (faulty, recovery) = (None, None);
        Ok(Self {
            services,
            settings,
            sender,
            installation,
            servers,
            network,
            ingest,
            serving,
            copies,
            watch,
            faulty,
            recovery,
        })
    }

    /// The events of the run.
    pub fn plan(&self) -> Plan {
        self.settings.plan
    }

    /// Starts copy `number` of the processor and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_copy(&mut self, number: usize) -> Result<()> {
        let address = free_address()?;
        let program = self.installation.start_copy(number, address)?;
        ready("a copy of the processor", address).await?;
        self.copies.insert(number, Copy { program, address, is_frozen: false });
        Ok(())
    }

    /// Ends a copy without warning.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill_copy(&mut self, number: usize) -> Result<()> {
        self.copies.remove(&number).context("no such copy")?.program.kill()
    }

    /// Asks a copy to end, and waits for that.
    ///
    /// # Errors
    /// When it does not run, or does not end in order.
    pub fn stop_copy(&mut self, number: usize) -> Result<()> {
        self.copies.remove(&number).context("no such copy")?.program.stop()
    }

    /// Lets a copy stand still.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze_copy(&mut self, number: usize) -> Result<()> {
        let copy = self.copies.get_mut(&number).context("no such copy")?;
        copy.is_frozen = true;
        copy.program.freeze()
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw_copy(&mut self, number: usize) -> Result<()> {
        let copy = self.copies.get_mut(&number).context("no such copy")?;
        copy.is_frozen = false;
        copy.program.thaw()
    }

    /// Copies that run.
    pub fn running_copies(&self) -> Vec<usize> {
        self.copies.keys().copied().collect()
    }

    /// Where the copies listen that can answer.
    pub fn copies(&self) -> Vec<SocketAddr> {
        self.copies.values().filter(|copy| !copy.is_frozen).map(|copy| copy.address).collect()
    }

    /// Waits until the copies that can answer have all partitions between them.
    ///
    /// # Errors
    /// When they never have.
    pub async fn all_owned(&self) -> Result<()> {
        self.watch.owned_by(&self.copies()).await
    }

    /// Acts on the servers; the load goes on meanwhile.
    ///
    /// # Errors
    /// That of the action.
    pub fn servers_do(&mut self, act: impl FnOnce(&mut Services) -> Result<()>) -> Result<()> {
        tokio::task::block_in_place(|| act(self.services))
    }

    /// Something breaks now.
    pub fn fault_begins(&mut self) -> Instant {
        let now = Instant::now();
        self.faulty.get_or_insert((now, now));
        now
    }

    /// Waits until the pipeline has caught up; `since`: when it could begin to. The longest such time of a run is reported.
    ///
    /// # Errors
    /// When it does not catch up.
    pub async fn recovered(&mut self, since: Instant) -> Result<()> {
        let took = self.watch.caught_up(&self.copies(), since).await?;
        self.recovery = self.recovery.max(Some(took));
        if let Some((_, until)) = &mut self.faulty {
            *until = Instant::now();
        }
        Ok(())
    }

    /// Waits until known users get answers that are made the usual way.
    ///
    /// # Errors
    /// When they never do.
    pub async fn undegraded(&self) -> Result<()> {
        for user in self.plan().known_users(SAMPLE) {
            until("answers of the usual kind", &self.ask("recommendations?user_id=", &user), |answer| {
                (answer["freshness"]["degraded"] == false).then_some(())
            })
            .await?;
        }
        Ok(())
    }

    /// Waits until the history of each of `users`, answered in the usual way or not as `degraded` says, has as many events
    /// as `wanted`.
    ///
    /// # Errors
    /// When that does not come.
    pub async fn history_lengths(&self, users: &[String], wanted: usize, degraded: bool) -> Result<()> {
        for user in users {
            let url = self.history_of(user);
            until(&format!("{wanted} events of {user}"), &url, |answer| {
                let length = answer["items"].as_array()?.len();
                (length == wanted && answer["freshness"]["degraded"] == degraded).then_some(())
            })
            .await?;
        }
        Ok(())
    }

    /// Waits until the published histories of known users are what was sent.
    ///
    /// # Errors
    /// When they never are.
    pub async fn histories_are_published(&self) -> Result<()> {
        for user in self.plan().known_users(SAMPLE) {
            let wanted = self.plan().newest_of(&user, 10);
            until(&format!("the history of {user} to be {wanted:?}"), &self.history_of(&user), |answer| {
                let items = answer["items"].as_array()?.iter();
                let products: Vec<&str> = items.filter_map(|item| item["product_id"].as_str()).collect();
                (products == wanted && answer["freshness"]["degraded"] == false).then_some(())
            })
            .await?;
        }
        Ok(())
    }

    /// What `/recommendations` answers for a user.
    pub async fn recommendations(&self, user: &str) -> Option<Value> {
        get(&self.ask("recommendations?user_id=", user)).await
    }

    fn history_of(&self, user: &str) -> String {
        format!("http://{}/users/{user}/history?k=10", self.installation.serving)
    }

    fn ask(&self, what: &str, user: &str) -> String {
        format!("http://{}/{what}{user}", self.installation.serving)
    }
}
