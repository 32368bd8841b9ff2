//! One Cassandra node.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::Result;

use super::java::{Java, large_pages};
use super::maven::{Artifact, Jars};
use super::ports::Ports;
use super::probe::Probe;
use super::server::{Server, Spec};
use super::tls::Files;

/// The jars, by their Maven coordinates.
pub const JARS: &[Artifact] =
    &[Artifact { group: "org.apache.cassandra", name: "cassandra-all", version: "5.0.6" }];

const MAIN_CLASS: &str = "org.apache.cassandra.service.CassandraDaemon";

/// What Cassandra's own start script opens up inside the JVM.
const EXPORTS: &[&str] = &[
    "java.base/jdk.internal.misc",
    "java.base/jdk.internal.ref",
    "java.base/sun.nio.ch",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.rmi/sun.rmi.transport",
    "java.rmi/sun.rmi.transport.tcp",
    "java.sql/java.sql",
];
const OPENS: &[&str] = &[
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "jdk.management/com.sun.management.internal",
];

/// How Cassandra's own scripts have memory managed (`conf/jvm-server.options` and `jvm17-server.options`), so that what is measured is
/// what a shop runs.
const MEMORY: [&str; 10] = [
    "-XX:+AlwaysPreTouch",
    "-XX:+UseG1GC",
    "-XX:+ParallelRefProcEnabled",
    "-XX:MaxTenuringThreshold=1",
    "-XX:G1HeapRegionSize=16m",
    "-XX:G1RSetUpdatingPauseTimePercent=5",
    "-XX:MaxGCPauseMillis=300",
    "-XX:InitiatingHeapOccupancyPercent=70",
    "-Dio.netty.tryReflectionSetAccessible=true",
    "-Dio.netty.allocator.useCacheForAllThreads=true",
];

/// Starts the node on an empty data directory.
///
/// # Errors
/// When it does not come up.
pub fn start(java: &Java, jars: &Jars, heap_mib: u32, ports: &Ports, run: &Path) -> Result<Server> {
    let home = run.join("cassandra");
    fs::create_dir_all(&home)?;
    let config = home.join("cassandra.yaml");
    let logging = home.join("logback.xml");
    fs::write(&config, cassandra_yaml(heap_mib, ports, &home, &Files::of_run(run)))?;
    fs::write(&logging, LOGBACK)?;

    let mut arguments: Vec<OsString> = vec![
        format!("-Xms{heap_mib}m").into(),
        format!("-Xmx{heap_mib}m").into(),
        format!("-Dcassandra.config=file://{}", config.display()).into(),
        format!("-Dcassandra.storagedir={}", home.display()).into(),
        format!("-Dlogback.configurationFile={}", logging.display()).into(),
        // One node has nobody to wait for.
        "-Dcassandra.superuser_setup_delay_ms=0".into(),
        "-Dcassandra.skip_wait_for_gossip_to_settle=0".into(),
        "-Dcassandra.ring_delay_ms=100".into(),
        "-Djdk.attach.allowAttachSelf=true".into(),
        // Cassandra installs a security manager, which Java after 17 refuses unless told.
        "-Djava.security.manager=allow".into(),
        format!("-javaagent:{}", jars.libs().join("jamm-0.4.0.jar").display()).into(),
    ];
    arguments.extend(MEMORY.map(Into::into));
    arguments.extend(large_pages().map(Into::into));
    arguments.extend(EXPORTS.iter().map(|package| format!("--add-exports={package}=ALL-UNNAMED").into()));
    arguments.extend(OPENS.iter().map(|package| format!("--add-opens={package}=ALL-UNNAMED").into()));
    arguments.extend(["-cp".into(), format!("{}/*", jars.libs().display()).into(), MAIN_CLASS.into()]);
    Server::start(Spec {
        name: "cassandra".into(),
        program: java.program.clone(),
        arguments,
        run: run.to_owned(),
        probe: Probe::Cql(ports.cql),
    })
}

fn cassandra_yaml(heap_mib: u32, ports: &Ports, home: &Path, tls: &Files) -> String {
    let Ports { cql, cassandra_storage, .. } = ports;
    let (home, certificate) = (home.display(), tls.key_and_certificate());
    let certificate = certificate.display();
    let memtables = heap_mib / 4; // its own default
    format!(
        "cluster_name: shopsmart-tests
num_tokens: 1
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
commitlog_sync: periodic
commitlog_sync_period: 10000ms
data_file_directories: ['{home}/data']
commitlog_directory: '{home}/commitlog'
saved_caches_directory: '{home}/saved_caches'
hints_directory: '{home}/hints'
cdc_raw_directory: '{home}/cdc_raw'
endpoint_snitch: SimpleSnitch
listen_address: 127.0.0.1
rpc_address: 127.0.0.1
native_transport_port: {cql}
storage_port: {cassandra_storage}
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: '127.0.0.1:{cassandra_storage}'
authenticator: PasswordAuthenticator
client_encryption_options:
  enabled: true
  optional: true
  ssl_context_factory:
    class_name: org.apache.cassandra.security.PEMBasedSslContextFactory
  keystore: '{certificate}'
memtable_heap_space: {memtables}MiB
memtable_offheap_space: {memtables}MiB
memtable_allocation_type: offheap_objects
"
    )
}

const LOGBACK: &str = r#"<configuration>
  <appender name="STDOUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d{HH:mm:ss.SSS} %-5level %logger{20} %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="STDOUT"/></root>
</configuration>
"#;
