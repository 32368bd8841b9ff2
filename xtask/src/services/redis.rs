//! Redis processes: a single one, and the members of a cluster.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::ports::Ports;
use super::probe::Probe;
use super::server::{Server, Spec};
use super::tls::{Files, PASSWORD, USER};

/// Starts the single Redis, without persistence and with the eviction policy that the services insist on. On a second
/// port it speaks TLS; it knows a user with a password, and asks nobody for one.
///
/// # Errors
/// When the server does not come up.
pub fn start(program: &Path, ports: &Ports, run: &Path) -> Result<Server> {
    let tls = Files::of_run(run);
    let extra = format!(
        "tls-port {port}
tls-cert-file {certificate}
tls-key-file {key}
tls-ca-cert-file {authority}
tls-auth-clients no
user {USER} on >{PASSWORD} ~* &* +@all
",
        port = ports.redis_secured,
        certificate = tls.certificate().display(),
        key = tls.key().display(),
        authority = tls.authority().display(),
    );
    start_node(program, "redis", ports.redis, &extra, run)
}

/// Starts one Redis with `extra` lines in its configuration.
///
/// # Errors
/// When the server does not come up.
pub fn start_node(program: &Path, name: &str, port: u16, extra: &str, run: &Path) -> Result<Server> {
    let home = run.join(name);
    fs::create_dir_all(&home)?;
    let file = home.join("redis.conf");
    // Redis rewrites its command line; the template keeps the configuration's path in it, by which a run knows its own.
    let text = format!(
        "bind 127.0.0.1
port {port}
dir {home}
save \"\"
appendonly no
maxmemory-policy noeviction
proc-title-template \"{{title}} {{listen-addr}} {{config-file}}\"
{extra}",
        home = home.display(),
    );
    fs::write(&file, text)?;
    Server::start(Spec {
        name: name.into(),
        program: program.to_owned(),
        arguments: vec![file.into()],
        run: run.to_owned(),
        probe: Probe::Redis(port),
    })
}
