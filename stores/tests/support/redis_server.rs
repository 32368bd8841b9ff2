//! Redis servers of a test's own, for what a shared one must not suffer. They end with the test.

use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd, FromRedisValue, RedisResult};
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// How long servers may take for what is expected of them; only a broken one takes as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// One `redis-server`.
pub struct RedisServer {
    pub port: u16,
    // Killed when dropped.
    _process: Child,
    _directory: TempDir,
}

/// Whether a server can be started here. A machine without `redis-server` skips the test, unless it is CI.
pub fn installed() -> bool {
    let found = std::process::Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        super::skip("redis-server is not installed");
    }
    found
}

/// A port that nobody listens on at the moment.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl RedisServer {
    /// Starts an empty server that answers.
    pub async fn start(port: u16, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .arg("--dir")
            .arg(directory.path())
            .args(arguments)
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let server = Self { port, _process: process, _directory: directory };
        eventually("the server answers", async || server.try_connect().await.is_ok()).await;
        server
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    async fn try_connect(&self) -> RedisResult<MultiplexedConnection> {
        Client::open(self.url())?.get_multiplexed_async_connection().await
    }

    /// Runs a command, given as words.
    pub async fn run<T: FromRedisValue>(&self, command: &str) -> T {
        let mut words = command.split_whitespace();
        let mut cmd = Cmd::new();
        words.by_ref().for_each(|word| {
            cmd.arg(word);
        });
        cmd.query_async(&mut self.try_connect().await.unwrap()).await.unwrap()
    }
}

/// A Redis Cluster with three primaries.
pub struct RedisCluster {
    pub nodes: Vec<RedisServer>,
}

/// Where the slots of the three primaries begin and end.
const SLOTS: [&str; 3] = ["0 5460", "5461 10922", "10923 16383"];

impl RedisCluster {
    pub async fn start() -> Self {
        let mut nodes = Vec::new();
        for slots in SLOTS {
            let node = Self::node().await;
            node.run::<()>(&format!("CLUSTER SET-CONFIG-EPOCH {}", nodes.len() + 1)).await;
            node.run::<()>(&format!("CLUSTER ADDSLOTSRANGE {slots}")).await;
            nodes.push(node);
        }
        let cluster = Self { nodes };
        for node in &cluster.nodes[1..] {
            cluster.introduce(node).await;
        }
        cluster.settled().await;
        cluster
    }

    /// An empty node that belongs to no cluster yet.
    async fn node() -> RedisServer {
        let bus = free_port().to_string();
        let timeout = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port"];
        RedisServer::start(free_port(), &[timeout.as_slice(), &[bus.as_str()]].concat()).await
    }

    async fn introduce(&self, node: &RedisServer) {
        let bus: Vec<String> = node.run("CONFIG GET cluster-port").await;
        self.nodes[0].run::<()>(&format!("CLUSTER MEET 127.0.0.1 {} {}", node.port, bus[1])).await;
    }

    /// Returns when every node knows every other and the slots are covered.
    async fn settled(&self) {
        let known = format!("cluster_known_nodes:{}", self.nodes.len());
        for node in &self.nodes {
            eventually("the cluster is whole", async || {
                let info: String = node.run("CLUSTER INFO").await;
                info.contains("cluster_state:ok") && info.lines().any(|line| line == known)
            })
            .await;
        }
    }

    /// Adds a replica of the first primary and returns when it has its data.
    pub async fn add_replica(&mut self) {
        let replica = Self::node().await;
        self.introduce(&replica).await;
        let primary = self.id(0).await;
        self.nodes.push(replica);
        self.settled().await;
        let replica = &self.nodes[self.nodes.len() - 1];
        replica.run::<()>(&format!("CLUSTER REPLICATE {primary}")).await;
        eventually("the replica follows", async || {
            replica.run::<String>("INFO replication").await.contains("master_link_status:up")
        })
        .await;
    }

    pub async fn id(&self, node: usize) -> String {
        self.nodes[node].run("CLUSTER MYID").await
    }

    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }
}

/// Waits for something that other processes do in their own time.
pub async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    let tried = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, tried).await.is_ok(), "in vain: {what}");
}
