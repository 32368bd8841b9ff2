//! One Kafka broker that is its own KRaft controller.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::java::{Java, large_pages};
use super::maven::{Artifact, Jars};
use super::ports::Ports;
use super::probe::Probe;
use super::server::{Server, Spec};
use super::tls::{Files, PASSWORD, USER};

/// The jars, by their Maven coordinates.
pub const JARS: &[Artifact] = &[
    Artifact { group: "org.apache.kafka", name: "kafka_2.13", version: "4.1.1" },
    Artifact { group: "org.slf4j", name: "slf4j-simple", version: "1.7.36" },
];

/// How clients prove their password without sending it, besides `PLAIN`.
pub const SCRAM: &str = "SCRAM-SHA-512";

/// Any 22 characters of base64 will do: the cluster never meets another.
const CLUSTER_ID: &str = "c2hvcHNtYXJ0LXRlc3RzLg";

/// Formats a data directory and starts the broker on it.
///
/// # Errors
/// When the directory cannot be formatted or the broker does not come up.
pub fn start(java: &Java, jars: &Jars, ports: &Ports, run: &Path) -> Result<Server> {
    let home = run.join("kafka");
    fs::create_dir_all(&home)?;
    let properties = home.join("server.properties");
    fs::write(&properties, server_properties(ports, &home.join("data"), &Files::of_run(run)))?;
    let class_path = format!("{}/*", jars.libs().display());

    let log = File::create(run.join("kafka-format.log"))?;
    let status = Command::new(&java.program)
        .args(["-cp", &class_path, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID])
        .args(["--add-scram", &format!("{SCRAM}=[name={USER},password={PASSWORD}]"), "--config"])
        .arg(&properties)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()
        .context("cannot run java to format Kafka's data directory")?;
    ensure!(
        status.success(),
        "Kafka's data directory cannot be formatted, see {}/kafka-format.log",
        run.display()
    );

    let mut arguments: Vec<_> = OPTIONS.map(Into::into).into();
    arguments.extend(large_pages().map(Into::into));
    arguments.extend(["-cp".into(), class_path.into(), "kafka.Kafka".into(), properties.into()]);
    Server::start(Spec {
        name: "kafka".into(),
        program: java.program.clone(),
        arguments,
        run: run.to_owned(),
        probe: Probe::Kafka(ports.kafka),
    })
}

const OPTIONS: [&str; 5] = [
    "-Xms1g",
    "-Xmx1g",
    "-XX:+UseG1GC",
    "-XX:+AlwaysPreTouch",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
];

/// Production defaults, except where one node or a quick start needs otherwise.
fn server_properties(ports: &Ports, data: &Path, tls: &Files) -> String {
    let Ports { kafka, kafka_secured, kafka_behind, kafka_front, kafka_controller, .. } = ports;
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{kafka_controller}
listeners=PLAINTEXT://127.0.0.1:{kafka},SECURED://127.0.0.1:{kafka_secured},\
BEHIND://127.0.0.1:{kafka_behind},CONTROLLER://127.0.0.1:{kafka_controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{kafka},SECURED://127.0.0.1:{kafka_secured},BEHIND://127.0.0.1:{kafka_front}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,BEHIND:PLAINTEXT,SECURED:SASL_SSL
listener.name.secured.ssl.keystore.type=PEM
listener.name.secured.ssl.keystore.location={certificate}
listener.name.secured.sasl.enabled.mechanisms=PLAIN,{SCRAM}
listener.name.secured.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
 user_{USER}=\"{PASSWORD}\";
listener.name.secured.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
",
        data = data.display(),
        certificate = tls.key_and_certificate().display(),
    )
}
